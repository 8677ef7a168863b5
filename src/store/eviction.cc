// Eviction: what the store holds, and how it is kept within its size without touching what is in use.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/parts.h"
#include "store/tree.h"

namespace casemate {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Calls `take` with each name in a directory but "." and ".."; a missing or unreadable directory has none.
template <class Take>
void for_each_name(const std::string& path, const Take& take) {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (!directory) return;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") take(name);
  }
}

void list_blobs(const std::string& root, std::vector<StoreEntry>& entries) {
  for_each_name(root, [&](std::string_view prefix) {
    if (prefix.size() != 2) return;
    const std::string directory = fmt::format("{}/{}", root, prefix);
    for_each_name(directory, [&](std::string_view rest) {
      const std::string hex = fmt::format("{}{}", prefix, rest);
      struct stat info{};
      if (!is_sha256_hex(hex) || ::lstat(fmt::format("{}/{}", directory, rest).c_str(), &info) < 0 || !S_ISREG(info.st_mode)) return;
      StoreEntry entry;
      entry.kind = entry_word(EntryKind::blob);
      entry.key = "sha256:" + hex;
      entry.bytes = static_cast<std::uint64_t>(info.st_size);
      entry.last_used = info.st_mtim.tv_sec;
      entries.push_back(std::move(entry));
    });
  });
}

void list_layers(const std::string& root, std::vector<StoreEntry>& entries) {
  for_each_name(root, [&](std::string_view hex) {
    const std::string path = fmt::format("{}/{}", root, hex);
    struct stat info{};
    if (!is_sha256_hex(hex) || ::lstat(path.c_str(), &info) < 0 || !S_ISDIR(info.st_mode)) return;
    StoreEntry entry;
    entry.kind = entry_word(EntryKind::layer);
    entry.key = hex;
    entry.last_used = info.st_mtim.tv_sec;
    entry.description = "(damaged)";
    const std::string meta_path = path + "/meta.json";
    if (::lstat(meta_path.c_str(), &info) == 0) entry.last_used = info.st_mtim.tv_sec;
    if (const auto text = read_file(meta_path, 64 << 10)) {
      if (const auto meta = parse_layer_meta(*text)) {
        entry.bytes = meta->bytes;
        entry.description = meta->description;
      }
    }
    entries.push_back(std::move(entry));
  });
}

EntryKind kind_of(const StoreEntry& entry) { return entry.kind == entry_word(EntryKind::blob) ? EntryKind::blob : EntryKind::layer; }

std::string_view hex_of(const StoreEntry& entry) {
  return kind_of(entry) == EntryKind::blob ? std::string_view(entry.key).substr(7) : std::string_view(entry.key);
}

}  // namespace

