// What the witness of an action left, as an engine gives it: what is read of it is bounded, safe for a screen and for a directory, and
// written again it is the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/terminal.h"
#include "witness/action_report.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

void check_job(const WitnessReport& job) {
  require(!job.exit_status || (*job.exit_status >= 0 && *job.exit_status < 256));
  require(!job.signal || (*job.signal >= 0 && *job.signal < 128));
  require(!job.exec_errno || (*job.exec_errno >= 0 && *job.exec_errno < 4096));
  // Whoever adds them up, or counts nanoseconds, must not leave what a number holds.
  for (const std::uint64_t us : {job.wall_us, job.user_cpu_us, job.system_cpu_us}) require(us <= kMostTold);
  require(job.leftovers.size() <= 16);
  for (const Leftover& left : job.leftovers) require(left.name == printable_name(left.name));
}

void check_path(const std::string& path) {
  require(!path.empty() && !path.contains('\0'));
  const std::string whole = "/" + path + "/";
  for (const char* part : {"//", "/./", "/../"}) require(!whole.contains(part));
}

void check(const ActionReport& report) {
  check_job(report.job);
  require(exit_code_of(report) >= 0 && exit_code_of(report) < 128);
  require(report.setup_errno >= 0 && report.setup_errno < 4096);
  require(report.turns.size() <= kMostTurns && report.notes.size() <= 32 && report.changes.size() <= kMostChangedPaths);
  for (const std::string& note : report.notes) require(note == printable_line(note));
  for (const std::string* line : {&report.setup_step, &report.setup_detail, &report.collect_problem})
    require(*line == printable_line(*line));
  for (const ChangedPath& change : report.changes) {
    check_path(change.path);
    require((change.mode & ~07777u) == 0 && !change.target.contains('\0'));
  }
}

// Escaped they may be longer than is read of them.
ActionReport without_words(ActionReport report) {
  if (!report.setup_step.empty()) report.setup_step = "step";
  report.setup_detail = report.collect_problem = "";
  report.notes.clear();
  report.job.leftovers.clear();
  return report;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = read_report(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!read) return 0;
  check(*read);
  const std::string bytes = report_bytes(without_words(*read));
  const auto again = read_report(bytes);
  require(again && report_bytes(*again) == bytes);
  return 0;
}
