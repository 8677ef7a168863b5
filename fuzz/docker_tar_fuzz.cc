// An archive that a daemon sent: read in one piece or in many it is the same, entries begin and end in turn and have the bytes that they
// say, and what of it we would send is read as the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "docker/tar.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

struct Read {
  struct Entry {
    TarEntry head;
    std::uint64_t bytes = 0;
    bool ended = false;
    bool operator==(const Entry& other) const {
      return head.type == other.head.type && head.path == other.head.path && head.link_target == other.head.link_target &&
             head.size == other.head.size && head.mode == other.head.mode && bytes == other.bytes && ended == other.ended;
    }
  };
  std::vector<Entry> entries;
  std::string contents;
  bool good = true, whole = false;
  bool operator==(const Read&) const = default;
};

Read read(std::string_view bytes, std::size_t piece) {
  Read result;
  TarReader reader({.begin =
                        [&](const TarEntry& entry) {
                          require(result.entries.empty() || result.entries.back().ended);
                          require(!entry.path.contains('\0') && !entry.link_target.contains('\0') && (entry.mode & ~07777u) == 0);
                          require(entry.modified.tv_nsec >= 0 && entry.modified.tv_nsec < 1'000'000'000);
                          result.entries.push_back({.head = entry});
                          return Result<void>();
                        },
                    .bytes =
                        [&](std::string_view some) {
                          require(!result.entries.empty() && !result.entries.back().ended && !some.empty());
                          result.entries.back().bytes += some.size();
                          result.contents += some;
                          return Result<void>();
                        },
                    .end =
                        [&] {
                          Read::Entry& last = result.entries.back();
                          require(!last.ended && (last.head.type != TarEntry::Type::file || last.bytes == last.head.size));
                          last.ended = true;
                          return Result<void>();
                        }});
  for (; !bytes.empty() && result.good; bytes.remove_prefix(std::min(piece, bytes.size())))
    result.good = reader.feed(bytes.substr(0, piece)).has_value();
  result.whole = result.good && reader.finish().has_value();
  require(!result.whole || result.entries.empty() || result.entries.back().ended);
  return result;
}

void write_and_read_again(TarEntry entry) {
  entry.size %= 4096;
  const bool file = entry.type == TarEntry::Type::file;
  const Read again = read(tar_head(entry) + (file ? std::string(entry.size, 'x') + tar_padding(entry.size) : "") + tar_end(), 512);
  require(again.whole && again.entries.size() == 1);
  const TarEntry& same = again.entries[0].head;
  require(same.path == entry.path && same.link_target == entry.link_target && same.mode == entry.mode);
  require(entry.type == TarEntry::Type::other || same.type == entry.type);
  require(!file || same.size == entry.size);
}

// What looks like a head gets the sum that fits, which nobody finds by chance.
std::string with_sums(std::string bytes) {
  for (std::size_t at = 0; at + 512 <= bytes.size(); at += 512) {
    if (bytes.compare(at + 257, 5, "ustar") != 0) continue;
    bytes.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (std::size_t i = at; i < at + 512; ++i) sum += static_cast<unsigned char>(bytes[i]);
    for (std::size_t digit = 6; digit-- > 0; sum >>= 3) bytes[at + 148 + digit] = static_cast<char>('0' + (sum & 7));
    bytes[at + 154] = 0;
  }
  return bytes;
}

void look(std::string_view bytes) {
  const Read whole = read(bytes, bytes.size());
  require(whole == read(bytes, 300));
  require(whole.contents.size() <= bytes.size());
  for (const Read::Entry& entry : whole.entries) write_and_read_again(entry.head);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  look(bytes);
  look(with_sums(std::string(bytes)));
  return 0;
}
