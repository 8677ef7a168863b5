// blob_write: one content into an engine's store by ByteStream.Write.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "action/blob.h"
#include "casemate/result.h"
#include "remote/calls.h"

namespace casemate {

/// Sends a blob, over the connections that have this number; goes on where it broke, as far as the engine says (QueryWriteStatus), else
/// from the start. An engine that has it already may end it early. `sent_to` hears how far into the content it is, from the start again
/// where that has to be. Bytes that went over the wire.
Result<std::uint64_t> write_blob(const RemoteCalls& calls, const Blob& blob, bool compressed, std::size_t connection,
                                 const std::function<void(std::uint64_t)>& sent_to, const std::stop_token& stop);

}  // namespace casemate
