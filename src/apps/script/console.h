// console: what a person sees of a run: a line for each phase on stderr, the script's own output as it comes, and a summary.
#pragma once

#include <string>
#include <string_view>

#include "apps/script/arguments.h"
#include "apps/script/report.h"
#include "casemate/engine.h"
#include "report/live_output.h"

namespace casemate {

/// In JSON mode it says nothing; with --quiet only the script's output and errors. On a terminal a phase's line is written over by the
/// next.
class Console : public JobListener {
 public:
  Console(bool json, bool quiet, Color color, std::string program);
  /// What is going on now; a line of its own where stderr is no terminal.
  void progress(std::string_view line);
  /// What it waits for: on a terminal until the next line (""), else only if it `stays`.
  void waiting(std::string_view line, bool stays);
  /// A phase that is over; stays.
  void done(std::string_view line);
  /// Takes the last progress line off a terminal.
  void forget_progress();
  /// The script's output.
  void output(Stream stream, std::string_view bytes) override;
  /// Whether any of it came.
  [[nodiscard]] bool heard() const { return heard_; }
  std::size_t backlog() override { return out_.backlog() + err_.backlog(); }
  /// Error or summary, with what the installer said if it failed.
  void conclude(const ScriptReport& report);

 private:
  enum class Paint { none, good, bad, faint };
  void line(std::string_view text, Paint paint = Paint::none);
  void clear_live();
  void list_files(const JobResult& result, const std::string& results);
  void warn(const ScriptReport& report);

  bool json_;
  bool quiet_;
  bool color_;
  std::string program_;
  LiveOutput out_;
  LiveOutput err_;
  std::string last_progress_;
  bool live_line_ = false;
  bool heard_ = false;
};

}  // namespace casemate
