// layer_spec: what people want laid over an image: project files, archives, links, what a command makes, packages. Plain data.
#pragma once

#include <string>
#include <variant>
#include <vector>

namespace casemate {

/// How a file's path on the host becomes its path in the root. Fields and meaning as maelstrom's "prefix options".
struct PrefixOptions {
  std::string strip_prefix;      ///< taken off the front where it is there
  std::string prepend_prefix;    ///< then put in front
  bool canonicalize = false;     ///< first: absolute, without symlinks
  bool follow_symlinks = false;  ///< take what a symlink points at, not the link

  bool operator==(const PrefixOptions&) const = default;
};

/// Files of the project that match a pattern: `*` and `?` within a name, `**` across directories ("**.py" is every .py file at any depth),
/// [...] and {a,b}.
struct GlobLayer {
  std::string glob;
  std::vector<std::string> exclude;  ///< patterns of the same kind; a directory that matches is not entered. Ours
  PrefixOptions prefix;
  bool operator==(const GlobLayer&) const = default;
};

/// Named files; directories with all that is in them.
struct PathsLayer {
  std::vector<std::string> paths;
  PrefixOptions prefix;
  bool operator==(const PathsLayer&) const = default;
};

/// A tar archive (plain, gzip, zstd), unpacked at the root.
struct TarLayer {
  std::string path;
  bool operator==(const TarLayer&) const = default;
};

/// Empty files, and directories where a name ends in '/'; braces expand: "/{proc,sys,tmp}/".
struct StubsLayer {
  std::vector<std::string> stubs;
  bool operator==(const StubsLayer&) const = default;
};

/// Symlinks.
struct SymlinksLayer {
  struct Link {
    std::string link;    ///< where it lies
    std::string target;  ///< what it says
    bool operator==(const Link&) const = default;
  };
  std::vector<Link> symlinks;
  bool operator==(const SymlinksLayer&) const = default;
};

/// What a command changes in the root with all layers below this one, run once, with network.
struct CommandLayer {
  std::vector<std::string> argv;
  bool operator==(const CommandLayer&) const = default;
};

/// Packages of a requirements file, for the Python of the root below. Ours.
struct EnvironmentLayer {
  std::string requirements;
  bool own_field = false;  ///< said by a container's field `requirements`, not among its layers: what messages call it
  bool operator==(const EnvironmentLayer&) const = default;
};

using LayerSpec = std::variant<GlobLayer, PathsLayer, TarLayer, StubsLayer, SymlinksLayer, CommandLayer, EnvironmentLayer>;

}  // namespace casemate
