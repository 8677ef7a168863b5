#include "remote/fetched_bytes.h"

#include <algorithm>

#include <fcntl.h>
#include <unistd.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::uint64_t kInMemory = 1u << 20;

}  // namespace

Result<FetchedBytes> FetchedBytes::fetch(RemoteEngine& engine, const BlobDigest& digest, const std::string& directory,
                                         const std::stop_token& stop) {
  FetchedBytes fetched;
  if (digest.size <= kInMemory) {
    TRY_ASSIGN(fetched.bytes_, engine.read(digest, kInMemory, stop));
  } else {
    fetched.file_.reset(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fetched.file_) return fail_errno("make a temporary file in " + printable_name(directory));
    TRY(engine.read_to(fetched.file_.get(), digest, stop));
  }
  fetched.size_ = digest.size;
  return fetched;
}

std::string FetchedBytes::read(std::uint64_t at, std::uint64_t most) const {
  if (at >= size_) return "";
  if (!file_) return bytes_.substr(at, most);
  std::string piece(std::min(most, size_ - at), '\0');
  const ssize_t got = ::pread(file_.get(), piece.data(), piece.size(), static_cast<off_t>(at));
  piece.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return piece;
}

bool FetchedBytes::contains(std::string_view words) const {
  if (!file_) return bytes_.find(words) != std::string::npos;
  for (std::uint64_t at = 0; at + words.size() <= size_; at += kInMemory) {
    if (read(at, kInMemory + words.size() - 1).find(words) != std::string::npos) return true;
  }
  return false;
}

}  // namespace casemate
