#include "session/suite_inputs.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "command/kept_run.h"
#include "session/bounds.h"
#include "session/executors.h"
#include "session/pytest_words.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kSelecting = {"-k", "-m", "--deselect", "--ignore"};
constexpr std::array<std::string_view, 12> kShowing = {
    "--tb",         "--color",    "--show-capture", "--showlocals", "--no-showlocals",   "--verbosity",
    "--full-trace", "--xfail-tb", "--verbose",      "--quiet",      "--no-fold-skipped", "--force-short-summary"};
constexpr std::array<std::string_view, 4> kShortWithValue = {"-p", "-o", "-W", "-c"};

bool is_in(const auto& words, std::string_view word) { return std::ranges::find(words, word) != words.end(); }

// "-vv", "-q".
bool is_verbosity(std::string_view word) {
  const std::size_t other = word.find_first_not_of("vq", 1);
  return word.size() > 1 && word[0] == '-' && other == std::string_view::npos;
}

// Whether a value follows as a word of its own. What a plugin's option takes is not known here.
bool takes_none(std::string_view option) {
  for (const PytestWord& word : pytest_words()) {
    const std::string names = fmt::format(",{},", word.names);
    if (word.value == PytestWord::Value::none && names.contains(fmt::format(",{},", option))) return true;
  }
  return false;
}

bool is_path(const std::string& word, const std::string& directory) {
  std::error_code unknown;
  return fs::exists(fs::path(directory) / word.substr(0, word.find("::")), unknown);
}

}  // namespace

std::vector<std::string> counting_arguments(const std::vector<std::string>& arguments, const std::string& directory) {
  std::vector<std::string> counting;
  bool may_be_value = false;  // of the option before, which stays
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const std::string name = word.substr(0, word.find('='));
    const bool has_value = name.size() < word.size();
    if (word.size() > 1 && word[0] == '-') {
      const bool is_short = word[1] != '-';
      const bool selects = is_in(kSelecting, name) || name == "--ignore-glob" || (is_short && is_in(kSelecting, word.substr(0, 2)));
      may_be_value = false;
      if (selects) {
        if (!has_value && (!is_short || word.size() == 2)) ++i;
      } else if (is_in(kShowing, name)) {
        if (!has_value && !takes_none(name) && name != "--verbose" && name != "--quiet") ++i;
      } else if (!is_verbosity(word)) {
        counting.push_back(word);
        may_be_value = is_short ? is_in(kShortWithValue, word) : !has_value && !takes_none(word);
      }
      continue;
    }
    if (may_be_value || !is_path(word, directory)) counting.push_back(word);
    may_be_value = false;
  }
  return counting;
}

InputFilter suite_filter(const PytestRequest& request) {
  InputFilter without{.names = {".git", ".hg", ".svn", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".coverage"}};
  for (const std::string* report : {&request.junit_xml, &request.json_lines, &request.html}) {
    if (!report->empty() && *report != kStandardOutput) without.paths.insert(fs::path(*report).lexically_normal());
  }
  return without;
}

Result<JobInputs> suite_inputs(const Furnishing& furnishing, const PytestRequest& request, InputTrees& trees) {
  Job job = furnishing.request.fork;
  const std::vector<std::string>& argv = furnishing.request.parent.argv;
  job.argv = {argv.front()};
  std::ranges::move(counting_arguments({argv.begin() + 1, argv.end()}, request.directory), std::back_inserter(job.argv));
  std::vector<std::pair<std::string, std::string>> more = {{"pytest's root", pytest_root(request.directory, request.pytest_arguments)},
                                                           {"objects made immortal", request.immortal ? "yes" : "no"}};
  if (request.remote) {
    std::ranges::move(engine_words(*request.remote), std::back_inserter(more));
    more.emplace_back("tests run here too", slots_of(request).cells > 0 && slots_of(request).groups > 0 ? "yes" : "no");
  }
  return inputs_of(job, trees, more);
}

}  // namespace casemate
