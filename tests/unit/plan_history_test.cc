#include "store/plan_history.h"

#include <csignal>
#include <random>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/digest.h"
#include "store/database.h"
#include "store_scratch.h"

namespace casemate {
namespace {

class PlanHistoryTest : public StoreScratch {
 protected:
  PlanHistory open() {
    auto history = PlanHistory::open(directory_);
    EXPECT_TRUE(history) << history.error().what;
    return std::move(*history);
  }
  static PlanRunRow about(const std::string& path = "/plans/a.yaml") {
    PlanRunRow run;
    run.plan = "sha256:" + sha256_hex(path);
    run.path = path;
    run.tool = "jq";
    run.mode = "run";
    run.executor = "native";
    run.image = "host";
    run.started_ms = 1'700'000'000'000;
    return run;
  }
  static PlanCaseRow one(const std::string& id, std::int64_t took_us = 1000) { return {id, id, "passed", "", took_us, "{}"}; }
  static PlanArtifact artifact(const std::string& digest, std::uint64_t bytes = 1) { return {"", "step", "stdout", "", digest, bytes}; }
  // A whole run with one case that printed `output`; its id.
  static std::string ran(PlanHistory& history, const std::string& output, const std::string& path = "/plans/a.yaml") {
    PlanRunRow run = about(path);
    run.id = history.begin(run).value();
    EXPECT_TRUE(history.add_case(run.id, one("c"), {artifact(history.keep(output).value(), output.size())}));
    run.state = "finished";
    EXPECT_TRUE(history.end(run));
    return run.id;
  }
  std::size_t artifact_files() {
    std::size_t found = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory_ + "/plans"))
      found += entry.is_regular_file() && entry.path().filename().string().size() == 62;
    return found;
  }
};

TEST_F(PlanHistoryTest, a_run_comes_back_as_it_was_put) {
  PlanHistory history = open();
  EXPECT_EQ(history.note(), "");
  PlanRunRow run = about();
  run.id = history.begin(run).value();
  EXPECT_EQ(run.id.size(), 12u);
  EXPECT_EQ(open().runs("", 10).value().at(0).state, "running");
  const std::string hostile = std::string("../../../etc/passwd\x1b[2J\n'; DROP TABLE runs; --\xff", 45) + std::string("\0x", 2);
  PlanCaseRow bad{hostile, hostile, "failed", hostile, 77, R"({"a": 1})"};
  const std::string bytes("\0\xff raw", 6);
  const std::string digest = history.keep(bytes).value();
  EXPECT_EQ(digest, "sha256:" + sha256_hex(bytes));
  ASSERT_TRUE(history.add_case(run.id, bad, {{hostile, hostile, "file", hostile, digest, bytes.size()}, artifact(digest)}));
  ASSERT_TRUE(history.add_case(run.id, one("second"), {}));
  run.took_us = 9;
  run.state = "finished";
  run.total = 5, run.passed = 1, run.failed = 2, run.error = 3, run.skipped = 4;
  ASSERT_TRUE(history.end(run));

  PlanHistory again = open();
  const PlanRunRow kept = again.run(run.id.substr(0, 5)).value().value();
  EXPECT_EQ(kept.id, run.id);
  EXPECT_EQ(kept.plan, run.plan);
  EXPECT_EQ(kept.path, run.path);
  EXPECT_EQ(kept.tool + kept.mode + kept.executor + kept.image, "jqrunnativehost");
  EXPECT_EQ(kept.started_ms, run.started_ms);
  EXPECT_EQ(kept.took_us, 9);
  EXPECT_EQ(kept.state, "finished");
  EXPECT_EQ(fmt::format("{}{}{}{}{}", kept.total, kept.passed, kept.failed, kept.error, kept.skipped), "51234");
  const auto cases = again.cases(run.id).value();
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_EQ(cases[0].id, hostile);
  EXPECT_EQ(cases[0].reason, hostile);
  EXPECT_EQ(cases[0].status, "failed");
  EXPECT_EQ(cases[0].took_us, 77);
  EXPECT_EQ(cases[0].result, bad.result);
  EXPECT_EQ(cases[1].id, "second");
  const auto artifacts = again.artifacts(run.id).value();
  ASSERT_EQ(artifacts.size(), 2u);
  EXPECT_EQ(artifacts[0].case_id, hostile);
  EXPECT_EQ(artifacts[0].path, hostile);
  EXPECT_EQ(artifacts[0].kind, "file");
  EXPECT_EQ(artifacts[0].bytes, bytes.size());
  EXPECT_EQ(again.read(artifacts[0].digest).value(), bytes);
  EXPECT_EQ(artifact_files(), 1u);
}

