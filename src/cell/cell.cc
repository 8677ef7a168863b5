#include "cell/cell.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "cell/child.h"
#include "cell/command.h"
#include "sys/mount.h"

namespace casemate {
namespace {

Result<void> write_file(const std::string& path, std::string_view text) {
  TRY_ASSIGN(UniqueFd fd, open_file(path, O_WRONLY));
  return write_all(fd.get(), text);
}

Result<void> write_map_with(const char* program, pid_t pid, const std::vector<HostFacts::IdMap>& map) {
  std::vector<std::string> argv = {program, std::to_string(pid)};
  for (const auto& row : map) {
    for (const std::uint32_t number : {row.inside, row.outside, row.count}) argv.push_back(std::to_string(number));
  }
  TRY_ASSIGN(const ProgramResult result, run_program(argv, std::chrono::seconds(10)));
  if (result.end.signaled || result.end.code != 0)
    return fail(ErrorCode::refused, fmt::format("{} refused the id range of this account: {}", program, printable_name(result.err)), EPERM,
                program);
  return {};
}

std::string map_text(const std::vector<HostFacts::IdMap>& map) {
  std::string text;
  for (const auto& row : map) text += fmt::format("{} {} {}\n", row.inside, row.outside, row.count);
  return text;
}

// A memfd with these bytes, sealed: what init maps is what we wrote.
Result<UniqueFd> memory_file(const std::vector<std::uint64_t>& words) {
  UniqueFd fd(::memfd_create("casemate-command", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("make a memfd");
  TRY(write_all(fd.get(), {reinterpret_cast<const char*>(words.data()), words.size() * 8}));
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  return fd;
}

// Of a send: init has closed its end. What it said before can still be received.
bool init_gone(int problem) { return problem == EPIPE || problem == ECONNRESET; }

}  // namespace

bool Cell::init_lives() const {
  pollfd ended{process_.pidfd(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 0;
}

Cell::~Cell() { process_.kill_and_reap(); }

void Cell::kill() { process_.signal(SIGKILL); }

Result<std::optional<CgroupLimits>> Cell::hold_limits(CellGround& ground, const Limits& limits) {
  const CgroupSupport& support = ground.cgroups->support();
  CgroupLimits held;
  if (limits.memory_bytes) {
    if (support.memory) {
      held.memory_bytes = limits.memory_bytes;
    } else {
      memory_watch_bytes_ = *limits.memory_bytes;
      notes_.push_back("memory limit held by a watchdog that looks every 20 ms: " + support.reason);
    }
  }
  if (limits.pids) {
    if (support.pids) {
      held.pids = *limits.pids + 1;  // init
      // Both fences at one place would let the one refuse that does not count its refusals.
      for (Step& step : plan_.job) {
        if (step.op == Step::Op::resource_limit && step.slot == RLIMIT_NPROC) ++step.number;
      }
    } else {
      notes_.push_back("pids limit held by RLIMIT_NPROC of the cell's user namespace: " + support.reason);
    }
  }
  if (limits.cpus) {
    if (!support.cpu)
      return fail(ErrorCode::not_supported, fmt::format("the cpu limit can't be held here: {}; run without --cpus", support.reason));
    held.cpus = limits.cpus;
  }
  held.count_cpu = limits.cpu_time.has_value();  // rusage knows nothing of processes that nobody waited for
  if (limits.cpu_time) cpu_watch_us_ = static_cast<std::uint64_t>(limits.cpu_time->count()) * 1000;
  if (support.memory || support.pids || held.cpus) return held;
  return std::nullopt;
}

Result<std::vector<UniqueFd>> Cell::open_sources(CellGround& ground) {
  std::vector<UniqueFd> opened;
  if (!ground.host.privileged) return opened;
  for (const Source& source : plan_.sources) {
    TreeOptions options{.read_only = source.read_only, .noexec = source.noexec};
    if (source.idmapped) {
      if (!ground.idmap) {
        const HostFacts::IdMap& map = ground.host.uid_map.front();
        TRY_ASSIGN(ground.idmap, make_user_namespace(map.outside, map.count));
      }
      options.idmap_fd = ground.idmap.get();
    }
    auto tree = open_tree(source.path, options);
    if (!tree && source.idmapped && tree.error().errno_value == EINVAL) {
      // This file system can't be idmapped (overlayfs, NFS, FUSE): then files keep owners that the cell sees as nobody's.
      notes_.push_back(
          fmt::format("{}: its file system has no idmapped mounts; its files are nobody's in the cell", printable_name(source.path)));
      options.idmap_fd = -1;
      tree = open_tree(source.path, options);
    }
    if (!tree) return std::unexpected(tree.error());
    opened.push_back(std::move(*tree));
  }
  return opened;
}

Result<void> Cell::write_id_maps(const HostFacts& host) {
  const pid_t pid = process_.pid();
  if (host.sub_ids) {
    TRY(write_map_with("/usr/bin/newuidmap", pid, host.uid_map));
    return write_map_with("/usr/bin/newgidmap", pid, host.gid_map);
  }
  // user_namespaces(7): without privilege gid_map may only be written when setgroups is denied.
  if (!host.privileged) TRY(write_file(fmt::format("/proc/{}/setgroups", pid), "deny"));
  TRY(write_file(fmt::format("/proc/{}/uid_map", pid), map_text(host.uid_map)));
  return write_file(fmt::format("/proc/{}/gid_map", pid), map_text(host.gid_map));
}

Result<void> Cell::clone(CellGround& ground, const std::vector<UniqueFd>& sources, const Job* job) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return fail_errno("make a socket pair");
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  TRY_ASSIGN(Pipe out, make_pipe());
  TRY_ASSIGN(Pipe err, make_pipe());
  // A pipe belongs to who made it, the job is another user: without this it couldn't open /dev/stdout.
  ::fchmod(out.write.get(), 0666);
  ::fchmod(err.write.get(), 0666);
  ::fcntl(out.read.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(err.read.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  UniqueFd null;
  if (!job || !job->forward_stdin) {
    TRY_ASSIGN(null, open_file("/dev/null", O_RDONLY));
  }

  ChildContext context;
  context.plan = &plan_;
  for (int& slot : context.slots) slot = -1;
  for (std::size_t i = 0; i < sources.size(); ++i) context.slots[i] = sources[i].get();
  context.socket = theirs.get();
  context.standard[0] = null ? null.get() : job->stdin_fd;
  context.standard[1] = out.write.get();
  context.standard[2] = err.write.get();
  if (!command_.empty()) context.command = reinterpret_cast<CommandBlock*>(command_.data());
  context.host_argv = ground.host_argv;
  context.host_argv_bytes = ground.host_argv_bytes;
  context.memory_watch_bytes = memory_watch_bytes_;
  context.cpu_watch_us = cpu_watch_us_;

  int pidfd = -1;
  const pid_t pid =
      clone_process(plan_.namespaces & ~static_cast<std::uint64_t>(CLONE_NEWNET), cgroup_ ? cgroup_->directory_fd() : -1, &pidfd);
  if (pid == 0) init_main(context);
  if (pid < 0) {
    const int problem = errno;
    if (problem == EPERM || problem == ENOSPC || problem == EINVAL)
      return fail(
          ErrorCode::not_supported,
          fmt::format(
              "can't make namespaces: {}; see 'casemate doctor' (user namespaces need sysctl user.max_user_namespaces > 0 and, on some "
              "distributions, kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0)",
              std::strerror(problem)),
          problem, "clone3");
    return fail_errno("make a process", problem);
  }
  process_ = ChildProcess(pid, UniqueFd(pidfd));
  socket_ = std::move(ours);
  out_ = std::move(out.read);
  err_ = std::move(err.read);
  return {};
}

Result<std::unique_ptr<Cell>> Cell::create(CellGround& ground, Plan plan, const Limits& limits, const Job* job) {
  std::unique_ptr<Cell> cell(new Cell);
  if (plan.sources.size() > kMostSlots)
    return fail(ErrorCode::invalid_input, fmt::format("{} mounts are more than {}", plan.sources.size(), kMostSlots));
  cell->notes_ = plan.notes;
  cell->plan_ = std::move(plan);
  cell->uppers_.resize(cell->plan_.collected.size());
  TRY_ASSIGN(const std::optional<CgroupLimits> held, cell->hold_limits(ground, limits));
  // A process is cloned into a v2 cgroup; those of v1 it enters itself, so they can be made while it makes its network namespace.
  const bool cgroup_first = ground.cgroups->support().version != CgroupSupport::Version::v1;
  if (held && cgroup_first) {
    TRY_ASSIGN(cell->cgroup_, ground.cgroups->create(*held));
  }
  TRY_ASSIGN(std::vector<UniqueFd> sources, cell->open_sources(ground));
  if (job) {
    cell->command_ = pack_command(*job);
    reinterpret_cast<CommandBlock*>(cell->command_.data())->relocate();
  }
  TRY(cell->clone(ground, sources, job));
  // An init that has failed already has said at which step; that is the better message.
  if (auto written = cell->write_id_maps(ground.host); !written) {
    if (cell->init_lives()) return std::unexpected(written.error());
    return cell;
  }
  if (held && !cgroup_first) {
    TRY_ASSIGN(cell->cgroup_, ground.cgroups->create(*held));
  }
  const std::vector<int> entries = cell->cgroup_ ? cell->cgroup_->entry_fds() : std::vector<int>();
  const Message prepared{.kind = Message::Kind::prepared};
  if (!send_message(cell->socket_.get(), prepared, entries.data(), static_cast<int>(entries.size())) && !init_gone(errno))
    return fail_errno("talk to a new cell");
  return cell;
}

Result<void> Cell::start(const Job& job) {
  const Message go{.kind = Message::Kind::go};
  if (!command_.empty()) {
    if (!send_message(socket_.get(), go) && !init_gone(errno)) return fail_errno("start a job in its cell");
    return {};
  }
  TRY_ASSIGN(const UniqueFd command, memory_file(pack_command(job)));
  const int fd = command.get();
  if (!send_message(socket_.get(), go, &fd, 1) && !init_gone(errno)) return fail_errno("start a job in its cell");
  return {};
}

void Cell::signal(int number) { send_message(socket_.get(), Message{.kind = Message::Kind::signal, .value = number}); }

bool Cell::receive(CellReport& report) {
  for (;;) {
    Message message{};
    iovec part{&message, sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
    // ECONNRESET: init ended without having read all of ours. The kernel says that before it gives what init sent, and says it once.
    if (got < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    int fds[2] = {-1, -1};
    if (const cmsghdr* attached = CMSG_FIRSTHDR(&header); attached && attached->cmsg_type == SCM_RIGHTS)
      std::memcpy(fds, CMSG_DATA(attached), std::min<std::size_t>(attached->cmsg_len - CMSG_LEN(0), sizeof fds));
    UniqueFd first(fds[0]);
    UniqueFd second(fds[1]);
    if (got != static_cast<ssize_t>(sizeof message)) continue;
    switch (message.kind) {
      case Message::Kind::failed:
        report.failure = message;
        break;
      case Message::Kind::exported:
        if (message.step < uppers_.size()) uppers_[message.step] = std::move(first);
        break;
      case Message::Kind::network:
        network_namespace_ = std::move(first);
        user_namespace_ = std::move(second);
        break;
      case Message::Kind::ready:
        report.ready = true;
        break;
      case Message::Kind::ended:
        report.wait_status = message.value;
        report.disk_full = message.step != 0;
        break;
      case Message::Kind::leftover:
        message.text[sizeof message.text - 1] = '\0';
        report.leftovers.push_back({message.value, printable_name(message.text)});
        break;
      case Message::Kind::over_limit:
        report.over_limit = message.step;
        break;
      default:
        break;
    }
  }
}

}  // namespace casemate
