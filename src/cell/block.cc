#include "cell/block.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "cell/child.h"

namespace casemate {
namespace {

constexpr int kPatienceMs = 30'000;
constexpr std::uint32_t kCellsAtATime = 4;  // of what the kernel counts to a whole user namespace: as if so many cells shared it

using Op = Step::Op;

// The trees that both kinds show, each once, at numbered places of the block's ground.
class Ground {
 public:
  explicit Ground(const HostFacts& host) : host_(host) {}

  // The number of the place where this tree lies.
  std::size_t place_of(const Source& source) {
    const auto found = std::find(plan_.sources.begin(), plan_.sources.end(), source);
    if (found != plan_.sources.end()) return static_cast<std::size_t>(found - plan_.sources.begin());
    plan_.sources.push_back(source);
    return plan_.sources.size() - 1;
  }
  [[nodiscard]] std::string path(std::size_t place) const { return fmt::format("{}/{}", host_.root_mount_point, place); }

  Plan take(const std::vector<Step>& limits) {
    plan_.namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID;
    auto& steps = plan_.cell;
    steps.push_back({.op = Op::private_mounts});
    if (!host_.privileged) {
      for (std::size_t i = 0; i < plan_.sources.size(); ++i)
        steps.push_back({.op = Op::open_source, .source = plan_.sources[i].path, .slot = static_cast<int>(i)});
    }
    steps.push_back({.op = Op::await_engine});
    steps.push_back({.op = Op::become_root});
    for (Step limit : limits) {
      limit.number *= kCellsAtATime;
      steps.push_back(std::move(limit));
    }
    steps.push_back({.op = Op::mount_root, .path = host_.root_mount_point, .data = "size=1m,nr_inodes=1024,mode=0700"});
    for (std::size_t i = 0; i < plan_.sources.size(); ++i) {
      const std::string name = std::to_string(i);
      const auto known = host_.paths.find(plan_.sources[i].path);
      const bool file = known != host_.paths.end() && known->second.kind == HostPath::Kind::file;
      steps.push_back({.op = file ? Op::make_file : Op::make_directory, .path = name, .mode = file ? 0600u : 0700u});
      steps.push_back({.op = Op::attach, .path = name, .slot = static_cast<int>(i)});
    }
    return std::move(plan_);
  }

