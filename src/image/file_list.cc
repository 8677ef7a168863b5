#include "image/file_list.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "image/glob_pattern.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr int kDeepest = 255;  // levels of directories: the store takes no deeper trees
constexpr std::size_t kLongestPath = 4095;

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

std::string joined(const std::string& directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return directory.ends_with('/') ? fmt::format("{}{}", directory, name) : fmt::format("{}/{}", directory, name);
}

// "./a//b/" is "a/b".
std::string tidied(std::string_view text) {
  std::string tidy = text.starts_with('/') ? "/" : "";
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    const std::string_view part = text.substr(0, slash);
    text.remove_prefix(std::min(slash + 1, text.size()));
    if (!part.empty() && part != ".") tidy = joined(tidy, part);
  }
  return tidy;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::optional<std::string> real_path(const std::string& path) {
  char real[PATH_MAX];
  if (!::realpath(path.c_str(), real)) return std::nullopt;
  return real;
}

// Below a file system of the cell's own, where nobody would see it. Stubs there are what other tools need for their mounts.
bool is_of_kernel(const std::string& path) { return path.starts_with("dev/") || path.starts_with("proc/") || path.starts_with("sys/"); }

}  // namespace

FileStamp stamp_of(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = static_cast<std::uint64_t>(info.st_size),
          .modified = nanoseconds(info.st_mtim),
          .changed = nanoseconds(info.st_ctim)};
}

bool is_settled(const FileStamp& stamp, const timespec& now) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const bool coarse = stamp.modified % kSecond == 0 && stamp.changed % kSecond == 0;
  const std::int64_t margin = coarse ? 2 * kSecond : kSecond / 10;
  return std::max(stamp.modified, stamp.changed) + margin < std::int64_t{now.tv_sec} * kSecond + now.tv_nsec;
}

// One tree of the host that is gone through.
struct FileList::Walk {
  PrefixOptions prefix;
  std::optional<GlobPattern> pattern;  // none: everything
  std::vector<GlobPattern> exclude;
  bool enter_git = true;
  std::vector<std::pair<dev_t, ino_t>> above;  // of followed links' loops

  [[nodiscard]] bool excluded(const std::string& path) const {
    return std::any_of(exclude.begin(), exclude.end(), [&](const GlobPattern& one) { return one.matches(path); });
  }
  [[nodiscard]] bool wants_below(const std::string& path, const std::string& name) const {
    if (name == ".git" && !enter_git) return false;
    if (std::any_of(exclude.begin(), exclude.end(), [&](const GlobPattern& one) { return one.takes_all_below(path); })) return false;
    return !pattern || pattern->may_match_below(path);
  }
};

FileList::FileList(std::string project, std::string label, std::vector<std::string> own)
    : project_(std::move(project)), label_(std::move(label)) {
  for (const std::string& directory : own) {
    struct stat info{};
    if (::stat(directory.c_str(), &info) < 0) continue;
    own_.emplace_back(info.st_dev, info.st_ino);
    if (auto real = real_path(directory)) own_paths_.push_back(std::move(*real));
  }
}

std::unexpected<Error> FileList::problem(ErrorCode code, std::string_view path, std::string_view what, int errno_value) const {
  return fail(code, fmt::format("{}: {}: {}", label_, printable_line(path), what), errno_value);
}

bool FileList::is_own(const struct stat& info) const {
  return std::find(own_.begin(), own_.end(), std::pair(info.st_dev, info.st_ino)) != own_.end();
}

bool FileList::lies_in_own(const std::string& canonical) const {
  return std::any_of(own_paths_.begin(), own_paths_.end(),
                     [&](const std::string& own) { return canonical == own || canonical.starts_with(own + "/"); });
}

Result<std::string> FileList::path_in_root(const std::string& typed, const PrefixOptions& prefix) const {
  std::string_view path = typed;
  const std::string strip = tidied(prefix.strip_prefix);
  if (!strip.empty() && path.starts_with(strip)) {
    const std::string_view rest = path.substr(strip.size());
    if (rest.empty() || rest.starts_with('/') || strip == "/") path = rest;
  }
  std::string clean;
  for (std::string_view rest : {std::string_view(prefix.prepend_prefix), path}) {
    while (!rest.empty()) {
      const std::size_t slash = std::min(rest.find('/'), rest.size());
      const std::string_view part = rest.substr(0, slash);
      rest.remove_prefix(std::min(slash + 1, rest.size()));
      if (part == "..") return problem(ErrorCode::invalid_input, typed, "its path in the root has '..' in it; use strip_prefix");
      if (part.size() > NAME_MAX) return problem(ErrorCode::invalid_input, typed, "a name of more than 255 bytes");
      if (!part.empty() && part != ".") clean = joined(clean, part);
    }
  }
  if (clean.size() > kLongestPath) return problem(ErrorCode::invalid_input, typed, "its path in the root is longer than 4,095 bytes");
  return clean;
}

