#include "session/group.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace casemate {
namespace {

using std::chrono::microseconds;

constexpr microseconds kUnknown{30'000};       // a test without a past
constexpr microseconds kProcess{6'000};        // a unit's own fork
constexpr microseconds kInterpreter{250'000};  // that of a unit which gets a fresh one
constexpr microseconds kUsual{2'000'000};      // a group at the most, where interpreters start quickly
constexpr microseconds kLongest{10'000'000};   // and where they don't
constexpr int kWorth = 5;                      // times its interpreter's start
constexpr std::size_t kMostUnits = 2000;
constexpr std::size_t kMostNames = 1 << 20;  // bytes of their ids

std::size_t bytes_of(const Unit& unit, const std::vector<SelectedTest>& tests) {
  std::size_t bytes = 0;
  for (const std::size_t test : unit.tests) bytes += tests[test].test.id.size() + 1;
  return bytes;
}

}  // namespace

microseconds expected_time(const Unit& unit, const std::vector<SelectedTest>& tests) {
  microseconds time = kProcess + (unit.cold ? kInterpreter : microseconds(0));
  for (const std::size_t test : unit.tests) time += tests[test].known ? tests[test].mean : kUnknown;
  return time;
}

GroupBounds group_bounds(microseconds start, std::optional<microseconds> wanted) {
  const microseconds most = wanted.value_or(std::clamp(kWorth * start, kUsual, kLongest));
  return {.least = std::min(start, most), .most = most};
}

microseconds group_time(const std::deque<Unit>& queue, const std::vector<SelectedTest>& tests, std::size_t slots, GroupBounds bounds) {
  microseconds all{0};
  for (const Unit& unit : queue) all += expected_time(unit, tests);
  const microseconds most = std::max(bounds.most, microseconds(1));  // 0 is for no groups at all
  const auto at_a_time = static_cast<std::int64_t>(std::max<std::size_t>(slots, 1));
  const std::int64_t rounds = std::max<std::int64_t>((all + most * at_a_time - microseconds(1)) / (most * at_a_time), 1);
  return std::max(all / (rounds * at_a_time), bounds.least) + microseconds(1);
}

namespace {

// Whether all of it would be a group that is hardly worth one.
bool is_little(const std::deque<Unit>& queue, const std::vector<SelectedTest>& tests, microseconds time) {
  microseconds all{0};
  for (const Unit& unit : queue) {
    all += expected_time(unit, tests);
    if (all > time) return false;
  }
  return true;
}

}  // namespace

std::vector<Unit> take_group(std::deque<Unit>& queue, const std::vector<SelectedTest>& tests, microseconds time) {
  std::vector<Unit> group;
  microseconds taken{0};
  std::size_t names = 0;
  const auto executor_of = [&](const Unit& unit) { return tests[unit.tests.front()].executor; };
  for (auto at = queue.begin(); at != queue.end() && group.size() < kMostUnits;) {
    if (at->here || (!group.empty() && executor_of(*at) != executor_of(group.front()))) {
      ++at;
      continue;
    }
    const microseconds one = expected_time(*at, tests);
    const std::size_t its_names = bytes_of(*at, tests);
    // As near to `time` as it comes: half of the last one may go beyond.
    if (!group.empty() && ((taken + one / 2 > time && !is_little(queue, tests, time / 8)) || names + its_names > kMostNames)) break;
    taken += one;
    names += its_names;
    group.push_back(std::move(*at));
    at = queue.erase(at);
  }
  return group;
}

std::vector<GroupUnit> told_units(const std::vector<const Unit*>& units, const std::vector<SelectedTest>& tests) {
  std::vector<GroupUnit> told;
  for (const Unit* unit : units) {
    const SelectedTest& first = tests[unit->tests.front()];
    GroupUnit& one = told.emplace_back();
    one = {.file = first.test.file, .hash = first.hash, .whole = unit->whole, .cold = unit->cold};
    for (const std::size_t test : unit->tests) one.ids.push_back(tests[test].test.id);
    one.wall = wall_of(*unit, tests);
  }
  return told;
}

std::vector<std::vector<Unit>> split_group(std::vector<Unit> rest, std::optional<std::size_t> began) {
  std::vector<std::vector<Unit>> parts(2);
  const auto from = static_cast<std::ptrdiff_t>(began.value_or(rest.size() / 2));
  const auto to = began ? from + 1 : static_cast<std::ptrdiff_t>(rest.size());
  std::move(rest.begin() + from, rest.begin() + to, std::back_inserter(parts[1]));
  rest.erase(rest.begin() + from, rest.begin() + to);
  parts[0] = std::move(rest);
  return parts;
}

}  // namespace casemate
