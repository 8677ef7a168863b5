// test_views: casemate history tests, and runs: what the history knows of tests, as tables or JSON.
#pragma once

#include <cstddef>
#include <string>

#include "report/table.h"

namespace CLI {
class App;
}  // namespace CLI

namespace casemate {

/// What was asked of the two.
struct TestViewOptions {
  std::string project;  ///< "": for tests the one that the current directory lies in, for runs all
  std::string node;     ///< of one test its past
  bool flaky = false;
  bool slowest = false;
  bool failed = false;
  bool json = false;
  Color color = Color::automatic;
  std::size_t limit = 20;
};

/// The two subcommands, as CLI11 has them.
struct TestCommands {
  CLI::App* tests = nullptr;
  CLI::App* runs = nullptr;
  /// Whether one of them was typed.
  [[nodiscard]] bool asked() const;
};
TestCommands declare_test_views(CLI::App& app, TestViewOptions& options);

/// Print what is wanted; exit code 0, 1 (no such project or test) or 125.
int list_tests(const TestViewOptions& options);
int list_test_runs(const TestViewOptions& options);

}  // namespace casemate
