#include "warm/parent.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <sys/socket.h>
#include <sys/wait.h>

#include "base/untrusted_json.h"
#include "sys/passing.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostMessage = 256u << 10;
constexpr std::uint64_t kMostJunk = 1000;
constexpr std::size_t kMostNames = 100;
constexpr std::size_t kMostName = 1000;
constexpr std::size_t kMostFile = 4096;

template <class T>
std::optional<T> plain(std::string_view datagram) {
  T message{};
  if (datagram.size() != sizeof message) return std::nullopt;
  std::memcpy(&message, datagram.data(), sizeof message);
  return message;
}

ParentSaid ended(const EndedMessage& message) {
  ForkEnded end{.job = message.job, .wait_status = message.status};
  end.end.signaled = WIFSIGNALED(message.status);
  end.end.code = end.end.signaled ? WTERMSIG(message.status) : WEXITSTATUS(message.status);
  end.end.user_us = std::max<std::int64_t>(0, message.user_us);
  end.end.system_us = std::max<std::int64_t>(0, message.system_us);
  end.end.max_rss_bytes = std::max<std::int64_t>(0, message.max_rss_bytes);
  end.end.minor_faults = static_cast<std::uint64_t>(std::max<std::int64_t>(0, message.minor_faults));
  end.end.major_faults = static_cast<std::uint64_t>(std::max<std::int64_t>(0, message.major_faults));
  return end;
}

ParentSaid read_object(char letter, const Json& object) {
  switch (letter) {
    case 'B':
      return BaseReady{text_at(object, "python", kMostName), text_at(object, "pytest", kMostName),
                       texts_at(object, "notes", kMostNames, kMostName)};
    case 'S':
      return CollectorStays{text_at(object, "file", kMostFile)};
    case 'R': {
      const auto hash = object.find("hash");
      return ParentReady{number_at(object, "count"), hash == object.end() ? "" : hash->dump().substr(0, kMostName),
                         texts_at(object, "threads", kMostNames, kMostName)};
    }
    case 'X':
      return GaveUp{text_at(object, "what", kMostName), text_at(object, "text", kMostText),
                    static_cast<int>(number_at(object, "status") & 0xff)};
    default:
      return {};
  }
}

}  // namespace

ParentSaid read_parent_message(std::string_view datagram) {
  if (datagram.empty()) return {};
  if (datagram[0] == 'E') {
    const auto message = plain<EndedMessage>(datagram);
    return message ? ended(*message) : ParentSaid();
  }
  if (datagram[0] == 'F') {
    const auto message = plain<FailedMessage>(datagram);
    if (!message) return {};
    const bool known = message->step < std::size(kForkSteps);
    return ForkFailed{message->job, message->problem, known ? kForkSteps[message->step] : "enter the cell"};
  }
  const auto object = untrusted_object(datagram.substr(1));
  return object ? read_object(datagram[0], *object) : ParentSaid();
}

Result<std::pair<ParentControl, UniqueFd>> ParentControl::create() {
  TRY_ASSIGN(auto sockets, make_message_sockets());
  ::fcntl(sockets.first.get(), F_SETFL, O_NONBLOCK);
  return std::pair(ParentControl(std::move(sockets.first)), std::move(sockets.second));
}

ParentControl::Sent ParentControl::send(std::string_view bytes, const std::vector<int>& fds) {
  if (!socket_ || fds.size() > kMostPassed) return Sent::no;
  const ssize_t sent = send_passing(socket_.get(), bytes.data(), bytes.size(), fds.data(), static_cast<int>(fds.size()));
  if (sent == static_cast<ssize_t>(bytes.size())) return Sent::yes;
  // ETOOMANYREFS: unix(7), more descriptors under way than this account may have open.
  return errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS ? Sent::later : Sent::no;
}

std::optional<ParentSaid> ParentControl::receive(bool& gone) {
  static thread_local std::array<char, kMostMessage> buffer;  // an engine is one thread's
  ssize_t got;
  // MSG_TRUNC: the real length, also of what did not fit. Descriptors that a parent attaches are dropped by recv(2).
  while ((got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_TRUNC)) < 0 && errno == EINTR) {
  }
  gone = got == 0 || (got < 0 && errno != EAGAIN);
  if (got <= 0) return std::nullopt;
  ParentSaid said;
  if (static_cast<std::size_t>(got) <= buffer.size()) said = read_parent_message({buffer.data(), static_cast<std::size_t>(got)});
  if (std::holds_alternative<std::monostate>(said) && ++junk_ > kMostJunk) gone = true;
  return said;
}

}  // namespace casemate
