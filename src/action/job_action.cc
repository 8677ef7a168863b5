#include "action/job_action.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <sys/stat.h>

#include "action/composition.h"
#include "action/interpreter_files.h"
#include "action/spot_checks.h"
#include "base/terminal.h"
#include "cell/job_check.h"
#include "image/environment.h"
#include "witness/order.h"

namespace casemate {
namespace {

constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }
std::unexpected<Error> unsupported(std::string what) { return fail(ErrorCode::not_supported, std::move(what)); }

bool of_host(const Job& job) { return job.image == "host" && job.root.empty(); }

Result<void> check_mount(const Job& job, const Mount& mount) {
  TRY_ASSIGN(const std::string place, place_inside(mount.target, "the target of a mount"));
  const std::string target = printable_name("/" + place);
  const bool own = (mount.kind == Mount::Kind::proc && place == "proc") || (mount.kind == Mount::Kind::devpts && place == "dev/pts");
  if (own) return {};
  if (reserved_place(place) && mount.kind != Mount::Kind::device)
    return invalid(fmt::format("nothing can be mounted at '{}' in an action", target));
  switch (mount.kind) {
    case Mount::Kind::bind: {
      if (mount.writable)
        return unsupported(fmt::format("{} can't be mounted for writing: the job runs on another machine; leave it out, or take --outputs",
                                       printable_name(mount.source)));
      if (!mount.executable) return unsupported(fmt::format("an action can't have {} without its programs (noexec)", target));
      struct stat info{};
      if (!mount.source.starts_with('/'))
        return invalid(fmt::format("'{}' is not an absolute path of the host", printable_name(mount.source)));
      if (::stat(mount.source.c_str(), &info) < 0)
        return fail(ErrorCode::not_found, fmt::format("{}: no such file or directory on the host", printable_name(mount.source)), ENOENT);
      return {};
    }
    case Mount::Kind::device: {
      const bool usual = std::find(std::begin(kDevices), std::end(kDevices), mount.source) != std::end(kDevices);
      if (usual && place == "dev/" + mount.source) return {};
      return unsupported(fmt::format("an action can't be given the device {}; leave it out", printable_name(mount.source)));
    }
    case Mount::Kind::overlay:
    case Mount::Kind::tmpfs:
      return {};
    default:
      break;
  }
  (void)job;
  return unsupported(fmt::format("an action can't have such a file system at '{}'; leave the mount out", target));
}

Result<void> check_collected(const Job& job, const ActionSetting& setting) {
  for (const std::string& place : job.collect) {
    if (place == "/" && job.collect.size() > 1) return invalid("changes of '/' are collected alone: other directories lie below it");
    if (place == "/" && of_host(job)) return invalid("changes of '/' can't be collected on image 'host': its root is not one tree");
    if (place == "/" && setting.image_as_property)
      return unsupported("changes of '/' can't be collected where the engine has the image; take --remote-image root");
    const bool known = place == "/" || std::any_of(job.mounts.begin(), job.mounts.end(), [&](const Mount& mount) {
                         return mount.kind == Mount::Kind::overlay && mount.target == place;
                       });
    if (!known) return invalid(fmt::format("'{}' is collected but is no overlay of the job's", printable_name(place)));
  }
  return {};
}

// Puts one action together; each member function adds one part of it.
class ActionWriter {
 public:
  ActionWriter(const Job& job, const ActionSetting& setting, InputTrees& trees) : job_(job), setting_(setting), trees_(trees) {}

  Result<JobAction> write(const std::optional<std::string>& input) {
    TRY(base());
    TRY(shown());
    TRY(mounts());
    collected();
    notes();
    TRY_ASSIGN(const InputDirectoryPtr shown, compose(base_, placed_));
    placed_.clear();
    TRY(own(input, shown));
    TRY_ASSIGN(made_.root, compose(shown, placed_));
    messages();
    return std::move(made_);
  }

 private:
  void put(const std::string& place, decltype(PlacedInput::input) input) { placed_.push_back({place, std::move(input)}); }

  // An overlay's layers, or one directory of the host.
  Result<InputDirectoryPtr> tree(const std::vector<std::string>& lower) {
    if (lower.empty()) return empty_input();
    const bool plain = lower.size() == 1 && !trees_.is_kept(lower[0]);
    auto made = plain ? trees_.directory(lower[0]) : trees_.layers(lower);
    if (!made) return std::unexpected(made.error());
    return taken(*made);
  }
  InputDirectoryPtr taken(const InputTree& tree) {
    for (const std::string& line : tree.left_out) made_.notes.push_back("not sent: " + printable_name(line));
    return tree.top;
  }

