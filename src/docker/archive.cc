#include "docker/archive.h"

#include <algorithm>
#include <climits>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/terminal.h"
#include "base/units.h"

namespace casemate {
namespace {

constexpr std::size_t kPiece = 256u << 10;
constexpr std::uint32_t kNobody = 65534;

// A path in an archive below its top's name: no "..", nothing absolute. nullopt: it is not.
std::optional<std::string> clean(std::string_view path) {
  std::string all;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == ".." || part.size() > NAME_MAX) return std::nullopt;
    if (!all.empty()) all += '/';
    all += part;
  }
  return all;
}

std::string parent_path(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

// ---- in

Result<std::unique_ptr<UploadArchive>> UploadArchive::open(const ContainerSpecBody::Upload& upload) {
  std::unique_ptr<UploadArchive> archive(new UploadArchive(upload));
  if (upload.lower.size() == 1) {
    struct stat info{};
    if (::stat(upload.lower[0].c_str(), &info) < 0) return fail_errno("read " + printable_name(upload.lower[0]));
    if (S_ISREG(info.st_mode)) {
      TRY_ASSIGN(archive->file_, open_file(upload.lower[0], O_RDONLY));
      archive->left_ = static_cast<std::uint64_t>(info.st_size);
      return archive;
    }
  }
  if (!archive->lower_.problem().empty()) return fail(ErrorCode::system, archive->lower_.problem());
  return archive;
}

TarEntry UploadArchive::head_of(const struct stat& info, const std::string& path) const {
  TarEntry entry;
  const std::string top = upload_.target == "/" ? "." : upload_.target.substr(1);
  entry.path = top + (path.empty() ? "" : "/" + path);
  entry.mode = info.st_mode & 07777;
  entry.modified = info.st_mtim;
  const bool root = ::geteuid() == 0;
  entry.uid = upload_.owned && root ? info.st_uid : info.st_uid == ::geteuid() || upload_.owned ? 0 : kNobody;
  entry.gid = upload_.owned && root ? info.st_gid : info.st_gid == ::getegid() || upload_.owned ? 0 : kNobody;
  return entry;
}

Result<std::string> UploadArchive::next() {
  std::string piece;
  while (piece.size() < kPiece && !ended_) {
    TRY_ASSIGN(const std::string more, entry());
    piece += more;
  }
  return piece;
}

// Some of a file, or the next entry's head.
Result<std::string> UploadArchive::entry() {
  if (file_ && frames_.empty() && padding_ == 0 && !ended_) {  // one file and nothing else: its head first
    struct stat info{};
    if (::fstat(file_.get(), &info) < 0) return fail_errno("read a file");
    TarEntry head = head_of(info, "");
    head.size = left_;
    frames_.emplace_back();  // with nothing in it
    padding_ = tar_padding(left_).size();
    return tar_head(head);
  }
  if (file_) {
    std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(left_, kPiece)), '\0');
    const ssize_t got = bytes.empty() ? 0 : ::read(file_.get(), bytes.data(), bytes.size());
    if (got > 0) bytes.resize(static_cast<std::size_t>(got));  // an error or an end: zeros
    left_ -= bytes.size();
    if (left_ > 0) return bytes;
    file_.reset();
    bytes.append(static_cast<std::size_t>(std::exchange(padding_, 0)), '\0');
    return bytes;
  }
  if (frames_.empty()) {
    struct stat info{};
    info.st_mode = 0755;
    if (!upload_.lower.empty() && ::stat(upload_.lower[0].c_str(), &info) < 0)
      return fail_errno("read " + printable_name(upload_.lower[0]));
    Frame top;
    top.layers = lower_.all();
    for (const std::string& name : lower_.names("", top.layers, UINT64_MAX)) top.names.push_back(name);
    frames_.push_back(std::move(top));
    TarEntry head = head_of(info, "");
    // As in a cell: the directory is its root's, whoever has what is in it.
    head.type = TarEntry::Type::directory;
    head.uid = head.gid = 0;
    head.mode = upload_.open_to_all ? 0777 : 0755;
    return tar_head(head);
  }
  Frame& frame = frames_.back();
  if (frame.at < frame.names.size()) {
    const std::string name = frame.names[frame.at++];
    return visit(frame, name);
  }
  frames_.pop_back();
  if (!frames_.empty()) return std::string();
  ended_ = true;
  return tar_end();
}

