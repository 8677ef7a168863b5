// output_places: where a script writes, and how that comes to where the caller wants it: fresh directories beside those places, shown
// writable in the cell, whose content is moved once nothing runs in it any more. What is in them is a script's, and hostile.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate::runtime {

/// How the names of the fresh directories begin.
constexpr std::string_view kOutputPrefix = ".casemate-output-";

/// Whether an output path names one file rather than a directory: by its ending (".csv", ".json", ".pkl", ...).
[[nodiscard]] bool names_file(const std::string& path);

/// Places that scripts have filled: on the way through one no symlink may be followed, for a script may have made it.
class FilledPlaces {
 public:
  /// Those that are gone meanwhile are forgotten now and then.
  void add(std::string place);
  [[nodiscard]] std::size_t size() const { return places_.size(); }
  /// The real path of a lexical one, which must be there. not_found; refused: a script's symlink is on the way.
  [[nodiscard]] Result<std::string> real_path(const std::string& path) const;

 private:
  std::set<std::string> places_;
  std::size_t most_ = 64;  // when there are as many, those that are gone are looked for
};

/// The outputs of one run. The destructor removes what was not delivered.
class OutputPlaces {
 public:
  /// `outputs`: as the caller wrote them, and lexical. Makes the directories they lie in, and removes what killed testers left beside them.
  /// invalid_input: a place that holds one of `kept` (lexical: inputs, the script, the working directory). `mark`: the run's
  /// (new_run_mark()).
  static Result<OutputPlaces> create(const std::vector<std::pair<std::string, std::string>>& outputs, const std::vector<std::string>& kept,
                                     const FilledPlaces& filled, std::string mark);
  OutputPlaces(OutputPlaces&&) = default;
  OutputPlaces& operator=(OutputPlaces&&) = delete;
  ~OutputPlaces();

  /// Writable binds, one a directory.
  [[nodiscard]] std::vector<Mount> mounts() const;
  /// Names in the directory at `target`, one of mounts(), that are not to be shown there: they are outputs, or ours.
  [[nodiscard]] bool hides(const std::string& target, const std::string& name) const;

  /// What came to its place.
  struct Delivered {
    std::vector<std::string> files;  ///< as the caller named the output paths; at most 1,000, sorted
    std::vector<std::string> notes;  ///< what did not come, and why
  };
  /// Moves all of it. What earlier runs left goes; what is anybody else's stays, but for files of the same names, and a note says so; so
  /// does what other scripts of this run wrote. Set-id bits are taken away; symlinks stay links, relative ones, and are not followed; those
  /// that lead out of their output are left out, as is what is no file, directory or link. A directory that was there keeps its owner, mode
  /// and attributes. To be called when nobody is in the cell any more. `filled` learns of the places.
  Delivered deliver(FilledPlaces& filled);

 private:
  struct Output {
    std::string given;  // as the caller wrote it
    std::string below;  // in its directory: "" for all of it, "a/model.csv"
    bool file = false;
  };
  struct Place {
    std::string target;     // in the cell, and of the caller's
    std::string directory;  // real: where the fresh directory lies
    bool whole = false;     // all of the target is wanted, not single files
    std::string name;       // of the place in `directory`; "" if that is the place itself
    std::string staging;    // "DIRECTORY/.casemate-output-XXXXXX"
    UniqueFd parent, lock;  // of `directory`, and of the staging directory
    std::vector<Output> outputs;
  };
  explicit OutputPlaces(std::string mark) : mark_(std::move(mark)) {}
  Result<void> stage(Place& place, const FilledPlaces& filled);
  void deliver(Place& place, Delivered& delivered);
  void deliver_whole(Place& place, int inside, Delivered& delivered);
  void deliver_files(Place& place, int inside, Delivered& delivered);

  std::string mark_;
  std::vector<Place> places_;
};

}  // namespace casemate::runtime
