// The steps of a sequence: what they need, their words with values in them, the command, what is looked at afterwards.
#include <algorithm>
#include <charconv>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "testplan/checks.h"
#include "testplan/plan_sequence.h"
#include "testplan/shell_state.h"
#include "testplan/shell_values.h"

namespace casemate {
namespace {

constexpr auto kLookTime = std::chrono::seconds(30);
constexpr unsigned kPatience = 100;  // tenths of a second that a service which was started gets until it listens
constexpr std::string_view kSession = "plan";

// Passes a command's output on as that of a case's step.
class Passing final : public JobListener {
 public:
  Passing(PlanListener& to, std::optional<std::size_t> index, std::size_t step) : to_(to), index_(index), step_(step) {}
  void output(Stream stream, std::string_view bytes) override {
    if (index_) to_.output(*index_, step_, stream, bytes);
  }

 private:
  PlanListener& to_;
  std::optional<std::size_t> index_;
  std::size_t step_;
};

void put_values(PlanStep& step, const PlanValues& values) {
  step.command = with_references(step.command, values);
  step.input = with_values(step.input, values);
  for (auto& [name, value] : step.environment) value = with_values(value, values);
  for (auto* texts : {&step.expected.output, &step.expected.error, &step.expected.files}) {
    for (std::string& text : *texts) text = with_values(text, values);
  }
  for (ExpectedContent& content : step.expected.contents) content = {with_values(content.file, values), with_values(content.text, values)};
  for (PlanDependency& need : step.depends_on) need.what = with_values(need.what, values);
}

std::vector<std::string> services_of(const std::vector<PlanDependency>& needs) {
  std::vector<std::string> what;
  for (const PlanDependency& need : needs) {
    if (need.kind == PlanDependency::Kind::service) what.push_back(need.what);
  }
  return what;
}

bool is_own(const Extraction& value, const PlanStep& step) { return value.of.empty() || value.of == step.id; }

}  // namespace

void PlanSequence::remember(const StepResult& result) {
  for (const auto& [name, value] : result.values) values_[name] = value;
}

// Values of other cases, of the set-up, or of earlier steps of this case.
Result<void> PlanSequence::take_from_others(const PlanStep& step, const Before& before, StepResult& result) {
  const auto earlier = [&](const std::string& id) -> const StepResult* {
    for (std::size_t at = 0; before.one && at < before.ended->steps.size(); ++at) {
      if (before.one->steps[at].id == id && before.ended->steps[at].outcome) return &before.ended->steps[at];
    }
    for (std::size_t at = 0; at < setup_.size(); ++at) {
      if (progress_.plan.setup[at].id == id && setup_[at].outcome) return &setup_[at];
    }
    return nullptr;
  };
  for (const Extraction& value : step.extractions) {
    if (is_own(value, step)) continue;
    const StepResult* of = earlier(value.of);
    TRY_ASSIGN(result.values[value.variable], of ? extract(value, of->out) : progress_.value_of(value));
  }
  remember(result);
  return {};
}

void PlanSequence::take_own(const PlanStep& step, StepResult& result) const {
  for (const Extraction& value : step.extractions) {
    if (!is_own(value, step) || !result.outcome) continue;
    auto taken = extract(value, result.out);
    if (taken) {
      result.values[value.variable] = std::move(*taken);
    } else if (result.status == PlanStatus::passed) {
      result.status = PlanStatus::failed;
      result.reason = taken.error().what;
    }
  }
}

PlanTask<StepResult> PlanSequence::step(const PlanStep& step, Heard heard, Before before) {
  StepResult result;
  if (auto taken = take_from_others(step, before, result); !taken) {
    result.status = PlanStatus::error;
    result.reason = taken.error().what;
    co_return result;
  }
  for (const std::string& name : value_names(step)) {
    if (values_.contains(name) || !progress_.is_value(name)) continue;
    result.status = PlanStatus::error;
    result.reason = fmt::format("no value for {}: nothing that ran before has given it", name);
    co_return result;
  }
  PlanStep said = step;
  put_values(said, values_);
  Lack lack{progress_.lacks(said.depends_on, before.one, before.ended)};
  if (lack.why.empty()) {
    std::vector<PlanDependency> needs = said.depends_on;
    if (said.background) std::erase_if(needs, [](const PlanDependency& need) { return need.kind == PlanDependency::Kind::service; });
    lack = co_await missing(needs);
  }
  if (!lack.why.empty()) {
    result.status = lack.status;
    result.reason = std::move(lack.why);
    co_return result;
  }
  if (said.command.empty()) {  // about what was before it
    if (before.last) {
      result.outcome = before.last->outcome;
      result.out = before.last->out;
      result.err = before.last->err;
      result.truncated = before.last->truncated;
    }
    const std::vector<bool> there = co_await present(said.expected.files);
    const std::vector<std::string> in_files = co_await contents(said.expected.contents);
    judge(said, result, there, in_files);
    take_own(said, result);
    result.outcome.reset();  // they stand at that command
    result.out.clear();
    result.err.clear();
    result.truncated = false;
    remember(result);
    co_return result;
  }
  for (unsigned tries = 0; tries <= said.retries.value_or(0); ++tries) {
    const bool again = co_await try_step(said, heard, result);
    if (!again) break;
  }
  remember(result);
  co_return result;
}

// One try of a command; true if another one might do better.
PlanTask<bool> PlanSequence::try_step(const PlanStep& step, Heard heard, StepResult& result) {
  const unsigned attempts = result.attempts + 1;
  const PlanValues taken = result.values;
  result = {};
  result.attempts = attempts;
  result.values = taken;
  result.environment = values_;
  for (const auto& [name, value] : step.environment) result.environment[name] = value;

  std::string words = step.command;
  if (step.background) {
    running_.push_back({step.id, fmt::format("service{}", ++started_services_), step.expected.exit_code});
    words = as_service(words, services_of(step.depends_on), running_.back().name);
  }
  ContextCommand next = in_session(std::move(words), progress_.options.shell, std::string(kSession), result.environment);
  next.terminal = step.terminal;
  next.input = step.input;
  next.wall = step.timeout.value_or(progress_.options.timeout);
  next.capture_bytes = progress_.options.capture_bytes;
  JobResult ended = co_await command(std::move(next), heard);
  has_services_ |= step.background || !ended.leftovers.empty();
  result.outcome = ended.outcome;
  result.resources = ended.resources;
  result.out = std::move(ended.output.out);
  result.err = std::move(ended.output.err);
  result.truncated = ended.output.truncated;
  result.changes = std::move(ended.changes);
  result.services = std::move(ended.leftovers);
  const std::vector<bool> there = co_await present(step.expected.files);
  const std::vector<std::string> in_files = co_await contents(step.expected.contents);
  if (step.background && ended.outcome.succeeded()) {  // it goes on: what it writes is looked at when its case ends
    PlanStep so_far = step;
    so_far.expected.exit_code = 0;
    so_far.expected.nonzero = false;
    so_far.expected.output.clear();
    so_far.expected.error.clear();
    judge(so_far, result, there, in_files);
  } else {
    if (step.background) running_.back().ended = true;
    judge(step, result, there, in_files);
    take_own(step, result);
  }
  co_return result.status != PlanStatus::passed && !progress_.cancelled() && context_->alive();
}

// ---- services

// What those of a case's steps have written until it ends, or of the set-up's until the context does; one that ended otherwise than it was
// to fails its step.
PlanTask<bool> PlanSequence::hear_services(const std::vector<PlanStep>& steps, std::vector<StepResult>& results) {
  for (std::size_t at = 0; at < steps.size() && at < results.size(); ++at) {
    if (!steps[at].background || results[at].status != PlanStatus::passed) continue;
    const auto service = std::find_if(running_.rbegin(), running_.rend(), [&](const Service& one) { return one.step == steps[at].id; });
    if (service == running_.rend() || service->ended || !alive()) continue;
    const std::string problem = co_await hear_service(*service, &results[at]);
    PlanStep said = steps[at];
    put_values(said, values_);
    auto& wanted = said.expected;
    wanted = {.output = std::move(wanted.output), .error = std::move(wanted.error)};
    wanted.output.insert(wanted.output.end(), wanted.error.begin(), wanted.error.end());  // both streams are one
    wanted.error.clear();
    judge(said, results[at], {});
    take_own(said, results[at]);
    remember(results[at]);
    if (problem.empty()) continue;
    results[at].status = PlanStatus::failed;
    results[at].reason = problem;
  }
  co_return true;
}

// Its output so far; why it is not as it should be, "" else. One that a signal of people's stopped (HUP, INT, KILL, TERM) is.
PlanTask<std::string> PlanSequence::hear_service(Service& service, StepResult* result) {
  const JobResult looked = co_await look(service_output(service.name), kMostOfService + 1024);
  const std::string& all = looked.output.out;
  const auto line = all.find('\n');
  if (!looked.outcome.succeeded() || line == std::string::npos) co_return "";
  if (result) {
    result->out = all.substr(line + 1);
    result->truncated = result->out.size() >= kMostOfService;
  }
  int status = 0;
  const auto [end, wrong] = std::from_chars(all.data(), all.data() + line, status);
  if (wrong != std::errc{} || end != all.data() + line) co_return "";
  service.ended = true;
  const auto stopped = [&](int signal) { return status == 128 + signal; };
  if (status == 0 || !service.expected || status == service.expected || stopped(SIGHUP) || stopped(SIGINT) || stopped(SIGKILL) ||
      stopped(SIGTERM))
    co_return "";
  co_return fmt::format("the service ended with status {}, expected {}", status, *service.expected);
}

// Those that nobody else hears of any more: their cases have ended.
PlanTask<bool> PlanSequence::say_ended_services() {
  for (Service& service : running_) {
    if (service.ended || !alive()) continue;
    const std::string problem = co_await hear_service(service, nullptr);
    if (!problem.empty()) progress_.listener.note(fmt::format("'{}', after its case: {}", printable_line(service.step), problem));
  }
  co_return true;
}

// The first of what the context has to have and hasn't.
PlanTask<PlanSequence::Lack> PlanSequence::missing(const std::vector<PlanDependency>& needs) {
  std::vector<PlanDependency> asked;
  for (const PlanDependency& need : needs) {
    if (need.kind == PlanDependency::Kind::result) continue;
    asked.push_back(need);
    asked.back().what = with_values(need.what, values_);
  }
  Lack lack;
  while (!asked.empty()) {
    const std::size_t count = std::min(asked.size(), kMostNeeds);
    const std::vector<PlanDependency> part(asked.begin(), asked.begin() + static_cast<std::ptrdiff_t>(count));
    asked.erase(asked.begin(), asked.begin() + static_cast<std::ptrdiff_t>(count));
    const JobResult looked = co_await look(check_needs(part, has_services_ ? kPatience : 0));
    if (looked.outcome.succeeded()) continue;
    const auto first = static_cast<std::size_t>(looked.outcome.code - kFirstMissing);
    if (looked.outcome.kind == Outcome::Kind::exited && looked.outcome.code >= kFirstMissing && first < part.size())
      lack.why = fmt::format("needs {}, which is not there", casemate::words(part[first]));
    else
      lack = {fmt::format("can't look for what it needs: {}", casemate::words(looked.outcome)), PlanStatus::error};
    break;
  }
  co_return lack;
}

PlanTask<std::vector<bool>> PlanSequence::present(const std::vector<std::string>& files) {
  std::vector<bool> found(files.size());
  if (files.empty() || !context_ || !context_->alive()) co_return found;
  const JobResult looked = co_await look(check_files(files));
  if (!looked.outcome.succeeded() || looked.output.out.size() != files.size()) co_return found;
  for (std::size_t at = 0; at < files.size(); ++at) found[at] = looked.output.out[at] == '1';
  co_return found;
}

PlanTask<std::vector<std::string>> PlanSequence::contents(const std::vector<ExpectedContent>& files) {
  std::vector<std::string> found(files.size());
  for (std::size_t at = 0; at < files.size() && alive(); ++at) {
    JobResult looked = co_await look(file_content(files[at].file), kMostOfFile + 1024);
    if (looked.outcome.succeeded()) found[at] = std::move(looked.output.out);
  }
  co_return found;
}

PlanTask<JobResult> PlanSequence::look(std::string script, std::uint64_t most) {
  ContextCommand asks = in_session(std::move(script), progress_.options.shell, std::string(kSession), {});
  asks.wall = kLookTime;
  asks.capture_bytes = most;
  asks.changes = false;
  JobResult looked = co_await command(std::move(asks), Heard{});
  co_return looked;
}

PlanTask<JobResult> PlanSequence::command(ContextCommand command, Heard heard) {
  Passing passing(progress_.listener, heard.index, heard.step);
  brought_->ended.reset();
  auto started = context_->start(std::move(command), passing, [brought = brought_](JobResult ended) {
    brought->ended = std::move(ended);
    brought->arrival.arrive();
  });
  JobResult ended;
  if (!started) {
    ended.outcome = {Outcome::Kind::setup_failed, started.error().errno_value, "start a command", started.error().what};
    if (!context_->alive()) ended.outcome = {Outcome::Kind::lost, 0, "", started.error().what};
    co_return ended;
  }
  co_await brought_->arrival;
  ended = std::move(*brought_->ended);
  brought_->ended.reset();
  if (ended.outcome.kind == Outcome::Kind::cancelled) progress_.cancel();
  crowded_ |= ended.outcome.kind == Outcome::Kind::too_many_processes;
  if (ended.outcome.kind == Outcome::Kind::lost && ended.outcome.step == kExecutorGone) progress_.lose(ended.outcome.detail);
  co_return ended;
}

}  // namespace casemate
