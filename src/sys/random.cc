#include "sys/random.h"

#include <cerrno>
#include <cstdint>

#include <fmt/format.h>
#include <sys/random.h>

namespace casemate {

std::string random_name() {
  std::uint64_t random = 0;
  while (::getrandom(&random, sizeof random, 0) < 0 && errno == EINTR) continue;
  return fmt::format("{:016x}", random);
}

}  // namespace casemate
