#include "store/place.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/fd.h"

namespace casemate {

std::unexpected<Error> Place::failure(const std::string& what, int errno_value) const {
  const std::string shown = printable_name(directory);
  if (errno_value == ENOSPC || errno_value == EDQUOT)
    return fail(ErrorCode::exhausted,
                fmt::format("no space left in {} (to {}): free some, or set {} to a directory on another disk", shown, what, variable),
                errno_value);
  if (errno_value == EACCES || errno_value == EPERM || errno_value == EROFS)
    return fail(ErrorCode::refused,
                fmt::format("can't {}: {}; set {} to a directory that you may write", what, std::strerror(errno_value), variable),
                errno_value);
  if (errno_value == ENOTDIR || errno_value == ELOOP || errno_value == ENAMETOOLONG)
    return fail(ErrorCode::invalid_input,
                fmt::format("can't {}: {}; set {} to another directory", what, std::strerror(errno_value), variable), errno_value);
  return fail_errno(what, errno_value);
}

Result<void> Place::make() const {
  struct stat info{};
  if (::stat(directory.c_str(), &info) < 0) {
    if (errno != ENOENT) return failure("look at " + printable_name(directory), errno);
    for (std::size_t end = directory.find('/', 1);; end = directory.find('/', end + 1)) {
      const std::string part = directory.substr(0, end);
      if (::mkdir(part.c_str(), 0700) < 0 && errno != EEXIST && (end == std::string::npos || errno != EISDIR))
        return failure("make the directory " + printable_name(part), errno);
      if (end == std::string::npos) break;
    }
    if (::stat(directory.c_str(), &info) < 0) return failure("look at " + printable_name(directory), errno);
  }
  const std::string shown = printable_name(directory);
  if (!S_ISDIR(info.st_mode))
    return fail(ErrorCode::invalid_input, fmt::format("{} is not a directory; set {} to another one", shown, variable));
  if (info.st_uid != ::geteuid() && info.st_uid != 0)
    return fail(ErrorCode::refused, fmt::format("{} belongs to user {}, who could change what is in it; set {} to a directory of your own",
                                                shown, info.st_uid, variable));
  if (info.st_mode & S_IWOTH)
    return fail(ErrorCode::refused, fmt::format("{} is writable for all users; 'chmod o-w' it, or set {} to another one", shown, variable));
  return {};
}

Result<std::string> absolute_path(const std::string& path) {
  std::string absolute = path;
  if (absolute.empty() || absolute[0] != '/') {
    char current[PATH_MAX];
    if (!::getcwd(current, sizeof current)) return fail_errno("find the current directory");
    absolute = fmt::format("{}/{}", current, path);
  }
  while (absolute.size() > 1 && absolute.back() == '/') absolute.pop_back();
  return absolute;
}

Result<std::vector<std::string>> upwards_from(const std::string& path) {
  TRY_ASSIGN(std::string place, absolute_path(path));
  if (const std::unique_ptr<char, void (*)(void*)> real(::realpath(place.c_str(), nullptr), &std::free); real) place = real.get();
  std::vector<std::string> places{place};
  while (place != "/") {
    place.resize(std::max<std::size_t>(place.rfind('/'), 1));
    places.push_back(place);
  }
  return places;
}

}  // namespace casemate
