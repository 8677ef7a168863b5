#include "apps/agent/task.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "base/untrusted_json.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr JsonBounds kBounds{.depth = 16, .values = 20'000};
constexpr std::size_t kMostId = 200;
constexpr std::size_t kMostShown = 60;
constexpr std::size_t kMostUrl = 4096;
constexpr std::size_t kMostBranch = 1024;
constexpr std::size_t kMostProblem = 4096;
constexpr std::size_t kMostLaboratories = 1000;
constexpr std::size_t kMostConnected = 10'000;
// All names of -k are one argument, of which the kernel takes 128 KiB (MAX_ARG_STRLEN, execve(2)).
constexpr std::size_t kMostConnectedBytes = 100'000;
constexpr std::size_t kOr = 4;  // " or "

bool has_controls(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f; });
}

// A whole number of 64 bits; nullopt for all else, 21.0 and "21" too.
std::optional<std::int64_t> whole_number(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return std::in_range<std::int64_t>(number) ? std::optional(static_cast<std::int64_t>(number)) : std::nullopt;
  }
  return value.is_number_integer() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
}

// "the text \"21\"", "null", "an object".
std::string what_it_is(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return fmt::format("{}{}", value.is_string() ? "the text " : "", printable_line(text.substr(0, kMostShown)));
}

// The key; "" or what is wrong with it. Where both are there, "attempt" counts.
std::string read_key(const Json& object, Task& task) {
  const auto attempt = object.find("attempt");
  if (attempt != object.end()) {
    if (const auto number = whole_number(*attempt)) {
      task.form = WireForm::attempt;
      task.attempt = *number;
      return "";
    }
  }
  const auto id = object.find("id");
  if (id == object.end())
    return attempt == object.end() ? "it has neither \"attempt\" nor \"id\""
                                   : fmt::format("its \"attempt\" is not a whole number but {}", what_it_is(*attempt));
  if (!id->is_string()) return fmt::format("its \"id\" is not a text but {}", what_it_is(*id));
  const auto& text = id->get_ref<const std::string&>();
  if (text.empty() || text.size() > kMostId || has_controls(text))
    return fmt::format("its \"id\" is empty, longer than {} bytes, or has control characters", kMostId);
  task.form = WireForm::uuid;
  task.id = text;
  return "";
}

// A text that becomes an argument of git: "" or what is wrong.
std::string read_argument(const Json& object, const char* key, std::size_t most, std::string& into) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fmt::format("it has no \"{}\"", key);
  if (!found->is_string()) return fmt::format("its \"{}\" is not a text", key);
  const auto& text = found->get_ref<const std::string&>();
  if (text.empty()) return fmt::format("its \"{}\" is empty", key);
  if (text.size() > most) return fmt::format("its \"{}\" is longer than {} bytes", key, most);
  if (has_controls(text)) return fmt::format("its \"{}\" has control characters: {}", key, printable_line(text));
  if (text.front() == '-') return fmt::format("its \"{}\" begins with '-': {}", key, printable_line(text));
  into = text;
  return "";
}

std::string read_laboratories(const Json& object, std::vector<std::int64_t>& into) {
  const auto found = object.find("laboratoryNumber");
  if (found == object.end() || found->is_null()) return "";
  const Json list = found->is_array() ? *found : Json::array({*found});
  if (list.size() > kMostLaboratories) return fmt::format("its \"laboratoryNumber\" has more than {} numbers", kMostLaboratories);
  for (const Json& entry : list) {
    const auto number = whole_number(entry);
    if (!number) return "its \"laboratoryNumber\" is neither a whole number nor a list of them";
    into.push_back(*number);
  }
  return "";
}

std::string read_connected(const Json& object, std::vector<std::string>& into) {
  const auto found = object.find("connectedTests");
  if (found == object.end() || found->is_null()) return "";
  if (!found->is_array()) return "its \"connectedTests\" is not a list";
  if (found->size() > kMostConnected) return fmt::format("its \"connectedTests\" has more than {} names", kMostConnected);
  std::size_t bytes = 0;
  for (const Json& entry : *found) {
    if (!entry.is_string()) return "its \"connectedTests\" has something else than names";
    const auto& name = entry.get_ref<const std::string&>();
    if (name.find_first_not_of(' ') == std::string::npos) return "its \"connectedTests\" has an empty name";
    if (has_controls(name)) return fmt::format("its \"connectedTests\" has a name with control characters: {}", printable_line(name));
    bytes += name.size() + kOr;
    if (bytes > kMostConnectedBytes)
      return fmt::format("its \"connectedTests\" is longer than {} bytes, more than one argument of a program may have",
                         kMostConnectedBytes);
    into.push_back(name);
  }
  return "";
}

// The first thing that is wrong; all that is right is in `task`.
std::string read_rest(const Json& object, Task& task) {
  std::string first;
  const auto note = [&](std::string problem) {
    if (first.empty()) first = std::move(problem);
  };
  note(read_argument(object, "repositoryUrl", kMostUrl, task.repository_url));
  note(read_argument(object, "branch", kMostBranch, task.branch));
  note(read_laboratories(object, task.laboratories));
  note(read_connected(object, task.connected_tests));
  return first;
}

bool says_nothing(std::string_view body) {
  const std::size_t begin = body.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return true;
  return body.substr(begin, body.find_last_not_of(" \t\r\n") - begin + 1) == "null";
}

}  // namespace

std::string Task::key() const { return form == WireForm::attempt ? fmt::format("attempt {}", attempt) : "id " + id; }

Result<TaskAnswer> read_task(std::string_view body) {
  TaskAnswer answer;
  if (says_nothing(body)) return answer;
  const auto object = untrusted_object(body, kBounds);
  if (!object)
    return fail(ErrorCode::corrupt,
                fmt::format("the backend's answer is not a JSON object of a task's size: {}", printable_line(body.substr(0, 100))));
  const auto status = object->find("status");
  if (status != object->end() && *status == "UNAVAILABLE") return answer;
  if (const std::string problem = read_key(*object, answer.task); !problem.empty()) {
    const bool is_task = object->contains("attempt") || object->contains("id");  // but whoever sends it must mend it
    const std::string_view what = is_task ? "the backend offers a task that can't be graded" : "the backend's answer is not a task";
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", what, problem));
  }
  answer.available = true;
  if (const std::string problem = read_rest(*object, answer.task); !problem.empty())
    answer.problem = answer.task.problem = fmt::format("the task can't be run: {}", problem);
  return answer;
}

std::string task_json(const Task& task) {
  nlohmann::ordered_json json;
  if (task.form == WireForm::attempt)
    json["attempt"] = task.attempt;
  else
    json["id"] = task.id;
  json["repositoryUrl"] = task.repository_url;
  json["branch"] = task.branch;
  json["laboratoryNumber"] = task.laboratories;
  json["connectedTests"] = task.connected_tests;
  if (!task.problem.empty()) json["problem"] = task.problem;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<Task> task_from_json(std::string_view text) {
  const auto object = untrusted_object(text, kBounds);
  if (!object) return fail(ErrorCode::corrupt, "a task on disk is not JSON");
  Task task;
  if (const std::string problem = read_key(*object, task); !problem.empty())
    return fail(ErrorCode::corrupt, fmt::format("a task on disk can't be read: {}", problem));
  // A task that makes no sense is kept too, for its key; what was dropped of it must not become something else, as another branch.
  task.problem = text_at(*object, "problem", kMostProblem);
  const std::string problem = read_rest(*object, task);
  if (task.problem.empty() && !problem.empty()) task.problem = fmt::format("the task can't be run: {}", problem);
  return task;
}

}  // namespace casemate
