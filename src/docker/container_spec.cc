#include "docker/container_spec.h"

#include <algorithm>
#include <cerrno>
#include <cmath>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "cell/capability.h"
#include "cell/job_check.h"
#include "docker/api.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kSharedMemory = 64ull << 20;  // /dev/shm without a disk limit: docker's own
constexpr std::uint64_t kMostProcesses = 4096;
constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }
std::unexpected<Error> unsupported(std::string what) { return fail(ErrorCode::not_supported, std::move(what)); }

Result<void> check(const Job& job) {
  if (job.argv.empty() || job.argv[0].empty()) return invalid("a job needs a command");
  if (job.image.empty() || job.image == "host")
    return unsupported("the Docker executor has images, not this host's own programs; name one with --image, as python:3.11-slim");
  if (!job.root.empty()) return invalid("the Docker executor takes its images from the daemon, not from directories");
  if (!job.host_paths.empty()) return invalid("paths of the host are shown at their own places on image 'host' only; mount them (--mount)");
  const auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  if (std::any_of(job.argv.begin(), job.argv.end(), has_nul)) return invalid("an argument has a NUL byte");
  // JSON has no other text than UTF-8, and the API no other place for them.
  for (const std::string& word : job.argv) {
    if (to_utf8(word) != word) return unsupported("an argument is not UTF-8, which the Docker Engine API can't pass on");
  }
  for (const auto& [name, value] : job.env) {
    if (name.empty() || name.find('=') != std::string::npos || has_nul(name) || has_nul(value))
      return invalid(fmt::format("'{}' can't be the name of an environment variable", printable_name(name)));
    if (to_utf8(name) != name || to_utf8(value) != value)
      return unsupported(fmt::format("the variable {} is not UTF-8, which the Docker Engine API can't pass on", printable_name(name)));
  }
  const auto is_text = [](const std::string& text) { return to_utf8(text) == text; };
  for (const Mount& mount : job.mounts) {
    for (const std::string* path : {&mount.source, &mount.target}) {
      if (!is_text(*path))
        return unsupported(fmt::format("{} is not UTF-8, which the Docker Engine API can't pass on", printable_name(*path)));
    }
  }
  if (!is_text(job.cwd) || !is_text(job.hostname))
    return unsupported("the working directory or the host name is not UTF-8, which the Docker Engine API can't pass on");
  if (job.hostname.empty() || job.hostname.size() > 64) return invalid("a host name has 1 to 64 bytes");
  if (job.limits.memory_bytes && *job.limits.memory_bytes < (6u << 20)) return unsupported("docker's least memory limit is 6M");
  if (job.limits.pids && *job.limits.pids < 1) return invalid("the pids limit must be at least 1");
  if (job.limits.cpus && !(*job.limits.cpus >= 0.01 && *job.limits.cpus <= 4096)) return invalid("the cpu limit must be at least 0.01");
  if (job.limits.wall && job.limits.wall->count() < 1) return invalid("the time limit must be at least 1ms");
  if (job.limits.cpu_time && job.limits.cpu_time->count() < 1) return invalid("the CPU time limit must be at least 1ms");
  if (job.limits.open_files && *job.limits.open_files < 8) return invalid("the open files limit must be at least 8");
  return {};
}

// Builds one body; each member function adds one part of it.
class Specifier {
 public:
  Specifier(const Job& job, const ContainerSetting& setting) : job_(job), setting_(setting) {}

  Result<ContainerSpecBody> specify() {
    TRY(check(job_));
    TRY_ASSIGN(cwd_, place_inside(job_.cwd, "the working directory"));
    security();
    TRY(capabilities());
    limits();
    places();
    for (const Mount& mount : job_.mounts) TRY(this->mount(mount));
    TRY(collected());
    network();
    if (!binds_.empty()) host_["Mounts"] = std::move(binds_);
    if (!tmpfs_.empty()) host_["Tmpfs"] = std::move(tmpfs_);
    if (!devices_.empty()) host_["Devices"] = std::move(devices_);
    body();
    return std::move(spec_);
  }

