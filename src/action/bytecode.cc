#include "action/bytecode.h"

#include <algorithm>

namespace casemate {
namespace {

constexpr std::string_view kSuffix = ".pyc";
constexpr std::string_view kOptimised = "opt-";
constexpr char kUncheckedHash = 1;  // flags: bit 0 for a hash, bit 1 for comparing it with the source

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

bool is_word(std::string_view text, std::string_view others) {
  return !text.empty() &&
         std::ranges::all_of(text, [&](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || others.contains(c); });
}

}  // namespace

std::optional<std::string> source_of_bytecode(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  const std::size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos) return std::nullopt;
  std::string_view tag = name.substr(dot + 1);
  if (const std::size_t second = tag.find('.'); second != std::string_view::npos) {
    const std::string_view optimised = tag.substr(second + 1);
    if (!optimised.starts_with(kOptimised) || !is_word(optimised.substr(kOptimised.size()), "")) return std::nullopt;
    tag = tag.substr(0, second);
  }
  if (!is_word(tag, "-") || tag.contains("pytest")) return std::nullopt;
  return std::string(name.substr(0, dot)) + ".py";
}

std::uint64_t source_word(const struct stat& source) {
  return static_cast<std::uint32_t>(source.st_mtim.tv_sec) | std::uint64_t{static_cast<std::uint32_t>(source.st_size)} << 32;
}

std::optional<std::string> header_without_time(std::string_view header, std::uint64_t source) {
  if (header.size() != kBytecodeHeader) return std::nullopt;
  const std::uint64_t said = little_endian(header.substr(8)) | std::uint64_t{little_endian(header.substr(12))} << 32;
  return said == source ? header_without_time(header) : std::nullopt;
}

std::optional<std::string> header_without_time(std::string_view header) {
  if (header.size() != kBytecodeHeader || header.substr(2, 2) != "\r\n" || little_endian(header.substr(4)) != 0) return std::nullopt;
  std::string bytes(header.substr(0, 4));
  bytes += kUncheckedHash;
  bytes.resize(kBytecodeHeader, '\0');
  return bytes;
}

}  // namespace casemate
