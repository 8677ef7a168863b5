#include "image/layer_writer.h"

#include <cerrno>
#include <climits>
#include <cstring>
#include <limits>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::size_t kDirectoryBytes = 64u << 20;  // of the names of all directories, which are remembered to the end
constexpr unsigned kKeptMode = 01777;

std::string shown(const LayerPath& path) { return printable_line(to_string(path)); }

// A system call about an entry failed. What only says that the name is unfit is the layer's fault.
std::unexpected<Error> failed(std::string_view what, const LayerPath& path, int error) {
  ErrorCode code = ErrorCode::system;
  if (error == ENOSPC || error == EDQUOT || error == ENOMEM || error == EMFILE || error == ENFILE) code = ErrorCode::exhausted;
  if (error == ENAMETOOLONG || error == EINVAL || error == EMLINK || error == EFBIG) code = ErrorCode::refused;
  return fail(code, fmt::format("can't {} '{}' of the layer: {}", what, shown(path), std::strerror(error)), error);
}

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == ::makedev(0, 0); }

bool valid_owner(std::int64_t id) { return id >= 0 && id < std::numeric_limits<std::uint32_t>::max(); }

}  // namespace

std::string to_string(const LayerPath& path) {
  std::string text;
  for (const std::string& part : path) (text += text.empty() ? "" : "/") += part;
  return text.empty() ? "." : text;
}

Result<LayerPath> parse_layer_path(std::string_view name, std::size_t depth, std::size_t bytes) {
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::refused, fmt::format("the layer has a path that {}: '{}'", why, printable_line(name)));
  };
  LayerPath path;
  std::size_t length = 0;
  for (std::string_view left = name; !left.empty();) {
    const std::size_t slash = left.find('/');
    const std::string_view part = left.substr(0, slash);
    left.remove_prefix(slash == std::string_view::npos ? left.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") return refuse("leads upwards");
    if (part.size() > NAME_MAX) return refuse("has a part of more than 255 bytes");
    if (path.size() >= depth) return refuse(fmt::format("is more than {} directories deep", depth));
    length += part.size() + 1;
    if (length > bytes + 1) return refuse(fmt::format("is longer than {} bytes", bytes));
    path.emplace_back(part);
  }
  return path;
}

// ---- finding places

Result<int> LayerWriter::parent_of(const LayerPath& path, Missing missing) {
  if (path.size() <= 1) return top_;
  std::string text = path[0];
  for (std::size_t i = 1; i + 1 < path.size(); ++i) (text += "/") += path[i];
  if (parent_ && parent_path_ == text) return parent_.get();
  // The whole way in one call; part by part only where something is missing or amiss.
  if (auto at_once = open_beneath(top_, text, O_PATH | O_DIRECTORY)) {
    parent_ = std::move(*at_once);
  } else {
    TRY_ASSIGN(parent_, walk(path, path.size() - 1, missing));
  }
  parent_path_ = std::move(text);
  return parent_.get();
}

Result<UniqueFd> LayerWriter::walk(const LayerPath& path, std::size_t parts, Missing missing) {
  UniqueFd here;
  for (std::size_t i = 0; i < parts; ++i) {
    TRY_ASSIGN(UniqueFd next, enter_or_make(here ? here.get() : top_, path, i, missing));
    here = std::move(next);
  }
  return here;
}

Result<UniqueFd> LayerWriter::enter_or_make(int parent, const LayerPath& path, std::size_t index, Missing missing) {
  const std::string& name = path[index];
  const LayerPath place(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(index) + 1);
  auto entered = open_beneath(parent, name, O_PATH | O_DIRECTORY);
  if (entered) return std::move(*entered);
  const auto info = stat_beneath(parent, name);
  if (!info && info.error() != ENOENT) return failed("look at", place, info.error());
  if (info && S_ISDIR(info->st_mode)) return failed("open", place, entered.error());
  if (info && S_ISLNK(info->st_mode))
    return fail(ErrorCode::refused, fmt::format("'{}' of the layer lies behind the symlink '{}'", shown(path), shown(place)));
  if (missing == Missing::fail || (info && !is_whiteout(*info)))
    return fail(ErrorCode::corrupt, fmt::format("'{}' of the layer lies below '{}', which is no directory", shown(path), shown(place)));
  TRY(remember(to_string(place), Directory{}));
  return make_directory(parent, path, index, info.has_value());
}

