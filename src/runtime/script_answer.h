// script_answer: what python/script.py and python/inspect.py say down their cell's report pipe: lines of JSON, hostile.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data_report.h"
#include "warm/stream.h"

namespace casemate::runtime {

/// How a script came out, in its own words.
struct ScriptTold {
  std::string problem;  ///< "": none
  std::string traceback;
  std::chrono::microseconds took{0};
  std::vector<std::string> notes;
};

/// Collects a stream.
class ScriptAnswer {
 public:
  void hear(std::string_view bytes);
  /// Whether there is a main(), as far as it was told.
  [[nodiscard]] bool has_main() const { return has_main_; }
  /// The script's end; nullopt: its process ended before.
  [[nodiscard]] const std::optional<ScriptTold>& script() const { return script_; }
  /// Of inspections, in their order.
  [[nodiscard]] std::vector<DataReport>& data() { return data_; }
  /// What of it made no sense; "": all did.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  void line(std::string_view text);

  LineReader lines_;
  bool has_main_ = false;
  std::optional<ScriptTold> script_;
  std::vector<DataReport> data_;
  std::string problem_;
};

}  // namespace casemate::runtime
