#include "hostile_engine.h"

#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "base/digest.h"
#include "remote/zstd_stream.h"

namespace casemate {
namespace v2 = build::bazel::remote::execution::v2;
namespace {

using grpc::ServerContext;
using grpc::Status;
constexpr std::size_t kPiece = 64u << 10;

Status reset() { return {grpc::StatusCode::UNAVAILABLE, "Socket closed"}; }

// "[INSTANCE/]uploads/UUID/blobs/HASH/SIZE" or "[INSTANCE/]blobs/HASH/SIZE": HASH.
std::string hash_of(const std::string& resource) {
  const std::size_t size = resource.rfind('/');
  const std::size_t hash = resource.rfind('/', size - 1);
  return resource.substr(hash + 1, size - hash - 1);
}

bool is_zstd(const std::string& resource) { return resource.find("compressed-blobs/zstd/") != std::string::npos; }

std::string expanded(const std::string& frames) {
  std::string bytes;
  const auto read = ZstdExpansion().add(frames, 1u << 30, bytes);
  return read ? bytes : "no Zstandard";
}

}  // namespace

struct HostileEngine::Services {
  struct Capabilities final : v2::Capabilities::Service {
    explicit Capabilities(HostileEngine& o) : own(o) {}
    HostileEngine& own;
    Status GetCapabilities(ServerContext* context, const v2::GetCapabilitiesRequest*, v2::ServerCapabilities* answer) override {
      if (const Status status = own.begin("GetCapabilities", *context); !status.ok()) return status;
      *answer = own.capabilities;
      return Status::OK;
    }
  };

  struct Store final : v2::ContentAddressableStorage::Service {
    explicit Store(HostileEngine& o) : own(o) {}
    HostileEngine& own;
    Status FindMissingBlobs(ServerContext* context, const v2::FindMissingBlobsRequest* request,
                            v2::FindMissingBlobsResponse* answer) override {
      if (const Status status = own.begin("FindMissingBlobs", *context); !status.ok()) return status;
      const std::scoped_lock lock(own.mutex_);
      for (const auto& digest : request->blob_digests()) {
        if (!own.store_.contains(digest.hash())) *answer->add_missing_blob_digests() = digest;
      }
      if (own.edit_missing) own.edit_missing(*answer);
      return Status::OK;
    }
    Status BatchUpdateBlobs(ServerContext* context, const v2::BatchUpdateBlobsRequest* request,
                            v2::BatchUpdateBlobsResponse* answer) override {
      if (const Status status = own.begin("BatchUpdateBlobs", *context); !status.ok()) return status;
      for (const auto& one : request->requests()) {
        const bool zstd = one.compressor() == v2::Compressor::ZSTD;
        own.compressed_batches += zstd;
        own.store(one.digest().hash(), zstd ? expanded(one.data()) : one.data());
        *answer->add_responses()->mutable_digest() = one.digest();
      }
      if (own.edit_update) own.edit_update(*answer);
      return Status::OK;
    }
    Status BatchReadBlobs(ServerContext* context, const v2::BatchReadBlobsRequest* request, v2::BatchReadBlobsResponse* answer) override {
      if (const Status status = own.begin("BatchReadBlobs", *context); !status.ok()) return status;
      for (const auto& digest : request->digests()) {
        auto& one = *answer->add_responses();
        *one.mutable_digest() = digest;
        const std::scoped_lock lock(own.mutex_);
        const auto found = own.store_.find(digest.hash());
        if (found == own.store_.end()) {
          one.mutable_status()->set_code(grpc::StatusCode::NOT_FOUND);
        } else {
          one.set_data(found->second);
        }
      }
      if (own.edit_batch) own.edit_batch(*answer);
      return Status::OK;
    }
  };

