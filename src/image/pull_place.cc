#include "image/pull_place.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/tree.h"
#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLock = ".lock";

// Names in a directory of ours, and what lstat(2) says of them; none if it is not there.
std::vector<std::pair<std::string, struct stat>> files_in(const std::string& directory) {
  std::vector<std::pair<std::string, struct stat>> files;
  std::error_code problem;
  for (auto entry = fs::directory_iterator(directory, problem); !problem && entry != fs::directory_iterator(); entry.increment(problem)) {
    struct stat info{};
    if (::lstat(entry->path().c_str(), &info) == 0) files.emplace_back(entry->path().filename().string(), info);
  }
  return files;
}

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return fail(errno == ENOSPC || errno == EDQUOT ? ErrorCode::exhausted : ErrorCode::system,
              fmt::format("can't make the directory {}: {}", path, std::strerror(errno)), errno);
}

std::uint64_t size_of(const struct stat& info) { return S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0; }

const StoredLayer* find_blob(const std::vector<StoredLayer>& layers, std::string_view hex) {
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const StoredLayer& layer) { return layer.digest.substr(7) == hex; });
  return found == layers.end() ? nullptr : &*found;
}

}  // namespace

Result<PullPlace> PullPlace::open(const Store& store, std::string_view key, const std::function<void()>& waiting) {
  const std::string pulls = store.directory() + "/pulls";
  const std::string path = fmt::format("{}/{}", pulls, key);
  TRY(make_directory(pulls));
  sweep_pulls(store, std::chrono::days(1));
  bool waited = false;
  for (;;) {
    TRY_ASSIGN(LockFile lock, LockFile::open(path + std::string(kLock), true));
    TRY_ASSIGN(const bool mine, lock.try_lock(LockFile::Part::both, LockFile::Mode::exclusive));
    if (!mine) {
      if (!waited && waiting) waiting();
      waited = true;
      TRY(lock.lock(LockFile::Part::both, LockFile::Mode::exclusive));
    }
    if (!lock.current()) continue;
    ::utimensat(AT_FDCWD, (path + std::string(kLock)).c_str(), nullptr, 0);
    PullPlace place(path, std::move(lock), waited);
    TRY(make_directory(path));
    TRY(remove_tree(path + "/tmp"));
    TRY(make_directory(path + "/tmp"));
    for (const auto& [name, info] : files_in(place.layout())) {
      if (name != "blobs") TRY(remove_tree(fmt::format("{}/{}", place.layout(), name)));
    }
    return place;
  }
}

PullPlace::~PullPlace() {
  if (!open_.value) return;
  static_cast<void>(remove_tree(path_));
  lock_.remove();
}

std::string PullPlace::blob_path(std::string_view digest) const { return fmt::format("{}/blobs/sha256/{}", layout(), digest.substr(7)); }

Result<void> PullPlace::clear() { return remove_tree(layout()); }

Result<std::vector<StoredLayer>> PullPlace::prepare(Store& store, const std::vector<StoredLayer>& layers,
                                                    const std::vector<StoredLayer>& wanted) {
  const std::string blobs = layout() + "/blobs/sha256";
  for (const std::string& directory : {layout(), layout() + "/blobs", blobs}) TRY(make_directory(directory));
  for (const auto& [name, info] : files_in(blobs)) {
    const StoredLayer* layer = find_blob(wanted, name);
    if (!layer || !S_ISREG(info.st_mode) || size_of(info) != layer->size) TRY(remove_tree(fmt::format("{}/{}", blobs, name)));
  }
  std::vector<StoredLayer> missing;
  for (const StoredLayer& layer : layers) {
    const std::string path = blob_path(layer.digest);
    if (::access(path.c_str(), F_OK) == 0) continue;  // kept by an earlier pull, or the same layer again
    if (!find_blob(wanted, layer.digest.substr(7))) {
      TRY(open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
      continue;
    }
    TRY_ASSIGN(const std::optional<StoreLease> blob, store.blob(layer.digest));
    if (blob && ::link(blob->path().c_str(), path.c_str()) == 0) continue;
    if (!find_blob(missing, layer.digest.substr(7))) missing.push_back(layer);
  }
  return missing;
}

Result<void> PullPlace::adopt(Store& store, const std::vector<StoredLayer>& blobs, bool verify) {
  for (const StoredLayer& layer : blobs) {
    const std::string path = blob_path(layer.digest);
    struct stat info{};
    if (::lstat(path.c_str(), &info) < 0 || !S_ISREG(info.st_mode) || size_of(info) != layer.size) continue;
    if (verify) {
      TRY_ASSIGN(const UniqueFd file, open_file(path, O_RDONLY | O_NOFOLLOW));
      TRY_ASSIGN(const std::string hex, sha256_hex_of_fd(file.get()));
      if ("sha256:" + hex != layer.digest) {
        TRY(remove_tree(path));
        continue;
      }
    }
    TRY(store.adopt_blob(path, layer.digest));
  }
  return {};
}

PullPlace::Sizes PullPlace::sizes() const {
  Sizes sizes;
  const auto unfinished = [&](const std::string& directory) {
    for (const auto& [name, info] : files_in(directory)) {
      sizes.unfinished += size_of(info);
      sizes.largest = std::max(sizes.largest, size_of(info));
    }
  };
  unfinished(layout());
  unfinished(path_ + "/tmp");
  for (const auto& [name, info] : files_in(layout() + "/blobs/sha256")) {
    sizes.whole += size_of(info);
    ++sizes.blobs;
  }
  return sizes;
}

void sweep_pulls(const Store& store, std::chrono::seconds age) {
  const std::string pulls = store.directory() + "/pulls";
  for (const auto& [name, info] : files_in(pulls)) {
    if (!name.ends_with(kLock) || info.st_mtim.tv_sec + age.count() > std::time(nullptr)) continue;
    auto lock = LockFile::open(fmt::format("{}/{}", pulls, name), false);
    if (!lock) continue;
    const auto mine = lock->try_lock(LockFile::Part::both, LockFile::Mode::exclusive);
    if (!mine || !*mine || !lock->current()) continue;
    if (remove_tree(fmt::format("{}/{}", pulls, name.substr(0, name.size() - kLock.size())))) lock->remove();
  }
}

}  // namespace casemate
