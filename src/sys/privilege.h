// privilege: what this process may do with other users' ids, by its capabilities and its user namespace.
#pragma once

#include <cstdint>

namespace casemate {

/// The host ids that cells of an engine started as root get: 65,536 from here. Above everything that systemd's table of id ranges
/// (systemd.io/UIDS-GIDS) gives out, below 2^31.
inline constexpr std::uint32_t kFirstShiftedId = 1'879'048'192;
inline constexpr std::uint32_t kShiftedIds = 65'536;

/// The effective set of this thread (capget(2)), bit i for capability i; 0 if it can't be read.
[[nodiscard]] std::uint64_t effective_capabilities();
[[nodiscard]] constexpr bool has_capability(std::uint64_t set, int capability) { return (set >> capability) & 1; }

/// Whether set-id programs are ordinary ones for this process (no_new_privs; prctl(2), PR_GET_NO_NEW_PRIVS), as a service manager may have
/// said.
[[nodiscard]] bool may_not_gain_privileges();

/// Whether the user namespace we are in maps all ids of [first, first + count). `file` is /proc/self/uid_map or gid_map
/// (user_namespaces(7)); false if it can't be read.
[[nodiscard]] bool ids_mapped(const char* file, std::uint32_t first, std::uint32_t count);

/// Whether cells get the ids from kFirstShiftedId: CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID, and a user namespace that has these ids. Root
/// in a container often lacks one of them.
[[nodiscard]] bool may_shift_ids();

}  // namespace casemate