Result<void> FileList::add(ListedFile file, const std::string& typed, const std::string& canonical, const PrefixOptions& prefix) {
  TRY_ASSIGN(file.path, path_in_root(prefix.canonicalize ? canonical : typed, prefix));
  if (file.path.empty()) {
    if (file.type == ListedFile::Type::directory) return {};  // the root itself
    return problem(ErrorCode::invalid_input, typed, "nothing of its path is left after strip_prefix");
  }
  if (files_.size() >= kMostLayerFiles)
    return problem(ErrorCode::exhausted, typed, fmt::format("more than {} files for one layer", kMostLayerFiles));
  files_.push_back(std::move(file));
  return {};
}

Result<void> FileList::add_glob(const GlobLayer& layer) {
  Walk walk{.prefix = layer.prefix};
  auto pattern = GlobPattern::compile(layer.glob);
  if (!pattern) return fail(ErrorCode::invalid_input, fmt::format("{}: {}", label_, pattern.error().what));
  for (const std::string& text : layer.exclude) {
    auto exclude = GlobPattern::compile(text);
    if (!exclude) return fail(ErrorCode::invalid_input, fmt::format("{}: exclude: {}", label_, exclude.error().what));
    walk.exclude.push_back(std::move(*exclude));
  }
  walk.enter_git = pattern->names(".git");
  walk.pattern = std::move(*pattern);
  const std::string start = walk.pattern->fixed_directory();
  const std::string path = start.starts_with('/') ? start : joined(project_, start);
  const int raw = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (raw < 0 && (errno == ENOENT || errno == ENOTDIR)) {
    if (start.empty()) return problem(ErrorCode::not_found, project_, "no such directory", errno);
    return {};  // matches nothing
  }
  if (raw < 0) return problem(ErrorCode::refused, path, fmt::format("can't be read: {}", std::strerror(errno)), errno);
  const UniqueFd directory(raw);
  struct stat info{};
  if (::fstat(directory.get(), &info) < 0) return fail_errno("look at " + path);
  walk.above.emplace_back(info.st_dev, info.st_ino);
  const auto canonical = real_path(path);
  if (!canonical) return problem(ErrorCode::refused, path, fmt::format("can't be resolved: {}", std::strerror(errno)), errno);
  if (lies_in_own(*canonical)) return {};
  return this->walk(walk, directory.get(), start, *canonical, 0);
}

