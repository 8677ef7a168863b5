#include "image/unpack.h"

#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <utility>

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/units.h"
#include "image/layer_stream.h"
#include "image/layer_writer.h"
#include "sys/fd.h"

namespace casemate {
namespace {

// Of one entry's headers: libarchive takes 1 MiB for each of a name, a link and pax records, but sparse maps without end, in memory.
constexpr std::uint64_t kHeaderBytes = 4u << 20;
constexpr std::size_t kXattrBytes = 64u << 10;
constexpr std::size_t kXattrName = 255;
constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kMetadata = ".wh..wh.";  // aufs kept its own files under such names
constexpr std::string_view kOpaque = ".wh..wh..opq";

// ---- what was left out

enum class Skipped { device, forged_whiteout, fifo, aufs, set_id, xattr, count };

// Counts, and the first names of each kind: bounded, whatever the layer has.
class Notes {
 public:
  void add(Skipped kind, const LayerPath& path) {
    Kind& entry = kinds_[static_cast<std::size_t>(kind)];
    if (entry.count++ >= kNames) return;
    entry.names += (entry.names.empty() ? "" : ", ") + printable_line(to_string(path));
  }
  [[nodiscard]] std::vector<std::string> lines(const LayerWriter& writer) const {
    static constexpr std::array<const char*, static_cast<std::size_t>(Skipped::count)> kWords{
        "device nodes left out",
        "character devices 0:0 left out, which would be whiteouts",
        "FIFOs left out",
        "files of aufs's own left out",
        "entries without their set-id bits",
        "entries without their capabilities or other xattrs"};
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
      const Kind& kind = kinds_[i];
      if (kind.count > 0)
        lines.push_back(fmt::format("{}: {} ({}{})", kWords[i], kind.count, kind.names, kind.count > kNames ? ", ..." : ""));
    }
    const auto counted = [&](std::uint64_t count, const char* words) {
      if (count > 0) lines.push_back(fmt::format("{}: {}", words, count));
    };
    counted(writer.lost_xattrs(), "xattrs that the file system did not take");
    counted(writer.lost_owners(), "entries that stay ours, because this user namespace lacks their owners");
    counted(writer.implied_directories(), "directories without an entry of their own, now of mode 0755");
    return lines;
  }

 private:
  static constexpr std::uint64_t kNames = 3;
  struct Kind {
    std::uint64_t count = 0;
    std::string names;
  };
  std::array<Kind, static_cast<std::size_t>(Skipped::count)> kinds_;
};

// ---- reading the tar

// libarchive's reader of tars, and of nothing else, over a LayerStream. Names come as they are in the archive: in the locale "C", which our
// programs never leave, libarchive converts nothing and only warns of it.
class TarReader {
 public:
  TarReader(LayerStream& stream) : stream_(stream), archive_(::archive_read_new()) {}

  Result<void> open() {
    if (!archive_ || ::archive_read_support_format_tar(archive_.get()) != ARCHIVE_OK ||
        ::archive_read_support_filter_none(archive_.get()) != ARCHIVE_OK)
      return fail(ErrorCode::exhausted, "no memory to read a layer");
    return check(::archive_read_open2(archive_.get(), this, nullptr, &TarReader::pull, nullptr, nullptr));
  }

  // nullptr at the end. Valid until the next call.
  Result<archive_entry*> next() {
    if (in_entry_) TRY(check(::archive_read_data_skip(archive_.get())));
    header_bytes_ = 0;
    in_header_ = true;
    archive_entry* entry = nullptr;
    const int code = ::archive_read_next_header(archive_.get(), &entry);
    in_header_ = false;
    if (code == ARCHIVE_EOF && !failure_) {
      if (padded_ > last_padding_) return fail(ErrorCode::corrupt, "the layer is damaged: it ends in the middle of its last entry");
      return nullptr;
    }
    TRY(check(code));
    in_entry_ = true;
    const bool sparse = ::archive_entry_sparse_count(entry) > 0;  // then the size is not that of the bytes in the tar
    last_padding_ = sparse ? 0 : padding(static_cast<std::uint64_t>(std::max<la_int64_t>(::archive_entry_size(entry), 0)));
    return entry;
  }

  // Calls `take(bytes, offset)` for each piece of the current entry's contents.
  template <class Take>
  Result<void> contents(Take take) {
    for (;;) {
      const void* bytes = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int code = ::archive_read_data_block(archive_.get(), &bytes, &size, &offset);
      if (code == ARCHIVE_EOF && !failure_) return {};
      TRY(check(code));
      if (size > 0) TRY(take(std::string_view(static_cast<const char*>(bytes), size), offset));
    }
  }

 private:
  struct Free {
    void operator()(archive* archive) const { ::archive_read_free(archive); }
  };

