#include "remote/blob_write.h"

#include <optional>

#include <fmt/format.h>

#include "remote/blob_source.h"
#include "remote/protocol/byte_stream.grpc.pb.h"
#include "remote/stream_queue.h"
#include "remote/zstd_stream.h"
#include "sys/random.h"

namespace casemate {
namespace {

using google::bytestream::ByteStream;
constexpr std::size_t kPiece = 1u << 20;  // of content in one message

// The bytes of a blob as they go over the wire: itself, or compressed, which is the same each time.
class WireSource {
 public:
  static Result<WireSource> open(const Blob& blob, bool compressed, std::uint64_t skip) {
    TRY_ASSIGN(auto source, BlobSource::open(blob));
    WireSource wire(std::move(source), skip);
    if (compressed) wire.compression_.emplace();
    return wire;
  }

  // The next piece into `out`; at_end() after it: it was the last. May be empty only then.
  Result<void> next(std::string& out) {
    out.clear();
    while (out.empty() && !ended_) {
      if (compression_) {
        raw_.clear();
        TRY(source_.read(kPiece, raw_));
        compression_->add(raw_, source_.at_end(), out);
      } else {
        TRY(source_.read(kPiece, out));
      }
      ended_ = source_.at_end();
      const std::size_t cut = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, out.size()));
      out.erase(0, cut);
      skip_ -= cut;
    }
    return {};
  }
  [[nodiscard]] bool at_end() const { return ended_; }
  /// Of the content, what was read.
  [[nodiscard]] std::uint64_t read() const { return source_.read_so_far(); }

 private:
  WireSource(BlobSource source, std::uint64_t skip) : source_(std::move(source)), skip_(skip) {}
  BlobSource source_;
  std::optional<ZstdCompression> compression_;
  std::string raw_;
  std::uint64_t skip_;
  bool ended_ = false;
};

// One Write call.
class OutgoingWrite final : public StreamEvents {
 public:
  OutgoingWrite(const RemoteCalls& calls, const std::shared_ptr<grpc::Channel>& channel, const std::stop_token& stop)
      : silence_(calls.policy().silence), stub_(ByteStream::NewStub(channel)) {
    calls.prepare(context_);
    writer_ = stub_->PrepareAsyncWrite(&context_, &answer_, &queue_.queue());
    cancelled_.emplace(stop, context_);
    begin();
    writer_->StartCall(this);
  }
  ~OutgoingWrite() override {
    if (finished_) return;
    context_.TryCancel();
    static_cast<void>(end());
  }

  // Begins to send; `request` is copied. False: the engine has ended the call.
  bool send(const google::bytestream::WriteRequest& request) {
    if (!settled()) return false;
    begin();
    if (request.finish_write()) {
      writer_->WriteLast(request, grpc::WriteOptions(), this);
    } else {
      writer_->Write(request, this);
    }
    return true;
  }
  // Waits for what was begun. False: the engine has ended the call.
  bool settled() {
    const auto deadline = std::chrono::system_clock::now() + silence_;
    while (pending_ && !silent_) {
      if (queue_.wait_until(deadline)) continue;
      silent_ = true;
      context_.TryCancel();
    }
    while (pending_) queue_.wait();
    return ok_;
  }
  grpc::Status end() {
    settled();
    grpc::Status status;
    begin();
    writer_->Finish(&status, this);
    settled();
    finished_ = true;
    if (silent_ && !status.ok()) status = IncomingStream<google::bytestream::ReadResponse>::silent(silence_);
    return status;
  }
  [[nodiscard]] std::int64_t committed() const { return answer_.committed_size(); }

  void proceed(bool ok) override {
    pending_ = false;
    ok_ = ok;
  }

 private:
  void begin() { pending_ = true; }

  std::chrono::milliseconds silence_;
  std::unique_ptr<ByteStream::Stub> stub_;
  grpc::ClientContext context_;
  google::bytestream::WriteResponse answer_;
  StreamQueue queue_;
  std::unique_ptr<grpc::ClientAsyncWriter<google::bytestream::WriteRequest>> writer_;
  std::optional<CancelOnStop> cancelled_;
  bool pending_ = false, ok_ = true, silent_ = false, finished_ = false;
};

