#include "apps/agent/clone.h"

#include <array>

#include <fmt/format.h>

namespace casemate {
namespace {

// Of what git writes to stdout (names of submodules are somebody's) only the commit is wanted; an empty repository has none.
constexpr std::string_view kClone = R"(git clone --single-branch --recurse-submodules "$@" -- "$URL" . >/dev/null || exit
git rev-parse --quiet --verify 'HEAD^{commit}' || :)";
// For a repository whose server wants credentials: what of submodules there is comes later.
constexpr std::string_view kAlone = R"(asking clone --single-branch "$@" -- "$URL" . >/dev/null || exit
git rev-parse --quiet --verify 'HEAD^{commit}' || :
[ ! -e .gitmodules ] || { echo submodules; exit; })";
constexpr std::string_view kSubmodules =
    R"(git submodule -q update --init --recursive --depth 1 2>/dev/null || git submodule -q update --init --recursive || exit)";
// The clone of an URL with a password in it must not show that to the tests: no .git at all, of submodules neither.
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

// In a cell without credentials: the student says where submodules are, and another student's repository is no business of theirs.
Result<void> get_submodules(const CloneRequest& request, const RunJob& run) {
  std::string script(kSubmodules);
  if (request.source.secret) script += kForget;
  auto result = run(git_job(request.source, request.network, script, {}, request.directory), {});
  if (!result) return fail(ErrorCode::system, std::move(result.error().what), result.error().errno_value);
  if (auto failure = git_failure(request.source, *result, request.network)) return std::unexpected(std::move(*failure));
  return {};
}

}  // namespace

Job clone_job(const CloneRequest& request, bool shallow) {
  std::vector<std::string> arguments;
  if (shallow) arguments = {"--depth", "1", "--shallow-submodules"};
  if (!request.branch.empty()) arguments.insert(arguments.end(), {"--branch", request.branch});
  std::string script(shallow ? "" : kEmpty);
  if (request.credentials.empty())
    script += kClone;
  else
    script.append(kAsking).append(kAlone);
  if (request.source.secret) script += kForget;
  Job job = git_job(request.source, request.network, script, arguments, request.directory);
  show_credentials(job, request.source, request.credentials);
  return job;
}

Result<std::string> finish_clone(const CloneRequest& request, const JobResult& first, const RunJob& run) {
  const JobResult* result = &first;
  JobResult second;
  if (is_about_depth(first)) {
    auto whole = run(clone_job(request, false), {});
    if (!whole) return fail(ErrorCode::system, std::move(whole.error().what), whole.error().errno_value);
    second = std::move(*whole);
    result = &second;
  }
  if (auto failure = git_failure(request.source, *result, request.network)) return std::unexpected(std::move(*failure));
  if (result->output.err.find("cloned an empty repository") != std::string::npos)
    return fail(ErrorCode::refused, fmt::format("repository {} is empty", request.source.name));
  const std::string& said = result->output.out;
  std::string commit = said.substr(0, said.find('\n'));
  if (!is_commit(commit))
    return fail(ErrorCode::refused, fmt::format("repository {} has no commit where its HEAD points", request.source.name));
  if (!request.credentials.empty() && said.size() > commit.size() + 1) TRY(get_submodules(request, run));
  return commit;
}

}  // namespace casemate
