// hostile_engine: an engine on a port of loopback that is well behaved until a test says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "remote/endpoint.h"
#include "remote/protocol/byte_stream.grpc.pb.h"
#include "remote/protocol/operations.grpc.pb.h"
#include "remote/protocol/remote_execution.grpc.pb.h"

namespace casemate {

/// Keeps contents in memory. What a test sets has to be set before the first call that it is for.
class HostileEngine {
 public:
  using Operation = google::longrunning::Operation;
  using Answer = build::bazel::remote::execution::v2::ExecuteResponse;
  using Operations = grpc::ServerWriter<Operation>;

  explicit HostileEngine(std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials());
  ~HostileEngine();
  HostileEngine(const HostileEngine&) = delete;
  HostileEngine& operator=(const HostileEngine&) = delete;

  [[nodiscard]] RemoteEndpoint endpoint() const;
  /// How often this method was called: "Execute", "Write".
  [[nodiscard]] int calls(const std::string& method) const;
  [[nodiscard]] std::string stored(const std::string& hash) const;
  void store(const std::string& hash, std::string bytes);
  /// All contents. How many there were.
  std::size_t forget();
  /// Offsets at which Write and Read calls began, in their order.
  [[nodiscard]] std::vector<std::int64_t> offsets(const std::string& method) const;

  build::bazel::remote::execution::v2::ServerCapabilities capabilities;
  /// Before each call: not OK is its answer. `number` counts this method's calls from 1.
  std::function<grpc::Status(const std::string& method, int number, grpc::ServerContext& context)> before;
  std::function<void(build::bazel::remote::execution::v2::FindMissingBlobsResponse&)> edit_missing;
  std::function<void(build::bazel::remote::execution::v2::BatchUpdateBlobsResponse&)> edit_update;
  std::function<void(build::bazel::remote::execution::v2::BatchReadBlobsResponse&)> edit_batch;
  /// The n-th Write is reset when this many of its bytes have come (SIZE_MAX: it is not).
  std::function<std::size_t(int number)> write_breaks;
  /// Each Write ends at its first message with this committed_size: somebody else has sent it meanwhile.
  std::optional<std::int64_t> had;
  /// Contents that came or went compressed.
  std::atomic<int> compressed_streams = 0, compressed_batches = 0;
  /// The n-th Read is reset when this many of its bytes have gone.
  std::function<std::size_t(int number)> read_breaks;
  std::function<void(std::string& piece)> edit_read;
  std::function<grpc::Status(int number, grpc::ServerContext& context, Operations& out)> execute;
  std::function<grpc::Status(int number, const std::string& name, grpc::ServerContext& context, Operations& out)> wait;

  /// An operation that goes on, and one that is done with this answer.
  static Operation running(const std::string& name, const std::string& out_stream = "");
  static Operation done(const std::string& name, const Answer& answer);
  /// Does nothing until the client has gone.
  static void hang(grpc::ServerContext& context);

 private:
  struct Services;
  grpc::Status begin(const std::string& method, grpc::ServerContext& context, int* number = nullptr);

  mutable std::mutex mutex_;
  std::map<std::string, std::string> store_;
  std::map<std::string, std::string> uploads_;  // by resource name
  std::map<std::string, int> calls_;
  std::map<std::string, std::vector<std::int64_t>> offsets_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace casemate