// Makes path[index], in place of a whiteout if there is one: then it hides all that the layers below have there.
Result<UniqueFd> LayerWriter::make_directory(int parent, const LayerPath& path, std::size_t index, bool over_whiteout) {
  const std::string& name = path[index];
  if (over_whiteout && ::unlinkat(parent, name.c_str(), 0) < 0) return failed("replace", path, errno);
  if (::mkdirat(parent, name.c_str(), 0700) < 0) return failed("make the directory", path, errno);
  auto made = open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
  if (!made) return failed("open", path, made.error());
  if (over_whiteout) TRY(set_opaque(made->get(), shown(path)));
  return std::move(*made);
}

// Removes what has the name of a new entry that is no directory.
Result<void> LayerWriter::make_room(int parent, const LayerPath& path) {
  if (::unlinkat(parent, path.back().c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return failed("replace", path, errno);
  const std::string text = to_string(path);
  forget_below(text);
  parent_.reset();  // it may be in what is removed; `parent` is not used below
  parent_path_.clear();
  LayerPath above = path;
  above.pop_back();
  UniqueFd holder;
  if (!above.empty()) {
    TRY_ASSIGN(holder, walk(above, above.size(), Missing::fail));
  }
  return remove_tree_at(holder ? holder.get() : top_, path.back());
}

// ---- entries

Result<void> LayerWriter::directory(const LayerPath& path, const EntryAttributes& attributes) {
  const Directory wanted{.mode = attributes.mode & kKeptMode, .modified = attributes.modified, .owner = attributes.owner, .implied = false};
  TRY(remember(path.empty() ? "" : to_string(path), wanted));
  if (path.empty()) {
    apply_xattrs(top_, attributes.xattrs);
    return {};
  }
  TRY_ASSIGN(const int parent, parent_of(path, Missing::make));
  const auto info = stat_beneath(parent, path.back());
  if (!info && info.error() != ENOENT) return failed("look at", path, info.error());
  UniqueFd made;
  if (info && S_ISDIR(info->st_mode)) {
    auto opened = open_beneath(parent, path.back(), O_RDONLY | O_DIRECTORY);
    if (!opened) return failed("open", path, opened.error());
    made = std::move(*opened);
  } else {
    const bool over_whiteout = info && is_whiteout(*info);
    if (info && !over_whiteout) TRY(make_room(parent, path));
    TRY_ASSIGN(made, make_directory(parent, path, path.size() - 1, over_whiteout));
  }
  apply_xattrs(made.get(), attributes.xattrs);
  return {};
}

Result<UniqueFd> LayerWriter::file(const LayerPath& path) {
  if (path.empty()) return fail(ErrorCode::refused, "the layer has a file in place of its root");
  for (int tries = 0;; ++tries) {
    TRY_ASSIGN(const int parent, parent_of(path, Missing::make));
    auto made = make_file_beneath(parent, path.back(), 0600);
    if (made) return std::move(*made);
    if (made.error() != EEXIST || tries > 0) return failed("make", path, made.error());
    TRY(make_room(parent, path));
  }
}

Result<void> LayerWriter::close_file(UniqueFd file, const LayerPath& path, const EntryAttributes& attributes) {
  apply_xattrs(file.get(), attributes.xattrs);
  TRY(apply_owner(file.get(), shown(path), attributes.owner));
  if (::fchmod(file.get(), attributes.mode & kKeptMode) < 0) return failed("set the mode of", path, errno);
  const timespec times[] = {attributes.modified, attributes.modified};
  if (::futimens(file.get(), times) < 0) return failed("set the time of", path, errno);
  return {};
}

Result<void> LayerWriter::symlink(const LayerPath& path, const std::string& target, const EntryAttributes& attributes) {
  if (path.empty()) return fail(ErrorCode::refused, "the layer has a symlink in place of its root");
  if (target.empty() || target.size() >= PATH_MAX)
    return fail(ErrorCode::refused, fmt::format("the symlink '{}' of the layer has a target of {} bytes", shown(path), target.size()));
  TRY_ASSIGN(int parent, parent_of(path, Missing::make));
  if (::symlinkat(target.c_str(), parent, path.back().c_str()) < 0) {
    if (errno != EEXIST) return failed("make the symlink", path, errno);
    TRY(make_room(parent, path));
    TRY_ASSIGN(parent, parent_of(path, Missing::fail));
    if (::symlinkat(target.c_str(), parent, path.back().c_str()) < 0) return failed("make the symlink", path, errno);
  }
  if (attributes.owner) {
    auto link = open_beneath(parent, path.back(), O_PATH | O_NOFOLLOW);
    if (!link) return failed("open", path, link.error());
    TRY(apply_owner(link->get(), shown(path), attributes.owner));
  }
  const timespec times[] = {attributes.modified, attributes.modified};
  if (::utimensat(parent, path.back().c_str(), times, AT_SYMLINK_NOFOLLOW) < 0) return failed("set the time of", path, errno);
  return {};
}

Result<void> LayerWriter::hard_link(const LayerPath& path, const LayerPath& target) {
  if (path.empty() || target.empty()) return fail(ErrorCode::refused, "the layer has a hard link of its root");
  const auto missing = [&] {
    return fail(ErrorCode::corrupt,
                fmt::format("the hard link '{}' of the layer leads to '{}', which is no file of it", shown(path), shown(target)));
  };
  if (path == target) return missing();
  UniqueFd holder;
  if (target.size() > 1) {
    TRY_ASSIGN(holder, walk(target, target.size() - 1, Missing::fail));
  }
  const int from = holder ? holder.get() : top_;
  const auto info = stat_beneath(from, target.back());
  if (!info && info.error() != ENOENT) return failed("look at", target, info.error());
  if (!info || (!S_ISREG(info->st_mode) && !S_ISLNK(info->st_mode))) return missing();
  for (int tries = 0;; ++tries) {
    TRY_ASSIGN(const int parent, parent_of(path, Missing::make));
    if (::linkat(from, target.back().c_str(), parent, path.back().c_str(), 0) == 0) return {};
    if (errno == ENOENT) return missing();  // it was below what this entry replaced
    if (errno != EEXIST || tries > 0) return failed("make the hard link", path, errno);
    TRY(make_room(parent, path));
  }
}

Result<void> LayerWriter::whiteout(const LayerPath& path) {
  if (path.empty()) return fail(ErrorCode::refused, "the layer has a whiteout of its root");
  TRY_ASSIGN(const int parent, parent_of(path, Missing::make));
  const auto info = stat_beneath(parent, path.back());
  if (!info && info.error() != ENOENT) return failed("look at", path, info.error());
  if (info && S_ISDIR(info->st_mode)) return opaque(path);
  if (info) return {};  // of this layer, and in the way of what is below; or hidden already
  if (::mknodat(parent, path.back().c_str(), S_IFCHR, ::makedev(0, 0)) < 0) return failed("make a whiteout for", path, errno);
  return {};
}

Result<void> LayerWriter::opaque(const LayerPath& path) {
  if (path.empty()) return {};
  TRY_ASSIGN(const UniqueFd directory, walk(path, path.size(), Missing::make));
  auto readable = open_beneath(directory.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!readable) return failed("open", path, readable.error());
  return set_opaque(readable->get(), shown(path));
}

Result<void> LayerWriter::set_opaque(int fd, const std::string& name) {
  if (::fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) == 0) return {};
  const int error = errno;
  if (error == EOPNOTSUPP)
    return fail(ErrorCode::not_supported,
                fmt::format("the file system of the cache has no user xattrs, which '{}' of the layer needs: "
                            "set CASEMATE_CACHE_DIR to a directory on ext4, xfs or btrfs",
                            name),
                error);
  return fail(error == ENOSPC || error == EDQUOT ? ErrorCode::exhausted : ErrorCode::system,
              fmt::format("can't mark '{}' of the layer as opaque: {}", name, std::strerror(error)), error);
}

// ---- attributes

Result<void> LayerWriter::apply_owner(int fd, const std::string& name, const std::optional<EntryOwner>& owner) {
  if (!owner) return {};
  if (!valid_owner(owner->uid) || !valid_owner(owner->gid)) {
    ++lost_owners_;
    return {};
  }
  if (::fchownat(fd, "", static_cast<uid_t>(owner->uid), static_cast<gid_t>(owner->gid), AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0)
    return {};
  if (errno == EINVAL || errno == EOVERFLOW) {  // an id that our user namespace does not have
    ++lost_owners_;
    return {};
  }
  return fail(errno == EPERM ? ErrorCode::not_supported : ErrorCode::system,
              fmt::format("can't give '{}' of the layer the owner {}:{}: {}", name, owner->uid, owner->gid, std::strerror(errno)), errno);
}

void LayerWriter::apply_xattrs(int fd, const std::map<std::string, std::string>& xattrs) {
  for (const auto& [name, value] : xattrs) {
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) < 0) ++lost_xattrs_;
  }
}

