#include "apps/plan/settings.h"

#include <charconv>
#include <filesystem>
#include <optional>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "command/naming.h"
#include "image/toml.h"
#include "sys/fd.h"
#include "testplan/document.h"
#include "testplan/installation.h"
#include "testplan/plan_reading.h"

namespace casemate {
namespace {

constexpr std::size_t kLongestConfiguration = 1 << 20;
constexpr const char* kHostDirectory = "/app";

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

Result<nlohmann::ordered_json> read_toml(const std::string& path) {
  TRY_ASSIGN(const std::string text, read_file(path, kLongestConfiguration));
  const auto table = parse_toml(text);
  if (!table) return invalid(fmt::format("{}:{}: {}", printable_name(path), table.error().line, table.error().what));
  std::ostringstream json;
  json << toml::json_formatter(*table);
  return nlohmann::ordered_json::parse(json.str(), nullptr, false);
}

Result<Network> network_of(const std::string& word) {
  if (word.empty() || word == "none") return Network::none;
  if (word == "outbound" || word == "bridge" || word == "own") return Network::outbound;
  if (word == "host") return Network::host;
  return invalid(fmt::format("--network '{}': choose none, outbound (also bridge, own) or host", printable_name(word)));
}

// Plans name images as docker does, without a transport.
Result<std::string> with_transport(const std::string& image) {
  if (image.empty() || read_image_name(image)) return image;
  std::string in_registry = "docker://" + image;
  TRY(read_image_name(in_registry));
  return in_registry;
}

std::string executor_of(const PlanFlags& flags, const PlanExecution& execution) {
  if (flags.executor) return *flags.executor;
  return execution.use_docker.value_or(false) ? "docker" : "native";
}

// Files that a flag names are relative to where it was typed.
Result<InstallRequest> install_of(const PlanFlags& flags, const InstallRequest& plan, const std::string& directory) {
  if (flags.install.empty()) return with_files(plan, directory);
  TRY_ASSIGN(InstallRequest asked, parse_install(flags.install));
  TRY_ASSIGN(asked, with_files(std::move(asked), ""));
  // How to see whether it runs is about the tool, wherever that comes from.
  asked.verify = plan.verify;
  asked.verify_pattern = plan.verify_pattern;
  return asked;
}

// Programs of the host see its files as they are; what they write goes into a layer over an empty directory.
void put_on_host(Job& job, const std::string& directory) {
  job.cwd = directory.empty() ? kHostDirectory : directory;
  if (job.cwd != "/") job.mounts.push_back({.kind = Mount::Kind::overlay, .target = job.cwd, .owned = true});
}

// By number; names are an image's, whose files are not there yet.
std::optional<User> numbered_user(const std::string& word) {
  User user;
  const std::string id = word.substr(0, word.find(':'));
  const std::string group = id.size() == word.size() ? id : word.substr(id.size() + 1);
  for (const auto& [text, number] : {std::pair(&id, &user.uid), std::pair(&group, &user.gid)}) {
    const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), *number);
    if (text->empty() || problem != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  }
  return user;
}

Result<void> set_user(PlanSettings& settings, const std::string& word) {
  if (word.empty()) return {};
  const auto user = numbered_user(word);
  settings.user_chosen = true;
  if (user) settings.job.user = *user;
  if (settings.root) {
    settings.user = word;
  } else if (!user) {
    return invalid(
        fmt::format("--user '{}': in a container, and on the host's own files, give numbers: 1000 or 1000:1000", printable_name(word)));
  }
  return {};
}

// What a mount shows must be there: later it would be a set-up that failed, once for each command.
Result<void> check_mounts(const std::vector<Mount>& mounts) {
  for (const Mount& mount : mounts) {
    std::error_code problem;
    if (!mount.source.empty() && !std::filesystem::exists(mount.source, problem))
      return invalid(fmt::format("there is no {} to be mounted at {}", printable_name(mount.source), printable_name(mount.target)));
  }
  return {};
}

Result<void> set_root(PlanSettings& settings, const PlanFlags& flags, const PlanExecution& execution) {
  RootWords words = flags.root;
  std::string image = words.image.value_or("");
  if (!words.image) {
    TRY_ASSIGN(image, with_transport(execution.image));
  }
  const std::string directory = flags.work_dir.value_or(execution.work_dir);
  if (!directory.empty() && directory[0] != '/')
    return invalid(fmt::format("the working directory '{}' is not absolute", printable_name(directory)));
  settings.job.cwd = directory;
  if (settings.executor == "docker") {
    if (image.empty() || image == "host")
      return invalid("--executor docker needs an image: give --image NAME, or execution.docker_image in the plan");
    if (!words.policy.empty()) TRY(parse_policy("--pull", words.policy));
    if (!words.policy.empty()) settings.pull = words.policy;
    settings.job.image = image;
    return {};
  }
  if (!image.empty()) words.image = image;
  TRY_ASSIGN(settings.root, root_request(words, std::nullopt));
  if (settings.root)
    settings.root->use.entrypoint = false;
  else
    put_on_host(settings.job, directory);
  return {};
}

// A file without the table changes nothing.
Result<void> read_configuration(const std::string& path, PlanExecution& execution) {
  nlohmann::ordered_json whole;
  if (path.ends_with(".toml")) {
    TRY_ASSIGN(whole, read_toml(path));
  } else {
    TRY_ASSIGN(Document document, read_plan_document(path));
    whole = std::move(document.value);
  }
  if (!whole.is_object()) return invalid(fmt::format("{}: is no configuration: a table 'execution' is wanted", printable_name(path)));
  const auto table = whole.find("execution");
  return table == whole.end() ? Result<void>() : read_execution(*table, path, execution);
}

}  // namespace

