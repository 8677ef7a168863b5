// Any bytes as a JUnit report, and what is read as a grade: no crash, errors are one line, bounds hold, and every body is JSON that holds
// to the contract.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <nlohmann/json.hpp>

#include "apps/agent/grade.h"
#include "report/junit_reader.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

void require_sound(const JUnitDocument& report) {
  require(report.cases.size() <= kMostJUnitCases && report.time.size() <= 64);
  for (const JUnitCase& test : report.cases) {
    require(test.text.size() <= kMostJUnitText && test.message.size() <= kMostJUnitText);
    require(test.name.size() <= 4096 && test.class_name.size() <= 4096 && test.time.size() <= 64);
  }
}

void require_sound(const Grade& grade) {
  const auto again = grade_from_json(grade_json(grade));
  require(again && grade_json(*again) == grade_json(grade));
  for (const WireForm form : {WireForm::attempt, WireForm::uuid}) {
    const auto body = nlohmann::json::parse(result_body(grade, Task{}, form, false), nullptr, false);
    require(body.is_object());
    const auto& inner = form == WireForm::attempt ? body["testResults"] : body;
    require(inner["isPassed"] == false || inner["isError"] == false);
    require(inner["errorDetails"].get<std::string>().size() <= 255 * 4);
    require(inner[form == WireForm::attempt ? "testCases" : "testResults"].size() == grade.cases.size());
    for (const auto& [key, value] : body.flatten().items())
      require(!value.is_string() || value.get_ref<const std::string&>().find('\0') == std::string::npos);
  }
}

}  // namespace

// The first byte is pytest's exit status.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto report = read_junit(std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  if (!report) {
    require(!report.error().what.empty() && report.error().what.size() < 1000 && report.error().what.find('\n') == std::string::npos);
    return 0;
  }
  require_sound(*report);
  require_sound(grade_of(*report, {.exit_status = data[0] % 8, .connected_tests = {}}));
  require_sound(grade_of(*report, {.exit_status = data[0] % 8, .connected_tests = {"test_a", "Lab1/test_b.py"}}));
  return 0;
}