 private:
  void body() {
    Json& body = spec_.body;
    body["Image"] = setting_.image.empty() ? job_.image : setting_.image;
    body["Hostname"] = job_.hostname;
    body["User"] = setting_.user.empty() ? fmt::format("{}:{}", job_.user.uid, job_.user.gid) : setting_.user;
    body["WorkingDir"] = "/" + cwd_;
    if (setting_.use != ContainerUse::kept) body["Env"] = environment();
    body["Entrypoint"] = Json::array({std::string(kWitnessPlace)});
    Json words = Json::array({mode(), setting_.token});
    if (!is_context()) {
      words.push_back((job_.profile == Profile::strict ? "strict" : "default") + taken_away());
      for (const std::string& word : job_.argv) words.push_back(word);
    }
    body["Cmd"] = std::move(words);
    body["Labels"] = {{std::string(kDockerLabel), setting_.label_value}};
    const bool stdin_open = setting_.use != ContainerUse::job || job_.forward_stdin;
    body["AttachStdin"] = stdin_open;
    body["AttachStdout"] = true;
    body["AttachStderr"] = true;
    body["OpenStdin"] = stdin_open;
    body["StdinOnce"] = !is_context() && stdin_open;
    body["Tty"] = false;
    body["Healthcheck"] = {{"Test", Json::array({"NONE"})}};
    body["HostConfig"] = std::move(host_);
  }

  [[nodiscard]] bool is_context() const { return setting_.use == ContainerUse::context; }

  [[nodiscard]] const char* mode() const {
    if (is_context()) return "hold";
    if (setting_.use == ContainerUse::kept) return "told";
    return job_.report ? "report" : "job";
  }

  // A name without "=" takes the variable away again: the image's, and what daemons put in by themselves.
  [[nodiscard]] Json environment() const {
    Json all = Json::array();
    for (const auto& [name, value] : job_.env) all.push_back(name + "=" + value);
    if (setting_.podman) return all;
    std::vector<std::string> inherited = {"PATH", "HOSTNAME"};
    for (const std::string& variable : setting_.image_env) inherited.push_back(variable.substr(0, variable.find('=')));
    for (const std::string& name : inherited) {
      if (!name.empty() && !job_.env.contains(name) && std::find(all.begin(), all.end(), name) == all.end()) all.push_back(name);
    }
    return all;
  }

  // podman looks a name without "=" up in its own environment: there the witness takes what is not the job's away.
  [[nodiscard]] std::string taken_away() const {
    if (!setting_.podman || setting_.use == ContainerUse::kept) return "";
    std::string names;
    std::vector<std::string> inherited = {"PATH", "HOME", "HOSTNAME", "TERM", "container"};
    for (const std::string& variable : setting_.image_env) inherited.push_back(variable.substr(0, variable.find('=')));
    for (const std::string& name : inherited) {
      if (!name.empty() && !job_.env.contains(name)) names += "," + name;
    }
    return names;
  }

  void security() {
    host_["CapDrop"] = Json::array({"ALL"});
    host_["SecurityOpt"] = Json::array({"no-new-privileges"});
    host_["Privileged"] = false;
    host_["IpcMode"] = "private";
    host_["Init"] = false;
    host_["AutoRemove"] = false;
    host_["RestartPolicy"] = {{"Name", "no"}};
    if (!setting_.podman) host_["LogConfig"] = {{"Type", "none"}};
    host_["ReadonlyRootfs"] = job_.read_only;
  }

  Result<void> capabilities() {
    if (job_.capabilities.empty()) return {};
    Json kept = Json::array();
    for (const std::string& name : job_.capabilities) {
      if (capability_number(name) < 0)
        return invalid(fmt::format("there is no capability '{}'; see capabilities(7)", printable_name(name)));
      kept.push_back(name);
    }
    host_["CapAdd"] = std::move(kept);
    return {};
  }

  void ulimit(const char* name, std::uint64_t value) { ulimits_.push_back({{"Name", name}, {"Soft", value}, {"Hard", value}}); }

