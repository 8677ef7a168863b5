#include "apps/agent/order.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/untrusted_json.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr JsonBounds kBounds{.depth = 8, .values = 200'000};
constexpr std::size_t kMostSteps = 100;
constexpr std::size_t kMostWords = 10'000;

std::string dump(const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"; }

template <class T>
void put(Json& json, const char* name, const std::optional<T>& value) {
  if (value) json[name] = *value;
}

void put(Json& json, const char* name, const std::optional<std::chrono::milliseconds>& value) {
  if (value) json[name] = value->count();
}

template <class T>
void get(const nlohmann::json& json, const char* name, std::optional<T>& value) {
  if (member_if(json, name, &nlohmann::json::is_number)) value = json.at(name).get<T>();
}

void get(const nlohmann::json& json, const char* name, std::optional<std::chrono::milliseconds>& value) {
  if (member_if(json, name, &nlohmann::json::is_number)) value = std::chrono::milliseconds(number_at(json, name));
}

// Calls `visit` with each limit's name in JSON; wall time is none of them.
template <class AnyLimits, class Visit>
void for_each_limit(AnyLimits& limits, Visit visit) {
  visit("memory_bytes", limits.memory_bytes);
  visit("pids", limits.pids);
  visit("cpus", limits.cpus);
  visit("cpu_time_ms", limits.cpu_time);
  visit("output_bytes", limits.output_bytes);
  visit("disk_bytes", limits.disk_bytes);
  visit("disk_inodes", limits.disk_inodes);
  visit("open_files", limits.open_files);
  visit("file_bytes", limits.file_bytes);
}

Json limits_json(const Limits& limits) {
  Json json = Json::object();
  for_each_limit(limits, [&](const char* name, const auto& value) { put(json, name, value); });
  return json;
}

Limits limits_from(const nlohmann::json& json) {
  Limits limits;
  for_each_limit(limits, [&](const char* name, auto& value) { get(json, name, value); });
  return limits;
}

constexpr std::string_view kNetworks[] = {"none", "outbound", "host"};

std::unexpected<Error> corrupt(const char* what) { return fail(ErrorCode::corrupt, what); }

}  // namespace

std::string order_json(const WorkOrder& order) {
  Json json = {{"task", Json::parse(task_json(order.task), nullptr, false)},
               {"asks_only", order.asks_only},
               {"tells_ready", order.tells_ready},
               {"timeout_ms", order.timeout.count()},
               {"proxy_timeout_ms", order.proxy_timeout.count()},
               {"tests_repo", to_utf8(order.tests_repo)},
               {"tests_revision", to_utf8(order.tests_revision)},
               {"tests_command", Json::array()},
               {"image", to_utf8(order.image)},
               {"limits", limits_json(order.limits)},
               {"slots", order.slots},
               {"isolation", order.isolation},
               {"allow_file_urls", order.allow_file_urls},
               {"clone_network", kNetworks[static_cast<int>(order.clone_network)]},
               {"clone_credentials", to_utf8(order.clone_credentials)}};
  for (const std::string& word : order.tests_command) json["tests_command"].push_back(to_utf8(word));
  return dump(json);
}

Result<WorkOrder> order_from_json(std::string_view text) {
  const auto json = untrusted_object(text, kBounds);
  if (!json) return corrupt("the order is no JSON object");
  WorkOrder order;
  const nlohmann::json* task = member_if(*json, "task", &nlohmann::json::is_object);
  if (!task) return corrupt("the order has no task");
  TRY_ASSIGN(order.task, task_from_json(task->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  // What reading has dropped for what it is (a branch like an option) must not become something else: a clone of another branch.
  if (nlohmann::json::parse(task_json(order.task), nullptr, false) != *task)
    return fail(ErrorCode::invalid_input, "the task has a repository, a branch or names that can't be used");
  order.asks_only = true_at(*json, "asks_only");
  order.tells_ready = true_at(*json, "tells_ready");
  order.timeout = std::chrono::milliseconds(number_at(*json, "timeout_ms"));
  order.proxy_timeout = std::chrono::milliseconds(number_at(*json, "proxy_timeout_ms"));
  order.tests_repo = text_at(*json, "tests_repo");
  order.tests_revision = text_at(*json, "tests_revision");
  order.tests_command = texts_at(*json, "tests_command", kMostWords);
  order.image = text_at(*json, "image");
  const nlohmann::json* limits = member_if(*json, "limits", &nlohmann::json::is_object);
  if (!limits || order.tests_command.empty()) return corrupt("the order has no limits or no tests' command");
  order.limits = limits_from(*limits);
  order.slots = static_cast<std::uint32_t>(number_at(*json, "slots"));
  order.isolation = text_at(*json, "isolation");
  if (std::find(std::begin(kAgentIsolations), std::end(kAgentIsolations), order.isolation) == std::end(kAgentIsolations))
    return corrupt("the order does not say which tests share a cell");
  order.allow_file_urls = true_at(*json, "allow_file_urls");
  order.clone_credentials = text_at(*json, "clone_credentials");
  const std::string network = text_at(*json, "clone_network");
  for (int i = 0; i < 3; ++i) {
    if (network == kNetworks[i]) {
      order.clone_network = static_cast<Network>(i);
      return order;
    }
  }
  return corrupt("the order names no network to clone with");
}

std::string steps_json(const std::vector<StepReport>& steps) {
  Json all = Json::array();
  for (const StepReport& step : steps) {
    Json notes = Json::array();
    for (const std::string& note : step.notes) notes.push_back(to_utf8(note));
    all.push_back({{"name", to_utf8(step.name)},
                   {"took_us", step.took.count()},
                   {"cached", step.cached},
                   {"commit", to_utf8(step.commit)},
                   {"problem", to_utf8(step.problem)},
                   {"notes", std::move(notes)}});
  }
  return dump({{"steps", std::move(all)}});
}

Result<std::vector<StepReport>> steps_from_json(std::string_view text) {
  const auto json = untrusted_object(text, kBounds);
  const nlohmann::json* all = json ? member_if(*json, "steps", &nlohmann::json::is_array) : nullptr;
  if (!all) return corrupt("no list of steps");
  std::vector<StepReport> steps;
  for (const nlohmann::json& entry : *all) {
    if (!entry.is_object() || steps.size() >= kMostSteps) return corrupt("a step is no object, or there are too many");
    steps.push_back({.name = text_at(entry, "name"),
                     .took = std::chrono::microseconds(number_at(entry, "took_us")),
                     .cached = true_at(entry, "cached"),
                     .commit = text_at(entry, "commit"),
                     .problem = text_at(entry, "problem"),
                     .notes = texts_at(entry, "notes", kMostWords)});
  }
  return steps;
}

}  // namespace casemate
