#include "image/environment_tree.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr int kDeepest = 256;  // levels of an environment that are linked; each holds two descriptors meanwhile

// Makes `target` a tree of links to the files of `source`, which packages wrote: symlinks are copied, none is followed. What is neither
// file, directory nor symlink is left out.
Attempt<void> link_tree(int source, int target, int depth) {
  if (depth > kDeepest) return std::unexpected(ELOOP);
  return for_each_entry(source, [&](const std::string& name, const struct stat& info) -> Attempt<void> {
    if (S_ISREG(info.st_mode)) {
      if (::linkat(source, name.c_str(), target, name.c_str(), 0) < 0) return std::unexpected(errno);
    } else if (S_ISLNK(info.st_mode)) {
      const auto link = read_link_beneath(source, name);
      if (!link) return std::unexpected(link.error());
      if (::symlinkat(link->c_str(), target, name.c_str()) < 0) return std::unexpected(errno);
    } else if (S_ISDIR(info.st_mode)) {
      const auto from = open_beneath(source, name, O_RDONLY | O_DIRECTORY);
      if (!from) return std::unexpected(from.error());
      const auto into = make_directories_beneath(target, name, 0700);
      if (!into) return std::unexpected(into.error());
      if (const auto done = link_tree(from->get(), into->get(), depth + 1); !done) return done;
      return change_mode(into->get(), info.st_mode & 0777);
    }
    return {};
  });
}

// `in_cache`: these directories are a __pycache__.
Attempt<void> move_bytecode(int source, int target, bool in_cache, int depth) {
  if (depth > kDeepest) return std::unexpected(ELOOP);
  return for_each_entry(source, [&](const std::string& name, const struct stat& info) -> Attempt<void> {
    if (S_ISREG(info.st_mode) && in_cache && name.ends_with(".pyc")) {
      if (::renameat2(source, name.c_str(), target, name.c_str(), RENAME_NOREPLACE) < 0 && errno != EEXIST) return std::unexpected(errno);
    } else if (S_ISDIR(info.st_mode) && !in_cache) {
      const bool cache = name == "__pycache__";
      const auto from = open_beneath(source, name, O_RDONLY | O_DIRECTORY);
      if (!from) return std::unexpected(from.error());
      const auto into = cache ? make_directories_beneath(target, name, 0755) : open_beneath(target, name, O_PATH | O_DIRECTORY);
      if (!into) return {};  // nothing of the environment
      return move_bytecode(from->get(), into->get(), cache, depth + 1);
    }
    return {};
  });
}

}  // namespace

Result<void> link_environment(const std::string& layer, const std::string& target) {
  TRY_ASSIGN(const UniqueFd from, open_file(layer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY_ASSIGN(const UniqueFd into, open_file(target, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  if (const auto linked = link_tree(from.get(), into.get(), 0); !linked)
    return fail(ErrorCode::refused, fmt::format("an environment's files can't be linked: {}", std::strerror(linked.error())),
                linked.error());
  return {};
}

Result<void> add_bytecode(const std::string& source, const std::string& target) {
  TRY_ASSIGN(const UniqueFd from, open_file(source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY_ASSIGN(const UniqueFd into, open_file(target, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  if (const auto moved = move_bytecode(from.get(), into.get(), false, 0); !moved)
    return fail(ErrorCode::refused, fmt::format("an environment's bytecode can't be taken over: {}", std::strerror(moved.error())),
                moved.error());
  return {};
}

}  // namespace casemate