TEST_F(PlanHistoryTest, a_case_that_is_added_again_is_replaced_with_its_artifacts) {
  PlanHistory history = open();
  const std::string run = history.begin(about()).value();
  ASSERT_TRUE(history.add_case(run, one("c"), {artifact(history.keep("1").value()), artifact(history.keep("2").value())}));
  PlanCaseRow second = one("c");
  second.status = "failed";
  ASSERT_TRUE(history.add_case(run, second, {artifact(history.keep("3").value())}));
  ASSERT_EQ(history.cases(run).value().size(), 1u);
  EXPECT_EQ(history.cases(run).value()[0].status, "failed");
  ASSERT_EQ(history.artifacts(run).value().size(), 1u);
  EXPECT_EQ(history.read(history.artifacts(run).value()[0].digest).value(), "3");
}

TEST_F(PlanHistoryTest, what_does_not_exist_is_told) {
  PlanHistory history = open();
  EXPECT_EQ(history.add_case("0123456789ab", one("c"), {}).error().code, ErrorCode::not_found);
  EXPECT_EQ(history.cases("x").error().code, ErrorCode::not_found);
  PlanRunRow never = about();
  never.id = "0123456789ab";
  EXPECT_EQ(history.end(never).error().code, ErrorCode::not_found);
  for (const char* id : {"", "zz", "../../x", "%", "0123456789abcdef", "_"}) EXPECT_FALSE(history.run(id).value()) << id;
  EXPECT_EQ(history.read("sha256:" + std::string(64, 'a')).error().code, ErrorCode::not_found);
  for (const std::string& digest :
       {std::string(), std::string("sha256:../../../etc/passwd"), std::string(64, 'a'), "sha256:" + std::string(64, 'A')}) {
    EXPECT_EQ(history.read(digest).error().code, ErrorCode::invalid_input) << digest;
  }
}

TEST_F(PlanHistoryTest, a_beginning_that_several_runs_have_is_refused) {
  PlanHistory history = open();
  std::set<char> seen;
  std::string twice;
  for (int i = 0; i < 17 && twice.empty(); ++i) {  // 16 hex digits: two of 17 begin alike
    const std::string id = ran(history, "x");
    if (!seen.insert(id[0]).second) twice = id.substr(0, 1);
  }
  ASSERT_FALSE(twice.empty());
  const auto found = history.run(twice);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().what.find("several runs begin with '" + twice + "'"), std::string::npos) << found.error().what;
}

TEST_F(PlanHistoryTest, runs_are_listed_newest_first_by_plan_or_path) {
  PlanHistory history = open();
  const std::string first = ran(history, "1"), other = ran(history, "2", "/plans/b.yaml"), last = ran(history, "3");
  const auto ids = [](const std::vector<PlanRunRow>& runs) {
    std::string all;
    for (const PlanRunRow& run : runs) all += run.id + " ";
    return all;
  };
  EXPECT_EQ(ids(history.runs("", 10).value()), last + " " + other + " " + first + " ");
  EXPECT_EQ(ids(history.runs("", 1).value()), last + " ");
  EXPECT_EQ(ids(history.runs("/plans/a.yaml", 10).value()), last + " " + first + " ");
  EXPECT_EQ(ids(history.runs(about("/plans/b.yaml").plan, 10).value()), other + " ");
  EXPECT_TRUE(history.runs("/nowhere", 10).value().empty());
}

TEST_F(PlanHistoryTest, times_are_those_of_the_newest_run_that_has_the_case) {
  PlanHistory history = open();
  const auto run = [&](std::vector<PlanCaseRow> cases) {
    const std::string id = history.begin(about()).value();
    for (const PlanCaseRow& each : cases) EXPECT_TRUE(history.add_case(id, each, {}));
  };
  run({one("a", 5), one("b", 6)});
  run({one("a", 7)});
  EXPECT_EQ(history.times("/plans/a.yaml").value(), (std::map<std::string, std::int64_t>{{"a", 7}, {"b", 6}}));
  EXPECT_TRUE(history.times("/nowhere").value().empty());
}

TEST_F(PlanHistoryTest, pruning_keeps_the_newest_runs_of_each_plan_and_their_artifacts) {
  PlanHistory history = open();
  ran(history, "old");
  const std::string shared = ran(history, "shared"), kept = ran(history, "shared"), other = ran(history, "other", "/plans/b.yaml");
  const std::string living = history.begin(about("/plans/c.yaml")).value();
  spill(directory_ + "/plans/new.0123456789abcdef", "half of an artifact");
  spill(directory_ + "/plans/mine.txt", "of the user");
  ASSERT_TRUE(history.prune(1));
  EXPECT_FALSE(history.run(shared).value());
  EXPECT_EQ(history.read(history.artifacts(kept).value().at(0).digest).value(), "shared");
  EXPECT_EQ(history.read(history.artifacts(other).value().at(0).digest).value(), "other");
  EXPECT_EQ(artifact_files(), 2u);
  EXPECT_FALSE(fs::exists(directory_ + "/plans/new.0123456789abcdef"));
  EXPECT_TRUE(fs::exists(directory_ + "/plans/mine.txt"));
  ASSERT_TRUE(history.prune(0));
  EXPECT_EQ(artifact_files(), 0u);
  ASSERT_EQ(history.runs("", 10).value().size(), 1u) << "only what runs";
  EXPECT_EQ(history.runs("", 10).value()[0].id, living);
}

