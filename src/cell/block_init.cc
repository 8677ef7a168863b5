// block_init: pid 1 of a block. Makes cells when the engine says so, reaps what is nobody's, and by its end ends them all. It stays in the
// mount namespace it began in, never execs and is not dumpable: nothing in the block may look at it (see init.cc), and through it at the
// host's mounts.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell/block.h"
#include "cell/child.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace casemate {
namespace {

ChildContext cell_context(const BlockContext& context, std::uint32_t kind) {
  ChildContext cell;
  cell.plan = &context.plan->cells[kind];
  for (int& slot : cell.slots) slot = -1;
  cell.memory_watch_bytes = context.held[kind].memory_watch_bytes;
  cell.cpu_watch_us = context.held[kind].cpu_watch_us;
  return cell;
}

// Namespaces by clone3, but the network's, which the cell's init makes itself.
void make_cell(const BlockContext& context, std::uint32_t kind, const int* fds, int count) {
  Message answer{.kind = Message::Kind::made};
  int pidfd = -1;
  if (kind > BlockPlan::fork || count < 1) {
    answer.step = EINVAL;
    send_message(context.socket, answer);
    return;
  }
  const pid_t pid = clone_process(context.plan->cells[kind].namespaces & ~static_cast<std::uint64_t>(CLONE_NEWNET), -1, &pidfd);
  if (pid == 0) {
    ChildContext cell = cell_context(context, kind);
    cell.socket = fds[0];
    if (kind == BlockPlan::fork) {
      if (count > 1) cell.network = fds[1];
    } else {
      for (int i = 1; i < std::min(count, 4); ++i) cell.standard[i - 1] = fds[i];
    }
    init_main(cell);
  }
  if (pid < 0) {
    answer.step = static_cast<std::uint32_t>(errno);
    send_message(context.socket, answer);
    return;
  }
  answer.value = pid;
  send_message(context.socket, answer, &pidfd, 1);
  ::close(pidfd);
}

// A tree of the host, for an engine that may not open it itself. What the block's root covers is reached through `covered`.
void open_for_cell(const BlockContext& context, int covered, const Message& message, int place) {
  Message answer{.kind = Message::Kind::opened};
  char path[PATH_MAX];
  int tree = -EINVAL;
  if (place >= 0 && read_place(place, path)) {
    const auto mounting = static_cast<std::uint32_t>(message.value);
    TreeOptions options{.read_only = (mounting & Message::writable) == 0, .noexec = (mounting & Message::executable) == 0};
    const char* root = context.plan->ground_root.c_str();
    const std::size_t length = context.plan->ground_root.size();
    const char* from = path;
    if (std::strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0')) {
      options.directory = covered;
      from = path[length] == '\0' || path[length + 1] == '\0' ? "." : path + length + 1;
    }
    tree = open_tree_raw(from, options);
  }
  if (tree < 0) answer.step = static_cast<std::uint32_t>(-tree);
  send_message(context.socket, answer, &tree, tree < 0 ? 0 : 1);
  if (tree >= 0) ::close(tree);
}

}  // namespace

void block_main(const BlockContext& given) {
  ChildContext ground;
  ground.plan = &given.plan->ground;
  for (int& slot : ground.slots) slot = -1;
  for (std::size_t i = 0; i < given.sources->size(); ++i) ground.slots[i] = (*given.sources)[i].get();
  ground.socket = given.socket;
  ground.host_argv = given.host_argv;
  ground.host_argv_bytes = given.host_argv_bytes;
  int covered = -1;
  ground.covered = &covered;
  begin_first_process(ground, "casemate-block");
  if (!send_message(ground.socket, Message{.kind = Message::Kind::ready})) ::_exit(0);

  const int signals = child_signals();
  pollfd watched[2] = {{signals, POLLIN, 0}, {given.socket, POLLIN, 0}};
  for (;;) {
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) ::_exit(1);
    if (watched[0].revents != 0) {
      signalfd_siginfo info;
      while (::read(signals, &info, sizeof info) > 0) {
      }
      while (::waitpid(-1, nullptr, WNOHANG) > 0) {
      }
    }
    if (watched[1].revents == 0) continue;
    Message message{};
    int fds[4];
    const int count = receive_message(given.socket, message, fds, 4);
    if (count < 0) ::_exit(0);
    if (message.kind == Message::Kind::make) make_cell(given, message.step, fds, count);
    if (message.kind == Message::Kind::open) open_for_cell(given, covered, message, count == 1 ? fds[0] : -1);
    for (int i = 0; i < count; ++i) ::close(fds[i]);
  }
}

}  // namespace casemate