Result<void> FileList::add_path(const std::string& path, const PrefixOptions& prefix) {
  const std::string typed = tidied(path);
  const std::string host = typed.starts_with('/') ? typed : joined(project_, typed);
  if (typed.find('\0') != std::string::npos) return problem(ErrorCode::invalid_input, typed, "a path with a NUL byte");
  struct stat info{};
  if (::fstatat(AT_FDCWD, host.c_str(), &info, prefix.follow_symlinks ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    return problem(ErrorCode::not_found, path, missing ? "no such file" : fmt::format("can't be read: {}", std::strerror(errno)), errno);
  }
  // The directory it lies in, resolved, for `canonicalize` and for the names below.
  const bool own_name = !typed.empty() && typed != "/" && !typed.ends_with("..") && !S_ISDIR(info.st_mode);
  const std::size_t slash = host.rfind('/');
  auto canonical = real_path(own_name ? host.substr(0, std::max<std::size_t>(slash, 1)) : host);
  if (own_name && prefix.follow_symlinks) canonical = real_path(host);
  if (!canonical) return problem(ErrorCode::not_found, path, fmt::format("can't be read: {}", std::strerror(errno)), errno);
  if (own_name && !prefix.follow_symlinks) canonical = joined(*canonical, host.substr(slash + 1));
  if (lies_in_own(*canonical))
    return problem(ErrorCode::invalid_input, path, "lies in casemate's own cache or state, which no layer is made of");
  if (S_ISDIR(info.st_mode)) {
    Walk walk{.prefix = prefix};
    return enter(walk, AT_FDCWD, host, typed, *canonical, 0, true);
  }
  ListedFile file{.mode = info.st_mode & 0777, .source = *canonical, .stamp = stamp_of(info), .modified = nanoseconds(info.st_mtim)};
  if (S_ISLNK(info.st_mode)) {
    const auto target = read_link_beneath(AT_FDCWD, host);
    if (!target) return problem(ErrorCode::not_found, path, fmt::format("can't be read: {}", std::strerror(target.error())));
    file.type = ListedFile::Type::symlink;
    file.target = *target;
  } else if (!S_ISREG(info.st_mode)) {
    return problem(ErrorCode::invalid_input, path, "is neither file, directory nor symlink");
  }
  return add(std::move(file), typed, *canonical, prefix);
}

Result<void> FileList::enter(Walk& walk, int parent, const std::string& name, const std::string& typed, const std::string& canonical,
                             int depth, bool wanted) {
  if (depth > kDeepest) return problem(ErrorCode::invalid_input, typed, fmt::format("more than {} directories deep", kDeepest));
  const int follow = walk.prefix.follow_symlinks || depth == 0 ? 0 : O_NOFOLLOW;
  const int raw = ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow);
  if (raw < 0 && depth > 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return {};  // gone meanwhile
  if (raw < 0)
    return problem(ErrorCode::refused, typed, fmt::format("the directory can't be read: {}; exclude it", std::strerror(errno)), errno);
  const UniqueFd directory(raw);
  struct stat info{};
  if (::fstat(directory.get(), &info) < 0) return fail_errno("look at " + printable_line(typed));
  const std::pair id(info.st_dev, info.st_ino);
  if (is_own(info) || std::find(walk.above.begin(), walk.above.end(), id) != walk.above.end()) return {};
  if (wanted) {
    ListedFile self{.type = ListedFile::Type::directory, .mode = info.st_mode & 01777, .modified = nanoseconds(info.st_mtim)};
    TRY(add(std::move(self), typed, canonical, walk.prefix));
  }
  walk.above.push_back(id);
  auto done = this->walk(walk, directory.get(), typed, canonical, depth);
  walk.above.pop_back();
  return done;
}

Result<void> FileList::walk(Walk& walk, int directory, const std::string& typed, const std::string& canonical, int depth) {
  DirectoryReader reader(directory);
  for (;;) {
    const auto entry = reader.next();
    if (!entry) return problem(ErrorCode::refused, typed, fmt::format("can't be listed: {}", std::strerror(entry.error())), entry.error());
    if (!*entry) return {};
    TRY(walk_entry(walk, directory, std::string((*entry)->name), (*entry)->type, typed, canonical, depth));
  }
}

Result<void> FileList::walk_entry(Walk& walk, int directory, const std::string& name, unsigned char type, const std::string& typed,
                                  const std::string& canonical, int depth) {
  const std::string path = joined(typed, name);
  const bool wanted = !walk.pattern || walk.pattern->matches(path);
  struct stat info{};
  const bool look = type == DT_UNKNOWN || (type == DT_LNK && walk.prefix.follow_symlinks) || (wanted && type != DT_DIR);
  if (type != DT_DIR && !look) return {};
  if (walk.excluded(path)) return {};
  if (look) {
    int result = ::fstatat(directory, name.c_str(), &info, (walk.prefix.follow_symlinks ? 0 : AT_SYMLINK_NOFOLLOW) | AT_NO_AUTOMOUNT);
    // A link that leads nowhere stays one.
    if (result < 0 && walk.prefix.follow_symlinks) result = ::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW);
    if (result < 0) {
      if (errno == ENOENT) return {};
      return problem(ErrorCode::refused, path, fmt::format("can't be looked at: {}", std::strerror(errno)), errno);
    }
  }
  const bool followed = type == DT_LNK && walk.prefix.follow_symlinks;
  std::string resolved = joined(canonical, name);
  if (followed) resolved = real_path(resolved).value_or(resolved);
  if (type == DT_DIR || S_ISDIR(info.st_mode)) {
    if (wanted && !walk.wants_below(path, name)) {
      if (name == ".git" && !walk.enter_git) return {};
      ListedFile self{.type = ListedFile::Type::directory, .mode = 0755};
      if (::fstatat(directory, name.c_str(), &info, 0) == 0) {
        if (is_own(info)) return {};
        self.mode = info.st_mode & 01777;
        self.modified = nanoseconds(info.st_mtim);
      }
      return add(std::move(self), path, resolved, walk.prefix);
    }
    return walk.wants_below(path, name) ? enter(walk, directory, name, path, resolved, depth + 1, wanted) : Result<void>();
  }
  if (!wanted) return {};
  ListedFile file{.mode = info.st_mode & 0777, .stamp = stamp_of(info), .modified = nanoseconds(info.st_mtim)};
  if (S_ISLNK(info.st_mode)) {
    const auto target = read_link_beneath(directory, name);
    if (!target) return {};  // gone meanwhile
    file.type = ListedFile::Type::symlink;
    file.target = *target;
  } else if (!S_ISREG(info.st_mode)) {
    return {};
  } else {
    file.source = resolved;
  }
  return add(std::move(file), path, resolved, walk.prefix);
}

