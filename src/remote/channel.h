// channel: connections to an engine, and what proves who we are there.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <grpcpp/channel.h>

#include "casemate/result.h"
#include "remote/endpoint.h"

namespace casemate {

/// The most bytes of one message, in either direction: what gRPC takes where nobody says otherwise (GRPC_DEFAULT_MAX_RECV_MESSAGE_LENGTH).
inline constexpr std::size_t kMostMessage = 4u << 20;

/// Whether an address is of this machine.
[[nodiscard]] bool is_this_host(std::string_view address);

/// A channel to `address` (of `endpoint`, whose TLS files it reads); nothing is connected yet. Channels do not share connections. Refuses
/// headers that HTTP/2 can't have, and files that are missing, with what to do: kRemoteUnusable.
Result<std::shared_ptr<grpc::Channel>> open_channel(const RemoteEndpoint& endpoint, const std::string& address, const RemotePolicy& policy);

}  // namespace casemate
