// Images that come into the store under a name, and that leave it as files.
#include <algorithm>
#include <cerrno>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "image/catalogue.h"
#include "image/layout.h"
#include "image/pull.h"
#include "image/skopeo.h"
#include "store/tree.h"
#include "sys/fd.h"

namespace casemate {
namespace {

using Kind = ImageReference::Kind;

std::unexpected<Error> write_failed(const std::string& what, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  return fail(full ? ErrorCode::exhausted : ErrorCode::system, fmt::format("can't write {}: {}", what, std::strerror(error)), error);
}

// ---- in

// Takes what a layout has of an image into the store: it may be gone tomorrow.
Result<void> take_blobs(Store& store, const ImageReference& source, const Platform& platform, ImageRecord& record) {
  TRY_ASSIGN(const ImageLayout layout, ImageLayout::open(source.path));
  TRY_ASSIGN(const Image image, layout.image(source, platform));
  if (image.manifest_digest != record.image.manifest_digest) return fail(ErrorCode::corrupt, "it changed while it was read: try again");
  for (const ImageLayer& layer : image.layers) {
    TRY_ASSIGN(const UniqueFd blob, layout.open_layer(layer.digest, layer.size));
    TRY_ASSIGN(const std::string digest, store.put_blob_of_fd(blob.get()));
    if (digest != layer.digest)
      return fail(ErrorCode::corrupt, fmt::format("blob {} is damaged: its bytes have another digest", layer.digest));
  }
  for (const Descriptor& document : {image.manifest, image.config_document}) {
    TRY_ASSIGN(const std::string bytes, layout.read_blob(document));
    TRY(store.put_blob(bytes));
  }
  record.manifest = image.manifest;
  record.config = image.config_document;
  return {};
}

// ---- out

// The blobs of one image: the store's, kept from eviction, and those that only the image's own layout has.
struct HeldBlob {
  Descriptor blob;
  StoreLease lease;  // empty: `file`
  UniqueFd file;     // not verified: it may change while it is read
};

// What an image of a layout is made of, as long as its directory has it: a pull unpacks it from there, and keeps no blobs.
class Source {
 public:
  static Result<Source> open(const ImageRecord& record) {
    Source source;
    if (record.image.reference.kind != Kind::oci_layout) return source;
    auto layout = ImageLayout::open(record.image.reference.path);
    if (!layout && layout.error().code == ErrorCode::not_found)
      return fail(ErrorCode::not_found,
                  fmt::format("the store has its layers, but no blobs of an image of a layout, and that is gone: {}", layout.error().what));
    if (!layout) return std::unexpected(layout.error());
    TRY_ASSIGN(source.image_, layout->image(record.image.reference, record.image.platform));
    if (source.image_.manifest_digest != record.image.manifest_digest)
      return fail(ErrorCode::not_found, "its layout has another image of this name by now: pull it again");
    source.layout_ = std::move(*layout);
    return source;
  }

  [[nodiscard]] bool is_layout() const { return layout_.has_value(); }
  [[nodiscard]] const Image& image() const { return image_; }
  [[nodiscard]] Result<UniqueFd> file(const Descriptor& blob) const { return layout_->open_layer(blob.digest, blob.size); }

