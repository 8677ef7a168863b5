#include "remote/engine.h"

#include "remote/protocol/remote_execution.grpc.pb.h"

namespace casemate {
namespace {

std::unexpected<Error> not_yet() {
  return fail(ErrorCode::not_supported, "remote engines can't be used yet", 0, std::string(kRemoteUnusable));
}

}  // namespace

struct RemoteEngine::Parts {
  RemoteOffer offer;
};

RemoteEngine::RemoteEngine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
RemoteEngine::~RemoteEngine() = default;

Result<std::unique_ptr<RemoteEngine>> RemoteEngine::connect(RemoteEndpoint, RemotePolicy, std::stop_token) { return not_yet(); }
const RemoteOffer& RemoteEngine::offer() const { return parts_->offer; }
Result<std::vector<BlobDigest>> RemoteEngine::missing(std::span<const BlobDigest>, std::stop_token) { return not_yet(); }
Result<std::uint64_t> RemoteEngine::upload(std::span<const Blob>, std::stop_token) { return not_yet(); }
Result<std::string> RemoteEngine::read(const BlobDigest&, std::uint64_t, std::stop_token) { return not_yet(); }
Result<void> RemoteEngine::read_to(int, const BlobDigest&, std::stop_token) { return not_yet(); }
Result<std::optional<ActionResultView>> RemoteEngine::known_result(const BlobDigest&, std::stop_token) { return not_yet(); }
Result<void> RemoteEngine::tell_result(const BlobDigest&, const ActionResultView&, std::stop_token) { return not_yet(); }
Result<Execution> RemoteEngine::execute(const ExecutionOrder&, ExecutionListener&, std::stop_token) { return not_yet(); }
Result<InputDirectoryPtr> RemoteEngine::read_tree(std::string_view) { return not_yet(); }

}  // namespace casemate
