// Theory of operation. A list without digests comes in. Digests of files whose stamps are as the index knows them are taken from there. If
// the index also names a layer that was once made in full (the base) and it is still in the store, the other files are read and digested,
// and the list is compared with the base's: nothing differs: the base it is; little does: the changed files are copied into a layer of
// their own, a delta, with whiteouts for what is gone; else, or without a base, all files are copied, and that becomes the next base.
//
// The full layer's key is the digest of its list. A delta's is made of the base's key and the key that the full layer would have. A delta
// is always against the base, so there are never more than two. Everything is copied into a temp directory of the store first, and digested
// as it is copied; only then its key is known, and Store::make_layer() moves it into place.
#include "image/file_layer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <unordered_set>

#include <fmt/format.h>

#include "base/digest.h"
#include "image/file_index.h"
#include "image/file_tree.h"

namespace casemate {
namespace {

constexpr std::size_t kDeltaShare = 10;  // a delta has at most a tenth of the base's entries

// How a list differs from the base.
struct Delta {
  std::vector<std::size_t> changed;  // indexes into the list
  std::vector<std::string> removed;
};

class FileLayers {
 public:
  FileLayers(Store& store, std::vector<ListedFile> files, MergedRoot& below, const FileLayerRequest& request)
      : store_(store), files_(std::move(files)), below_(below), request_(request), index_(store.directory(), request.identity) {}

  Result<std::vector<MadeLayer>> run() {
    TRY_ASSIGN(auto found, find());
    if (found) return finished(std::move(*found));
    TRY_ASSIGN(const UniqueFd lock, index_.lock());
    index_.load();
    TRY_ASSIGN(found, find());
    if (found) return finished(std::move(*found));
    if (delta_) {
      auto made = make_delta();
      if (made || made.error().code != ErrorCode::not_supported) return made ? finished(std::move(*made)) : std::move(made);
    }
    TRY_ASSIGN(auto made, make_full());
    return finished(std::move(made));
  }

 private:
  using Layers = std::vector<MadeLayer>;

  Layers finished(Layers layers) {
    index_.save(files_);
    return layers;
  }

  // What the store has already; sets delta_ where there is a base to make one over.
  Result<std::optional<Layers>> find() {
    if (files_.empty()) return Layers{};
    delta_.reset();
    const std::size_t unknown = take_known_digests();
    if (unknown == 0) {
      TRY_ASSIGN(auto full, find_full());
      if (full) return full;
    }
    base_text_ = index_.base_manifest();
    const auto base = parse_manifest_of_files(base_text_);
    if (base) {
      TRY_ASSIGN(base_, store_.layer(index_.base()));
    }
    if (unknown > 0 && !base_) return std::nullopt;  // they will be read when they are copied
    if (unknown > 0) {
      TRY(read_unknown());
      TRY_ASSIGN(auto full, find_full());
      if (full) return full;
    }
    if (!base || !base_) return std::nullopt;
    delta_ = delta_from(*base);
    if (!delta_) return std::nullopt;
    TRY_ASSIGN(auto there, store_.layer(delta_key()));
    if (!there) return std::nullopt;
    return over_base(std::move(*there));
  }

  Result<std::optional<Layers>> find_full() {
    if (files_.empty()) return Layers{};
    full_key_ = key_of_manifest(manifest_of(files_));
    TRY_ASSIGN(auto full, store_.layer(full_key_));
    if (!full) return std::nullopt;
    return one(std::move(*full), full_key_);
  }

  std::size_t take_known_digests() {
    std::size_t unknown = 0;
    for (ListedFile& file : files_) {
      if (file.type != ListedFile::Type::file || !file.digest.empty()) continue;
      if (file.source.empty())
        file.digest = sha256_hex("");
      else
        file.digest = index_.digest_of(file.source, file.stamp);
      unknown += file.digest.empty() ? 1 : 0;
    }
    return unknown;
  }

  Result<void> read_unknown() {
    bool gone = false;
    for (ListedFile& file : files_) {
      if (file.type != ListedFile::Type::file || !file.digest.empty()) continue;
      TRY_ASSIGN(const FileRead read, read_listed_file(file, request_.label));
      gone = took(file, read) || gone;
    }
    if (gone) drop_gone();
    return {};
  }

  // Keeps what reading a file gave; true if it is gone.
  bool took(ListedFile& file, const FileRead& read) {
    file.digest = read.digest;
    if (read.gone) return true;
    if (file.source.empty()) return false;
    file.stamp = read.stamp;
    if (read.unchanged) index_.remember(file.source, read.stamp, read.digest);
    return false;
  }

  void drop_gone() {
    std::erase_if(files_, [](const ListedFile& file) { return file.type == ListedFile::Type::file && file.digest.empty(); });
  }

  static Layers one(StoreLease lease, std::string key) {
    Layers layers;
    layers.push_back({std::move(lease), std::move(key)});
    return layers;
  }

