#include "session/group_runs.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "session/collector.h"
#include "session/group.h"
#include "witness/worker_facts.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(10);  // with a group that should have ended: its executor may tell nothing before

}  // namespace

struct GroupRuns::Group : JobListener {
  explicit Group(GroupRuns& owner) : runs(owner) {}
  GroupRuns& runs;
  std::vector<std::unique_ptr<RunningUnit>> units;  // by their number in it; null: over
  LineReader lines;
  std::optional<std::uint32_t> slot;
  bool has_told = false;  // of a unit
  bool taken = false;     // its units run elsewhere, or not at all
  bool apart = false;     // its units are in namespaces of their own
  bool damaged = false;   // what it says makes no sense any more
  bool done = false;
  Clock::time_point submitted = Clock::now();
  std::chrono::microseconds expected{0};

  void started() override { slot = runs.session_.take_group_slot(); }
  void report(std::string_view bytes) override {
    lines.add(bytes, [this](std::string_view line) {
      if (!damaged) runs.hear(*this, read_group_line(line));
    });
    damaged |= lines.dropped() > 0;
  }
  void finished(JobResult result) override { runs.finish(*this, std::move(result)); }

  [[nodiscard]] RunningUnit* unit(std::uint64_t number) const { return number < units.size() ? units[number].get() : nullptr; }

  [[nodiscard]] std::string why_lost(const JobResult& result) const {
    if (damaged) return "what its interpreter told makes no sense";
    if (result.outcome.kind == Outcome::Kind::lost && !result.outcome.detail.empty()) return printable_line(result.outcome.detail);
    std::string why = printable_line(words(result.outcome));
    if (!result.outcome.detail.empty() && why.find(result.outcome.detail) == std::string::npos)
      why += ": " + printable_line(result.outcome.detail);
    const std::string said = last_words(result);
    if (result.outcome.kind == Outcome::Kind::exited && !said.empty()) why += ": " + printable_line(said.substr(said.rfind('\n') + 1));
    return why;
  }
};

GroupRuns::GroupRuns(GroupSession& session, Engine& engine, std::uint64_t capture_bytes)
    : session_(session), engine_(engine), capture_bytes_(capture_bytes) {}
GroupRuns::~GroupRuns() = default;

std::vector<Unit> GroupRuns::take_broken() {
  if (broken_.empty()) return {};
  std::vector<Unit> units = std::move(broken_.front());
  broken_.pop_front();
  return units;
}

void GroupRuns::submit(std::vector<Unit> units) {
  const std::vector<SelectedTest>& tests = session_.selected();
  auto group = std::make_unique<Group>(*this);
  std::vector<const Unit*> all;
  for (Unit& unit : units) {
    group->expected += expected_time(unit, tests);
    RunningUnit& running = *group->units.emplace_back(std::make_unique<RunningUnit>());
    for (const std::size_t test : unit.tests) running.told.expect(tests[test].test.id);
    running.unit = std::move(unit);
    all.push_back(&running.unit);
  }
  const SelectedTest& first = tests[all.front()->tests.front()];
  Job job;
  job.name = first.test.id;
  job.executor = Executors::name_of_groups(first.executor);
  job.argv = {"group", group_units(told_units(all, tests)), session_.rewritten()};
  job.capture_bytes = capture_bytes_;
  Group* raw = group.get();
  running_[raw] = std::move(group);
  (void)engine_.submit(std::move(job), *raw);
}

void GroupRuns::begin_unit(Group& group, std::uint64_t number) {
  RunningUnit* unit = group.unit(number);
  if (!unit || unit->has_started || session_.stopped()) return;
  group.has_told = true;
  unit->slot = group.slot.value_or(0);
  session_.unit_began(*unit);
}

void GroupRuns::end_unit(Group& group, GroupOver over) {
  RunningUnit* unit = group.unit(over.unit);
  // One that has not begun can have died with what it was to be forked from, and nothing else.
  if (!unit || (!unit->has_started && (session_.stopped() || !over.died))) return;
  group.has_told = true;
  const std::unique_ptr<RunningUnit> owner = std::move(group.units[over.unit]);
  owner->apart = group.apart;
  const std::vector<SelectedTest>& tests = session_.selected();
  Limits limits = session_.executors().furnishing(tests[owner->unit.tests.front()].executor).request.fork.limits;
  limits.wall = wall_of(owner->unit, tests);
  session_.conclude(*owner, result_of(std::move(over), limits));
}

