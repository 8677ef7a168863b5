// Theory of operation. A tree is walked directory by directory: all names of one are taken from all layers that have it, its files are
// digested, its descriptors closed, and then the directories in it are walked, opened anew from the top of each layer. So a walk holds two
// descriptors a layer, however deep it is. What a directory is of is known when all in it is sealed: children first.
#include "action/input_trees.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include "action/bytecode.h"
#include "action/interpreter_files.h"
#include "action/kept_tree.h"
#include "action/messages.h"
#include "base/terminal.h"
#include "engine/lower.h"
#include "sys/path.h"

namespace casemate {

struct InputRules {
  bool whiteouts = false;    // layers of an overlay
  bool lenient = false;      // what we may not read is left out
  bool interpreter = false;  // a prefix, without what runs_without() says
  bool packages = true;      // with `interpreter`: those that are installed there
  bool by_stamp = false;     // a file's digest is of its size and time of change, not of its content
  const InputFilter* without = nullptr;
};

namespace {

constexpr std::size_t kMostNotes = 10;

bool is_utf8(const std::string& text) { return to_utf8(text) == text; }

std::string joined(const std::string& directory, const std::string& name) { return directory.empty() ? name : directory + "/" + name; }

// What is no input, in words; "" for what is one.
std::string_view word_of_special(mode_t mode) {
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) ? "" : "no file";
}

bool is_bytecode_directory(std::string_view path) { return path.substr(path.rfind('/') + 1) == kBytecodeDirectory; }

class InputWalk {
 public:
  InputWalk(std::vector<std::string> paths, InputRules rules, DigestCache& cache, const std::function<void(std::uint64_t)>& read)
      : paths_(std::move(paths)), rules_(rules), cache_(cache), read_(read) {}

  Result<InputTree> run() {
    LayerSet all;
    for (std::uint32_t i = 0; i < paths_.size(); ++i) {
      auto root = open_file(paths_[i], O_PATH | O_DIRECTORY);
      if (!root) return fail_at(root.error().errno_value, paths_[i]);
      roots_.push_back(std::move(*root));
      all.push_back(i);
    }
    TRY_ASSIGN(InputTree tree, merged("", all));
    if (left_out_ > kMostNotes) tree.left_out.push_back(fmt::format("and {} more", left_out_ - kMostNotes));
    return tree;
  }

 private:
  // One directory of one layer, open while its names are looked at.
  struct Part {
    std::uint32_t layer = 0;
    UniqueFd fd;
    const InputDirectory* sources = nullptr;  // of a directory of bytecode
  };
  struct Below {
    LayerSet layers;
    bool closed = false;  // what lower layers have of it is hidden: by a whiteout, a file or an opaque directory
  };

  std::unexpected<Error> fail_at(int errno_value, const std::string& path) const {
    const ErrorCode code = errno_value == ENOENT ? ErrorCode::not_found : ErrorCode::refused;
    return fail(code, fmt::format("can't read the input {}: {}", printable_line(path), std::strerror(errno_value)), errno_value);
  }
  std::string host_path(std::uint32_t layer, const std::string& path) const {
    return path.empty() ? paths_[layer] : paths_[layer] + (paths_[layer].ends_with('/') ? "" : "/") + path;
  }
  void leave_out(const std::string& path, std::string_view why) {
    if (++left_out_ <= kMostNotes) notes_.push_back(fmt::format("{}: {}", printable_line(path), why));
  }
  // An error, or nothing where the rest can do without it.
  Result<void> unreadable(int errno_value, const std::string& path) {
    if (errno_value == EXDEV) {
      leave_out(path, "a mount point");
    } else if (rules_.lenient && (errno_value == EACCES || errno_value == EPERM)) {
      leave_out(path, "not readable");
    } else {
      return fail_at(errno_value, path);
    }
    return {};
  }

  Result<InputTree> merged(const std::string& path, const LayerSet& layers) {
    TRY_ASSIGN(InputDirectoryPtr top, directory(path, layers, 0, nullptr));
    return InputTree{std::move(top), std::move(notes_)};
  }

