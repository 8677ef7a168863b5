#include "engine/collect.h"

#include <algorithm>
#include <climits>
#include <ctime>
#include <optional>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "base/units.h"
#include "engine/copy.h"
#include "engine/delivery.h"
#include "engine/lower.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::uint64_t kMaxPathBytes = 64u << 20;  // of all names and link targets listed: hostile paths are long

std::string_view special_kind(mode_t mode) {
  if (S_ISFIFO(mode)) return "fifo";
  if (S_ISSOCK(mode)) return "socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "device";
  return "of unknown type";
}

Change::Type type_of(mode_t mode) {
  if (S_ISREG(mode)) return Change::Type::file;
  if (S_ISDIR(mode)) return Change::Type::directory;
  if (S_ISLNK(mode)) return Change::Type::symlink;
  return Change::Type::skipped;
}

// A name that the destination's filesystem can't have (vfat, strict UTF-8), or a link target (xfs: 1,024 bytes).
bool name_refused(int errno_value) { return errno_value == EINVAL || errno_value == ENAMETOOLONG || errno_value == EILSEQ; }

// After these nothing more will get there.
bool destination_dead(int errno_value) {
  return errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EROFS || errno_value == EIO;
}

void skip(Change& change, std::string reason) {
  change.type = Change::Type::skipped;
  change.reason = std::move(reason);
}

constexpr std::int64_t kTickNs = 20'000'000;  // a clock of 100 Hz ticks twice in it

