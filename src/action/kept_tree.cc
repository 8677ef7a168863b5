// The merged tree of an image's layers in a file, so that it is read in one piece instead of looked up name by name. Numbers are LEB128,
// texts have their length in front. A directory: its files (name, hash, size, executable, bytecode without a time, layer), symlinks (name,
// target) and directories (name, directory). What is read has been written by us (its SHA-256 is right), but is bounded all the same.
#include "action/kept_tree.h"

#include <cstdint>
#include <optional>

#include <fmt/format.h>
#include <sys/stat.h>

#include "action/digest_cache.h"
#include "base/digest.h"
#include "store/hints.h"

namespace casemate {
namespace {

constexpr std::string_view kMagic = "casemate tree 2\n";

// "" if these are not all a store's layers, whose contents never change.
std::string name_of(const std::string& store, std::span<const std::string> layers) {
  std::string text = "tree\n";
  for (const std::string& layer : layers) {
    struct stat info{};
    if (store.empty() || !layer.starts_with(store + "/layers/") || ::lstat(layer.c_str(), &info) < 0) return "";
    const FileStamp stamp = stamp_of(info);
    text += fmt::format("{}\n{} {} {} {}\n", layer, stamp.device, stamp.inode, stamp.modified, stamp.changed);
  }
  return sha256_hex(text);
}

class TreeWriter {
 public:
  explicit TreeWriter(std::span<const std::string> layers) : layers_(layers) {}

  // False: a file lies in none of the layers.
  bool directory(const InputDirectory& here, const std::string& path) {
    number(here.files.size());
    for (const auto& [name, file] : here.files) {
      const auto layer = layer_of(file.blob.path, path + "/" + name);
      if (!layer) return false;
      text(name);
      text(file.blob.digest.hash);
      number(file.blob.digest.size);
      number(*layer * 4 + (file.blob.timeless ? 2 : 0) + (file.executable ? 1 : 0));
    }
    number(here.symlinks.size());
    for (const auto& [name, target] : here.symlinks) {
      text(name);
      text(target);
    }
    number(here.directories.size());
    for (const auto& [name, below] : here.directories) {
      text(name);
      if (!directory(*below, path + "/" + name)) return false;
    }
    return true;
  }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::optional<std::uint64_t> layer_of(std::string_view file, std::string_view path) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (file.size() == layers_[i].size() + path.size() && file.starts_with(layers_[i]) && file.ends_with(path)) return i;
    }
    return std::nullopt;
  }
  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void text(std::string_view value) {
    number(value.size());
    bytes_ += value;
  }

  std::span<const std::string> layers_;
  std::string bytes_{kMagic};
};

class TreeReader {
 public:
  TreeReader(std::string_view bytes, std::span<const std::string> layers) : rest_(bytes), layers_(layers) {}

  InputDirectoryPtr top() {
    if (!rest_.starts_with(kMagic)) return nullptr;
    rest_.remove_prefix(kMagic.size());
    InputDirectoryPtr tree = directory("", 0);
    return broken_ || !rest_.empty() ? nullptr : tree;
  }

 private:
  InputDirectoryPtr directory(const std::string& path, std::size_t depth) {
    if (depth > kDeepestInput) broken_ = true;
    InputDirectory here;
    for (std::uint64_t left = number(); left > 0 && !broken_; --left) {
      std::string name = text();
      InputDirectory::File file;
      file.blob.digest.hash = text();
      file.blob.digest.size = number();
      const std::uint64_t layer = number();
      file.executable = layer % 2 == 1;
      file.blob.timeless = layer / 2 % 2 == 1;
      if (layer / 4 >= layers_.size() || !is_sha256_hex(file.blob.digest.hash)) broken_ = true;
      if (broken_) return nullptr;
      file.blob.path = layers_[layer / 4] + path + "/" + name;
      here.files.emplace_hint(here.files.end(), std::move(name), std::move(file));
    }
    for (std::uint64_t left = number(); left > 0 && !broken_; --left) {
      std::string name = text();
      here.symlinks.emplace_hint(here.symlinks.end(), std::move(name), text());
    }
    for (std::uint64_t left = number(); left > 0 && !broken_; --left) {
      std::string name = text();
      InputDirectoryPtr below = directory(path + "/" + name, depth + 1);
      here.directories.emplace_hint(here.directories.end(), std::move(name), std::move(below));
    }
    return broken_ ? nullptr : seal(std::move(here));
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    broken_ = true;
    return 0;
  }
  std::string text() {
    const std::uint64_t size = number();
    if (size > rest_.size()) broken_ = true;
    if (broken_) return "";
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }

  std::string_view rest_;
  std::span<const std::string> layers_;
  bool broken_ = false;
};

}  // namespace

InputDirectoryPtr kept_tree(const std::string& store, std::span<const std::string> layers) {
  const std::string name = name_of(store, layers);
  if (name.empty()) return nullptr;
  const auto bytes = digest_files(store).read(name);
  return bytes ? TreeReader(*bytes, layers).top() : nullptr;
}

void keep_tree(const std::string& store, std::span<const std::string> layers, const InputDirectory& tree) {
  const std::string name = name_of(store, layers);
  TreeWriter writer(layers);
  if (!name.empty() && writer.directory(tree, "")) digest_files(store).write(name, writer.take());
}

}  // namespace casemate
