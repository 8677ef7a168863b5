// hints: files of the store that only spare work. Losing one costs time and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace casemate {

/// What a directory of hints takes.
struct HintTotals {
  std::size_t files = 0;
  std::uint64_t bytes = 0;
  std::int64_t last_used = 0;  ///< Unix seconds; 0: there is none
};

/// One directory of such files. Each ends with the SHA-256 of what is before: a damaged or torn one is as if it had never been there. They
/// are written beside their place and renamed, so that any number of processes may read and write them; a failure to write is nobody's
/// problem. Those that were not used for longest go when there are too many.
class HintFiles {
 public:
  HintFiles(std::string directory, std::size_t most_files, std::uint64_t most_bytes)
      : directory_(std::move(directory)), most_files_(most_files), most_bytes_(most_bytes) {}
  /// The bytes of the file `name` (no '/' in it), nullopt if there is none that is sound.
  [[nodiscard]] std::optional<std::string> read(const std::string& name) const;
  /// Whether there is a file of that name, sound or not; it counts as used.
  [[nodiscard]] bool touch(const std::string& name) const;
  void write(const std::string& name, std::string bytes) const;
  /// All that lies there; nothing is touched.
  [[nodiscard]] HintTotals totals() const;
  /// Removes them all; the bytes they took.
  std::uint64_t clear() const;

 private:
  void sweep() const;
  std::string directory_;
  std::size_t most_files_;
  std::uint64_t most_bytes_;  // of all files together
};

}  // namespace casemate