TEST_F(PlanHistoryTest, pruning_keeps_the_newest_recording_of_each_case) {
  PlanHistory history = open();
  const auto recorded = [&](const std::vector<std::string>& ids, const std::string& state) {
    PlanRunRow run = about();
    run.mode = "record";
    run.id = history.begin(run).value();
    for (const std::string& id : ids) EXPECT_TRUE(history.add_case(run.id, one(id), {artifact(history.keep(id).value())}));
    run.state = state;
    EXPECT_TRUE(history.end(run));
    return run.id;
  };
  recorded({"a", "b"}, "finished");
  const std::string whole = recorded({"a", "b"}, "finished");
  const std::string part = recorded({"a"}, "finished");
  recorded({"b"}, "cancelled");
  for (int i = 0; i < 5; ++i) ran(history, "x");
  const std::string last = ran(history, "x");
  ASSERT_TRUE(history.prune(1));
  std::vector<std::string> left;
  const auto runs = history.runs("", 100).value();
  for (const PlanRunRow& run : runs) left.push_back(run.id);
  EXPECT_EQ(left, (std::vector{last, part, whole}));
  EXPECT_EQ(history.cases(whole).value().size(), 2u);
}

TEST_F(PlanHistoryTest, what_is_kept_and_not_named_yet_is_not_pruned_by_others) {
  PlanHistory history = open(), other = open();
  const std::string run = history.begin(about()).value();
  const std::string digest = history.keep("precious").value();
  ASSERT_TRUE(other.prune(0));
  ASSERT_TRUE(history.prune(0));
  ASSERT_TRUE(history.add_case(run, one("c"), {artifact(digest)}));
  ASSERT_TRUE(other.prune(0));
  EXPECT_EQ(history.read(digest).value(), "precious");
  const std::string forgotten = history.keep("forgotten").value();
  PlanRunRow row = about();
  row.id = run;
  row.state = "finished";
  ASSERT_TRUE(history.end(row));
  ASSERT_TRUE(other.prune(5));
  EXPECT_FALSE(history.read(forgotten));
  EXPECT_TRUE(history.read(digest));
}

TEST_F(PlanHistoryTest, the_text_of_a_plan_stays_as_long_as_a_run_of_it) {
  PlanHistory history = open();
  PlanRunRow run = about();
  run.plan = history.keep("the plan").value();
  run.id = history.begin(run).value();
  ASSERT_TRUE(open().prune(0));
  run.state = "finished";
  ASSERT_TRUE(history.end(run));
  ASSERT_TRUE(history.prune(1));
  EXPECT_EQ(history.read(run.plan).value(), "the plan");
  ASSERT_TRUE(history.prune(0));
  EXPECT_FALSE(history.read(run.plan));
}

TEST_F(PlanHistoryTest, an_artifact_that_was_cut_is_written_again_and_one_that_lies_is_told) {
  PlanHistory history = open();
  const std::string digest = history.keep("whole").value();
  const std::string path = directory_ + "/plans/" + digest.substr(7, 2) + "/" + digest.substr(9);
  spill(path, "who");
  EXPECT_EQ(history.read(digest).error().code, ErrorCode::corrupt);
  ASSERT_TRUE(history.keep("whole"));
  EXPECT_EQ(history.read(digest).value(), "whole");
  spill(path, "WHOLE");
  EXPECT_EQ(history.read(digest).error().code, ErrorCode::corrupt);
  fs::remove(path);
  fs::create_symlink("/etc/passwd", path);
  EXPECT_FALSE(history.read(digest)) << "not what it says";
  ASSERT_TRUE(history.keep("whole"));
  EXPECT_FALSE(fs::is_symlink(path));
}

TEST_F(PlanHistoryTest, a_damaged_database_is_set_aside_and_artifacts_stay) {
  const std::string digest = open().keep("x").value();
  spill(directory_ + "/plans.db", std::string(8192, 'j'));
  PlanHistory history = open();
  EXPECT_NE(history.note().find("the database of plans was damaged"), std::string::npos) << history.note();
  EXPECT_TRUE(history.runs("", 1).value().empty());
  EXPECT_EQ(history.read(digest).value(), "x");
  ran(history, "y");
  EXPECT_EQ(open().runs("", 9).value().size(), 1u);
}