 private:
  std::optional<ImageLayout> layout_;
  Image image_;
};

Result<std::vector<HeldBlob>> hold_blobs(Store& store, const ImageRecord& record) {
  TRY_ASSIGN(const Source source, Source::open(record));
  std::vector<Descriptor> blobs = {record.manifest, record.config};
  if (source.is_layout()) blobs = {source.image().manifest, source.image().config_document};
  for (const StoredLayer& layer : record.image.layers) blobs.push_back({.media_type = "", .digest = layer.digest, .size = layer.size});
  std::vector<HeldBlob> held;
  for (Descriptor& blob : blobs) {
    HeldBlob one{.blob = std::move(blob), .lease = {}, .file = {}};
    if (source.is_layout()) {
      TRY_ASSIGN(one.file, source.file(one.blob));
    } else {
      auto lease = one.blob.digest.empty() ? Result<std::optional<StoreLease>>(std::nullopt) : store.blob(one.blob.digest, true);
      if (!lease && lease.error().code != ErrorCode::corrupt) return std::unexpected(lease.error());
      if (!lease || !*lease)
        return fail(ErrorCode::not_found, "the store no longer has all of its blobs: remove it (casemate image remove) and pull it again");
      one.lease = std::move(**lease);
    }
    held.push_back(std::move(one));
  }
  return held;
}

Result<void> copy_fd(int source, const std::string& to) {
  TRY_ASSIGN(const UniqueFd target, open_file(to, O_WRONLY | O_CREAT | O_EXCL, 0666));
  for (;;) {
    const ssize_t copied = ::copy_file_range(source, nullptr, target.get(), nullptr, 1u << 30, 0);
    if (copied == 0) return {};
    if (copied < 0 && errno == EINTR) continue;
    if (copied > 0) continue;
    if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) return write_failed(to, errno);
    break;
  }
  std::string buffer(256 << 10, '\0');  // file systems that can't do it between them
  for (;;) {
    const ssize_t got = ::read(source, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read what is copied to " + to);
    if (got == 0) return {};
    if (auto written = write_all(target.get(), {buffer.data(), static_cast<std::size_t>(got)}); !written)
      return write_failed(to, written.error().errno_value);
  }
}

Result<void> copy_file(const std::string& from, const std::string& to) {
  TRY_ASSIGN(const UniqueFd source, open_file(from, O_RDONLY));
  return copy_fd(source.get(), to);
}

// Copies it; the copy is what is verified.
Result<void> copy_blob(const HeldBlob& held, const std::string& to) {
  TRY(copy_fd(held.file.get(), to));
  TRY_ASSIGN(const UniqueFd copy, open_file(to, O_RDONLY));
  TRY_ASSIGN(const std::string hex, sha256_hex_of_fd(copy.get()));
  if ("sha256:" + hex == held.blob.digest) return {};
  return fail(ErrorCode::corrupt, fmt::format("blob {} of its layout is damaged: its bytes have another digest", held.blob.digest));
}

// Writes a layout of these blobs into the new directory `path`. `place` puts the store's file of a blob to a path.
Result<void> write_layout(const std::string& path, const std::vector<HeldBlob>& held, const std::string& tag,
                          const std::function<Result<void>(const std::string& from, const std::string& to)>& place) {
  for (const std::string& directory : {path, path + "/blobs", path + "/blobs/sha256"}) {
    if (::mkdir(directory.c_str(), 0777) < 0) return write_failed(directory, errno);
  }
  for (const HeldBlob& one : held) {
    const std::string to = fmt::format("{}/blobs/sha256/{}", path, one.blob.digest.substr(7));
    if (::access(to.c_str(), F_OK) == 0) continue;  // a layer may be there twice
    TRY(one.lease ? place(one.lease.path(), to) : copy_blob(one, to));
  }
  const Descriptor& manifest = held.front().blob;
  nlohmann::json entry = {{"mediaType", manifest.media_type}, {"digest", manifest.digest}, {"size", manifest.size}};
  if (!tag.empty()) entry["annotations"] = {{"org.opencontainers.image.ref.name", tag}};
  const nlohmann::json index = {{"schemaVersion", 2}, {"manifests", {entry}}};
  for (const auto& [name, text] :
       {std::pair<std::string, std::string>{"oci-layout", R"({"imageLayoutVersion":"1.0.0"})"}, {"index.json", index.dump()}}) {
    TRY_ASSIGN(const UniqueFd file, open_file(fmt::format("{}/{}", path, name), O_WRONLY | O_CREAT | O_EXCL, 0666));
    if (auto written = write_all(file.get(), text); !written) return write_failed(name, written.error().errno_value);
  }
  return {};
}

// A name beside the target, under which it is made; removed unless it became the target.
class Draft {
 public:
  explicit Draft(const std::string& target) : target_(target), path_(fmt::format("{}.casemate-{}", target, ::getpid())) {}
  ~Draft() { static_cast<void>(remove_tree(path_)); }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

  // Gives it the target's name, which nobody may have.
  [[nodiscard]] Result<void> publish() const {
    if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (errno == EINVAL) {  // file systems that can't promise that
      if (::access(target_.c_str(), F_OK) != 0 && ::rename(path_.c_str(), target_.c_str()) == 0) return {};
      errno = EEXIST;
    }
    if (errno == EEXIST) return fail(ErrorCode::refused, fmt::format("{} exists already, and is not written over", in_quotes(target_)));
    return write_failed(target_, errno);
  }

