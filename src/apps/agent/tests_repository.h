// tests_repository: the tests' own repository, as trees by commit in the store. Which commit it is is asked each time, so a tree is never
// stale; a tree that is there is never fetched again.
#pragma once

#include <string>
#include <string_view>

#include "apps/agent/git_cell.h"
#include "casemate/job.h"
#include "casemate/result.h"
#include "image/installer.h"
#include "store/store.h"

namespace casemate {

/// Which tests.
struct TestsRequest {
  GitSource source;
  std::string revision;  ///< branch, tag or full commit id; "": HEAD
  Network network = Network::outbound;
  std::string credentials;  ///< file of --clone-credentials, not for submodules; "": none
};

/// The job that asks which commit the revision is (git-ls-remote(1)).
[[nodiscard]] Job revision_job(const TestsRequest& request);
/// Its answer. As git_failure(); not_found also: there is no such branch or tag. A branch wins over a tag of the same name, as with git
/// clone --branch.
Result<std::string> commit_of(const TestsRequest& request, const JobResult& result);
/// The commit in what git ls-remote printed; "": none.
[[nodiscard]] std::string commit_in_listing(std::string_view listing, std::string_view revision);

/// A tree of tests, read-only, without .git; kept from eviction while this lives.
struct TestsTree {
  StoreLease lease;
  bool cached = false;
};

/// The tree of a commit, submodules with it: from the store, else fetched by git in a cell. Past eight trees that nobody uses the least
/// recently used go. As git_failure() and Store::make_layer().
Result<TestsTree> tests_tree(const TestsRequest& request, const std::string& commit, Store& store, const RunJob& run);

}  // namespace casemate