  // `above`: the files beside it.
  Result<InputDirectoryPtr> directory(const std::string& path, const LayerSet& layers, std::size_t depth, const InputDirectory* above) {
    if (depth > kDeepestInput) {
      return fail(ErrorCode::exhausted, fmt::format("the inputs are more than {} directories deep: {}", kDeepestInput,
                                                    printable_line(host_path(layers.front(), path))));
    }
    InputDirectory here;
    std::map<std::string, Below> below;
    std::set<std::string> taken;  // names that a layer above has, as something else than a directory or as a whiteout
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const std::uint32_t layer = layers[i];
      auto fd = open_beneath(roots_[layer].get(), path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
      if (!fd) {
        TRY(unreadable(fd.error(), host_path(layer, path)));
        continue;
      }
      const Part part{layer, std::move(*fd), is_bytecode_directory(path) ? above : nullptr};
      TRY(names_of(part, path, i + 1 == layers.size(), here, below, taken));
    }
    for (auto& [name, found] : below) {
      TRY_ASSIGN(here.directories[name], directory(joined(path, name), found.layers, depth + 1, &here));
    }
    return seal(std::move(here));
  }

  Result<void> names_of(const Part& part, const std::string& path, bool lowest, InputDirectory& here, std::map<std::string, Below>& below,
                        std::set<std::string>& taken) {
    DirectoryReader reader(part.fd.get());
    for (;;) {
      const auto entry = reader.next();
      if (!entry) return fail_at(entry.error(), host_path(part.layer, path));
      if (!*entry) return {};
      const std::string name((*entry)->name);
      if (taken.contains(name) || is_left_out(part.layer, path, name)) continue;
      if (rules_.interpreter && runs_without(joined(path, name), rules_.packages)) continue;
      const auto upper = below.find(name);
      if (upper != below.end() && upper->second.closed) continue;
      const auto info = stat_beneath(part.fd.get(), name);
      if (!info && info.error() == ENOENT) continue;  // removed meanwhile
      if (!info) return fail_at(info.error(), host_path(part.layer, joined(path, name)));
      if (S_ISDIR(info->st_mode)) {
        TRY(take_directory(part, path, name, lowest, below));
      } else if (upper != below.end()) {
        upper->second.closed = true;
      } else {
        if (!lowest) taken.insert(name);
        const bool whiteout = S_ISCHR(info->st_mode) && info->st_rdev == 0 && rules_.whiteouts;
        if (!whiteout) TRY(take_entry(part, path, name, *info, here));
      }
    }
  }

  [[nodiscard]] bool is_left_out(std::uint32_t layer, const std::string& path, const std::string& name) const {
    if (!rules_.without || rules_.without->empty()) return false;
    if (rules_.without->names.contains(name)) return true;
    return !rules_.without->paths.empty() && rules_.without->paths.contains(host_path(layer, joined(path, name)));
  }

  Result<void> take_directory(const Part& part, const std::string& path, const std::string& name, bool lowest,
                              std::map<std::string, Below>& below) {
    const auto [found, fresh] = below.try_emplace(name);
    if (fresh) TRY(admit(name, host_path(part.layer, joined(path, name))));
    found->second.layers.push_back(part.layer);
    if (lowest) return {};
    const auto opened = open_beneath(part.fd.get(), name, O_RDONLY | O_DIRECTORY);
    found->second.closed = opened && overlay_attribute(opened->get(), "opaque") == "y";
    return {};
  }

  Result<void> take_entry(const Part& part, const std::string& path, const std::string& name, const struct stat& info,
                          InputDirectory& here) {
    const std::string source = host_path(part.layer, joined(path, name));
    if (const std::string_view special = word_of_special(info.st_mode); !special.empty()) {
      leave_out(source, special);
      return {};
    }
    TRY(admit(name, source));
    if (S_ISLNK(info.st_mode)) {
      auto target = read_link_beneath(part.fd.get(), name);
      if (!target) return fail_at(target.error(), source);
      if (!is_utf8(*target))
        return fail(ErrorCode::invalid_input,
                    fmt::format("the symlink {} leads to what is no UTF-8, which an action's inputs can't have", printable_line(source)));
      here.symlinks.emplace(name, std::move(*target));
      return {};
    }
    TRY_ASSIGN(std::optional<Blob> blob, content(part, path, name, info));
    if (blob) here.files.emplace(name, InputDirectory::File{std::move(*blob), (info.st_mode & S_IXUSR) != 0});
    return {};
  }

