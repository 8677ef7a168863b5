#include "docker/tar.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace casemate {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kLongestHead = 1u << 20;

std::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::corrupt, fmt::format("the archive that the daemon sent can't be read: {}", what));
}

std::string_view text(std::string_view field) { return field.substr(0, field.find('\0')); }

// Octal, or with the first bit set a number in base 256 (GNU).
std::optional<std::uint64_t> number(std::string_view field) {
  std::uint64_t value = 0;
  if (!field.empty() && (static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    if ((static_cast<unsigned char>(field[0]) & 0x40) != 0) return 0;  // negative: a time before 1970
    for (std::size_t i = 0; i < field.size(); ++i) {
      if (value >> 55 != 0) return std::nullopt;
      const auto byte = static_cast<unsigned char>(field[i]);
      value = value << 8 | (i == 0 ? byte & 0x7fu : byte);
    }
    return value;
  }
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  field = field.substr(0, std::min(field.find('\0'), field.find(' ')));
  if (field.empty()) return 0;
  const auto [end, problem] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (problem != std::errc() || end != field.data() + field.size()) return std::nullopt;
  return value;
}

TarEntry::Type type_of(char flag) {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
      return TarEntry::Type::file;
    case '1':
      return TarEntry::Type::hard_link;
    case '2':
      return TarEntry::Type::symlink;
    case '3':
      return TarEntry::Type::character;
    case '4':
      return TarEntry::Type::block;
    case '5':
      return TarEntry::Type::directory;
    case '6':
      return TarEntry::Type::fifo;
    default:
      return TarEntry::Type::other;
  }
}

// "1700000000.25"
timespec pax_time(std::string_view value) {
  timespec time{};
  long long seconds = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (problem != std::errc()) return time;
  time.tv_sec = seconds;
  std::string_view fraction = value.substr(static_cast<std::size_t>(end - value.data()));
  if (fraction.empty() || fraction[0] != '.' || seconds < 0) return time;
  long scale = 100'000'000;
  for (const char digit : fraction.substr(1)) {
    if (digit < '0' || digit > '9' || scale == 0) break;
    time.tv_nsec += (digit - '0') * scale;
    scale /= 10;
  }
  return time;
}

void put_octal(std::string& head, std::size_t at, std::size_t width, std::uint64_t value) {
  const std::string digits = fmt::format("{:0{}o}", value, width - 1);
  if (digits.size() == width - 1) std::memcpy(head.data() + at, digits.data(), digits.size());
}

void put_text(std::string& head, std::size_t at, std::size_t width, std::string_view value) {
  std::memcpy(head.data() + at, value.data(), std::min(width, value.size()));
}

// "<length> key=value\n", where the length counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  std::size_t length = key.size() + value.size() + 3;
  for (std::size_t digits = 0; digits != std::to_string(length).size();) {
    digits = std::to_string(length).size();
    length = key.size() + value.size() + 3 + digits;
  }
  return fmt::format("{} {}={}\n", length, key, value);
}

std::string plain_head(const TarEntry& entry, char flag, std::uint64_t size) {
  std::string head(kBlock, '\0');
  put_text(head, 0, 100, entry.path);
  put_octal(head, 100, 8, entry.mode & 07777);
  put_octal(head, 108, 8, entry.uid);
  put_octal(head, 116, 8, entry.gid);
  put_octal(head, 124, 12, size);
  put_octal(head, 136, 12, static_cast<std::uint64_t>(std::max<time_t>(entry.modified.tv_sec, 0)));
  put_text(head, 157, 100, entry.link_target);
  head[156] = flag;
  put_text(head, 257, 8, std::string_view("ustar\00000", 8));
  put_text(head, 148, 8, "        ");
  unsigned sum = 0;
  for (const char byte : head) sum += static_cast<unsigned char>(byte);
  put_text(head, 148, 8, fmt::format("{:06o}", sum) + '\0' + ' ');
  return head;
}

}  // namespace

Result<void> TarReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    switch (part_) {
      case Part::head: {
        const std::size_t count = std::min(kBlock - block_.size(), bytes.size());
        block_.append(bytes.substr(0, count));
        bytes.remove_prefix(count);
        if (block_.size() == kBlock) TRY(head());
        break;
      }
      case Part::extension:
      case Part::body: {
        const auto piece = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
        bytes.remove_prefix(piece.size());
        left_ -= piece.size();
        if (part_ == Part::body) {
          TRY(hears_.bytes(piece));
        } else {
          block_.append(piece);
        }
        if (left_ == 0) TRY(part_ == Part::body ? end_entry() : extended());
        break;
      }
      case Part::padding: {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(padding_, bytes.size()));
        bytes.remove_prefix(count);
        padding_ -= count;
        if (padding_ == 0) part_ = Part::head;
        break;
      }
      case Part::done:
        return {};
    }
  }
  return {};
}

Result<void> TarReader::finish() const {
  if (part_ == Part::done || (part_ == Part::head && block_.empty())) return {};
  return damaged("it broke off");
}

