#include "sys/cgroup.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <deque>

#include <dirent.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "sys/cgroup_directory.h"
#include "sys/cgroup_layout.h"
#include "sys/cgroup_v1.h"
#include "sys/cgroup_v2.h"

namespace casemate {
namespace {

constexpr const char* kMountPoint = "/sys/fs/cgroup";
constexpr std::uint64_t kFirstPidNamespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO of the kernel
constexpr CgroupControllers kAlways = kCgroupMemory | kCgroupPids;
constexpr CgroupControllers kAllV1 = kAlways | kCgroupCpu | kCgroupCpuacct | kCgroupIo;

// What every name begins with, and who we are when we look at other names.
CgroupName our_name() {
  CgroupName name;
  name.pid = ::getpid();
  name.start_time = parse_start_time(read_control(AT_FDCWD, "/proc/self/stat").value_or("")).value_or(0);
  struct stat info{};
  if (::stat("/proc/self/ns/pid", &info) == 0 && info.st_ino != kFirstPidNamespace) name.pid_namespace = info.st_ino;
  return name;
}

// Two engines of one process must not use a serial twice.
std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> serial{0};
  return ++serial;
}

// True if the engine that made the cgroup is gone for sure.
bool dead(const CgroupName& name, const CgroupName& ours) {
  if (name.pid_namespace != ours.pid_namespace) return false;  // its pid means nothing here
  if (name.pid == ours.pid) return name.start_time != ours.start_time;
  if (::kill(name.pid, 0) < 0 && errno == ESRCH) return true;
  const auto stat = read_control(AT_FDCWD, fmt::format("/proc/{}/stat", name.pid));
  if (!stat || stat->empty()) return false;  // hidden (hidepid), so we must believe that it lives; or it ended just now
  return parse_start_time(*stat) != name.start_time;
}

std::string why_not_v1(const std::string& path, bool read_only) {
  if (read_only) return fmt::format("the cgroup {} is mounted read-only (in a container: mount it writable, or use --privileged)", path);
  return fmt::format(
      "the cgroup {} belongs to another user; run as root, or have root `chown` such a directory to this user and start in it", path);
}

class CellCgroup final : public Cgroup {
 public:
  // Removed in reverse: the first hierarchy's directory goes last and only when all others went, for sweep() looks there alone.
  ~CellCgroup() override {
    bool gone = !v2_ || v2_->remove();
    while (v1_.size() > 1) {
      gone = v1_.back().remove() && gone;
      v1_.pop_back();
    }
    if (!v1_.empty() && gone) v1_.back().remove();
  }
  [[nodiscard]] int directory_fd() const override { return v2_ ? v2_->fd() : -1; }
  [[nodiscard]] const std::vector<int>& entry_fds() const override { return entries_; }
  [[nodiscard]] CgroupUsage usage() const override {
    CgroupUsage usage = v2_ ? v2_->usage() : CgroupUsage();
    for (const V1Directory& directory : v1_) directory.read_usage(usage);
    return usage;
  }
  [[nodiscard]] std::optional<std::uint64_t> cpu_us() const override {
    if (v2_) return v2_->cpu_us();
    for (const V1Directory& directory : v1_) {
      if (const auto used = directory.cpu_us()) return used;
    }
    return std::nullopt;
  }
  bool renew(const CgroupUsage& used) override {
    return !v2_ && std::all_of(v1_.begin(), v1_.end(), [&](V1Directory& directory) { return directory.renew(used); });
  }
  bool forget_memory_peak() override {
    return std::any_of(v1_.begin(), v1_.end(), [](const V1Directory& directory) { return directory.forget_memory_peak(); });
  }
  void kill_all() override {
    if (v2_) return v2_->kill_all();
    // Any one lists all; the one that can also forbid forks is best.
    for (V1Directory& directory : v1_) {
      if (directory.controllers() & kCgroupPids) return directory.kill_all();
    }
    if (!v1_.empty()) v1_.front().kill_all();
  }

  void add(V1Directory directory) {
    v1_.push_back(std::move(directory));
    entries_.push_back(v1_.back().entry_fd());
  }
  void add(V2Directory directory) { v2_.emplace(std::move(directory)); }

 private:
  std::optional<V2Directory> v2_;
  std::deque<V1Directory> v1_;
  std::vector<int> entries_;
};

class HostCgroups final : public CgroupFactory {
 public:
  HostCgroups() : ours_(our_name()) { look(); }
  [[nodiscard]] const CgroupSupport& support() const override { return support_; }
  Result<std::unique_ptr<Cgroup>> create(const CgroupLimits& limits) override;
  std::size_t sweep() override;

 private:
  void look();
  bool look_at_v1(const std::vector<CgroupPlace>& places);
  void look_at_v2(const CgroupPlace& place);
  void sum_up();
  std::vector<int> parents();

