// queue: tests in the order they are to run, put together into units that share a cell.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "engine/events.h"
#include "session/request.h"

namespace casemate {

/// A selected test with what decides where and how it runs.
struct SelectedTest {
  TestCase test;
  std::size_t container = 0;  ///< which directives say (Directives::of)
  std::size_t executor = 0;   ///< number of the warm executor; of an ignored one it means nothing
  bool ignored = false;       ///< it is not run
  std::size_t place = 0;      ///< in pytest's order of the selected
  Isolation isolation = Isolation::test;
  std::uint32_t retries = 0;
  bool uncached = false;  ///< its result is never kept
  std::optional<std::chrono::milliseconds> timeout;
  std::string parent;                 ///< what its warm parent is called: its file, or a part of it (warm/executor.h)
  std::string hash;                   ///< of its file, as the collector gave it
  bool known = false;                 ///< it ran before
  bool failed = false;                ///< and failed when it ran last
  bool needs_others = false;          ///< and needed what other files import, and its file is as it was
  std::chrono::microseconds mean{0};  ///< of its last runs
};

/// Puts first what failed last time and, where there is a past (`has_past`), what is new; then what takes long, longest first; all else
/// stays in pytest's order, where tests of a file lie together and share its warm parent.
void put_in_order(std::vector<SelectedTest>& tests, bool has_past);

/// Tests that share a cell; at least one, all of one file and container.
struct Unit {
  std::vector<std::size_t> tests;  ///< indices into the selected tests
  std::uint32_t attempt = 1;
  std::uint32_t lost = 0;  ///< how often it was run and nobody knows how it ended
  bool cold = false;
  bool whole = false;  ///< from a parent that has collected every file, as a plain pytest has
  bool alone = false;  ///< from one that has collected its file alone, whatever is known of that file by now
  bool here = false;   ///< in a cell of this machine, also where there is another to run tests
  /// It and the units right behind it that have the same parent, from make_units() until one of them leaves its place.
  std::size_t alike = 1;
};

/// The time that all of its tests have; nullopt: as long as they take.
[[nodiscard]] std::optional<std::chrono::milliseconds> wall_of(const Unit& unit, const std::vector<SelectedTest>& tests);

/// Whether directives or a marker say that it gets an interpreter of its own.
[[nodiscard]] bool is_cold(const SelectedTest& selected);

/// Groups tests that are not ignored as their isolation asks: groups in the order given, tests of a group in pytest's. A unit's names stay
/// below what one message to a warm parent holds.
std::deque<Unit> make_units(const std::vector<SelectedTest>& tests);
/// Sets Unit::alike of all, as they lie.
void count_alike(std::deque<Unit>& units, const std::vector<SelectedTest>& tests);

}  // namespace casemate
