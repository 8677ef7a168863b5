#include "witness/spot_check.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/fd.h"

namespace casemate {
namespace {

std::unexpected<Error> at_step(std::string what, int problem = 0) {
  return fail(ErrorCode::system, std::move(what), problem, "compare what was sent with what is there");
}

bool same_bytes(int one, int other, std::uint64_t size) {
  std::array<char, 16u << 10> here{}, there{};
  for (std::uint64_t at = 0; at < size;) {
    const auto offset = static_cast<off_t>(at);
    const ssize_t got = ::pread(one, here.data(), here.size(), offset);
    if (got <= 0 || ::pread(other, there.data(), static_cast<std::size_t>(got), offset) != got) return false;
    if (std::memcmp(here.data(), there.data(), static_cast<std::size_t>(got)) != 0) return false;
    at += static_cast<std::uint64_t>(got);
  }
  return true;
}

// Whether `path` is the file of which `sent` is a copy. Staged as links both are one; staged by FUSE they need not be.
bool is_copy(const std::string& path, int sent) {
  const UniqueFd there(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat its{}, ours{};
  if (!there || ::fstat(there.get(), &its) < 0 || ::fstat(sent, &ours) < 0 || !S_ISREG(its.st_mode)) return false;
  if (its.st_dev == ours.st_dev && its.st_ino == ours.st_ino) return true;
  if (its.st_size != ours.st_size) return false;
  const auto size = static_cast<std::uint64_t>(ours.st_size);
  return size > kMostCompared || same_bytes(there.get(), sent, size);
}

std::string hidden(const WitnessOrder& order, const std::string& path) {
  char directory[PATH_MAX];
  const bool at_root = ::getcwd(directory, sizeof directory) && std::string_view(directory) == "/";
  const std::string file = printable_name(path);
  if (order.image && !at_root)
    return fmt::format(
        "{} is not the image's: the engine's workers run actions in a directory of theirs, which an image can't be the root "
        "of; take --remote-image property, if the engine runs containers, or the workers' own files (image host)",
        file);
  return fmt::format("{} is not what was sent: the engine's workers have something of their own there; {}", file,
                     order.image ? "start them without binds over the image (buildbox: without --runner-arg=--ro-bind-mount=...), or take "
                                   "their own files (image host)"
                                 : "start them without binds at that place, or take another place");
}

}  // namespace

Result<void> check_spots(const WitnessOrder& order) {
  for (std::size_t i = 0; i < order.spot_checks.size(); ++i) {
    const std::string copy = fmt::format("{}/{}", kActionSpots, i);
    const UniqueFd sent(::open(copy.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!sent) return at_step(copy + " is missing", errno);
    if (!is_copy(order.spot_checks[i], sent.get())) return at_step(hidden(order, order.spot_checks[i]));
  }
  return {};
}

}  // namespace casemate