TEST_F(PlanHistoryTest, a_newer_schema_is_refused) {
  {
    open();
  }
  {
    auto database = Database::open(directory_ + "/plans.db", "X");
    ASSERT_TRUE(database && database->execute("PRAGMA user_version = 99"));
  }
  auto history = PlanHistory::open(directory_);
  ASSERT_FALSE(history);
  EXPECT_EQ(history.error().code, ErrorCode::not_supported) << history.error().what;
}

TEST_F(PlanHistoryTest, a_run_whose_process_is_gone_was_killed) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = in_child([&] {
    PlanHistory history = open();
    const std::string run = history.begin(about()).value();
    if (!history.add_case(run, one("done"), {})) return 1;
    if (::write(ready[1], "x", 1) != 1) return 2;
    ::pause();
    return 0;
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  ::close(ready[1]);
  PlanHistory history = open();
  EXPECT_EQ(history.runs("", 1).value().at(0).state, "running");
  EXPECT_FALSE(history.unfinished(about().plan).value()) << "it runs";
  ::kill(child, SIGKILL);
  wait_for(child);
  EXPECT_EQ(history.runs("", 1).value().at(0).state, "killed");
  const auto unfinished = history.unfinished(about().plan).value();
  ASSERT_TRUE(unfinished);
  EXPECT_EQ(history.cases(unfinished->id).value().at(0).id, "done");
  const std::string next = history.begin(about()).value();
  EXPECT_FALSE(fs::exists(directory_ + "/plans/run." + unfinished->id));
  EXPECT_EQ(history.unfinished(about().plan).value()->id, unfinished->id) << "one that runs says nothing";
  PlanRunRow row = about();
  row.id = next;
  row.state = "finished";
  ASSERT_TRUE(history.end(row));
  EXPECT_FALSE(history.unfinished(about().plan).value()) << "one finished since";
}

TEST_F(PlanHistoryTest, a_kill_at_any_moment_loses_nothing_that_was_added) {
  std::mt19937 random(7);
  for (int round = 0; round < 15; ++round) {
    int told[2];
    ASSERT_EQ(::pipe(told), 0);
    const pid_t child = in_child([&] {
      ::close(told[0]);
      auto history = PlanHistory::open(directory_);
      if (!history) return 1;
      const auto run = history->begin(about());
      if (!run) return 2;
      for (unsigned number = 0;; ++number) {
        const std::string bytes = fmt::format("{} {}", *run, number);
        const auto digest = history->keep(bytes);
        if (!digest || !history->add_case(*run, one(std::to_string(number)), {artifact(*digest)})) return 3;
        if (::write(told[1], run->data(), 12) != 12) return 4;
        if (number % 7 == 6 && !history->prune(3)) return 5;
      }
    });
    ::close(told[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + random() % 60));
    ::kill(child, SIGKILL);
    const int status = wait_for(child);
    EXPECT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    std::string said;
    char buffer[1200];
    for (ssize_t count = 0; (count = ::read(told[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<std::size_t>(count));
    ::close(told[0]);
    PlanHistory history = open();
    EXPECT_EQ(history.note(), "");
    if (said.empty()) continue;
    const std::string run = said.substr(0, 12);
    const auto artifacts = history.artifacts(run).value();
    EXPECT_GE(artifacts.size(), said.size() / 12);
    for (const PlanArtifact& each : artifacts) EXPECT_EQ(history.read(each.digest).value_or("lost"), run + " " + each.case_id);
  }
}

TEST_F(PlanHistoryTest, several_processes_write_and_prune_at_once) {
  const auto worker = [&] {
    auto history = PlanHistory::open(directory_);
    if (!history) return 1;
    for (int round = 0; round < 5; ++round) {
      const auto run = history->begin(about());
      if (!run) return 2;
      for (int number = 0; number < 4; ++number) {
        const auto digest = history->keep(fmt::format("shared {}", number));  // the same for all of them
        if (!digest || !history->add_case(*run, one(std::to_string(number)), {artifact(*digest)})) return 3;
      }
      for (const PlanArtifact& each : history->artifacts(*run).value_or(std::vector<PlanArtifact>{})) {
        if (!history->read(each.digest)) return 4;
      }
      PlanRunRow row = about();
      row.id = *run;
      row.state = "finished";
      if (!history->end(row) || !history->prune(2)) return 5;
    }
    return 0;
  };
  pid_t workers[4];
  for (pid_t& pid : workers) pid = in_child(worker);
  for (const pid_t pid : workers) EXPECT_EQ(wait_for(pid), 0);
  PlanHistory history = open();
  ASSERT_TRUE(history.prune(2));
  EXPECT_EQ(history.runs("", 100).value().size(), 2u);
  EXPECT_EQ(artifact_files(), 4u);
}

}  // namespace
}  // namespace casemate
