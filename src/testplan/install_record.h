// install_record: what is known of an installation that was made, kept in the store beside its layer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "store/store.h"
#include "testplan/models.h"

namespace casemate {

/// What verification said, and how it came about; or, of a detection, which request was found.
struct InstallRecord {
  std::string strategy;
  std::vector<std::string> packages;
  std::string source;
  std::string version;
  std::vector<std::string> notes;
  std::string log;
};

/// What the root of a job is made of, as text for keys: equal texts, equal roots. A directory that isn't the store's counts as it is now,
/// by its inode and ctime.
[[nodiscard]] std::string root_identity(const Job& base, const Store* store);

/// The record of a key (64 hex digits); nullopt: none, or a damaged one.
std::optional<InstallRecord> find_record(Store& store, const std::string& key);
/// Keeps it, unless there is one.
Result<void> keep_record(Store& store, const std::string& key, const std::string& description, const InstallRecord& record);
/// Forgets it, where nobody reads it just now.
void drop_record(Store& store, const std::string& key);

}  // namespace casemate
