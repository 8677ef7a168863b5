#include "docker/daemon_trouble.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "base/units.h"

namespace casemate {
namespace {

constexpr std::size_t kMostReason = 200;

Error trouble(ErrorCode code, std::string what, int number = 0) { return Error{code, std::move(what), number, kDockerDaemon}; }

bool is_podman(const DockerEndpoint& endpoint) { return endpoint.path.find("podman") != std::string::npos; }

std::string how_to_start(const DockerEndpoint& endpoint) {
  if (!endpoint.local()) return "start it there, or correct DOCKER_HOST";
  if (is_podman(endpoint)) return "start podman's service: systemctl --user start podman.socket";
  return "start it (systemctl start docker), or set DOCKER_HOST to another";
}

// The name of the group that a socket is for, where there is one.
std::string group_of(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || info.st_gid == 0 || (info.st_mode & 0060) != 0060) return "";
  char buffer[4096];
  group entry{};
  group* found = nullptr;
  if (::getgrgid_r(info.st_gid, &entry, buffer, sizeof buffer, &found) != 0 || !found) return "";
  return printable_name(found->gr_name);
}

Error no_permission(const DockerEndpoint& endpoint, int number) {
  const std::string name = group_of(endpoint.path);
  const std::string what_to_do = name.empty() ? "use a daemon of your own (rootless docker or podman: set DOCKER_HOST), or root"
                                              : fmt::format("join its group (sudo usermod -aG {} $USER) and log in again", name);
  return trouble(ErrorCode::refused, fmt::format("no permission to use the docker daemon at {}: {}", endpoint.origin, what_to_do), number);
}

Error not_connected(const DockerEndpoint& endpoint, int number, const std::string& reason) {
  if (number == EACCES || number == EPERM) return no_permission(endpoint, number);
  const std::string why = number == ENOENT ? "there is no such socket" : number != 0 ? std::string(std::strerror(number)) : reason;
  return trouble(ErrorCode::not_found,
                 fmt::format("nobody answers as docker daemon at {} ({}): {}", endpoint.origin, why, how_to_start(endpoint)), number);
}

Error went_away(const DockerEndpoint& endpoint, const std::string& reason, std::string_view doing, int number) {
  return trouble(ErrorCode::system, fmt::format("the docker daemon at {} went away during {}: {}", endpoint.origin, doing, reason), number);
}

// With TLS 1.3 a server looks at it after its own half of the handshake, so what says so is the first read (RFC 8446, 4.4.2.4).
Error certificate_refused(const DockerEndpoint& endpoint, const std::string& reason) {
  const std::string why = endpoint.certificate.empty()
                              ? std::string("wants a certificate of yours: put cert.pem and key.pem beside ca.pem (DOCKER_CERT_PATH)")
                              : fmt::format("does not take the certificate '{}'", printable_line(endpoint.certificate));
  return trouble(ErrorCode::refused, fmt::format("the docker daemon at {} {}: {}", endpoint.origin, why, reason));
}

}  // namespace

Error daemon_unreachable(const DockerEndpoint& endpoint, CURL* easy, CURLcode code, std::string_view said, std::string_view doing) {
  long number = 0;
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
  const std::string reason = printable_name(said.empty() ? std::string_view(curl_easy_strerror(code)) : said.substr(0, kMostReason));
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      return not_connected(endpoint, static_cast<int>(number), reason);
    case CURLE_COULDNT_RESOLVE_HOST:
      return not_connected(endpoint, 0, reason);
    case CURLE_OPERATION_TIMEDOUT:
      return not_connected(endpoint, ETIMEDOUT, reason);
    case CURLE_PEER_FAILED_VERIFICATION:
      return trouble(ErrorCode::refused, fmt::format("the docker daemon at {} has a certificate that '{}' does not vouch for: {}",
                                                     endpoint.origin, printable_line(endpoint.ca), reason));
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
      return trouble(ErrorCode::invalid_input,
                     fmt::format("can't use the certificates for the docker daemon at {}: {}", endpoint.origin, reason));
    case CURLE_SSL_CONNECT_ERROR:
      return trouble(ErrorCode::refused,
                     fmt::format("no TLS with the docker daemon at {}: {}; does it want TLS and know cert.pem (DOCKER_CERT_PATH)?",
                                 endpoint.origin, reason));
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      if (endpoint.kind == DockerEndpoint::Kind::tls && reason.find("certificate") != std::string::npos)
        return certificate_refused(endpoint, reason);
      return went_away(endpoint, reason, doing, static_cast<int>(number));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return daemon_talks_nonsense(endpoint, reason, doing);
    default:
      return went_away(endpoint, reason, doing, static_cast<int>(number));
  }
}

Error daemon_hangs(const DockerEndpoint& endpoint, std::chrono::milliseconds silence, std::string_view doing) {
  return trouble(ErrorCode::system, fmt::format("the docker daemon at {} hangs: not a byte in {} for {}; is it overloaded, or stopped?",
                                                endpoint.origin, format_duration(silence), doing));
}

Error daemon_dribbles(const DockerEndpoint& endpoint, std::chrono::milliseconds lap, std::string_view doing) {
  return trouble(ErrorCode::system,
                 fmt::format("the docker daemon at {} hangs: less than 1 KiB in {} for {}; is it overloaded, or stopped?", endpoint.origin,
                             format_duration(lap), doing));
}

Error daemon_talks_nonsense(const DockerEndpoint& endpoint, std::string_view what, std::string_view doing) {
  return trouble(ErrorCode::corrupt,
                 fmt::format("what listens at {} {} ({}): is it a Docker Engine?", endpoint.origin, printable_line(what), doing));
}

}  // namespace casemate