Result<void> TarReader::head() {
  const std::string block = std::move(block_);
  block_.clear();
  if (block.find_first_not_of('\0') == std::string::npos) {
    part_ = Part::done;
    return {};
  }
  const std::string_view view = block;
  unsigned sum = 8 * ' ';
  for (std::size_t i = 0; i < kBlock; ++i) {
    if (i < 148 || i >= 156) sum += static_cast<unsigned char>(view[i]);
  }
  if (number(view.substr(148, 8)) != sum) return damaged("the sum of a head is wrong");
  const auto size = number(view.substr(124, 12));
  const auto mode = number(view.substr(100, 8));
  const auto seconds = number(view.substr(136, 12));
  if (!size || !mode || !seconds || *size >> 62 != 0) return damaged("a head has a number that is none");
  const char flag = view[156];
  if (flag == 'x' || flag == 'g' || flag == 'L' || flag == 'K') {
    if (*size > kLongestHead || *size == 0) return damaged("a head is too long");
    extension_ = flag;
    left_ = *size;
    padding_ = (kBlock - *size % kBlock) % kBlock;
    part_ = Part::extension;
    return {};
  }
  entry_ = TarEntry{};
  entry_.type = type_of(flag);
  entry_.path = text(view.substr(0, 100));
  if (view.substr(257, 6) == std::string_view("ustar\0", 6)) {
    const std::string_view prefix = text(view.substr(345, 155));
    if (!prefix.empty()) entry_.path = std::string(prefix) + "/" + entry_.path;
  }
  entry_.link_target = text(view.substr(157, 100));
  entry_.mode = static_cast<std::uint32_t>(*mode & 07777);
  entry_.size = *size;
  entry_.modified.tv_sec = static_cast<time_t>(*seconds);
  return start_entry();
}

// An extension's block is complete.
Result<void> TarReader::extended() {
  const std::string block = std::move(block_);
  block_.clear();
  part_ = padding_ > 0 ? Part::padding : Part::head;
  if (extension_ == 'g') return {};
  if (extension_ == 'L' || extension_ == 'K') {
    (extension_ == 'L' ? extended_.path : extended_.link_target) = text(block);
    (extension_ == 'L' ? has_path_ : has_link_) = true;
    return {};
  }
  for (std::string_view rest = block; !rest.empty();) {
    std::size_t length = 0;
    const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
    const auto digits = static_cast<std::size_t>(end - rest.data());
    if (problem != std::errc() || length > rest.size() || length < digits + 3 || rest[digits] != ' ' || rest[length - 1] != '\n')
      return damaged("a pax record is none");
    const std::string_view record = rest.substr(digits + 1, length - digits - 2);
    rest.remove_prefix(length);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos) return damaged("a pax record is none");
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    if ((key == "path" || key == "linkpath") && value.find('\0') != std::string_view::npos) return damaged("a name has a NUL byte");
    if (key == "path") has_path_ = true, extended_.path = value;
    if (key == "linkpath") has_link_ = true, extended_.link_target = value;
    if (key == "mtime") has_time_ = true, extended_.modified = pax_time(value);
    if (key == "GNU.sparse.major" || key == "GNU.sparse.map") return damaged("it has sparse files in a way that is not known");
    if (key == "size") {
      has_size_ = true;
      const auto [last, wrong] = std::from_chars(value.data(), value.data() + value.size(), extended_.size);
      if (wrong != std::errc() || extended_.size >> 62 != 0) return damaged("a size is none");
    }
  }
  return {};
}

Result<void> TarReader::start_entry() {
  if (std::exchange(has_path_, false)) entry_.path = extended_.path;
  if (std::exchange(has_link_, false)) entry_.link_target = extended_.link_target;
  if (std::exchange(has_size_, false)) entry_.size = extended_.size;
  if (std::exchange(has_time_, false)) entry_.modified = extended_.modified;
  const std::uint64_t body = entry_.type == TarEntry::Type::file || entry_.type == TarEntry::Type::other ? entry_.size : 0;
  left_ = body;
  padding_ = (kBlock - body % kBlock) % kBlock;
  TRY(hears_.begin(entry_));
  part_ = Part::body;
  return left_ == 0 ? end_entry() : Result<void>();
}

Result<void> TarReader::end_entry() {
  part_ = padding_ > 0 ? Part::padding : Part::head;
  return hears_.end();
}

std::string tar_head(const TarEntry& entry) {
  constexpr std::uint64_t kMostOctal = 077777777777;
  std::string records;
  if (entry.path.size() > 99) records += pax_record("path", entry.path);
  if (entry.link_target.size() > 99) records += pax_record("linkpath", entry.link_target);
  if (entry.size > kMostOctal) records += pax_record("size", std::to_string(entry.size));
  if (entry.modified.tv_nsec != 0) records += pax_record("mtime", fmt::format("{}.{:09}", entry.modified.tv_sec, entry.modified.tv_nsec));
  if (entry.uid > 07777777) records += pax_record("uid", std::to_string(entry.uid));
  if (entry.gid > 07777777) records += pax_record("gid", std::to_string(entry.gid));
  std::string all;
  if (!records.empty()) {
    TarEntry extension;
    extension.path = "PaxHeaders/x";
    extension.mode = 0644;
    all = plain_head(extension, 'x', records.size()) + records + tar_padding(records.size());
  }
  constexpr std::string_view kFlags = "0123456";  // in the order of Type
  const auto flag = kFlags[std::min<std::size_t>(static_cast<std::size_t>(entry.type), kFlags.size() - 1)];
  return all + plain_head(entry, flag == '0' ? '0' : flag, entry.type == TarEntry::Type::file ? entry.size : 0);
}

std::string tar_padding(std::uint64_t size) { return std::string((kBlock - size % kBlock) % kBlock, '\0'); }

std::string tar_end() { return std::string(2 * kBlock, '\0'); }

}  // namespace casemate
