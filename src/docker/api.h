// api: requests of the Docker Engine API over an endpoint, side by side, by libcurl in the engine's event loop. What a daemon answers is
// bounded and believed no more than any server's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/result.h"
#include "docker/endpoint.h"
#include "engine/reactor.h"

namespace casemate {

/// One request. `path` comes without the version ("/containers/json?all=1"), query percent-encoded (docker_query()).
struct DockerRequest {
  std::string method = "GET";
  std::string path;
  std::string body;  ///< JSON, but for `content_type`
  std::string content_type = "application/json";
  std::vector<std::string> headers;  ///< "X-Registry-Auth: ..."
  std::chrono::milliseconds silence =
      std::chrono::seconds(30);  ///< no byte for so long: the daemon hangs; 0: may take for ever (wait, events)
  /// Once an answer has begun, each so long of it brings 1 KiB at least, or the daemon hangs; 0: it may dribble (progress of pulls).
  std::chrono::milliseconds lap = std::chrono::seconds(30);
  std::uint64_t most_bytes = 16ull << 20;  ///< of an answer that is not streamed
  /// The body instead of `body`, in pieces ("" at its end): a tar, a build's context. Called in the engine's thread.
  std::function<Result<std::string>()> produce;
  /// Hears the answer's body in pieces instead of its end, where the status is 2xx. An Error ends the request with it.
  std::function<Result<void>(std::string_view)> stream;
};

/// An answer of any status.
struct DockerReply {
  int status = 0;
  std::string body;                           ///< what was not streamed
  std::string path_stat;                      ///< X-Docker-Container-Path-Stat, "" if there is none
  std::map<std::string, std::string> fields;  ///< of the head, names in lower case, of several of a name the last; 64 KiB at most
};

/// The connection after the daemon has given up HTTP on it (attach, exec start): raw bytes both ways. The destructor closes it.
class DockerStream {
 public:
  virtual ~DockerStream() = default;
  /// Calls `arrived` with bytes as they come, and `ended` once (with why, if not by its end). From the reactor; either may destroy the
  /// stream. Nothing is read before this. Bytes that the other end no longer takes are dropped without an error: it ends soon.
  virtual void listen(std::function<void(std::string_view)> arrived, std::function<void(Result<void>)> ended) = 0;
  /// While true nothing is read: the other end waits.
  virtual void pause(bool paused) = 0;
  /// Queues bytes for the other end; `close_after`: then its writing side is shut (end of stdin).
  virtual void write(std::string bytes, bool close_after) = 0;
  /// Bytes queued and not yet taken.
  [[nodiscard]] virtual std::size_t queued() const = 0;
  /// False over TLS: libcurl has no way to shut one direction of it (close_notify, RFC 8446, 6.1), and `close_after` does nothing there.
  [[nodiscard]] virtual bool can_close_writing() const = 0;
};

/// What a daemon says it is.
struct DockerVersion {
  std::string api;       ///< negotiated: the lower of ours (1.24 to 1.47 are known to us) and the daemon's
  std::string engine;    ///< "20.10.24"
  std::string name;      ///< "docker" or "podman"
  std::string os, arch;  ///< "linux", "amd64"
};

using DockerCallId = std::uint64_t;

/// A daemon to ask. Used by the reactor's thread alone; not to be destroyed from within a callback of its own. Requests in flight share
/// connections that are kept; what libcurl could not send on a kept one that has died it sends again on a new one.
class DockerApi {
 public:
  /// Connects to nothing yet. `reactor` must outlive it and all streams. The process must ignore SIGPIPE. Proxies of the environment do not
  /// count.
  static Result<std::unique_ptr<DockerApi>> create(Reactor& reactor, DockerEndpoint endpoint);
  virtual ~DockerApi() = default;

  /// Asks who is there (GET /_ping and, but for a podman of this machine, which takes a second for it, GET /version), in at most 5 s each,
  /// and settles on a version; to be done before anything else. The Error has where
  /// "docker daemon" and says what to do: not_found: nobody listens; refused: no permission (the group docker), a certificate;
  /// not_supported: too old or too new for us, Windows containers; system: it hangs; corrupt: who listens is no Docker Engine.
  virtual void negotiate(std::function<void(Result<DockerVersion>)> done) = 0;
  [[nodiscard]] virtual const DockerVersion& version() const = 0;
  [[nodiscard]] virtual const DockerEndpoint& endpoint() const = 0;
  [[nodiscard]] virtual Reactor& reactor() const = 0;

  /// `done` is called once, from the reactor, never from here. Statuses are the caller's to judge; an Error is a daemon that is gone,
  /// hangs or answers nonsense, with where "docker daemon".
  virtual DockerCallId call(DockerRequest request, std::function<void(Result<DockerReply>)> done) = 0;
  /// The same for a request that ends in a raw stream (Upgrade: tcp, RFC 9110, 7.8; a plain 200 of old daemons counts as well). A refusal
  /// is an Error as docker_failure() makes it.
  virtual DockerCallId open_stream(DockerRequest request, std::function<void(Result<std::unique_ptr<DockerStream>>)> done) = 0;
  /// Its `done` will not be called, nor anything else of its request. A call that has ended is no error.
  virtual void forget(DockerCallId call) = 0;
};

/// Runs the loop until a call has its answer: for who has nothing else to do (sweeps, destructors). `stop_fd` readable:
/// cancelled. Other callbacks of the loop are called meanwhile: the caller must stand what they do.
Result<DockerReply> call_and_wait(DockerApi& api, Reactor& reactor, DockerRequest request, int stop_fd = -1);

/// DELETE of a container with its volumes, whether it runs or not.
[[nodiscard]] DockerRequest container_removal(const std::string& id);
/// The same, waited for as call_and_wait() does, with `most` as its silence and lap. What it comes to is nobody's any more: what is left is
/// swept at the next start.
void remove_container(DockerApi& api, Reactor& reactor, const std::string& id, std::chrono::milliseconds most);

/// The daemon's own words for a refusal ({"message": ...}), printable and on one line, as an Error: 404 not_found, 401, 403 and 409
/// refused, 400 invalid_input, all else system; "no space left on device" anywhere: exhausted. `doing`: "start container".
[[nodiscard]] Error docker_failure(const DockerReply& reply, std::string_view doing);
/// "a=1&b=x%20y" of names and values.
[[nodiscard]] std::string docker_query(const std::vector<std::pair<std::string, std::string>>& values);

/// On the containers and networks that we make: engine_label() (docker/sweep.h).
inline constexpr std::string_view kDockerLabel = "casemate.engine";

}  // namespace casemate
