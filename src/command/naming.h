// naming: images as people type them on a command line, and what to say when it is no image that casemate knows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "image/manifest.h"
#include "image/pull.h"
#include "image/reference.h"

namespace casemate {

/// parse_image_reference(), but where the transport is missing the error is one line that asks "did you mean docker://python:3.11-slim?",
/// or oci:, dir: and so on for what lies on the disk under that name.
Result<ImageReference> read_image_name(std::string_view text);

/// Where an image may be exported to: a layout or an archive. invalid_input: anything else; a bare name is asked about.
Result<ImageReference> read_export_target(std::string_view text);

/// "OS/ARCHITECTURE[/VARIANT]" as docker's --platform has it; x86_64 and aarch64 are amd64 and arm64. invalid_input.
Result<Platform> parse_platform(std::string_view text);

/// The images of `all` that `text` means: a reference, also with only the first digits of its digest (six at least, "NAME@0472772e8d5f"),
/// or such digits alone (with or without "sha256:"), of an index or a manifest. invalid_input: neither, or digits that several images have.
Result<std::vector<StoredImage>> images_named(const std::vector<StoredImage>& all, std::string_view text);

/// "0123456789ab": as many digits of a digest as `casemate image list` shows.
[[nodiscard]] std::string short_digest(std::string_view digest);

/// The size of the layers' blobs, as a registry has them.
[[nodiscard]] std::uint64_t blob_bytes(const StoredImage& image);

}  // namespace casemate