  Result<void> base() {
    base_ = empty_input();
    if (of_host(job_) || setting_.image_as_property) {
      for (const auto& [path, mode] : {std::pair("/tmp", 01777), {"/var/tmp", 01777}, {"/root", 0755}, {"/run", 0755}, {"/home", 0755}})
        order_.fresh.push_back({path, static_cast<std::uint32_t>(mode)});
      return {};
    }
    order_.image = true;
    auto image = trees_.layers(job_.root);
    if (!image) return std::unexpected(image.error());
    base_ = image->top;
    // What every cell has lies over the image's, whatever that has in these places.
    for (const char* place : {"/dev", "/proc", "/sys", "/tmp"}) put(place, empty_input());
    put("/etc/hostname", input_file(job_.hostname + "\n"));
    put("/etc/hosts", input_file(fmt::format("127.0.0.1 localhost {0}\n::1 localhost ip6-localhost ip6-loopback\n", job_.hostname)));
    order_.fresh.push_back({"/tmp", 01777});
    order_.fresh.push_back({"/dev/shm", 01777});
    return {};
  }

  // Of this host's own files those that no worker has.
  Result<void> shown() {
    if (!of_host(job_)) return {};
    const std::vector<std::string> everywhere = default_host_paths();
    for (const std::string& path : job_.host_paths) {
      const bool there = std::any_of(everywhere.begin(), everywhere.end(),
                                     [&](const std::string& other) { return path == other || path.starts_with(other + "/"); });
      if (there) continue;
      TRY(host_input(path, path));
    }
    return {};
  }

  // A Python interpreter that is shown where it lies is there to be run. Packages in its prefix are no environment's.
  Result<InputDirectoryPtr> interpreter(const std::string& prefix) {
    const bool packages =
        std::none_of(job_.mounts.begin(), job_.mounts.end(), [](const Mount& mount) { return mount.target == kEnvironmentMountPoint; });
    auto made = trees_.interpreter(prefix, packages);
    if (!made) return std::unexpected(made.error());
    return taken(*made);
  }

  Result<void> host_input(const std::string& source, const std::string& target) {
    struct stat info{};
    if (::stat(source.c_str(), &info) < 0)
      return fail(ErrorCode::not_found, fmt::format("{}: no such file or directory on the host", printable_name(source)), ENOENT);
    if (!S_ISDIR(info.st_mode)) {
      TRY_ASSIGN(InputDirectory::File file, trees_.file(source));
      put(target, std::move(file));
    } else {
      TRY_ASSIGN(InputDirectoryPtr top, source == target && is_interpreter_prefix(source) ? interpreter(source) : tree({source}));
      put(target, std::move(top));
    }
    order_.places.push_back(target);
    return {};
  }

  Result<void> mounts() {
    std::vector<const Mount*> sorted;
    for (const Mount& mount : job_.mounts) sorted.push_back(&mount);
    const auto depth = [](const Mount* mount) { return std::count(mount->target.begin(), mount->target.end(), '/'); };
    std::stable_sort(sorted.begin(), sorted.end(), [&](const Mount* a, const Mount* b) { return depth(a) < depth(b); });
    for (const Mount* mount : sorted) {
      if (mount->kind == Mount::Kind::bind) {
        TRY(host_input(mount->source, mount->target));
      } else if (mount->kind == Mount::Kind::overlay) {
        TRY(overlay(*mount));
      } else if (mount->kind == Mount::Kind::tmpfs) {
        put(mount->target, empty_input());
        order_.fresh.push_back({mount->target, mount->mode, true});
        if (mount->bytes)
          made_.notes.push_back(
              fmt::format("the size of {} is not held: it is a directory of the worker's", printable_name(mount->target)));
      }
    }
    return {};
  }

  Result<void> overlay(const Mount& mount) {
    std::vector<std::string> lower = mount.lower;
    if (!mount.under.empty()) lower.push_back(mount.under);
    TRY_ASSIGN(InputDirectoryPtr top, tree(lower));
    put(mount.target, std::move(top));
    // The job's user may not be the one whose input root it is.
    const bool shared = mount.target == "/tmp" || mount.target == "/var/tmp";
    const std::uint32_t mode = shared ? 01777 : job_.user.uid != 0 ? 0777 : 0755;
    const auto same = std::find_if(order_.fresh.begin(), order_.fresh.end(), [&](const auto& fresh) { return fresh.path == mount.target; });
    if (same != order_.fresh.end()) order_.fresh.erase(same);
    if (lower.empty()) {
      order_.fresh.push_back({mount.target, mode, true});
    } else {
      order_.places.push_back(mount.target);
      if (mode != 0755) order_.fresh.push_back({mount.target, mode});
    }
    return {};
  }

  void collected() {
    order_.collect = job_.collect;
    for (const std::string& place : job_.collect) {
      std::vector<std::string>& lower = made_.collected_lower.emplace_back();
      if (place == "/") {
        lower = job_.root;
        continue;
      }
      for (const Mount& mount : job_.mounts) {
        if (mount.kind != Mount::Kind::overlay || mount.target != place) continue;
        lower = mount.lower;
        if (!mount.under.empty()) lower.push_back(mount.under);
      }
    }
  }