  void limits() {
    const Limits& limits = job_.limits;
    if (limits.memory_bytes) {
      host_["Memory"] = *limits.memory_bytes;
      host_["MemorySwap"] = *limits.memory_bytes;  // memory and swap together: no swap
    }
    // The witness is one of them; where commands come by exec, each has one more.
    if (limits.pids) host_["PidsLimit"] = *limits.pids + (is_context() ? 2 : 1);
    if (limits.cpus) host_["NanoCpus"] = static_cast<std::uint64_t>(std::llround(*limits.cpus * 1e9));
    ulimit("core", 0);
    ulimit("memlock", 8u << 20);
    ulimit("msgqueue", 409'600);
    ulimit("sigpending", 4096);
    ulimit("nofile", limits.open_files.value_or(1024));
    ulimit("fsize", limits.file_bytes.value_or(1ull << 40));
    if (setting_.podman) ulimit("nproc", kMostProcesses);  // its own default may be more than its host lets it give
    if (limits.cpu_time && !is_context()) ulimit("cpu", static_cast<std::uint64_t>(limits.cpu_time->count()) / 1000 + 1);
    host_["Ulimits"] = std::move(ulimits_);
    spec_.watch_cpu = limits.cpu_time.has_value() && !is_context();
    spec_.watch_disk = limits.disk_bytes.has_value();
    if (limits.disk_inodes && !limits.disk_bytes)
      spec_.notes.emplace_back("the limit on files of a writable layer is held on tmpfs alone: docker does not count files");
  }

  [[nodiscard]] std::string tmpfs_options(std::optional<std::uint64_t> bytes, std::uint32_t mode, bool executable) const {
    std::string options = fmt::format("rw,nosuid,nodev,{},mode={:o}", executable ? "exec" : "noexec", mode);
    if (!bytes) bytes = job_.limits.disk_bytes;
    if (bytes) options += fmt::format(",size={}", *bytes);
    if (job_.limits.disk_inodes && !setting_.podman) options += fmt::format(",nr_inodes={}", *job_.limits.disk_inodes);
    return options;
  }

  void places() {
    host_["ShmSize"] = job_.limits.disk_bytes.value_or(kSharedMemory);
    if (job_.read_only) tmpfs_["/tmp"] = tmpfs_options({}, 01777, true);
    if (!setting_.witness.empty())
      binds_.push_back({{"Type", "bind"}, {"Source", setting_.witness}, {"Target", std::string(kWitnessPlace)}, {"ReadOnly", true}});
  }

  Result<void> mount(const Mount& mount) {
    TRY_ASSIGN(const std::string path, place_inside(mount.target, "the target of a mount"));
    const std::string target = "/" + path;
    if (reserved_place(path)) return reserved(mount, path);
    if (std::find(targets_.begin(), targets_.end(), target) != targets_.end()) return invalid(fmt::format("two mounts at '{}'", target));
    targets_.push_back(target);
    switch (mount.kind) {
      case Mount::Kind::bind:
        return bind(mount, target);
      case Mount::Kind::overlay:
        return overlay(mount, target);
      case Mount::Kind::tmpfs:
        tmpfs_[target] = tmpfs_options(mount.bytes, mount.mode, mount.executable);
        return {};
      case Mount::Kind::device:
        return device(mount, target);
      default:
        return unsupported(
            fmt::format("the Docker executor can't mount such a file system at '{}'; every container has /proc, /sys and /dev",
                        printable_name(target)));
    }
  }

  // Places that a container has of its own, and the devices that may be asked for below /dev.
  Result<void> reserved(const Mount& mount, const std::string& path) {
    const bool there = (mount.kind == Mount::Kind::proc && path == "proc") || (mount.kind == Mount::Kind::sysfs && path == "sys");
    if (there) return {};
    return invalid(fmt::format("nothing can be mounted at '{}' in a container", printable_name(mount.target)));
  }

  Result<void> bind(const Mount& mount, const std::string& target) {
    if (!mount.source.starts_with('/'))
      return invalid(fmt::format("'{}' is not an absolute path of the host", printable_name(mount.source)));
    struct stat info{};
    if (::stat(mount.source.c_str(), &info) < 0)
      return fail(ErrorCode::not_found, fmt::format("{}: no such file or directory on the host", printable_name(mount.source)), ENOENT);
    if (!mount.executable)
      return unsupported(fmt::format("the Docker executor can't mount {} without its programs (noexec)", printable_name(target)));
    if (mount.writable && mount.bytes)
      return unsupported(fmt::format("the Docker executor can't bound what is written to {}", printable_name(mount.source)));
    if (!setting_.endpoint.local()) {
      if (mount.writable)
        return unsupported(
            fmt::format("{} can't be mounted for writing: the Docker daemon is on another machine", printable_name(mount.source)));
      spec_.uploads.push_back({.lower = {mount.source}, .target = target, .owned = mount.owned});
      spec_.notes.push_back(
          fmt::format("{} was copied into the container: the Docker daemon is on another machine", printable_name(mount.source)));
      return {};
    }
    binds_.push_back({{"Type", "bind"}, {"Source", mount.source}, {"Target", target}, {"ReadOnly", !mount.writable}});
    return {};
  }

  Result<void> overlay(const Mount& mount, const std::string& target) {
    ContainerSpecBody::Upload upload{.lower = mount.lower, .target = target, .owned = mount.owned, .open_to_all = job_.user.uid != 0};
    if (!mount.under.empty()) upload.lower.push_back(mount.under);
    upload.volume = job_.read_only;
    if (upload.volume) {
      // Its archives of a volume have names that begin elsewhere.
      if (setting_.podman && std::find(job_.collect.begin(), job_.collect.end(), mount.target) != job_.collect.end())
        return unsupported(
            fmt::format("files of {} below a read-only root can't be had back from podman; leave --read-only out", printable_name(target)));
      if (job_.limits.disk_bytes)
        return unsupported(
            fmt::format("the Docker executor can't hold the disk limit on {} below a read-only root; leave --read-only out, or "
                        "say --disk unlimited",
                        printable_name(target)));
      binds_.push_back({{"Type", "volume"},
                        {"Target", target},
                        {"VolumeOptions", {{"NoCopy", true}, {"Labels", {{std::string(kDockerLabel), setting_.label_value}}}}}});
    }
    spec_.uploads.push_back(std::move(upload));
    return {};
  }

  Result<void> device(const Mount& mount, const std::string& target) {
    const bool usual = std::find(std::begin(kDevices), std::end(kDevices), mount.source) != std::end(kDevices);
    if (!usual && mount.source != "fuse")
      return invalid(fmt::format("'{}' is no device that a container can be given: null, zero, full, random, urandom, tty, fuse",
                                 printable_name(mount.source)));
    if (usual && target == "/dev/" + mount.source) return {};
    devices_.push_back({{"PathOnHost", "/dev/" + mount.source}, {"PathInContainer", target}, {"CgroupPermissions", "rw"}});
    return {};
  }

  // Only what lies in a writable layer of the job's own can be told from what was there.
  Result<void> collected() const {
    for (const std::string& place : job_.collect) {
      if (place == "/" && job_.collect.size() > 1) return invalid("changes of '/' are collected alone: other directories lie below it");
      const bool known = place == "/" || std::any_of(job_.mounts.begin(), job_.mounts.end(), [&](const Mount& mount) {
                           return mount.kind == Mount::Kind::overlay && mount.target == place;
                         });
      if (!known) return invalid(fmt::format("'{}' is collected but is no overlay of the job's", printable_name(place)));
    }
    return {};
  }

  void network() {
    host_["NetworkMode"] = job_.network == Network::none ? "none" : job_.network == Network::host ? "host" : "bridge";
    if (job_.network == Network::outbound)
      spec_.notes.emplace_back("network outbound is docker's bridge: this host's own addresses can be reached from it");
  }

  const Job& job_;
  const ContainerSetting& setting_;
  ContainerSpecBody spec_;
  std::string cwd_;
  Json host_ = Json::object();
  Json ulimits_ = Json::array();
  Json binds_ = Json::array();
  Json tmpfs_ = Json::object();
  Json devices_ = Json::array();
  std::vector<std::string> targets_;
};

}  // namespace

Result<ContainerSpecBody> container_spec(const Job& job, const ContainerSetting& setting) { return Specifier(job, setting).specify(); }

}  // namespace casemate
