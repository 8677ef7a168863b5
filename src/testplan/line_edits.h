// line_edits: what was removed and added between two lists of lines.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace casemate {

/// `removed` lines from before[`before`] on are gone, `added` lines from after[`after`] on stand in their place.
struct LineEdit {
  std::size_t before = 0, removed = 0;
  std::size_t after = 0, added = 0;
  bool operator==(const LineEdit&) const = default;
};

/// In order, with at least one equal line between two. The fewest possible (Myers, "An O(ND) Difference Algorithm", 1986) while that takes
/// less than a bounded effort; where too much is different, all between the first and the last difference is one edit.
[[nodiscard]] std::vector<LineEdit> line_edits(const std::vector<std::string_view>& before, const std::vector<std::string_view>& after);

}  // namespace casemate
