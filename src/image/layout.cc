#include "image/layout.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "image/document.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::size_t kMarkerLimit = 64u << 10;
constexpr std::size_t kListedTags = 20;
constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";

std::string path_of(std::string_view digest) { return fmt::format("blobs/sha256/{}", digest.substr(digest.find(':') + 1)); }

// A regular file of the layout, and its size. `what` names it in errors.
struct SizedFile {
  UniqueFd fd;
  std::uint64_t size = 0;
};
Result<SizedFile> open_regular(int directory, const std::string& path, const std::string& what) {
  auto fd = open_beneath(directory, path, O_RDONLY);
  if (!fd) {
    const int number = fd.error();
    if (number == ENOENT || number == ENOTDIR) return fail(ErrorCode::not_found, fmt::format("{} is missing", what), number);
    if (number == ELOOP || number == EXDEV)
      return fail(ErrorCode::refused, fmt::format("{} lies behind a symlink or mount point, which is not followed", what), number);
    return fail_errno(fmt::format("open {}", what), number);
  }
  struct stat info{};
  if (::fstat(fd->get(), &info) < 0) return fail_errno(fmt::format("look at {}", what));
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::refused, fmt::format("{} is no regular file", what));
  return SizedFile{std::move(*fd), static_cast<std::uint64_t>(info.st_size)};
}

Result<std::string> read_document(int directory, const std::string& path, std::size_t limit) {
  TRY_ASSIGN(const SizedFile file, open_regular(directory, path, path));
  if (file.size > limit) return fail(ErrorCode::invalid_input, fmt::format("{} has {} bytes; at most {} are read", path, file.size, limit));
  auto bytes = read_all(file.fd.get(), limit);
  if (!bytes) return fail(bytes.error().code, fmt::format("{}: {}", path, bytes.error().what), bytes.error().errno_value);
  return bytes;
}

Result<void> check_marker(int directory) {
  auto bytes = read_document(directory, "oci-layout", kMarkerLimit);
  if (!bytes && bytes.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::not_found, "this is no OCI image layout: it has no file oci-layout");
  }
  TRY(bytes);
  TRY_ASSIGN(const nlohmann::json json, parse_document(*bytes, "oci-layout"));
  TRY_ASSIGN(const Fields fields, Fields::of(json, "oci-layout"));
  TRY_ASSIGN(const std::string version, fields.text("imageLayoutVersion"));
  if (version.starts_with("1.")) return {};
  return fail(ErrorCode::not_supported, fmt::format("this is an OCI image layout of version {}; casemate reads 1.0.0", in_quotes(version)));
}

Result<ImageIndex> read_index(int directory) {
  TRY_ASSIGN(const std::string bytes, read_document(directory, "index.json", kDocumentLimit));
  auto document = parse_manifest(bytes, kIndexType);
  if (!document) return fail(document.error().code, fmt::format("index.json: {}", document.error().what));
  return std::get<ImageIndex>(std::move(*document));
}

// "'3.10', '3.11' and 4 more".
std::string listed(const std::vector<std::string>& names) {
  std::vector<std::string> safe;
  for (const std::string& name : names) {
    if (safe.size() < kListedTags) safe.push_back(in_quotes(name));
  }
  return fmt::format("{}{}", fmt::join(safe, ", "),
                     names.size() > safe.size() ? fmt::format(" and {} more", names.size() - safe.size()) : "");
}

std::vector<std::string> tags_of(const ImageIndex& index) {
  std::vector<std::string> tags;
  for (const Descriptor& manifest : index.manifests) {
    if (!manifest.name.empty() && std::find(tags.begin(), tags.end(), manifest.name) == tags.end()) tags.push_back(manifest.name);
  }
  return tags;
}

std::string blob_name(const std::string& digest) { return "blob " + digest; }

}  // namespace

Result<ImageLayout> ImageLayout::open(const std::string& directory) {
  const std::string name = in_quotes("oci:" + directory);
  const auto named = [&](const Error& error) {
    return fail(error.code, fmt::format("image layout {}: {}", name, error.what), error.errno_value, error.where);
  };
  UniqueFd fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return named(fail_errno("open the directory").error());
  if (auto marked = check_marker(fd.get()); !marked) return named(marked.error());
  auto index = read_index(fd.get());
  if (!index) return named(index.error());
  return ImageLayout(name, std::move(fd), std::move(*index));
}

Result<UniqueFd> ImageLayout::open_blob(const std::string& digest, std::uint64_t size) const {
  TRY(check_digest(digest));  // it becomes a path
  TRY_ASSIGN(SizedFile file, open_regular(directory_.get(), path_of(digest), blob_name(digest)));
  if (file.size == size) return std::move(file.fd);
  return fail(ErrorCode::corrupt, fmt::format("{} has {} bytes, but {} were to be there", blob_name(digest), file.size, size));
}

