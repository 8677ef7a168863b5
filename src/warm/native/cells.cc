// cells: the native half of a warm parent, a Python module that needs no library: what is hot, and what Python cannot do without importing
// something that a test could see. It receives orders, forks into cells, reaps; python/warm.py says what a fork runs.
// Stable ABI of CPython 3.8 (PEP 384); the one symbol of a libc is fork: its locks, thread ids and atfork handlers must be the process'
// own.
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "warm/native/enter.h"
#include "warm/native/holes.h"
#include "warm/native/immortal.h"
#include "warm/native/kernel.h"
#include "warm/protocol.h"

extern "C" int fork();
// glibc's; another C library may not have it.
extern "C" __attribute__((weak)) int malloc_trim(unsigned long pad);

namespace casemate::native {
namespace {

constexpr int kHighFd = 50;  ///< from here: what a test should not meet. Below 64, for a larger table of descriptors is copied by each fork
constexpr int kMostForks = 256;
constexpr int kSignalInterrupt = 2;

struct Fork {
  int pid = 0;
  int pidfd = -1;
  std::uint64_t job = 0;
  bool told = true;  ///< its end is: the engine gave it a number
};

// One parent a process: its state need not travel through Python.
int control = -1;
int own_pid_namespace = -1;
Fork forks[kMostForks];
int forks_count = 0;
Streams streams;
char cwd[4096];
char message[sizeof(TestHeader) + kMostIds + 4096];

PyObject* raise_errno(long problem, const char* what) {
  PyObject* const arguments = Py_BuildValue("(is)", static_cast<int>(problem < 0 ? -problem : problem), what);
  if (arguments != nullptr) {
    PyErr_SetObject(PyExc_OSError, arguments);
    Py_DECREF(arguments);
  }
  return nullptr;
}

int raise_high(int fd) {
  const long high = call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, kHighFd);
  if (high < 0) return fd;
  close_fd(fd);
  return static_cast<int>(high);
}

// ---- Messages

long send_bytes(const void* bytes, std::size_t size) {
  long sent = 0;
  do sent = call(SYS_sendto, control, at(bytes), static_cast<long>(size), MSG_NOSIGNAL, 0, 0);
  while (sent == -EINTR);
  return sent;
}

void send_failed(std::uint64_t job, Failure failure) {
  FailedMessage failed{};
  failed.letter = 'F';
  failed.problem = failure.problem;
  failed.job = job;
  failed.step = failure.step;
  send_bytes(&failed, sizeof failed);
}

void send_ended(std::uint64_t job, int status, const rusage& used) {
  EndedMessage ended{};
  ended.letter = 'E';
  ended.status = status;
  ended.job = job;
  ended.user_us = used.ru_utime.tv_sec * 1'000'000 + used.ru_utime.tv_usec;
  ended.system_us = used.ru_stime.tv_sec * 1'000'000 + used.ru_stime.tv_usec;
  ended.minor_faults = used.ru_minflt;
  ended.major_faults = used.ru_majflt;
  ended.max_rss_bytes = used.ru_maxrss * 1024;
  send_bytes(&ended, sizeof ended);
}

struct Received {
  long size = 0;  ///< of `message`; 0: the other end is closed; < 0: -errno
  int fds[Order::kFds + 3];
  int fds_count = 0;
};

Received receive() {
  Received received;
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof received.fds)];
  iovec part = {message, sizeof message};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = ancillary;
  header.msg_controllen = sizeof ancillary;
  do received.size = call(SYS_recvmsg, control, at(&header), MSG_CMSG_CLOEXEC);
  while (received.size == -EINTR);
  if (received.size < 0) return received;
  auto* const rights = CMSG_FIRSTHDR(&header);
  if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
    received.fds_count = static_cast<int>((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(received.fds, CMSG_DATA(rights), static_cast<std::size_t>(received.fds_count) * sizeof(int));
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) received.size = -EMSGSIZE;
  return received;
}

// ---- Forks

void remember(int pid, std::uint64_t job, bool told = true) {
  forks[forks_count++] = {pid, static_cast<int>(call(SYS_pidfd_open, pid, 0)), job, told};
}

// In a fresh fork: what belongs to its parent alone, but for the control: it may still have to say that it failed.
void forget_parent() {
  for (int i = 0; i < forks_count; ++i) close_fd(forks[i].pidfd);
  forks_count = 0;
  close_fd(own_pid_namespace);
  own_pid_namespace = -1;
}

