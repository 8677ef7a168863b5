#include "base/nearest.h"

#include <algorithm>
#include <numeric>

namespace casemate {
namespace {

constexpr std::size_t kLongest = 64;

// Damerau's and Levenshtein's distance in its restricted form: no part is changed twice.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, changed});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string_view>& known) {
  if (word.size() > kLongest) return "";
  std::string_view best;
  std::size_t fewest = kLongest;
  for (const std::string_view candidate : known) {
    const std::size_t changes = candidate.size() > kLongest ? kLongest : distance(word, candidate);
    if (changes < fewest && changes <= std::max<std::size_t>(1, candidate.size() / 3)) {
      best = candidate;
      fewest = changes;
    }
  }
  return std::string(best);
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known) {
  const std::string meant = nearest(word, known);
  if (!meant.empty()) return ", did you mean '" + meant + "'?";
  std::string all = "; known are ";
  for (const std::string_view one : known) all.append(one.data() == known.front().data() ? "" : ", ").append(one);
  return all;
}

}  // namespace casemate
