#include "apps/pytest/settings.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "base/units.h"

namespace casemate {
namespace {

using Kind = PytestSetting::Kind;
using Values = std::vector<std::string>;

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

std::unexpected<Error> not_a_choice(std::string_view value, const std::vector<std::string_view>& choices) {
  const std::string meant = nearest(value, choices);
  return wrong(fmt::format("'{}': choose {}{}", printable_line(value), fmt::join(choices, ", "),
                           meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant)));
}

Result<std::uint32_t> count(std::string_view text, std::uint32_t least, std::uint32_t most) {
  std::uint32_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size() || number < least || number > most)
    return wrong(fmt::format("'{}' is not a number from {} to {}", printable_line(text), least, most));
  return number;
}

// As maelstrom reads them: 1MB is a million bytes, 1MiB is 2^20; without a B as everywhere else in casemate.
Result<std::uint64_t> bytes(std::string text) {
  std::erase(text, ' ');
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char byte) { return static_cast<char>(std::tolower(byte)); });
  constexpr std::string_view kUnits = "kmgt";
  if (lower.size() > 2 && lower.ends_with('b')) {
    const std::size_t unit = kUnits.find(lower[lower.size() - 2]);
    if (unit != std::string_view::npos) {
      double number = 0;
      const char* const last = lower.data() + lower.size() - 2;
      const auto [end, problem] = std::from_chars(lower.data(), last, number);
      for (std::size_t i = 0; i <= unit; ++i) number *= 1000;
      if (problem == std::errc{} && end == last && number >= 0 && number < 9e18) return static_cast<std::uint64_t>(number);
    }
  }
  return parse_bytes(text);
}

template <std::string PytestRequest::* member>
Result<void> store_text(PytestRequest& request, const Values& values) {
  request.*member = values.front();
  return {};
}

template <std::optional<std::string> PytestRequest::* member>
Result<void> store_optional_text(PytestRequest& request, const Values& values) {
  if (values.front().empty()) return wrong("is empty");
  request.*member = values.front();
  return {};
}

template <std::vector<std::string> PytestRequest::* member>
Result<void> store_list(PytestRequest& request, const Values& values) {
  auto& list = request.*member;
  list.insert(list.end(), values.begin(), values.end());
  return {};
}

template <std::optional<std::chrono::milliseconds> PytestRequest::* member>
Result<void> store_duration(PytestRequest& request, const Values& values) {
  TRY_ASSIGN(request.*member, parse_duration(values.front()));
  return {};
}

template <std::optional<std::uint64_t> Limits::* member>
Result<void> store_limit(PytestRequest& request, const Values& values) {
  TRY_ASSIGN(const std::uint64_t number, parse_bytes(values.front()));
  if (number == 0) return wrong("must be more than 0");
  request.limits.*member = number;
  return {};
}

Result<void> store_ui(PytestRequest& request, const Values& values) {
  using Ui = PytestRequest::Ui;
  constexpr std::array<Ui, 4> kUis = {Ui::automatic, Ui::fancy, Ui::simple, Ui::quiet};
  const std::vector<std::string_view> words = {"auto", "fancy", "simple", "quiet"};
  const auto found = std::find(words.begin(), words.end(), values.front());
  if (found == words.end()) return not_a_choice(values.front(), words);
  request.ui = kUis[static_cast<std::size_t>(found - words.begin())];
  return {};
}

Result<void> store_color(PytestRequest& request, const Values& values) {
  const std::string& value = values.front();
  if (value == "auto" || value == "always" || value == "never") {
    request.color = value;
  } else if (value == "yes" || value == "no") {  // pytest's words
    request.color = value == "yes" ? "always" : "never";
  } else {
    return not_a_choice(value, {"auto", "always", "never"});
  }
  return {};
}

Result<void> store_log_level(PytestRequest& /*request*/, const Values& values) {
  const std::vector<std::string_view> words = {"error", "warning", "info", "debug"};
  if (std::find(words.begin(), words.end(), values.front()) == words.end()) return not_a_choice(values.front(), words);
  return {};
}