void reap(int index, int options) {
  int status = 0;
  rusage used{};
  const Fork ended = forks[index];
  const long pid = call(SYS_wait4, ended.pid, at(&status), options, at(&used));
  if (pid == 0 || pid == -EINTR) return;
  close_fd(ended.pidfd);
  forks[index] = forks[--forks_count];
  if (pid < 0) status = -1;  // somebody else has waited for it: a plugin with waitpid(-1)
  if (ended.told) send_ended(ended.job, status, used);
}

// Forks into the cell of `order`. In the child 0, in the parent a pid, or -1 after an F.
int fork_into_cell(Order& order) {
  if (order.pid_namespace >= 0) {
    const long joined = call(SYS_setns, order.pid_namespace, CLONE_NEWPID);
    if (joined < 0) {
      send_failed(order.job, {kStepPidNamespace, static_cast<int>(-joined)});
      return -1;
    }
  }
  PyOS_BeforeFork();
  const int pid = fork();
  if (pid == 0) {
    // First into the cell: what Python and its plugins do in a fork is charged and confined there.
    const Failure failure = enter_cell(order, streams, cwd);
    if (failure.problem != 0) {
      send_failed(order.job, failure);
      call(SYS_exit_group, 1);
    }
    order.report = raise_high(order.report);
    const int report = order.report;
    order.report = -1;
    order.close_all();
    order.report = report;
    close_fd(control);
    control = -1;
    forget_parent();
    PyOS_AfterFork_Child();
    return 0;
  }
  PyOS_AfterFork_Parent();
  if (order.pid_namespace >= 0) call(SYS_setns, own_pid_namespace, CLONE_NEWPID);
  if (pid < 0) {
    send_failed(order.job, {0, EAGAIN});
    return -1;
  }
  remember(pid, order.job);
  return pid;
}

// Reads a T into `order`; 0, or the errno of what is wrong with it.
int read_order(const Received& received, Order& order) {
  if (received.size < static_cast<long>(sizeof(TestHeader))) return EPROTO;
  TestHeader header;
  memcpy(&header, message, sizeof header);
  order.job = header.job;
  int next = 0;
  for (int bit = 0; bit < Order::kFds; ++bit) {
    if ((header.fds & (1u << bit)) == 0) continue;
    if (next == received.fds_count) return EPROTO;
    order.fd(bit) = received.fds[next++];
  }
  return next == received.fds_count ? 0 : EPROTO;
}

// ---- Serving

// The kernel's own struct sigaction, kept to be put back as it was.
struct KernelAction {
  void* handler = nullptr;
  unsigned long flags = 0;
  void* restorer = nullptr;
  std::uint64_t mask = 0;
};
KernelAction interrupt_before;

// A terminal's Ctrl-C is the engine's to handle: a parent that serves ends when its socket does.
void ignore_interrupt() {
  KernelAction ignore;
  ignore.handler = reinterpret_cast<void*>(1);
  call(SYS_rt_sigaction, kSignalInterrupt, at(&ignore), at(&interrupt_before), sizeof ignore.mask);
}
void restore_interrupt() { call(SYS_rt_sigaction, kSignalInterrupt, at(&interrupt_before), 0, sizeof interrupt_before.mask); }

// Waits until a message can be read; reaps meanwhile. 0, or -errno.
long wait_for_message() {
  static pollfd polled[kMostForks + 1];
  for (;;) {
    int count = 0;
    bool all_have_pidfds = true;
    for (int i = 0; i < forks_count; ++i) {
      polled[count++] = {forks[i].pidfd, POLLIN, 0};
      all_have_pidfds = all_have_pidfds && forks[i].pidfd >= 0;
    }
    const bool full = forks_count == kMostForks;
    polled[count++] = {full ? -1 : control, POLLIN, 0};
    // Without pidfd_open (Linux < 5.3) ends are looked for every 2 ms.
    timespec patience = {0, 2'000'000};
    PyThreadState* const state = PyEval_SaveThread();
    const long ready = call(SYS_ppoll, at(polled), count, all_have_pidfds ? 0 : at(&patience), 0, 8);
    PyEval_RestoreThread(state);
    if (ready == -EINTR) continue;
    if (ready < 0) return ready;
    const bool readable = polled[count - 1].revents != 0;
    for (int i = count - 2; i >= 0; --i) {
      if (polled[i].fd < 0 || polled[i].revents != 0) reap(i, WNOHANG);
    }
    if (readable) return 0;
  }
}

