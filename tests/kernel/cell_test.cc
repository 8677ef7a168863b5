// Cells without an engine over them: their life, cells made ahead, and set-ups that fail.
#include "cell/cell.h"

#include <csignal>

#include <poll.h>
#include <sys/wait.h>

#include "cell/pool.h"
#include "engine_test.h"

namespace casemate {
namespace {

class CellTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    cgroups_ = open_cgroups();
    ground_.host = read_host_facts();
    ground_.cgroups = cgroups_.get();
  }

  void TearDown() override {
    ground_ = CellGround();
    cgroups_.reset();
    EngineTest::TearDown();
  }

  CellShape shape(Job job) {
    resolve_sources(job, ground_.host);
    auto plan = compile(job, ground_.host);
    EXPECT_TRUE(plan) << plan.error().what;
    return {plan ? std::move(*plan) : Plan{}, job.limits};
  }

  std::unique_ptr<Cell> make(const CellShape& shape, const Job* job = nullptr) {
    auto cell = Cell::create(ground_, shape.plan, shape.limits, job);
    EXPECT_TRUE(cell) << cell.error().what;
    return cell ? std::move(*cell) : nullptr;
  }

  // Receives until init has ended.
  static CellReport report_of(Cell& cell) {
    CellReport report;
    while (cell.receive(report)) {
      pollfd ready{cell.socket(), POLLIN, 0};
      if (::poll(&ready, 1, 60'000) != 1) {
        ADD_FAILURE() << "init says nothing";
        break;
      }
    }
    EXPECT_TRUE(cell.process().reap());
    return report;
  }

  static void await_ready(Cell& cell, CellReport& report) {
    while (cell.receive(report) && !report.ready && !report.failure) {
      pollfd ready{cell.socket(), POLLIN, 0};
      ASSERT_EQ(::poll(&ready, 1, 60'000), 1);
    }
  }

  std::unique_ptr<CgroupFactory> cgroups_;
  CellGround ground_;
};

TEST_F(CellTest, RunsTheJobItWasMadeFor) {
  const Job job = shell("exit 5");
  const auto cell = make(shape(job), &job);
  ASSERT_TRUE(cell && cell->start(job));
  const CellReport report = report_of(*cell);
  EXPECT_TRUE(report.ready);
  EXPECT_FALSE(report.failure);
  ASSERT_TRUE(report.wait_status);
  EXPECT_EQ(WEXITSTATUS(*report.wait_status), 5);
}

TEST_F(CellTest, MadeAheadItRunsWhicheverJobComes) {
  const auto cell = make(shape(command({"/bin/false"})));
  ASSERT_TRUE(cell);
  CellReport before;
  await_ready(*cell, before);
  EXPECT_TRUE(before.ready);
  Job job = command({"/bin/sh", "-c", "exit $1", "sh", "6", std::string(100'000, 'x')});
  ASSERT_TRUE(cell->start(job));
  const CellReport report = report_of(*cell);
  ASSERT_TRUE(report.wait_status);
  EXPECT_EQ(WEXITSTATUS(*report.wait_status), 6);
}

TEST_F(CellTest, IsGoneWhenDestroyedAtAnyTime) {
  const Job job = shell("sleep 1000 & sleep 1000");
  for (int round = 0; round < 20; ++round) {
    auto cell = make(shape(job), round % 2 ? &job : nullptr);
    ASSERT_TRUE(cell);
    CellReport report;
    if (round % 4 >= 2) await_ready(*cell, report);
    if (round % 5 >= 2) {
      ASSERT_TRUE(cell->start(job));
    }
    cell.reset();
    ASSERT_FALSE(has_children());
  }
}

TEST_F(CellTest, ASignalBeforeTheJobIsItsEnd) {
  const Job job = command({"/bin/true"});
  const auto cell = make(shape(job));
  ASSERT_TRUE(cell);
  cell->signal(SIGTERM);
  ASSERT_TRUE(cell->start(job));
  const CellReport report = report_of(*cell);
  ASSERT_TRUE(report.wait_status);
  EXPECT_TRUE(WIFSIGNALED(*report.wait_status));
  EXPECT_EQ(WTERMSIG(*report.wait_status), SIGTERM);
}

TEST_F(CellTest, AStepThatFailsIsNamedHoweverLateTheJobComes) {
  Job job = command({"/bin/true"});
  CellShape bad = shape(job);
  bad.plan.cell.insert(bad.plan.cell.end() - 3, {.op = Step::Op::mount, .path = "usr/no/such", .source = "tmpfs"});
  // Soon: init may end before it has read the job, or after.
  for (int round = 0; round < 20; ++round) {
    const bool late = round == 0;
    const auto cell = make(bad);
    ASSERT_TRUE(cell);
    if (late) {
      pollfd ended{cell->process().pidfd(), POLLIN, 0};
      ASSERT_EQ(::poll(&ended, 1, 60'000), 1);
    }
    const auto started = cell->start(job);
    ASSERT_TRUE(started) << started.error().what;
    const CellReport report = report_of(*cell);
    ASSERT_TRUE(report.failure) << late;
    EXPECT_EQ(report.failure->phase, 0u);
    EXPECT_EQ(report.failure->value, ENOENT);
    ASSERT_LT(report.failure->step, bad.plan.cell.size());
    EXPECT_EQ(bad.plan.cell[report.failure->step].path, "usr/no/such");
  }
}

TEST_F(CellTest, SignalsReachTheWholeProcessGroup) {
  const Job job = shell("trap 'wait; exit 9' TERM; (trap 'echo inner; exit' TERM; echo ready; while :; do sleep 0.02; done) & wait");
  const auto cell = make(shape(job), &job);
  ASSERT_TRUE(cell && cell->start(job));
  std::string out;
  char buffer[256];
  bool signaled = false;
  for (;;) {
    pollfd ready{cell->out().get(), POLLIN, 0};
    ASSERT_EQ(::poll(&ready, 1, 60'000), 1);
    const ssize_t got = ::read(cell->out().get(), buffer, sizeof buffer);
    if (got == 0) break;
    ASSERT_GT(got, 0);
    out.append(buffer, static_cast<std::size_t>(got));
    if (!signaled) cell->signal(SIGTERM);
    signaled = true;
  }
  EXPECT_EQ(out, "ready\ninner\n");
  const CellReport report = report_of(*cell);
  ASSERT_TRUE(report.wait_status);
  EXPECT_EQ(WEXITSTATUS(*report.wait_status), 9);
}

TEST_F(CellTest, TooManyMountsAreRefused) {
  Plan plan = shape(command({"/bin/true"})).plan;
  plan.sources.resize(300, plan.sources.front());
  const auto cell = Cell::create(ground_, plan, default_limits());
  ASSERT_FALSE(cell);
  EXPECT_EQ(cell.error().code, ErrorCode::invalid_input);
}

TEST_F(CellTest, ThePoolGivesCellsOfTheAskedShapeOnly) {
  const CellShape one = shape(command({"/bin/true"}));
  Job other_job = command({"/bin/true"});
  other_job.hostname = "other";
  const CellShape other = shape(other_job);
  CellPool pool(ground_, 2);
  EXPECT_EQ(pool.take(one), nullptr);
  EXPECT_TRUE(pool.fill(one));
  EXPECT_TRUE(pool.fill(one));
  EXPECT_FALSE(pool.fill(one)) << "full";
  EXPECT_EQ(pool.take(other), nullptr);
  EXPECT_NE(pool.take(one), nullptr);
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_TRUE(pool.fill(other));
  EXPECT_EQ(pool.size(), 1u) << "those of the old shape are gone";
  CellShape limited = other;
  limited.limits.memory_bytes = 8 << 20;
  EXPECT_EQ(pool.take(limited), nullptr);
  EXPECT_NE(pool.take(other), nullptr);
  pool.fill(one);
  pool.clear();
  EXPECT_FALSE(has_children());
}

}  // namespace
}  // namespace casemate
