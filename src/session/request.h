// request: what a command line, the environment and configuration files ask of `casemate pytest` (= `maelstrom-pytest`), as plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "command/remote_options.h"

namespace casemate {

/// What tests share a cell.
enum class Isolation : std::uint8_t {
  test,    ///< a fork into a cell for each test
  klass,   ///< "class": for each class; functions of a module that are in none: each its own
  module,  ///< for each module
  file,    ///< the same as module for Python files; for what else pytest collects, its file
  cold,    ///< a fresh interpreter in a cell for each test
};

/// "test", "class", "module", "file", "cold".
[[nodiscard]] std::string_view word(Isolation isolation);
/// The reverse; nullopt for a word that is none of them.
[[nodiscard]] std::optional<Isolation> isolation_of(std::string_view word);
/// What there is, for messages: "test, class, module, file, cold".
inline constexpr std::string_view kIsolations = "test, class, module, file, cold";

/// A report's name that stands for stdout.
inline constexpr std::string_view kStandardOutput = "-";

/// All that one start of `casemate pytest` was told. Paths are absolute but for those that pytest is given.
struct PytestRequest {
  enum class Action : std::uint8_t { run, list, init, print_config, watch, why };
  enum class Ui : std::uint8_t { automatic, fancy, simple, quiet };

  bool as_maelstrom = false;  ///< called as maelstrom-pytest: its words in the simple display, its messages
  Action action = Action::run;
  std::string directory;             ///< the project: where maelstrom-pytest.toml or pyproject.toml is looked for, and pytest runs
  std::vector<std::string> include;  ///< filter expressions; a test is selected that any of these
  std::vector<std::string> exclude;  ///< and none of these takes
  Ui ui = Ui::automatic;
  std::string color = "auto";  ///< auto, always, never
  int verbosity = 0;           ///< -v counts up, -q down
  std::uint32_t repeat = 1;
  std::optional<std::uint32_t> stop_after;           ///< failures: --stop-after, -x, --maxfail
  std::optional<std::chrono::milliseconds> timeout;  ///< of each test, over what directives say; 0: none
  /// Or "docker": each unit of tests in a fresh interpreter in a container; "remote": groups of units on a remote execution engine.
  std::string executor = "native";
  std::uint32_t slots = 0;             ///< 0: as many as CPUs; with "remote": none here
  std::optional<RemoteChoice> remote;  ///< the engine of "remote"
  std::uint32_t remote_slots = 8;      ///< groups at a time
  /// How long a group of units should last that one interpreter runs; 0: no groups. Unset: with "remote" as
  /// group_bounds() has it, else no groups.
  std::optional<std::chrono::milliseconds> group_time;
  std::uint64_t inline_limit = 1'000'000;  ///< bytes of a test's output that are shown
  std::optional<std::string> collect_from_module;
  std::vector<std::string> pytest_arguments;          ///< for pytest, at collection and in tests: paths, node ids, -k, -m, -p, ...
  std::vector<std::string> pytest_collect_arguments;  ///< only at collection
  std::vector<std::string> pytest_test_arguments;     ///< only in tests
  bool last_failed = false;                           ///< --lf: only what failed last time, all if nothing did
  bool failed_first = false;                          ///< --ff
  bool cache = false;                                 ///< tests are deterministic: what passed with the same inputs is not run again
  std::optional<std::string> image;                   ///< --image: instead of what directives and pyproject.toml say
  std::optional<std::string> python;                  ///< --python-version or a path: host's interpreter; unset: the active one
  std::optional<std::string> requirements;
  std::optional<Isolation> isolation;
  std::uint32_t shard = 1;  ///< of `shards`, from 1
  std::uint32_t shards = 1;
  std::optional<std::uint32_t> retries;
  std::optional<std::chrono::milliseconds> slow_after;  ///< SLOW; default 60 s
  Limits limits;                                        ///< what flags say, over directives
  std::optional<Network> network;
  std::string junit_xml;   ///< files to write; "": none
  std::string json_lines;  ///< or kStandardOutput; then what is for people is on stderr
  std::string html;
  std::optional<bool> github;              ///< annotations and step summary; unset: where $GITHUB_ACTIONS is "true"
  std::optional<std::uint32_t> durations;  ///< --durations N: so many slowest phases at the end; 0: all; unset: pytest's default, none
  bool verify_tls = true;                  ///< of registries
  bool immortal = true;                    ///< Python 3.12 and later: objects alive after collection are made immortal (--no-immortal)
  std::vector<std::string> notes;          ///< for people: unknown keys of configuration files, flags that mean nothing here
};

}  // namespace casemate
