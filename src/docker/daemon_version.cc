#include "docker/daemon_version.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <sys/utsname.h>

#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "docker/daemon_trouble.h"

namespace casemate {
namespace {

constexpr const char* kDoing = "GET /version";
constexpr std::size_t kMostWord = 100;

// A version of the API, "1.41".
using ApiVersion = std::pair<unsigned, unsigned>;
constexpr ApiVersion kOldest{1, 24};  // Docker 1.12
constexpr ApiVersion kNewest{1, 47};  // Docker 27

std::optional<ApiVersion> parse_api_version(const std::string& text) {
  ApiVersion version;
  const char* const end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, version.first);
  if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.') return std::nullopt;
  const auto minor = std::from_chars(major.ptr + 1, end, version.second);
  if (minor.ec != std::errc{} || minor.ptr != end) return std::nullopt;
  return version;
}

std::string to_text(const ApiVersion& version) { return fmt::format("{}.{}", version.first, version.second); }

std::unexpected<Error> not_supported(std::string what) { return fail(ErrorCode::not_supported, std::move(what), 0, kDockerDaemon); }

std::string word(const nlohmann::json& object, const char* key) { return printable_name(text_at(object, key, kMostWord)); }

bool is_podman(const nlohmann::json& answer) {
  const nlohmann::json* const components = member_if(answer, "Components", &nlohmann::json::is_array);
  return components && std::any_of(components->begin(), components->end(), [](const nlohmann::json& component) {
           return component.is_object() && text_at(component, "Name", kMostWord).starts_with("Podman");
         });
}

Result<DockerVersion> unusual_status(const DockerEndpoint& endpoint, const DockerReply& reply) {
  if (reply.status == 401 || reply.status == 403)
    return fail(ErrorCode::refused, docker_failure(reply, fmt::format("use the docker daemon at {}", endpoint.origin)).what, 0,
                kDockerDaemon);
  if (reply.status == 400 && reply.body.find("HTTPS server") != std::string::npos)
    return fail(ErrorCode::invalid_input,
                fmt::format("the docker daemon at {} speaks TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH", endpoint.origin), 0,
                kDockerDaemon);
  return std::unexpected(daemon_talks_nonsense(endpoint, fmt::format("answers with HTTP status {}", reply.status), kDoing));
}

// `version` with the API's that both speak.
Result<DockerVersion> settled(const DockerEndpoint& endpoint, DockerVersion version, const ApiVersion& newest,
                              const std::optional<ApiVersion>& oldest) {
  const std::string who = fmt::format("the docker daemon at {} ({} {})", endpoint.origin, version.name, version.engine);
  if (newest < kOldest)
    return not_supported(fmt::format("{} is too old: it speaks version {} of the API, needed is {} (Docker 1.12): update it", who,
                                     to_text(newest), to_text(kOldest)));
  if (oldest && *oldest > kNewest)
    return not_supported(
        fmt::format("{} is too new: it speaks no version of the API below {}, this casemate none above {}: update casemate", who,
                    to_text(*oldest), to_text(kNewest)));
  if (version.os == "windows") return not_supported(fmt::format("{} runs Windows containers: switch it to Linux containers", who));
  version.api = to_text(std::min(newest, kNewest));
  return version;
}

// As Go names it.
std::string machine() {
  utsname names{};
  ::uname(&names);
  std::string kernels = names.machine;
  if (kernels == "x86_64") return "amd64";
  if (kernels == "aarch64") return "arm64";
  return kernels;
}

std::string field(const DockerReply& reply, const char* name) {
  const auto found = reply.fields.find(name);
  return found == reply.fields.end() ? "" : found->second;
}

}  // namespace

Result<std::optional<DockerVersion>> podman_version(const DockerEndpoint& endpoint, const DockerReply& ping) {
  // "Libpod/4.3.1 (linux)"
  constexpr std::string_view kServer = "Libpod/";
  const std::string server = field(ping, "server");
  const auto newest = parse_api_version(field(ping, "api-version"));
  if (ping.status != 200 || !endpoint.local() || !server.starts_with(kServer) || !newest) return std::nullopt;
  DockerVersion version;
  version.name = "podman";
  version.engine = printable_name(server.substr(kServer.size(), std::min(server.find(' ') - kServer.size(), kMostWord)));
  version.os = "linux";
  version.arch = machine();
  return settled(endpoint, std::move(version), *newest, std::nullopt);
}

Result<DockerVersion> daemon_version(const DockerEndpoint& endpoint, const DockerReply& reply) {
  if (reply.status != 200) return unusual_status(endpoint, reply);
  const auto answer = untrusted_object(reply.body);
  const auto newest = answer ? parse_api_version(text_at(*answer, "ApiVersion")) : std::nullopt;
  if (!newest) return std::unexpected(daemon_talks_nonsense(endpoint, "does not say which API it has", kDoing));
  DockerVersion version;
  version.engine = word(*answer, "Version");
  version.name = is_podman(*answer) ? "podman" : "docker";
  version.os = word(*answer, "Os");
  version.arch = word(*answer, "Arch");
  return settled(endpoint, std::move(version), *newest, parse_api_version(text_at(*answer, "MinAPIVersion")));
}

}  // namespace casemate
