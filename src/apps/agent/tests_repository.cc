#include "apps/agent/tests_repository.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/digest.h"

namespace casemate {
namespace {

constexpr std::string_view kDescription = "tests of the agent: ";
constexpr std::size_t kTreesKept = 8;

// The commit alone where the server lets us ask for one, else all branches and tags. The tree is shown to students' code: an URL may have a
// password in it, so .git does not stay.
constexpr const char* kFetch = R"(git init -q . && git remote add origin "$URL" || exit
asking fetch -q --depth 1 origin "$1" 2>/dev/null ||
  asking fetch -q --tags origin '+refs/heads/*:refs/remotes/origin/*' || exit
git checkout -q --detach "$1" || exit
git submodule -q update --init --recursive --depth 1 2>/dev/null || git submodule -q update --init --recursive || exit
find . -name .git -prune -exec rm -rf {} +)";

void forget_old_trees(Store& store) {
  auto entries = store.entries();
  if (!entries) return;  // the store's own bound holds anyway
  std::erase_if(*entries, [](const StoreEntry& entry) { return entry.in_use || !entry.description.starts_with(kDescription); });
  std::sort(entries->begin(), entries->end(), [](const StoreEntry& a, const StoreEntry& b) { return a.last_used > b.last_used; });
  for (std::size_t i = kTreesKept; i < entries->size(); ++i) (void)store.remove((*entries)[i].key);
}

}  // namespace

Job revision_job(const TestsRequest& request) {
  std::vector<std::string> patterns = {"HEAD"};
  if (const std::string& name = request.revision; !name.empty())
    patterns = {name, "refs/heads/" + name, "refs/tags/" + name, "refs/tags/" + name + "^{}"};
  Job job = git_job(request.source, request.network, std::string(kAsking) + R"(asking ls-remote -q -- "$URL" "$@")", patterns, "");
  show_credentials(job, request.source, request.credentials);
  return job;
}

std::string commit_in_listing(std::string_view listing, std::string_view revision) {
  std::map<std::string, std::string, std::less<>> refs;
  while (!listing.empty()) {
    const auto end = std::min(listing.find('\n'), listing.size());
    const std::string_view line = listing.substr(0, end);
    listing.remove_prefix(std::min(end + 1, listing.size()));
    const auto tab = line.find('\t');
    if (tab != std::string_view::npos && is_commit(line.substr(0, tab))) refs.emplace(line.substr(tab + 1), line.substr(0, tab));
  }
  if (revision.empty()) revision = "HEAD";
  for (const std::string& name : {fmt::format("refs/heads/{}", revision), fmt::format("refs/tags/{}^{{}}", revision),
                                  fmt::format("refs/tags/{}", revision), std::string(revision)}) {
    if (const auto found = refs.find(name); found != refs.end()) return found->second;
  }
  return "";
}

Result<std::string> commit_of(const TestsRequest& request, const JobResult& result) {
  if (auto failure = git_failure(request.source, result, request.network)) return std::unexpected(std::move(*failure));
  std::string commit = commit_in_listing(result.output.out, request.revision);
  if (!commit.empty()) return commit;
  if (request.revision.empty()) return fail(ErrorCode::not_found, fmt::format("{} has no commits", request.source.name));
  return fail(ErrorCode::not_found, fmt::format("{} has no branch or tag '{}'", request.source.name, request.revision));
}

Result<TestsTree> tests_tree(const TestsRequest& request, const std::string& commit, Store& store, const RunJob& run) {
  const std::string& of = request.source.host_path.empty() ? request.source.url : request.source.host_path;
  const std::string key = sha256_hex(fmt::format("casemate agent's tests 1\n{}\n{}\n", of, commit));
  TestsTree tree;
  TRY_ASSIGN(auto there, store.layer(key));
  if (there) {
    tree.lease = std::move(*there);
    tree.cached = true;
    return tree;
  }
  const auto fill = [&](const std::string& directory) -> Result<void> {
    Job job = git_job(request.source, request.network, std::string(kAsking) + kFetch, {commit}, directory);
    show_credentials(job, request.source, request.credentials);
    TRY_ASSIGN(const JobResult result, run(std::move(job), {}));
    if (result.outcome.kind == Outcome::Kind::cancelled) return fail(ErrorCode::cancelled, "fetching the tests was stopped");
    if (auto failure = git_failure(request.source, result, request.network)) return std::unexpected(std::move(*failure));
    return {};
  };
  const std::string description = fmt::format("{}{} at {}", kDescription, request.source.name, commit.substr(0, 12));
  bool created = false;
  TRY_ASSIGN(tree.lease, store.make_layer(key, description, fill, &created));
  tree.cached = !created;  // another worker may have been at it
  if (created) forget_old_trees(store);
  return tree;
}

}  // namespace casemate
