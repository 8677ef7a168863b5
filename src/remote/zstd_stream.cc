#include "remote/zstd_stream.h"

#include <algorithm>
#include <new>

#include <zstd.h>

namespace casemate {
namespace {

constexpr int kLevel = 1;
constexpr std::size_t kSample = 64u << 10;
constexpr int kMostWindow = 27;  // 128 MiB, zstd's own limit (ZSTD_WINDOWLOG_LIMIT_DEFAULT)

}  // namespace

void ZstdCompression::Free::operator()(void* context) const { ZSTD_freeCCtx(static_cast<ZSTD_CCtx*>(context)); }
void ZstdExpansion::Free::operator()(void* context) const { ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(context)); }

ZstdCompression::ZstdCompression() : context_(ZSTD_createCCtx()) {
  if (!context_) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(static_cast<ZSTD_CCtx*>(context_.get()), ZSTD_c_compressionLevel, kLevel);
}

void ZstdCompression::add(std::string_view bytes, bool last, std::string& out) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (;;) {
    const std::size_t before = out.size();
    out.resize(before + ZSTD_CStreamOutSize());
    ZSTD_outBuffer room{out.data() + before, out.size() - before, 0};
    const std::size_t left = ZSTD_compressStream2(static_cast<ZSTD_CCtx*>(context_.get()), &room, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    out.resize(before + room.pos);
    // Of these calls none fails but for want of memory (zstd.h): what is then missing the engine's digest shows.
    if (ZSTD_isError(left)) return;
    if (last ? left == 0 : in.pos == in.size) return;
  }
}

ZstdExpansion::ZstdExpansion() : context_(ZSTD_createDCtx()) {
  if (!context_) throw std::bad_alloc();
  ZSTD_DCtx_setParameter(static_cast<ZSTD_DCtx*>(context_.get()), ZSTD_d_windowLogMax, kMostWindow);
}

Result<void> ZstdExpansion::add(std::string_view bytes, std::uint64_t most, std::string& out) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::string piece(ZSTD_DStreamOutSize(), '\0');
  for (;;) {
    ZSTD_outBuffer room{piece.data(), piece.size(), 0};
    const std::size_t left = ZSTD_decompressStream(static_cast<ZSTD_DCtx*>(context_.get()), &room, &in);
    if (ZSTD_isError(left)) return fail(ErrorCode::corrupt, std::string("no Zstandard: ") + ZSTD_getErrorName(left));
    if (room.pos > most) return fail(ErrorCode::corrupt, "compressed content is longer than its digest says");
    out.append(piece, 0, room.pos);
    most -= room.pos;
    if (in.pos == in.size && room.pos < room.size) return {};
  }
}

bool shrinks(std::string_view beginning) {
  if (beginning.size() < 512) return false;
  beginning = beginning.substr(0, kSample);
  return zstd_compressed(beginning).size() < beginning.size() - beginning.size() / 10;
}

std::string zstd_compressed(std::string_view bytes) {
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size = ZSTD_compress(frame.data(), frame.size(), bytes.data(), bytes.size(), kLevel);
  frame.resize(ZSTD_isError(size) ? 0 : size);
  return frame;
}

}  // namespace casemate