  // nullopt: it is left out.
  Result<std::optional<Blob>> content(const Part& part, const std::string& path, const std::string& name, const struct stat& info) {
    const FileStamp stamp = stamp_of(info);
    if (rules_.by_stamp) return blob_of(fmt::format("{} bytes, modified {}", stamp.size, stamp.modified));
    Blob blob{.path = host_path(part.layer, joined(path, name))};
    const auto of = [&](BlobDigest digest, bool timeless) {
      blob.digest = std::move(digest);
      blob.timeless = timeless;
      return std::move(blob);
    };
    const auto word = source_of(part, path, name);
    if (word) {
      if (auto known = cache_.known_bytecode(stamp, *word)) return of(std::move(*known), true);
    } else if (auto known = cache_.known(stamp)) {
      return of(std::move(*known), false);
    }
    const auto opened = open_beneath(part.fd.get(), name, O_RDONLY);
    if (!opened) {
      TRY(unreadable(opened.error(), blob.path));
      return std::nullopt;
    }
    if (word) {
      TRY_ASSIGN(auto bytecode, cache_.read_bytecode(opened->get(), *word));
      if (bytecode && read_) read_(bytecode->size);
      if (bytecode) return of(std::move(*bytecode), true);
      if (auto known = cache_.known(stamp)) return of(std::move(*known), false);
    }
    TRY_ASSIGN(BlobDigest found, digest(opened->get(), blob.path));
    return of(std::move(found), false);
  }

