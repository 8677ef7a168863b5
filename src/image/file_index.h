// file_index: what the last run learned about a project's files, so that the next one reads only those that changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "casemate/result.h"
#include "image/file_list.h"
#include "sys/fd.h"

namespace casemate {

/// The list as one text, which the key of its layer is the digest of: type, mode, digest or target, and path of each entry. Times are not
/// in it.
[[nodiscard]] std::string manifest_of(const std::vector<ListedFile>& files);
/// One entry of a manifest: `what` is all but the path. Views into the text.
struct ManifestEntry {
  std::string_view path;
  std::string_view what;
};
/// The entries of a manifest; nullopt if it is none.
[[nodiscard]] std::optional<std::vector<ManifestEntry>> parse_manifest_of_files(std::string_view text);
/// `what` of an entry.
[[nodiscard]] std::string manifest_entry(const ListedFile& file);
/// The key of a layer with just these files.
[[nodiscard]] std::string key_of_manifest(std::string_view manifest);

/// Digests by stamp, and the layer that was made last in full; in files below `<store>/indexes`. A hint: what is damaged or missing is as
/// if it had never been there, and a failure to write is nobody's problem. At most 128 files; the oldest go.
class FileIndex {
 public:
  /// For one layer of one project; `identity` is any text that says which. Reads what there is.
  FileIndex(std::string store_directory, std::string_view identity);

  /// The digest of a file that is as it was; "" if it isn't known.
  [[nodiscard]] std::string digest_of(const std::string& source, const FileStamp& stamp) const;
  void remember(const std::string& source, const FileStamp& stamp, const std::string& digest);
  /// The key of the layer that was last made in full; "" for none.
  [[nodiscard]] const std::string& base() const { return base_; }
  /// What is in it, "" if that is lost.
  [[nodiscard]] std::string base_manifest() const;
  void set_base(std::string key, std::string_view manifest);

  /// Reads the file again; what was remembered since stays.
  void load();
  /// Writes it, with the sources of `files` only, if anything is new.
  void save(const std::vector<ListedFile>& files);
  /// Held by who makes layers of this index, so that two at once do the work once. Blocks.
  Result<UniqueFd> lock() const;

 private:
  struct Known {
    FileStamp stamp;
    std::string digest;
    bool fresh = false;  // learned since the file was read
  };
  void write(const std::string& path, std::string_view bytes) const;
  void sweep() const;

  std::string directory_;
  std::string path_;
  std::string base_;
  std::unordered_map<std::string, Known> known_;
  bool changed_ = false;
};

/// Removes all indexes of a store, which only spare reading; the bytes they took.
std::uint64_t clear_file_indexes(const std::string& store_directory);

}  // namespace casemate
