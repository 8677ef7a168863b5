// endpoint: where a Docker Engine (or podman's service of the same API) listens.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// An address of the Engine API.
struct DockerEndpoint {
  enum class Kind { unix_socket, tcp, tls };
  Kind kind = Kind::unix_socket;
  std::string path;                  ///< unix_socket: absolute
  std::string host;                  ///< tcp, tls
  std::uint16_t port = 0;            ///< tcp, tls
  std::string ca, certificate, key;  ///< tls: PEM files (DOCKER_CERT_PATH's ca.pem, cert.pem, key.pem)
  std::string origin;                ///< for people: "unix:///var/run/docker.sock (DOCKER_HOST)"
  bool operator==(const DockerEndpoint&) const = default;

  /// The daemon sees this host's files: bind mounts of them work.
  [[nodiscard]] bool local() const { return kind == Kind::unix_socket; }
};

/// As docker's own client has it (dockerd(8), "Environment variables"): DOCKER_HOST (unix://, tcp://, with DOCKER_TLS_VERIFY and
/// DOCKER_CERT_PATH), else the first of /var/run/docker.sock, $XDG_RUNTIME_DIR/docker.sock, /run/podman/podman.sock and
/// $XDG_RUNTIME_DIR/podman/podman.sock that is there. invalid_input: what can't be read, and ssh://, with what to do; not_found: none.
Result<DockerEndpoint> docker_endpoint();
/// The same for an address as DOCKER_HOST has it.
Result<DockerEndpoint> parse_docker_host(const std::string& host, bool verify_tls, const std::string& certificates);

}  // namespace casemate
