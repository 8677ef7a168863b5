#include "remote/calls.h"

#include <array>

#include <fmt/format.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "remote/channel.h"
#include "remote/credentials.h"
#include "remote/engine.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr std::size_t kMostWords = 600;  // of an engine's message
constexpr std::size_t kConnections = 2;  // one connection's frames are one thread's work

// REAPI, "instance_name": these part a resource name.
Result<void> check_instance(const std::string& instance) {
  constexpr std::array<std::string_view, 7> kReserved = {"blobs",      "uploads",      "actions",         "actionResults",
                                                         "operations", "capabilities", "compressed-blobs"};
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::invalid_input, fmt::format("instance name '{}' of the remote engine: {}", printable_line(instance), why), 0,
                std::string(kRemoteUnusable));
  };
  if (instance.size() > 1024) return bad("more than 1024 bytes");
  if (to_utf8(instance) != instance) return bad("it is no UTF-8");
  std::string_view rest = instance;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('/'));
    for (const std::string_view reserved : kReserved) {
      if (part == reserved) return bad(fmt::format("'{}' may be no part of it", reserved));
    }
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  }
  return {};
}

std::string_view name_of(int code) {
  constexpr std::array<std::string_view, 17> kNames = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  return code >= 0 && code < static_cast<int>(kNames.size()) ? kNames[static_cast<std::size_t>(code)] : "no code of gRPC's";
}

}  // namespace

Result<std::unique_ptr<RemoteCalls>> RemoteCalls::open(RemoteEndpoint endpoint, RemotePolicy policy) {
  TRY(check_instance(endpoint.instance));
  std::unique_ptr<RemoteCalls> calls(new RemoteCalls(std::move(endpoint), policy));
  const RemoteEndpoint& own = calls->endpoint_;
  TRY_ASSIGN(calls->engine_, open_channel(own, own.address, policy));
  const std::string& cache = own.cache.empty() ? own.address : own.cache;
  calls->leaves_host_ = !is_this_host(cache);
  if (own.cache.empty()) calls->caches_.push_back(calls->engine_);
  while (calls->caches_.size() < kConnections) {
    TRY_ASSIGN(auto channel, open_channel(own, cache, policy));
    calls->caches_.push_back(std::move(channel));
  }
  protocol::RequestMetadata metadata;
  metadata.mutable_tool_details()->set_tool_name("casemate");
  metadata.mutable_tool_details()->set_tool_version(CASEMATE_VERSION);
  metadata.set_tool_invocation_id(random_name());
  calls->metadata_ = metadata.SerializeAsString();
  return calls;
}

std::string RemoteCalls::resource(std::string_view before, std::string_view kind, const BlobDigest& blob) const {
  return fmt::format("{}{}{}{}/{}/{}", instance(), instance().empty() ? "" : "/", before, kind, blob.hash, blob.size);
}

void RemoteCalls::prepare(grpc::ClientContext& context) const {
  for (const auto& [name, value] : endpoint_.headers) context.AddMetadata(name, value);
  context.AddMetadata("build.bazel.remote.execution.v2.requestmetadata-bin", metadata_);
}

bool RemoteCalls::is_about_instance(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::INVALID_ARGUMENT && status.error_code() != grpc::StatusCode::NOT_FOUND) return false;
  std::string words = status.error_message().substr(0, kMostWords);
  for (char& byte : words) byte = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
  return words.find("instance") != std::string::npos;
}

std::unexpected<Error> RemoteCalls::failure(const grpc::Status& status, std::string_view doing, const std::stop_token& stop) const {
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, fmt::format("cancelled while the remote engine was to {}", doing));
  if (const auto trouble = tls_trouble(status, endpoint_))
    return fail(ErrorCode::refused, fmt::format("remote engine {}: can't {}: {}", endpoint_.address, doing, *trouble), 0,
                std::string(kRemoteUnusable));
  if (const auto why = no_connection(status))
    return fail(ErrorCode::not_found, fmt::format("remote engine {}: {}", endpoint_.address, *why), 0, std::string(kRemoteUnusable));
  ErrorCode code = ErrorCode::system;
  std::string where;
  std::string hint;
  if (is_about_instance(status)) {
    hint = instance().empty() ? "; name the instance with --remote-instance"
                              : fmt::format("; is --remote-instance '{}' right?", printable_line(instance()));
    return fail(ErrorCode::refused, fmt::format("remote engine {}: can't {}: {}{}", endpoint_.address, doing, words_of(status), hint), 0,
                std::string(kRemoteUnusable));
  }
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      where = kRemoteUnusable;
      break;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      code = ErrorCode::exhausted;
      where = kRemoteUnusable;
      break;
    case grpc::StatusCode::UNAUTHENTICATED:
      code = ErrorCode::refused;
      where = kRemoteUnusable;
      hint = "; are the credentials there, and not expired?";
      break;
    case grpc::StatusCode::PERMISSION_DENIED:
      code = ErrorCode::refused;
      where = kRemoteUnusable;
      hint = "; these credentials may not do that";
      break;
    case grpc::StatusCode::UNIMPLEMENTED:
      code = ErrorCode::not_supported;
      where = kRemoteUnusable;
      hint = "; is it a REAPI v2 engine?";
      break;
    case grpc::StatusCode::INVALID_ARGUMENT:
      code = ErrorCode::refused;
      hint = " (the engine takes no such request: a bug of casemate's, or a rule of the engine's)";
      break;
    default:
      if (says_missing(status)) {
        code = ErrorCode::not_found;
        where = kBlobMissing;
      }
  }
  return fail(code, fmt::format("remote engine {}: can't {}: {}{}", endpoint_.address, doing, words_of(status), hint), 0, std::move(where));
}

std::unexpected<Error> RemoteCalls::broken(std::string_view what, ErrorCode code) const {
  return fail(code, fmt::format("remote engine {}: {}", endpoint_.address, what));
}

protocol::Digest message_of(const BlobDigest& digest) {
  protocol::Digest message;
  message.set_hash(digest.hash);
  message.set_size_bytes(static_cast<std::int64_t>(digest.size));
  return message;
}

std::optional<BlobDigest> checked_digest(const protocol::Digest& message) {
  if (!is_sha256_hex(message.hash()) || message.size_bytes() < 0) return std::nullopt;
  return BlobDigest{message.hash(), static_cast<std::uint64_t>(message.size_bytes())};
}

grpc::Status status_of(const google::rpc::Status& status) {
  // A number that is no code would be no status that anybody knows; and OK with a message is OK.
  const int code = status.code();
  if (code == 0) return grpc::Status::OK;
  const bool known = code > 0 && code <= static_cast<int>(grpc::StatusCode::UNAUTHENTICATED);
  return {known ? static_cast<grpc::StatusCode>(code) : grpc::StatusCode::UNKNOWN, status.message(), status.SerializeAsString()};
}

bool says_missing(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) return true;
  if (status.error_code() != grpc::StatusCode::FAILED_PRECONDITION) return false;
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return false;
  for (const auto& detail : details.details()) {
    google::rpc::PreconditionFailure failure;
    if (!detail.UnpackTo(&failure)) continue;
    for (const auto& violation : failure.violations()) {
      if (violation.type() == "MISSING") return true;
    }
  }
  return false;
}

std::string words_of(const grpc::Status& status) {
  std::string message = status.error_message();
  const bool cut = message.size() > kMostWords;
  if (cut) message.resize(kMostWords);
  message = printable_line(message);
  const std::string_view name = name_of(status.error_code());
  return message.empty() ? std::string(name) : fmt::format("{}: {}{}", name, message, cut ? "..." : "");
}

}  // namespace casemate
