// group: units that one interpreter on another machine runs one after the other: how many make a group, and what becomes of one that was
// lost.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "session/queue.h"
#include "warm/group.h"

namespace casemate {

/// What a unit is thought to take, its process included: its tests' recorded times, where a test without a past counts as one of 30 ms.
[[nodiscard]] std::chrono::microseconds expected_time(const Unit& unit, const std::vector<SelectedTest>& tests);

/// How long groups may last.
struct GroupBounds {
  std::chrono::microseconds least{0};  ///< a shorter one is not worth its interpreter; but for the last, and where there is not so much
  std::chrono::microseconds most{std::chrono::seconds(2)};
};

/// For an interpreter that took `start` to import pytest and to collect: a fifth of a group at most is spent on that, but none lasts more
/// than 10 s for it, for its results may all come when it ends. `wanted`: what the user says of the most.
[[nodiscard]] GroupBounds group_bounds(std::chrono::microseconds start, std::optional<std::chrono::microseconds> wanted);

/// How long a group should last, so that all of `queue` in groups of that length keeps `slots` busy and ends evenly.
[[nodiscard]] std::chrono::microseconds group_time(const std::deque<Unit>& queue, const std::vector<SelectedTest>& tests, std::size_t slots,
                                                   GroupBounds bounds);

/// Takes the next group off `queue`: its first unit, and those behind it that have the same container, until they last `time`. One that is
/// for cells alone (Unit::here) stays. Empty: there is none.
[[nodiscard]] std::vector<Unit> take_group(std::deque<Unit>& queue, const std::vector<SelectedTest>& tests, std::chrono::microseconds time);

/// The units of a group as its interpreter is told. `whole` says of a unit that its parent is one of all files.
[[nodiscard]] std::vector<GroupUnit> told_units(const std::vector<const Unit*>& units, const std::vector<SelectedTest>& tests);

/// What is run again of a group that was lost: `rest` (more than one) has not ended. Where one of them had begun (`began`, its index) that
/// one alone, and the others together; else halves.
[[nodiscard]] std::vector<std::vector<Unit>> split_group(std::vector<Unit> rest, std::optional<std::size_t> began);

}  // namespace casemate
