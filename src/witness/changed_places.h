// changed_places: what a job changed below some directories, where nobody keeps a writable layer: by a look before and one after.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "casemate/result.h"
#include "sys/fd.h"
#include "witness/action_report.h"

namespace casemate {

/// Looks at directories before a job, and again when its last process is dead.
class ChangedPlaces {
 public:
  /// `places` are absolute. Of "/" the file systems that are mounted below it count only where a job writes by habit (/tmp and its like),
  /// and casemate's own directory never. An Error: one of them can't be read.
  static Result<ChangedPlaces> look(const std::vector<std::string>& places);
  /// Puts what differs into `report`, and contents as files named by numbers into the directory `contents` (borrowed): moved where that can
  /// be done, for nobody needs them any more where they are.
  void take(int contents, ActionReport& report);

 private:
  /// One look at an entry: what changes with what is there.
  struct Look {
    mode_t mode = 0;
    std::uint64_t size = 0;
    ino_t inode = 0;
    std::int64_t modified_ns = 0, changed_ns = 0;
    bool operator==(const Look&) const = default;
  };
  struct Tree {
    std::uint32_t place = 0;
    std::string prefix;  // of paths in it: "tmp/"
    UniqueFd top;
    std::map<std::string, Look> before;
  };
  ChangedPlaces() = default;
  static Look look_of(const struct stat& info);
  void take_tree(Tree& tree, int contents, ActionReport& report);
  std::uint64_t keep_content(int directory, const std::string& name, const struct stat& info, int contents, ActionReport& report);

  std::vector<Tree> trees_;
  std::uint64_t kept_ = 0;
};

}  // namespace casemate
