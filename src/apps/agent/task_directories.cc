#include "apps/agent/task_directories.h"

#include <cerrno>
#include <charconv>
#include <functional>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/place.h"
#include "store/tree.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kLeastRoom = 256u << 10;  // what an ordinary task's files take

}  // namespace

Result<TaskDirectories> TaskDirectories::open(const std::string& state_directory) {
  TRY_ASSIGN(const std::string absolute, absolute_path(state_directory));
  const Place place{absolute + "/tasks", "--state-dir"};
  TRY(place.make());
  return TaskDirectories(place.directory);
}

std::string TaskDirectories::path(std::int64_t number) const { return fmt::format("{}/{}", directory_, number); }

Result<std::string> TaskDirectories::make(std::int64_t number) const {
  std::string made = path(number);
  TRY(remove_tree(made));
  if (::mkdir(made.c_str(), 0700) < 0) return Place{directory_, "--state-dir"}.failure("make the directory " + made, errno);
  return made;
}

Result<void> TaskDirectories::check_room() const {
  const std::string path = directory_ + "/room";
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  auto wrote = file ? write_all(file.get(), std::string(kLeastRoom, 'x')) : fail_errno("make " + path);
  ::unlink(path.c_str());
  if (!wrote) return Place{directory_, "--state-dir"}.failure("write below " + directory_, wrote.error().errno_value);
  return {};
}

Result<void> TaskDirectories::prune(std::size_t keep, const std::set<std::int64_t>& in_use) const {
  std::set<std::int64_t, std::greater<>> numbers;
  DIR* opened = ::opendir(directory_.c_str());
  if (!opened) return Place{directory_, "--state-dir"}.failure("read the directory " + directory_, errno);
  while (const dirent* entry = ::readdir(opened)) {
    const std::string_view name = entry->d_name;
    std::int64_t number = 0;
    const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (problem == std::errc() && end == name.data() + name.size()) numbers.insert(number);
  }
  ::closedir(opened);
  Result<void> pruned;
  for (const std::int64_t number : numbers) {
    if (keep > 0)
      --keep;
    else if (!in_use.contains(number))
      if (auto removed = remove_tree(path(number)); !removed) pruned = std::move(removed);
  }
  return pruned;
}

}  // namespace casemate
