#include "remote/blob_source.h"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "action/bytecode.h"
#include "base/terminal.h"

namespace casemate {
namespace {

std::unexpected<Error> changed(const Blob& blob) {
  const std::string what = blob.path.empty() ? "a blob in memory" : fmt::format("'{}'", printable_line(blob.path));
  return fail(ErrorCode::corrupt, fmt::format("{} changed while it was sent: it is not what its digest {} says", what, blob.digest.hash));
}

}  // namespace

Result<BlobSource> BlobSource::open(const Blob& blob) {
  BlobSource source(blob);
  if (blob.path.empty()) {
    if (blob.bytes.size() != blob.digest.size) return changed(blob);
  } else {
    TRY_ASSIGN(source.file_, open_file(blob.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    if (blob.timeless) {
      std::string header(kBytecodeHeader, '\0');
      const ssize_t got = ::pread(source.file_.get(), header.data(), header.size(), 0);
      auto timeless = header_without_time(std::string_view(header).substr(0, got < 0 ? 0 : static_cast<std::size_t>(got)));
      if (!timeless || ::lseek(source.file_.get(), kBytecodeHeader, SEEK_SET) < 0) return changed(blob);
      source.begins_ = std::move(*timeless);
    }
  }
  if (source.at_end()) TRY(source.finish());
  return source;
}

Result<void> BlobSource::read(std::size_t most, std::string& out) {
  if (at_end()) return {};
  const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(most, left_));
  const std::size_t before = out.size();
  if (!file_) {
    out.append(blob_->bytes, blob_->bytes.size() - left_, want);
  } else {
    std::size_t have = std::min(want, begins_.size());
    out.append(begins_, 0, have);
    begins_.erase(0, have);
    out.resize(before + want);
    while (have < want) {
      const ssize_t got = ::read(file_.get(), out.data() + before + have, want - have);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno(fmt::format("read '{}'", printable_line(blob_->path)));
      if (got == 0) return changed(*blob_);
      have += static_cast<std::size_t>(got);
    }
  }
  hash_.update(std::string_view(out).substr(before));
  left_ -= want;
  return at_end() ? finish() : Result<void>{};
}

Result<void> BlobSource::finish() {
  char more = 0;
  if (file_ && ::read(file_.get(), &more, 1) > 0) return changed(*blob_);
  if (hash_.hex() != blob_->digest.hash) return changed(*blob_);
  return {};
}

}  // namespace casemate
