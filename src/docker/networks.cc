#include "docker/networks.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/untrusted_json.h"

namespace casemate {
namespace {

constexpr std::chrono::minutes kSilence{2};  // bridges wait for locks of iptables

// Of what daemons give as ids, and of names.
bool is_id(const std::string& id) {
  return !id.empty() && id.size() <= 200 && id.front() != '.' && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

}  // namespace

DockerCallId make_docker_network(DockerApi& api, const DockerNetworkOrder& order, std::function<void(Result<std::string>)> done) {
  const nlohmann::json body = {{"Name", order.name},
                               {"CheckDuplicate", true},
                               {"Driver", "bridge"},
                               {"Internal", order.internal},
                               {"Labels", {{std::string(kDockerLabel), order.label_value}}}};
  DockerRequest request{.method = "POST", .path = "/networks/create"};
  request.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  request.silence = request.lap = kSilence;
  return api.call(std::move(request), [done = std::move(done)](Result<DockerReply> reply) {
    if (!reply) return done(std::unexpected(reply.error()));
    if (reply->status != 201 && reply->status != 200) return done(std::unexpected(docker_failure(*reply, "make a network")));
    const auto answer = untrusted_object(reply->body);
    std::string id = answer ? text_at(*answer, "Id", 200) : "";
    if (!is_id(id)) return done(fail(ErrorCode::corrupt, "the docker daemon made a network, but does not say which"));
    done(std::move(id));
  });
}

DockerCallId remove_docker_network(DockerApi& api, const std::string& id, std::function<void(Result<void>)> done) {
  DockerRequest request{.method = "DELETE", .path = "/networks/" + (is_id(id) ? id : "-")};
  request.silence = request.lap = kSilence;
  return api.call(std::move(request), [done = std::move(done)](Result<DockerReply> reply) {
    if (!reply) return done(std::unexpected(reply.error()));
    if (reply->status / 100 != 2 && reply->status != 404) return done(std::unexpected(docker_failure(*reply, "remove a network")));
    done({});
  });
}

}  // namespace casemate
