// Blocks: cells that a running process forks into. The process is this program itself, started in a cell of the block by another name.
#include "cell/block.h"

#include <sched.h>
#include <csignal>
#include <cstdlib>

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cell/cell.h"
#include "engine_test.h"

namespace casemate {
namespace {

constexpr const char* kForker = "CASEMATE_TEST_FORKER";
constexpr int kTypes[kNamespaces] = {CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWNET, CLONE_NEWCGROUP};

struct Order {
  std::uint32_t namespaces = 0;  // which came, a bit each; then stdout and stderr
  char command[4000] = {};
};

int receive_order(Order& order, int (&fds)[16]) {
  iovec part{&order, sizeof order};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  if (::recvmsg(3, &header, MSG_CMSG_CLOEXEC) <= 0) return -1;
  const cmsghdr* rights = CMSG_FIRSTHDR(&header);
  const std::size_t bytes = rights ? rights->cmsg_len - CMSG_LEN(0) : 0;
  if (rights) std::memcpy(fds, CMSG_DATA(rights), bytes);
  return static_cast<int>(bytes / sizeof(int));
}

[[noreturn]] void enter_and_run(const Order& order, const int* fds) {
  int next = 0;
  for (int i = 0; i < kNamespaces; ++i) {
    if ((order.namespaces >> i & 1u) == 0) continue;
    const int fd = fds[next++];
    if (i != 1 && ::setns(fd, kTypes[i]) < 0) ::_exit(90 + i);
  }
  ::dup2(fds[next], 1);
  ::dup2(fds[next], 2);
  ::execl("/bin/sh", "sh", "-c", order.command, nullptr);
  ::_exit(99);
}

// What a warm parent does, in a few lines: an order on fd 3, a fork into the cell, its wait status as the answer.
[[noreturn]] void serve_orders() {
  const int own = ::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  for (;;) {
    Order order;
    int fds[16];
    const int count = receive_order(order, fds);
    if (count < 0) ::_exit(0);
    int pid_namespace = -1;
    for (int i = 0, next = 0; i < 2; ++i) {
      if ((order.namespaces >> i & 1u) != 0) pid_namespace = fds[next++];
    }
    int status = -1;
    if (::setns(pid_namespace, CLONE_NEWPID) == 0) {
      const pid_t pid = ::fork();
      if (pid == 0) enter_and_run(order, fds);
      ::setns(own, CLONE_NEWPID);
      for (int i = 0; i < count; ++i) ::close(fds[i]);
      ::waitpid(pid, &status, 0);
    }
    if (::send(3, &status, sizeof status, MSG_NOSIGNAL) < 0) ::_exit(0);
  }
}

__attribute__((constructor)) void become_forker() {
  if (::getenv(kForker)) serve_orders();
}

// A host where nobody has given us a controller.
class NoCgroups final : public CgroupFactory {
 public:
  [[nodiscard]] const CgroupSupport& support() const override { return support_; }
  Result<std::unique_ptr<Cgroup>> create(const CgroupLimits& /*limits*/) override { return fail(ErrorCode::not_supported, "none"); }
  std::size_t sweep() override { return 0; }

 private:
  CgroupSupport support_{.reason = "there are none"};
};

class BlockTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    cgroups_ = open_cgroups();
    ground_.host = read_host_facts();
    ground_.cgroups = cgroups_.get();
  }

  void TearDown() override {
    control_.reset();
    parent_.reset();
    block_.reset();
    ground_ = CellGround();
    cgroups_.reset();
    EngineTest::TearDown();
  }

  Job parent_job() {
    Job job = command({"/forker"});
    job.env[kForker] = "1";
    job.capabilities = {"SYS_ADMIN", "SYS_CHROOT"};
    job.mounts = {{.kind = Mount::Kind::bind, .source = fs::read_symlink("/proc/self/exe"), .target = "/forker"}};
    return job;
  }
  Job fork_job() {
    Job job = parent_job();
    job.capabilities.clear();
    return job;
  }

  Result<std::unique_ptr<CellBlock>> make_block(Job parent, Job fork) {
    resolve_sources(parent, ground_.host);
    resolve_sources(fork, ground_.host);
    TRY_ASSIGN(BlockPlan plan, compile_block(parent, fork, ground_.host));
    return CellBlock::create(ground_, std::move(plan));
  }