Result<void> store_repeat(PytestRequest& request, const Values& values) {
  const std::string& value = values.front();
  const bool is_letters =
      !value.empty() && std::all_of(value.begin(), value.end(), [](unsigned char byte) { return std::isalpha(byte) != 0; });
  if (is_letters && !request.as_maelstrom) {
    request.notes.push_back(fmt::format("-r {} is left out: failures, skips and the rest are always shown (-r NUMBER repeats)", value));
    return {};
  }
  TRY_ASSIGN(request.repeat, count(value, 1, 1'000'000));
  return {};
}

Result<void> store_stop_after(PytestRequest& request, const Values& values) {
  TRY_ASSIGN(const std::uint32_t number, count(values.front(), 0, std::numeric_limits<std::uint32_t>::max()));
  request.stop_after = number == 0 ? std::nullopt : std::optional(number);
  return {};
}

Result<void> store_slots(PytestRequest& request, const Values& values) {
  if (values.front() == "auto" || values.front() == "logical") {  // xdist's words
    request.slots = 0;
    return {};
  }
  if (values.front() == "0" && !request.as_maelstrom) {  // xdist's, for no workers
    request.slots = 1;
    return {};
  }
  TRY_ASSIGN(request.slots, count(values.front(), 1, 1000));
  return {};
}

Result<void> store_retries(PytestRequest& request, const Values& values) {
  TRY_ASSIGN(request.retries, count(values.front(), 0, 100));
  return {};
}

Result<void> store_durations(PytestRequest& request, const Values& values) {
  TRY_ASSIGN(request.durations, count(values.front(), 0, 1'000'000));
  return {};
}

Result<void> store_inline_limit(PytestRequest& request, const Values& values) {
  TRY_ASSIGN(request.inline_limit, bytes(values.front()));
  return {};
}

Result<void> store_executor(PytestRequest& request, const Values& values) {
  if (values.front() != "native" && values.front() != "docker" && values.front() != "remote")
    return not_a_choice(values.front(), {"native", "docker", "remote"});
  request.executor = values.front();
  return {};
}

Result<void> store_remote_slots(PytestRequest& request, const Values& values) {
  TRY_ASSIGN(request.remote_slots, count(values.front(), 1, 1000));
  return {};
}

Result<void> store_isolation(PytestRequest& request, const Values& values) {
  request.isolation = isolation_of(values.front());
  if (!request.isolation) return not_a_choice(values.front(), {"test", "class", "module", "file", "cold"});
  return {};
}

Result<void> store_shard(PytestRequest& request, const Values& values) {
  const std::string_view value = values.front();
  const std::size_t slash = value.find('/');
  const auto shards = slash == std::string_view::npos ? std::unexpected(Error{}) : count(value.substr(slash + 1), 1, 1'000'000);
  const auto shard = shards ? count(value.substr(0, slash), 1, *shards) : std::unexpected(Error{});
  if (!shard) return wrong(fmt::format("'{}': write 1/4 for the first of four parts", printable_line(value)));
  request.shard = *shard;
  request.shards = *shards;
  return {};
}

Result<void> store_pids(PytestRequest& request, const Values& values) {
  TRY_ASSIGN(request.limits.pids, count(values.front(), 1, 4'194'304));
  return {};
}

Result<void> store_cpus(PytestRequest& request, const Values& values) {
  const std::string& text = values.front();
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size() || !(number > 0) || number > 65'536)
    return wrong(fmt::format("'{}' is not a number above 0", printable_line(text)));
  request.limits.cpus = number;
  return {};
}

Result<void> store_network(PytestRequest& request, const Values& values) {
  const std::string& name = values.front();
  if (name == "none" || name == "disabled" || name == "loopback") {
    request.network = Network::none;
  } else if (name == "outbound") {
    request.network = Network::outbound;
  } else if (name == "host" || name == "local") {
    request.network = Network::host;
  } else {
    return not_a_choice(name, {"none", "outbound", "host", "disabled", "loopback", "local"});
  }
  return {};
}

Result<void> store_github(PytestRequest& request, const Values& values) {
  request.github = values.front() == "true";
  return {};
}

