// probe: what this kernel lets this process do, found by doing it in children that leave nothing behind. For `casemate doctor`.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "casemate/result.h"

namespace casemate {

/// One thing that a host offers or not.
struct HostFeature {
  enum class State {
    ok,
    fallback,  ///< jobs run without it, by another way or with less
    missing,   ///< what needs it can't be done
  };
  std::string name;
  State state = State::missing;
  std::string meaning;    ///< one line: what was found, and what follows from it
  std::string fix;        ///< one line: how to get it; "" if ok
  bool required = false;  ///< missing: no job runs at all
};

/// "ok", "fallback", "missing".
[[nodiscard]] const char* word(HostFeature::State state);

/// What the probes need to know of the engine's ways.
struct ProbeOptions {
  /// Writes the id maps of a new user namespace as the engine does for a cell, so that 0 is mapped inside.
  std::function<Result<void>(pid_t)> map_ids;
  std::string mount_point = "/tmp";  ///< an existing directory to mount on, in the children's own mount namespaces
  std::string cache_directory;       ///< an existing directory on the file system that idmapped mounts are wanted of
  /// A user namespace fd for that, made by the engine's way; -1 where this process may not.
  int idmap_fd = -1;
};

/// What decides about user namespaces, read from /proc.
struct NamespaceSettings {
  std::optional<long> unprivileged_userns_clone;  ///< Debian's kernel.unprivileged_userns_clone
  std::optional<long> max_user_namespaces;        ///< user.max_user_namespaces
  std::optional<long> apparmor_restrict;          ///< Ubuntu's kernel.apparmor_restrict_unprivileged_userns
  bool seccomp_filtered = false;                  ///< a filter lies over this process already: a container runtime's
  bool root = false;
};
[[nodiscard]] NamespaceSettings read_namespace_settings();
/// What to do when a namespace, or a mount inside one, is refused with this errno.
[[nodiscard]] std::string namespace_fix(int errno_value, const NamespaceSettings& settings);

/// The row for a kernel release as uname(2) gives it ("6.1.0-18-amd64").
[[nodiscard]] HostFeature kernel_feature(const std::string& release);

/// Kernel, namespaces, overlay, proc, idmapped mounts, seccomp, cgroups: a row each. Takes some tens of milliseconds; the caller must have
/// one thread only (the children are forks).
std::vector<HostFeature> probe_kernel(const ProbeOptions& options);

}  // namespace casemate