std::string UploadArchive::visit(Frame& frame, const std::string& name) {
  const auto found = lower_.find(frame.path, frame.layers, name);
  if (!found) return "";
  const std::string path = frame.path.empty() ? name : frame.path + "/" + name;
  TarEntry head = head_of(found->info, path);
  if (S_ISREG(found->info.st_mode)) {
    auto file = lower_.open(frame.path, found->layer, name);
    if (!file) return "";
    head.size = static_cast<std::uint64_t>(found->info.st_size);
    file_ = std::move(*file);
    left_ = head.size;
    padding_ = tar_padding(head.size).size();
    return tar_head(head);
  }
  if (S_ISLNK(found->info.st_mode)) {
    const auto target = lower_.link(frame.path, found->layer, name);
    if (!target) return "";
    head.type = TarEntry::Type::symlink;
    head.link_target = *target;
    return tar_head(head);
  }
  if (!S_ISDIR(found->info.st_mode)) return "";
  head.type = TarEntry::Type::directory;
  Frame next;
  next.path = path;
  next.layers = found->layers;
  for (const std::string& below : lower_.names(path, next.layers, UINT64_MAX)) next.names.push_back(below);
  frames_.push_back(std::move(next));  // `frame` is gone
  return tar_head(head);
}

// ---- out

TarReader StagedTree::reader(const std::string& place) {
  place_ = place;
  oversized_.clear();
  return TarReader({.begin = [this](const TarEntry& entry) { return begin(entry); },
                    .bytes = [this](std::string_view piece) { return bytes(piece); },
                    .end = [this] { return end(); }});
}

Attempt<std::pair<UniqueFd, std::string>> StagedTree::parent(const std::string& path) const {
  auto directory = make_directories_beneath(root_.get(), parent_path(path), 0700);
  if (!directory) return std::unexpected(directory.error());
  return std::pair(std::move(*directory), path.substr(path.rfind('/') + 1));
}

void StagedTree::failed(const std::string& path, int errno_value) {
  if (problem_.empty()) problem_ = fmt::format("can't keep {}: {}", printable_name(path.substr(0, 300)), std::strerror(errno_value));
}

Result<void> StagedTree::begin(const TarEntry& entry) {
  file_.reset();
  entry_ = entry;
  path_.clear();
  const auto inside = clean(entry.path);
  if (!inside) return fail(ErrorCode::corrupt, "the daemon's archive has a name that leads out of it");
  // The first part is the top's own name, which `place_` ends with.
  const auto slash = inside->find('/');
  const std::string below = slash == std::string::npos ? "" : inside->substr(slash + 1);
  const std::string path = below.empty() ? place_ : place_.empty() ? below : place_ + "/" + below;
  if (path.empty()) return {};               // the root itself
  if (++entries_ > bounds_.max_entries + 1)  // collect() stops before
    return fail(ErrorCode::exhausted, fmt::format("more than {} entries", bounds_.max_entries));
  if (path.size() >= PATH_MAX) return {};
  if (entry.type == TarEntry::Type::file) {
    if (entry.size > bounds_.max_file_bytes || entry.size > bounds_.max_total_bytes - std::min(total_, bounds_.max_total_bytes)) {
      oversized_ = path;
      put_oversized(path, entry);
      return fail(ErrorCode::exhausted, fmt::format("{} of {}", printable_name(path.substr(0, 300)), format_bytes(entry.size)));
    }
    total_ += entry.size;
  }
  const auto at = parent(path);
  if (!at) {
    failed(path, at.error());
    return {};
  }
  const auto& [directory, name] = *at;
  int problem = 0;
  switch (entry.type) {
    case TarEntry::Type::file: {
      (void)::unlinkat(directory.get(), name.c_str(), 0);
      auto file = make_file_beneath(directory.get(), name, 0600);
      if (!file) problem = file.error();
      if (file) file_ = std::move(*file);
      break;
    }
    case TarEntry::Type::directory:
      if (::mkdirat(directory.get(), name.c_str(), 0700) < 0 && errno != EEXIST) problem = errno;
      directories_.push_back({path, entry.mode & 01777, entry.modified});
      break;
    case TarEntry::Type::symlink:
      (void)::unlinkat(directory.get(), name.c_str(), 0);
      if (::symlinkat(entry.link_target.c_str(), directory.get(), name.c_str()) < 0) problem = errno;
      break;
    case TarEntry::Type::hard_link: {
      const auto target = clean(entry.link_target);
      const auto cut = target ? target->find('/') : std::string::npos;
      const std::string rest = cut == std::string::npos ? "" : target->substr(cut + 1);
      const auto from = parent(place_.empty() ? rest : place_ + (rest.empty() ? "" : "/" + rest));
      if (!target || !from) {
        problem = EINVAL;
      } else if (::linkat(from->first.get(), from->second.c_str(), directory.get(), name.c_str(), 0) < 0 && errno != EEXIST) {
        problem = errno;
      }
      break;
    }
    case TarEntry::Type::fifo:
      (void)::unlinkat(directory.get(), name.c_str(), 0);  // fchmodat(2) follows links
      if (::mknodat(directory.get(), name.c_str(), S_IFIFO | 0600, 0) < 0) problem = errno;
      if (problem == 0) (void)::fchmodat(directory.get(), name.c_str(), entry.mode & 01777, 0);
      break;
    default:
      // A device, which only the host's root could make here: it is left out and named as what stands in for it can be told.
      if (::mknodat(directory.get(), name.c_str(), S_IFCHR | 0600, makedev(1, 3)) < 0 && errno != EEXIST &&
          ::mknodat(directory.get(), name.c_str(), S_IFSOCK | 0600, 0) < 0)
        problem = errno;
      break;
  }
  if (problem != 0) failed(path, problem);
  path_ = path;
  return {};
}

