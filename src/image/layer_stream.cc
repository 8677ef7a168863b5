#include "image/layer_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/units.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kInput = 128u << 10;
constexpr std::size_t kOutput = 512u << 10;

std::unexpected<Error> damaged(std::string_view what) { return fail(ErrorCode::corrupt, fmt::format("the layer is damaged: {}", what)); }

class Plain : public LayerStream::Decoder {
 public:
  Result<std::size_t> decode(std::string_view& in, char* out, std::size_t room) override {
    const std::size_t count = std::min(in.size(), room);
    std::memcpy(out, in.data(), count);
    in.remove_prefix(count);
    return count;
  }
  [[nodiscard]] bool complete() const override { return true; }
};

// Members may follow each other (RFC 1952, 2.2); zlib checks each one's CRC and length.
class Gzip : public LayerStream::Decoder {
 public:
  Gzip() { ready_ = ::inflateInit2(&stream_, 15 + 16) == Z_OK; }
  ~Gzip() override {
    if (ready_) ::inflateEnd(&stream_);
  }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  Result<std::size_t> decode(std::string_view& in, char* out, std::size_t room) override {
    if (!ready_) return fail(ErrorCode::exhausted, "no memory to decompress a layer");
    if (complete_ && in.empty()) return std::size_t{0};
    if (complete_) ::inflateReset(&stream_);
    complete_ = false;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(room);
    const int code = ::inflate(&stream_, Z_NO_FLUSH);
    in.remove_prefix(in.size() - stream_.avail_in);
    if (code == Z_STREAM_END) {
      complete_ = true;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {  // Z_BUF_ERROR: nothing to do with so little input or room
      return damaged(fmt::format("its gzip stream can't be read ({})", stream_.msg ? stream_.msg : "no memory"));
    }
    return room - stream_.avail_out;
  }
  [[nodiscard]] bool complete() const override { return complete_; }

 private:
  z_stream stream_{};
  bool ready_ = false;
  bool complete_ = false;
};

// Frames may follow each other, skippable ones too (RFC 8878, 3.1): zstd:chunked layers end with one.
class Zstd : public LayerStream::Decoder {
 public:
  Zstd() : stream_(::ZSTD_createDStream()) {}
  ~Zstd() override { ::ZSTD_freeDStream(stream_); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;

  Result<std::size_t> decode(std::string_view& in, char* out, std::size_t room) override {
    if (!stream_) return fail(ErrorCode::exhausted, "no memory to decompress a layer");
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out, room, 0};
    if (complete_ && in.empty()) return std::size_t{0};
    const std::size_t code = ::ZSTD_decompressStream(stream_, &output, &input);
    if (::ZSTD_isError(code)) return damaged(fmt::format("its zstd stream can't be read ({})", ::ZSTD_getErrorName(code)));
    in.remove_prefix(input.pos);
    complete_ = code == 0;
    return output.pos;
  }
  [[nodiscard]] bool complete() const override { return complete_; }

 private:
  ZSTD_DStream* stream_;
  bool complete_ = false;
};

}  // namespace

LayerStream::LayerStream(int fd, const StreamLimits& limits) : fd_(fd), limits_(limits), input_(kInput), output_(kOutput) {}
LayerStream::~LayerStream() = default;

Result<void> LayerStream::refill() {
  std::size_t filled = 0;
  while (filled < input_.size()) {
    const ssize_t got = ::read(fd_, input_.data() + filled, input_.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read the layer's blob");
    if (got == 0) {
      input_ended_ = true;
      break;
    }
    filled += static_cast<std::size_t>(got);
  }
  rest_ = std::string_view(input_.data(), filled);
  blob_.update(rest_);
  read_ += filled;
  return {};
}

Result<void> LayerStream::start() {
  TRY(refill());
  using namespace std::string_view_literals;
  if (rest_.empty()) return damaged("it is empty");
  if (rest_.starts_with("\x1f\x8b"sv))
    decoder_ = std::make_unique<Gzip>();
  else if (rest_.starts_with("\x28\xb5\x2f\xfd"sv) ||
           (rest_.size() >= 4 && (rest_[0] & 0xf0) == 0x50 && rest_.substr(1).starts_with("\x2a\x4d\x18"sv)))
    decoder_ = std::make_unique<Zstd>();
  else if (rest_.starts_with("BZh"sv) || rest_.starts_with("\xfd\x37zXZ\0"sv))
    return fail(ErrorCode::not_supported,
                "the layer is compressed with bzip2 or xz: OCI has only gzip and zstd; convert the image with skopeo copy");
  plain_ = !decoder_;
  if (plain_) decoder_ = std::make_unique<Plain>();
  return {};
}

Result<void> LayerStream::account(std::string_view bytes) {
  made_ += bytes.size();
  if (made_ > limits_.bytes)
    return fail(ErrorCode::refused,
                fmt::format("the layer is larger than {} when unpacked: raise the limit if you trust it", format_bytes(limits_.bytes)));
  const std::uint64_t used = std::max<std::uint64_t>(read_ - rest_.size(), 1);
  if (made_ > kRatioFrom && made_ / used >= limits_.ratio)
    return fail(ErrorCode::refused,
                fmt::format("the layer unpacks to more than {} times its size: it looks like a decompression bomb", limits_.ratio));
  if (!plain_) tar_.update(bytes);
  return {};
}

Result<std::string_view> LayerStream::next() {
  if (!decoder_) TRY(start());
  std::size_t filled = 0;
  while (filled < output_.size()) {
    if (rest_.empty() && !input_ended_) TRY(refill());
    const std::size_t before = rest_.size();
    TRY_ASSIGN(const std::size_t made, decoder_->decode(rest_, output_.data() + filled, output_.size() - filled));
    filled += made;
    if (made > 0 || rest_.size() < before || !input_ended_) continue;
    if (!decoder_->complete()) return damaged("it ends in the middle of its compressed stream");
    break;
  }
  const std::string_view bytes(output_.data(), filled);
  TRY(account(bytes));
  return bytes;
}

LayerStream::Digests LayerStream::digests() {
  std::string digest = "sha256:" + blob_.hex();
  std::string diff_id = plain_ ? digest : "sha256:" + tar_.hex();
  return {.digest = std::move(digest), .diff_id = std::move(diff_id), .bytes = read_};
}

}  // namespace casemate
