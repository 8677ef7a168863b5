#include "sys/privilege.h"

#include <cstdlib>

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/fd.h"

namespace casemate {

std::uint64_t effective_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) < 0) return 0;
  return data[0].effective | static_cast<std::uint64_t>(data[1].effective) << 32;
}

bool may_not_gain_privileges() { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1; }

bool ids_mapped(const char* file, std::uint32_t first, std::uint32_t count) {
  auto text = read_file(file, 64 << 10);
  if (!text) return false;
  const char* at = text->c_str();
  for (;;) {
    char* end = nullptr;
    const unsigned long inside = std::strtoul(at, &end, 10);
    if (end == at) return false;
    std::strtoul(end, &end, 10);
    const unsigned long length = std::strtoul(end, &end, 10);
    at = end;
    if (first >= inside && first - inside + count <= length) return true;
  }
}

bool may_shift_ids() {
  const std::uint64_t effective = effective_capabilities();
  return has_capability(effective, CAP_SYS_ADMIN) && has_capability(effective, CAP_SETUID) && has_capability(effective, CAP_SETGID) &&
         ids_mapped("/proc/self/uid_map", kFirstShiftedId, kShiftedIds) && ids_mapped("/proc/self/gid_map", kFirstShiftedId, kShiftedIds);
}

}  // namespace casemate
