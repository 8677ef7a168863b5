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

Result<std::string> make_empty(std::string path, const std::string& place) {
  TRY(remove_tree(path));
  if (::mkdir(path.c_str(), 0700) < 0) return Place{place, "--state-dir"}.failure("make the directory " + path, errno);
  return path;
}

}  // namespace

Result<TaskDirectories> TaskDirectories::open(const std::string& state_directory) {
  TRY_ASSIGN(const std::string absolute, absolute_path(state_directory));
  const Place place{absolute + "/tasks", "--state-dir"};
  TRY(place.make());
  return TaskDirectories(place.directory, absolute + "/asking");
}

std::string TaskDirectories::path(std::int64_t number) const { return fmt::format("{}/{}", directory_, number); }

Result<std::string> TaskDirectories::make(std::int64_t number) const { return make_empty(path(number), directory_); }

Result<std::string> TaskDirectories::make_asking() const { return make_empty(asking_, asking_.substr(0, asking_.rfind('/'))); }

void TaskDirectories::remove_asking() const { (void)remove_tree(asking_); }

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
