// Outcome: the closed set of ways a job can end, with what it used. The same words in console, JSON, JUnit and database.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace casemate {

/// How one job ended.
struct Outcome {
  enum class Kind {
    exited,              ///< `code` is the exit status, 0-255
    signaled,            ///< `code` is the signal number
    timed_out,           ///< wall or CPU time; `detail` says which
    out_of_memory,       ///< the kernel killed a process of the job for the memory limit
    too_many_processes,  ///< the pids limit was hit and the job failed
    output_limit,        ///< more output than allowed, and the job was ended for it
    disk_limit,          ///< a writable layer was full when the job failed
    setup_failed,        ///< the cell could not be made: `step`, `code` is errno
    cancelled,           ///< somebody asked
    lost,                ///< nobody knows how it ended: executor or machine gone; `detail` says why
  };
  Kind kind = Kind::lost;
  int code = 0;
  std::string step;    ///< setup_failed: the plan's step in words; disk_limit of a host directory: "bytes", "files" or "full"; lost:
                       ///< kExecutorGone or what else tells one way to be lost from others
  std::string detail;  ///< one line more, or empty

  /// True only for `exited 0`.
  [[nodiscard]] bool succeeded() const { return kind == Kind::exited && code == 0; }
  bool operator==(const Outcome&) const = default;
};

/// Outcome::step of `lost`: who runs jobs (a daemon) is gone or hangs, so the next job would be lost too.
inline constexpr std::string_view kExecutorGone = "executor gone";

/// The word of the kind alone, as JSON has it: "exited", "signaled", "timed out", "out of memory", ...
[[nodiscard]] std::string_view word(Outcome::Kind kind);
/// The whole outcome in words: "exited 1", "signaled 11 (SIGSEGV)", "timed out", "setup failed (mount /proc: EPERM)".
[[nodiscard]] std::string words(const Outcome& outcome);
/// The reverse of word(); nullopt for a word that is none of them.
[[nodiscard]] std::optional<Outcome::Kind> outcome_kind(std::string_view word);

/// What a job used. Unknown numbers (no controller on this host) are unset.
struct Resources {
  std::chrono::microseconds wall{0};
  std::chrono::microseconds user_cpu{0};
  std::chrono::microseconds system_cpu{0};
  std::optional<std::uint64_t> peak_memory_bytes;
  std::optional<std::uint64_t> read_bytes;     ///< block devices
  std::optional<std::uint64_t> written_bytes;  ///< block devices
  std::optional<std::uint64_t> peak_pids;
  std::uint64_t major_faults = 0;
  std::uint64_t minor_faults = 0;
};

/// One path that a job made, changed or removed below a collected directory.
struct Change {
  enum class Kind { created, modified, deleted };
  enum class Type { file, directory, symlink, skipped };
  Kind kind = Kind::created;
  Type type = Type::file;
  std::string path;         ///< relative to the collected directory; raw bytes, '/' between parts
  std::uint64_t size = 0;   ///< file: bytes; symlink: length of target
  std::uint32_t mode = 0;   ///< permission bits as the job left them, set-id bits removed
  std::string digest;       ///< file: "sha256:<hex>"; "" if not read
  std::string link_target;  ///< symlink: as the job wrote it, never followed
  std::string reason;       ///< skipped: why ("fifo", "socket", "device", "name too long", "sparse: 8 TiB over the limit", ...)
};

/// "created", "modified", "deleted", as JSON has it.
[[nodiscard]] std::string_view word(Change::Kind kind);
/// "file", "directory", "symlink", "skipped", as JSON has it.
[[nodiscard]] std::string_view word(Change::Type type);

/// A process that was still there when the job's main process ended; it was killed.
struct Leftover {
  std::int32_t pid = 0;  ///< in the cell's pid namespace
  std::string name;      ///< comm, at most 15 bytes, made printable
};

/// Which of a job's two outputs.
enum class Stream : std::uint8_t { out = 1, err = 2 };

/// What a job wrote, bounded by Limits::output_bytes.
struct Output {
  std::string out;              ///< stdout
  std::string err;              ///< stderr
  std::string merged;           ///< both in the order they arrived
  std::uint64_t out_total = 0;  ///< bytes written, kept or not
  std::uint64_t err_total = 0;
  bool truncated = false;
};

/// What a remote engine says of how it ran a job. Times that it did not tell are unset.
struct RemoteTimes {
  std::optional<std::chrono::microseconds> queue;   ///< until a worker took it
  std::optional<std::chrono::microseconds> fetch;   ///< the worker got the inputs
  std::optional<std::chrono::microseconds> run;     ///< the witness of the job and the job
  std::optional<std::chrono::microseconds> upload;  ///< the worker stored the outputs
  std::string worker;                               ///< its name, printable; "" not told
  std::uint32_t attempts = 1;                       ///< more than 1: there was trouble with the engine, or the way to it
  std::uint64_t sent_bytes = 0;                     ///< inputs that were not there yet
  bool cached = false;                              ///< nothing ran: the result was known
};

/// All there is to know about a finished job.
struct JobResult {
  Outcome outcome;
  Resources resources;
  Output output;
  std::vector<Change> changes;
  bool changes_truncated = false;  ///< there were more than the collector takes
  std::string collect_error;       ///< why the changes are incomplete, "" if they aren't
  std::vector<Leftover> leftovers;
  std::vector<std::string> notes;  ///< what fell back and what that means ("cpu limit by rlimit: no cpu controller")
  /// Of the job's main process, where it exited by itself and that was seen, whatever kind the outcome is: a job of which one process was
  /// out of memory may end well all the same.
  std::optional<int> exit_status;
  std::optional<RemoteTimes> remote;  ///< of jobs on a remote engine
};

}  // namespace casemate
