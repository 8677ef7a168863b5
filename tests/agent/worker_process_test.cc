#include "apps/agent/worker_process.h"

#include <csignal>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/agent/worker.h"
#include "scratch_directory.h"

namespace casemate {
namespace {

// A shell script stands for the worker's program; of bash, for dash unblocks all signals.
class WorkerProcessTest : public ScratchDirectory {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ScratchDirectory::SetUp());
    task_ = directory_ + "/7";
    ASSERT_EQ(::mkdir(task_.c_str(), 0700), 0);
  }
  Result<WorkerProcess> start(const std::string& script) {
    const std::string program = directory_ + "/program";
    std::ofstream(program) << "#!/bin/bash\n" << script;
    ::chmod(program.c_str(), 0700);
    const WorkOrder order{.task = {.attempt = 21, .repository_url = "https://host/a.git", .branch = "main"}, .tests_command = {"true"}};
    return WorkerProcess::start(task_, order, program);
  }
  Grade grade_of_script(const std::string& script) {
    auto worker = start(script);
    EXPECT_TRUE(worker) << worker.error().what;
    return worker->grade();
  }
  std::string file(const std::string& name) {
    std::ifstream stream(task_ + "/" + name);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  std::string task_;
};

TEST_F(WorkerProcessTest, it_gets_its_order_and_its_grade_is_read) {
  std::ofstream(directory_ + "/grade") << grade_json(grade_of_error("of the worker"));
  const Grade grade = grade_of_script("[ \"$1\" = worker ] && cp \"$2/../grade\" \"$2/grade.json\"; read line || echo no input; exit 3");
  EXPECT_EQ(grade.error_details, "of the worker");
  EXPECT_EQ(file(kWorkerLog), "no input\n");
  const auto order = order_from_json(file(kOrderFile));
  ASSERT_TRUE(order);
  EXPECT_EQ(order->task.key(), "attempt 21");
}

TEST_F(WorkerProcessTest, how_it_died_is_told_where_there_is_no_grade) {
  EXPECT_EQ(grade_of_script("echo first >&2; printf 'last \\033[2J\\n' >&2; exit 3").error_details,
            "its worker ended without a grade (exited 3): last \\x1b[2J");
  const Grade killed = grade_of_script("kill -KILL $$");
  EXPECT_TRUE(killed.is_error);
  EXPECT_EQ(killed.fault, Fault::worker);
  EXPECT_NE(killed.error_details.find("(signaled 9 (SIGKILL))"), std::string::npos) << killed.error_details;
  std::ofstream(task_ + "/" + kGradeFile) << "{\"is_error\": 3";
  EXPECT_NE(grade_of_script("exit 0").error_details.find("(exited 0)"), std::string::npos);
}

TEST_F(WorkerProcessTest, it_has_none_of_our_descriptors_signals_or_terminal) {
  Pipe pipe = make_pipe().value();
  const int inherited = ::fcntl(pipe.write.get(), F_DUPFD, 50);  // not close-on-exec
  sigset_t blocked, before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  auto worker = start(
      "ls /proc/$$/fd | tr '\\n' ' '; grep -E 'Sig(Blk|Ign)' /proc/self/status; ps -o pgid= -p $$ | tr -d ' '; echo $$; kill -USR1 $$; "
      "sleep "
      "60");
  ASSERT_TRUE(worker);
  const Grade grade = worker->grade();
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  ::close(inherited);
  EXPECT_NE(grade.error_details.find("SIGUSR1"), std::string::npos) << grade.error_details;
  const std::string said = file(kWorkerLog);
  EXPECT_EQ(said.find(" 50 "), std::string::npos) << said;
  EXPECT_NE(said.find("SigBlk:\t0000000000004003"), std::string::npos) << said;  // SIGHUP, SIGINT, SIGTERM: for it to read
  std::istringstream lines(said.substr(said.find("SigIgn")));
  std::string ignored, group, pid;
  std::getline(lines, ignored);
  std::getline(lines, group);
  std::getline(lines, pid);
  EXPECT_EQ(group, pid) << said;
}

TEST_F(WorkerProcessTest, an_interrupt_before_it_listens_does_not_kill_it) {
  sigset_t blocked, before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGINT);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);  // as the agent has it
  auto worker = start("exec sleep 0.3");
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(worker);
  worker->interrupt();
  const Grade grade = worker->grade();
  EXPECT_NE(grade.error_details.find("(exited 0)"), std::string::npos) << grade.error_details;
}

TEST_F(WorkerProcessTest, killing_it_kills_its_group) {
  Pipe pipe = make_pipe().value();
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  auto worker = start("exec 3>" + fifo + "; sleep 1000 & echo on >&3; wait");
  ASSERT_TRUE(worker);
  const UniqueFd end = open_file(fifo, O_RDONLY).value();
  char text[16];
  ASSERT_EQ(::read(end.get(), text, sizeof text), 3);
  worker->kill();
  EXPECT_EQ(::read(end.get(), text, sizeof text), 0) << "somebody still holds the fifo";
  EXPECT_NE(worker->grade().error_details.find("SIGKILL"), std::string::npos);
}

TEST_F(WorkerProcessTest, it_dies_with_the_agent) {
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const pid_t agent = ::fork();
  ASSERT_GE(agent, 0);
  if (agent == 0) {
    auto worker = start("exec 3>" + fifo + "; echo on >&3; exec sleep 1000");
    if (worker) ::pause();
    ::_exit(1);
  }
  const UniqueFd end = open_file(fifo, O_RDONLY).value();
  char text[16];
  ASSERT_EQ(::read(end.get(), text, sizeof text), 3);
  ::kill(agent, SIGKILL);
  ::waitpid(agent, nullptr, 0);
  EXPECT_EQ(::read(end.get(), text, sizeof text), 0);
}

TEST_F(WorkerProcessTest, a_grade_is_seen_before_its_worker_has_ended) {
  std::ofstream(directory_ + "/grade") << grade_json(grade_of_error("early"));
  ASSERT_EQ(::mkfifo((directory_ + "/fifo").c_str(), 0600), 0);
  auto worker = start("cd $2; mv ../grade steps.json; cp steps.json new; read go < ../fifo; mv new grade.json; exec sleep 1000");
  ASSERT_TRUE(worker);
  pollfd fd{worker->files_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&fd, 1, 20'000), 1);
  EXPECT_FALSE(worker->early_grade()) << "another file";
  std::ofstream(directory_ + "/fifo") << "go\n";
  ASSERT_EQ(::poll(&fd, 1, 20'000), 1);
  const auto grade = worker->early_grade();
  ASSERT_TRUE(grade);
  EXPECT_EQ(grade->error_details, "early");
  worker->kill();
  EXPECT_EQ(worker->grade().error_details, "early");
}

TEST_F(WorkerProcessTest, it_goes_before_the_agent_where_memory_runs_out) {
  EXPECT_TRUE(grade_of_script("cat /proc/self/oom_score_adj >&2; exit 1").error_details.ends_with(": 500"));
}

TEST_F(WorkerProcessTest, a_program_that_is_not_there_is_an_error_grade) {
  auto worker = WorkerProcess::start(task_, {}, directory_ + "/none");
  ASSERT_TRUE(worker);
  EXPECT_NE(worker->grade().error_details.find("(exited 125)"), std::string::npos);
}

}  // namespace
}  // namespace casemate