std::int64_t in_ns(const struct timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

SeenEntry::Look look_of(const struct stat& info) {
  return {info.st_ino, static_cast<std::uint64_t>(info.st_size), info.st_mode, in_ns(info.st_mtim), in_ns(info.st_ctim)};
}

std::int64_t now_ns() {
  struct timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return in_ns(now);
}

bool at_or_below(std::string_view path, std::string_view top) {
  return path.starts_with(top) && (path.size() == top.size() || top.empty() || path[top.size()] == '/');
}

class Collector {
 public:
  Collector(TreePosition position, std::optional<Delivery> delivery, const CollectOptions& options)
      : position_(std::move(position)), delivery_(std::move(delivery)), options_(options), lower_(options.lower) {
    result_.problem = lower_.problem();
  }

  CollectedFiles run() {
    Frame root;
    root.layers = lower_.all();
    begin(std::move(root));
    while (!frames_.empty() && !stopped_) {
      Frame& frame = frames_.back();
      if (frame.next < frame.names.size()) {
        const std::string name = std::move(frame.names[frame.next++]);
        visit(name);
      } else {
        end();
      }
    }
    std::sort(result_.changes.begin(), result_.changes.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
    return std::move(result_);
  }

 private:
  // A directory on the way down.
  struct Frame {
    std::string path;  // "" is the root
    std::vector<std::string> names;
    std::size_t next = 0;
    LayerSet layers;      // the lower directories that were here before the job
    bool opaque = false;  // ... and are hidden now: what is not in the upper is gone
    bool xattr_whiteouts = false;
    bool created = false;
    struct timespec modified{};
  };

  // An entry of the current directory.
  struct Entry {
    std::string name;
    std::string path;
    struct stat info{};
    std::optional<LowerEntry> lower;
    SeenEntry::Look look;
  };

  void begin(Frame frame) {
    DirectoryReader reader(position_.fd());
    for (;;) {
      const auto entry = reader.next();
      if (!entry) problem(fmt::format("can't read all of the directory {}: {}", shown(frame.path), std::strerror(entry.error())));
      if (!entry) result_.truncated = true;
      if (!entry || !*entry) break;
      if (++seen_ > options_.max_entries) {
        result_.truncated = true;
        break;
      }
      frame.names.emplace_back((*entry)->name);
    }
    frames_.push_back(std::move(frame));
    if (frames_.back().opaque) report_hidden(frames_.back());
  }

  void end() {
    const Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (frames_.empty()) return;
    if (frame.created && delivery_) delivery_->set_time(frame.path, frame.modified);
    if (auto left = position_.leave(); !left) {
      problem(fmt::format("the directory {} can't be left again: {}", shown(frame.path), std::strerror(left.error())));
      result_.truncated = true;
      stopped_ = true;
    }
  }

  void visit(const std::string& name) {
    if (options_.stop.stop_requested()) {
      problem("cancelled before all changed files were looked at");
      result_.truncated = true;
      stopped_ = true;
      return;
    }
    const Frame& frame = frames_.back();
    Entry entry{name, frame.path.empty() ? name : frame.path + "/" + name, {}, {}, {}};
    if (!wanted(entry.path) && !leads_on(entry.path)) return;
    const auto info = stat_beneath(position_.fd(), name);
    if (info) entry.look = look_of(*info);
    if (info && !S_ISDIR(info->st_mode) && seen_before(entry)) return;
    look_ = entry.look;
    entry.lower = lower_.find(frame.path, frame.layers, name);
    Change change;
    change.path = entry.path;
    change.kind = entry.lower ? Change::Kind::modified : Change::Kind::created;
    if (!info) {
      skip(change, std::strerror(info.error()));
      return report(std::move(change));
    }
    entry.info = *info;
    change.mode = info->st_mode & 01777;
    change.type = type_of(info->st_mode);
    if (is_whiteout(entry)) return report_deleted(entry.path, entry.lower, !frame.layers.empty());
    if (entry.path.size() >= PATH_MAX) {
      skip(change, "path too long");
      return report(std::move(change));
    }
    if (S_ISREG(info->st_mode)) return visit_file(entry, std::move(change));
    if (S_ISLNK(info->st_mode)) return visit_link(entry, std::move(change));
    if (S_ISDIR(info->st_mode)) return visit_directory(entry, std::move(change));
    skip(change, std::string(special_kind(info->st_mode)));
    report(std::move(change));
  }

  [[nodiscard]] bool wanted(const std::string& path) const {
    return options_.within.empty() ||
           std::any_of(options_.within.begin(), options_.within.end(), [&](const std::string& top) { return at_or_below(path, top); });
  }
  [[nodiscard]] bool leads_on(const std::string& path) const {
    return std::any_of(options_.within.begin(), options_.within.end(), [&](const std::string& top) { return at_or_below(top, path); });
  }

  // True if that is all there is to do about it.
  bool seen_before(const Entry& entry) {
    if (options_.untouched) {
      const auto found = options_.untouched->find(entry.path);
      if (found != options_.untouched->end() && found->second.look == entry.look) return true;
    }
    if (!options_.known) return false;
    const auto found = options_.known->find(entry.path);
    if (found == options_.known->end() || !found->second.settled || found->second.look != entry.look) return false;
    found->second.same = true;
    if (room_for(found->second.change)) options_.seen->insert(options_.known->extract(found));
    return true;
  }

  void remember(const Change& change, bool changed) {
    if (options_.seen)
      options_.seen->insert_or_assign(change.path, SeenEntry{look_, look_.changed_ns < began_ns_ - kTickNs, change, changed});
  }

  bool is_whiteout(const Entry& entry) {
    if (S_ISCHR(entry.info.st_mode)) return entry.info.st_rdev == 0;
    if (!frames_.back().xattr_whiteouts || !S_ISREG(entry.info.st_mode) || entry.info.st_size != 0) return false;
    // Linux 6.7: an empty file with overlay.whiteout, in a directory whose overlay.opaque is "x". The value does not matter, and may be
    // empty.
    const auto file = open_beneath(position_.fd(), entry.name, O_RDONLY);
    return file && (has_extended_attribute(file->get(), "user.overlay.whiteout") ||
                    has_extended_attribute(file->get(), "trusted.overlay.whiteout"));
  }

  // ---- directories

  void visit_directory(const Entry& entry, Change change) {
    const bool was_directory = entry.lower && S_ISDIR(entry.lower->info.st_mode);
    const auto refuse = [&](std::string reason) {
      skip(change, std::move(reason));
      report(std::move(change));
    };
    if (frames_.size() >= options_.max_depth) return refuse(fmt::format("deeper than {} levels", options_.max_depth));
    const bool parent_opaque = frames_.back().opaque;
    if (auto entered = position_.enter(entry.name); !entered)
      return refuse(entered.error() == EXDEV ? "something is mounted there" : std::strerror(entered.error()));
    Frame frame;
    frame.path = entry.path;
    frame.created = !was_directory;
    frame.modified = entry.info.st_mtim;
    if (was_directory) {
      frame.layers = entry.lower->layers;
      const std::string opaque = overlay_attribute(position_.fd(), "opaque");
      frame.opaque = parent_opaque || opaque == "y";
      frame.xattr_whiteouts = opaque == "x";
      remember(change, false);
    } else if (wanted(entry.path) && !(options_.untouched && options_.untouched->contains(entry.path))) {
      if (delivering(change)) {
        if (const auto made = delivery_->directory(entry.path); !made) not_delivered(change, made.error());
      }
      report(std::move(change));
    }
    begin(std::move(frame));
  }

  // What the lower layers have in an opaque directory and the upper doesn't is gone.
  void report_hidden(const Frame& frame) {
    if (frame.layers.empty()) return;
    const std::set<std::string> present(frame.names.begin(), frame.names.end());
    const std::uint64_t left = options_.max_entries - std::min(seen_, options_.max_entries);
    for (const std::string& name : lower_.names(frame.path, frame.layers, left + present.size() + 1)) {
      if (present.contains(name)) continue;
      if (++seen_ > options_.max_entries) {
        result_.truncated = true;
        return;
      }
      look_ = {};
      report_deleted(frame.path + "/" + name, lower_.find(frame.path, frame.layers, name), true);
    }
  }

  void report_deleted(const std::string& path, const std::optional<LowerEntry>& lower, bool known) {
    if ((!lower && known) || !wanted(path)) return;  // a whiteout over nothing
    Change change;
    change.kind = Change::Kind::deleted;
    change.path = path;
    if (lower) {
      change.type = type_of(lower->info.st_mode);
      change.mode = lower->info.st_mode & 01777;
      if (change.type == Change::Type::skipped) change.reason = special_kind(lower->info.st_mode);
    }
    report(std::move(change));
  }

  // ---- links

  void visit_link(const Entry& entry, Change change) {
    const auto target = read_link_beneath(position_.fd(), entry.name);
    if (!target) {
      skip(change, std::strerror(target.error()));
      return report(std::move(change));
    }
    change.link_target = *target;
    change.size = target->size();
    if (entry.lower && S_ISLNK(entry.lower->info.st_mode) && lower_.link(frames_.back().path, entry.lower->layer, entry.name) == target)
      return remember(change, false);
    if (delivering(change)) {
      const auto made = delivery_->link(frames_.back().path, entry.name, *target, entry.info.st_mtim);
      if (!made) not_delivered(change, made.error());
    }
    report(std::move(change));
  }

  // ---- files

  void visit_file(const Entry& entry, Change change) {
    const auto size = static_cast<std::uint64_t>(entry.info.st_size);
    change.size = size;
    if (auto reason = too_large(entry.info); !reason.empty()) {
      skip(change, std::move(reason));
      return report(std::move(change));
    }
    const auto file = open_despite_mode(position_.fd(), entry.name, O_RDONLY, 0400);
    struct stat now{};
    const bool usable = file && ::fstat(file->get(), &now) == 0 && S_ISREG(now.st_mode) && now.st_ino == entry.info.st_ino;
    if (!usable) {
      skip(change, file ? "it changed while it was read" : std::strerror(file.error()));
      return report(std::move(change));
    }
    if (now.st_mode != entry.info.st_mode) (void)change_mode(file->get(), entry.info.st_mode & 07777);
    total_bytes_ += size;
    if (unchanged(entry, file->get())) {
      if (options_.seen) change.digest = copier().copy(file->get(), -1, size, true).digest;
      return remember(change, false);
    }
    copy(entry, file->get(), change);
    report(std::move(change));
  }

  std::string too_large(const struct stat& info) const {
    const auto size = static_cast<std::uint64_t>(info.st_size);
    const bool sparse = static_cast<std::uint64_t>(info.st_blocks) * 512 < size / 2;
    const char* what = sparse ? "sparse: " : "";
    if (size > options_.max_file_bytes)
      return fmt::format("{}{}, over the limit of {} a file", what, format_bytes(size), format_bytes(options_.max_file_bytes));
    if (size > options_.max_total_bytes - std::min(total_bytes_, options_.max_total_bytes))
      return fmt::format("{}{}, over the limit of {} in all", what, format_bytes(size), format_bytes(options_.max_total_bytes));
    return {};
  }

  bool unchanged(const Entry& entry, int file) {
    if (!entry.lower || entry.lower->info.st_mode != entry.info.st_mode || entry.lower->info.st_size != entry.info.st_size) return false;
    const auto before = lower_.open(frames_.back().path, entry.lower->layer, entry.name);
    return before && copier().same(file, before->get(), static_cast<std::uint64_t>(entry.info.st_size));
  }

  void copy(const Entry& entry, int file, Change& change) {
    UniqueFd target;
    if (delivering(change)) {
      auto made = delivery_->file(frames_.back().path, entry.name, (entry.info.st_mode & 0100) != 0);
      if (made) {
        target = std::move(*made);
      } else {
        not_delivered(change, made.error());
      }
    }
    const Copied copied = copier().copy(file, target.get(), change.size, options_.digests);
    change.digest = copied.digest;
    if (copied.read_error != 0) {
      skip(change, std::strerror(copied.read_error));
    } else if (copied.write_error != 0) {
      not_delivered(change, copied.write_error);
    } else {
      change.size = copied.size;
      const struct timespec times[2] = {entry.info.st_mtim, entry.info.st_mtim};
      if (target) (void)::futimens(target.get(), times);
      return;
    }
    if (target) delivery_->take_back(frames_.back().path, entry.name);
  }

  // Its buffers take longer to clear than many a walk.
  Copier& copier() {
    if (!copier_) copier_.emplace();
    return *copier_;
  }

  // ---- saying so

  static std::string shown(const std::string& path) {
    constexpr std::size_t kEnough = 300;
    return path.empty() ? "/" : printable_name(path.size() > kEnough ? path.substr(0, kEnough) + "..." : path);
  }

  void problem(std::string line) {
    if (result_.problem.empty()) result_.problem = std::move(line);
  }

  // True if things are to be copied and can be; says in `change` why not if the destination is full or broken for good.
  bool delivering(Change& change) {
    if (delivery_ && dead_errno_ != 0) not_delivered(change, dead_errno_);
    return delivery_ && dead_errno_ == 0;
  }

  void not_delivered(Change& change, int errno_value) {
    if (destination_dead(errno_value)) dead_errno_ = errno_value;
    if (name_refused(errno_value))
      return skip(change, fmt::format("the destination's filesystem does not take it ({})", std::strerror(errno_value)));
    change.reason = fmt::format("not copied: {}", std::strerror(errno_value));
    problem(fmt::format("can't copy {} to {}: {}", shown(change.path), printable_name(options_.destination), std::strerror(errno_value)));
  }

  void report(Change change) {
    if (!room_for(change)) return;
    if (options_.seen) return remember(change, true);
    result_.changes.push_back(std::move(change));
  }

  bool room_for(const Change& change) {
    listed_bytes_ += change.path.size() + change.link_target.size();
    if (listed_bytes_ <= kMaxPathBytes) return true;
    result_.truncated = true;
    stopped_ = true;
    return false;
  }

  TreePosition position_;
  std::optional<Delivery> delivery_;
  const CollectOptions& options_;
  LowerLayers lower_;
  std::optional<Copier> copier_;
  std::vector<Frame> frames_;
  CollectedFiles result_;
  std::int64_t began_ns_ = now_ns();
  SeenEntry::Look look_;  // of the entry that is reported next
  std::uint64_t seen_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t listed_bytes_ = 0;
  int dead_errno_ = 0;
  bool stopped_ = false;
};

}  // namespace

Result<CollectedFiles> collect(int upper_fd, const CollectOptions& options) {
  auto position = TreePosition::start(upper_fd, 0500);
  if (!position) return fail_errno("read the writable layer", position.error());
  std::optional<Delivery> delivery;
  if (options.destination_fd >= 0) {
    UniqueFd root(::fcntl(options.destination_fd, F_DUPFD_CLOEXEC, 3));
    if (!root) return fail_errno("use the directory " + printable_name(options.destination));
    delivery.emplace(std::move(root));
  } else if (!options.destination.empty()) {
    TRY_ASSIGN(delivery, Delivery::open(options.destination));
  }
  return Collector(std::move(*position), std::move(delivery), options).run();
}

}  // namespace casemate
