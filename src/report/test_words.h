// test_words: how a test's result is called on a screen: the same short words in every display.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/events.h"

namespace casemate {

/// A word and how it is shown (ECMA-48 SGR; "" plain).
struct Label {
  std::string word;
  std::string_view sgr;
};

/// `text` in the rendition `sgr` where `colors`; `text` is printable.
[[nodiscard]] std::string painted(std::string_view text, std::string_view sgr, bool colors);

/// Whether a test went wrong because its process did.
[[nodiscard]] bool process_failed(const TestResult& result);

/// PASS, FAIL, ERROR, SKIP, XFAIL, XPASS, IGNORED, CANCELLED, LOST; by the end of its process TIMEOUT, OOM, PROCESSES, OUTPUT, DISK, SETUP,
/// CRASH (SIGSEGV), EXIT (3); CACHED for one that did not run; FLAKY 2/3 for one that passed at the second of three tries, RETRY 1/3 for
/// one that will be tried again
/// (`tries` 0: not known, left out).
[[nodiscard]] Label label_of(const TestResult& result, std::uint32_t tries);

/// The same without FLAKY and RETRY: how this attempt came out.
[[nodiscard]] Label attempt_label(const TestResult& result);

/// Why, in one printable line: the result's reason, else the first line of the first failed report's message, else the end of its process
/// where its label does not tell all of it. "" for a plain pass.
[[nodiscard]] std::string why(const TestResult& result);

/// "[   0.012s]".
[[nodiscard]] std::string clock_of(std::chrono::microseconds duration);

/// "2 processes left behind: sleep (12), sh (15)", printable; at most ten are named.
[[nodiscard]] std::string leftovers_line(const TestResult& result);

/// The first line of `text`.
[[nodiscard]] std::string_view first_line(std::string_view text);

/// "1 failed, 3 passed (1 cached), 1 flaky, 2 skipped", in pytest's words and order; "no tests ran" for none. With `colors` each count has
/// its own.
[[nodiscard]] std::string counts_line(const RunEnd& end, std::size_t deselected, std::size_t warnings, bool colors);

}  // namespace casemate