Result<void> FileList::add_stub(const std::string& path) {
  const bool directory = path.ends_with('/');
  ListedFile file{.type = directory ? ListedFile::Type::directory : ListedFile::Type::file, .mode = directory ? 0755u : 0644u};
  return add(std::move(file), path, path, {});
}

Result<void> FileList::add_symlink(const std::string& path, const std::string& target) {
  if (target.empty() || target.size() > kLongestPath || target.find('\0') != std::string::npos)
    return problem(ErrorCode::invalid_input, path, "a symlink's target has 1 to 4,095 bytes and no NUL");
  return add({.type = ListedFile::Type::symlink, .mode = 0777, .target = target}, path, path, {});
}

Result<std::vector<ListedFile>> FileList::finish(MergedRoot& below) && {
  using Type = ListedFile::Type;
  for (ListedFile& file : files_) {
    if (file.path.find('\0') != std::string::npos) return problem(ErrorCode::invalid_input, file.path, "a path with a NUL byte");
    if (!file.source.empty() && is_of_kernel(file.path))
      return problem(ErrorCode::invalid_input, file.path, "can't lie there: a cell has a /dev, /proc and /sys of its own");
    if (file.type == Type::directory) {
      file.path = below.resolve(file.path);
      continue;
    }
    const std::size_t slash = file.path.rfind('/');
    if (slash == std::string::npos) continue;
    const std::string parent = below.resolve(file.path.substr(0, slash));
    file.path = joined(parent, std::string_view(file.path).substr(slash + 1));
  }
  std::erase_if(files_, [](const ListedFile& file) { return file.path.empty(); });
  std::stable_sort(files_.begin(), files_.end(), [](const ListedFile& a, const ListedFile& b) { return a.path < b.path; });
  std::vector<ListedFile> once;
  once.reserve(files_.size());
  for (ListedFile& file : files_) {
    if (once.empty() || once.back().path != file.path) {
      once.push_back(std::move(file));
      continue;
    }
    if ((once.back().type == Type::directory) != (file.type == Type::directory))
      return problem(ErrorCode::invalid_input, file.path, "would be a file and a directory");
    once.back() = std::move(file);
  }
  std::unordered_map<std::string_view, Type> known;
  for (const ListedFile& file : once) known.emplace(file.path, file.type);
  std::vector<ListedFile> missing;
  std::unordered_set<std::string> made;
  std::string last;
  for (const ListedFile& file : once) {
    for (std::string parent = parent_of(file.path); !parent.empty() && parent != last; parent = parent_of(parent)) {
      const auto found = known.find(parent);
      if (found != known.end() && found->second != Type::directory)
        return problem(ErrorCode::invalid_input, parent,
                       fmt::format("would be a file and, for {}, a directory", printable_line(file.path)));
      if (found != known.end() || !made.insert(parent).second) break;
      missing.push_back({.path = parent, .type = Type::directory, .mode = 0755});
    }
    last = parent_of(file.path);
  }
  known.clear();
  std::move(missing.begin(), missing.end(), std::back_inserter(once));
  std::sort(once.begin(), once.end(), [](const ListedFile& a, const ListedFile& b) { return a.path < b.path; });
  for (ListedFile& file : once) {
    if (file.type != Type::directory) continue;
    const MergedRoot::Place& place = below.at(file.path);
    if (place.kind == MergedRoot::Place::Kind::directory) file.mode = place.mode;
  }
  return once;
}

}  // namespace casemate
