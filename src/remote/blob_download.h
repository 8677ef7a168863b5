// blob_download: contents out of an engine's store.
#pragma once

#include <functional>
#include <stop_token>
#include <string_view>

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

}  // namespace casemate
