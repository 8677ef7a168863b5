#include "remote/sent_blobs.h"

#include <vector>

namespace casemate {
namespace {

constexpr std::size_t kMany = 100;

}  // namespace

Result<std::uint64_t> SentBlobs::send(const JobAction& action, const std::stop_token& stop) {
  std::size_t unknown = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto enter = [&](const InputDirectory& directory) { return unknown <= kMany && !known_.contains(directory.digest.hash); };
    for_each_blob(*action.root, [&](const Blob& blob) { unknown += known_.contains(blob.digest.hash) ? 0 : 1; }, enter);
  }
  if (unknown <= kMany) return send_unknown(action, stop);
  const std::lock_guard lock(large_);
  return send_unknown(action, stop);
}

Result<std::uint64_t> SentBlobs::send_unknown(const JobAction& action, const std::stop_token& stop) {
  std::vector<Blob> blobs = {action.command, action.action};
  std::unordered_set<std::string> wanted = {action.command.digest.hash, action.action.digest.hash};
  {
    const std::lock_guard lock(mutex_);
    const auto enter = [&](const InputDirectory& directory) { return !known_.contains(directory.digest.hash); };
    const auto take = [&](const Blob& blob) {
      if (!known_.contains(blob.digest.hash) && wanted.insert(blob.digest.hash).second) blobs.push_back(blob);
    };
    for_each_blob(*action.root, take, enter);
  }
  std::vector<BlobDigest> digests;
  digests.reserve(blobs.size());
  for (const Blob& blob : blobs) digests.push_back(blob.digest);
  TRY_ASSIGN(const std::vector<BlobDigest> missing, engine_.missing(digests, stop));
  std::unordered_set<std::string> lacking;
  for (const BlobDigest& digest : missing) lacking.insert(digest.hash);
  std::vector<Blob> lacked;
  for (Blob& blob : blobs) {
    if (lacking.contains(blob.digest.hash)) lacked.push_back(std::move(blob));
  }
  std::uint64_t sent = 0;
  if (!lacked.empty()) {
    std::uint64_t bytes = 0;
    std::size_t files = 0;
    for (const Blob& blob : lacked) {
      bytes += blob.digest.size;
      files += blob.path.empty() ? 0 : 1;
    }
    const auto stage = watch_.sending(bytes, files);
    TRY_ASSIGN(sent, engine_.upload(lacked, stop, [this](std::uint64_t more, std::size_t whole) { watch_.sent(more, whole); }));
  }
  // The messages of this action and its root are nobody else's.
  wanted.erase(action.command.digest.hash);
  wanted.erase(action.action.digest.hash);
  wanted.erase(action.root->digest.hash);
  const std::lock_guard lock(mutex_);
  known_.merge(wanted);
  return sent;
}

Result<bool> SentBlobs::has_all(const JobAction& action, const std::stop_token& stop) {
  std::vector<BlobDigest> digests = {action.command.digest, action.action.digest};
  std::unordered_set<std::string> wanted;
  for_each_blob(*action.root, [&](const Blob& blob) {
    if (wanted.insert(blob.digest.hash).second) digests.push_back(blob.digest);
  });
  TRY_ASSIGN(const std::vector<BlobDigest> missing, engine_.missing(digests, stop));
  if (missing.empty()) return true;
  forget();
  return false;
}

void SentBlobs::forget() {
  ++losses_;
  const std::lock_guard lock(mutex_);
  known_.clear();
}

}  // namespace casemate
