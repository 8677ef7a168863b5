// order: what the witness of an action is to do, as bytes: a file of the action's input root, for REAPI's strings are UTF-8 and arguments
// need not be.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// Where casemate's own files lie in an action's input root, from its top.
inline constexpr std::string_view kActionPlace = ".casemate";
inline constexpr std::string_view kActionWitness = ".casemate/witness";
inline constexpr std::string_view kActionOrder = ".casemate/order";
inline constexpr std::string_view kActionStdin = ".casemate/stdin";
/// Copies of WitnessOrder::spot_checks, under numbers from 0 on: the same blobs, so that nothing more is sent for them.
inline constexpr std::string_view kActionSpots = ".casemate/spots";
/// And what the witness leaves: an ActionReport, what the job wrote to descriptor 3, contents of changed files under numbers.
inline constexpr std::string_view kActionResult = ".casemate/result";
inline constexpr std::string_view kActionReports = ".casemate/reports";
inline constexpr std::string_view kActionChanges = ".casemate/changes";

/// Of larger files the sizes are compared alone (spot_check.h).
inline constexpr std::uint64_t kMostCompared = 64u << 10;

/// A job as its witness needs it. Paths are absolute, as the job sees them.
struct WitnessOrder {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;  ///< the whole environment
  std::string cwd = "/";                   ///< made if it is missing
  std::optional<User> user;                ///< who the job has to be; nullopt: whoever the engine's workers are
  bool strict = false;                     ///< Profile::strict
  bool lonely = false;                     ///< Network::none
  bool reports = false;                    ///< Job::report
  bool has_stdin = false;                  ///< kActionStdin is there; else /dev/null
  bool image = false;                      ///< the input root is an image's
  Limits limits;                           ///< cpus is not among what a witness can hold
  /// Directories of the input root that the job needs at these places.
  std::vector<std::string> places;
  /// The same, of what is as well there already: made where they are missing, empty, with the mode.
  struct Fresh {
    std::string path;
    std::uint32_t mode = 0755;
    bool needed = false;  ///< without it the job is not started
    bool operator==(const Fresh&) const = default;
  };
  std::vector<Fresh> fresh;
  std::vector<std::string> collect;      ///< Job::collect
  std::vector<std::string> spot_checks;  ///< absolute paths of files that were sent; copies are in kActionSpots

  bool operator==(const WitnessOrder&) const = default;
};

/// The same order is always the same bytes.
[[nodiscard]] std::string order_bytes(const WitnessOrder& order);
/// The reverse. corrupt: they are none, or another version's.
Result<WitnessOrder> read_order(std::string_view bytes);

}  // namespace casemate
