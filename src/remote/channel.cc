#include "remote/channel.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include "base/terminal.h"
#include "remote/credentials.h"
#include "remote/engine.h"

namespace casemate {
namespace {

constexpr std::size_t kMostHeader = 16u << 10;

std::unexpected<Error> unusable(std::string what) {
  return fail(ErrorCode::invalid_input, std::move(what), 0, std::string(kRemoteUnusable));
}

// Both libraries tell stderr what an engine does wrong, in words that it chose. What matters is in our errors.
void keep_libraries_silent() {
  static std::once_flag once;
  std::call_once(once, [] {
    google::protobuf::SetLogHandler(nullptr);
    if (!std::getenv("GRPC_VERBOSITY")) gpr_set_log_function([](gpr_log_func_args*) {});
  });
}

// gRPC ends the process for a name or a value that its own check (grpc_header_key_is_legal) refuses.
Result<void> check_headers(const RemoteEndpoint& endpoint) {
  for (const auto& [name, value] : endpoint.headers) {
    const bool legal = !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string::npos;
    if (!legal || name.starts_with("grpc-") || name.ends_with("-bin"))
      return unusable(
          fmt::format("'{}' can't be the name of a header: lower-case letters, digits, '-', '_' and '.', not grpc-* and not *-bin",
                      printable_line(name)));
    if (value.size() > kMostHeader) return unusable(fmt::format("header '{}' has more than {} bytes", name, kMostHeader));
    for (const char byte : value) {
      if (byte < ' ' || byte > '~')
        return unusable(fmt::format("the value of header '{}' has a byte that is no printable ASCII: is there a line's end in it?", name));
    }
  }
  return {};
}

}  // namespace

bool is_this_host(std::string_view address) {
  const bool digits = address.find_first_not_of("0123456789.:") == std::string_view::npos;  // "127.example.org" is a name
  return address.starts_with("unix:") || (digits && address.starts_with("127.")) || address.starts_with("localhost:") ||
         address.starts_with("[::1]:");
}

Result<std::shared_ptr<grpc::Channel>> open_channel(const RemoteEndpoint& endpoint, const std::string& address,
                                                    const RemotePolicy& policy) {
  keep_libraries_silent();
  TRY(check_headers(endpoint));
  TRY_ASSIGN(const auto credentials, credentials_of(endpoint));
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix("casemate/" CASEMATE_VERSION);
  arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int>(kMostMessage));
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // we try again, and know what of
  if (is_this_host(address)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A connection that is lost is tried again as often as we ask, not after gRPC's two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Notices a cut link. While nothing is sent gRPC sends two pings at most, so no server calls them too many (gRFC A8).
  const auto silence = static_cast<int>(std::clamp<std::int64_t>(policy.silence.count() / 2, 1000, 60'000));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, silence);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, silence);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

}  // namespace casemate
