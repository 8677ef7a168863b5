#include "docker/events.h"

#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/untrusted_json.h"
#include "docker/daemon_trouble.h"
#include "docker/json_lines.h"

namespace casemate {
namespace {

constexpr std::size_t kMostWord = 200;

DockerEvent read_event(const nlohmann::json& object) {
  DockerEvent event;
  event.action = text_at(object, "Action", kMostWord);
  if (event.action.empty()) event.action = text_at(object, "status", kMostWord);
  if (event.action == "died") event.action = "die";
  if (event.action == "remove") event.action = "destroy";
  const nlohmann::json* const actor = member_if(object, "Actor", &nlohmann::json::is_object);
  if (!actor) return event;
  event.container = text_at(*actor, "ID", kMostWord);
  const nlohmann::json* const attributes = member_if(*actor, "Attributes", &nlohmann::json::is_object);
  if (!attributes) return event;
  std::string code = text_at(*attributes, "exitCode", kMostWord);
  if (code.empty()) code = text_at(*attributes, "containerExitCode", kMostWord);
  int value = -1;
  const auto [end, problem] = std::from_chars(code.data(), code.data() + code.size(), value);
  if (event.action == "die" && problem == std::errc{} && end == code.data() + code.size()) event.exit_code = value;
  return event;
}

}  // namespace

DockerEvents::DockerEvents(DockerApi& api, const std::string& label_value, Hears hears) : api_(api) {
  const nlohmann::json filters = {{"type", {"container"}}, {"label", {fmt::format("{}={}", kDockerLabel, label_value)}}};
  DockerRequest request{.path = "/events?" + docker_query({{"filters", filters.dump()}})};
  request.silence = std::chrono::milliseconds(0);  // nothing may happen for long
  const auto objects = std::make_shared<JsonLines>([heard = std::move(hears.event)](const nlohmann::json& object) {
    if (text_at(object, "Type", kMostWord) != "container") return;
    const DockerEvent event = read_event(object);
    if (!event.action.empty() && !event.container.empty()) heard(event);
  });
  request.stream = [objects](std::string_view bytes) { return objects->feed(bytes); };
  call_ = api_.call(std::move(request), [this, lost = std::move(hears.lost)](Result<DockerReply> reply) {
    call_ = 0;
    if (!reply) return lost(std::move(reply.error()));
    if (reply->status != 200) return lost(docker_failure(*reply, "watch events"));
    lost(Error{ErrorCode::system, fmt::format("the docker daemon at {} ended its events: is it shutting down?", api_.endpoint().origin), 0,
               kDockerDaemon});
  });
}

DockerEvents::~DockerEvents() {
  if (call_ != 0) api_.forget(call_);
}

}  // namespace casemate