PyObject* fds_as_list(const Received& received) {
  PyObject* const list = PyList_New(received.fds_count);
  for (int i = 0; list != nullptr && i < received.fds_count; ++i) PyList_SetItem(list, i, PyLong_FromLong(received.fds[i]));
  return list;
}

PyObject* serve_once(bool& over) {
  over = true;
  if (const long problem = wait_for_message(); problem < 0) return raise_errno(problem, "poll of the control socket");
  const Received received = receive();
  if (received.size < 0 && received.size != -ECONNRESET) return raise_errno(received.size, "message from the engine");
  if (received.size <= 0 || message[0] == 'Q') Py_RETURN_NONE;
  if (message[0] != 'T') {
    return Py_BuildValue("(s#y#N)", message, Py_ssize_t{1}, message + 1, static_cast<Py_ssize_t>(received.size - 1), fds_as_list(received));
  }
  Order order;
  if (const int problem = read_order(received, order); problem != 0) return raise_errno(problem, "message T from the engine");
  const int pid = fork_into_cell(order);
  if (pid == 0) {
    restore_interrupt();
    return Py_BuildValue("(sy#i)", "T", message + sizeof(TestHeader), static_cast<Py_ssize_t>(received.size - sizeof(TestHeader)),
                         order.report);
  }
  if (pid < 0) send_ended(order.job, -1, rusage{});
  order.close_all();
  over = false;
  return nullptr;
}

PyObject* serve(PyObject*, PyObject*) {
  if (own_pid_namespace < 0) {
    const long fd = call(SYS_openat, AT_FDCWD, at("/proc/self/ns/pid"), O_RDONLY | O_CLOEXEC, 0);
    own_pid_namespace = fd < 0 ? -1 : raise_high(static_cast<int>(fd));
  }
  if (call(SYS_getcwd, at(cwd), sizeof cwd) < 0) cwd[0] = '\0';
  ignore_interrupt();
  bool over = false;
  PyObject* result = nullptr;
  while (!over) result = serve_once(over);
  restore_interrupt();
  return result;
}

PyObject* trim(PyObject*, PyObject*) {
  if (malloc_trim != nullptr) malloc_trim(0);
  Py_RETURN_NONE;
}

PyObject* fork_parent(PyObject*, PyObject* arguments) {
  long long job = 0;
  if (PyArg_ParseTuple(arguments, "L", &job) == 0) return nullptr;
  if (forks_count == kMostForks) return raise_errno(EAGAIN, "too many forks");
  PyOS_BeforeFork();
  const int pid = fork();
  if (pid == 0) {
    forget_parent();
    PyOS_AfterFork_Child();
  } else {
    PyOS_AfterFork_Parent();
    if (pid < 0) return PyErr_SetFromErrno(PyExc_OSError);
    remember(pid, static_cast<std::uint64_t>(job), job >= 0);
  }
  return PyLong_FromLong(pid);
}

// ---- Small things

PyObject* set_control(PyObject*, PyObject* fd) {
  const long given = PyLong_AsLong(fd);
  if (given == -1 && PyErr_Occurred() != nullptr) return nullptr;
  close_fd(control);
  control = given < 0 ? -1 : raise_high(static_cast<int>(given));
  Py_RETURN_NONE;
}

PyObject* send(PyObject*, PyObject* bytes) {
  char* text = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(bytes, &text, &size) != 0) return nullptr;
  const long sent = send_bytes(text, static_cast<std::size_t>(size));
  // Without an engine there is nobody to work for, and nobody to tell.
  if (sent == -EPIPE || sent == -ECONNRESET) call(SYS_exit_group, 1);
  if (sent < 0) return raise_errno(sent, "message to the engine");
  Py_RETURN_NONE;
}

bool read_fds(PyObject* tuple, int* fds, int& count) {
  count = 0;
  for (Py_ssize_t i = 0; i < PyTuple_Size(tuple) && count < Streams::kMost; ++i) {
    fds[count++] = static_cast<int>(PyLong_AsLong(PyTuple_GetItem(tuple, i)));
  }
  return PyErr_Occurred() == nullptr;
}