Result<void> StagedTree::bytes(std::string_view piece) {
  if (!file_) return {};
  if (const auto written = write_all(file_.get(), piece); !written)
    return fail(ErrorCode::exhausted, fmt::format("can't keep {}: {}", printable_name(path_.substr(0, 300)), written.error().what));
  return {};
}

Result<void> StagedTree::end() {
  if (!file_) return {};
  (void)::fchmod(file_.get(), entry_.mode & 01777);
  const timespec times[2] = {entry_.modified, entry_.modified};
  (void)::futimens(file_.get(), times);
  file_.reset();
  return {};
}

// Last, for their own modes may keep us out, and what is put in them changes their times.
void StagedTree::finish() {
  for (auto each = directories_.rbegin(); each != directories_.rend(); ++each) {
    const auto directory = open_beneath(root_.get(), each->path, O_RDONLY | O_DIRECTORY);
    if (!directory) continue;
    (void)::fchmod(directory->get(), each->mode);
    const timespec times[2] = {each->modified, each->modified};
    (void)::futimens(directory->get(), times);
  }
  directories_.clear();
}

void StagedTree::put_socket(const std::string& path) {
  if (const auto at = parent(path)) (void)::mknodat(at->first.get(), at->second.c_str(), S_IFSOCK | 0600, 0);
}

void StagedTree::put_oversized(const std::string& path, const TarEntry& entry) {
  const auto at = parent(path);
  if (!at) return;
  const auto file = make_file_beneath(at->first.get(), at->second, 0600);
  if (!file) return;
  // Of so many bytes, none of which takes room: collect() looks at the size and leaves it out. No file system has more than this.
  const auto most = static_cast<std::uint64_t>(8) << 40;
  if (::ftruncate(file->get(), static_cast<off_t>(std::min(entry.size, most))) < 0) failed(path, errno);
  (void)::fchmod(file->get(), entry.mode & 01777);
}

void StagedTree::put_directory(const std::string& path) { (void)make_directories_beneath(root_.get(), path, 0700); }

void StagedTree::put_whiteout(const std::string& path) {
  const auto at = parent(path);
  if (!at) return;
  if (::mknodat(at->first.get(), at->second.c_str(), S_IFCHR, makedev(0, 0)) < 0 && errno != EEXIST) failed(path, errno);
}

void StagedTree::put_outline(const std::string& path, const TarEntry& entry) {
  const auto at = parent(path);
  if (!at) return;
  const auto& [directory, name] = *at;
  if (entry.type == TarEntry::Type::directory) {
    if (::mkdirat(directory.get(), name.c_str(), 0700) == 0) (void)::fchmodat(directory.get(), name.c_str(), entry.mode & 01777, 0);
  } else if (entry.type == TarEntry::Type::symlink) {
    (void)::symlinkat(entry.link_target.empty() ? "?" : entry.link_target.c_str(), directory.get(), name.c_str());
  } else if (entry.type == TarEntry::Type::fifo) {
    (void)::mknodat(directory.get(), name.c_str(), S_IFIFO | (entry.mode & 0777), 0);
  } else if (const auto file = make_file_beneath(directory.get(), name, 0600)) {
    (void)::fchmod(file->get(), entry.mode & 01777);
  }
}

bool StagedTree::has(const std::string& path) const {
  const auto directory = open_beneath(root_.get(), parent_path(path).empty() ? "." : parent_path(path), O_PATH | O_DIRECTORY);
  return directory && stat_beneath(directory->get(), path.substr(path.rfind('/') + 1)).has_value();
}

void add_missing(StagedTree& staged, const std::vector<std::string>& lower, const std::string& place) {
  LowerLayers layers(lower);
  std::vector<std::pair<std::string, LayerSet>> waiting = {{"", layers.all()}};
  while (!waiting.empty()) {
    const auto [path, set] = std::move(waiting.back());
    waiting.pop_back();
    for (const std::string& name : layers.names(path, set, 1'000'000)) {
      const auto found = layers.find(path, set, name);
      if (!found || S_ISFIFO(found->info.st_mode) || S_ISSOCK(found->info.st_mode) || S_ISCHR(found->info.st_mode) ||
          S_ISBLK(found->info.st_mode))
        continue;  // never got there
      const std::string below = path.empty() ? name : path + "/" + name;
      const std::string there = place.empty() ? below : place + "/" + below;
      if (!staged.has(there)) {
        staged.put_whiteout(there);
      } else if (S_ISDIR(found->info.st_mode)) {
        waiting.emplace_back(below, found->layers);
      }
    }
  }
}

}  // namespace casemate
