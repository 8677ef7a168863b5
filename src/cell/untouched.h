// untouched: whether a network namespace is as it was made, so that another cell may have it: a new one takes the kernel longer than all
// else in a cell. Obeys the rules of child.h.
#pragma once

namespace casemate {

/// True if no packet was ever sent in the calling process's network namespace, nor tried to be, and there is no socket but unix ones and
/// netlink's: /proc/net/{dev,snmp,sockstat,sockstat6} are as in a new one with its loopback up. Without CAP_NET_ADMIN nothing else of it
/// can be changed (/proc/sys is read-only in a cell). False if that can't be read.
[[nodiscard]] bool network_untouched();

}  // namespace casemate