std::string fresh_resource(const RemoteCalls& calls, const Blob& blob, bool compressed) {
  const std::string random = random_name() + random_name();
  // RFC 4122, 4.4: a random UUID, as REAPI wants one.
  const std::string uuid = fmt::format("{}-{}-4{}-a{}-{}", random.substr(0, 8), random.substr(8, 4), random.substr(13, 3),
                                       random.substr(17, 3), random.substr(20, 12));
  return calls.resource(fmt::format("uploads/{}/", uuid), compressed ? "compressed-blobs/zstd" : "blobs", blob.digest);
}

struct WriteEnd {
  grpc::Status status;
  std::int64_t committed = 0;
  std::uint64_t sent_to = 0;  // offset on the wire
  bool whole = false;         // all of it was sent
};

// Local errors are errors; what the engine did is in the value.
Result<WriteEnd> write_from(const RemoteCalls& calls, const Blob& blob, bool compressed, const std::string& resource, std::uint64_t from,
                            const std::shared_ptr<grpc::Channel>& channel, const std::function<void(std::uint64_t)>& sent_to,
                            const std::stop_token& stop) {
  TRY_ASSIGN(auto source, WireSource::open(blob, compressed, from));
  OutgoingWrite write(calls, channel, stop);
  WriteEnd end;
  end.sent_to = from;
  google::bytestream::WriteRequest request;
  request.set_resource_name(resource);
  while (!end.whole) {
    // Read and hashed while the piece before is on its way.
    TRY(source.next(*request.mutable_data()));
    request.set_write_offset(static_cast<std::int64_t>(end.sent_to));
    request.set_finish_write(source.at_end());
    if (!write.send(request)) break;
    end.sent_to += request.data().size();
    end.whole = source.at_end();
    sent_to(source.read());
    request.clear_resource_name();
  }
  end.status = write.end();
  end.committed = write.committed();
  return end;
}

}  // namespace

Result<std::uint64_t> write_blob(const RemoteCalls& calls, const Blob& blob, bool compressed, std::size_t connection,
                                 const std::function<void(std::uint64_t)>& sent_to, const std::stop_token& stop) {
  const auto& channel = calls.cache(connection);
  const std::string doing = fmt::format("take blob {}/{}", blob.digest.hash, blob.digest.size);
  std::string resource = fresh_resource(calls, blob, compressed);
  Patience patience(calls.policy().patience, stop, calls.outages());
  std::uint64_t wire = 0, from = 0, furthest = 0;
  for (;;) {
    TRY_ASSIGN(WriteEnd end, write_from(calls, blob, compressed, resource, from, channel, sent_to, stop));
    wire += end.sent_to - from;
    furthest = std::max(furthest, end.sent_to);
    if (end.status.error_code() == grpc::StatusCode::ALREADY_EXISTS) return wire;
    if (end.status.ok()) {
      // All that we sent; or, sooner, that somebody else has sent it: its size, or -1 of compressed content (REAPI, "compressed-blobs").
      const bool had = end.committed == static_cast<std::int64_t>(blob.digest.size) || (compressed && end.committed == -1);
      if (had || (end.whole && end.committed == static_cast<std::int64_t>(end.sent_to))) return wire;
      end.status = {grpc::StatusCode::INTERNAL, fmt::format("it says to have {} bytes of {} sent", end.committed, end.sent_to)};
    }
    if (!patience.again(end.status)) return calls.failure(end.status, doing, stop);
    google::bytestream::QueryWriteStatusRequest query;
    query.set_resource_name(resource);
    google::bytestream::QueryWriteStatusResponse answer;
    const auto stub = ByteStream::NewStub(channel);
    const auto status = calls.ask(stop, [&](grpc::ClientContext& context) { return stub->QueryWriteStatus(&context, query, &answer); });
    if (status.ok() && answer.complete()) return wire;
    if (status.ok() && answer.committed_size() >= 0 && static_cast<std::uint64_t>(answer.committed_size()) <= furthest) {
      const auto committed = static_cast<std::uint64_t>(answer.committed_size());
      if (committed > from) patience.progressed();
      from = committed;
    } else {
      // It knows nothing of it, or more than we sent: as a new one.
      resource = fresh_resource(calls, blob, compressed);
      from = furthest = 0;
    }
  }
}

}  // namespace casemate
