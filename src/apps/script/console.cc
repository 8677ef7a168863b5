#include "apps/script/console.h"

#include <cstdlib>

#include <fmt/format.h>
#include <sys/ioctl.h>

#include "base/terminal.h"
#include "base/units.h"

namespace casemate {
namespace {

constexpr std::size_t kFilesListed = 20;

std::size_t columns() {
  struct winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

// At most `width` bytes, not cutting through a UTF-8 sequence: close enough for a line that is soon written over.
std::string shortened(std::string text, std::size_t width) {
  if (text.size() <= width) return text;
  std::size_t cut = width - 3;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  return text.substr(0, cut) + "...";
}

}  // namespace

Console::Console(bool json, bool quiet, Color color, std::string program)
    : json_(json),
      quiet_(quiet),
      color_(colored(color, STDERR_FILENO)),
      program_(std::move(program)),
      out_(STDOUT_FILENO),
      err_(STDERR_FILENO) {}

void Console::clear_live() {
  if (live_line_) err_.add_own("\r\x1b[K");
  live_line_ = false;
}

void Console::line(std::string_view text, Paint paint) {
  clear_live();
  const bool one_screen = out_.terminal() && err_.terminal();
  if (err_.in_line() || (one_screen && out_.in_line())) err_.add_own("\n");
  if (one_screen) out_.line_ended();
  const std::string_view start = paint == Paint::good    ? "\x1b[32m"
                                 : paint == Paint::bad   ? "\x1b[31m"
                                 : paint == Paint::faint ? "\x1b[2m"
                                                         : "";
  const bool painted = color_ && !start.empty();
  err_.add_own(fmt::format("{}{}{}\n", painted ? start : "", text, painted ? "\x1b[0m" : ""));
}

void Console::progress(std::string_view text) {
  if (json_ || quiet_) return;
  std::string safe = printable_name(text);
  if (safe == last_progress_) return;
  last_progress_ = safe;
  if (!err_.terminal()) {
    line(safe);
    return;
  }
  clear_live();
  err_.add_own(shortened(std::move(safe), columns() - 1));
  live_line_ = true;
}

void Console::waiting(std::string_view line, bool stays) {
  if (line.empty())
    clear_live();
  else if (stays || err_.terminal())
    progress(line);
}

void Console::forget_progress() {
  clear_live();
  err_.finish();
}

void Console::done(std::string_view text) {
  if (json_ || quiet_) return;
  last_progress_.clear();
  line(printable_name(text), Paint::faint);
}

void Console::output(Stream stream, std::string_view bytes) {
  heard_ = true;
  if (json_) return;
  clear_live();
  (stream == Stream::out ? out_ : err_).add(bytes);
}

void Console::list_files(const JobResult& result, const std::string& results) {
  std::size_t listed = 0;
  std::size_t more = 0;
  for (const Change& change : result.changes) {
    const bool file = change.type == Change::Type::file;
    if ((!file && change.type != Change::Type::symlink) || change.kind == Change::Kind::deleted) continue;
    if (listed == kFilesListed) {
      ++more;
      continue;
    }
    ++listed;
    line(fmt::format("  {:>10}  {}{}", file ? format_bytes(change.size) : "link", printable_name(change.path),
                     change.kind == Change::Kind::modified ? " (modified)" : ""));
  }
  if (more > 0) line(fmt::format("  and {} more", more));
  if (listed > 0) line(fmt::format("  in {}", printable_name(results)), Paint::faint);
}

void Console::warn(const ScriptReport& report) {
  for (const std::string& note : report.notes) line("note: " + printable_name(note), Paint::faint);
  if (!report.result) return;
  for (const std::string& note : report.result->notes) line("note: " + printable_name(note), Paint::faint);
  for (const Change& change : report.result->changes) {
    if (change.type == Change::Type::skipped)
      line(fmt::format("note: {} was not captured: {}", printable_name(change.path), printable_name(change.reason)), Paint::faint);
  }
  for (const Leftover& process : report.result->leftovers)
    line(fmt::format("note: process {} ({}) was still running and was killed", process.pid, printable_name(process.name)), Paint::faint);
}

void Console::conclude(const ScriptReport& report) {
  if (json_) return;
  out_.finish();
  const bool success = report.error_type == ScriptErrorType::none;
  if (!report.installer_log.empty() && !success) {
    clear_live();
    err_.add(report.installer_log);
  }
  if (!quiet_) {
    warn(report);
    if (report.result) list_files(*report.result, report.results);
  }
  if (!success) {
    const std::string outcome = report.result && report.error_type == ScriptErrorType::script_execution_failed &&
                                        report.result->outcome.kind == Outcome::Kind::exited
                                    ? fmt::format(" ({})", words(report.result->outcome))
                                    : "";
    line(fmt::format("{}: error: {}{}", program_, printable_line(report.message), outcome), Paint::bad);
  } else if (!quiet_) {
    line(printable_line(report.message), Paint::good);
  }
  err_.finish();
}

}  // namespace casemate
