#include "session/suite_cache.h"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "action/input_history.h"
#include "session/suite_inputs.h"

namespace casemate {
namespace {

// What of a test itself its result depends on.
std::string name_of(const SelectedTest& selected) {
  std::string name = selected.test.id;
  if (selected.timeout) name += fmt::format("\n{} ms", selected.timeout->count());
  if (is_cold(selected)) name += "\ncold";
  return name;
}

bool is_plain_pass(const TestResult& result) {
  return result.verdict == Verdict::passed && result.attempt == 1 && result.last && !result.flaky && result.outcome.succeeded() &&
         result.cell_is_its_own && result.leftovers.empty() &&
         std::ranges::all_of(result.reports, [](const TestReport& report) { return report.outcome == "passed" && !report.xfail; });
}

}  // namespace

std::vector<std::string> suite_command(const std::string& container) { return {"casemate pytest\n" + container}; }

void SuiteCache::switch_off(const std::string& why) {
  if (!off_) sinks_.note("--cache: all tests run, and nothing is kept: " + why);
  off_ = true;
  suites_.clear();
}

void SuiteCache::look(std::size_t number, const Furnishing& furnishing, const std::string& container) {
  if (off_ || suites_.contains(number)) return;
  if (auto done = read(number, furnishing, container); !done) switch_off(done.error().what);
}

Result<void> SuiteCache::read(std::size_t number, const Furnishing& furnishing, const std::string& container) {
  if (!store_) {
    TRY_ASSIGN(store_, Store::open());
  }
  InputTrees trees(store_->directory(), suite_filter(request_));
  Suite suite{.furnishing = &furnishing, .container = container};
  TRY_ASSIGN(suite.inputs, suite_inputs(furnishing, request_, trees));
  KeptPasses::Found found = KeptPasses(store_->directory()).find(suite.inputs.action.hash);
  if (found.damaged) sinks_.note("--cache: what was kept of these tests is damaged: all of them run");
  suite.known = std::move(found.passes);
  suites_[number] = std::move(suite);
  if (!first_) first_ = number;
  return {};
}

bool SuiteCache::tell(const std::function<void(const JobInputs&, const std::string&, std::size_t, const Store&)>& why) const {
  if (suites_.empty() || !first_) return false;
  const Suite& suite = suites_.at(*first_);
  why(suite.inputs, suite.container, suite.known.size(), *store_);
  return true;
}

const KeptPass* SuiteCache::find(const SelectedTest& selected, bool alone) const {
  const auto suite = suites_.find(selected.executor);
  if (suite == suites_.end() || !alone || selected.uncached) return nullptr;
  const auto pass = suite->second.known.find(name_of(selected));
  return pass == suite->second.known.end() ? nullptr : &pass->second;
}

void SuiteCache::take(const SelectedTest& selected, const TestResult& result) {
  const auto suite = suites_.find(selected.executor);
  if (suite == suites_.end() || selected.uncached) return;
  suite->second.used |= result.cached;
  if (result.cached || !is_plain_pass(result)) return;
  suite->second.fresh[name_of(selected)] = {
      .duration = result.duration, .made = std::time(nullptr), .warnings = result.warnings, .properties = result.properties};
}

bool SuiteCache::is_as_it_was(const Suite& suite) const {
  InputTrees trees(store_->directory(), suite_filter(request_));
  const auto inputs = suite_inputs(*suite.furnishing, request_, trees);
  return inputs && inputs->action == suite.inputs.action;
}

void SuiteCache::save() {
  bool useful = false;
  for (auto& [number, suite] : suites_) {
    if (suite.fresh.empty() && !suite.used) continue;
    if (!suite.fresh.empty()) {
      if (!is_as_it_was(suite)) {
        sinks_.note("--cache: files changed while the tests ran: their results are not kept");
        continue;
      }
      PassesByTest fresh = std::exchange(suite.fresh, {});
      KeptPasses(store_->directory()).add(suite.inputs.action.hash, fresh);
      suite.known.merge(fresh);
    }
    useful = true;
  }
  if (!useful) return;
  const Suite& suite = suites_.at(*first_);
  InputHistory(store_->directory()).record(request_.directory, suite_command(suite.container), suite.inputs);
}

TestResult cached_result(const TestCase& test, const KeptPass& pass) {
  TestResult result;
  result.test = test;
  result.verdict = Verdict::passed;
  result.outcome = {Outcome::Kind::exited, 0};
  result.duration = pass.duration;
  result.warnings = pass.warnings;
  result.properties = pass.properties;
  result.cached = true;
  return result;
}

}  // namespace casemate