  static la_ssize_t pull(archive* /*archive*/, void* self, const void** bytes) { return static_cast<TarReader*>(self)->pull(bytes); }
  la_ssize_t pull(const void** bytes) {
    auto got = stream_.next();
    if (got && in_header_) header_bytes_ += got->size();
    if (got && in_header_ && header_bytes_ > kHeaderBytes)
      got = fail(ErrorCode::refused, fmt::format("the layer has an entry with headers of more than {}", format_bytes(kHeaderBytes)));
    if (!got) {
      failure_ = std::make_unique<Error>(std::move(got).error());
      return -1;
    }
    read_ += got->size();
    if (got->empty() && padded_ == 0) {
      // Go's writer of tars leaves out the padding of the last entry when nobody closes it (umoci 0.4.7 does not), and its reader takes
      // that.
      static constexpr char kZeros[kBlock] = {};
      padded_ = padding(read_);
      got = std::string_view(kZeros, padded_);
    }
    *bytes = got->data();
    return static_cast<la_ssize_t>(got->size());
  }

  static constexpr std::size_t kBlock = 512;  // of a tar
  static std::size_t padding(std::uint64_t bytes) { return (kBlock - bytes % kBlock) % kBlock; }

  Result<void> check(int code) {
    if (failure_) return std::unexpected(*failure_);
    if (code == ARCHIVE_OK || code == ARCHIVE_WARN || code == ARCHIVE_EOF) return {};
    const char* why = ::archive_error_string(archive_.get());
    return fail(ErrorCode::corrupt, fmt::format("the layer is damaged: {}", why ? printable_line(why) : "its tar can't be read"));
  }

  LayerStream& stream_;
  std::unique_ptr<archive, Free> archive_;
  std::unique_ptr<Error> failure_;  // of the stream, below libarchive
  bool in_header_ = false;
  bool in_entry_ = false;
  std::uint64_t header_bytes_ = 0;
  std::uint64_t read_ = 0;
  std::size_t padded_ = 0;        // what we put at the end
  std::size_t last_padding_ = 0;  // what the last entry may lack
};

// ---- one layer

class Unpacking {
 public:
  Unpacking(int archive, int directory, const UnpackOptions& options)
      : options_(options),
        stream_(archive, {.bytes = options.limits.bytes, .ratio = options.limits.ratio}),
        reader_(stream_),
        writer_(directory) {}

  Result<Unpacked> run() {
    TRY(reader_.open());
    for (std::uint64_t count = 0;; ++count) {
      TRY_ASSIGN(archive_entry * entry, reader_.next());
      if (!entry) break;
      if (count >= options_.limits.entries)
        return fail(ErrorCode::refused, fmt::format("the layer has more than {} entries", options_.limits.entries));
      TRY(take(entry));
    }
    TRY(verify());
    TRY(writer_.finish());
    result_.notes = notes_.lines(writer_);
    return std::move(result_);
  }

 private:
  // What follows the tar's end counts for the digests, and for nothing else.
  Result<void> verify() {
    for (;;) {
      TRY_ASSIGN(const std::string_view rest, stream_.next());
      if (rest.empty()) break;
    }
    LayerStream::Digests digests = stream_.digests();
    result_.digest = std::move(digests.digest);
    result_.diff_id = std::move(digests.diff_id);
    const auto differs = [](const char* what, const std::string& is, const std::string& wanted) {
      return fail(ErrorCode::corrupt,
                  fmt::format("the layer is not what the image says: its {} is {}, not {}", what, is, printable_line(wanted)));
    };
    if (!options_.expected_digest.empty() && result_.digest != options_.expected_digest)
      return differs("digest", result_.digest, options_.expected_digest);
    if (!options_.expected_diff_id.empty() && result_.diff_id != options_.expected_diff_id)
      return differs("diff-id", result_.diff_id, options_.expected_diff_id);
    return {};
  }

  Result<LayerPath> path_of(const char* name) const {
    if (!name) return fail(ErrorCode::corrupt, "the layer is damaged: an entry has no name");
    return parse_layer_path(name, options_.limits.depth, std::min<std::size_t>(options_.limits.path_bytes, PATH_MAX - 1));
  }

  Result<void> take(archive_entry* entry) {
    TRY_ASSIGN(LayerPath path, path_of(::archive_entry_pathname(entry)));
    for (const std::string& part : path) {
      if (part.starts_with(kWhiteout)) return take_whiteout(std::move(path));
    }
    if (const char* target = ::archive_entry_hardlink(entry)) {
      TRY_ASSIGN(const LayerPath existing, path_of(target));
      ++result_.files;
      return writer_.hard_link(path, existing);
    }
    switch (::archive_entry_filetype(entry)) {
      case AE_IFDIR:
        return writer_.directory(path, attributes_of(entry, path));
      case AE_IFREG:
        ++result_.files;
        return take_file(entry, path);
      case AE_IFLNK: {
        const char* target = ::archive_entry_symlink(entry);
        ++result_.files;
        return writer_.symlink(path, target ? target : "", attributes_of(entry, path));
      }
      case AE_IFCHR:
      case AE_IFBLK: {
        const bool forged = ::archive_entry_rdevmajor(entry) == 0 && ::archive_entry_rdevminor(entry) == 0;
        notes_.add(forged ? Skipped::forged_whiteout : Skipped::device, path);
        return {};
      }
      case AE_IFIFO:
      case AE_IFSOCK:
        notes_.add(Skipped::fifo, path);
        return {};
      default:
        return fail(ErrorCode::corrupt, fmt::format("the layer is damaged: '{}' is of an unknown kind", printable_line(to_string(path))));
    }
  }

