#include "remote/blob_download.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include <fmt/format.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "remote/protocol/byte_stream.grpc.pb.h"
#include "remote/protocol/remote_execution.grpc.pb.h"
#include "remote/stream_queue.h"
#include "remote/zstd_stream.h"

namespace casemate {
namespace {

using google::bytestream::ByteStream;
using google::bytestream::ReadResponse;

constexpr std::uint64_t kMostInBatch = 256u << 10;     // a stream costs a second turn of messages
constexpr std::uint64_t kWorthCompressing = 4u << 10;  // what is smaller travels in one packet or two anyhow

std::string shown(const BlobDigest& blob) { return fmt::format("{}/{}", blob.hash, blob.size); }

class Download {
 public:
  Download(const RemoteCalls& calls, const BlobDigest& blob, const TakeBytes& take, const std::stop_token& stop)
      : calls_(calls), blob_(blob), take_(take), stop_(stop), doing_(fmt::format("give blob {}", shown(blob))) {}

  // nullopt: the engine does not know this call.
  Result<std::optional<bool>> by_batch() {
    const auto stub = protocol::ContentAddressableStorage::NewStub(calls_.cache(0));
    protocol::BatchReadBlobsRequest request;
    request.set_instance_name(calls_.instance());
    *request.add_digests() = message_of(blob_);
    protocol::BatchReadBlobsResponse answer;
    const auto status = calls_.ask(stop_, [&](grpc::ClientContext& context) {
      const auto all = stub->BatchReadBlobs(&context, request, &answer);
      if (!all.ok()) return all;
      for (const auto& one : answer.responses()) {
        if (one.digest().hash() == blob_.hash) return status_of(one.status());
      }
      return grpc::Status(grpc::StatusCode::INTERNAL, "its answer is of other blobs");
    });
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) return std::nullopt;
    if (!status.ok()) return calls_.failure(status, doing_, stop_);
    for (const auto& one : answer.responses()) {
      if (one.digest().hash() != blob_.hash) continue;
      if (one.compressor() != protocol::Compressor::IDENTITY)
        return calls_.broken(fmt::format("it sent blob {} compressed, which nobody asked for", shown(blob_)));
      TRY(pass(one.data()));
      break;
    }
    TRY(finish());
    return true;
  }

  Result<void> by_stream(bool compressed) {
    static std::atomic<std::size_t> turn = 0;
    const auto& channel = calls_.cache(turn++);
    Patience patience(calls_.policy().patience, stop_);
    while (got_ < blob_.size) {
      const std::uint64_t before = got_;
      TRY_ASSIGN(grpc::Status status, one_stream(channel, compressed));
      if (got_ == blob_.size) break;
      if (got_ > before) patience.progressed();
      if (status.ok()) status = {grpc::StatusCode::INTERNAL, fmt::format("it ended after {} bytes", got_)};
      if (!patience.again(status)) return calls_.failure(status, doing_, stop_);
    }
    return finish();
  }

 private:
  // Local errors and lies are errors; how the stream ended is the value.
  Result<grpc::Status> one_stream(const std::shared_ptr<grpc::Channel>& channel, bool compressed) {
    const auto stub = ByteStream::NewStub(channel);
    google::bytestream::ReadRequest request;
    request.set_resource_name(calls_.resource("", compressed ? "compressed-blobs/zstd" : "blobs", blob_));
    request.set_read_offset(static_cast<std::int64_t>(got_));  // of the content as it is, compressed or not
    StreamQueue queue;
    IncomingStream<ReadResponse> stream(queue, calls_, stop_, [&](grpc::ClientContext& context, grpc::CompletionQueue& on) {
      return stub->PrepareAsyncRead(&context, request, &on);
    });
    std::optional<ZstdExpansion> expansion;
    if (compressed) expansion.emplace();
    std::string expanded;
    while (stream.read(calls_.policy().silence)) {
      if (!expansion) {
        TRY(pass(stream.message().data()));
        continue;
      }
      expanded.clear();
      if (auto read = expansion->add(stream.message().data(), blob_.size - got_, expanded); !read)
        return calls_.broken(fmt::format("blob {}: {}", shown(blob_), read.error().what));
      TRY(pass(expanded));
    }
    return stream.status();
  }

  Result<void> pass(std::string_view bytes) {
    if (bytes.size() > blob_.size - got_)
      return calls_.broken(fmt::format("it sent more than the {} bytes of blob {}", blob_.size, blob_.hash));
    hash_.update(bytes);
    got_ += bytes.size();
    return take_(bytes);
  }

  Result<void> finish() {
    if (got_ != blob_.size) return calls_.broken(fmt::format("it sent {} bytes of blob {}", got_, shown(blob_)));
    if (hash_.hex() != blob_.hash) return calls_.broken(fmt::format("what it sent as blob {} has another digest", shown(blob_)));
    return {};
  }

  const RemoteCalls& calls_;
  const BlobDigest& blob_;
  const TakeBytes& take_;
  const std::stop_token& stop_;
  const std::string doing_;
  Sha256 hash_;
  std::uint64_t got_ = 0;
};

}  // namespace

Result<void> download_blob(const RemoteCalls& calls, const RemoteOffer& offer, const BlobDigest& blob, const TakeBytes& take,
                           const std::stop_token& stop) {
  if (!is_sha256_hex(blob.hash)) return fail(ErrorCode::invalid_input, fmt::format("'{}' is no digest", printable_line(blob.hash)));
  if (blob.size > static_cast<std::uint64_t>(INT64_MAX)) return fail(ErrorCode::invalid_input, "no blob is that large");
  Download download(calls, blob, take, stop);
  if (blob.size <= std::min(kMostInBatch, offer.most_batch)) {
    TRY_ASSIGN(const auto done, download.by_batch());
    if (done) return {};
  }
  return download.by_stream(offer.zstd_streams && calls.leaves_host() && blob.size >= kWorthCompressing);
}

}  // namespace casemate
