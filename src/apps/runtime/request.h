// request: what `casemate runtime` was asked for.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/table.h"
#include "runtime/models.h"

namespace casemate {

/// A command line, read.
struct RuntimeRequest {
  enum class Kind { script, compatibility, pipeline };
  Kind kind = Kind::script;
  std::vector<std::string> names;  ///< scripts, or the pipeline's file
  runtime::RuntimeTestingConfiguration configuration;
  bool json = false;
  bool explain = false;             ///< both schemas
  bool verbose = false;             ///< what scripts wrote, also of those that passed
  std::optional<std::string> spec;  ///< a file: the script's spec
  std::optional<std::string> specs_directory;
  std::optional<std::string> sample;  ///< a file: JSON table, or a schema
  std::string junit_xml;
  std::string html;
  Color color = Color::automatic;
};

/// Reads a command line; a number is the exit status of one that has been answered (--help) or refused.
std::expected<RuntimeRequest, int> read_runtime_arguments(const std::vector<std::string>& arguments, std::string_view program);

/// The exit status of what can't be understood, and where nothing could be run.
inline constexpr int kRuntimeUsage = 2;

/// What `--output-format json` prints: indented by two, with a newline. What is not UTF-8 becomes U+FFFD.
[[nodiscard]] std::string json_text(const runtime::Json& json);

/// Says on stderr why there is no result, in one line, and where `json` is wanted as {"error"} on stdout too: whoever reads that finds the
/// reason there. Gives `status`.
int refuse(std::string_view program, const std::string& what, bool json, int status);

}  // namespace casemate