 private:
  const HostFacts& host_;
  Plan plan_;
};

bool counts_for_the_block(const Step& step) { return step.op == Op::namespace_limit; }

// Forks have the rlimits of the process that they are forks of, and RLIMIT_NPROC counts a user's processes in the whole user namespace:
// here in all cells together. So the forks' goes to the parent's job, as if so many cells shared it.
void move_process_bound(Plan& fork, Plan& parent) {
  std::erase_if(parent.job, bounds_processes);
  const auto found = std::find_if(fork.job.begin(), fork.job.end(), bounds_processes);
  if (found == fork.job.end()) return;
  Step bound = std::move(*found);
  fork.job.erase(found);
  bound.number *= kCellsAtATime;
  const auto before = std::find_if(parent.job.begin(), parent.job.end(), [](const Step& step) { return step.op == Op::identity; });
  parent.job.insert(before, std::move(bound));
}

// A cell's plan as it is made in a block: its trees are those of the ground, and there is a user namespace already.
void settle(Plan& plan, Ground& ground) {
  plan.namespaces &= ~static_cast<std::uint64_t>(CLONE_NEWUSER);
  std::erase_if(plan.cell, [](const Step& step) { return step.op == Op::open_source || counts_for_the_block(step); });
  std::vector<Step> opening;
  for (std::size_t slot = 0; slot < plan.sources.size(); ++slot) {
    Source& source = plan.sources[slot];
    source.path = ground.path(ground.place_of(source));
    source.idmapped = false;  // it is so already
    opening.push_back({.op = Op::open_source, .source = source.path, .slot = static_cast<int>(slot)});
  }
  const auto after = std::find_if(plan.cell.begin(), plan.cell.end(), [](const Step& step) { return step.op == Op::private_mounts; });
  plan.cell.insert(after + 1, opening.begin(), opening.end());
}

}  // namespace

Result<BlockPlan> compile_block(const Job& parent, const Job& fork, const HostFacts& host) {
  if (parent.profile == Profile::strict || fork.profile == Profile::strict)
    return fail(ErrorCode::invalid_input, "a job of the strict profile has a user namespace of its own: no fork can enter its cell");
  BlockPlan block;
  Ground ground(host);
  std::vector<Step> limits;
  for (const BlockPlan::Kind kind : {BlockPlan::parent, BlockPlan::fork}) {
    const Job& job = kind == BlockPlan::parent ? parent : fork;
    TRY_ASSIGN(Plan plan, compile(job, host));
    if (kind == BlockPlan::parent) std::copy_if(plan.cell.begin(), plan.cell.end(), std::back_inserter(limits), counts_for_the_block);
    settle(plan, ground);
    if (kind == BlockPlan::parent) {
      plan.namespaces &= ~static_cast<std::uint64_t>(CLONE_NEWPID);
      plan.enters_cells = true;
    } else {
      plan.enterable = true;
      plan.cell.push_back({.op = Op::export_namespaces});
    }
    block.limits[kind] = job.limits;
    block.cells[kind] = std::move(plan);
  }
  move_process_bound(block.cells[BlockPlan::fork], block.cells[BlockPlan::parent]);
  block.ground = ground.take(limits);
  block.ground_root = host.root_mount_point;
  return block;
}

Result<std::unique_ptr<CellBlock>> CellBlock::create(CellGround& ground, BlockPlan plan) {
  if (plan.ground.sources.size() > kMostSlots)
    return fail(ErrorCode::invalid_input, fmt::format("{} mounts are more than {}", plan.ground.sources.size(), kMostSlots));
  std::unique_ptr<CellBlock> block(new CellBlock(std::move(plan)));
  for (const BlockPlan::Kind kind : {BlockPlan::parent, BlockPlan::fork}) {
    TRY_ASSIGN(block->held_[kind], hold_limits(ground.cgroups->support(), block->plan_.limits[kind], block->plan_.cells[kind]));
  }
  auto& parents_job = block->plan_.cells[BlockPlan::parent].job;
  if (ground.cgroups->support().pids) {
    std::erase_if(parents_job, bounds_processes);  // each cell has its own bound
  } else if (const auto bound = std::find_if(parents_job.begin(), parents_job.end(), bounds_processes); bound != parents_job.end()) {
    block->held_[BlockPlan::fork].notes.push_back(
        fmt::format("pids limit held by RLIMIT_NPROC: all cells of forks together have {} processes: {}", bound->number,
                    ground.cgroups->support().reason));
  }
  TRY_ASSIGN(const std::vector<UniqueFd> sources, open_sources(ground, block->plan_.ground, block->held_[BlockPlan::fork].notes));
  TRY_ASSIGN(auto sockets, make_message_sockets());
  block->socket_ = std::move(sockets.first);
  const BlockContext context{&block->plan_, block->held_, sockets.second.get(), &sources, ground.host_argv, ground.host_argv_bytes};
  int pidfd = -1;
  const pid_t pid = clone_process(block->plan_.ground.namespaces, -1, &pidfd);
  if (pid == 0) block_main(context);
  if (pid < 0) return clone_failure(errno);
  block->process_ = ChildProcess(pid, UniqueFd(pidfd));
  sockets.second.reset();  // or its end would never be seen
  TRY(block->await_ground(ground));
  return block;
}

Result<void> CellBlock::await_ground(CellGround& ground) {
  TRY(write_id_maps(ground.host, process_.pid()));
  send_message(socket_.get(), Message{.kind = Message::Kind::prepared});
  pollfd waiting{socket_.get(), POLLIN, 0};
  Message message{};
  if (::poll(&waiting, 1, kPatienceMs) <= 0 || receive_message(socket_.get(), message, nullptr, 0) < 0)
    return fail(ErrorCode::system, "the first process of a group of cells ended before it was ready");
  if (message.kind != Message::Kind::failed) return {};
  const auto& steps = plan_.ground.cell;
  const std::string step = message.step < steps.size() ? describe(steps[message.step], plan_.ground) : "a step";
  return fail(ErrorCode::system, fmt::format("can't prepare cells: {}: {}", step, std::strerror(message.value)), message.value, step);
}

Result<MadeInit> CellBlock::make(BlockPlan::Kind kind, const std::vector<int>& fds) {
  TRY_ASSIGN(Answer answer, ask({.kind = Message::Kind::make, .step = kind}, fds));
  if (answer.message.value <= 0 || !answer.fd) return clone_failure(static_cast<int>(answer.message.step));
  return MadeInit{answer.message.value, std::move(answer.fd)};
}

Result<CellBlock::Answer> CellBlock::ask(const Message& wanted, const std::vector<int>& fds) {
  if (!send_message(socket_.get(), wanted, fds.data(), static_cast<int>(fds.size())))
    return fail_errno("ask for a cell: the group of cells has ended");
  pollfd waiting{socket_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, kPatienceMs) <= 0) return fail(ErrorCode::system, "no cell was made within 30 s", ETIMEDOUT);
  Answer answer;
  int fd = -1;
  const int count = receive_message(socket_.get(), answer.message, &fd, 1);
  if (count < 0) return fail(ErrorCode::system, "the group of cells has ended", ECONNRESET);
  if (count == 1) answer.fd.reset(fd);
  return answer;
}

Result<UniqueFd> CellBlock::open(CellGround& ground, const Source& source, bool& directory, std::vector<std::string>& notes) {
  UniqueFd tree;
  if (ground.host.privileged) {
    TRY_ASSIGN(tree, open_source(ground, source, notes));
  } else {
    TRY_ASSIGN(const UniqueFd path, sealed_memory("casemate-source", source.path));
    const std::uint32_t how = (source.read_only ? 0u : Message::writable) | (source.noexec ? 0u : Message::executable);
    TRY_ASSIGN(Answer answer, ask({.kind = Message::Kind::open, .value = static_cast<std::int32_t>(how)}, {path.get()}));
    if (!answer.fd) return fail_errno("show " + printable_name(source.path) + " in a cell", static_cast<int>(answer.message.step));
    tree = std::move(answer.fd);
  }
  struct stat info{};
  if (::fstat(tree.get(), &info) < 0) return fail_errno("look at " + printable_name(source.path));
  directory = S_ISDIR(info.st_mode);
  return tree;
}

}  // namespace casemate
