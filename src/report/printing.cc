#include "report/printing.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {

int complain(std::string_view program, const std::string& what, int code) {
  std::fputs(fmt::format("{}: {}\n", program, printable_line(what)).c_str(), stderr);
  return code;
}

void print_json(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

int printed(std::string_view program, const std::function<int()>& command) {
  try {
    const int code = command();
    return std::fflush(stdout) == 0 ? code : complain(program, fmt::format("can't write the output: {}", std::strerror(errno)));
  } catch (const std::system_error& failed) {  // fmt::print says so of a full disk or a closed pipe
    return complain(program, fmt::format("can't write the output: {}", failed.code().message()));
  }
}

}  // namespace casemate
