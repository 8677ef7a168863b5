#include "report/printing.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/fd.h"

namespace casemate {

namespace {

int lost_output(std::string_view program, int errno_value, int code) {
  if (errno_value == EPIPE) return code;
  return complain(program, fmt::format("can't write to stdout: {}", std::strerror(errno_value)));
}

}  // namespace

void say(std::string_view text) { (void)write_all(STDERR_FILENO, text); }

int complain(std::string_view program, const std::string& what, int code) {
  say(fmt::format("{}: {}\n", program, printable_line(what)));
  return code;
}

int put(std::string_view program, std::string_view text, int code) {
  const auto written = write_all(STDOUT_FILENO, text);
  return written ? code : lost_output(program, written.error().errno_value, code);
}

void print_json(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

int printed(std::string_view program, const std::function<int()>& command) {
  try {
    const int code = command();
    return std::fflush(stdout) == 0 ? code : lost_output(program, errno, code);
  } catch (const std::system_error& failed) {  // fmt::print says so of a full disk or a closed pipe
    return lost_output(program, failed.code().value(), 0);
  }
}

}  // namespace casemate