 private:
  std::string target_;
  std::string path_;
};

// What skopeo calls the target, which is the file "out" in its directory.
std::string archive_target(const ImageReference& target, const ImageReference& reference) {
  ImageReference named = target;
  named.path = "out";
  if (target.kind == Kind::docker_archive && target.name.empty() && reference.kind == Kind::registry) {
    named.name = reference.name;
    named.tag = reference.tag;
  }
  return to_text(named);
}

Result<void> write_archive(Store& store, const std::vector<HeldBlob>& held, const ImageReference& reference, const ImageReference& target,
                           const Draft& draft) {
  TRY_ASSIGN(const Skopeo skopeo, Skopeo::find({}, std::chrono::seconds(60)));
  TRY_ASSIGN(const std::unique_ptr<StoreTemp> temp, store.make_temp());
  TRY(write_layout(temp->path() + "/layout", held, "x", [](const std::string& from, const std::string& to) -> Result<void> {
    if (::link(from.c_str(), to.c_str()) == 0) return {};
    return copy_file(from, to);
  }));
  if (::mkdir((temp->path() + "/tmp").c_str(), 0700) < 0) return write_failed(temp->path(), errno);
  Skopeo::Copy copy;
  copy.source = "oci:layout:x";
  copy.target = archive_target(target, reference);
  copy.directory = temp->path();
  TRY(skopeo.copy(copy));
  if (::rename((temp->path() + "/out").c_str(), draft.path().c_str()) == 0) return {};
  return copy_file(temp->path() + "/out", draft.path());
}

Result<void> write_image(Store& store, const ImageRecord& record, const ImageReference& target) {
  if (target.kind != Kind::oci_layout && target.kind != Kind::oci_archive && target.kind != Kind::docker_archive)
    return fail(ErrorCode::invalid_input, "an image is written to oci:DIR, oci-archive:FILE or docker-archive:FILE");
  if (is_pinned(target)) return fail(ErrorCode::invalid_input, "what is written to is named by a path and a tag, not by a digest");
  struct stat info{};
  if (::lstat(target.path.c_str(), &info) == 0)
    return fail(ErrorCode::refused, fmt::format("{} exists already, and is not written over", in_quotes(target.path)));
  TRY_ASSIGN(const std::vector<HeldBlob> held, hold_blobs(store, record));
  std::string path = target.path;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const Draft draft(path);
  // Copies: what somebody does to an exported file must not happen to the store's.
  TRY(target.kind == Kind::oci_layout ? write_layout(draft.path(), held, target.tag, copy_file)
                                      : write_archive(store, held, record.image.reference, target, draft));
  return draft.publish();
}

}  // namespace

Result<StoredImage> import_image(Store& store, const ImageReference& source, const ImageReference& name, const PullOptions& options,
                                 const TellPull& tell) {
  if (name.kind != Kind::registry || name.tag.empty())
    return about(name, {ErrorCode::invalid_input, "an image is imported under a name with a tag: docker://NAME:TAG"});
  TRY_ASSIGN(const ImageReference from, absolute(source));
  const bool known = find_record(store, from, options.platform).has_value();
  PullOptions how = options;
  if (known && source.kind == Kind::registry && how.policy == PullOptions::Policy::always) how.policy = PullOptions::Policy::missing;
  TRY_ASSIGN(ReadyImage ready, pull_image(store, source, how, tell));  // held until the record is there
  const auto imported = [&]() -> Result<StoredImage> {
    auto record = find_record(store, from, options.platform);
    if (!record) return fail(ErrorCode::corrupt, "its record went away meanwhile: try again");
    if (source.kind == Kind::oci_layout && options.policy != PullOptions::Policy::never)
      TRY(take_blobs(store, from, options.platform, *record));
    const ImageRecord vehicle = *record;
    record->image.reference = name;
    record->image.pulled = std::time(nullptr);
    record->origin = kImported;
    TRY(write_record(store, *record));
    if (!known && source.kind != Kind::registry) TRY(remove_record(store, vehicle));
    return record->image;
  }();
  if (!imported) return about(source, imported.error());
  return imported;
}

Result<void> export_image(Store& store, const ImageReference& reference, const ImageReference& target, const Platform& platform) {
  const auto exported = [&]() -> Result<void> {
    TRY_ASSIGN(const ImageReference wanted, absolute(reference));
    const auto record = find_any_record(store, wanted, platform);
    if (!record) return fail(ErrorCode::not_found, fmt::format("the store does not have it for {}: pull it first", to_text(platform)));
    return write_image(store, *record, target);
  }();
  if (!exported) return about(reference, exported.error());
  return {};
}

}  // namespace casemate
