// Any bytes as a backend's answer: no crash, an error or a problem is one line, what is read is within its bounds and fit for a command
// line, and is kept on disk as it was.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "apps/agent/task.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

void require_line(const std::string& line) { require(line.size() < 2000 && line.find('\n') == std::string::npos); }

void require_argument(const std::string& text, std::size_t most) {
  require(text.size() <= most && text.find('\0') == std::string::npos && text.find('\n') == std::string::npos && !text.starts_with('-'));
}

void require_same(const Task& a, const Task& b) {
  require(a.key() == b.key() && a.form == b.form && a.repository_url == b.repository_url && a.branch == b.branch);
  require(a.laboratories == b.laboratories && a.connected_tests == b.connected_tests);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(task_from_json(text));
  const auto answer = read_task(text);
  if (!answer) {
    require(!answer.error().what.empty());
    require_line(answer.error().what);
    return 0;
  }
  require_line(answer->problem);
  if (!answer->available) return 0;
  const Task& task = answer->task;
  require(task.form == WireForm::attempt || (!task.id.empty() && task.id.size() <= 200));
  require_argument(task.repository_url, 4096);
  require_argument(task.branch, 1024);
  std::size_t bytes = 0;
  for (const std::string& name : task.connected_tests) {
    require(!name.empty() && name.find('\0') == std::string::npos);
    bytes += name.size() + 4;
  }
  require(bytes <= 100'000);
  if (answer->problem.empty()) require(!task.repository_url.empty() && !task.branch.empty());
  const auto again = task_from_json(task_json(task));
  require(again.has_value());
  require_same(task, *again);
  return 0;
}