Result<void> LayerWriter::remember(const std::string& path, const Directory& directory) {
  const auto [place, added] = directories_.try_emplace(path, directory);
  if (!added) {
    if (place->second.implied && !directory.implied) --implied_;
    if (!directory.implied) place->second = directory;
    return {};
  }
  implied_ += directory.implied ? 1 : 0;
  directory_bytes_ += path.size() + 128;
  if (directory_bytes_ > kDirectoryBytes)
    return fail(ErrorCode::refused, fmt::format("the layer has more directories than are taken ({} so far)", directories_.size()));
  return {};
}

void LayerWriter::forget_below(const std::string& path) {
  const auto drop = [&](auto from, auto to) {
    for (auto at = from; at != to; at = directories_.erase(at)) {
      implied_ -= at->second.implied ? 1 : 0;
      directory_bytes_ -= at->first.size() + 128;
    }
  };
  drop(directories_.lower_bound(path), directories_.upper_bound(path));
  drop(directories_.lower_bound(path + "/"), directories_.lower_bound(path + "0"));  // '0' follows '/'
}

Result<void> LayerWriter::finish() {
  parent_.reset();
  parent_path_.clear();
  directories_.try_emplace("", Directory{});
  // From the last name to the first: what is in a directory comes before it, and its own mode may shut us out.
  for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) {
    const std::string& name = at->first.empty() ? "." : at->first;
    const LayerPath path{name};
    const Directory& directory = at->second;
    auto opened = open_beneath(top_, name, O_RDONLY | O_DIRECTORY);
    if (!opened) return failed("open", path, opened.error());
    TRY(apply_owner(opened->get(), shown(path), directory.owner));
    // The root is also a directory of the store, whose owner has to get in.
    const unsigned mode = at->first.empty() ? directory.mode | 0700 : directory.mode;
    if (::fchmod(opened->get(), mode) < 0) return failed("set the mode of", path, errno);
    const timespec times[] = {directory.modified, directory.modified};
    if (::futimens(opened->get(), times) < 0) return failed("set the time of", path, errno);
  }
  return {};
}

}  // namespace casemate
