// kept_passes: tests that have passed with certain inputs, in the store: what `casemate pytest --cache` does not run again.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/events.h"
#include "store/hints.h"

namespace casemate {

/// What is kept of a pass.
struct KeptPass {
  std::chrono::microseconds duration{0};  ///< TestResult::duration
  std::int64_t made = 0;                  ///< Unix seconds
  std::vector<TestWarning> warnings;
  std::vector<std::pair<std::string, std::string>> properties;

  bool operator==(const KeptPass&) const = default;
};

/// By test, as whoever keeps them calls it.
using PassesByTest = std::map<std::string, KeptPass, std::less<>>;

/// A file for each digest of inputs below `<store>/tests`, at most 256 of them and 256 MiB: those that were not used for longest go. A file
/// is replaced as a whole, so that one who is killed leaves it as it was. Any number of processes may keep passes at once.
class KeptPasses {
 public:
  explicit KeptPasses(const std::string& store) : directory_(store + "/tests"), files_(directory_, 256, 256ull << 20) {}

  struct Found {
    PassesByTest passes;
    bool damaged = false;  ///< there were some, and nobody can read them
  };
  [[nodiscard]] Found find(const std::string& inputs) const;
  /// Adds to what is there. A failure to write loses them, which is nobody's problem.
  void add(const std::string& inputs, PassesByTest passes) const;
  /// What all of it takes.
  [[nodiscard]] HintTotals totals() const { return files_.totals(); }
  /// Removes all of it; the bytes it took.
  std::uint64_t clear() const { return files_.clear(); }

 private:
  std::string directory_;
  HintFiles files_;
};

}  // namespace casemate