std::optional<std::uint64_t> Usage::add(std::uint64_t bytes) {
  const UniqueFd fd(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct ::flock whole{};
  whole.l_type = F_WRLCK;
  if (!fd || ::fcntl(fd.get(), F_OFD_SETLKW, &whole) < 0) return std::nullopt;
  char text[21] = {};
  const ssize_t got = ::pread(fd.get(), text, 20, 0);
  std::uint64_t sum = 0;
  if (got != 20 || std::from_chars(text, text + 20, sum).ptr != text + 20) return std::nullopt;
  sum += bytes;
  const std::string line = fmt::format("{:020}", sum);
  if (::pwrite(fd.get(), line.data(), line.size(), 0) != 20) return std::nullopt;
  return sum;
}

void Usage::subtract(std::uint64_t bytes) {
  // Two steps, unlocked between: a hint may be off by what came meanwhile until the next eviction puts it right.
  if (const auto sum = add(0)) set(*sum > bytes ? *sum - bytes : 0);
}

void Usage::set(std::uint64_t bytes) {
  const UniqueFd fd(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct ::flock whole{};
  whole.l_type = F_WRLCK;
  if (!fd || ::fcntl(fd.get(), F_OFD_SETLKW, &whole) < 0) return;
  const std::string line = fmt::format("{:020}", bytes);
  if (::pwrite(fd.get(), line.data(), line.size(), 0) != 20) static_cast<void>(::ftruncate(fd.get(), 0));
}

Result<std::vector<StoreEntry>> Store::Parts::entries(bool ask_locks) const {
  std::vector<StoreEntry> entries;
  list_blobs(place.directory + "/blobs/sha256", entries);
  list_layers(place.directory + "/layers", entries);
  for (StoreEntry& entry : entries) {
    if (!ask_locks) break;
    const auto lock = LockFile::open(lock_path(kind_of(entry), hex_of(entry)), false);
    entry.in_use = lock && lock->held_by_others(LockFile::Part::use, LockFile::Mode::exclusive);
  }
  return entries;
}

Result<std::optional<std::string>> Store::Parts::take_out(EntryKind kind, std::string_view hex) const {
  TRY_ASSIGN(LockFile lock, open_lock(kind, hex));
  TRY_ASSIGN(const bool alone, lock.try_lock(LockFile::Part::both, LockFile::Mode::exclusive));
  if (!alone || !lock.current()) return std::nullopt;
  TRY_ASSIGN(std::string away, move_away(entry_path(kind, hex)));
  lock.remove();
  return away;
}

void Store::Parts::sweep_locks() const {
  for_each_name(place.directory + "/locks", [&](std::string_view name) {
    const EntryKind kind = name.starts_with("blob-") ? EntryKind::blob : EntryKind::layer;
    const std::size_t length = entry_word(kind).size() + 1;
    if (!name.starts_with(fmt::format("{}-", entry_word(kind))) || !is_sha256_hex(name.substr(length))) return;
    const std::string hex(name.substr(length));
    struct stat info{};
    if (::lstat(entry_path(kind, hex).c_str(), &info) == 0 || errno != ENOENT) return;
    auto lock = LockFile::open(lock_path(kind, hex), false);
    if (!lock) return;
    const auto alone = lock->try_lock(LockFile::Part::both, LockFile::Mode::exclusive);
    if (alone && *alone && lock->current() && ::lstat(entry_path(kind, hex).c_str(), &info) < 0) lock->remove();
  });
}

Result<std::uint64_t> Store::Parts::evict(std::uint64_t most, std::vector<Error>* problems) const {
  TRY_ASSIGN(std::vector<StoreEntry> all, entries(false));
  std::uint64_t sum = 0;
  for (const StoreEntry& entry : all) sum += entry.bytes;
  std::sort(all.begin(), all.end(), [](const StoreEntry& a, const StoreEntry& b) { return a.last_used < b.last_used; });
  std::uint64_t freed = 0;
  for (const StoreEntry& entry : all) {
    // "Keep nothing" takes those that weigh nothing too.
    if (sum <= most && most != 0) break;
    auto taken = take_out(kind_of(entry), hex_of(entry));
    if (taken && !*taken) continue;
    auto removed = taken ? discard(**taken) : Result<void>(std::unexpected(taken.error()));
    if (!removed && problems) problems->push_back(removed.error());
    if (!taken) continue;
    sum -= entry.bytes;
    if (removed && !(*taken)->empty()) freed += entry.bytes;  // empty: another evictor was faster
  }
  Usage(place.directory + "/usage").set(sum);
  return freed;
}

void Store::Parts::grown(std::uint64_t bytes) const {
  const auto sum = Usage(place.directory + "/usage").add(bytes);
  // Down to 90 %: or each publication of a full store would walk all of it.
  if (!sum || *sum > max_bytes) static_cast<void>(evict(sum ? max_bytes - max_bytes / 10 : max_bytes, nullptr));
}

bool Store::has(std::string_view key) const {
  const bool blob = key.starts_with("sha256:");
  const std::string hex(blob ? key.substr(7) : key);
  return is_sha256_hex(hex) && ::access(parts_->entry_path(blob ? EntryKind::blob : EntryKind::layer, hex).c_str(), F_OK) == 0;
}

Result<std::optional<std::uint64_t>> Store::remove(std::string_view key) {
  const bool blob = key.starts_with("sha256:");
  const std::string hex(blob ? key.substr(7) : key);
  if (!is_sha256_hex(hex)) return fail(ErrorCode::invalid_input, "what is to be removed from the store has no key of a blob or a layer");
  parts_->finish_surveys();  // they hold layers
  const EntryKind kind = blob ? EntryKind::blob : EntryKind::layer;
  const std::string path = parts_->entry_path(kind, hex);
  struct stat info{};
  if (::lstat(path.c_str(), &info) < 0) return std::nullopt;
  std::uint64_t bytes = blob ? static_cast<std::uint64_t>(info.st_size) : 0;
  if (const auto text = blob ? Result<std::string>("") : read_file(path + "/meta.json", 64 << 10)) {
    if (const auto meta = parse_layer_meta(*text)) bytes = meta->bytes;
  }
  TRY_ASSIGN(const std::optional<std::string> away, parts_->take_out(kind, hex));
  if (!away || away->empty()) return std::nullopt;
  TRY(parts_->discard(*away));
  Usage(parts_->place.directory + "/usage").subtract(bytes);
  return bytes;
}

Result<std::uint64_t> Store::prune(std::uint64_t max_bytes, std::vector<Error>* problems) {
  parts_->finish_surveys();
  TRY_ASSIGN(const std::uint64_t freed, parts_->evict(max_bytes, problems));
  parts_->sweep_locks();
  parts_->sweep_stuck(problems);
  return freed;
}

}  // namespace casemate
