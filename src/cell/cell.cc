#include "cell/cell.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "cell/child.h"
#include "cell/command.h"
#include "cell/job_check.h"
#include "sys/mount.h"

namespace casemate {
namespace {

// Of a send: init has closed its end. What it said before can still be received.
bool init_gone(int problem) { return problem == EPIPE || problem == ECONNRESET; }

// By depth: what lies in another comes after it. init names them by their numbers in this order.
Result<std::vector<const Mount*>> late_mounts(const std::vector<Mount>& mounts) {
  if (mounts.size() > kMostLateMounts)
    return fail(ErrorCode::invalid_input, fmt::format("{} mounts for one fork are more than {}", mounts.size(), kMostLateMounts));
  std::vector<const Mount*> sorted;
  std::set<std::string> places;
  for (const Mount& mount : mounts) {
    TRY_ASSIGN(const std::string place, place_inside(mount.target, "the target of a mount"));
    if (mount.kind != Mount::Kind::bind || mount.target != "/" + place || place.empty() || reserved_place(place))
      return fail(ErrorCode::invalid_input, fmt::format("nothing can be mounted at '{}' for a fork", printable_name(mount.target)));
    if (!places.insert(place).second)
      return fail(ErrorCode::invalid_input, fmt::format("two mounts at '{}'", printable_name(mount.target)));
    sorted.push_back(&mount);
  }
  const auto depth = [](const Mount* mount) { return std::count(mount->target.begin(), mount->target.end(), '/'); };
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Mount* a, const Mount* b) { return depth(a) < depth(b); });
  return sorted;
}

}  // namespace

