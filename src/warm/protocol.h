// protocol: what the engine and warm parents (Python interpreters that have imported, and fork into cells) say to each other. The engine's
// half is here; the interpreter's is python/warm.py and native/cells.cc. What an interpreter says is hostile: bounded and checked.
//
// A warm parent has one SOCK_SEQPACKET socket to the engine, its *control*. Each datagram is one message: a letter, then a payload.
// Descriptors travel with it (SCM_RIGHTS). The base parent is started as a job's process, with
//   fd 3  its control
//   fd 4  a sealed memfd: the text of python/warm.py
//   fd 5  a sealed memfd: the native half, a Python extension module without any library of its own (loaded as /proc/self/fd/5)
// and argv = {python, "-c", kWarmBoot, pytest's arguments...}.
//
// A base of another text (python/plain.py) has, instead of pytest's arguments, one with the modules that it imports, "a,b"; in M and K
// "file" names those of the parent, ids are what run() is given, and C, S and V are not for it. With CASEMATE_MORTAL in its environment
// (which tests do not see) all reference counts stay as they are; otherwise CPython 3.12 and 3.13 make objects immortal whose death nobody
// can observe (PEP 683). With CASEMATE_GUARDED (they don't see that either) it makes itself not dumpable (prctl(2), PR_SET_DUMPABLE), and
// so are its forks. The parent moves its control away from where tests look, closes 4 and 5, and takes nameless files of its own as stdout
// and stderr, for text in X. Such a file dies with it: an engine that wants to know what a parent printed that died without X gives it two
// memfds, as 1 and 2 of the base or with C and M. A letter is followed by its payload at once, no space between.
//
// Engine to parent
//   C [<json>]               collect everything and exit.         fds: stream [, control] [, out, err]. The answer is written to the stream
//                            (below). {"job": n}: what E says when it has ended; without it no E comes. With a control it may stay (S)
//   M <json>                 be a parent for one file, or all.    fds: control of the new parent [, out, err]
//                            {"file": "tests/test_a.py" | null, "job": n}. The file as the collector names it: relative to the rootdir
//                            To a module parent with more than kMostItems items instead: be a parent for this part of them, in the
//                            collector's order. {"first": n, "count": m, "job": n}; a T for such a parent itself is served, but slowly
//   T <TestHeader><ids>      fork into a cell and run these tests. fds: see TestHeader::fds. ids: node ids, each ended by a NUL
//   K <json>                 instead of all others, to an interpreter that was started for some tests alone (CASEMATE_COLD in its
//                            environment): collect this file, run these tests in this process, and end. fds: stream, as a fork's
//                            {"file": "tests/test_a.py", "ids": [...]}
//   V <json>                 instead of K: all has run, report coverage and end. fds: stream, a file with all {"coverage"} lines
//                            {"failed": tests that did}
//   Q                        exit (so does the end of the socket)
//
// An interpreter that is alone in a container (CASEMATE_ALONE in its environment; python/alone.py) has no control and none of these
// descriptors: its text is a file (kAlonePlace), the order comes before pytest's arguments as words of their own (C; K FILE COUNT ID...;
// V FAILED, with the lines in the file kCoveredPlace; G, with the file kGroupPlace, and kRewrittenPlace if there is one), and its stream is
// descriptor 3. A collector's stream begins with {"about"}.
//
// Order G (python/group.py) is a group of units: tests that share a process, as those of one T do. The interpreter forks a parent for each
// file, and that a keeper, which forks for each unit and hears it on a pipe of its own. The file says
//   {"files": [{"file": "tests/test_a.py" | null, "hash", "cold": true?, "units": [{"n": n, "file", "ids": [...], "wall": seconds?}]}],
//    "places": [directories that tests may write to, each for itself], "disk": bytes of each, "network": whether it is the worker's,
//    "cells": whether namespaces are wanted, "memory", "pids": of a unit; "capture": bytes of its stdout, and of its stderr}
// "file" null: from a parent that has collected everything; "cold": in fresh interpreters, with order K.
//
// Parent to engine
//   B <json>                 base: ready, `pytest_sessionstart` is over. {"python": "3.11.7", "pytest": "8.1.1", "notes": [...]}; after
//                            that it only serves C, M and Q
//   S <json>                 a collector stays: it has collected one file alone, and is its parent from here on. Comes before the end
//                            of its stream, which is not its own end then; R follows. {"file": path}
//   R <json>                 a module parent has collected. {"count", "hash", "threads": [words for what it has left: threads, and what
//                            python/ties.py sees], "problems": n}; it serves T and Q now. `hash` is over ids and markers in order, equal
//                            to the collector's for the same file (of all files it is another: the collector's are one a file; of one
//                            that was the collector it is missing)
//   E <EndedMessage>         a fork (of T, or of C or M with a job) has ended; it has been reaped. A fork that could not be made has
//                            status -1
//   F <FailedMessage>        a test's fork could not be made or not enter its cell, and has ended. E follows
//   X <json>                 the parent gives up: {"what": one line, "text": what pytest printed, "status": pytest's exit status}. It
//                            exits. Not from a collector, which has only its stream: there the last line says so
//
// Forks of a parent that ends go on; the engine ends them with their cells.
//
// A *stream* is a pipe of lines, each a JSON object in ASCII (what is not is escaped) of at most kMostLine bytes; the end of the stream is
// the end of the answer.
// The collector's stream:
//   {"about": {"python": "3.11.7", "pytest": "8.1.1", "notes": [...]}}   of one that is alone: what B says
//   {"problem": {report}}                                           a file that could not be collected, or said that it is to be
//                                                                   skipped ("outcome"); "when" is "collect"
//   {"warning": {...}}                                              as in a fork's stream
//   {"item": id, "file", "group", "name", "line", "markers": [...], "skip": true?, "cold": true?}   in pytest's order
//   {"file": path, "hash": h, "count": n, "left": [words]?}         a file's items are over (items of files may alternate). "left": names
//                                                                   that it wrote and its tests would miss (python/writes.py), at most 16
//   {"done": true, "deselected": n, "threads": [...], "left": [words]?, "status": n, "text": t?}
//                                                                   the last line; without it the collector died. "status" is the exit
//                                                                   status pytest would have with nothing but collection: 0, 2
//                                                                   (problems), 4 (usage), 5 (no items) ...; "text" what it printed, if
//                                                                   it ended before collection did; "left" what the base left before it,
//                                                                   which all tests would share or miss (python/ties.py), at most 16
// A fork's stream (the `report` descriptor of its cell):
//   {"begin": id}                      a test begins (when there are several)
//   {"report": {"id", "when", "outcome", "start", "duration", "text", "message", "path", "line", "sections": [[t, c]...],
//               "properties": [[k, v]...], "xfail", "subtest"}}    keys at their empty value are left out; times are floats, seconds;
//                                      "start" is of the epoch, and missing before pytest 8. Sections are all so far, as pytest has them
//   {"warning": {"id", "category", "message", "path", "line"}}
//   {"end": id}                        all of this test's reports have been given
//   {"missing": id}                    this parent has not collected it
//   {"stop": text}                     pytest.exit(), KeyboardInterrupt or the like: a plain pytest would have ended here; tests after it
//                                      have not been run
//   {"rewritten": path, "source": words that tell its content, "code": base64}   of a collector that is alone. python/rewritten.py
//   {"coverage": [context, kind, {file: numbers}]}  where pytest-cov measures; a collector's stream has it too. python/coverage.py
//   {"done": true}                     the fork is about to end with _exit(0)
// The stream of G: {"about"}, then
//   {"apart": "cells" | "processes", "note": text, "root": bool}  what units have for themselves, and
//       what not; whether they are root
//   {"unit": n}                        it begins; they run one after the other
//   {"of": n, "bytes": text}           a piece of its stream, a fork's as above: each byte as the character of its number
//   {"over": n, "status": as waitpid(2) has it, "wall", "user", "system": seconds, "rss": bytes, "limit": "wall" | "memory" | "pids"?,
//    "left": [[pid, name]...]?, "out", "err": text as in "bytes"?, "out_total", "err_total"}  it has ended, and all it had left
//   {"over": n, "failed": [step, errno]}  it could not begin
//   {"over": n, "died": words}         the process that it was to be forked from died. May come for one that has not begun
//   {"tied": file, "left": words}      what follows of this file runs in fresh interpreters (as R's "threads")
//   {"differs": file}                  alone the file is collected otherwise: what follows runs from a parent of all files
//   {"done": true}
// The stream of V:
//   {"covered": text, "failed": bool}  what pytest-cov printed; whether that is a failure (--cov-fail-under)
//   {"written": path, "content": base64, "more": bool}  a file of pytest-cov's, in pieces
//   {"done": true}
// With a single id all lines may come at the end: what is missing when the fork dies is its verdict's text.
#pragma once

