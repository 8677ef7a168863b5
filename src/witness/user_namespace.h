// user_namespace: a user namespace of this process's own, for a process of an action that has no privilege outside it.
#pragma once

namespace casemate {

/// unshare(2) into a user namespace in which this process's own user and group are mapped, and nothing else, and into those of
/// `more` (CLONE_NEW...). Gives 0 or an errno; after an error the process may be in the namespaces, and is to end. Root without CAP_SETFCAP
/// may not map itself: EPERM (user_namespaces(7), Linux 5.12).
[[nodiscard]] int enter_user_namespace(int more);

}  // namespace casemate