  struct Bytes final : google::bytestream::ByteStream::Service {
    explicit Bytes(HostileEngine& o) : own(o) {}
    HostileEngine& own;
    Status Read(ServerContext* context, const google::bytestream::ReadRequest* request,
                grpc::ServerWriter<google::bytestream::ReadResponse>* out) override {
      int number = 0;
      if (const Status status = own.begin("Read", *context, &number); !status.ok()) return status;
      std::string bytes;
      {
        const std::scoped_lock lock(own.mutex_);
        own.offsets_["Read"].push_back(request->read_offset());
        const std::string& name = request->resource_name();
        const auto found = own.store_.find(name.find('/') == std::string::npos ? name : hash_of(name));
        if (found == own.store_.end()) return {grpc::StatusCode::NOT_FOUND, "no such blob"};
        bytes = found->second.substr(static_cast<std::size_t>(request->read_offset()));
        if (is_zstd(name)) bytes = zstd_compressed(bytes);
        if (is_zstd(name)) ++own.compressed_streams;
      }
      const std::size_t most = own.read_breaks ? own.read_breaks(number) : SIZE_MAX;
      std::size_t sent = 0;
      for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
        if (sent >= most) return reset();
        google::bytestream::ReadResponse piece;
        piece.set_data(bytes.substr(at, kPiece));
        sent += piece.data().size();
        if (own.edit_read) own.edit_read(*piece.mutable_data());
        if (!out->Write(piece)) return Status::CANCELLED;
      }
      return sent >= most ? reset() : Status::OK;
    }
    Status Write(ServerContext* context, grpc::ServerReader<google::bytestream::WriteRequest>* in,
                 google::bytestream::WriteResponse* answer) override {
      int number = 0;
      if (const Status status = own.begin("Write", *context, &number); !status.ok()) return status;
      const std::size_t most = own.write_breaks ? own.write_breaks(number) : SIZE_MAX;
      google::bytestream::WriteRequest request;
      std::string resource;
      std::size_t got = 0;
      while (in->Read(&request)) {
        const std::scoped_lock lock(own.mutex_);
        if (resource.empty()) {
          resource = request.resource_name();
          own.offsets_["Write"].push_back(request.write_offset());
          if (own.had) {
            answer->set_committed_size(*own.had);
            return Status::OK;
          }
        }
        std::string& bytes = own.uploads_[resource];
        if (request.write_offset() != static_cast<std::int64_t>(bytes.size()))
          return {grpc::StatusCode::INVALID_ARGUMENT, fmt::format("at {}, not {}", bytes.size(), request.write_offset())};
        bytes += request.data();
        got += request.data().size();
        if (got >= most) return reset();
        if (!request.finish_write()) continue;
        const std::string content = is_zstd(resource) ? expanded(bytes) : bytes;
        if (is_zstd(resource)) ++own.compressed_streams;
        if (sha256_hex(content) != hash_of(resource)) return {grpc::StatusCode::INVALID_ARGUMENT, "not what its digest says"};
        own.store_[hash_of(resource)] = content;
        answer->set_committed_size(static_cast<std::int64_t>(bytes.size()));
        return Status::OK;
      }
      return {grpc::StatusCode::INVALID_ARGUMENT, "never finished"};
    }
    Status QueryWriteStatus(ServerContext* context, const google::bytestream::QueryWriteStatusRequest* request,
                            google::bytestream::QueryWriteStatusResponse* answer) override {
      if (const Status status = own.begin("QueryWriteStatus", *context); !status.ok()) return status;
      const std::scoped_lock lock(own.mutex_);
      const auto found = own.uploads_.find(request->resource_name());
      if (found == own.uploads_.end()) return {grpc::StatusCode::NOT_FOUND, "no such upload"};
      answer->set_committed_size(static_cast<std::int64_t>(found->second.size()));
      answer->set_complete(own.store_.contains(hash_of(request->resource_name())));
      return Status::OK;
    }
  };

  struct Execution final : v2::Execution::Service {
    explicit Execution(HostileEngine& o) : own(o) {}
    HostileEngine& own;
    Status Execute(ServerContext* context, const v2::ExecuteRequest*, Operations* out) override {
      int number = 0;
      if (const Status status = own.begin("Execute", *context, &number); !status.ok()) return status;
      return own.execute ? own.execute(number, *context, *out) : Status(grpc::StatusCode::UNIMPLEMENTED, "");
    }
    Status WaitExecution(ServerContext* context, const v2::WaitExecutionRequest* request, Operations* out) override {
      int number = 0;
      if (const Status status = own.begin("WaitExecution", *context, &number); !status.ok()) return status;
      return own.wait ? own.wait(number, request->name(), *context, *out) : Status(grpc::StatusCode::UNIMPLEMENTED, "");
    }
  };

