// parent: one warm parent as the engine sees it: a control socket, and what was sent and heard on it (protocol.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "casemate/result.h"
#include "sys/fd.h"
#include "sys/process.h"
#include "warm/protocol.h"

namespace casemate {

/// Message B: the base has begun. Everything in these is hostile, and bounded.
struct BaseReady {
  std::string python;  ///< "3.11.7"
  std::string pytest;  ///< "8.1.1"
  std::vector<std::string> notes;
};
/// Message S: a collector stays, as the parent of the only file there is.
struct CollectorStays {
  std::string file;
};
/// Message R: a module parent has collected.
struct ParentReady {
  std::uint64_t count = 0;
  std::string hash;
  std::vector<std::string> threads;
};
/// Message E.
struct ForkEnded {
  std::uint64_t job = 0;
  int wait_status = 0;
  ProcessEnd end;
};
/// Message F.
struct ForkFailed {
  std::uint64_t job = 0;
  int problem = 0;
  std::string step;
};
/// Message X.
struct GaveUp {
  std::string what;
  std::string text;
  int status = 1;
};
/// What a parent said; monostate: nothing that makes sense.
using ParentSaid = std::variant<std::monostate, BaseReady, CollectorStays, ParentReady, ForkEnded, ForkFailed, GaveUp>;

/// Reads one datagram of a parent. Never fails: what can't be read is monostate.
[[nodiscard]] ParentSaid read_parent_message(std::string_view datagram);

/// The engine's end of a control socket; non-blocking.
class ParentControl {
 public:
  ParentControl() = default;
  explicit ParentControl(UniqueFd socket) : socket_(std::move(socket)) {}
  /// A pair: ours, and the end that the parent gets.
  static Result<std::pair<ParentControl, UniqueFd>> create();

  enum class Sent { yes, later, no };
  /// Sends one message. `later`: it has not read the ones before; `no`: it is gone.
  Sent send(std::string_view bytes, const std::vector<int>& fds);
  /// The next message. nullopt: none just now, or the parent is gone, which `gone` says; also of one that has said a thousand times what
  /// makes no sense. Not to be called until it says nullopt without an end: a parent may talk faster than we listen.
  std::optional<ParentSaid> receive(bool& gone);
  [[nodiscard]] int fd() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }

 private:
  UniqueFd socket_;
  std::uint64_t junk_ = 0;
};

}  // namespace casemate
