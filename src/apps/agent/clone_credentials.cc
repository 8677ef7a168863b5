#include "apps/agent/clone_credentials.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/agent/git_cell.h"
#include "image/reference.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostBytes = 1u << 20;
constexpr mode_t kOthers = 0007;
constexpr mode_t kGroup = 0070;
constexpr mode_t kGroupWrites = 0020;

// "https://grader:secret@git.example.org", as git's credential_from_url_gently() wants it.
bool is_credential(std::string_view line) {
  const std::string_view authority = authority_of(line);
  const auto at = authority.rfind('@');
  return !line.starts_with("://") && at != std::string_view::npos && at + 1 < authority.size() && authority.find(':') < at;
}

Result<void> check_owner(const struct stat& file, const std::string& path) {
  if (!S_ISREG(file.st_mode)) return fail(ErrorCode::invalid_input, fmt::format("{} is no regular file", in_quotes(path)));
  const uid_t me = ::geteuid();
  if (file.st_uid != me && file.st_uid != 0)
    return fail(ErrorCode::invalid_input,
                fmt::format("{} belongs to user {}: it must be the agent's own (chown {})", in_quotes(path), file.st_uid, me));
  const mode_t closed = file.st_uid == me ? kOthers | kGroup : kOthers | kGroupWrites;
  if ((file.st_mode & closed) != 0)
    return fail(ErrorCode::invalid_input,
                fmt::format("{} is open to other users (mode {:04o}): chmod 600 it", in_quotes(path), file.st_mode & 07777));
  return {};
}

}  // namespace

Result<std::string> check_clone_credentials(const std::string& path) {
  const auto wrong = [](const Error& error) {
    return fail(ErrorCode::invalid_input, fmt::format("argument --clone-credentials: {}", error.what));
  };
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (!real) return wrong(fail_errno("find " + in_quotes(path)).error());
  auto text = read_file(real.get(), kMostBytes);
  if (!text) return wrong(text.error());
  struct stat file{};
  if (::stat(real.get(), &file) < 0) return wrong(fail_errno("look at " + in_quotes(path)).error());
  if (auto mine = check_owner(file, path); !mine) return wrong(mine.error());
  std::size_t number = 0;
  bool any = false;
  for (std::string_view rest = *text; !rest.empty();) {
    const auto end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.empty() || line.starts_with("#")) continue;  // git passes over what it does not understand
    if (!is_credential(line))
      return wrong(Error{
          ErrorCode::invalid_input,
          fmt::format("line {} of {} is no URL with a user and a password (https://USER:PASSWORD@HOST)", number, in_quotes(path)), 0, ""});
    any = true;
  }
  if (!any) return wrong(Error{ErrorCode::invalid_input, fmt::format("{} is empty", in_quotes(path)), 0, ""});
  return std::string(real.get());
}

}  // namespace casemate
