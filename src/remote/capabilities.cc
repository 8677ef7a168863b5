#include "remote/capabilities.h"

#include <algorithm>

#include <fmt/format.h>

#include "remote/channel.h"
#include "remote/protocol/remote_execution.grpc.pb.h"

namespace casemate {
namespace {

constexpr std::size_t kMessageSlack = 64u << 10;  // of one message: what is not content
constexpr std::chrono::seconds kGreeting{5};      // a name that was mistyped should not cost RemotePolicy::patience

template <class Values>
bool has(const Values& values, int wanted) {
  return std::find(values.begin(), values.end(), wanted) != values.end();
}

std::string version(const build::bazel::semver::SemVer& version) { return fmt::format("{}.{}", version.major(), version.minor()); }

std::unexpected<Error> unusable(std::string what) {
  return fail(ErrorCode::not_supported, std::move(what), 0, std::string(kRemoteUnusable));
}

// Priorities are ranges; what lies between the first and the last we may ask for.
std::pair<int, int> bounds_of(const protocol::PriorityCapabilities& priorities) {
  std::pair<int, int> bounds{0, 0};
  bool first = true;
  for (const auto& range : priorities.priorities()) {
    if (range.min_priority() > range.max_priority()) continue;
    bounds.first = first ? range.min_priority() : std::min(bounds.first, range.min_priority());
    bounds.second = first ? range.max_priority() : std::max(bounds.second, range.max_priority());
    first = false;
  }
  return bounds;
}

}  // namespace

Result<RemoteOffer> offer_of(const protocol::ServerCapabilities& engine, const protocol::ServerCapabilities& cache) {
  constexpr int kSha256 = protocol::DigestFunction::SHA256;
  RemoteOffer offer;
  const auto& low = engine.low_api_version();
  const auto& high = engine.high_api_version();
  offer.api = fmt::format("{} to {}", version(low), version(high));
  if (low.major() > 2 || (high.major() != 0 && high.major() < 2))
    return unusable(fmt::format("it speaks versions {} of the remote execution API, casemate speaks 2", offer.api));
  // An engine that says nothing of itself is taken for a new one.
  offer.outputs_by_kind = high.major() == 2 && high.minor() < 1;
  const auto& blobs = cache.cache_capabilities();
  if (!has(blobs.digest_functions(), kSha256))
    return unusable("its store does not take SHA-256 digests, which are all that casemate makes");
  const auto& runs = engine.execution_capabilities();
  offer.executes = runs.exec_enabled();
  // One function before API 2.3, a list since.
  const bool any = runs.digest_function() == protocol::DigestFunction::UNKNOWN && runs.digest_functions().empty();
  if (offer.executes && !any && runs.digest_function() != kSha256 && !has(runs.digest_functions(), kSha256))
    return unusable("it does not execute actions with SHA-256 digests, which are all that casemate makes");
  offer.caches_results = true;
  offer.takes_results = blobs.action_cache_update_capabilities().update_enabled();
  offer.most_batch = kMostMessage - kMessageSlack;
  if (blobs.max_batch_total_size_bytes() > 0)
    offer.most_batch = std::min(offer.most_batch, static_cast<std::uint64_t>(blobs.max_batch_total_size_bytes()));
  offer.zstd_streams = has(blobs.supported_compressors(), protocol::Compressor::ZSTD);
  offer.zstd_batches = has(blobs.supported_batch_update_compressors(), protocol::Compressor::ZSTD);
  offer.least_priority = bounds_of(runs.execution_priority_capabilities());
  return offer;
}

Result<RemoteOffer> ask_capabilities(const RemoteCalls& calls, bool cache_elsewhere, const std::stop_token& stop) {
  const auto most = std::min<std::chrono::milliseconds>(calls.policy().patience, kGreeting);
  protocol::GetCapabilitiesRequest request;
  request.set_instance_name(calls.instance());
  const auto ask = [&](const std::shared_ptr<grpc::Channel>& channel, protocol::ServerCapabilities& answer) {
    const auto stub = protocol::Capabilities::NewStub(channel);
    return calls.ask(stop, most, [&](grpc::ClientContext& context) { return stub->GetCapabilities(&context, request, &answer); });
  };
  protocol::ServerCapabilities engine, cache;
  if (const auto status = ask(calls.engine(), engine); !status.ok()) {
    auto failed = calls.failure(status, "tell what it does", stop);
    // Whatever it is: without this answer nothing else can be asked.
    if (failed.error().code != ErrorCode::cancelled) failed.error().where = kRemoteUnusable;
    return failed;
  }
  if (cache_elsewhere) {
    if (const auto status = ask(calls.cache(), cache); !status.ok()) {
      auto failed = calls.failure(status, "tell what its cache (an address of its own) does", stop);
      if (failed.error().code == ErrorCode::not_found)
        failed = calls.broken(fmt::format("its cache (--remote-cache): {}", no_connection(status).value_or("")), ErrorCode::not_found);
      if (failed.error().code != ErrorCode::cancelled) failed.error().where = kRemoteUnusable;
      return failed;
    }
  }
  auto offer = offer_of(engine, cache_elsewhere ? cache : engine);
  if (!offer) {
    auto unusable = calls.broken(offer.error().what, offer.error().code);
    unusable.error().where = kRemoteUnusable;
    return unusable;
  }
  return offer;
}

}  // namespace casemate