  void notes() {
    if (job_.hostname != Job().hostname) made_.notes.emplace_back("the host's name is the engine's own");
    if (job_.network == Network::outbound) made_.notes.emplace_back("which networks can be reached is the engine's to say");
    if (job_.network == Network::host) made_.notes.emplace_back("the network is that of the engine's workers, not this host's");
  }

  // The witness, what it is told, and what it compares with what the job is `shown`.
  Result<void> own(const std::optional<std::string>& input, const InputDirectoryPtr& shown) {
    order_.argv = job_.argv;
    order_.env = job_.env;
    order_.cwd = job_.cwd;
    if (job_.user != User()) order_.user = job_.user;
    order_.strict = job_.profile == Profile::strict;
    order_.lonely = job_.network == Network::none;
    order_.reports = job_.report;
    order_.has_stdin = input.has_value();
    order_.limits = job_.limits;
    InputDirectory own;
    TRY_ASSIGN(InputDirectory::File witness, trees_.file(setting_.witness));
    witness.executable = true;
    own.files["witness"] = std::move(witness);
    InputDirectory spots;
    for (SpotCheck& each : spot_checks(shown, job_)) {
      spots.files.emplace(fmt::format("{}", order_.spot_checks.size()), std::move(each.file));
      order_.spot_checks.push_back(std::move(each.path));
    }
    if (!order_.spot_checks.empty()) own.directories["spots"] = seal(std::move(spots));
    own.files["order"] = input_file(order_bytes(order_));
    if (input) own.files["stdin"] = input_file(*input);
    put("/" + std::string(kActionPlace), seal(std::move(own)));
    return {};
  }

  void messages() {
    PlatformProperties properties = setting_.properties;
    if (setting_.image_as_property && !of_host(job_)) properties.emplace_back("container-image", job_.image);
    ActionCommand command;
    command.arguments = {std::string(kActionWitness), "action", std::string(kActionOrder)};
    command.output_paths = {std::string(kActionResult)};
    if (job_.report) command.output_paths.emplace_back(kActionReports);
    if (setting_.outputs_by_kind) command.output_files = command.output_paths;
    if (!job_.collect.empty()) command.output_paths.emplace_back(kActionChanges);
    if (setting_.outputs_by_kind && !job_.collect.empty()) command.output_directories.emplace_back(kActionChanges);
    command.platform = properties;
    made_.command = blob_of(command_message(command));
    ActionContent action{.command = made_.command.digest, .input_root = made_.root->digest};
    if (job_.limits.wall) action.timeout = *job_.limits.wall + setting_.margin;
    action.do_not_cache = !job_.deterministic;
    action.platform = std::move(properties);
    made_.action = blob_of(action_message(action));
  }

  const Job& job_;
  const ActionSetting& setting_;
  InputTrees& trees_;
  WitnessOrder order_;
  JobAction made_;
  InputDirectoryPtr base_;
  std::vector<PlacedInput> placed_;
};

}  // namespace

Result<void> check_action_job(const Job& job, const ActionSetting& setting) {
  if (job.argv.empty() || job.argv[0].empty()) return invalid("a job needs a command");
  const auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  if (std::any_of(job.argv.begin(), job.argv.end(), has_nul)) return invalid("an argument has a NUL byte");
  for (const auto& [name, value] : job.env) {
    if (name.empty() || name.find('=') != std::string::npos || has_nul(name) || has_nul(value))
      return invalid(fmt::format("'{}' can't be the name of an environment variable", printable_name(name)));
  }
  TRY(place_inside(job.cwd, "the working directory"));
  if (!of_host(job) && job.root.empty() && !setting.image_as_property)
    return invalid(fmt::format("the layers of image {} are not at hand", printable_name(job.image)));
  if (!of_host(job) && !job.host_paths.empty())
    return invalid("paths of the host are shown at their own places on image 'host' only; mount them (--mount)");
  if (!job.capabilities.empty()) return unsupported("a job of an action can't have capabilities; leave --cap-add out");
  if (job.read_only) return unsupported("the root of an action can't be made read-only; leave --read-only out");
  if (job.limits.cpus) return unsupported("remote workers can't be held to a share of a CPU; leave --cpus out");
  TRY(check_limits(job.limits));
  for (const Mount& mount : job.mounts) TRY(check_mount(job, mount));
  for (const auto& [name, value] : setting.properties) {
    if (to_utf8(name + value) != name + value)
      return invalid(fmt::format("the property {} is not UTF-8, which REAPI can't pass on", printable_name(name)));
  }
  return check_collected(job, setting);
}

Result<JobAction> job_action(const Job& job, const ActionSetting& setting, InputTrees& trees, const std::optional<std::string>& input) {
  TRY(check_action_job(job, setting));
  return ActionWriter(job, setting, trees).write(input);
}

}  // namespace casemate
