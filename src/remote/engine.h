// engine: a remote execution engine (REAPI v2: remote_execution.proto of bazelbuild/remote-apis), as blocking calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "action/blob.h"
#include "action/input_directory.h"
#include "casemate/outcome.h"
#include "casemate/result.h"
#include "remote/endpoint.h"

namespace casemate {

/// Error::where of what the next job would meet too: nobody there (then the code is not_found), credentials refused, no execution offered.
inline constexpr std::string_view kRemoteUnusable = "remote engine";
/// Error::where of a blob that was there and is not any more (NOT_FOUND, FAILED_PRECONDITION with missing blobs): send it again.
inline constexpr std::string_view kBlobMissing = "missing blob";

/// What an engine says it does (Capabilities), bounded to what we know.
struct RemoteOffer {
  bool executes = false;
  bool caches_results = false;   ///< GetActionResult
  bool takes_results = false;    ///< UpdateActionResult
  std::uint64_t most_batch = 0;  ///< bytes of one BatchUpdateBlobs or BatchReadBlobs, the message's own limit included
  bool zstd_streams = false;     ///< ByteStream "compressed-blobs/zstd"
  bool zstd_batches = false;
  std::pair<int, int> least_priority{0, 0};  ///< first, last of the ranges; {0, 0}: none
  bool outputs_by_kind = false;              ///< before API 2.1: it does not know Command.output_paths
  std::string api;                           ///< "2.0 to 2.12", for people
};

/// When the parts of an action happened; unset: not said.
struct ActionTimes {
  using Time = std::optional<std::chrono::system_clock::time_point>;
  Time queued, worker_began, fetch_began, fetch_ended, ran, ran_to_end, upload_began, upload_ended, worker_ended;
};

/// An output of an action. Paths are relative to the working directory, without "..", "." and empty parts; checked.
struct ActionOutput {
  enum class Kind { file, directory, symlink };
  Kind kind = Kind::file;
  std::string path;
  BlobDigest digest;  ///< file: content; directory: its Tree message
  bool executable = false;
  std::string target;  ///< symlink
};

/// What an action came to (ActionResult).
struct ActionResultView {
  int exit_code = 0;
  std::vector<ActionOutput> outputs;
  std::string out, err;                              ///< what was inlined
  std::optional<BlobDigest> out_digest, err_digest;  ///< set: there, not inlined
  ActionTimes times;
  std::string worker;
};

/// Which action to run, and how.
struct ExecutionOrder {
  BlobDigest action;
  bool skip_cache = true;                             ///< run it even if its result is known
  int priority = 0;                                   ///< as ExecutionPolicy has it: less is sooner
  std::optional<std::chrono::milliseconds> deadline;  ///< of all of it, waiting in a queue included
};

/// Hears of an execution, in the caller's thread.
struct ExecutionListener {
  virtual ~ExecutionListener() = default;
  virtual void queued() {}                                 ///< the engine has it; once
  virtual void executing() {}                              ///< a worker has it, where the engine says so; once
  virtual void named(const std::string& /*operation*/) {}  ///< how the engine calls it; again where it is executed anew
  /// While it runs, where the engine streams it (stdout_stream_name); the same bytes are in the result. Ends early where the stream breaks,
  /// or the action has to be executed anew.
  virtual void output(Stream /*stream*/, std::string_view /*bytes*/) {}
};

/// How an execution ended.
struct Execution {
  ActionResultView result;
  bool cached = false;
  /// google.rpc.Code; 0: the command ran to an end of its own. 4 (DEADLINE_EXCEEDED): the action's timeout. 1 (CANCELLED): somebody else
  /// has cancelled it. All others: the engine could not, also when asked again; 13 (INTERNAL) is also what buildbox says of a missing
  /// input.
  int status = 0;
  std::string message;         ///< of a status that is not 0, one line
  std::uint32_t attempts = 1;  ///< 2 and more: the engine or the way to it had trouble in between
};

/// That an engine does not answer, or says that it can't now.
struct EngineOutage {
  std::string reason;                               ///< for people, one line
  std::chrono::milliseconds tried{0}, patience{0};  ///< since its first failure; when it is given up, from then on
};

/// Hears that so many more bytes of content, and whole files, went out: in threads of an upload's own.
using HearSent = std::function<void(std::uint64_t bytes, std::size_t files)>;

/// One engine. Safe for use from several threads at once; each call blocks until it is done, `stop` asks (cancelled), or it can't be done:
/// calls have deadlines, and UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED, a reset stream are tried again with backoff and jitter within
/// RemotePolicy::patience. No message of the engine is believed unchecked: sizes, paths, digests of all that is read.
class RemoteEngine {
 public:
  /// Asks for capabilities. Errors: kRemoteUnusable.
  static Result<std::unique_ptr<RemoteEngine>> connect(RemoteEndpoint endpoint, RemotePolicy policy, std::stop_token stop);
  ~RemoteEngine();
  RemoteEngine(const RemoteEngine&) = delete;
  RemoteEngine& operator=(const RemoteEngine&) = delete;

  [[nodiscard]] const RemoteOffer& offer() const;
  /// What is being tried again at this moment; nullopt: nothing.
  [[nodiscard]] std::optional<EngineOutage> outage() const;

  /// Which of these are not there (FindMissingBlobs).
  Result<std::vector<BlobDigest>> missing(std::span<const BlobDigest> blobs, std::stop_token stop);
  /// Sends these: small ones in batches, others by ByteStream, resumed where it broke. A file that has changed meanwhile is `corrupt`.
  /// Bytes that went over the wire.
  Result<std::uint64_t> upload(std::span<const Blob> blobs, std::stop_token stop, const HearSent& sent = {});
  /// At most `most` bytes, else `exhausted`; what is not what its digest says is `corrupt`.
  Result<std::string> read(const BlobDigest& blob, std::uint64_t most, std::stop_token stop);
  /// The same for several, in their order: small ones many at a time, for each turn costs the way there and back. Together at most `most`.
  Result<std::vector<std::string>> read(std::span<const BlobDigest> blobs, std::uint64_t most, std::stop_token stop);
  /// One into an open file, from its start.
  Result<void> read_to(int fd, const BlobDigest& blob, std::stop_token stop);

  /// The action cache; nullopt: not there.
  Result<std::optional<ActionResultView>> known_result(const BlobDigest& action, std::stop_token stop);
  /// `result` as one that Execution gave. refused: the engine takes none.
  Result<void> tell_result(const BlobDigest& action, const ActionResultView& result, std::stop_token stop);

  /// Execute, and WaitExecution after a stream that broke or was silent; CancelOperation when `stop` asks. Errors: kBlobMissing (send the
  /// inputs and ask again), kRemoteUnusable; all others: nobody knows how it ended.
  Result<Execution> execute(const ExecutionOrder& order, ExecutionListener& listener, std::stop_token stop);

  /// An operation that nobody waits for any more. False: the engine could not be asked.
  bool cancel(const std::string& operation, std::stop_token stop);

  /// The directory that a Tree message (ActionOutput::directory) describes, checked: no cycle, names that are names, bounded depth and
  /// size. Contents are not fetched: each File's blob has a digest alone.
  static Result<InputDirectoryPtr> read_tree(std::string_view message);

 private:
  struct Parts;
  explicit RemoteEngine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
