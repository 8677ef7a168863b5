// layer_tar: tars made byte by byte, so that a test can say what no honest program writes.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

namespace casemate {

/// One header of a ustar; what is empty is left zero.
struct TarEntry {
  std::string name;
  char type = '0';
  std::string content;
  std::string link;
  unsigned mode = 0644;
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::int64_t mtime = 1'600'000'000;
  unsigned major = 0;
  unsigned minor = 0;
  std::string raw_size;                                  ///< the 12 bytes of the size field, instead of content's
  std::vector<std::pair<std::string, std::string>> pax;  ///< records of a pax header before it
};

/// A tar that grows entry by entry.
class LayerTar {
 public:
  LayerTar& add(const TarEntry& entry) {
    if (!entry.pax.empty()) {
      std::string records;
      for (const auto& [key, value] : entry.pax) records += pax_record(key, value);
      header({.name = "pax", .type = 'x', .content = records});
    }
    // GNU's way of longer names.
    if (entry.name.size() > 100) header({.name = "././@LongLink", .type = 'L', .content = entry.name + '\0'});
    if (entry.link.size() > 100) header({.name = "././@LongLink", .type = 'K', .content = entry.link + '\0'});
    header(entry);
    return *this;
  }
  LayerTar& file(const std::string& name, const std::string& content = "text") { return add({.name = name, .content = content}); }
  LayerTar& directory(const std::string& name, unsigned mode = 0755) { return add({.name = name, .type = '5', .mode = mode}); }
  LayerTar& symlink(const std::string& name, const std::string& target) { return add({.name = name, .type = '2', .link = target}); }
  LayerTar& hard_link(const std::string& name, const std::string& target) { return add({.name = name, .type = '1', .link = target}); }
  LayerTar& whiteout(const std::string& name) { return file(name, ""); }
  LayerTar& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }

  /// With the two blocks of zeros at the end.
  [[nodiscard]] std::string bytes() const { return bytes_ + std::string(1024, '\0'); }

  static std::string pax_record(const std::string& key, const std::string& value) {
    const std::string rest = " " + key + "=" + value + "\n";
    std::size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    return std::to_string(length) + rest;
  }
  /// Sets the checksum of a raw header.
  static void seal(char* block) {
    std::memset(block + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; ++i) sum += static_cast<unsigned char>(block[i]);
    std::memcpy(block + 148, fmt::format("{:06o}", sum).c_str(), 7);
  }
  static std::string header_block(const TarEntry& entry) {
    std::string block(512, '\0');
    const auto put = [&](std::size_t at, std::size_t room, const std::string& text) {
      std::memcpy(block.data() + at, text.data(), std::min(room, text.size()));
    };
    put(0, 100, entry.name);
    put(100, 8, fmt::format("{:07o}", entry.mode));
    number(block.data() + 108, 8, entry.uid);
    number(block.data() + 116, 8, entry.gid);
    put(124, 12, entry.raw_size.empty() ? fmt::format("{:011o}", entry.content.size()) : entry.raw_size);
    number(block.data() + 136, 12, entry.mtime);
    block[156] = entry.type;
    put(157, 100, entry.link);
    put(257, 8, std::string("ustar\00000", 8));
    put(329, 8, fmt::format("{:07o}", entry.major));
    put(337, 8, fmt::format("{:07o}", entry.minor));
    seal(block.data());
    return block;
  }

 private:
  // Octal, and base-256 where that has no room or no sign.
  static void number(char* at, std::size_t room, std::int64_t value) {
    if (value >= 0 && value < (std::int64_t{1} << (3 * (room - 1)))) {
      const std::string text = fmt::format("{:0{}o}", value, room - 1);
      std::memcpy(at, text.data(), text.size());
      return;
    }
    for (std::size_t i = room; i-- > 0; value >>= 8) at[i] = static_cast<char>(value & 0xff);
    at[0] = static_cast<char>(static_cast<unsigned char>(at[0]) | 0x80);
  }
  void header(const TarEntry& entry) {
    bytes_ += header_block(entry);
    bytes_ += entry.content;
    bytes_.resize((bytes_.size() + 511) / 512 * 512, '\0');
  }

  std::string bytes_;
};

/// One gzip member.
inline std::string gzip(const std::string& bytes) {
  z_stream stream{};
  ::deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

/// One zstd frame.
inline std::string zstd(const std::string& bytes) {
  std::string out(::ZSTD_compressBound(bytes.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

}  // namespace casemate
