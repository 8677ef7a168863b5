#include "session/selection.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include <fmt/format.h>

#include "base/terminal.h"
#include "warm/protocol.h"

namespace casemate {
namespace {

// Whether a file of the project was written after `since`, or can't be looked at.
bool has_changed(const std::string& path, std::chrono::milliseconds since) {
  struct stat status{};
  if (::stat(path.c_str(), &status) < 0) return true;
  return std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec) >= since;
}

}  // namespace

Result<TestChoice> TestChoice::parse(const PytestRequest& request) {
  TestChoice choice;
  for (const std::string& text : request.include) {
    TRY_ASSIGN(TestFilter filter, TestFilter::parse(text));
    choice.include_.push_back(std::move(filter));
  }
  for (const std::string& text : request.exclude) {
    TRY_ASSIGN(TestFilter filter, TestFilter::parse(text));
    choice.exclude_.push_back(std::move(filter));
  }
  return choice;
}

bool TestChoice::takes(const TestCase& test) const {
  const auto takes_it = [&](const TestFilter& filter) { return filter.takes(test); };
  if (!include_.empty() && std::none_of(include_.begin(), include_.end(), takes_it)) return false;
  return std::none_of(exclude_.begin(), exclude_.end(), takes_it);
}

std::vector<SelectedTest> select_tests(std::vector<TestCase> tests, const TestChoice& choice, Directives& directives) {
  std::vector<SelectedTest> all;
  std::map<std::string, std::size_t> sizes;
  std::map<std::string, std::size_t> seen;
  for (const TestCase& test : tests) ++sizes[test.file];
  for (TestCase& test : tests) {
    const std::size_t in_file = seen[test.file]++;
    if (!choice.takes(test)) continue;
    const std::size_t index = directives.of(test);
    const TestContainer& directive = directives.container(index);
    SelectedTest selected{.test = std::move(test), .container = index, .ignored = directive.ignore, .place = all.size()};
    selected.parent = selected.test.file;
    if (sizes[selected.test.file] > kMostItems) selected.parent += '\0' + std::to_string(in_file / kMostItems);
    selected.isolation = directive.isolation.value_or(Isolation::test);
    selected.uncached = selected.test.uncached || !directive.cache.value_or(true);
    selected.retries = directive.retries.value_or(0);
    selected.timeout = directive.container.limits.wall;
    if (selected.timeout && selected.timeout->count() == 0) selected.timeout.reset();
    all.push_back(std::move(selected));
  }
  return all;
}

Result<void> look_back(std::vector<SelectedTest>& tests, const TestHistory& history, const Directives& directives,
                       const PytestRequest& request, bool ordered) {
  std::map<std::string, std::unordered_map<std::string, TestTiming>> known;  // by container's name
  std::map<std::string, bool> changed;                                       // files, since their tests needed others
  bool any_failed = false;
  bool has_past = false;
  for (SelectedTest& selected : tests) {
    const auto [past, is_new] = known.try_emplace(directives.container(selected.container).name());
    if (is_new) {
      TRY_ASSIGN(past->second, history.timings(request.directory, past->first));
      has_past |= !past->second.empty();
    }
    const auto found = past->second.find(selected.test.id);
    selected.known = found != past->second.end();
    if (!selected.known) continue;
    selected.failed = found->second.failed;
    selected.mean = std::chrono::microseconds(found->second.mean_us.value_or(0));
    any_failed |= selected.failed;
    if (const auto& needed = found->second.needed_others_ms) {
      const auto [file, to_look] = changed.try_emplace(selected.test.file);
      if (to_look) file->second = has_changed(request.directory + "/" + selected.test.file, std::chrono::milliseconds(*needed));
      selected.needs_others = !file->second;
    }
  }
  if (request.last_failed && any_failed) std::erase_if(tests, [](const SelectedTest& selected) { return !selected.failed; });
  if (ordered) put_in_order(tests, has_past);
  return {};
}

void take_shard(std::vector<SelectedTest>& tests, const PytestRequest& request) {
  std::erase_if(tests, [&](const SelectedTest& selected) { return selected.place % request.shards != request.shard - 1; });
}

TiedFiles find_tied(const std::vector<SelectedTest>& tests, const Collector& collector) {
  TiedFiles tied;
  const std::vector<std::string>& everywhere = collector.done->left;
  std::map<std::string, std::set<std::string>> files;  // by what they leave
  for (const SelectedTest& selected : tests) {
    const std::string& file = selected.test.file;
    const auto left = collector.left.find(file);
    if (selected.ignored || is_cold(selected) || (everywhere.empty() && left == collector.left.end())) continue;
    tied.files.insert(file);
    if (everywhere.empty()) files[left->second].insert(file);
  }
  if (!everywhere.empty() && !tied.files.empty())
    tied.notes.push_back(
        fmt::format("conftest.py leaves {} when it is imported: all tests get fresh interpreters", printable_name(everywhere.front())));
  for (const auto& [words, of_same] : files) tied.notes.push_back(tied_note(of_same, words));
  return tied;
}

}  // namespace casemate
