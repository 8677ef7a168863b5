#include "docker/sweep.h"

#include <charconv>
#include <ctime>
#include <vector>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/untrusted_json.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {
namespace {

constexpr std::int64_t kOldSeconds = 3600;
constexpr auto kMostTime = std::chrono::seconds(5);

std::string this_boot() {
  auto text = read_file("/proc/sys/kernel/random/boot_id", 100);
  if (!text) return "";
  std::string id;
  for (const char digit : *text) {
    if (digit != '-' && digit != '\n') id += digit;
  }
  return id;
}

std::string pid_namespace() {
  struct stat info{};
  return ::stat("/proc/self/ns/pid", &info) == 0 ? std::to_string(info.st_ino) : "";
}

template <class Number>
bool take_number(std::string_view& text, Number& value) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end == text.data() + text.size() || *end != '-') return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return true;
}

nlohmann::json listed(DockerApi& api, Reactor& reactor, const char* path) {
  const std::string filter = nlohmann::json{{"label", {std::string(kDockerLabel)}}}.dump();
  DockerRequest request{.path = fmt::format("{}?{}", path, docker_query({{"all", "1"}, {"filters", filter}}))};
  request.silence = request.lap = kMostTime;
  const auto reply = call_and_wait(api, reactor, std::move(request));
  if (!reply || reply->status != 200) return nlohmann::json::array();
  if (!is_within(reply->body, {.depth = 16, .values = 1'000'000})) return nlohmann::json::array();
  auto list = nlohmann::json::parse(reply->body, nullptr, false);
  return list.is_array() ? list : nlohmann::json::array();
}

}  // namespace

std::string engine_label() {
  return fmt::format("{}-{}-{}-{}", ::getpid(), process_start_time(::getpid()).value_or(0), this_boot(), pid_namespace());
}

EngineLife engine_life(std::string_view label) {
  pid_t pid = 0;
  std::uint64_t start = 0;
  if (!take_number(label, pid) || !take_number(label, start) || pid <= 0) return EngineLife::unknown;
  if (label != this_boot() + "-" + pid_namespace()) return EngineLife::unknown;
  return process_start_time(pid) == start ? EngineLife::alive : EngineLife::dead;
}

Result<void> sweep_docker(DockerApi& api, Reactor& reactor) {
  const auto until = Reactor::Clock::now() + kMostTime;
  const auto remove = [&](const std::string& path) {
    if (Reactor::Clock::now() >= until) return;
    (void)call_and_wait(api, reactor, {.method = "DELETE", .path = path, .silence = kMostTime, .lap = kMostTime});
  };
  const auto label_of = [](const nlohmann::json& each) {
    const auto* labels = member_if(each, "Labels", &nlohmann::json::is_object);
    return labels ? text_at(*labels, std::string(kDockerLabel).c_str(), 200) : "";
  };
  const auto is_id = [](const std::string& id) { return !id.empty() && id.find_first_not_of("0123456789abcdef") == std::string::npos; };
  for (const auto& each : listed(api, reactor, "/containers/json")) {
    const std::string id = text_at(each, "Id", 64);
    const EngineLife life = engine_life(label_of(each));
    const bool old =
        text_at(each, "State") != "running" && static_cast<std::int64_t>(number_at(each, "Created")) < std::time(nullptr) - kOldSeconds;
    if (is_id(id) && (life == EngineLife::dead || (life == EngineLife::unknown && old))) remove("/containers/" + id + "?force=1&v=1");
  }
  for (const auto& each : listed(api, reactor, "/networks")) {
    const std::string id = text_at(each, "Id", 64);
    if (is_id(id) && engine_life(label_of(each)) == EngineLife::dead) remove("/networks/" + id);
  }
  return {};
}

}  // namespace casemate