Result<void> store_immortal(PytestRequest& request, const Values& values) {
  request.immortal = values.front() == "true";
  return {};
}

Result<void> store_cache(PytestRequest& request, const Values& values) {
  request.cache = values.front() == "true";
  return {};
}

Result<void> store_broker(PytestRequest& request, const Values& /*values*/) {
  request.notes.emplace_back("--broker: casemate has no maelstrom brokers (its remote engines are those of --remote); the tests run here");
  return {};
}

Result<void> store_cache_size(PytestRequest& request, const Values& values) {
  TRY(bytes(values.front()));
  request.notes.emplace_back("--cache-size means nothing here: 'casemate cache prune' keeps the store small");
  return {};
}

Result<void> store_depot(PytestRequest& request, const Values& /*values*/) {
  request.notes.emplace_back("--container-image-depot-root means nothing here: images lie in the store (CASEMATE_CACHE_DIR)");
  return {};
}

Result<void> store_accept_invalid(PytestRequest& request, const Values& values) {
  request.verify_tls = values.front() != "true";
  return {};
}

constexpr std::string_view kRunning = "Running";
constexpr std::string_view kCells = "Cells";
constexpr std::string_view kPackages = "Images and packages";
constexpr std::string_view kDisplay = "Display and reports";
constexpr std::string_view kToPytest = "For pytest";

