#include "apps/image/naming.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/catalogue.h"

namespace casemate {
namespace {

constexpr std::size_t kLeastDigits = 6;
constexpr std::size_t kShownDigits = 12;
constexpr std::string_view kAlgorithm = "sha256:";

bool names_transport(std::string_view text) {
  for (const std::string_view prefix : {"docker:", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:", "host:"}) {
    if (text.starts_with(prefix)) return true;
  }
  return false;
}

// What a name without a transport may have been meant for; "" for nothing. A file or directory of that name must look like a path: "python"
// is docker's, whatever lies here.
std::string meant_by(const std::string& text) {
  struct stat info{};
  const bool path = text.starts_with('/') || text.starts_with('.') || text.ends_with('/');
  if (path && ::stat(text.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return (::access((text + "/oci-layout").c_str(), F_OK) == 0 ? "oci:" : "dir:") + text;
    return "oci-archive:" + text + " or docker-archive:" + text;
  }
  const std::string registry = "docker://" + text;
  return parse_image_reference(registry) ? registry : "";
}

bool has_digits(std::string_view digest, std::string_view digits) {
  return digest.starts_with(kAlgorithm) && digest.substr(kAlgorithm.size()).starts_with(digits);
}

}  // namespace

Result<ImageReference> read_image_name(std::string_view text) {
  auto reference = parse_image_reference(text);
  if (reference || text.empty() || names_transport(text)) return reference;
  const std::string meant = meant_by(std::string(text));
  if (meant.empty()) return reference;
  return fail(ErrorCode::invalid_input, fmt::format("image {}: did you mean {}?", in_quotes(text), meant));
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
  const bool hex =
      digits.size() >= kLeastDigits && digits.size() <= 64 && digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
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
  TRY_ASSIGN(const ImageReference typed, read_image_name(text));
  TRY_ASSIGN(const ImageReference reference, absolute(typed));
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
