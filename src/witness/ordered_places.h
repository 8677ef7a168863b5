// ordered_places: the directories that a job is to find at absolute paths, and casemate's own one, on whatever a worker gives an action.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "sys/fd.h"
#include "witness/order.h"

namespace casemate {

/// Of the action whose input root is the working directory.
class OrderedPlaces {
 public:
  static Result<OrderedPlaces> open();
  /// Where the input root is the job's "/" only what is empty is made; elsewhere symlinks lead from the absolute paths to the input
  /// root's. An Error's `where` is the step of the set-up.
  Result<void> make(const WitnessOrder& order);
  /// Whether there are other interfaces than the loopback.
  [[nodiscard]] static bool has_network();
  /// casemate's own directory, without what it is to receive, also if the job has damaged it: the job's last process is dead.
  Result<UniqueFd> clear_own();
  /// Bytes of what lies in fresh directories that are file systems of their own.
  [[nodiscard]] std::uint64_t mounted_bytes() const;
  /// What lies in the fresh directories that are not in one of those that are `counted` already, but for what lay there before the job
  /// (inputs may) and below that.
  struct Written {
    std::uint64_t bytes = 0, files = 0;
  };
  [[nodiscard]] Written written(const std::vector<std::string>& counted) const;
  /// The input root's file system has no room left.
  [[nodiscard]] bool full() const;
  /// Removes the symlinks that make() made.
  void take_back();

 private:
  Result<void> lead(const std::string& place);

  UniqueFd root_;
  std::string directory_;                               // of the input root; "/" it is the job's
  std::map<std::string, std::set<std::string>> fresh_;  // with what lay in them
  std::vector<std::string> links_;
};

}  // namespace casemate