Result<PlanExecution> plan_execution(const PlanFlags& flags, PlanExecution plan, const std::string& configuration) {
  const std::string network = std::exchange(plan.network, ""), image = std::exchange(plan.image, "");
  if (!configuration.empty()) TRY(read_configuration(configuration, plan));
  if (plan.network.empty()) {
    if (network == "host" && !flags.network)
      return invalid("the plan asks for this machine's own network, which a plan alone does not get: give --network host, or another");
    plan.network = network;
  }
  if (plan.image.empty()) {
    if (image.starts_with("dir:") && !flags.root.image)
      return invalid(
          fmt::format("the plan asks for a directory of this machine as its root, which a plan alone does not get: give --image {}",
                      printable_name(image)));
    plan.image = image;
  }
  return plan;
}

Result<PlanSettings> plan_settings(const PlanFlags& flags, const PlanExecution& execution, const InstallRequest& install,
                                   const std::string& directory, const std::string& tool) {
  PlanSettings settings;
  settings.executor = executor_of(flags, execution);
  TRY_ASSIGN(settings.install, install_of(flags, install, directory));
  Job& job = settings.job;
  job.name = printable_name(tool);
  job.executor = settings.executor == "native" ? "" : settings.executor;
  job.limits = flags.limits;
  TRY_ASSIGN(job.network, network_of(flags.network.value_or(execution.network)));
  job.env = execution.environment;
  for (const auto& [name, value] : flags.environment) job.env[name] = value;
  job.mounts = flags.mounts;
  if (settings.executor == "native") TRY(check_mounts(job.mounts));  // a daemon may be on another machine
  job.read_only = flags.read_only;
  TRY(set_root(settings, flags, execution));
  TRY(set_user(settings, flags.user));
  PlanRunOptions& options = settings.options;
  options.isolate_cases = flags.isolate_cases;
  options.parallel = flags.parallel.value_or(execution.parallel.value_or(1));
  options.retries = flags.retries.value_or(execution.retries.value_or(0));
  options.timeout = flags.timeout.value_or(execution.timeout.value_or(options.timeout));
  if (!execution.shell.empty()) options.shell = execution.shell;
  if (flags.shell) options.shell = *flags.shell;
  if (options.shell.empty() || options.shell[0] != '/')
    return invalid(fmt::format("the shell '{}' is no absolute path", printable_name(options.shell)));
  return settings;
}

}  // namespace casemate
