#include "remote/engine.h"

#include <csignal>
#include <optional>
#include <thread>
#include <unordered_set>

#include <fmt/format.h>
#include <sys/types.h>
#include <unistd.h>

#include "remote/action_result.h"
#include "remote/blob_download.h"
#include "remote/blob_upload.h"
#include "remote/calls.h"
#include "remote/capabilities.h"
#include "remote/execution.h"
#include "remote/protocol/remote_execution.grpc.pb.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kDigestsAtOnce = 16'000;  // of 90 bytes each in a message

}  // namespace

struct RemoteEngine::Parts {
  std::unique_ptr<RemoteCalls> calls;
  RemoteOffer offer;
};

RemoteEngine::RemoteEngine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
RemoteEngine::~RemoteEngine() = default;

Result<std::unique_ptr<RemoteEngine>> RemoteEngine::connect(RemoteEndpoint endpoint, RemotePolicy policy, std::stop_token stop) {
  const auto opened = [&]() -> Result<std::unique_ptr<RemoteEngine>> {
    const bool cache_elsewhere = !endpoint.cache.empty();
    auto parts = std::make_unique<Parts>();
    TRY_ASSIGN(parts->calls, RemoteCalls::open(std::move(endpoint), policy));
    TRY_ASSIGN(parts->offer, ask_capabilities(*parts->calls, cache_elsewhere, stop));
    return std::unique_ptr<RemoteEngine>(new RemoteEngine(std::move(parts)));
  };
  // gRPC's threads have the signal mask of whoever makes them: in one that takes it, a signal would end this process while an action runs.
  std::optional<Result<std::unique_ptr<RemoteEngine>>> made;
  std::thread([&] {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    made = opened();
  }).join();
  return std::move(*made);
}

const RemoteOffer& RemoteEngine::offer() const { return parts_->offer; }

std::optional<EngineOutage> RemoteEngine::outage() const { return parts_->calls->outages().longest(); }

Result<std::vector<BlobDigest>> RemoteEngine::missing(std::span<const BlobDigest> blobs, std::stop_token stop) {
  const RemoteCalls& calls = *parts_->calls;
  const auto stub = protocol::ContentAddressableStorage::NewStub(calls.cache());
  std::vector<BlobDigest> missing;
  while (!blobs.empty()) {
    const auto some = blobs.first(std::min(blobs.size(), kDigestsAtOnce));
    blobs = blobs.subspan(some.size());
    protocol::FindMissingBlobsRequest request;
    request.set_instance_name(calls.instance());
    std::unordered_set<std::string_view> asked;
    for (const BlobDigest& blob : some) {
      if (asked.insert(blob.hash).second) *request.add_blob_digests() = message_of(blob);
    }
    protocol::FindMissingBlobsResponse answer;
    const auto status = calls.ask(stop, [&](grpc::ClientContext& context) { return stub->FindMissingBlobs(&context, request, &answer); });
    if (!status.ok()) return calls.failure(status, "say which blobs it has", stop);
    for (const auto& digest : answer.missing_blob_digests()) {
      auto blob = checked_digest(digest);
      if (!blob) return calls.broken("it misses a blob whose digest is none");
      // Each once, and none that nobody asked for.
      if (asked.erase(blob->hash) != 0) missing.push_back(std::move(*blob));
    }
  }
  return missing;
}

Result<std::uint64_t> RemoteEngine::upload(std::span<const Blob> blobs, std::stop_token stop, const HearSent& sent) {
  return upload_blobs(*parts_->calls, parts_->offer, blobs, sent, stop);
}

Result<std::string> RemoteEngine::read(const BlobDigest& blob, std::uint64_t most, std::stop_token stop) {
  if (blob.size > most)
    return parts_->calls->broken(fmt::format("blob {} has {} bytes, more than the {} that are read", blob.hash, blob.size, most),
                                 ErrorCode::exhausted);
  std::string bytes;
  TRY(download_blob(
      *parts_->calls, parts_->offer, blob,
      [&bytes](std::string_view more) -> Result<void> {
        bytes += more;
        return {};
      },
      stop));
  return bytes;
}

Result<std::vector<std::string>> RemoteEngine::read(std::span<const BlobDigest> blobs, std::uint64_t most, std::stop_token stop) {
  std::uint64_t left = most;
  for (const BlobDigest& blob : blobs) {
    if (blob.size > left)
      return parts_->calls->broken(fmt::format("{} blobs have more than the {} bytes that are read", blobs.size(), most),
                                   ErrorCode::exhausted);
    left -= blob.size;
  }
  return download_blobs(*parts_->calls, parts_->offer, blobs, stop);
}

Result<void> RemoteEngine::read_to(int fd, const BlobDigest& blob, std::stop_token stop) {
  std::uint64_t offset = 0;
  return download_blob(
      *parts_->calls, parts_->offer, blob,
      [fd, &offset](std::string_view bytes) -> Result<void> {
        while (!bytes.empty()) {
          const ssize_t wrote = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
          if (wrote < 0 && errno == EINTR) continue;
          if (wrote < 0) return fail_errno("write what the remote engine gave");
          bytes.remove_prefix(static_cast<std::size_t>(wrote));
          offset += static_cast<std::uint64_t>(wrote);
        }
        return {};
      },
      stop);
}

Result<std::optional<ActionResultView>> RemoteEngine::known_result(const BlobDigest& action, std::stop_token stop) {
  const RemoteCalls& calls = *parts_->calls;
  const auto stub = protocol::ActionCache::NewStub(calls.cache());
  protocol::GetActionResultRequest request;
  request.set_instance_name(calls.instance());
  *request.mutable_action_digest() = message_of(action);
  request.set_inline_stdout(true);
  request.set_inline_stderr(true);
  protocol::ActionResult answer;
  const auto status = calls.ask(stop, [&](grpc::ClientContext& context) { return stub->GetActionResult(&context, request, &answer); });
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) return std::nullopt;
  if (!status.ok()) return calls.failure(status, "look up an action's result", stop);
  auto view = view_of(answer);
  if (!view) return calls.broken(view.error().what, view.error().code);
  return std::move(*view);
}

Result<void> RemoteEngine::tell_result(const BlobDigest& action, const ActionResultView& result, std::stop_token stop) {
  const RemoteCalls& calls = *parts_->calls;
  if (!parts_->offer.takes_results) return calls.broken("it takes no results into its cache", ErrorCode::refused);
  const auto stub = protocol::ActionCache::NewStub(calls.cache());
  protocol::UpdateActionResultRequest request;
  request.set_instance_name(calls.instance());
  *request.mutable_action_digest() = message_of(action);
  *request.mutable_action_result() = result_of(result);
  protocol::ActionResult answer;
  const auto status = calls.ask(stop, [&](grpc::ClientContext& context) { return stub->UpdateActionResult(&context, request, &answer); });
  if (!status.ok()) return calls.failure(status, "keep an action's result", stop);
  return {};
}

Result<Execution> RemoteEngine::execute(const ExecutionOrder& order, ExecutionListener& listener, std::stop_token stop) {
  if (!parts_->offer.executes) {
    auto unusable = parts_->calls->broken("it executes nothing, it is a cache alone", ErrorCode::not_supported);
    unusable.error().where = kRemoteUnusable;
    return unusable;
  }
  return execute_action(*parts_->calls, parts_->offer, order, listener, stop);
}

bool RemoteEngine::cancel(const std::string& operation, std::stop_token stop) {
  const grpc::Status status = cancel_operation(*parts_->calls, operation, stop);
  return !stop.stop_requested() && status.error_code() != grpc::StatusCode::UNAVAILABLE;
}

}  // namespace casemate