  // A block and the process that forks, which waits for orders.
  void begin() { begin(fork_job()); }
  void begin(Job fork) {
    auto block = make_block(parent_job(), std::move(fork));
    ASSERT_TRUE(block) << block.error().what;
    block_ = std::move(*block);
    auto parent = Cell::create_in(*block_, BlockPlan::parent, ground_);
    ASSERT_TRUE(parent) << parent.error().what;
    parent_ = std::move(*parent);
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    control_.reset(ends[0]);
    const UniqueFd theirs(ends[1]);
    const auto started = parent_->start(parent_job(), {theirs.get()});
    ASSERT_TRUE(started) << started.error().what;
  }

  std::unique_ptr<Cell> make_cell(int network = -1) {
    auto cell = Cell::create_in(*block_, BlockPlan::fork, ground_, network);
    EXPECT_TRUE(cell) << cell.error().what;
    CellReport report;
    while (cell && (*cell)->receive(report) && !report.ready && !report.failure) {
      if (!wait_for((*cell)->socket())) break;
    }
    EXPECT_TRUE(report.ready);
    return cell ? std::move(*cell) : nullptr;
  }

  static bool wait_for(int fd) {
    pollfd ready{fd, POLLIN, 0};
    const bool came = ::poll(&ready, 1, 60'000) == 1;
    EXPECT_TRUE(came);
    return came;
  }

  void order(Cell& cell, const std::string& command) {
    cell.adopt();
    Order wanted;
    std::strncpy(wanted.command, command.c_str(), sizeof wanted.command - 1);
    std::vector<int> fds;
    Cell::ForkEntry& entry = cell.fork_entry();
    for (int i = 0; i < kNamespaces; ++i) {
      if (!entry.namespaces[i]) continue;
      wanted.namespaces |= 1u << i;
      fds.push_back(entry.namespaces[i].get());
    }
    fds.push_back(entry.out.get());
    iovec part{&wanted, sizeof wanted};
    alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
    ASSERT_GT(::sendmsg(control_.get(), &header, MSG_NOSIGNAL), 0);
    entry = Cell::ForkEntry();
  }

  int wait_status() {
    int status = -1;
    wait_for(control_.get());
    EXPECT_EQ(::recv(control_.get(), &status, sizeof status, 0), static_cast<ssize_t>(sizeof status));
    return status;
  }

  // What a shell command in a fork wrote, and what init says of its end.
  std::string forked(Cell& cell, const std::string& command, CellReport& report) {
    order(cell, command);
    const int status = wait_status();
    cell.finish(status);
    while (cell.receive(report) && !report.wait_status) {  // a cell without a trace of the fork waits for the next
      if (!wait_for(cell.socket())) break;
    }
    EXPECT_EQ(report.wait_status, status);
    char text[8192];
    const ssize_t got = ::read(cell.out().get(), text, sizeof text);
    return {text, got > 0 ? static_cast<std::size_t>(got) : 0};
  }

  std::unique_ptr<CgroupFactory> cgroups_;
  CellGround ground_;
  std::unique_ptr<CellBlock> block_;
  std::unique_ptr<Cell> parent_;
  UniqueFd control_;
};

TEST_F(BlockTest, AForkIsAloneInItsCell) {
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto cell = make_cell();
  CellReport report;
  const std::string text = forked(*cell, "echo pid $$; ls -d /proc/[0-9]* | wc -l; hostname; touch /tmp/mark; ls /tmp; exit 3", report);
  EXPECT_TRUE(text.starts_with("pid 2\n")) << text;
  EXPECT_NE(text.find("casemate\nmark\n"), std::string::npos) << text;
  EXPECT_EQ(WEXITSTATUS(*report.wait_status), 3);
  EXPECT_TRUE(report.leftovers.empty());
}

TEST_F(BlockTest, NothingOfAForkIsThereForTheNext) {
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  for (int i = 0; i < 3; ++i) {
    const auto cell = make_cell();
    CellReport report;
    EXPECT_EQ(forked(*cell, "ls /tmp /dev/shm | grep mark; touch /tmp/mark /dev/shm/mark; echo done", report), "done\n");
  }
}

TEST_F(BlockTest, WhatAForkLeavesIsNamedAndEndsWithItsCell) {
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto cell = make_cell();
  CellReport report;
  forked(*cell, "sleep 600 & until grep -q sleep /proc/$!/comm; do :; done; exit 0", report);
  ASSERT_EQ(report.leftovers.size(), 1u);
  EXPECT_EQ(report.leftovers[0].name, "sleep");
  EXPECT_FALSE(report.network_untouched);
}

TEST_F(BlockTest, AnUntouchedNetworkServesAgainAndATouchedOneNot) {
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  UniqueFd network;
  {
    const auto cell = make_cell();
    CellReport report;
    forked(*cell, "true", report);
    EXPECT_TRUE(report.network_untouched);
    network = std::move(cell->own_network());
    ASSERT_TRUE(network);
  }
  const auto cell = make_cell(network.get());
  CellReport report;
  const std::string text = forked(
      *cell, "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"127.0.0.1\", 9))'; echo $?",
      report);
  EXPECT_EQ(text, "0\n");
  EXPECT_FALSE(report.network_untouched);
}

TEST_F(BlockTest, WithoutControllersAForkThatForksEndlesslyIsStoppedAllTheSame) {
  cgroups_ = std::make_unique<NoCgroups>();
  ground_.cgroups = cgroups_.get();
  Job fork = fork_job();
  fork.limits.pids = 8;
  begin(std::move(fork));
  if (IsSkipped() || HasFatalFailure()) return;
  const auto cell = make_cell();
  CellReport report;
  const std::string text = forked(*cell, "for i in $(seq 60); do sleep 60 & done 2>&1; echo all", report);
  EXPECT_NE(text.find("Cannot fork"), std::string::npos) << text;
  EXPECT_EQ(text.find("all"), std::string::npos) << text;
  ASSERT_FALSE(cell->notes().empty()) << "what is held otherwise is told";
  // 8 and the cell's root, in as many cells as may share it.
  EXPECT_EQ(cell->notes().back(), "pids limit held by RLIMIT_NPROC: all cells of forks together have 36 processes: there are none");
  cell->kill();
  EXPECT_TRUE(wait_for(cell->process().pidfd()));
  const auto other = make_cell();
  CellReport second;
  EXPECT_EQ(forked(*other, "echo again", second), "again\n");
}

// What init says of trees that came late: true if all are at their places.
bool await_mounts(Cell& cell, CellReport& report) {
  pollfd ready{cell.socket(), POLLIN, 0};
  while (cell.receive(report) && !report.mounted && !report.failure) {
    if (::poll(&ready, 1, 60'000) != 1) return false;
  }
  return report.mounted;
}

Mount shown(const fs::path& source, std::string target, bool writable = false) {
  return {.kind = Mount::Kind::bind, .source = source, .target = std::move(target), .writable = writable, .owned = true};
}

// A directory below /tmp, over which an unprivileged block has mounted its own root.
struct TemporaryDirectory {
  TemporaryDirectory() {
    std::string name = "/tmp/casemate_block_test.XXXXXX";
    if (::mkdtemp(name.data())) path = fs::canonical(name);
  }
  ~TemporaryDirectory() { fs::remove_all(path); }
  fs::path path;
};

TEST_F(BlockTest, AForkSeesWhatWasMountedForItAlone) {
  const TemporaryDirectory temporary;
  fs::create_directories(temporary.path / "in/below");
  fs::create_directory(temporary.path / "out");
  write(temporary.path / "in/below/data", "held\n");
  ::chmod((temporary.path / "in/below/data").c_str(), 0600);  // the caller's: a cell's root reads it as such
  write(dir_ / "one", "single\n");
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto cell = make_cell();
  const auto attached = cell->attach(*block_, ground_,
                                     {shown(temporary.path / "in", "/work/deep/in"), shown(dir_ / "one", "/work/one.txt"),
                                      shown(temporary.path / "out", "/work/deep/in/below", true)});
  ASSERT_TRUE(attached) << attached.error().what;
  CellReport report;
  ASSERT_TRUE(await_mounts(*cell, report));
  const std::string text = forked(*cell,
                                  "cat /work/one.txt; ls /work/deep/in /work; echo made > /work/deep/in/below/new && echo yes; "
                                  "for f in /work/one.txt /work/deep/in/x; do (echo x > $f) 2>/dev/null || echo no; done; ls /tmp",
                                  report);
  EXPECT_EQ(text, "single\n/work:\ndeep\none.txt\n\n/work/deep/in:\nbelow\nyes\nno\nno\n");
  EXPECT_EQ(read(temporary.path / "out/new"), "made\n");
  struct stat info{};
  ASSERT_EQ(::stat((temporary.path / "out/new").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, ::geteuid()) << "what a fork writes is the caller's";
  EXPECT_FALSE(report.untouched) << "nobody else may see it";
  const auto other = make_cell();
  CellReport second;
  ASSERT_TRUE(other->attach(*block_, ground_, {shown(temporary.path / "in", "/in")}));
  ASSERT_TRUE(await_mounts(*other, second));
  EXPECT_EQ(forked(*other, "cat /in/below/data; ls /work 2>/dev/null; echo done", second), "held\ndone\n");
}

TEST_F(BlockTest, ALateMountThatFailsIsNamed) {
  fs::create_directory(dir_ / "tree");
  fs::create_directory_symlink("/usr", dir_ / "tree/link");
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto fails = [&](std::vector<Mount> mounts) {
    const auto cell = make_cell();
    const auto attached = cell->attach(*block_, ground_, mounts);
    EXPECT_TRUE(attached) << attached.error().what;
    CellReport report;
    EXPECT_FALSE(await_mounts(*cell, report));
    EXPECT_TRUE(report.failure && report.failure->phase == kMountPhase);
    return report.failure.value_or(Message{});
  };
  const Message followed = fails({shown(dir_ / "tree", "/work"), shown(dir_ / "tree", "/work/link/new")});
  EXPECT_EQ(followed.value, ELOOP) << "a link in what others made leads nowhere";
  EXPECT_EQ(followed.step, 1u);
  EXPECT_EQ(fails({shown(dir_ / "tree", "/work"), shown(dir_ / "tree", "/work/new")}).value, EROFS);
  EXPECT_EQ(fails({shown(dir_ / "tree", "/lib/new")}).value, ELOOP);
}

TEST_F(BlockTest, WhatNoCellCanShowIsRefused) {
  fs::create_directory(dir_ / "tree");
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto cell = make_cell();
  for (const char* target : {"/proc/new", "/", "work", "/a/../b", "/sys/x", "/a//b", "/dev"})
    EXPECT_FALSE(cell->attach(*block_, ground_, {shown(dir_ / "tree", target)})) << target;
  EXPECT_FALSE(cell->attach(*block_, ground_, {shown(dir_ / "tree", "/a"), shown(dir_ / "tree", "/a")}));
  EXPECT_FALSE(cell->attach(*block_, ground_, std::vector<Mount>(kMostLateMounts + 1, shown(dir_ / "tree", "/a"))));
  const auto gone = cell->attach(*block_, ground_, {shown(dir_ / "gone", "/a")});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().errno_value, ENOENT) << gone.error().what;
  EXPECT_TRUE(cell->attach(*block_, ground_, {shown(dir_ / "tree", "/a")})) << "the block serves on";
}

TEST_F(BlockTest, TheDeathOfABlockEndsItsCells) {
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto cell = make_cell();
  order(*cell, "sleep 600");
  block_.reset();
  for (Cell* each : {cell.get(), parent_.get()}) EXPECT_TRUE(wait_for(each->process().pidfd()));
}

TEST_F(BlockTest, TheDeathOfACellLeavesTheBlock) {
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto cell = make_cell();
  order(*cell, "echo up; sleep 600");
  wait_for(cell->out().get());
  cell->kill();
  EXPECT_EQ(WTERMSIG(wait_status()), SIGKILL);
  const auto other = make_cell();
  CellReport report;
  EXPECT_EQ(forked(*other, "echo again", report), "again\n");
}

TEST_F(BlockTest, ABlockThatHasEndedMakesNoCells) {
  begin();
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_EQ(::syscall(SYS_pidfd_send_signal, block_->pidfd(), SIGKILL, nullptr, 0), 0);
  ASSERT_TRUE(wait_for(block_->pidfd()));
  const auto cell = Cell::create_in(*block_, BlockPlan::fork, ground_);
  ASSERT_FALSE(cell);
  EXPECT_TRUE(cell.error().errno_value == EPIPE || cell.error().errno_value == ECONNRESET) << cell.error().errno_value;
}

TEST_F(BlockTest, AGroundThatFailsIsToldWithItsStep) {
  Job parent = parent_job();
  Job fork = fork_job();
  fs::create_directory(dir_ / "gone");
  for (Job* job : {&parent, &fork}) {
    job->mounts.push_back({.kind = Mount::Kind::bind, .source = dir_ / "gone", .target = "/gone"});
    resolve_sources(*job, ground_.host);
  }
  auto plan = compile_block(parent, fork, ground_.host);
  ASSERT_TRUE(plan) << plan.error().what;
  fs::remove(dir_ / "gone");
  const auto block = CellBlock::create(ground_, std::move(*plan));
  ASSERT_FALSE(block);
  EXPECT_NE(block.error().what.find("gone"), std::string::npos) << block.error().what;
}

}  // namespace
}  // namespace casemate