  Layers over_base(StoreLease delta) {
    Layers layers = one(std::move(*base_), index_.base());
    layers.push_back({std::move(delta), delta_key()});
    return layers;
  }

  [[nodiscard]] std::string delta_key() const { return sha256_hex(fmt::format("casemate delta 1\n{}\n{}\n", index_.base(), full_key_)); }

  // nullopt: it would be large, or something would be hidden below that has to be seen.
  std::optional<Delta> delta_from(const std::vector<ManifestEntry>& base) {
    Delta delta;
    auto file = files_.begin();
    auto old = base.begin();
    std::unordered_set<std::string> hidden;  // directories of the base of which nothing is seen
    while (file != files_.end() || old != base.end()) {
      if ((delta.changed.size() + delta.removed.size()) * kDeltaShare > base.size()) return std::nullopt;
      const int order = file == files_.end() ? 1 : old == base.end() ? -1 : std::string_view(file->path).compare(old->path);
      if (order <= 0) {
        const bool same = order == 0 && manifest_entry(*file) == old->what;
        const bool was_directory = order == 0 && old->what.starts_with('d');
        const bool is_directory = file->type == ListedFile::Type::directory;
        // A directory over a file of the base would not be merged with one below the base.
        if (order == 0 && is_directory && !was_directory && shows_below(file->path)) return std::nullopt;
        if (was_directory && !is_directory) hidden.insert(file->path);
        if (!same) delta.changed.push_back(static_cast<std::size_t>(file - files_.begin()));
        ++file;
        if (order == 0) ++old;
        continue;
      }
      const std::string path(old->path);
      const std::size_t slash = path.rfind('/');
      const bool below_hidden = slash != std::string::npos && hidden.contains(path.substr(0, slash));
      if (old->what.starts_with('d')) hidden.insert(path);
      if (!below_hidden) {
        if (shows_below(path) || (request_.on_host && slash == std::string::npos)) return std::nullopt;
        delta.removed.push_back(path);
      }
      ++old;
    }
    if ((delta.changed.size() + delta.removed.size()) * kDeltaShare > base.size()) return std::nullopt;
    return delta;
  }

  bool shows_below(const std::string& path) { return below_.at(path).kind != MergedRoot::Place::Kind::nothing; }

  // Copies one entry and keeps its digest; true if it is gone.
  Result<bool> put(FileTree& tree, ListedFile& file) {
    if (file.type != ListedFile::Type::file) {
      TRY(tree.add(file));
      return false;
    }
    TRY_ASSIGN(const FileRead read, tree.add_file(file));
    return took(file, read);
  }

  Result<std::vector<MadeLayer>> make_delta() {
    TRY_ASSIGN(const auto temp, store_.make_temp());
    TRY_ASSIGN(FileTree tree, FileTree::open(temp->path(), request_.label));
    // Whiteouts first: where there can be none all of it is in vain.
    for (const std::string& path : delta_->removed) TRY(tree.add_whiteout(path));
    bool gone = false;
    for (const std::size_t changed : delta_->changed) {
      TRY_ASSIGN(const bool left, put(tree, files_[changed]));
      gone = gone || left;
    }
    if (gone) {  // a rare race: make it all anew
      drop_gone();
      return make_full();
    }
    full_key_ = key_of_manifest(manifest_of(files_));  // as it was copied
    const auto move = [&](const std::string& directory) { return tree.move_to(directory, files_); };
    const std::string what =
        fmt::format("{}: {} changed since the last full one", request_.description, delta_->changed.size() + delta_->removed.size());
    TRY_ASSIGN(StoreLease made, store_.make_layer(delta_key(), what, move));
    return over_base(std::move(made));
  }

  Result<std::vector<MadeLayer>> make_full() {
    TRY_ASSIGN(const auto temp, store_.make_temp());
    TRY_ASSIGN(FileTree tree, FileTree::open(temp->path(), request_.label));
    bool gone = false;
    for (ListedFile& file : files_) {
      TRY_ASSIGN(const bool left, put(tree, file));
      gone = gone || left;
    }
    if (gone) drop_gone();
    const std::string manifest = manifest_of(files_);
    full_key_ = key_of_manifest(manifest);
    const auto move = [&](const std::string& directory) { return tree.move_to(directory, files_); };
    TRY_ASSIGN(StoreLease made, store_.make_layer(full_key_, request_.description, move));
    index_.set_base(full_key_, manifest);
    return one(std::move(made), full_key_);
  }

  Store& store_;
  std::vector<ListedFile> files_;
  MergedRoot& below_;
  const FileLayerRequest& request_;
  FileIndex index_;
  std::string base_text_;
  std::optional<StoreLease> base_;
  std::optional<Delta> delta_;
  std::string full_key_;
};

}  // namespace

Result<std::vector<MadeLayer>> make_file_layers(Store& store, std::vector<ListedFile> files, MergedRoot& below,
                                                const FileLayerRequest& request) {
  return FileLayers(store, std::move(files), below, request).run();
}

}  // namespace casemate