void GroupRuns::hear(Group& group, GroupLine line) {
  if (const auto* begin = std::get_if<GroupBegin>(&line)) {
    begin_unit(group, begin->unit);
  } else if (const auto* piece = std::get_if<GroupPiece>(&line)) {
    if (RunningUnit* unit = group.unit(piece->unit); unit && unit->has_started) unit->told.add(piece->bytes);
  } else if (auto* over = std::get_if<GroupOver>(&line)) {
    end_unit(group, std::move(*over));
  } else if (auto* apart = std::get_if<GroupApart>(&line)) {
    group.apart = apart->cells;
    if (apart->note.empty()) return;
    const bool remote = session_.executors().has_engine() && !apart->cells;
    session_.note_once(printable_line(apart->note) + (remote ? fmt::format("; {}", namespaces_hint(apart->root)) : ""));
  } else if (auto* tied = std::get_if<GroupTied>(&line)) {
    if (tied->file.empty()) return;  // of a parent of all files, which is another's
    session_.make_cold(tied->file, printable_name(tied->left));
    for (const auto& unit : group.units) {
      if (unit && session_.selected()[unit->unit.tests.front()].test.file == tied->file) unit->unit.cold = true;
    }
  } else if (auto* differs = std::get_if<GroupDiffers>(&line)) {
    session_.make_whole(differs->file);
  } else if (std::holds_alternative<GroupDone>(line)) {
    group.done = true;
  } else if (std::holds_alternative<std::monostate>(line)) {
    group.damaged = true;
  }
}

void GroupRuns::look(bool idle) {
  std::vector<Group*> over;
  for (const auto& [raw, group] : running_) {
    if (!session_.stopped() && !over.empty()) break;  // one at a time
    const bool runs = std::any_of(group->units.begin(), group->units.end(), [](const auto& unit) { return unit && unit->has_started; });
    const bool late = !group->has_told && Clock::now() - group->submitted > 2 * group->expected + kPatience;
    if (!group->taken && (session_.stopped() ? !runs : idle && late)) over.push_back(raw);
  }
  for (Group* group : over) {
    group->taken = true;
    engine_.cancel(*group);
  }
}

void GroupRuns::finish(Group& group, JobResult result) {
  const std::unique_ptr<Group> owner = std::move(running_.at(&group));
  running_.erase(&group);
  conclude(group, std::move(result));
  session_.group_over(group.slot);
}

void GroupRuns::conclude(Group& group, JobResult result) {
  const bool gone = !session_.stopped() && session_.note_whether_unable(result.outcome);
  for (const std::string& note : result.notes) session_.note_once(note);
  std::vector<std::unique_ptr<RunningUnit>> rest;
  std::optional<std::size_t> began;
  for (auto& unit : group.units) {
    if (!unit) continue;
    if (unit->has_started) began = rest.size();
    rest.push_back(std::move(unit));
  }
  if (rest.empty()) return;
  if (session_.stopped() || gone || group.taken) {
    for (const auto& unit : rest) give_back(*unit, result);
    return;
  }
  const std::string why = group.why_lost(result);
  if (rest.size() == 1) {  // it has another try, and then nobody can say
    rest.front()->has_started = true;
    return session_.conclude(*rest.front(), JobResult{.outcome = {Outcome::Kind::lost, 0, "warm parent", why}});
  }
  session_.note_once(fmt::format("{} tests of a group did not come back ({}): run again in parts", rest.size(), why));
  std::vector<Unit> units;
  for (const auto& unit : rest) units.push_back(std::move(unit->unit));
  for (std::vector<Unit>& part : split_group(std::move(units), began)) {
    if (!part.empty()) broken_.push_back(std::move(part));
  }
}

// Of a group that ends with the run, or with its executor: what is left has not run, or runs here.
void GroupRuns::give_back(RunningUnit& running, const JobResult& result) {
  if (!session_.stopped()) {
    running.unit.here = true;
    return session_.run_again(std::move(running.unit));
  }
  const bool lost = result.outcome.kind == Outcome::Kind::lost;
  if (running.has_started) session_.conclude(running, JobResult{.outcome = lost ? result.outcome : Outcome{Outcome::Kind::cancelled}});
}

}  // namespace casemate
