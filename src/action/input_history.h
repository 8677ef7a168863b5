// input_history: what the inputs of a command were when its result was last wanted: for people who ask why it ran again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "action/job_inputs.h"
#include "store/hints.h"

namespace casemate {

/// Inputs as they were.
struct RecordedInputs {
  std::int64_t when = 0;                                   ///< Unix seconds
  std::vector<std::pair<std::string, std::string>> words;  ///< of variables a digest stands for the value, which may be a secret
  std::vector<std::pair<std::string, std::string>> trees;  ///< place, hash of the tree
  std::string action;                                      ///< hash
  bool other_arguments = false;                            ///< of the same program, but another command
};

/// One thing that is another than it was.
struct InputDifference {
  enum class Kind { changed, added, removed };
  Kind kind = Kind::changed;
  std::string name;  ///< "/app/main.py" as the cell sees it, or a word of JobInputs: "variable LANG"
  bool is_path = false;
  std::string before, after;  ///< of words that are no variables
};

/// Records of a store: hints, in a directory of their own.
class InputHistory {
 public:
  explicit InputHistory(const std::string& store) : files_(store + "/inputs", 1024, 256ull << 20) {}
  /// For the command `argv`, asked for in `directory` of the host.
  void record(const std::string& directory, const std::vector<std::string>& argv, const JobInputs& inputs);
  /// The last record of this command; where there is none, of the same program with other arguments.
  [[nodiscard]] std::optional<RecordedInputs> last(const std::string& directory, const std::vector<std::string>& argv) const;
  /// What differs, words first, then paths in order, at most `most`; how many there are is in `all`.
  [[nodiscard]] std::vector<InputDifference> differences(const RecordedInputs& before, const JobInputs& now, std::size_t most,
                                                         std::size_t& all) const;
  /// What all of it takes.
  [[nodiscard]] HintTotals totals() const { return files_.totals(); }
  /// Removes all of it; the bytes it took.
  std::uint64_t clear() const { return files_.clear(); }

 private:
  void write(const std::string& name, const JobInputs& inputs) const;
  [[nodiscard]] std::optional<RecordedInputs> read(const std::string& name) const;

  HintFiles files_;
};

}  // namespace casemate
