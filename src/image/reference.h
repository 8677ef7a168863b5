// reference: how people spell an image: "host", "docker://python:3.10-slim", "oci:DIR:TAG". A value and its text, no operating system.
#pragma once

#include <string>
#include <string_view>

#include "casemate/result.h"

namespace casemate {

/// An image as somebody named it, with what they left out filled in: two spellings of one image are equal values.
struct ImageReference {
  enum class Kind {
    host,            ///< "host": the host's own programs, no image at all
    registry,        ///< "docker://NAME[:TAG][@DIGEST]": an image in a registry
    oci_layout,      ///< "oci:DIR[:TAG]": an OCI image layout, a directory
    oci_archive,     ///< "oci-archive:FILE[:TAG]": a tar of such a layout
    docker_archive,  ///< "docker-archive:FILE[:NAME[:TAG]]": what `docker save` writes
    docker_daemon,   ///< "docker-daemon:NAME[:TAG]": an image of the local Docker Engine
    root_directory,  ///< "dir:ROOTFS": a directory that is the root itself (skopeo's "dir:" is something else)
  };
  Kind kind = Kind::host;
  /// registry, docker_daemon, docker_archive: the repository with its registry, "docker.io/library/python"; "" where none was named.
  std::string name;
  /// "latest" where a repository was named alone, "" where a digest was given. oci_layout, oci_archive: the value of the annotation
  /// org.opencontainers.image.ref.name; "": the only image there is.
  std::string tag;
  /// "sha256:<64 lower-case hex digits>" or "". Of the manifest or index; docker_daemon without a name: the image's id.
  std::string digest;
  /// The directory or file as it was typed, relative ones too; "" for host, registry and docker_daemon.
  std::string path;

  bool operator==(const ImageReference&) const = default;
};

/// Reads one of the spellings above. Names follow the grammar of github.com/distribution/reference (reference.go, v0.6) and, as there, a
/// name without a registry is docker.io's and one without an owner is library/'s. A tag beside a digest is dropped: the digest decides.
/// DIR and FILE end at the first ':' as in containers-transports(5), and ":@sha256:HEX" in place of an OCI tag picks the manifest with
/// that digest. invalid_input: one line that quotes what is wrong; not_supported: a digest that is not SHA-256.
Result<ImageReference> parse_image_reference(std::string_view text);

/// The one full spelling, "docker://docker.io/library/python:3.10-slim", which parses to the same value again; skopeo takes all of them but
/// "host", "dir:" and an OCI layout's ":@sha256:".
[[nodiscard]] std::string to_text(const ImageReference& reference);

/// True if the reference has a digest and so means the same bytes for ever. A tag can be moved, a file or directory changed.
[[nodiscard]] bool is_pinned(const ImageReference& reference);

/// Whether `text` is "sha256:" and 64 lower-case hex digits (OCI image-spec 1.1, descriptor.md#digests). invalid_input says what is wrong
/// with it; not_supported: another algorithm.
Result<void> check_digest(std::string_view text);

/// `text` of anybody in single quotes for an error message: at most about 120 bytes of it, made safe for a screen, on one line.
[[nodiscard]] std::string in_quotes(std::string_view text);

/// The same image by a digest in place of its tag.
[[nodiscard]] ImageReference with_digest(ImageReference reference, std::string digest);

/// An error with the image's name before it, unless it begins with that.
[[nodiscard]] std::unexpected<Error> about(const ImageReference& reference, const Error& error);

}  // namespace casemate
