#include "apps/runtime/details.h"

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::string_view kOfTheHost = " limit held by ";  // cell/ground.h, cell/block.h

std::string block(std::string_view text) { return printable(text) + (text.ends_with('\n') ? "" : "\n"); }

}  // namespace

std::string script_details(const runtime::ScriptTestResult& result, bool verbose) {
  std::string text;
  for (const std::string& note : result.notes) {
    if (verbose || note.find(kOfTheHost) == std::string::npos) text += "Note: " + printable_line(note) + "\n";
  }
  if (result.success && !verbose) return text;
  if (!result.traceback.empty()) text += "\n" + block(result.traceback);
  for (const auto& [heading, bytes] : {std::pair{"stdout", &result.standard_output}, {"stderr", &result.standard_error}}) {
    if (!bytes->empty()) text += fmt::format("\n--- {} ---\n{}", heading, block(*bytes));
  }
  return text;
}

std::string script_section(std::string_view name, const runtime::ScriptTestResult& result, bool verbose) {
  const std::string text = result.skipped ? "" : script_details(result, verbose);
  if (text.empty()) return "";
  return fmt::format("\n=== {} ==={}{}", printable_name(name), text.starts_with('\n') ? "" : "\n", text);
}

}  // namespace casemate
