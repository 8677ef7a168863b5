#include "remote/blob_upload.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

#include "remote/blob_source.h"
#include "remote/blob_write.h"
#include "remote/protocol/remote_execution.grpc.pb.h"
#include "remote/zstd_stream.h"

namespace casemate {
namespace {

constexpr std::size_t kAtOnce = 4;             // batches and streams
constexpr std::uint64_t kBesideContent = 128;  // of a blob in a batch: its digest and the fields' tags
constexpr std::size_t kSample = 64u << 10;

using Batch = std::vector<const Blob*>;

// Whether it goes faster compressed: over a network, if it shrinks.
Result<bool> worth_compressing(const RemoteCalls& calls, bool offered, const Blob& blob) {
  if (!offered || !calls.leaves_host()) return false;
  if (blob.path.empty()) return shrinks(blob.bytes);
  TRY_ASSIGN(const UniqueFd file, open_file(blob.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  std::string beginning(kSample, '\0');
  const ssize_t got = ::pread(file.get(), beginning.data(), beginning.size(), 0);
  return got > 0 && shrinks(std::string_view(beginning).substr(0, static_cast<std::size_t>(got)));
}

class Upload {
 public:
  Upload(const RemoteCalls& calls, const RemoteOffer& offer, const HearSent& sent, const std::stop_token& stop)
      : calls_(calls), offer_(offer), sent_(sent), asked_(stop), on_stop_(stop, [this] { own_.request_stop(); }) {}

  Result<std::uint64_t> run(std::span<const Blob> blobs) {
    plan(blobs);
    const std::size_t threads = std::min(kAtOnce, streams_.size() + batches_.size());
    {
      std::vector<std::jthread> others;
      for (std::size_t number = 1; number < threads; ++number) others.emplace_back([this, number] { work(number); });
      work(0);
    }
    if (failed_) return std::unexpected(std::move(*failed_));
    return wire_.load();
  }

 private:
  void plan(std::span<const Blob> blobs) {
    std::unordered_set<std::string_view> seen;
    std::uint64_t filled = 0;
    for (const Blob& blob : blobs) {
      if (!seen.insert(blob.digest.hash).second) continue;
      const std::uint64_t size = blob.digest.size + kBesideContent;
      if (size > offer_.most_batch / 2) {
        streams_.push_back(&blob);
        continue;
      }
      if (batches_.empty() || filled + size > offer_.most_batch) {
        batches_.emplace_back();
        filled = 0;
      }
      batches_.back().push_back(&blob);
      filled += size;
    }
    // The longest first, so that none is left alone at the end.
    std::sort(streams_.begin(), streams_.end(), [](const Blob* a, const Blob* b) { return a->digest.size > b->digest.size; });
  }

  void work(std::size_t number) {
    while (!own_.stop_requested()) {
      const std::size_t next = next_++;
      if (next >= streams_.size() + batches_.size()) return;
      auto sent = next < streams_.size() ? stream(*streams_[next], number) : batch(batches_[next - streams_.size()], number);
      if (sent) {
        wire_ += *sent;
        continue;
      }
      const std::scoped_lock lock(mutex_);
      // The others are cancelled because of the first; that is no reason of its own.
      if (!failed_) failed_ = std::move(sent).error();
      own_.request_stop();
    }
    if (!asked_.stop_requested()) return;
    const std::scoped_lock lock(mutex_);
    if (!failed_) failed_ = Error{ErrorCode::cancelled, "cancelled while contents were sent to the remote engine", 0, ""};
  }

  Result<std::uint64_t> stream(const Blob& blob, std::size_t number) {
    TRY_ASSIGN(const bool compressed, worth_compressing(calls_, offer_.zstd_streams, blob));
    std::uint64_t told = 0;
    const auto sent_to = [&](std::uint64_t offset) {
      if (offset > told) tell(offset - told, 0);
      told = std::max(told, offset);
    };
    auto written = write_blob(calls_, blob, compressed, number, sent_to, own_.get_token());
    if (written) tell(blob.digest.size - told, blob.path.empty() ? 0 : 1);
    return written;
  }

  void tell(std::uint64_t bytes, std::size_t files) const {
    if (sent_) sent_(bytes, files);
  }

  Result<std::uint64_t> batch(const Batch& blobs, std::size_t number) {
    protocol::BatchUpdateBlobsRequest request;
    request.set_instance_name(calls_.instance());
    std::uint64_t wire = 0;
    for (const Blob* blob : blobs) {
      auto& one = *request.add_requests();
      *one.mutable_digest() = message_of(blob->digest);
      TRY_ASSIGN(auto source, BlobSource::open(*blob));
      TRY(source.read(blob->digest.size, *one.mutable_data()));
      if (offer_.zstd_batches && calls_.leaves_host() && shrinks(one.data())) {
        if (std::string frame = zstd_compressed(one.data()); !frame.empty() && frame.size() < one.data().size()) {
          *one.mutable_data() = std::move(frame);
          one.set_compressor(protocol::Compressor::ZSTD);
        }
      }
      wire += one.data().size();
    }
    TRY(send(request, number));
    const auto size = [](std::uint64_t sum, const Blob* blob) { return sum + blob->digest.size; };
    const auto files = std::count_if(blobs.begin(), blobs.end(), [](const Blob* blob) { return !blob->path.empty(); });
    tell(std::accumulate(blobs.begin(), blobs.end(), std::uint64_t{0}, size), static_cast<std::size_t>(files));
    return wire;
  }

  // What an engine did not take is sent again alone.
  Result<void> send(protocol::BatchUpdateBlobsRequest& request, std::size_t number) {
    const auto stub = protocol::ContentAddressableStorage::NewStub(calls_.cache(number));
    Patience patience(calls_.policy().patience, own_.get_token(), calls_.outages());
    for (;;) {
      protocol::BatchUpdateBlobsResponse answer;
      grpc::ClientContext context;
      calls_.prepare(context);
      context.set_deadline(patience.deadline(calls_.policy().call));
      grpc::Status status;
      {
        const CancelOnStop cancelled(own_.get_token(), context);
        status = stub->BatchUpdateBlobs(&context, request, &answer);
      }
      if (status.ok()) status = keep_refused(answer, request, patience);
      if (request.requests().empty()) return {};
      if (!patience.again(status)) return calls_.failure(status, fmt::format("take {} blobs", request.requests_size()), own_.get_token());
    }
  }

  // Leaves in `request` what is not there yet, and says why.
  static grpc::Status keep_refused(const protocol::BatchUpdateBlobsResponse& answer, protocol::BatchUpdateBlobsRequest& request,
                                   Patience& patience) {
    std::unordered_map<std::string_view, const google::rpc::Status*> answered;
    for (const auto& one : answer.responses()) answered.emplace(one.digest().hash(), &one.status());
    grpc::Status why = grpc::Status::OK;
    int kept = 0;
    for (int i = 0; i < request.requests_size(); ++i) {
      const auto said = answered.find(request.requests(i).digest().hash());
      if (said != answered.end() && said->second->code() == 0) continue;
      const grpc::Status one = said != answered.end() ? status_of(*said->second)
                                                      : grpc::Status(grpc::StatusCode::INTERNAL, "it does not say whether it has them");
      // What won't change is what is told.
      if (why.ok() || (is_transient(why) && !is_transient(one))) why = one;
      request.mutable_requests()->SwapElements(i, kept++);
    }
    if (kept < request.requests_size()) patience.progressed();
    request.mutable_requests()->DeleteSubrange(kept, request.requests_size() - kept);
    return why;
  }

  const RemoteCalls& calls_;
  const RemoteOffer& offer_;
  const HearSent& sent_;
  std::stop_token asked_;
  std::stop_source own_;
  std::stop_callback<std::function<void()>> on_stop_;
  std::vector<const Blob*> streams_;
  std::vector<Batch> batches_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<std::uint64_t> wire_ = 0;
  std::mutex mutex_;
  std::optional<Error> failed_;
};

}  // namespace

Result<std::uint64_t> upload_blobs(const RemoteCalls& calls, const RemoteOffer& offer, std::span<const Blob> blobs, const HearSent& sent,
                                   const std::stop_token& stop) {
  return Upload(calls, offer, sent, stop).run(blobs);
}

}  // namespace casemate
