#include "cell/capability.h"

#include <cstring>
#include <iterator>

#include <strings.h>

namespace casemate {
namespace {

// By number, as capabilities(7) and linux/capability.h have them.
constexpr const char* kCapabilityNames[] = {"CHOWN",
                                            "DAC_OVERRIDE",
                                            "DAC_READ_SEARCH",
                                            "FOWNER",
                                            "FSETID",
                                            "KILL",
                                            "SETGID",
                                            "SETUID",
                                            "SETPCAP",
                                            "LINUX_IMMUTABLE",
                                            "NET_BIND_SERVICE",
                                            "NET_BROADCAST",
                                            "NET_ADMIN",
                                            "NET_RAW",
                                            "IPC_LOCK",
                                            "IPC_OWNER",
                                            "SYS_MODULE",
                                            "SYS_RAWIO",
                                            "SYS_CHROOT",
                                            "SYS_PTRACE",
                                            "SYS_PACCT",
                                            "SYS_ADMIN",
                                            "SYS_BOOT",
                                            "SYS_NICE",
                                            "SYS_RESOURCE",
                                            "SYS_TIME",
                                            "SYS_TTY_CONFIG",
                                            "MKNOD",
                                            "LEASE",
                                            "AUDIT_WRITE",
                                            "AUDIT_CONTROL",
                                            "SETFCAP",
                                            "MAC_OVERRIDE",
                                            "MAC_ADMIN",
                                            "SYSLOG",
                                            "WAKE_ALARM",
                                            "BLOCK_SUSPEND",
                                            "AUDIT_READ",
                                            "PERFMON",
                                            "BPF",
                                            "CHECKPOINT_RESTORE"};

}  // namespace

int capability_number(std::string_view name) {
  if (name.size() > 4 && strncasecmp(name.data(), "CAP_", 4) == 0) name.remove_prefix(4);
  for (std::size_t i = 0; i < std::size(kCapabilityNames); ++i) {
    if (name.size() == std::strlen(kCapabilityNames[i]) && strncasecmp(name.data(), kCapabilityNames[i], name.size()) == 0)
      return static_cast<int>(i);
  }
  return -1;
}

}  // namespace casemate