bool Cell::init_lives() const {
  pollfd ended{process_.pidfd(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 0;
}

Cell::~Cell() {
  if (!block_ || !process_) {
    process_.kill_and_reap();
    return;
  }
  // Not our child: its pidfd tells when it has gone, and with it all that was in the cell.
  process_.signal(SIGKILL);
  pollfd ended{process_.pidfd(), POLLIN, 0};
  while (::poll(&ended, 1, 5000) < 0 && errno == EINTR) {
  }
}

void Cell::kill() {
  killed_ = true;
  process_.signal(SIGKILL);
}

Result<Cell::Doors> Cell::make_doors() {
  Doors theirs;
  TRY_ASSIGN(auto sockets, make_message_sockets());
  socket_ = std::move(sockets.first);
  theirs.socket = std::move(sockets.second);
  TRY_ASSIGN(Pipe out, make_pipe());
  TRY_ASSIGN(Pipe err, make_pipe());
  // A pipe belongs to who made it, the job is another user: without this it couldn't open /dev/stdout.
  ::fchmod(out.write.get(), 0666);
  ::fchmod(err.write.get(), 0666);
  for (const int fd : {out.read.get(), err.read.get(), socket_.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  out_ = std::move(out.read);
  err_ = std::move(err.read);
  theirs.out = std::move(out.write);
  theirs.err = std::move(err.write);
  return theirs;
}

Result<void> Cell::clone(CellGround& ground, const std::vector<UniqueFd>& sources, const Job* job) {
  TRY_ASSIGN(const Doors theirs, make_doors());
  UniqueFd null;
  if (!job || !job->forward_stdin) {
    TRY_ASSIGN(null, open_file("/dev/null", O_RDONLY));
  }

  ChildContext context;
  context.plan = &plan_;
  for (int& slot : context.slots) slot = -1;
  for (std::size_t i = 0; i < sources.size(); ++i) context.slots[i] = sources[i].get();
  context.socket = theirs.socket.get();
  context.standard[0] = null ? null.get() : job->stdin_fd;
  context.standard[1] = theirs.out.get();
  context.standard[2] = theirs.err.get();
  if (!command_.empty()) context.command = reinterpret_cast<CommandBlock*>(command_.data());
  context.host_argv = ground.host_argv;
  context.host_argv_bytes = ground.host_argv_bytes;
  context.memory_watch_bytes = held_.memory_watch_bytes;
  context.cpu_watch_us = held_.cpu_watch_us;

  int pidfd = -1;
  const pid_t pid =
      clone_process(plan_.namespaces & ~static_cast<std::uint64_t>(CLONE_NEWNET), cgroup_ ? cgroup_->directory_fd() : -1, &pidfd);
  if (pid == 0) init_main(context);
  if (pid < 0) return clone_failure(errno);
  process_ = ChildProcess(pid, UniqueFd(pidfd));
  return {};
}

Result<std::unique_ptr<Cell>> Cell::create(CellGround& ground, Plan plan, const Limits& limits, const Job* job) {
  std::unique_ptr<Cell> cell(new Cell);
  if (plan.sources.size() > kMostSlots)
    return fail(ErrorCode::invalid_input, fmt::format("{} mounts are more than {}", plan.sources.size(), kMostSlots));
  cell->plan_ = std::move(plan);
  cell->uppers_.resize(cell->plan_.collected.size());
  TRY_ASSIGN(cell->held_, hold_limits(ground.cgroups->support(), limits, cell->plan_));
  cell->notes_ = cell->plan_.notes;
  cell->notes_.insert(cell->notes_.end(), cell->held_.notes.begin(), cell->held_.notes.end());
  // A process is cloned into a v2 cgroup; those of v1 it enters itself, so they can be made while it makes its network namespace.
  const bool cgroup_first = ground.cgroups->support().version != CgroupSupport::Version::v1;
  if (cell->held_.cgroup && cgroup_first) {
    TRY_ASSIGN(cell->cgroup_, ground.cgroups->create(*cell->held_.cgroup));
  }
  TRY_ASSIGN(std::vector<UniqueFd> sources, open_sources(ground, cell->plan_, cell->notes_));
  if (job) {
    cell->command_ = pack_command(*job);
    reinterpret_cast<CommandBlock*>(cell->command_.data())->relocate();
  }
  TRY(cell->clone(ground, sources, job));
  // An init that has failed already has said at which step; that is the better message.
  if (auto written = write_id_maps(ground.host, cell->process_.pid()); !written) {
    if (cell->init_lives()) return std::unexpected(written.error());
    return cell;
  }
  if (cell->held_.cgroup && !cgroup_first) {
    TRY_ASSIGN(cell->cgroup_, ground.cgroups->create(*cell->held_.cgroup));
  }
  const std::vector<int> entries = cell->cgroup_ ? cell->cgroup_->entry_fds() : std::vector<int>();
  TRY(cell->prepare(entries));
  return cell;
}

Result<void> Cell::prepare(const std::vector<int>& entries) {
  const Message prepared{.kind = Message::Kind::prepared};
  if (!send_message(socket_.get(), prepared, entries.data(), static_cast<int>(entries.size())) && !init_gone(errno))
    return fail_errno("talk to a new cell");
  return {};
}

Result<std::unique_ptr<Cell>> Cell::create_in(CellBlock& block, BlockPlan::Kind kind, CellGround& ground, int network) {
  std::unique_ptr<Cell> cell(new Cell);
  cell->block_ = true;
  cell->plan_ = block.plan(kind);
  cell->uppers_.resize(cell->plan_.collected.size());
  cell->held_ = block.held(kind);
  cell->notes_ = cell->plan_.notes;
  cell->notes_.insert(cell->notes_.end(), cell->held_.notes.begin(), cell->held_.notes.end());
  TRY_ASSIGN(Doors theirs, cell->make_doors());
  UniqueFd null;
  std::vector<int> fds = {theirs.socket.get()};
  if (kind == BlockPlan::parent) {
    TRY_ASSIGN(null, open_file("/dev/null", O_RDONLY));
    fds.insert(fds.end(), {null.get(), theirs.out.get(), theirs.err.get()});
  } else if (network >= 0) {
    fds.push_back(network);
  }
  TRY_ASSIGN(MadeInit made, block.make(kind, fds));
  cell->process_ = ChildProcess(made.pid, std::move(made.pidfd));
  if (cell->held_.cgroup) {
    TRY_ASSIGN(cell->cgroup_, ground.cgroups->create(*cell->held_.cgroup));
    cell->entries_ = cell->cgroup_->entry_fds();
    // clone3 into a v2 cgroup is for who may write there: the engine, which opens the file for them that enter.
    if (const int directory = cell->cgroup_->directory_fd(); directory >= 0) {
      cell->entry_.reset(::openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC));
      if (!cell->entry_) return fail_errno("open a cell's cgroup");
      cell->entries_.push_back(cell->entry_.get());
    }
  }
  TRY(cell->prepare(cell->entries_));
  if (kind == BlockPlan::fork) {
    TRY_ASSIGN(Pipe report, make_pipe());
    ::fcntl(report.read.get(), F_SETFL, O_NONBLOCK);
    cell->report_ = std::move(report.read);
    cell->fork_.report = std::move(report.write);
    cell->fork_.out = std::move(theirs.out);
    cell->fork_.err = std::move(theirs.err);
  }
  return cell;
}

Result<void> Cell::start(const Job& job, const std::vector<int>& inherited) {
  const Message go{.kind = Message::Kind::go};
  if (!command_.empty()) {
    if (!send_message(socket_.get(), go) && !init_gone(errno)) return fail_errno("start a job in its cell");
    return {};
  }
  const std::vector<std::uint64_t> words = pack_command(job);
  // Sealed: what init maps is what we wrote.
  TRY_ASSIGN(const UniqueFd command, sealed_memory("casemate-command", {reinterpret_cast<const char*>(words.data()), words.size() * 8}));
  std::vector<int> fds = {command.get()};
  fds.insert(fds.end(), inherited.begin(), inherited.end());
  if (!send_message(socket_.get(), go, fds.data(), static_cast<int>(fds.size())) && !init_gone(errno))
    return fail_errno("start a job in its cell");
  return {};
}

Result<void> Cell::command(const Job& command, const std::vector<int>& standard) {
  const std::vector<std::uint64_t> words = pack_command(command);
  TRY_ASSIGN(const UniqueFd packed, sealed_memory("casemate-command", {reinterpret_cast<const char*>(words.data()), words.size() * 8}));
  std::vector<int> fds = {packed.get()};
  fds.insert(fds.end(), standard.begin(), standard.end());
  terminal_.reset();
  if (!send_message(socket_.get(), Message{.kind = Message::Kind::go}, fds.data(), static_cast<int>(fds.size())) && !init_gone(errno))
    return fail_errno("start a command in its cell");
  return {};
}

void Cell::end_command() { send_message(socket_.get(), Message{.kind = Message::Kind::end_command}); }

Result<void> Cell::attach(CellBlock& block, CellGround& ground, const std::vector<Mount>& mounts) {
  attached_ = true;
  TRY_ASSIGN(const std::vector<const Mount*> sorted, late_mounts(mounts));
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const Mount& mount = *sorted[i];
    attachments_.push_back(mount.target);
    bool directory = false;
    const Source source{mount.source, !mount.writable, !mount.executable, mount.owned && ground.host.privileged};
    TRY_ASSIGN(const UniqueFd tree, block.open(ground, source, directory, notes_));
    TRY_ASSIGN(const UniqueFd place, sealed_memory("casemate-place", mount.target));
    Message message{.kind = Message::Kind::mount, .step = static_cast<std::uint32_t>(i)};
    const bool last = i + 1 == sorted.size();
    if (directory) message.value |= Message::directory;
    if (last) message.value |= Message::last;
    const int fds[] = {tree.get(), place.get()};
    if (!send_message(socket_.get(), message, fds, 2) && !init_gone(errno)) return fail_errno("show more in a cell");
  }
  return {};
}

void Cell::adopt() {
  ready_ = false;
  send_message(socket_.get(), Message{.kind = Message::Kind::adopt});
}

void Cell::finish(int wait_status) { send_message(socket_.get(), Message{.kind = Message::Kind::finish, .value = wait_status}); }

void Cell::signal(int number) { send_message(socket_.get(), Message{.kind = Message::Kind::signal, .value = number}); }

bool Cell::renew_pipes() {
  constexpr int kPlain = 64 << 10;  // pipe(7)
  if (!out_ || !err_ || !report_) return false;
  const UniqueFd* const ends[] = {&fork_.out, &fork_.err, &fork_.report};
  return std::all_of(std::begin(ends), std::end(ends), [](const UniqueFd* end) {
    return ::fcntl(end->get(), F_SETFL, 0) == 0 &&
           (::fcntl(end->get(), F_GETPIPE_SZ) == kPlain || ::fcntl(end->get(), F_SETPIPE_SZ, kPlain) == kPlain);
  });
}

bool Cell::receive(CellReport& report) {
  for (;;) {
    Message message{};
    int passed[kMostPassed];
    int count = 0;
    const ssize_t got = receive_passing(socket_.get(), &message, sizeof message, passed, kMostPassed, count);
    std::vector<UniqueFd> fds(passed, passed + count);
    // ECONNRESET: init ended without having read all of ours. The kernel says that before it gives what init sent, and says it once.
    if (got < 0 && errno == ECONNRESET) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    if (got != static_cast<ssize_t>(sizeof message)) continue;
    switch (message.kind) {
      case Message::Kind::failed:
        report.failure = message;
        break;
      case Message::Kind::exported:
        if (message.step < uppers_.size() && !fds.empty()) uppers_[message.step] = std::move(fds[0]);
        break;
      case Message::Kind::network:
        if (fds.size() != 2) break;
        network_namespace_ = std::move(fds[0]);
        user_namespace_ = std::move(fds[1]);
        break;
      case Message::Kind::namespaces:
        for (std::size_t i = 0, next = 0; i < kNamespaces && next < fds.size(); ++i) {
          if (message.step >> i & 1u) fork_.namespaces[i] = std::move(fds[next++]);
        }
        if (const UniqueFd& network = fork_.namespaces[kNetworkNamespace]) own_network_.reset(::fcntl(network.get(), F_DUPFD_CLOEXEC, 3));
        break;
      case Message::Kind::ready:
        report.ready = true;
        ready_ = true;
        break;
      case Message::Kind::mounted:
        report.mounted = true;
        break;
      case Message::Kind::terminal:
        if (fds.size() != 1) break;
        terminal_ = std::move(fds[0]);
        ::fcntl(terminal_.get(), F_SETFL, O_NONBLOCK);
        break;
      case Message::Kind::used: {
        std::uint64_t cpu[2];
        std::memcpy(cpu, message.text, sizeof cpu);
        report.used = ProcessEnd{.user_us = static_cast<std::int64_t>(cpu[0]),
                                 .system_us = static_cast<std::int64_t>(cpu[1]),
                                 .max_rss_bytes = static_cast<std::int64_t>(message.step) * 1024,
                                 .major_faults = static_cast<std::uint32_t>(message.value),
                                 .minor_faults = message.phase};
        break;
      }
      case Message::Kind::ended:
        report.wait_status = message.value;
        report.disk_full = message.step != 0;
        report.network_untouched = (message.phase & Message::network_untouched) != 0;
        report.untouched = (message.phase & Message::untouched) != 0;
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
