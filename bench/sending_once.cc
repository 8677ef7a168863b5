// sending_once DIRECTORY [ADDRESS]: sends a directory as inputs to an engine that has none of it, and prints the seconds of reading and
// digesting, the seconds of sending, bytes and blobs. Without an address to an engine of its own, in a process of its own, that digests
// what comes, as an engine has to, and throws it away: what is left then is the client's part and the way.
#include <chrono>
#include <cstdlib>
#include <stop_token>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "action/input_trees.h"
#include "base/digest.h"
#include "remote/endpoint.h"
#include "remote/engine.h"
#include "remote/protocol/byte_stream.grpc.pb.h"
#include "remote/protocol/remote_execution.grpc.pb.h"

namespace {

using namespace casemate;
namespace v2 = build::bazel::remote::execution::v2;

constexpr int kMessage = 64 << 20;

struct Capabilities final : v2::Capabilities::Service {
  grpc::Status GetCapabilities(grpc::ServerContext*, const v2::GetCapabilitiesRequest*, v2::ServerCapabilities* answer) override {
    answer->mutable_cache_capabilities()->add_digest_functions(v2::DigestFunction::SHA256);
    answer->mutable_cache_capabilities()->set_max_batch_total_size_bytes(4 << 20);
    answer->mutable_execution_capabilities()->set_exec_enabled(true);
    answer->mutable_execution_capabilities()->set_digest_function(v2::DigestFunction::SHA256);
    answer->mutable_low_api_version()->set_major(2);
    answer->mutable_high_api_version()->set_major(2);
    answer->mutable_high_api_version()->set_minor(3);
    return grpc::Status::OK;
  }
};

struct Nothing final : v2::ContentAddressableStorage::Service {
  grpc::Status FindMissingBlobs(grpc::ServerContext*, const v2::FindMissingBlobsRequest* request,
                                v2::FindMissingBlobsResponse* answer) override {
    *answer->mutable_missing_blob_digests() = request->blob_digests();
    return grpc::Status::OK;
  }
  grpc::Status BatchUpdateBlobs(grpc::ServerContext*, const v2::BatchUpdateBlobsRequest* request,
                                v2::BatchUpdateBlobsResponse* answer) override {
    for (const auto& one : request->requests()) {
      auto& its = *answer->add_responses();
      *its.mutable_digest() = one.digest();
      if (sha256_hex(one.data()) != one.digest().hash()) its.mutable_status()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
    }
    return grpc::Status::OK;
  }
};

struct Streams final : google::bytestream::ByteStream::Service {
  grpc::Status Write(grpc::ServerContext*, grpc::ServerReader<google::bytestream::WriteRequest>* in,
                     google::bytestream::WriteResponse* answer) override {
    google::bytestream::WriteRequest piece;
    Sha256 hash;
    std::int64_t size = 0;
    std::string name;
    while (in->Read(&piece)) {
      if (name.empty()) name = piece.resource_name();
      hash.update(piece.data());
      size += static_cast<std::int64_t>(piece.data().size());
    }
    answer->set_committed_size(size);
    const bool right = name.find("/" + hash.hex() + "/") != std::string::npos;
    return right ? grpc::Status::OK : grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "another digest");
  }
};

// Its port; ends with us.
int serve(int& port) {
  int ports[2];
  if (::pipe(ports) < 0) return -1;
  const pid_t child = ::fork();
  if (child != 0) {
    ::close(ports[1]);
    const bool told = child > 0 && ::read(ports[0], &port, sizeof port) == sizeof port;
    return told ? child : -1;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Capabilities capabilities;
  Nothing nothing;
  Streams streams;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMessage);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&capabilities);
  builder.RegisterService(&nothing);
  builder.RegisterService(&streams);
  const auto server = builder.BuildAndStart();
  if (!server || ::write(ports[1], &port, sizeof port) < 0) ::_exit(1);
  server->Wait();
  ::_exit(0);
}

template <class Value>
Value need(Result<Value> value) {
  if (value) return std::move(*value);
  fmt::print(stderr, "sending_once: {}\n", value.error().what);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  if (argc < 2 || argc > 3) return 2;
  int port = 0;
  const int server = argc == 3 ? 0 : serve(port);
  if (server < 0) return 1;
  RemoteEndpoint endpoint;
  if (argc == 3) {
    endpoint = need(parse_remote(argv[2]));
  } else {
    endpoint = need(parse_remote(fmt::format("grpc://127.0.0.1:{}", port)));
  }
  const auto begin = Clock::now();
  InputTrees trees;
  const InputTree tree = need(trees.readable(argv[1]));
  std::vector<Blob> blobs;
  std::vector<BlobDigest> digests;
  std::uint64_t bytes = 0;
  for_each_blob(*tree.top, [&](const Blob& blob) {
    blobs.push_back(blob);
    digests.push_back(blob.digest);
    bytes += blob.digest.size;
  });
  const auto read = Clock::now();
  const auto engine = need(RemoteEngine::connect(endpoint, {}, {}));
  (void)need(engine->missing(digests, {}));
  (void)need(engine->upload(blobs, {}));
  const auto sent = Clock::now();
  const auto seconds = [](auto span) { return std::chrono::duration<double>(span).count(); };
  fmt::print("{:.4f} {:.4f} {} {}\n", seconds(read - begin), seconds(sent - read), bytes, blobs.size());
  if (server > 0) {
    ::kill(server, SIGKILL);
    ::waitpid(server, nullptr, 0);
  }
  return 0;
}
