// Contents that travel as Zstandard, where the way is worth it.
#include <gtest/gtest.h>

#include "action/messages.h"
#include "hostile_engine.h"
#include "remote/engine.h"
#include "remote/zstd_stream.h"

namespace casemate {
namespace {

namespace v2 = build::bazel::remote::execution::v2;

std::string noise(std::size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

// Shrinks to about a half.
std::string text(std::size_t size, unsigned seed) {
  std::string bytes = noise(size, seed);
  for (char& byte : bytes) byte = static_cast<char>('a' + (byte & 15));
  return bytes;
}

class RemoteCompression : public testing::Test {
 protected:
  void SetUp() override {
    auto& cache = *server_.capabilities.mutable_cache_capabilities();
    cache.add_supported_compressors(v2::Compressor::ZSTD);
    cache.add_supported_batch_update_compressors(v2::Compressor::ZSTD);
  }
  // By an address that does not say that it is this machine's, unless `near`.
  std::unique_ptr<RemoteEngine> connected(bool near = false) {
    RemoteEndpoint endpoint = server_.endpoint();
    if (!near) endpoint.address = "dns:" + endpoint.address;
    auto engine = RemoteEngine::connect(endpoint, {}, {});
    EXPECT_TRUE(engine) << engine.error().what;
    return engine ? std::move(*engine) : nullptr;
  }
  HostileEngine server_;
};

TEST_F(RemoteCompression, what_shrinks_goes_compressed_and_the_rest_as_it_is) {
  const std::vector<Blob> blobs = {blob_of(text(5u << 20, 1)), blob_of(noise(5u << 20, 2)), blob_of(text(10'000, 3)),
                                   blob_of(noise(10'000, 4)), blob_of("tiny")};
  const auto engine = connected();
  EXPECT_TRUE(engine->offer().zstd_streams && engine->offer().zstd_batches);
  const auto sent = engine->upload(blobs, {});
  ASSERT_TRUE(sent) << sent.error().what;
  EXPECT_LT(*sent, 9u << 20);
  EXPECT_EQ(server_.compressed_streams, 1);
  EXPECT_EQ(server_.compressed_batches, 1);
  for (const Blob& blob : blobs) {
    EXPECT_TRUE(server_.stored(blob.digest.hash) == blob.bytes) << blob.digest.size;
    const auto read = engine->read(blob.digest, 8u << 20, {});
    ASSERT_TRUE(read) << read.error().what;
    EXPECT_TRUE(*read == blob.bytes) << blob.digest.size;
  }
  EXPECT_EQ(server_.compressed_streams, 1 + 2);  // the large ones came back so
}

TEST_F(RemoteCompression, nothing_is_compressed_for_this_machine) {
  ASSERT_TRUE(connected(true)->upload(std::vector<Blob>{blob_of(text(5u << 20, 1)), blob_of(text(10'000, 3))}, {}));
  EXPECT_EQ(server_.compressed_streams + server_.compressed_batches, 0);
}

TEST_F(RemoteCompression, a_compressed_write_goes_on_where_it_broke) {
  server_.write_breaks = [](int number) { return number <= 2 ? std::size_t{2} << 20 : SIZE_MAX; };
  const Blob blob = blob_of(text(16u << 20, 5));
  const auto sent = connected()->upload(std::vector<Blob>{blob}, {});
  ASSERT_TRUE(sent) << sent.error().what;
  EXPECT_TRUE(server_.stored(blob.digest.hash) == blob.bytes);
  const auto offsets = server_.offsets("Write");
  ASSERT_EQ(offsets.size(), 3u);
  EXPECT_GE(offsets[1], 2 << 20);
  EXPECT_GE(offsets[2], offsets[1] + (2 << 20));
  EXPECT_EQ(server_.compressed_streams, 1);
}

TEST_F(RemoteCompression, a_compressed_read_goes_on_where_it_broke) {
  server_.read_breaks = [](int number) { return number <= 2 ? std::size_t{1} << 20 : SIZE_MAX; };
  const Blob blob = blob_of(text(8u << 20, 6));
  server_.store(blob.digest.hash, blob.bytes);
  const auto read = connected()->read(blob.digest, 8u << 20, {});
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_TRUE(*read == blob.bytes);
  const auto offsets = server_.offsets("Read");  // of the content, not of the frames
  ASSERT_EQ(offsets.size(), 3u);
  EXPECT_GT(offsets[1], 1 << 20);
  EXPECT_GT(offsets[2], offsets[1]);
}

TEST_F(RemoteCompression, frames_that_are_none_and_frames_that_burst_are_corrupt) {
  const Blob blob = blob_of(text(5u << 20, 6));
  server_.store(blob.digest.hash, blob.bytes + std::string(100u << 20, 'x'));
  EXPECT_EQ(connected()->read(blob.digest, 8u << 20, {}).error().code, ErrorCode::corrupt);
  server_.edit_read = [](std::string& piece) { piece.assign(piece.size(), 'x'); };
  const auto read = connected()->read(blob.digest, 8u << 20, {});
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().what.find("no Zstandard"), std::string::npos) << read.error().what;
}

TEST_F(RemoteCompression, a_write_that_somebody_else_has_done_ends_early) {
  const Blob plain = blob_of(noise(16u << 20, 5)), shrinking = blob_of(text(16u << 20, 5));
  server_.had = static_cast<std::int64_t>(plain.digest.size);
  const auto sent = connected()->upload(std::vector<Blob>{plain}, {});
  ASSERT_TRUE(sent) << sent.error().what;
  EXPECT_EQ(server_.calls("Write"), 1);
  server_.had = -1;  // REAPI, of compressed content
  ASSERT_TRUE(connected()->upload(std::vector<Blob>{shrinking}, {}));
  EXPECT_EQ(server_.calls("Write"), 2);
  // An early end with another size is none.
  server_.had = 7;
  auto policy = RemotePolicy{.patience = std::chrono::milliseconds(300)};
  auto engine = RemoteEngine::connect(server_.endpoint(), policy, {});
  ASSERT_TRUE(engine);
  EXPECT_FALSE((*engine)->upload(std::vector<Blob>{plain}, {}));
}

TEST(ZstdStream, pieces_make_the_same_bytes_each_time_and_come_back) {
  const std::string content = text(3u << 20, 9);
  const auto compressed = [&] {
    ZstdCompression compression;
    std::string out;
    for (std::size_t at = 0; at < content.size(); at += 100'000)
      compression.add(std::string_view(content).substr(at, 100'000), at + 100'000 >= content.size(), out);
    return out;
  };
  const std::string frame = compressed();
  EXPECT_EQ(frame, compressed());
  EXPECT_LT(frame.size(), content.size() * 6 / 10);
  std::string back;
  ZstdExpansion expansion;
  for (std::size_t at = 0; at < frame.size(); at += 7001)
    ASSERT_TRUE(expansion.add(std::string_view(frame).substr(at, 7001), content.size() - back.size(), back));
  EXPECT_TRUE(back == content);
  EXPECT_FALSE(ZstdExpansion().add(frame, content.size() - 1, back));
}

}  // namespace
}  // namespace casemate