Result<std::string> ImageLayout::read_blob(const Descriptor& descriptor) const {
  if (descriptor.size > kDocumentLimit) {
    return fail(ErrorCode::invalid_input, fmt::format("{} has {} bytes; at most {} of a document are read", blob_name(descriptor.digest),
                                                      descriptor.size, kDocumentLimit));
  }
  TRY_ASSIGN(const UniqueFd fd, open_blob(descriptor.digest, descriptor.size));
  auto bytes = read_all(fd.get(), kDocumentLimit);
  if (!bytes)
    return fail(bytes.error().code, fmt::format("{}: {}", blob_name(descriptor.digest), bytes.error().what), bytes.error().errno_value);
  if (bytes->size() == descriptor.size && "sha256:" + sha256_hex(*bytes) == descriptor.digest) return bytes;
  return fail(ErrorCode::corrupt, blob_name(descriptor.digest) + " is damaged: its bytes have another digest");
}

Result<UniqueFd> ImageLayout::open_layer(const std::string& digest, std::uint64_t size) const {
  auto fd = open_blob(digest, size);
  if (!fd) return fail(fd.error().code, fmt::format("image layout {}: {}", name_, fd.error().what), fd.error().errno_value);
  return fd;
}

Result<void> ImageLayout::verify(const Image& image) const {
  for (const ImageLayer& layer : image.layers) {
    TRY_ASSIGN(const UniqueFd fd, open_layer(layer.digest, layer.size));
    TRY_ASSIGN(const std::string hex, sha256_hex_of_fd(fd.get()));
    if ("sha256:" + hex != layer.digest) {
      return fail(ErrorCode::corrupt,
                  fmt::format("image layout {}: {} is damaged: its bytes have another digest", name_, blob_name(layer.digest)));
    }
  }
  return {};
}

Result<Descriptor> ImageLayout::entry(const ImageReference& wanted, const Platform& platform) const {
  ImageIndex meant;
  for (const Descriptor& manifest : index_.manifests) {
    const bool named = !wanted.digest.empty() ? manifest.digest == wanted.digest : wanted.tag.empty() || manifest.name == wanted.tag;
    const bool known = std::any_of(meant.manifests.begin(), meant.manifests.end(),
                                   [&](const Descriptor& other) { return other.digest == manifest.digest; });
    if (named && !known) meant.manifests.push_back(manifest);
  }
  if (meant.manifests.empty()) {
    const std::vector<std::string> tags = tags_of(index_);
    const std::string there =
        tags.empty() ? fmt::format("it has {} images and no tags", index_.manifests.size()) : "its tags: " + listed(tags);
    if (!wanted.digest.empty()) return fail(ErrorCode::not_found, fmt::format("it has no image {}; {}", wanted.digest, there));
    if (!wanted.tag.empty()) return fail(ErrorCode::not_found, fmt::format("it has no image tagged {}; {}", in_quotes(wanted.tag), there));
    return fail(ErrorCode::not_found, "it has no images");
  }
  if (meant.manifests.size() == 1) return meant.manifests.front();
  if (const std::vector<std::string> tags = tags_of(meant); tags.size() > 1) {
    return fail(ErrorCode::invalid_input, fmt::format("it has {} images: name one by its tag: {}", meant.manifests.size(), listed(tags)));
  }
  TRY_ASSIGN(Descriptor chosen, choose_manifest(meant, platform));
  const auto alike = std::count_if(meant.manifests.begin(), meant.manifests.end(),
                                   [&](const Descriptor& other) { return other.platform == chosen.platform; });
  if (alike > 1) return fail(ErrorCode::invalid_input, fmt::format("{} of its images could be meant: name one by :@sha256:HEX", alike));
  return chosen;
}

Result<Image> ImageLayout::read_image(const ImageReference& wanted, const Platform& platform) const {
  TRY_ASSIGN(const Descriptor start, entry(wanted, platform));
  const ReadBlob read = [this](const Descriptor& descriptor) { return read_blob(descriptor); };
  TRY_ASSIGN(const ResolvedManifest resolved, resolve_manifest(start, platform, read));
  Image image;
  image.manifest_digest = resolved.descriptor.digest;
  image.config_digest = resolved.manifest.config.digest;
  image.manifest = resolved.descriptor;
  image.config_document = resolved.manifest.config;
  TRY_ASSIGN(image.config, read_image_config(resolved.manifest, platform, read));
  image.layers.reserve(resolved.manifest.layers.size());
  for (const LayerDescriptor& layer : resolved.manifest.layers) {
    const Descriptor& blob = layer.blob;
    TRY(open_blob(blob.digest, blob.size));
    image.layers.push_back(
        {blob.digest, image.config.diff_ids[image.layers.size()], blob.media_type, layer.compression, blob.size, path_of(blob.digest)});
  }
  return image;
}

Result<Image> ImageLayout::image(const ImageReference& wanted, const Platform& platform) const {
  auto image = read_image(wanted, platform);
  if (image) return image;
  return fail(image.error().code, fmt::format("image layout {}: {}", name_, image.error().what), image.error().errno_value);
}

}  // namespace casemate
