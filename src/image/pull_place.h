// pull_place: a directory below the store's pulls/ in which skopeo writes what one pull fetches. It outlives a pull that is killed, so that
// the next one finds the blobs that had come whole.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/result.h"
#include "image/pull.h"
#include "store/lock.h"
#include "store/store.h"

namespace casemate {

/// `<store>/pulls/<key>/` under a lock, which one pull holds at a time:
///   layout/                    the OCI layout that skopeo writes; layout/blobs/sha256/<hex>: whole blobs
///   layout/oci-put-blob*, tmp/ what skopeo has not finished
class PullPlace {
 public:
  /// Opens or makes the place of `key` (64 hex digits), waiting for whoever has it; `waiting` is called once before. What an earlier holder
  /// had not finished is removed.
  static Result<PullPlace> open(const Store& store, std::string_view key, const std::function<void()>& waiting = {});
  PullPlace(PullPlace&&) noexcept = default;
  PullPlace& operator=(PullPlace&&) = delete;
  /// Removes the directory: what was of use has been adopted.
  ~PullPlace();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string layout() const { return path_ + "/layout"; }
  [[nodiscard]] std::string blob_path(std::string_view digest) const;
  /// Whether somebody else had the place when it was asked for, and so may have done the work.
  [[nodiscard]] bool waited() const { return waited_; }

  /// Removes all that is in it.
  Result<void> clear();
  /// Makes the place ready for skopeo to fetch just `wanted`: links what of them the store has, and puts empty files in place of all other
  /// `layers`, which skopeo then takes for fetched. Blobs of other names or sizes go. The layers that are still to be fetched.
  Result<std::vector<StoredLayer>> prepare(Store& store, const std::vector<StoredLayer>& layers, const std::vector<StoredLayer>& wanted);
  /// Moves whole blobs into the store; `verify` reads them first and removes those that are damaged.
  Result<void> adopt(Store& store, const std::vector<StoredLayer>& blobs, bool verify);

  /// Bytes that skopeo is at: in files that it has not finished, the largest of these, and those that are whole.
  struct Sizes {
    std::uint64_t unfinished = 0;
    std::uint64_t largest = 0;
    std::uint64_t whole = 0;
    std::size_t blobs = 0;
  };
  [[nodiscard]] Sizes sizes() const;

 private:
  PullPlace(std::string path, LockFile lock, bool waited) : path_(std::move(path)), lock_(std::move(lock)), waited_(waited), open_(true) {}
  std::string path_;
  LockFile lock_;
  bool waited_ = false;
  struct Open {  // false after a move
    explicit Open(bool value) : value(value) {}
    Open(Open&& other) noexcept : value(std::exchange(other.value, false)) {}
    bool value;
  } open_;
};

/// Removes places of pulls that were killed longer than `age` ago and that nobody holds.
void sweep_pulls(const Store& store, std::chrono::seconds age);

}  // namespace casemate
