// artifact_files: bytes that runs of plans left, each once, in a file that is named by its digest.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "store/lock.h"
#include "store/place.h"

namespace casemate {

/// Files DIRECTORY/plans/<two hex digits>/<the other 62>. Who keeps something holds a shared lock until it is named in the database
/// (let_go()), and only who holds it exclusively removes: so nothing goes between the two. One thread at a time; several processes.
class ArtifactFiles {
 public:
  static Result<ArtifactFiles> open(const Place& place);
  /// Writes the bytes unless they are there, and gives their "sha256:<hex>". They are on disk when it returns.
  Result<std::string> keep(std::string_view bytes);
  /// A digest is named now: once all that was kept is, others may remove.
  void let_go(const std::string& digest);
  /// What was kept and isn't named never will be.
  void let_go_all();
  /// not_found for what is not there, corrupt for what is not what its name says, invalid_input for what is no digest.
  Result<std::string> read(const std::string& digest) const;
  /// Removes all files that are not `named` (digests), and what killed writers left. False: somebody is keeping something, nothing was
  /// removed.
  Result<bool> remove_others(const std::set<std::string>& named);

 private:
  ArtifactFiles(Place place, LockFile lock) : place_(std::move(place)), lock_(std::move(lock)) {}
  [[nodiscard]] Result<void> write(const std::string& directory, const std::string& path, std::string_view bytes) const;
  Place place_;  ///< DIRECTORY/plans
  LockFile lock_;
  std::set<std::string> kept_;  ///< and not named yet; not empty: the lock is held
};

}  // namespace casemate
