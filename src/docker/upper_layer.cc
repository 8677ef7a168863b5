#include "docker/upper_layer.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "base/untrusted_json.h"
#include "docker/tar.h"
#include "engine/lower.h"
#include "sys/path.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr std::uint64_t kMostEntries = 100'000;
constexpr std::uint64_t kMostPathBytes = 64u << 20;
constexpr std::size_t kMostLevels = 512;
constexpr std::size_t kMostLowers = 500;  // overlayfs has no more

Change::Type type_of(mode_t mode) {
  if (S_ISREG(mode)) return Change::Type::file;
  if (S_ISDIR(mode)) return Change::Type::directory;
  if (S_ISLNK(mode)) return Change::Type::symlink;
  return Change::Type::skipped;
}

// As dockerd has it: where one of the clocks has no fractions they don't count.
bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

bool same_look(const struct stat& a, const struct stat& b) {
  if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_rdev != b.st_rdev) return false;
  return S_ISDIR(a.st_mode) || (a.st_size == b.st_size && same_time(a.st_mtim, b.st_mtim));
}

constexpr std::string_view kDiff = "/diff";

// "STORE/NAME/diff", and no way out of it.
bool is_layer(std::string_view path, std::string_view store) {
  if (!path.starts_with(store) || !path.ends_with(kDiff) || path.size() < store.size() + kDiff.size() + 2) return false;
  const std::string_view name = path.substr(store.size() + 1, path.size() - store.size() - kDiff.size() - 1);
  return path[store.size()] == '/' && name.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz-") == std::string_view::npos;
}

class LayerWalk {
 public:
  LayerWalk(TreePosition position, const std::vector<std::string>& lower) : position_(std::move(position)), lower_(lower) {}

  Result<LayerSnapshot> run(const std::stop_token& stop) {
    if (!lower_.problem().empty()) return fail(ErrorCode::not_supported, lower_.problem());
    Frame root;
    root.layers = lower_.all();
    TRY(begin(std::move(root)));
    while (!frames_.empty()) {
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped");
      Frame& frame = frames_.back();
      if (frame.next < frame.names.size()) {
        const std::string name = std::move(frame.names[frame.next++]);
        TRY(visit(name));
        continue;
      }
      frames_.pop_back();
      if (frames_.empty()) break;
      if (const auto left = position_.leave(); !left) return fail_errno("walk a container's layer", left.error());
    }
    return std::move(snapshot_);
  }

 private:
  struct Frame {
    std::string path;  // "" is the root
    std::vector<std::string> names;
    std::size_t next = 0;
    LayerSet layers;      // of the image, whose names count here
    bool opaque = false;  // ... and are hidden
  };

  Result<void> begin(Frame frame) {
    DirectoryReader reader(position_.fd());
    for (;;) {
      const auto entry = reader.next();
      if (!entry) return fail_errno("read a directory of a container's layer", entry.error());
      if (!*entry) break;
      TRY(count(frame.path.size() + (*entry)->name.size()));
      frame.names.emplace_back((*entry)->name);
    }
    if (frame.opaque) TRY(note_hidden(frame));
    frames_.push_back(std::move(frame));
    return {};
  }

  Result<void> count(std::size_t path_bytes) {
    path_bytes_ += path_bytes;
    if (++entries_ > kMostEntries || path_bytes_ > kMostPathBytes) return fail(ErrorCode::exhausted, "a container's layer is too large");
    return {};
  }

  Result<void> visit(const std::string& name) {
    const Frame& frame = frames_.back();
    const std::string path = frame.path.empty() ? name : frame.path + "/" + name;
    if (is_daemons_own(path)) return {};
    const auto info = stat_beneath(position_.fd(), name);
    if (!info && info.error() == ENOENT) return {};  // a service goes on
    if (!info) return fail_errno("look at a container's layer", info.error());
    const auto lower = frame.layers.empty() ? std::nullopt : lower_.find(frame.path, frame.layers, name);
    if (S_ISCHR(info->st_mode) && info->st_rdev == 0) {
      if (lower) note(path, LayerChange::deleted, lower->info);
      return {};
    }
    if (S_ISDIR(info->st_mode)) return visit_directory(name, path, *info, lower);
    if (lower && same_look(lower->info, *info) && same_capability(name, *info, *lower)) return {};  // copied up, and no more
    note(path, lower ? LayerChange::modified : LayerChange::added, *info);
    return {};
  }

  Result<void> visit_directory(const std::string& name, const std::string& path, const struct stat& info,
                               const std::optional<LowerEntry>& lower) {
    if (frames_.size() >= kMostLevels) return fail(ErrorCode::exhausted, "a container's layer is too deep");
    note(path, lower ? LayerChange::modified : LayerChange::added, info);
    const bool hidden = frames_.back().opaque;
    if (const auto entered = position_.enter(name); !entered) {
      if (entered.error() == ENOENT) return {};
      return fail_errno("look into a directory of a container's layer", entered.error());
    }
    if (has_extended_attribute(position_.fd(), "trusted.overlay.redirect"))
      return fail(ErrorCode::not_supported, "a directory of the image was renamed");
    Frame frame;
    frame.path = path;
    if (lower && S_ISDIR(lower->info.st_mode)) {
      frame.layers = lower->layers;
      frame.opaque = hidden || extended_attribute(position_.fd(), "trusted.overlay.opaque") == "y";
    }
    return begin(std::move(frame));
  }

