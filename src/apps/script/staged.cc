#include "apps/script/staged.h"

#include <climits>
#include <cstdlib>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "image/staging.h"

namespace casemate {
namespace {

// The requirements file is read where it lies, for the files it may name with -r and -c. /dev/null, a common way to say "none", becomes an
// empty file.
Result<std::string> usable_requirements(const std::string& path, const std::string& directory) {
  constexpr std::string_view kOption = "--reqs";
  const int raw = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (raw < 0) return fail_named_file(kOption, path, errno);
  const UniqueFd fd(raw);
  struct stat info{};
  if (::fstat(fd.get(), &info) < 0) return fail_named_file(kOption, path, errno);
  if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3)) {
    std::string empty = directory + "/requirements.txt";
    TRY(open_file(empty, O_WRONLY | O_CREAT | O_EXCL, 0644));
    return empty;
  }
  if (S_ISDIR(info.st_mode)) return fail_named_file(ErrorCode::not_found, kOption, path, "is a directory, not a file");
  if (!S_ISREG(info.st_mode)) return fail_named_file(ErrorCode::not_found, kOption, path, "is not a regular file");
  char real[PATH_MAX];
  if (!::realpath(path.c_str(), real)) return fail_named_file(kOption, path, errno);
  return std::string(real);
}

}  // namespace

Result<Staged> stage_files(const ScriptRequest& request, const std::string& directory) {
  TRY_ASSIGN(Staging staging, Staging::create(directory + "/app", "/app"));
  Staged staged;
  staged.directory = staging.directory();
  TRY_ASSIGN(staged.script, staging.add("--script", request.script, false));
  TRY_ASSIGN(staged.requirements, usable_requirements(request.requirements, directory));
  for (const std::string& input : request.inputs) TRY(staging.add("--inputs", input, true));
  staged.skipped = staging.take_skipped();
  return staged;
}

}  // namespace casemate
