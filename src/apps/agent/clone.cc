#include "apps/agent/clone.h"

#include <array>

#include <fmt/format.h>

namespace casemate {
namespace {

// The clone of an URL with a password in it must not show that to the tests: no .git at all, of submodules neither.
constexpr std::string_view kClone = R"(git clone --single-branch --recurse-submodules "$@" -- "$URL" . || exit)";
constexpr std::string_view kForget = "\nfind . -name .git -prune -exec rm -rf {} +";
// What a clone that failed has left.
constexpr std::string_view kEmpty = "find . -mindepth 1 -maxdepth 1 -exec rm -rf {} + || exit\n";

constexpr std::array<std::string_view, 5> kNotShallow = {"shallow", "unadvertised object", "not our ref", "did not contain",
                                                         "remote error: upload-pack"};

bool is_about_depth(const JobResult& result) {
  if (result.outcome.kind != Outcome::Kind::exited || result.outcome.code == 0) return false;
  for (const std::string_view word : kNotShallow) {
    if (result.output.err.find(word) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

Job clone_job(const CloneRequest& request, bool shallow) {
  std::vector<std::string> arguments;
  if (shallow) arguments = {"--depth", "1", "--shallow-submodules"};
  if (!request.branch.empty()) arguments.insert(arguments.end(), {"--branch", request.branch});
  std::string script(shallow ? "" : kEmpty);
  script += kClone;
  if (request.source.secret) script += kForget;
  return git_job(request.source, request.network, script, arguments, request.directory);
}

Result<void> finish_clone(const CloneRequest& request, const JobResult& first, const RunJob& run) {
  const JobResult* result = &first;
  JobResult second;
  if (is_about_depth(first)) {
    TRY_ASSIGN(second, run(clone_job(request, false), {}));
    result = &second;
  }
  if (auto failure = git_failure(request.source, *result)) return fail(ErrorCode::refused, std::move(*failure));
  if (result->output.err.find("cloned an empty repository") != std::string::npos)
    return fail(ErrorCode::refused, fmt::format("repository {} is empty", request.source.name));
  return {};
}

}  // namespace casemate
