#include "remote/blob_download.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <unordered_map>

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
constexpr std::uint64_t kBesideContent = 256;          // of a blob in a batch: digest, status, the fields' tags
constexpr std::uint64_t kWorthCompressing = 4u << 10;  // what is smaller travels in one packet or two anyhow

std::string shown(const BlobDigest& blob) { return fmt::format("{}/{}", blob.hash, blob.size); }

class Download {
 public:
  Download(const RemoteCalls& calls, const BlobDigest& blob, const TakeBytes& take, const std::stop_token& stop)
      : calls_(calls), blob_(blob), take_(take), stop_(stop), doing_(fmt::format("give blob {}", shown(blob))) {}

  Result<void> by_stream(bool compressed) {
    static std::atomic<std::size_t> turn = 0;
    const auto& channel = calls_.cache(turn++);
    Patience patience(calls_.policy().patience, stop_, calls_.outages());
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

// Small contents, in one call. False: the engine does not know this call.
Result<bool> read_batch(const RemoteCalls& calls, std::span<const BlobDigest* const> wanted, std::span<std::string* const> contents,
                        const std::stop_token& stop) {
  const auto stub = protocol::ContentAddressableStorage::NewStub(calls.cache());
  // By hash: where it goes. What is there is asked for no more.
  std::unordered_map<std::string_view, std::vector<std::size_t>> open;
  for (std::size_t i = 0; i < wanted.size(); ++i) open[wanted[i]->hash].push_back(i);
  const std::string doing =
      wanted.size() == 1 ? fmt::format("give blob {}", shown(*wanted[0])) : fmt::format("give {} blobs", wanted.size());
  std::optional<Error> lie;
  const auto status = calls.ask(stop, [&](grpc::ClientContext& context) -> grpc::Status {
    protocol::BatchReadBlobsRequest request;
    request.set_instance_name(calls.instance());
    for (const auto& [hash, places] : open) *request.add_digests() = message_of(*wanted[places.front()]);
    protocol::BatchReadBlobsResponse answer;
    if (auto all = stub->BatchReadBlobs(&context, request, &answer); !all.ok()) return all;
    grpc::Status why(grpc::StatusCode::INTERNAL, "it says nothing of some");
    for (auto& one : *answer.mutable_responses()) {
      const auto found = open.find(one.digest().hash());
      if (found == open.end()) continue;
      if (const grpc::Status said = status_of(one.status()); !said.ok()) {
        why = said;
        continue;
      }
      const BlobDigest& blob = *wanted[found->second.front()];
      if (one.compressor() != protocol::Compressor::IDENTITY || BlobDigest{sha256_hex(one.data()), one.data().size()} != blob) {
        lie = calls.broken(fmt::format("what it sent as blob {} is not that: {} bytes of another digest", shown(blob), one.data().size()))
                  .error();
        return grpc::Status::OK;
      }
      for (const std::size_t place : found->second) *contents[place] = one.data();
      open.erase(found);
    }
    return open.empty() ? grpc::Status::OK : why;
  });
  if (lie) return std::unexpected(std::move(*lie));
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) return false;
  if (!status.ok()) return calls.failure(status, doing, stop);
  return true;
}

Result<void> check(const BlobDigest& blob) {
  if (!is_sha256_hex(blob.hash)) return fail(ErrorCode::invalid_input, fmt::format("'{}' is no digest", printable_line(blob.hash)));
  if (blob.size > static_cast<std::uint64_t>(INT64_MAX)) return fail(ErrorCode::invalid_input, "no blob is that large");
  return {};
}

Result<void> read_stream(const RemoteCalls& calls, const RemoteOffer& offer, const BlobDigest& blob, const TakeBytes& take,
                         const std::stop_token& stop) {
  return Download(calls, blob, take, stop).by_stream(offer.zstd_streams && calls.leaves_host() && blob.size >= kWorthCompressing);
}

}  // namespace

Result<void> download_blob(const RemoteCalls& calls, const RemoteOffer& offer, const BlobDigest& blob, const TakeBytes& take,
                           const std::stop_token& stop) {
  TRY(check(blob));
  if (blob.size <= std::min(kMostInBatch, offer.most_batch)) {
    std::string content;
    const BlobDigest* const wanted[] = {&blob};
    std::string* const contents[] = {&content};
    TRY_ASSIGN(const bool read, read_batch(calls, wanted, contents, stop));
    if (read) return take(content);
  }
  return read_stream(calls, offer, blob, take, stop);
}

Result<std::vector<std::string>> download_blobs(const RemoteCalls& calls, const RemoteOffer& offer, std::span<const BlobDigest> blobs,
                                                const std::stop_token& stop) {
  std::vector<std::string> all(blobs.size());
  std::vector<const BlobDigest*> wanted;
  std::vector<std::string*> contents;
  bool batches = true;
  std::uint64_t filled = 0;
  const auto stream = [&](const BlobDigest& blob, std::string& content) {
    return read_stream(
        calls, offer, blob,
        [&content](std::string_view bytes) -> Result<void> {
          content += bytes;
          return {};
        },
        stop);
  };
  const auto flush = [&]() -> Result<void> {
    if (!wanted.empty() && batches) {
      TRY_ASSIGN(batches, read_batch(calls, wanted, contents, stop));
    }
    for (std::size_t i = 0; i < wanted.size() && !batches; ++i) TRY(stream(*wanted[i], *contents[i]));
    wanted.clear();
    contents.clear();
    filled = 0;
    return {};
  };
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    TRY(check(blobs[i]));
    if (blobs[i].size > std::min(kMostInBatch, offer.most_batch)) {
      TRY(stream(blobs[i], all[i]));
      continue;
    }
    if (filled + blobs[i].size + kBesideContent > offer.most_batch) TRY(flush());
    wanted.push_back(&blobs[i]);
    contents.push_back(&all[i]);
    filled += blobs[i].size + kBesideContent;
  }
  TRY(flush());
  return all;
}

}  // namespace casemate