  Result<void> take_whiteout(LayerPath path) {
    const auto refuse = [&](const char* why) {
      return fail(ErrorCode::refused, fmt::format("the layer has a whiteout that {}: '{}'", why, printable_line(to_string(path))));
    };
    const std::string last = path.back();
    for (const std::string& part : path) {
      const bool metadata = part.starts_with(kMetadata) && (&part != &path.back() || part != kOpaque);
      if (!metadata) continue;
      notes_.add(Skipped::aufs, path);
      return {};
    }
    for (std::size_t i = 0; i + 1 < path.size(); ++i) {
      if (path[i].starts_with(kWhiteout)) return refuse("has entries below it");
    }
    if (last == kOpaque) {
      path.pop_back();
      result_.hides_all_below |= path.empty();
      return writer_.opaque(path);
    }
    const std::string hidden = last.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..") return refuse("names no file");
    path.back() = hidden;
    return writer_.whiteout(path);
  }

  Result<void> take_file(archive_entry* entry, const LayerPath& path) {
    const la_int64_t size = ::archive_entry_size(entry);
    if (size < 0 || static_cast<std::uint64_t>(size) > options_.limits.bytes - result_.bytes)
      return fail(ErrorCode::refused, fmt::format("the layer's files are larger than {} in all (at '{}'): raise the limit if you trust it",
                                                  format_bytes(options_.limits.bytes), printable_line(to_string(path))));
    result_.bytes += static_cast<std::uint64_t>(size);
    TRY_ASSIGN(UniqueFd file, writer_.file(path));
    la_int64_t end = 0;
    TRY(reader_.contents([&](std::string_view bytes, la_int64_t offset) -> Result<void> {
      if (offset < end || offset > size || bytes.size() > static_cast<std::uint64_t>(size - offset))
        return fail(ErrorCode::corrupt,
                    fmt::format("the layer is damaged: '{}' has bytes where none can be", printable_line(to_string(path))));
      end = offset + static_cast<la_int64_t>(bytes.size());
      return write_at(file.get(), bytes, offset, path);
    }));
    if (end < size && ::ftruncate(file.get(), size) < 0) return write_failed(path, errno);
    return writer_.close_file(std::move(file), path, attributes_of(entry, path));
  }

  static std::unexpected<Error> write_failed(const LayerPath& path, int error) {
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return fail(full ? ErrorCode::exhausted : ErrorCode::system,
                fmt::format("can't write '{}' of the layer: {}", printable_line(to_string(path)), std::strerror(error)), error, "pwrite");
  }

  static Result<void> write_at(int fd, std::string_view bytes, la_int64_t offset, const LayerPath& path) {
    while (!bytes.empty()) {
      const ssize_t wrote = ::pwrite(fd, bytes.data(), bytes.size(), offset);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return write_failed(path, errno);
      bytes.remove_prefix(static_cast<std::size_t>(wrote));
      offset += wrote;
    }
    return {};
  }

  EntryAttributes attributes_of(archive_entry* entry, const LayerPath& path) {
    EntryAttributes attributes;
    attributes.mode = ::archive_entry_perm(entry);
    attributes.modified = {.tv_sec = ::archive_entry_mtime(entry), .tv_nsec = ::archive_entry_mtime_nsec(entry)};
    if (attributes.modified.tv_nsec < 0 || attributes.modified.tv_nsec > 999'999'999) attributes.modified.tv_nsec = 0;
    if (options_.keep_owners) attributes.owner = EntryOwner{.uid = ::archive_entry_uid(entry), .gid = ::archive_entry_gid(entry)};
    const auto type = ::archive_entry_filetype(entry);
    if (type != AE_IFLNK && (attributes.mode & 06000) != 0) notes_.add(Skipped::set_id, path);
    if (type != AE_IFLNK) take_xattrs(entry, path, attributes);
    return attributes;
  }

  void take_xattrs(archive_entry* entry, const LayerPath& path, EntryAttributes& attributes) {
    if (::archive_entry_xattr_reset(entry) == 0) return;
    bool dropped = false;
    std::size_t total = 0;
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
      const std::string_view key = name ? name : "";
      const bool wanted =
          key.starts_with("user.") && !key.starts_with("user.overlay.") && key.size() <= kXattrName && size <= kXattrBytes - total;
      if (wanted) {
        attributes.xattrs.insert_or_assign(std::string(key), std::string(static_cast<const char*>(value), size));
        total += size;
      }
      dropped |= !wanted;
    }
    if (dropped) notes_.add(Skipped::xattr, path);
  }

  const UnpackOptions& options_;
  LayerStream stream_;
  TarReader reader_;
  LayerWriter writer_;
  Notes notes_;
  Unpacked result_;
};

}  // namespace

Result<Unpacked> unpack_layer(int archive, int directory, const UnpackOptions& options) {
  return Unpacking(archive, directory, options).run();
}

}  // namespace casemate
