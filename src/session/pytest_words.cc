#include "session/pytest_words.h"

#include <fmt/format.h>

namespace casemate {
namespace {

using Value = PytestWord::Value;

constexpr PytestWord kWords[] = {
    {"-k", Value::needed, "EXPR", "only tests whose names match"},
    {"-m", Value::needed, "EXPR", "only tests whose markers match"},
    {"-p", Value::needed, "NAME", "load a plugin; no:NAME: don't"},
    {"-o,--override-ini", Value::needed, "NAME=VALUE", "a setting of pytest's ini file"},
    {"-W,--pythonwarnings", Value::needed, "FILTER", "which warnings to show"},
    {"--tb", Value::needed, "STYLE", "auto, long, short, line, native, no"},
    {"--capture", Value::needed, "METHOD", "fd, sys, no, tee-sys"},
    {"--showlocals", Value::none, "", "local variables in tracebacks (pytest's -l)"},
    {"--rootdir", Value::needed, "DIR", "pytest's root directory"},
    {"--confcutdir", Value::needed, "DIR", "no conftest.py above this"},
    {"--ignore", Value::needed, "PATH", "don't collect this"},
    {"--ignore-glob", Value::needed, "PATTERN", "don't collect what matches"},
    {"--deselect", Value::needed, "PREFIX", "leave out node ids that begin so"},
    {"--import-mode", Value::needed, "MODE", "prepend, append, importlib"},
    {"--pyargs", Value::none, "", "the paths are packages"},
    {"--strict-markers", Value::none, "", "unknown markers are errors"},
    {"--strict-config", Value::none, "", "unknown settings of the ini file are errors"},
    {"--runxfail", Value::none, "", "xfail means nothing"},
    {"--doctest-modules", Value::none, "", "docstrings are tests too"},
    {"--doctest-glob", Value::needed, "PATTERN", "files of doctests"},
    {"--noconftest", Value::none, "", "load no conftest.py"},
    {"--continue-on-collection-errors", Value::none, "", "run the rest"},
    // Not listed: the rest of pytest's that changes how tests run or what their reports say.
    {"--doctest-report", Value::needed, "", ""},
    {"--doctest-ignore-import-errors", Value::none, "", ""},
    {"--doctest-continue-on-failure", Value::none, "", ""},
    {"--strict", Value::none, "", ""},
    {"--full-trace", Value::none, "", ""},
    {"--show-capture", Value::needed, "", ""},
    {"--assert", Value::needed, "", ""},
    {"--keep-duplicates", Value::none, "", ""},
    {"--collect-in-virtualenv", Value::none, "", ""},
    {"--log-level", Value::needed, "", ""},
    {"--log-format", Value::needed, "", ""},
    {"--log-date-format", Value::needed, "", ""},
    {"--log-cli-level", Value::needed, "", ""},
    {"--log-cli-format", Value::needed, "", ""},
    {"--log-disable", Value::needed, "", ""},
    {"--xfail-tb", Value::none, "", ""},
    {"--no-showlocals", Value::none, "", ""},
    {"--disable-warnings,--disable-pytest-warnings", Value::none, "", ""},
    {"--no-fold-skipped", Value::none, "", ""},
    {"--force-short-summary", Value::none, "", ""},
    {"--verbosity", Value::needed, "", ""},
    // Of plugins: pytest-cov, -asyncio, -django, -rerunfailures, -randomly, -timeout, -mypy, hypothesis.
    {"--cov", Value::optional, "", ""},
    {"--cov-report", Value::needed, "", ""},
    {"--cov-config", Value::needed, "", ""},
    {"--cov-fail-under", Value::needed, "", ""},
    {"--cov-context", Value::needed, "", ""},
    {"--cov-branch", Value::none, "", ""},
    {"--cov-append", Value::none, "", ""},
    {"--cov-precision", Value::needed, "", ""},
    {"--cov-reset", Value::none, "", ""},
    {"--no-cov", Value::none, "", ""},
    {"--no-cov-on-fail", Value::none, "", ""},
    {"--asyncio-mode", Value::needed, "", ""},
    {"--ds", Value::needed, "", ""},
    {"--dc", Value::needed, "", ""},
    {"--reuse-db", Value::none, "", ""},
    {"--create-db", Value::none, "", ""},
    {"--no-migrations,--nomigrations", Value::none, "", ""},
    {"--reruns", Value::needed, "", ""},
    {"--reruns-delay", Value::needed, "", ""},
    {"--randomly-seed", Value::needed, "", ""},
    {"--randomly-dont-reorganize", Value::none, "", ""},
    {"--timeout-method", Value::needed, "", ""},
    {"--hypothesis-profile", Value::needed, "", ""},
    {"--hypothesis-seed", Value::needed, "", ""},
    {"--hypothesis-show-statistics", Value::none, "", ""},
};

// What of pytest's can't be meant, where each test is a process of its own without a terminal.
struct Declined {
  std::string_view name;
  std::string_view why;  // {}: the option
};

constexpr std::string_view kDebugger = "{} is pytest's, and needs one process at a terminal: run 'python -m pytest {} NODEID'";
constexpr std::string_view kQuestion = "{} is pytest's, and runs no test: ask 'python -m pytest {}'";
constexpr std::string_view kSteps =
    "{} is pytest's, and goes through tests one by one: -x stops at the first failure, --lf runs what failed";
constexpr std::string_view kSetups = "{} is pytest's, and prints while one process sets up all tests: ask 'python -m pytest {}'";

constexpr Declined kDeclined[] = {
    {"--pdb", kDebugger},
    {"--pdbcls", kDebugger},
    {"--trace", kDebugger},
    {"--fixtures", kQuestion},
    {"--funcargs", kQuestion},
    {"--markers", kQuestion},
    {"--fixtures-per-test", kQuestion},
    {"--cache-show", kQuestion},
    {"--sw", kSteps},
    {"--stepwise", kSteps},
    {"--sw-skip", kSteps},
    {"--stepwise-skip", kSteps},
    {"--sw-reset", kSteps},
    {"--stepwise-reset", kSteps},
    {"--setup-show", kSetups},
    {"--setup-plan", kQuestion},
    {"--setup-only", kSetups},
    {"--setuponly", kSetups},
    {"--setupshow", kSetups},
    {"--setupplan", kQuestion},
};

}  // namespace

std::string why_not(std::string_view word) {
  const std::string_view name = word.substr(0, word.find('='));
  for (const Declined& one : kDeclined) {
    if (one.name == name) return fmt::format(fmt::runtime(one.why), name, name == "--pdbcls" ? "--pdbcls=MODULE:CLASS --pdb" : name);
  }
  return "";
}

std::span<const PytestWord> pytest_words() { return kWords; }

}  // namespace casemate