constexpr PytestSetting kSettings[] = {
    {"slots", "", "-n", "--numprocesses", Kind::text, kRunning, "N", "tests at a time, 1 to 1000 [as many as CPUs]", "", store_slots},
    {"repeat", "-r", "-r", "--loop", Kind::text, kRunning, "COUNT", "run each selected test so many times [1]", "1", store_repeat},
    {"stop-after", "-s", "", "--maxfail", Kind::text, kRunning, "N", "stop after so many failures; 0: never [never]", "", store_stop_after},
    {"timeout", "-t", "-t", "", Kind::text, kRunning, "SECONDS", "end each test after this time, whatever directives say; 0: none", "",
     store_duration<&PytestRequest::timeout>},
    {"retries", "", "", "", Kind::text, kRunning, "N", "run a failed test again up to N times; one that passes then is flaky [0]", "",
     store_retries},
    {"cache", "", "", "", Kind::flag, kRunning, "", "tests are deterministic: one that passed is not run again with the same inputs", "",
     store_cache},
    {"shard", "", "", "", Kind::text, kRunning, "I/N", "run the I-th of N parts, the same parts every time", "", store_shard},
    {"executor", "", "", "", Kind::text, kCells, "NAME",
     "native: cells; docker: containers, on an image; remote: an engine (--remote) [native]", "", store_executor},
    {"remote-slots", "", "", "", Kind::text, kRunning, "N", "with --remote: groups of tests at a time, 1 to 1000 [8]", "8",
     store_remote_slots},
    {"group-time", "", "", "", Kind::text, kCells, "SECONDS",
     "tests that last so long together share an interpreter, each a process of its own; 0: no groups", "",
     store_duration<&PytestRequest::group_time>},
    {"isolation", "", "", "", Kind::text, kCells, "WHAT",
     "what shares a cell: test, class, module, file; cold: a fresh interpreter for each test [test]", "", store_isolation},
    {"memory", "", "", "", Kind::text, kCells, "SIZE", "memory of a cell: 512m", "", store_limit<&Limits::memory_bytes>},
    {"pids", "", "", "", Kind::text, kCells, "N", "processes and threads of a cell at a time", "", store_pids},
    {"cpus", "", "", "", Kind::text, kCells, "N", "CPU bandwidth of a cell in cores: 1.5", "", store_cpus},
    {"disk", "", "", "", Kind::text, kCells, "SIZE", "what a cell may write: 256m", "", store_limit<&Limits::disk_bytes>},
    {"network", "", "", "", Kind::text, kCells, "KIND", "none (only loopback), outbound, host [none]", "", store_network},
    {"image", "", "", "", Kind::text, kPackages, "IMAGE", "run on this image, whatever directives say: host, docker://python:3.12-slim", "",
     store_optional_text<&PytestRequest::image>},
    {"python", "", "", "", Kind::text, kPackages, "PYTHON", "the host's interpreter: a version or a path [the active one]", "",
     store_optional_text<&PytestRequest::python>},
    {"requirements", "", "", "", Kind::text, kPackages, "FILE",
     "packages for the tests, whatever directives say; also pyproject.toml:GROUP, pyproject.toml[EXTRA]", "",
     store_optional_text<&PytestRequest::requirements>},
    {"ui", "", "", "", Kind::text, kDisplay, "STYLE", "auto, fancy, simple, quiet [auto]", "\"auto\"", store_ui},
    {"color", "", "", "", Kind::text, kDisplay, "WHEN", "auto, always, never [auto]", "\"auto\"", store_color},
    {"slow-after", "", "", "", Kind::text, kDisplay, "SECONDS", "say SLOW of a test that runs longer [60]", "60",
     store_duration<&PytestRequest::slow_after>},
    {"durations", "", "", "", Kind::text, kDisplay, "N", "show the N slowest at the end; 0: all", "", store_durations},
    {"inline-limit", "", "", "", Kind::text, kDisplay, "SIZE", "of a test's output so much is shown and kept [1MB]", "\"1MB\"",
     store_inline_limit},
    {"junit-xml", "", "", "--junitxml", Kind::text, kDisplay, "FILE", "write a report as pytest's", "",
     store_text<&PytestRequest::junit_xml>},
    {"json-lines", "", "", "", Kind::text, kDisplay, "FILE", "write one JSON object an event; -: to standard output", "",
     store_text<&PytestRequest::json_lines>},
    {"html", "", "", "", Kind::text, kDisplay, "FILE", "write a page with everything", "", store_text<&PytestRequest::html>},
    {"github", "", "", "", Kind::flag, kDisplay, "", "annotations and a step summary for GitHub [where GITHUB_ACTIONS is true]", "",
     store_github},
    {"log-level", "-L", "-L", "", Kind::text, kDisplay, "LEVEL", "accepted as maelstrom's: error, warning, info, debug", "",
     store_log_level},
    {"collect-from-module", "", "", "", Kind::text, kToPytest, "MODULE", "collect the tests of this installed module (--pyargs)", "",
     store_optional_text<&PytestRequest::collect_from_module>},
    {"extra-pytest-args", "", "", "", Kind::list, kToPytest, "ARG", "one more argument for pytest; with '=' before a dash, may be repeated",
     "[]", store_list<&PytestRequest::pytest_arguments>},
    {"extra-pytest-collect-args", "", "", "", Kind::list, kToPytest, "ARG", "the same, only where tests are collected", "[]",
     store_list<&PytestRequest::pytest_collect_arguments>},
    {"extra-pytest-test-args", "", "", "", Kind::list, kToPytest, "ARG", "the same, only where a test runs; also all that follows --", "[]",
     store_list<&PytestRequest::pytest_test_arguments>},
    {"immortal", "", "", "", Kind::flag, kCells, "", "Python 3.12 and later: what lives after collection is not made immortal", "true",
     store_immortal},
    {"broker", "-b", "-b", "", Kind::text, kRunning, "ADDRESS", "accepted as maelstrom's; the tests run here", "", store_broker},
    {"cache-size", "", "", "", Kind::text, kPackages, "SIZE", "accepted as maelstrom's", "", store_cache_size},
    {"container-image-depot-root", "", "", "", Kind::text, kPackages, "PATH", "accepted as maelstrom's", "", store_depot},
    {"accept-invalid-remote-container-tls-certs", "", "", "", Kind::flag, kPackages, "", "trust any registry's certificate", "false",
     store_accept_invalid},
};

}  // namespace

std::span<const PytestSetting> pytest_settings() { return kSettings; }

const PytestSetting* pytest_setting(std::string_view key) {
  std::string name(key);
  std::replace(name.begin(), name.end(), '_', '-');
  const auto found = std::find_if(std::begin(kSettings), std::end(kSettings), [&](const PytestSetting& one) { return one.key == name; });
  return found == std::end(kSettings) ? nullptr : found;
}

}  // namespace casemate