  CgroupName ours_;
  std::vector<std::shared_ptr<V1Hierarchy>> v1_;  // memory first, then pids: sweep() looks at the first alone
  std::shared_ptr<V2Parent> v2_;
  CgroupSupport support_;
  std::string v1_reason_;
  std::string v2_reason_;
};

// The places where every distribution mounts them, without reading mountinfo: that costs 35 us with 20 mounts and grows with them. nullopt
// where more must be known. Whether they are there is for the caller to see; a process's own path is not found below a mount of another
// part.
std::optional<std::vector<CgroupPlace>> conventional_places(const std::vector<CgroupMembership>& memberships) {
  std::vector<CgroupPlace> places;
  CgroupControllers v1 = 0;
  for (const CgroupMembership& membership : memberships) {
    if (membership.v2 || membership.controllers == 0) continue;
    const std::string top = fmt::format("{}/{}", kMountPoint, membership.names);
    v1 |= membership.controllers;
    places.push_back({false, membership.controllers, top, membership.path == "/" ? top : top + membership.path});
  }
  if ((v1 & kAllV1) == kAllV1) return places;
  if (v1 != 0 || memberships.size() != 1 || ::geteuid() != 0) return std::nullopt;  // a hybrid, or mount options matter
  struct statfs info{};
  if (::statfs(kMountPoint, &info) < 0 || info.f_type != CGROUP2_SUPER_MAGIC) return std::nullopt;
  const std::string own = memberships[0].path == "/" ? kMountPoint : kMountPoint + memberships[0].path;
  if (::faccessat(AT_FDCWD, own.c_str(), W_OK, AT_EACCESS) < 0) return std::nullopt;
  places.push_back({true, 0, kMountPoint, own});
  return places;
}

// /proc/self/cgroup in one read, into a buffer that costs no page faults; the general reader for the rare host where it is longer.
Result<std::string> read_memberships() {
  auto text = read_control(AT_FDCWD, "/proc/self/cgroup");
  if (text && text->size() < 4096) return std::move(*text);
  return read_file("/proc/self/cgroup");
}

void HostCgroups::look() {
  const auto text = read_memberships();
  if (!text) {
    support_.reason = "this kernel has no cgroups (/proc/self/cgroup can't be read): limits are held by rlimits and a watchdog only";
    return;
  }
  const auto memberships = parse_cgroup_memberships(*text);
  auto places = conventional_places(memberships);
  if (!places || !look_at_v1(*places)) {
    places = cgroup_places(memberships, parse_cgroup_mounts(read_file("/proc/self/mountinfo").value_or("")));
    v1_.clear();
    v1_reason_.clear();
    look_at_v1(*places);
  }
  CgroupControllers have = 0;
  for (const auto& hierarchy : v1_) have |= hierarchy->controllers;
  if ((have & kAlways) != kAlways) {
    for (const CgroupPlace& place : *places) {
      if (place.v2) look_at_v2(place);
    }
  }
  if (places->empty()) {
    v1_reason_ =
        "no cgroup file system that shows this process's cgroup is mounted at /sys/fs/cgroup (in a container: add `-v "
        "/sys/fs/cgroup:/sys/fs/cgroup --cgroupns=host`)";
  }
  sum_up();
}

// False if one of the places is no cgroup at all, which means that it was guessed wrongly.
bool HostCgroups::look_at_v1(const std::vector<CgroupPlace>& places) {
  for (const CgroupPlace& place : places) {
    if (place.v2) continue;
    auto hierarchy = std::make_shared<V1Hierarchy>();
    hierarchy->controllers = place.controllers;
    hierarchy->path = place.own;
    const bool always = place.controllers & kAlways;
    // Those that every cell uses are opened now; the others when they are asked for.
    if (always) {
      if (auto opened = open_v1(*hierarchy); !opened) {
        if (v1_reason_.empty()) v1_reason_ = opened.error().what;
        return false;
      }
    }
    const int may = always ? ::faccessat(hierarchy->directory.get(), "", W_OK, AT_EACCESS | AT_EMPTY_PATH)
                           : ::faccessat(AT_FDCWD, place.own.c_str(), W_OK, AT_EACCESS);
    if (place.read_only || may < 0) {
      if (v1_reason_.empty() && always) v1_reason_ = why_not_v1(place.own, place.read_only || errno == EROFS);
      continue;
    }
    v1_.push_back(std::move(hierarchy));
  }
  const auto rank = [](const auto& h) { return (h->controllers & kCgroupMemory) ? 0 : (h->controllers & kCgroupPids) ? 1 : 2; };
  std::stable_sort(v1_.begin(), v1_.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return true;
}

void HostCgroups::look_at_v2(const CgroupPlace& place) {
  CgroupName leaf = ours_;
  leaf.serial = 0;
  auto parent =
      place.read_only
          ? Result<V2Parent>(fail(ErrorCode::not_supported, place.top + " is mounted read-only (in a container: use --privileged)"))
          : open_v2_parent(place, format_cgroup_name(leaf));
  if (parent) {
    v2_ = std::make_shared<V2Parent>(std::move(*parent));
  } else {
    v2_reason_ = parent.error().what;
  }
}

void HostCgroups::sum_up() {
  CgroupControllers v1 = 0;
  for (const auto& hierarchy : v1_) v1 |= hierarchy->controllers;
  const CgroupControllers v2 = v2_ ? v2_->enabled | (v2_->available & (kCgroupCpu | kCgroupIo)) : 0;
  const CgroupControllers all = v1 | v2;
  support_.memory = all & kCgroupMemory;
  support_.pids = all & kCgroupPids;
  support_.cpu = all & kCgroupCpu;
  support_.io = all & kCgroupIo;
  using Version = CgroupSupport::Version;
  support_.version = v1 && v2 ? Version::hybrid : v1 ? Version::v1 : v2 ? Version::v2 : Version::none;
  support_.parent = !v1_.empty() ? v1_.front()->path : v2_ ? v2_->path : "";
  if (support_.memory && support_.pids && support_.cpu && support_.io) return;
  support_.reason = !v1_reason_.empty() ? v1_reason_ : v2_reason_;
  if (support_.reason.empty()) {
    std::string missing;
    for (const auto& [there, name] :
         {std::pair(support_.memory, "memory"), {support_.pids, "pids"}, {support_.cpu, "cpu"}, {support_.io, "io"}}) {
      if (!there) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", name);
    }
    support_.reason = fmt::format(
        "no controller for: {} (kernel configuration, `cgroup_disable=` on the kernel's command line, or not delegated)", missing);
  }
}

Result<std::unique_ptr<Cgroup>> HostCgroups::create(const CgroupLimits& limits) {
  const auto missing = [&](const char* what) {
    return fail(ErrorCode::not_supported, fmt::format("a {} limit can't be held on this host: {}", what, support_.reason));
  };
  if (limits.memory_bytes && !support_.memory) return missing("memory");
  if (limits.pids && !support_.pids) return missing("process");
  if (limits.cpus && !support_.cpu) return missing("cpu");
  if (support_.version == CgroupSupport::Version::none) {
    return fail(ErrorCode::not_supported, "no cgroups can be made on this host: " + support_.reason);
  }
  CgroupControllers needed = kAlways;
  if (limits.cpus) needed |= kCgroupCpu;
  CgroupControllers wanted = needed;
  if (limits.count_cpu) wanted |= kCgroupCpuacct;
  if (limits.count_io) wanted |= kCgroupIo;
  CgroupName name = ours_;
  name.serial = next_serial();
  const std::string text = format_cgroup_name(name);
  auto cell = std::make_unique<CellCgroup>();
  for (const auto& hierarchy : v1_) {
    if (!(hierarchy->controllers & wanted)) continue;
    auto directory = V1Directory::create(hierarchy, text, limits);
    if (directory) {
      cell->add(std::move(*directory));
    } else if (hierarchy->controllers & needed) {
      return std::unexpected(std::move(directory).error());  // else only a count, which stays unset
    }
  }
  if (v2_) {
    CgroupLimits mine = limits;
    for (const auto& hierarchy : v1_) {  // a hybrid: each limit goes where its controller is
      if (hierarchy->controllers & kCgroupMemory) mine.memory_bytes.reset();
      if (hierarchy->controllers & kCgroupPids) mine.pids.reset();
      if (hierarchy->controllers & kCgroupCpu) mine.cpus.reset();
    }
    TRY_ASSIGN(V2Directory directory, V2Directory::create(v2_, text, mine));
    cell->add(std::move(directory));
  }
  return std::unique_ptr<Cgroup>(std::move(cell));
}

// Directories with cells in them; the first is the one to look at.
std::vector<int> HostCgroups::parents() {
  std::vector<int> all;
  for (const auto& hierarchy : v1_) {
    if (open_v1(*hierarchy)) all.push_back(hierarchy->directory.get());
  }
  if (v2_) all.push_back(v2_->directory.get());
  return all;
}

std::size_t HostCgroups::sweep() {
  if (!v1_.empty() && !open_v1(*v1_.front())) return 0;
  const int first = !v1_.empty() ? v1_.front()->directory.get() : v2_ ? v2_->directory.get() : -1;
  struct stat info{};
  // Two links: no children at all (kernfs counts them).
  if (first < 0 || ::fstat(first, &info) < 0 || info.st_nlink == 2) return 0;
  UniqueFd open(::openat(first, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* stream = open ? ::fdopendir(open.get()) : nullptr;
  if (!stream) return 0;
  static_cast<void>(open.release());
  std::vector<std::string> leftovers;
  while (const dirent* entry = ::readdir(stream)) {
    const auto name = parse_cgroup_name(entry->d_name);
    if (name && dead(*name, ours_)) leftovers.emplace_back(entry->d_name);
  }
  ::closedir(stream);
  std::size_t removed = 0;
  if (leftovers.empty()) return removed;
  const std::vector<int> all = parents();
  for (const std::string& name : leftovers) {
    bool gone = true;
    for (std::size_t i = all.size(); i-- > 1;) gone = remove_cgroup(all[i], name) && gone;
    if (gone && remove_cgroup(all[0], name)) ++removed;
  }
  return removed;
}

}  // namespace

std::unique_ptr<CgroupFactory> open_cgroups() { return std::make_unique<HostCgroups>(); }

}  // namespace casemate
