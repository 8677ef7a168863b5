// result_cache: results of jobs that said they are deterministic, by the digest of what they were (an Action's), as entries of the store.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "action/blob.h"
#include "casemate/outcome.h"
#include "casemate/result.h"
#include "store/store.h"

namespace casemate {

/// A result that was kept.
struct KeptResult {
  JobResult result;       ///< as it was then, its resources too
  std::int64_t made = 0;  ///< Unix seconds
};

/// Why a result is none to keep, in words; "" if it is: only `exited 0` is, with nothing left behind, all output there and all changed
/// files delivered.
[[nodiscard]] std::string why_not_kept(const JobResult& result);

/// An entry is a layer of the store (store/store.h): published whole or not at all, by one of those who make it at once, leased while it is
/// read, evicted like others, shown by `casemate cache list`.
class ResultCache {
 public:
  /// `store` must live as long.
  explicit ResultCache(Store& store) : store_(store) {}

  /// The result of this action. What it changed is brought to `collect_to` (Job::collect_to; "": it is only listed) by the rules of
  /// engine/collect.h, so that `collect_error` and reasons are of now. An entry that is not what was kept is removed, and counts as none.
  Result<std::optional<KeptResult>> find(const BlobDigest& action, const std::string& collect_to);
  /// Keeps a result with the files that lie in `collect_to`, as they were delivered. invalid_input: why_not_kept() says why;
  /// `corrupt`: somebody has changed a file there since; exhausted: they take more than a quarter of the store. `description` is for
  /// people.
  Result<void> keep(const BlobDigest& action, const JobResult& result, const std::string& collect_to, std::string_view description);
  /// Whether there is one; nothing is touched.
  [[nodiscard]] bool has(const BlobDigest& action) const;

 private:
  Store& store_;
};

}  // namespace casemate
