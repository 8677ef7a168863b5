#include "command/root_options.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/mounts.h"
#include "command/naming.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kLongestContainer = 1 << 20;
constexpr const char* kLockName = "casemate.lock";

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

std::string directory_of(const std::string& path) {
  const std::string absolute = absolute_host_path(path);
  const auto slash = absolute.rfind('/');
  return slash == 0 ? "/" : absolute.substr(0, slash);
}

// "all", "none" or a list of env, workdir, entrypoint, user.
Result<ConfigUse> parse_config_use(std::string_view text) {
  if (text == "all") return ConfigUse{};
  ConfigUse use{.env = false, .working_directory = false, .entrypoint = false, .user = false};
  if (text == "none") return use;
  while (true) {
    const auto comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    if (part == "env") {
      use.env = true;
    } else if (part == "workdir") {
      use.working_directory = true;
    } else if (part == "entrypoint") {
      use.entrypoint = true;
    } else if (part == "user") {
      use.user = true;
    } else {
      return invalid(fmt::format("--image-config {}: write all, none, or some of env,workdir,entrypoint,user", in_quotes(part)));
    }
    if (comma == std::string_view::npos) return use;
    text.remove_prefix(comma + 1);
  }
}

Result<ImageReference> image_of(const RootWords& words, const std::optional<ContainerSpec>& container) {
  if (words.image) return read_image_name(*words.image);
  if (!container || !container->image) return ImageReference{};
  TRY_ASSIGN(ImageReference reference, read_image_name(*container->image));
  // As all paths in a file: of the directory that the file lies in.
  if (!reference.path.empty() && reference.path[0] != '/') reference.path = directory_of(words.container) + "/" + reference.path;
  return reference;
}

Result<std::vector<LayerGroup>> layers_of(const RootWords& words, const std::optional<ContainerSpec>& container) {
  std::vector<LayerGroup> groups;
  if (container && !container->layers.empty()) groups.push_back({directory_of(words.container), container->layers});
  if (words.layers.empty()) return groups;
  LayerGroup typed{directory_of("x"), {}};
  for (const std::string& text : words.layers) {
    auto layer = parse_layer(text);
    if (!layer) return invalid(fmt::format("--layer {}: {}", in_quotes(text), layer.error().what));
    typed.layers.push_back(std::move(*layer));
  }
  groups.push_back(std::move(typed));
  return groups;
}

}  // namespace

void declare_root_options(CLI::App& app, RootWords& words) {
  app.add_option("--image", words.image, "what is at /: host, docker://NAME[:TAG], oci:DIR, oci-archive:FILE, dir:ROOTFS, ... [host]")
      ->type_name("IMAGE");
  app.add_option("--pull", words.policy,
                 "missing: get the image when the store lacks it; always: ask whether it has changed; never [missing]")
      ->type_name("POLICY");
  declare_pull_options(app, words.pull);
  app.add_option("--image-config", words.image_config,
                 "what of the image's config counts: all, none, or some of env,workdir,entrypoint,user [all]")
      ->type_name("WHAT");
  app.add_option("--entrypoint", words.entrypoint, "in place of the image's entrypoint and command; \"\": none")->type_name("COMMAND");
  app.add_option("--layer", words.layers,
                 "over the image (or host), an inline table of TOML: { glob = \"**.py\" }, { tar = \"x.tar\" }, ...")
      ->type_name("TABLE")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--container", words.container, "image, layers, mounts and so on from a file of TOML; the options here win over it")
      ->type_name("FILE");
}

bool RootRequest::is_plain_host() const { return image.kind == ImageReference::Kind::host && layers.empty(); }

Result<std::optional<ContainerSpec>> read_container(const RootWords& words) {
  if (words.container.empty()) return std::nullopt;
  TRY_ASSIGN(const std::string toml, read_file(words.container, kLongestContainer));
  TRY_ASSIGN(ContainerSpec container, parse_container(toml, words.container));
  return container;
}

Result<std::optional<RootRequest>> root_request(const RootWords& words, const std::optional<ContainerSpec>& container) {
  RootRequest request;
  TRY_ASSIGN(request.image, image_of(words, container));
  auto policy = PullOptions::Policy::missing;
  if (!words.policy.empty()) {
    TRY_ASSIGN(policy, parse_policy("--pull", words.policy));
    request.policy_chosen = true;
  }
  TRY_ASSIGN(request.pull, pull_options(words.pull, policy));
  TRY_ASSIGN(request.layers, layers_of(words, container));
  request.entrypoint = words.entrypoint;
  request.lock = lock_path(words.pull);
  request.lock_grows = !request.lock.empty();
  if (container) {
    request.user = user_words(*container);
    request.environment = container->environment;
    request.notes = container->notes;
    if (!words.image) {
      request.use = container->use;
      request.image_layers = container->use_layers;
      if (request.lock.empty()) request.lock = fmt::format("{}/{}", directory_of(words.container), kLockName);
    }
  }
  if (words.image_config) {
    TRY_ASSIGN(request.use, parse_config_use(*words.image_config));
  }
  if (request.entrypoint) request.use.entrypoint = false;
  if (!container && !request.entrypoint && request.is_plain_host()) return std::nullopt;
  return request;
}

Result<std::string> expand_value(const std::string& value, const std::map<std::string, std::string>& before) {
  std::string text;
  for (std::size_t at = 0; at < value.size();) {
    const bool env = value.compare(at, 5, "$env{") == 0;
    const bool previous = value.compare(at, 6, "$prev{") == 0;
    if (!env && !previous) {
      text += value[at++];
      continue;
    }
    const std::size_t start = at + (env ? 5 : 6);
    const std::size_t end = value.find('}', start);
    if (end == std::string::npos) return invalid(fmt::format("{}: no '}}' ends the variable's name", in_quotes(value)));
    const std::string inner = value.substr(start, end - start);
    const std::size_t otherwise = inner.find(":-");
    const std::string name = inner.substr(0, otherwise);
    const char* own = env ? std::getenv(name.c_str()) : nullptr;
    const auto found = before.find(name);
    if (own) {
      text += own;
    } else if (previous && found != before.end()) {
      text += found->second;
    } else if (otherwise != std::string::npos) {
      text += inner.substr(otherwise + 2);
    } else {
      return invalid(fmt::format("{}: there is no variable {} {}", in_quotes(value), in_quotes(name),
                                 env ? "in the environment of casemate" : "in the image's environment"));
    }
    at = end + 1;
  }
  return text;
}

}  // namespace casemate
