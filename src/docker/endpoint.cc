#include "docker/endpoint.h"

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostHost = 253;  // RFC 1035, 2.3.4

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

std::unexpected<Error> bad_host(const std::string& host, std::string_view why) {
  return fail(ErrorCode::invalid_input, fmt::format("DOCKER_HOST '{}': {}", printable_line(host), why));
}

Result<DockerEndpoint> unix_endpoint(const std::string& host, std::string path) {
  if (path.empty()) path = "/var/run/docker.sock";
  if (path.front() != '/') return bad_host(host, "the socket's path must be absolute (unix:///var/run/docker.sock)");
  if (path.size() >= sizeof(sockaddr_un::sun_path) || path.find('\0') != std::string::npos)
    return bad_host(host, fmt::format("a socket's path has at most {} bytes (unix(7))", sizeof(sockaddr_un::sun_path) - 1));
  DockerEndpoint endpoint;
  endpoint.path = std::move(path);
  endpoint.origin = fmt::format("unix://{} (DOCKER_HOST)", printable_line(endpoint.path));
  return endpoint;
}

bool is_host_character(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '.' || byte == '-' ||
         byte == '_';
}

// "host", "host:port", "[v6]:port", "host:port/" into the endpoint. False: none of these.
bool read_address(std::string_view text, DockerEndpoint& endpoint) {
  if (text.ends_with('/')) text.remove_suffix(1);
  std::string_view host = text.substr(0, text.find(':'));
  std::string_view rest = text.substr(host.size());
  const bool v6 = text.starts_with('[');
  if (v6) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return false;
    host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  }
  if (host.empty() || host.size() > kMostHost) return false;
  for (const char byte : host) {
    if (!(is_host_character(byte) || (v6 && byte == ':'))) return false;
  }
  endpoint.host = host;
  if (rest.empty()) return true;
  rest.remove_prefix(1);
  unsigned port = 0;
  const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), port);
  if (problem != std::errc{} || end != rest.data() + rest.size() || port == 0 || port > 65535) return false;
  endpoint.port = static_cast<std::uint16_t>(port);
  return true;
}

std::string home_certificates() {
  std::string config = variable("DOCKER_CONFIG");
  if (!config.empty()) return config;
  const std::string home = variable("HOME");
  return home.empty() ? "" : home + "/.docker";
}

bool is_file(const std::string& path) {
  std::error_code problem;
  return std::filesystem::is_regular_file(path, problem);
}

Result<void> add_certificates(const std::string& host, std::string directory, DockerEndpoint& endpoint) {
  if (directory.empty()) directory = home_certificates();
  const std::string shown = printable_line(directory);
  endpoint.ca = directory + "/ca.pem";
  if (!is_file(endpoint.ca))
    return bad_host(host, fmt::format("DOCKER_TLS_VERIFY wants the daemon's authority in '{}/ca.pem': set DOCKER_CERT_PATH to its "
                                      "directory",
                                      shown));
  const bool certificate = is_file(directory + "/cert.pem");
  const bool key = is_file(directory + "/key.pem");
  if (certificate != key)
    return bad_host(host, fmt::format("'{}' has no {}.pem beside {}.pem", shown, key ? "cert" : "key", key ? "key" : "cert"));
  if (certificate) {
    endpoint.certificate = directory + "/cert.pem";
    endpoint.key = directory + "/key.pem";
  }
  return {};
}

bool is_socket(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

}  // namespace

Result<DockerEndpoint> parse_docker_host(const std::string& host, bool verify_tls, const std::string& certificates) {
  constexpr std::string_view kUnix = "unix://";
  constexpr std::string_view kTcp = "tcp://";
  if (host.starts_with(kUnix)) return unix_endpoint(host, host.substr(kUnix.size()));
  if (host.starts_with("ssh://"))
    return bad_host(host,
                    "ssh is not spoken here: forward the socket (ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST) and set "
                    "DOCKER_HOST=unix:///tmp/docker.sock");
  if (!host.starts_with(kTcp)) return bad_host(host, "expected unix:///PATH or tcp://HOST:PORT");
  DockerEndpoint endpoint;
  endpoint.kind = verify_tls ? DockerEndpoint::Kind::tls : DockerEndpoint::Kind::tcp;
  if (!read_address(std::string_view(host).substr(kTcp.size()), endpoint)) return bad_host(host, "expected tcp://HOST:PORT");
  if (endpoint.port == 0) endpoint.port = verify_tls ? 2376 : 2375;
  if (verify_tls) TRY(add_certificates(host, certificates, endpoint));
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  endpoint.origin =
      fmt::format("tcp://{}{}{}:{} (DOCKER_HOST{})", v6 ? "[" : "", endpoint.host, v6 ? "]" : "", endpoint.port, verify_tls ? ", TLS" : "");
  return endpoint;
}

Result<DockerEndpoint> docker_endpoint() {
  const std::string host = variable("DOCKER_HOST");
  if (!host.empty()) return parse_docker_host(host, !variable("DOCKER_TLS_VERIFY").empty(), variable("DOCKER_CERT_PATH"));
  const std::string runtime = variable("XDG_RUNTIME_DIR");
  std::vector<std::string> places = {"/var/run/docker.sock"};
  if (!runtime.empty()) places.push_back(runtime + "/docker.sock");
  places.emplace_back("/run/podman/podman.sock");
  if (!runtime.empty()) places.push_back(runtime + "/podman/podman.sock");
  for (const std::string& place : places) {
    if (place.front() != '/' || place.size() >= sizeof(sockaddr_un::sun_path) || !is_socket(place)) continue;
    DockerEndpoint endpoint;
    endpoint.path = place;
    endpoint.origin = "unix://" + printable_line(place);
    return endpoint;
  }
  return fail(ErrorCode::not_found,
              "no Docker Engine and no podman here: there is no /var/run/docker.sock; start docker (systemctl start docker), or podman's "
              "service (systemctl --user start podman.socket), or set DOCKER_HOST",
              0, "docker daemon");
}

}  // namespace casemate
