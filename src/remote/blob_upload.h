// blob_upload: contents on their way into an engine's store.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>

#include "action/blob.h"
#include "casemate/result.h"
#include "remote/calls.h"
#include "remote/engine.h"

namespace casemate {

/// Sends these, several at a time: the small ones packed into BatchUpdateBlobs, the others by ByteStream.Write. Bytes of content that went
/// over the wire, compressed where they were. The first failure ends it all. `sent` as RemoteEngine::upload() has it.
Result<std::uint64_t> upload_blobs(const RemoteCalls& calls, const RemoteOffer& offer, std::span<const Blob> blobs, const HearSent& sent,
                                   const std::stop_token& stop);

}  // namespace casemate
