#include "docker/credentials.h"

#include <algorithm>
#include <cstdlib>

#include <openssl/evp.h>

#include "base/untrusted_json.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostConfig = 1u << 20;
constexpr std::size_t kMostSecret = 64u << 10;
constexpr const char* kDockerHub = "https://index.docker.io/v1/";

// RFC 4648, 5 (with padding), as Go's base64.URLEncoding.
std::string base64url(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

std::optional<std::string> from_base64(const std::string& text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  if (length < 0 || static_cast<std::size_t>(length) < padding) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(length) - padding);
  return bytes;
}

// "https://registry.example:5000/v2/" is the same registry as "registry.example:5000".
std::string host_of(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  }
  const std::string_view host = key.substr(0, key.find('/'));
  return std::string(host == "index.docker.io" || host == "registry-1.docker.io" ? "docker.io" : host);
}

std::optional<RegistryCredentials> credentials_in(const nlohmann::json& entry) {
  RegistryCredentials found{text_at(entry, "username", kMostSecret), text_at(entry, "password", kMostSecret),
                            text_at(entry, "identitytoken", kMostSecret)};
  if (const std::string auth = text_at(entry, "auth", kMostSecret); !auth.empty()) {
    const auto pair = from_base64(auth);
    const std::size_t colon = pair ? pair->find(':') : std::string::npos;
    if (colon != std::string::npos) {
      found.user = pair->substr(0, colon);
      found.password = pair->substr(colon + 1);
      while (found.password.ends_with('\0')) found.password.pop_back();
    }
  }
  if (found == RegistryCredentials{}) return std::nullopt;
  return found;
}

nlohmann::json to_json(const RegistryCredentials& credentials, const std::string& registry) {
  nlohmann::json auth = {{"serveraddress", server_address(registry)}};
  if (!credentials.identity_token.empty()) {
    auth["identitytoken"] = credentials.identity_token;
  } else {
    auth["username"] = credentials.user;
    auth["password"] = credentials.password;
  }
  return auth;
}

std::string dumped(const nlohmann::json& json) { return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

}  // namespace

DockerConfig DockerConfig::read() {
  const char* const directory = std::getenv("DOCKER_CONFIG");
  const char* const home = std::getenv("HOME");
  std::string path = directory && *directory ? directory : home ? std::string(home) + "/.docker" : "";
  if (path.empty()) return {};
  const auto text = read_file(path + "/config.json", kMostConfig);
  return text ? parse(*text) : DockerConfig();
}

DockerConfig DockerConfig::parse(const std::string& json) {
  DockerConfig made;
  if (auto config = untrusted_object(json)) made.config_ = std::move(*config);
  return made;
}

std::string DockerConfig::helper(const std::string& registry) const {
  std::string name;
  if (const nlohmann::json* const helpers = member_if(config_, "credHelpers", &nlohmann::json::is_object)) {
    for (const auto& [key, value] : helpers->items()) {
      if (host_of(key) == registry) name = text_at(*helpers, key.c_str(), 100);
    }
  }
  if (name.empty()) name = text_at(config_, "credsStore", 100);
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
  return plain ? name : "";
}

std::optional<RegistryCredentials> DockerConfig::stored(const std::string& registry) const {
  const nlohmann::json* const auths = member_if(config_, "auths", &nlohmann::json::is_object);
  if (!auths) return std::nullopt;
  for (const auto& [key, value] : auths->items()) {
    if (host_of(key) != registry || !value.is_object()) continue;
    if (auto found = credentials_in(value)) return found;
  }
  return std::nullopt;
}

std::string DockerConfig::all() const {
  const nlohmann::json* const auths = member_if(config_, "auths", &nlohmann::json::is_object);
  if (!auths) return "";
  nlohmann::json every = nlohmann::json::object();
  for (const auto& [key, value] : auths->items()) {
    const std::string registry = host_of(key);
    const auto found = value.is_object() ? credentials_in(value) : std::nullopt;
    if (found) every[server_address(registry)] = to_json(*found, registry);
  }
  return every.empty() ? "" : base64url(dumped(every));
}

std::string server_address(const std::string& registry) { return registry == "docker.io" ? kDockerHub : registry; }

std::string auth_header(const RegistryCredentials& credentials, const std::string& registry) {
  return base64url(dumped(to_json(credentials, registry)));
}

}  // namespace casemate
