#include "testplan/line_edits.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace casemate {
namespace {

using Numbers = std::vector<std::size_t>;

constexpr std::size_t kMostDifferences = 2000;  // the paths kept take the square of it
constexpr std::size_t kMostEffort = 50'000'000;

// One step of a path from (0, 0) to the end of both: a removal or an addition, in front of before[x] and after[y].
struct Move {
  std::size_t before, after;
  bool removes;
};

// Myers' greedy algorithm. reached[d][k + d] is how far in `before` a path of d differences comes on diagonal k (before - after).
class ShortestPath {
 public:
  ShortestPath(const Numbers& before, const Numbers& after) : before_(before), after_(after) {}

  std::optional<std::vector<Move>> find() {
    const std::size_t both = before_.size() + after_.size();
    const std::size_t most = std::min({kMostDifferences, both, kMostEffort / std::max<std::size_t>(1, both)});
    for (std::size_t d = 0; d <= most; ++d) {
      if (advance(static_cast<std::ptrdiff_t>(d))) return moves(static_cast<std::ptrdiff_t>(d));
    }
    return std::nullopt;
  }

 private:
  using Signed = std::ptrdiff_t;

  Signed reached(Signed d, Signed k) const {
    return k < -d || k > d ? -1 : reached_[static_cast<std::size_t>(d)][static_cast<std::size_t>(k + d)];
  }
  // Whether the last move to diagonal k was down: an addition.
  bool came_down(Signed d, Signed k) const { return k == -d || (k != d && reached(d - 1, k - 1) < reached(d - 1, k + 1)); }

  bool advance(Signed d) {
    const auto width = static_cast<Signed>(before_.size()), height = static_cast<Signed>(after_.size());
    reached_.emplace_back(static_cast<std::size_t>(2 * d + 1), -1);
    for (Signed k = -d; k <= d; k += 2) {
      Signed x = d == 0 ? 0 : came_down(d, k) ? reached(d - 1, k + 1) : reached(d - 1, k - 1) + 1;
      if (x < 0 || x > width || x - k > height || x - k < 0) continue;  // beyond an edge
      while (x < width && x - k < height && before_[static_cast<std::size_t>(x)] == after_[static_cast<std::size_t>(x - k)]) ++x;
      reached_.back()[static_cast<std::size_t>(k + d)] = x;
      if (x == width && x - k == height) return true;
    }
    return false;
  }

  std::vector<Move> moves(Signed d) const {
    std::vector<Move> made;
    Signed k = static_cast<Signed>(before_.size()) - static_cast<Signed>(after_.size());
    for (; d > 0; --d) {
      const bool down = came_down(d, k);
      const Signed from = down ? k + 1 : k - 1;
      const Signed x = reached(d - 1, from);
      made.push_back({static_cast<std::size_t>(x), static_cast<std::size_t>(x - from), !down});
      k = from;
    }
    std::reverse(made.begin(), made.end());
    return made;
  }

  const Numbers& before_;
  const Numbers& after_;
  std::vector<std::vector<Signed>> reached_;
};

// Equal lines have equal numbers.
Numbers numbered(const std::vector<std::string_view>& lines, std::size_t from, std::size_t to,
                 std::unordered_map<std::string_view, std::size_t>& known) {
  Numbers numbers;
  numbers.reserve(to - from);
  for (std::size_t at = from; at < to; ++at) numbers.push_back(known.emplace(lines[at], known.size()).first->second);
  return numbers;
}

}  // namespace

std::vector<LineEdit> line_edits(const std::vector<std::string_view>& before, const std::vector<std::string_view>& after) {
  std::size_t lead = 0, tail = 0;
  const std::size_t shorter = std::min(before.size(), after.size());
  while (lead < shorter && before[lead] == after[lead]) ++lead;
  while (tail < shorter - lead && before[before.size() - 1 - tail] == after[after.size() - 1 - tail]) ++tail;
  const std::size_t removed = before.size() - tail - lead, added = after.size() - tail - lead;
  if (removed == 0 && added == 0) return {};
  std::unordered_map<std::string_view, std::size_t> known;
  const Numbers left = numbered(before, lead, lead + removed, known), right = numbered(after, lead, lead + added, known);
  const auto moves = ShortestPath(left, right).find();
  if (!moves) return {{lead, removed, lead, added}};
  std::vector<LineEdit> edits;
  for (const Move& move : *moves) {
    const std::size_t x = lead + move.before, y = lead + move.after;
    const bool goes_on = !edits.empty() && edits.back().before + edits.back().removed == x && edits.back().after + edits.back().added == y;
    if (!goes_on) edits.push_back({x, 0, y, 0});
    ++(move.removes ? edits.back().removed : edits.back().added);
  }
  return edits;
}

}  // namespace casemate
