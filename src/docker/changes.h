// changes: what the Engine API says a container changed of its image, and what of that has to be fetched.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "docker/tar.h"

namespace casemate {

/// GET /containers/ID/changes, by path without the leading "/", sorted. What docker, podman and casemate themselves put into every
/// container is left out.
enum class LayerChange { modified = 0, added = 1, deleted = 2 };
using LayerChanges = std::map<std::string, LayerChange>;

/// corrupt: nothing that the API knows.
Result<LayerChanges> parse_changes(std::string_view json);
/// What is so left out: /dev and all in it, /etc/hosts, ...; without the leading "/".
[[nodiscard]] bool is_daemons_own(std::string_view path);

/// The header X-Docker-Container-Path-Stat (base64 of JSON, with Go's os.FileMode and time.Time): `path` is only the last part of it.
/// corrupt: it is none.
Result<TarEntry> parse_path_stat(std::string_view header);

/// One request for what a place below which changes are wanted needs.
struct ChangeFetch {
  enum class How {
    get,      ///< its archive
    look,     ///< first what it is: of a directory that merely stands in the list nothing is wanted
    outline,  ///< what it was in the image
    both,     ///< `look`, and from the image as well
  };
  How how = How::get;
  std::string path;  ///< without the leading "/"
};

/// What to fetch for changes at or below `place` ("" is the root). Added trees are fetched by their topmost directory.
struct ChangeFetches {
  std::vector<ChangeFetch> fetches;
  std::vector<std::string> directories;  ///< were there and are: parents of what changed
  std::vector<std::string> deleted;
  std::vector<std::string> added;  ///< all of them, to see what archives left out (sockets)
};
[[nodiscard]] ChangeFetches plan_fetches(const LayerChanges& changes, std::string_view place);

}  // namespace casemate
