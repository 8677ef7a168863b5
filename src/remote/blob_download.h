// blob_download: contents out of an engine's store.
#pragma once

#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "action/blob.h"
#include "casemate/result.h"
#include "remote/calls.h"
#include "remote/engine.h"

namespace casemate {

/// Takes the next bytes of a content; its error ends the download.
using TakeBytes = std::function<Result<void>(std::string_view bytes)>;

/// Hands a blob's bytes on, in order, each once and never more than its digest says; goes on where it broke. What is not what its digest
/// says is `corrupt`, after all of it was handed on. A blob that is not there: kBlobMissing.
Result<void> download_blob(const RemoteCalls& calls, const RemoteOffer& offer, const BlobDigest& blob, const TakeBytes& take,
                           const std::stop_token& stop);

/// Several, in their order, each checked: the small ones by BatchReadBlobs, as many at a time as a message has room for.
Result<std::vector<std::string>> download_blobs(const RemoteCalls& calls, const RemoteOffer& offer, std::span<const BlobDigest> blobs,
                                                const std::stop_token& stop);

}  // namespace casemate
