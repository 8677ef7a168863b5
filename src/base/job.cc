#include "casemate/job.h"

namespace casemate {

Limits default_limits() {
  Limits limits;
  limits.memory_bytes = 512ull << 20;
  limits.pids = 256;
  limits.disk_bytes = 256ull << 20;
  limits.disk_inodes = 32768;
  limits.open_files = 1024;
  return limits;
}

std::vector<std::string> default_host_paths() { return {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt"}; }

}  // namespace casemate
