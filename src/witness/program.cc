#include "witness/program.h"

#include <fmt/format.h>

#include "sys/process.h"

namespace casemate {

Result<std::string> witness_program() {
  std::string path = program_beside("casemate-witness");
  if (is_program(path)) return path;
  return fail(
      ErrorCode::not_supported,
      fmt::format("{} is not there, which comes with casemate and is the first process of its containers and remote actions", path));
}

}  // namespace casemate
