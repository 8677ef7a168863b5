// credentials: what docker's config.json knows for a registry, in the form in which the Engine API takes it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "casemate/result.h"
#include "engine/reactor.h"

namespace casemate {

/// Name and password, or a token, for one registry.
struct RegistryCredentials {
  std::string user, password;
  std::string identity_token;
  bool operator==(const RegistryCredentials&) const = default;
};

/// docker's config.json ($DOCKER_CONFIG, else ~/.docker). A file that is missing or damaged has nothing.
class DockerConfig {
 public:
  static DockerConfig read();
  static DockerConfig parse(const std::string& json);

  /// NAME of the docker-credential-NAME that keeps this registry's ("docker.io", "localhost:5000"); "" if none does.
  [[nodiscard]] std::string helper(const std::string& registry) const;
  /// What stands in the file itself.
  [[nodiscard]] std::optional<RegistryCredentials> stored(const std::string& registry) const;
  /// Value of X-Registry-Config, for builds: all that stand in the file; "" if none do.
  [[nodiscard]] std::string all() const;

 private:
  nlohmann::json config_ = nlohmann::json::object();
};

/// What docker's clients call a registry: "https://index.docker.io/v1/" for docker.io, else its own name.
[[nodiscard]] std::string server_address(const std::string& registry);
/// Value of X-Registry-Auth.
[[nodiscard]] std::string auth_header(const RegistryCredentials& credentials, const std::string& registry);

/// A question to a credential helper ("docker-credential-NAME get", github.com/docker/docker-credential-helpers). Its destructor kills it.
class CredentialHelper {
 public:
  /// nullopt: it has none for this registry; an Error: it is not there, hangs (30 s), or says nonsense.
  using Done = std::function<void(Result<std::optional<RegistryCredentials>>)>;
  /// `done` is called once, later, from the reactor.
  static std::unique_ptr<CredentialHelper> ask(Reactor& reactor, const std::string& name, const std::string& registry, Done done);
  virtual ~CredentialHelper() = default;
};

}  // namespace casemate
