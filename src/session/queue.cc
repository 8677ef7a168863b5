#include "session/queue.h"

#include <algorithm>
#include <map>

#include "warm/protocol.h"

namespace casemate {
namespace {

// Equal keys share a cell; "": a cell of its own.
std::string key_of(const SelectedTest& selected) {
  const TestCase& test = selected.test;
  switch (selected.isolation) {
    case Isolation::klass:
      return test.group.empty() ? "" : std::to_string(selected.container) + " " + test.file + "::" + test.group;
    case Isolation::module:
    case Isolation::file:
      return std::to_string(selected.container) + " " + test.file;
    default:
      return "";
  }
}

// Where the order of all others matters more than a test's own time.
constexpr auto kLong = std::chrono::milliseconds(100);

}  // namespace

void put_in_order(std::vector<SelectedTest>& tests, bool has_past) {
  const auto rank = [&](const SelectedTest& test) {
    if (test.failed || (has_past && !test.known)) return 0;
    return test.mean >= kLong ? 1 : 2;
  };
  std::stable_sort(tests.begin(), tests.end(), [&](const SelectedTest& a, const SelectedTest& b) {
    const int first = rank(a);
    const int second = rank(b);
    if (first != second) return first < second;
    return first == 1 && a.mean > b.mean;
  });
}

bool is_cold(const SelectedTest& selected) { return selected.isolation == Isolation::cold || selected.test.cold; }

std::optional<std::chrono::milliseconds> wall_of(const Unit& unit, const std::vector<SelectedTest>& tests) {
  std::optional<std::chrono::milliseconds> wall;
  for (const std::size_t test : unit.tests) {
    if (tests[test].timeout) wall = wall.value_or(std::chrono::milliseconds(0)) + *tests[test].timeout;
  }
  return wall;
}

std::deque<Unit> make_units(const std::vector<SelectedTest>& tests) {
  struct Open {
    std::size_t unit = 0;
    std::size_t bytes = 0;
  };
  std::deque<Unit> units;
  std::map<std::string, Open> open;
  for (std::size_t i = 0; i < tests.size(); ++i) {
    if (tests[i].ignored) continue;
    const bool cold = is_cold(tests[i]);
    const std::string key = cold ? "" : key_of(tests[i]);
    const std::size_t bytes = tests[i].test.id.size() + 1;
    const auto found = key.empty() ? open.end() : open.find(key);
    if (found != open.end() && found->second.bytes + bytes <= kMostIds) {
      units[found->second.unit].tests.push_back(i);
      found->second.bytes += bytes;
      continue;
    }
    if (!key.empty()) open[key] = {units.size(), bytes};
    units.push_back({.tests = {i}, .cold = cold});
  }
  // In a cell that they share, what failed last time does not come first: a test that needs one before it, or suffers from it, would
  // change its verdict from run to run.
  for (Unit& unit : units) {
    std::stable_sort(unit.tests.begin(), unit.tests.end(), [&](std::size_t a, std::size_t b) { return tests[a].place < tests[b].place; });
  }
  count_alike(units, tests);
  return units;
}

void count_alike(std::deque<Unit>& units, const std::vector<SelectedTest>& tests) {
  const auto parent_of = [&](const Unit& unit) -> const std::string& { return tests[unit.tests.front()].parent; };
  if (!units.empty()) units.back().alike = 1;
  for (std::size_t i = units.size(); i > 1; --i)
    units[i - 2].alike = parent_of(units[i - 2]) == parent_of(units[i - 1]) ? units[i - 1].alike + 1 : 1;
}

}  // namespace casemate