  // What the image has in a directory that hides it, and that is not there again.
  Result<void> note_hidden(const Frame& frame) {
    const std::set<std::string> present(frame.names.begin(), frame.names.end());
    for (const std::string& name : lower_.names(frame.path, frame.layers, kMostEntries)) {
      if (present.contains(name)) continue;
      const std::string path = frame.path + "/" + name;
      TRY(count(path.size()));
      if (is_daemons_own(path)) continue;
      if (const auto lower = lower_.find(frame.path, frame.layers, name)) note(path, LayerChange::deleted, lower->info);
    }
    return {};
  }

  bool same_capability(const std::string& name, const struct stat& info, const LowerEntry& lower) {
    if (!S_ISREG(info.st_mode)) return true;
    const auto now = open_beneath(position_.fd(), name, O_RDONLY);
    const auto then = lower_.open(frames_.back().path, lower.layer, name);
    return !now || !then || extended_attribute(now->get(), "security.capability") == extended_attribute(then->get(), "security.capability");
  }

  void note(const std::string& path, LayerChange kind, const struct stat& info) {
    LayerEntry entry{.kind = kind, .type = type_of(info.st_mode)};
    if (kind != LayerChange::deleted && entry.type != Change::Type::directory)
      entry.look = {static_cast<std::uint64_t>(info.st_size), info.st_mode & 07777, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
    snapshot_.entries[path] = entry;
  }

  TreePosition position_;
  LowerLayers lower_;
  std::vector<Frame> frames_;
  LayerSnapshot snapshot_;
  std::uint64_t entries_ = 0;
  std::uint64_t path_bytes_ = 0;
};

}  // namespace

std::optional<UpperLayer> UpperLayer::open(std::string_view inspected) {
  const auto json = untrusted_object(inspected);
  const auto* driver = json ? member_if(*json, "GraphDriver", &nlohmann::json::is_object) : nullptr;
  const auto* data = driver ? member_if(*driver, "Data", &nlohmann::json::is_object) : nullptr;
  if (!data || text_at(*driver, "Name") != "overlay2") return std::nullopt;
  const std::string upper = text_at(*data, "UpperDir", 4095);
  // All of them lie side by side: who names one that is the container's can name no other directories than these as its image's.
  const std::string own = upper.ends_with(kDiff) ? upper.substr(0, upper.size() - kDiff.size()) : "";
  const std::string store = own.substr(0, std::min(own.rfind('/'), own.size()));
  if (!store.starts_with('/') || !is_layer(upper, store)) return std::nullopt;
  std::vector<std::string> lower;
  std::istringstream lowers(text_at(*data, "LowerDir", kMostLowers * 4096));
  for (std::string one; std::getline(lowers, one, ':');) {
    if (lower.size() == kMostLowers || !is_layer(one, store)) return std::nullopt;
    lower.push_back(one);
  }
  auto directory = open_file(upper, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (lower.empty() || !directory) return std::nullopt;
  return UpperLayer(std::move(*directory), std::move(lower));
}

bool UpperLayer::is_marked(const std::string& name) const {
  const auto place = open_beneath(upper_.get(), "dev", O_RDONLY | O_DIRECTORY);
  if (!place || !has_extended_attribute(place->get(), "trusted.overlay.origin")) return false;
  const auto marker = stat_beneath(place->get(), name);
  return marker && S_ISREG(marker->st_mode) && marker->st_size == 0;
}

Result<LayerSnapshot> UpperLayer::look(const std::stop_token& stop) const {
  auto position = TreePosition::start(upper_.get(), 0);
  if (!position) return fail_errno("look at a container's layer", position.error());
  return LayerWalk(std::move(*position), lower_).run(stop);
}

UpperLayerSearch::~UpperLayerSearch() {
  if (call_) api_.forget(*call_);
}

void UpperLayerSearch::end(std::shared_ptr<const UpperLayer> found) {
  const Done done = std::move(done_);  // it may destroy us
  done(std::move(found));
}

void UpperLayerSearch::begin() {
  call_ = api_.call({.path = fmt::format("/containers/{}/json", container_)}, [this](const Result<DockerReply>& reply) {
    call_.reset();
    if (reply && reply->status == 200 && api_.endpoint().local()) claimed_ = UpperLayer::open(reply->body);
    if (!claimed_) return end(nullptr);
    mark();
  });
}

void UpperLayerSearch::mark() {
  const std::string name = "casemate-" + random_name();
  TarEntry entry;
  entry.path = "dev/" + name;
  entry.mode = 0400;
  DockerRequest request{.method = "PUT", .path = fmt::format("/containers/{}/archive?path=%2F", container_)};
  request.content_type = "application/x-tar";
  request.body = tar_head(entry) + tar_end();
  call_ = api_.call(std::move(request), [this, name](const Result<DockerReply>& reply) {
    call_.reset();
    const bool proved = reply && reply->status == 200 && claimed_->is_marked(name);
    end(proved ? std::make_shared<const UpperLayer>(std::move(*claimed_)) : nullptr);
  });
}

}  // namespace casemate