PyObject* set_streams(PyObject*, PyObject* arguments) {
  PyObject* out = nullptr;
  PyObject* err = nullptr;
  PyObject* files = nullptr;
  PyObject* groups = nullptr;
  int groups_count = 0;
  if (PyArg_ParseTuple(arguments, "OOOO", &out, &err, &files, &groups) == 0) return nullptr;
  if (!read_fds(out, streams.out, streams.out_count) || !read_fds(err, streams.err, streams.err_count) ||
      !read_fds(files, streams.file, streams.file_count) || !read_fds(groups, streams.file_group, groups_count))
    return nullptr;
  if (groups_count != streams.file_count) return raise_errno(EINVAL, "a group for each file");
  Py_RETURN_NONE;
}

PyObject* renew_streams(PyObject*, PyObject* arguments) {
  int out = -1;
  int err = -1;
  if (PyArg_ParseTuple(arguments, "ii", &out, &err) == 0) return nullptr;
  if (const int problem = take_streams(streams, out, err); problem != 0) return raise_errno(problem, "streams of a fork");
  Py_RETURN_NONE;
}

PyObject* new_file(PyObject*, PyObject*) {
  const int file = nameless_file();
  return file < 0 ? raise_errno(file, "file for output") : PyLong_FromLong(file);
}

PyObject* high_fd(PyObject*, PyObject* fd) {
  const long given = PyLong_AsLong(fd);
  if (given == -1 && PyErr_Occurred() != nullptr) return nullptr;
  return PyLong_FromLong(raise_high(static_cast<int>(given)));
}

// FNV-1a of 64 bits, in hex: to compare two collections, not to withstand anybody.
PyObject* hash(PyObject*, PyObject* bytes) {
  char* text = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(bytes, &text, &size) != 0) return nullptr;
  std::uint64_t value = 0xcbf29ce484222325u;
  for (Py_ssize_t i = 0; i < size; ++i) value = (value ^ static_cast<unsigned char>(text[i])) * 0x100000001b3u;
  char digits[16];
  for (int i = 15; i >= 0; --i, value >>= 4) digits[i] = "0123456789abcdef"[value & 15];
  return PyUnicode_FromStringAndSize(digits, 16);
}

// PR_SET_DUMPABLE: from now on ptrace(2), /proc/PID/mem, process_vm_writev(2), pidfd_getfd(2) and links in /proc/PID/fd of this process
// and its forks need CAP_SYS_PTRACE, which nobody in a cell has. An exec ends it.
PyObject* hide(PyObject*, PyObject*) {
  call(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
  Py_RETURN_NONE;
}

// By exit_group: no atexit, no flush, no destructor. What the parent had is not the fork's to end.
PyObject* leave(PyObject*, PyObject* status) {
  call(SYS_exit_group, PyLong_AsLong(status));
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"control", set_control, METH_O, "control(fd): takes the socket to the engine, away from where tests look; -1 closes it"},
    {"send", send, METH_O, "send(bytes): one message to the engine"},
    {"trim", trim, METH_NOARGS, "trim(): what the C library's allocator holds free goes back to the kernel, where it can (glibc)"},
    {"serve", serve, METH_NOARGS,
     "serve() -> None at the end; (letter, payload, fds) for a message of Python's; in a fork ('T', ids, report)"},
    {"fork", fork_parent, METH_VARARGS, "fork(job) -> pid, 0 in the fork, which keeps the control; job < 0: no E at its end"},
    {"streams", set_streams, METH_VARARGS, "streams(out, err, files, groups): descriptors that forks replace"},
    {"renew", renew_streams, METH_VARARGS, "renew(out, err): replaces them in this process"},
    {"new_file", new_file, METH_NOARGS, "new_file() -> fd of a nameless file"},
    {"high", high_fd, METH_O, "high(fd) -> fd, moved away from where tests look"},
    {"hash", hash, METH_O, "hash(bytes) -> 16 hexadecimal digits"},
    {"hide", hide, METH_NOARGS, "hide(): nobody looks into this process and its forks, or takes their descriptors"},
    {"leave", leave, METH_O, "leave(status): exit_group"},
    {"fill_holes", fill_holes, METH_NOARGS, "fill_holes() -> how many blocks"},
    {"immortalize", immortalize, METH_VARARGS, "immortalize(kinds, containers) -> how many objects"},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {{0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "casemate_cells", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace casemate::native

extern "C" __attribute__((visibility("default"))) PyObject* PyInit_casemate_cells() {
  return PyModuleDef_Init(&casemate::native::definition);
}