  // What bytecode has to say of its source, where that is a file of the same layer.
  std::optional<std::uint64_t> source_of(const Part& part, const std::string& path, const std::string& name) const {
    if (!part.sources) return std::nullopt;
    const auto source = source_of_bytecode(name);
    const auto found = source ? part.sources->files.find(*source) : part.sources->files.end();
    if (found == part.sources->files.end()) return std::nullopt;
    const std::size_t above = path.size() - kBytecodeDirectory.size();
    if (found->second.blob.path != host_path(part.layer, path.substr(0, above) + *source)) return std::nullopt;
    struct stat info{};
    if (::fstatat(part.fd.get(), ("../" + *source).c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    return source_word(info);
  }

  Result<BlobDigest> digest(int fd, const std::string& source) {
    struct stat info{};
    if (::fstat(fd, &info) < 0) return fail_at(errno, source);
    if (!S_ISREG(info.st_mode))
      return fail(ErrorCode::corrupt, fmt::format("the input {} changed while it was read", printable_line(source)));
    auto digest = cache_.read(fd);
    if (!digest) {
      Error error = std::move(digest).error();
      error.what = fmt::format("can't read the input {}: {}", printable_line(source), error.what);
      return std::unexpected(std::move(error));
    }
    if (read_) read_(digest->size);
    return digest;
  }

  Result<void> admit(const std::string& name, const std::string& source) {
    if (++entries_ > kMostInputs) {
      return fail(ErrorCode::exhausted,
                  fmt::format("the inputs {} have more than {} entries", printable_line(paths_.front()), kMostInputs));
    }
    if (!is_utf8(name))
      return fail(ErrorCode::invalid_input,
                  fmt::format("the name {} is no UTF-8, which an action's inputs can't have", printable_line(source)));
    return {};
  }

  std::vector<std::string> paths_;
  InputRules rules_;
  DigestCache& cache_;
  const std::function<void(std::uint64_t)>& read_;
  std::vector<UniqueFd> roots_;
  std::size_t entries_ = 0;
  std::vector<std::string> notes_;
  std::size_t left_out_ = 0;
};

// The tree without what has one of these names. What has none of them is shared.
InputDirectoryPtr without(const InputDirectoryPtr& tree, const std::set<std::string>& names) {
  if (names.empty()) return tree;
  InputDirectory kept;
  bool same = true;
  for (const auto& [name, below] : tree->directories) {
    if (!names.contains(name)) kept.directories[name] = without(below, names);
    same &= kept.directories.contains(name) && kept.directories[name] == below;
  }
  const auto none_of = [&](const auto& entries) {
    return std::ranges::none_of(entries, [&](const auto& entry) { return names.contains(entry.first); });
  };
  if (same && none_of(tree->files) && none_of(tree->symlinks)) return tree;
  kept.files = tree->files;
  kept.symlinks = tree->symlinks;
  for (const std::string& name : names) kept.files.erase(name), kept.symlinks.erase(name);
  return seal(std::move(kept));
}

}  // namespace

std::shared_ptr<DigestCache> InputTrees::cache_of(const std::string& identity) {
  // Copies that a run has made for itself will never be there again.
  if (!store_.empty() && identity.find(store_ + "/tmp/") != std::string::npos) return std::make_shared<DigestCache>("", identity);
  const std::lock_guard lock(mutex_);
  auto& cache = caches_[identity];
  if (!cache) cache = std::make_shared<DigestCache>(store_, identity);
  return cache;
}

Result<InputTree> InputTrees::walk(const std::vector<std::string>& paths, const InputRules& rules, DigestCache& cache) {
  return InputWalk(paths, rules, cache, read_).run();
}

Result<InputTree> InputTrees::directory(const std::string& path) {
  const auto cache = cache_of(path);
  auto tree = walk({path}, {.without = &without_}, *cache);
  cache->save();
  return tree;
}

Result<InputTree> InputTrees::readable(const std::string& path) {
  const auto cache = cache_of(path);
  auto tree = walk({path}, {.lenient = true, .without = &without_}, *cache);
  cache->save();
  return tree;
}

Result<InputTree> InputTrees::interpreter(const std::string& prefix, bool packages) {
  const std::string name = fmt::format("interpreter {:d} {}", packages, prefix);
  const std::lock_guard lock(layers_mutex_);
  if (const auto found = interpreters_.find(name); found != interpreters_.end()) return found->second;
  const auto cache = cache_of(name);
  TRY_ASSIGN(InputTree tree, walk({prefix}, {.interpreter = true, .packages = packages, .without = &without_}, *cache));
  cache->save();
  return interpreters_.emplace(name, std::move(tree)).first->second;
}

Result<InputTree> InputTrees::stamps(const std::string& path) {
  DigestCache unused("", "");
  return walk({path}, {.lenient = true, .by_stamp = true, .without = &without_}, unused);
}

Result<InputDirectory::File> InputTrees::file(const std::string& path) {
  TRY_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (::fstat(fd.get(), &info) < 0) return fail_errno("look at " + path);
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::invalid_input, fmt::format("the input {} is no regular file", printable_line(path)));
  InputDirectory::File file;
  file.blob.path = path;
  file.executable = (info.st_mode & S_IXUSR) != 0;
  const auto cache = cache_of("files");
  if (auto known = cache->known(stamp_of(info))) {
    file.blob.digest = std::move(*known);
    return file;
  }
  auto digest = cache->read(fd.get());
  if (!digest) return fail(digest.error().code, fmt::format("can't read the input {}: {}", printable_line(path), digest.error().what));
  cache->save();
  file.blob.digest = std::move(*digest);
  return file;
}

bool InputTrees::is_kept(const std::string& path) const { return !store_.empty() && path.starts_with(store_ + "/layers/"); }

Result<InputTree> InputTrees::layers(const std::vector<std::string>& paths) {
  const bool stored = std::ranges::all_of(paths, [this](const std::string& path) { return is_kept(path); });
  if (!stored) {
    const auto cache = cache_of(fmt::format("{}", fmt::join(paths, "\n")));
    auto tree = walk(paths, {.whiteouts = true, .without = &without_}, *cache);
    cache->save();
    return tree;
  }
  const std::lock_guard lock(layers_mutex_);
  if (const auto found = layers_.find(paths); found != layers_.end()) return found->second;
  InputTree tree{.top = kept_tree(store_, paths)};
  if (!tree.top) {
    DigestCache unkept("", "");  // hard links are read once
    TRY_ASSIGN(tree, walk(paths, {.whiteouts = true, .lenient = true}, unkept));
    if (tree.left_out.empty()) keep_tree(store_, paths, *tree.top);
  }
  // What is kept is whole.
  tree.top = without(tree.top, without_.names);
  return layers_.emplace(paths, std::move(tree)).first->second;
}

}  // namespace casemate
