#include "command/naming.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/catalogue.h"

namespace casemate {
namespace {

constexpr std::size_t kLeastDigits = 6;
constexpr std::size_t kShownDigits = 12;
constexpr std::string_view kAlgorithm = "sha256:";

bool has_digits(std::string_view digest, std::string_view digits) {
  return digest.starts_with(kAlgorithm) && digest.substr(kAlgorithm.size()).starts_with(digits);
}

bool is_hex(std::string_view text) { return text.size() <= 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

bool names_transport(std::string_view text) {
  for (const std::string_view prefix : {"docker:", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:", "host:"}) {
    if (text.starts_with(prefix)) return true;
  }
  return false;
}

std::string as_archive(const std::string& text) { return "docker-archive:" + text + " or oci-archive:" + text; }

bool is_tar_name(std::string_view text) { return text.ends_with(".tar") || text.ends_with(".tgz") || text.find(".tar.") != text.npos; }

// What a name without a transport may have been meant for; "" for nothing. What lies on the disk under a name that does not look like a
// path may have nothing to do with it: somebody's directory "python" beside docker's image.
std::string meant_by(const std::string& text) {
  struct stat info{};
  const bool path = text.starts_with('/') || text.starts_with('.') || text.ends_with('/');
  const bool there = ::stat(text.c_str(), &info) == 0;
  const std::string registry = path || !parse_image_reference("docker://" + text) ? "" : "docker://" + text;
  const std::string others = registry.empty() ? "" : " or " + registry;
  if (there && S_ISDIR(info.st_mode)) {
    if (::access((text + "/oci-layout").c_str(), F_OK) == 0) return "oci:" + text;
    return "dir:" + text + others;
  }
  if (is_tar_name(text)) return as_archive(text);
  return there && S_ISREG(info.st_mode) ? as_archive(text) + others : registry;
}

// "NAME@0472772e8d5f", as `casemate image list` shows a reference with a digest: the name, and the digits; nullopt for anything else.
std::optional<std::pair<ImageReference, std::string_view>> named_by_digits(std::string_view text) {
  const auto at = text.rfind('@');
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view digits = text.substr(at + 1);
  if (digits.starts_with(kAlgorithm)) digits.remove_prefix(kAlgorithm.size());
  if (!is_hex(digits) || digits.size() < kLeastDigits) return std::nullopt;
  auto name = parse_image_reference(text.substr(0, at));
  if (!name || name->kind != ImageReference::Kind::registry) return std::nullopt;
  return std::pair(std::move(*name), digits);
}

// Those of one repository: what was pulled by the digest alone, if there is any, else what a tag names.
Result<std::vector<StoredImage>> by_name_and_digits(const std::vector<StoredImage>& all, const ImageReference& name,
                                                    std::string_view digits, std::string_view text) {
  std::vector<StoredImage> pinned, tagged;
  std::set<std::string> digests;
  for (const StoredImage& image : all) {
    if (image.reference.kind != ImageReference::Kind::registry || image.reference.name != name.name) continue;
    if (!has_digits(image.digest, digits) && !has_digits(image.reference.digest, digits)) continue;
    (is_pinned(image.reference) ? pinned : tagged).push_back(image);
    digests.insert(image.digest);
  }
  if (digests.size() > 1)
    return fail(ErrorCode::invalid_input, fmt::format("{} means {} images; give more digits", in_quotes(text), digests.size()));
  return pinned.empty() ? tagged : pinned;
}

}  // namespace

Result<ImageReference> read_image_name(std::string_view text) {
  auto reference = parse_image_reference(text);
  if (reference || text.empty() || names_transport(text)) return reference;
  const std::string meant = meant_by(std::string(text));
  if (meant.empty()) return reference;
  return fail(ErrorCode::invalid_input, fmt::format("image {}: did you mean {}?", in_quotes(text), meant));
}

Result<ImageReference> read_export_target(std::string_view text) {
  auto reference = parse_image_reference(text);
  using Kind = ImageReference::Kind;
  if (reference && (reference->kind == Kind::oci_layout || reference->kind == Kind::oci_archive || reference->kind == Kind::docker_archive))
    return reference;
  if (!reference && names_transport(text)) return reference;
  constexpr std::string_view kTargets = "an image is exported to oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG]";
  if (reference || text.empty()) return fail(ErrorCode::invalid_input, fmt::format("{}: {}", in_quotes(text), kTargets));
  const std::string name(text);
  return fail(ErrorCode::invalid_input,
              fmt::format("{}: did you mean {}?", in_quotes(text), is_tar_name(name) ? as_archive(name) : "oci:" + name));
}

Result<Platform> parse_platform(std::string_view text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back() += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
  }
  const bool odd = std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
    return part.empty() || part.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") != std::string::npos;
  });
  if (odd || parts.size() < 2 || parts.size() > 3)
    return fail(ErrorCode::invalid_input,
                fmt::format("platform {}: write OS/ARCHITECTURE[/VARIANT], for example linux/arm64/v8", in_quotes(text)));
  Platform platform{parts[0], parts[1], parts.size() == 3 ? parts[2] : ""};
  if (platform.architecture == "x86_64") platform.architecture = "amd64";
  if (platform.architecture == "aarch64") platform.architecture = "arm64";
  return platform;
}

Result<std::vector<StoredImage>> images_named(const std::vector<StoredImage>& all, std::string_view text) {
  const std::string_view digits = text.starts_with(kAlgorithm) ? text.substr(kAlgorithm.size()) : text;
  const bool hex = digits.size() >= kLeastDigits && is_hex(digits);
  std::vector<StoredImage> found;
  if (hex) {
    std::set<std::string> manifests;
    for (const StoredImage& image : all) {
      if (!has_digits(image.digest, digits) && !has_digits(image.manifest_digest, digits)) continue;
      manifests.insert(image.digest);
      found.push_back(image);
    }
    if (manifests.size() > 1)
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} are the first digits of {} images; give more of them", in_quotes(text), manifests.size()));
    if (!found.empty() || text.starts_with(kAlgorithm)) return found;
  }
  if (const auto pinned = named_by_digits(text)) return by_name_and_digits(all, pinned->first, pinned->second, text);
  auto typed = read_image_name(text);
  const bool few_digits = !typed && !digits.empty() && is_hex(digits) && digits.find_first_of("0123456789") != std::string_view::npos;
  if (few_digits && digits.size() < kLeastDigits)
    return fail(ErrorCode::invalid_input, fmt::format("{}: of a digest give {} digits at least", in_quotes(text), kLeastDigits));
  if (!typed) return std::unexpected(std::move(typed.error()));
  TRY_ASSIGN(const ImageReference reference, absolute(*typed));
  for (const StoredImage& image : all) {
    if (image.reference == reference) found.push_back(image);
  }
  return found;
}

std::string short_digest(std::string_view digest) {
  if (digest.starts_with(kAlgorithm)) digest.remove_prefix(kAlgorithm.size());
  return std::string(digest.substr(0, kShownDigits));
}

std::uint64_t blob_bytes(const StoredImage& image) {
  std::uint64_t bytes = 0;
  for (const StoredLayer& layer : image.layers) bytes += layer.size;
  return bytes;
}

}  // namespace casemate