  struct LongRunning final : google::longrunning::Operations::Service {
    explicit LongRunning(HostileEngine& o) : own(o) {}
    HostileEngine& own;
    Status CancelOperation(ServerContext* context, const google::longrunning::CancelOperationRequest* request,
                           google::protobuf::Empty*) override {
      return own.begin("CancelOperation " + request->name(), *context);
    }
  };

  explicit Services(HostileEngine& own) : capabilities(own), store(own), bytes(own), execution(own), operations(own) {}
  Capabilities capabilities;
  Store store;
  Bytes bytes;
  Execution execution;
  LongRunning operations;
};

HostileEngine::HostileEngine(std::shared_ptr<grpc::ServerCredentials> credentials) : services_(std::make_unique<Services>(*this)) {
  auto& cache = *capabilities.mutable_cache_capabilities();
  cache.add_digest_functions(v2::DigestFunction::SHA256);
  capabilities.mutable_execution_capabilities()->set_exec_enabled(true);
  capabilities.mutable_execution_capabilities()->set_digest_function(v2::DigestFunction::SHA256);
  capabilities.mutable_low_api_version()->set_major(2);
  capabilities.mutable_high_api_version()->set_major(2);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("localhost:0", std::move(credentials), &port_);
  builder.RegisterService(&services_->capabilities);
  builder.RegisterService(&services_->store);
  builder.RegisterService(&services_->bytes);
  builder.RegisterService(&services_->execution);
  builder.RegisterService(&services_->operations);
  builder.SetSyncServerOption(grpc::ServerBuilder::CQ_TIMEOUT_MSEC, 100);  // a shutdown may wait so long, by itself 10 s
  server_ = builder.BuildAndStart();
}

HostileEngine::~HostileEngine() { server_->Shutdown(std::chrono::system_clock::now()); }

RemoteEndpoint HostileEngine::endpoint() const {
  RemoteEndpoint endpoint;
  endpoint.address = fmt::format("localhost:{}", port_);
  return endpoint;
}

int HostileEngine::calls(const std::string& method) const {
  const std::scoped_lock lock(mutex_);
  const auto found = calls_.find(method);
  return found == calls_.end() ? 0 : found->second;
}

std::string HostileEngine::stored(const std::string& hash) const {
  const std::scoped_lock lock(mutex_);
  const auto found = store_.find(hash);
  return found == store_.end() ? "" : found->second;
}

void HostileEngine::store(const std::string& hash, std::string bytes) {
  const std::scoped_lock lock(mutex_);
  store_[hash] = std::move(bytes);
}

std::size_t HostileEngine::forget() {
  const std::scoped_lock lock(mutex_);
  const std::size_t count = store_.size();
  store_.clear();
  return count;
}

std::vector<std::int64_t> HostileEngine::offsets(const std::string& method) const {
  const std::scoped_lock lock(mutex_);
  const auto found = offsets_.find(method);
  return found == offsets_.end() ? std::vector<std::int64_t>{} : found->second;
}

HostileEngine::Operation HostileEngine::running(const std::string& name, const std::string& out_stream) {
  Operation operation;
  operation.set_name(name);
  v2::ExecuteOperationMetadata metadata;
  metadata.set_stage(v2::ExecutionStage::EXECUTING);
  metadata.set_stdout_stream_name(out_stream);
  operation.mutable_metadata()->PackFrom(metadata);
  return operation;
}

HostileEngine::Operation HostileEngine::done(const std::string& name, const Answer& answer) {
  Operation operation;
  operation.set_name(name);
  operation.set_done(true);
  operation.mutable_response()->PackFrom(answer);
  return operation;
}

void HostileEngine::hang(ServerContext& context) {
  while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

Status HostileEngine::begin(const std::string& method, ServerContext& context, int* number) {
  int count = 0;
  {
    const std::scoped_lock lock(mutex_);
    count = ++calls_[method];
  }
  if (number) *number = count;
  return before ? before(method, count, context) : Status::OK;
}

}  // namespace casemate