#include <cstdint>

namespace casemate {

/// Before the node ids in message T. If any namespace is given the fork keeps no capability, and setns fails in it; without (tests of the
/// interpreter's half) these steps are left out too.
struct TestHeader {
  /// Which descriptors come with it, in this order; a bit each. Those of namespaces are nsfs files (setns(2)).
  enum Fds : std::uint32_t {
    mount_namespace = 1u << 0,
    pid_namespace = 1u << 1,  ///< by the parent, before it forks
    ipc_namespace = 1u << 2,
    uts_namespace = 1u << 3,
    network_namespace = 1u << 4,
    cgroup_namespace = 1u << 5,
    out = 1u << 6,       ///< the cell's stdout
    err = 1u << 7,       ///< the cell's stderr
    report = 1u << 8,    ///< the fork's stream
    cgroup_1 = 1u << 9,  ///< cgroup.procs or tasks files, to each of which the fork writes "0" first
    cgroup_2 = 1u << 10,
    cgroup_3 = 1u << 11,
    cgroup_4 = 1u << 12,
  };
  char letter;  ///< 'T'
  char pad[3];
  std::uint32_t fds;
  std::uint64_t job;  ///< says which fork in E and F
};

/// Message E.
struct EndedMessage {
  char letter;  ///< 'E'
  char pad[3];
  std::int32_t status;  ///< as waitpid(2) has it
  std::uint64_t job;
  std::int64_t user_us;  ///< of the fork and its descendants that were waited for
  std::int64_t system_us;
  std::int64_t minor_faults;
  std::int64_t major_faults;
  std::int64_t max_rss_bytes;
};

/// Message F. `step` is one of kForkSteps.
struct FailedMessage {
  char letter;  ///< 'F'
  char pad[3];
  std::int32_t problem;  ///< errno
  std::uint64_t job;
  std::uint32_t step;
  std::uint32_t reserved;
};

/// What a fork does before its test begins, by number.
inline constexpr const char* kForkSteps[] = {"fork",
                                             "enter the cgroup",
                                             "enter the mount namespace",
                                             "enter the ipc namespace",
                                             "enter the uts namespace",
                                             "enter the network namespace",
                                             "enter the cgroup namespace",
                                             "drop capabilities",
                                             "install the filter",
                                             "take stdout and stderr",
                                             "begin",
                                             "enter the pid namespace",
                                             "return to the working directory"};
inline constexpr std::uint32_t kStepPidNamespace = 11;  ///< the parent's, before the fork

inline constexpr std::uint32_t kMostLine = 32u << 20;  ///< bytes of one line of a stream
inline constexpr std::uint32_t kMostText = 1u << 20;   ///< bytes of any one text in it; the sender shortens, keeping head and tail
inline constexpr std::uint32_t kMostItems = 4000;      ///< of a parent whose forks run tests (PART in warm.py)
inline constexpr std::uint32_t kMostIds = 128u << 10;  ///< bytes of the ids of one T

}  // namespace casemate
