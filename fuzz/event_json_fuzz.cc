// Any bytes as a line of the record of a run: no crash, an error is one line, and what is read can be written, which reads back as the
// same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "report/event_json.h"
#include "report/html_row.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

// Writes down what it hears.
class Writer : public Sink {
 public:
  void run_started(const RunStart& run) override { line = event_line(run); }
  void progress(std::string_view text, bool finished) override { line = progress_line(text, finished); }
  void collected(const Collected& collected) override { line = event_line(collected); }
  void test_started(const TestStart& start) override { line = event_line(start); }
  void test_finished(const TestResult& result) override {
    line = event_line(result);
    static_cast<void>(html_row(result, true, 256, false).dump());
  }
  void note(std::string_view text) override { line = note_line(text); }
  std::string run_finished(const RunEnd& end) override {
    line = event_line(end);
    return "";
  }
  std::string line;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Writer first;
  const auto read = replay(std::string_view(reinterpret_cast<const char*>(data), size), first);
  require(read || (first.line.empty() && read.error().what.find('\n') == std::string::npos));
  if (!read || first.line.empty()) return 0;
  require(first.line.find('\n') == std::string::npos);
  Writer second;
  require(replay(first.line, second).has_value());
  require(first.line == second.line);
  return 0;
}
