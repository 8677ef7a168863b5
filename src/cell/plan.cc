#include "cell/plan.h"

#include <sched.h>
#include <sys/resource.h>
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "cell/capability.h"
#include "cell/job_check.h"

namespace casemate {
namespace {

constexpr std::uint64_t kRootBytes = 256ull << 20;  // of the root's tmpfs when no disk limit is asked for
constexpr std::uint64_t kRootInodes = 65'536;

constexpr const char* kTerminals = "newinstance,ptmxmode=0666,mode=0620,max=64";

// Files of /proc that say more about the host than a job needs; /dev/null lies over them.
constexpr const char* kMasked[] = {"proc/kcore", "proc/keys", "proc/timer_list", "proc/latency_stats", "proc/sched_debug", "proc/cmdline"};

constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};
// What a job may ask for besides: nodes that are safe in anybody's hands.
constexpr const char* kMoreDevices[] = {"fuse"};

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

std::string tmpfs_options(std::uint64_t bytes, std::uint64_t inodes, std::uint32_t mode) {
  return fmt::format("size={},nr_inodes={},mode={:o}", bytes, inodes, mode);
}

// Builds one plan; each member function adds the steps of one part of the cell.
class Compiler {
 public:
  Compiler(const Job& job, const HostFacts& host) : job_(job), host_(host) {}

  Result<Plan> compile() {
    TRY(check_job(job_, host_));
    plan_.profile = job_.profile;
    plan_.namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    if (job_.network != Network::host) plan_.namespaces |= CLONE_NEWNET;
    plan_.outbound = job_.network == Network::outbound;
    if (job_.network != Network::host) add({.op = Step::Op::network_namespace});
    add({.op = Step::Op::private_mounts});
    const std::size_t sources_at = plan_.cell.size();
    add({.op = Step::Op::await_engine});
    add({.op = Step::Op::enter_cgroups});
    add({.op = Step::Op::become_root});
    // The kernel counts these to whoever made the user namespace as well: without a bound a job takes all that the caller may have (128
    // instances).
    add({.op = Step::Op::namespace_limit, .path = "/proc/sys/user/max_inotify_instances", .number = 32, .optional = true});
    add({.op = Step::Op::namespace_limit, .path = "/proc/sys/user/max_inotify_watches", .number = 32'768, .optional = true});
    root();
    devices();
    processes();
    writable_places();
    TRY(mounts());
    TRY(last_touches());
    open_sources(sources_at);
    start();
    return std::move(plan_);
  }

 private:
  void add(Step step) {
    // Beside an image's root nobody else has been, nor in these directories of it before the job's mounts.
    const bool ours = step.path.starts_with("../") || (!mounting_ && (covers("dev", step.path) || covers("proc", step.path)));
    step.scoped = !ours && (mounting_ || entered_ ||
                            std::any_of(trees_.begin(), trees_.end(), [&](const Tree& tree) { return covers(tree.path, step.path); }));
    plan_.cell.push_back(std::move(step));
  }
  [[nodiscard]] bool of_image() const { return !job_.root.empty(); }
  void mkdir(const std::string& path, std::uint32_t mode = 0755) { add({.op = Step::Op::make_directory, .path = path, .mode = mode}); }

  // mkdir -p: every part once a plan.
  void mkdirs(std::string_view path) {
    for (std::size_t at = path.find('/'); at != std::string_view::npos; at = path.find('/', at + 1))
      mkdir_once(std::string(path.substr(0, at)));
    mkdir_once(std::string(path));
  }
  void mkdir_once(const std::string& path) {
    if (path.empty() || std::find(made_.begin(), made_.end(), path) != made_.end() || below_attached(path)) return;
    made_.push_back(path);
    mkdir(path);
  }
  void parents(std::string_view path) {
    const auto slash = path.rfind('/');
    if (slash != std::string_view::npos) mkdirs(path.substr(0, slash));
  }
  static bool covers(std::string_view tree, std::string_view path) {
    return path == tree || (path.size() > tree.size() && path.starts_with(tree) && path[tree.size()] == '/');
  }
  // Paths inside a tree of the host that is already attached can't be made, they must be there. The last mount over a path decides.
  [[nodiscard]] bool below_attached(std::string_view path) const {
    const auto over = std::find_if(trees_.rbegin(), trees_.rend(), [&](const Tree& tree) { return covers(tree.path, path); });
    return over != trees_.rend() && over->of_host;
  }
  // What lay below an empty file system or an overlay has to be made again in it.
  void covered_by_new(const std::string& path) {
    std::erase_if(made_, [&](const std::string& other) { return other != path && covers(path, other); });
    trees_.push_back({path, false});
  }

  int source(Source from) {
    plan_.sources.push_back(std::move(from));
    return static_cast<int>(plan_.sources.size()) - 1;
  }

  [[nodiscard]] std::uint64_t disk_bytes() const { return job_.limits.disk_bytes.value_or(kRootBytes); }
  [[nodiscard]] std::uint64_t disk_inodes() const { return job_.limits.disk_inodes.value_or(kRootInodes); }

  // The new root: one sized tmpfs that also holds /tmp, /var/tmp, HOME, /run and /dev, with the host's read-only trees in it.
  void root() {
    add({.op = Step::Op::mount_root, .path = host_.root_mount_point, .data = tmpfs_options(disk_bytes(), disk_inodes(), 0755)});
    if (of_image()) return image_root();
    for (const char* path : {"dev", "proc", "var", "root", "run", "home"}) mkdir_once(path);
    for (const char* path : {"tmp", "var/tmp"}) {
      mkdir(path, 01777);
      made_.emplace_back(path);
    }
    for (const std::string& path : shown_paths()) host_path(path);
    resolver();
    if (below_attached("etc") && host_.machine_id)
      add({.op = Step::Op::bind, .path = "etc/machine-id", .source = "/dev/null", .optional = true});
  }

  // The new root is an overlay of the image's layers; the tmpfs beside it holds what the job writes. What every cell has lies over the
  // image's, whatever that has in these places: in a layer of its own where all changes are wanted, which then are the job's alone; else in
  // the writable one, since each layer costs every lookup.
  void image_root() {
    const bool apart = std::find(job_.collect.begin(), job_.collect.end(), "/") != job_.collect.end();
    for (const char* name : {"upper", "work", "root", "dev"}) mkdir(name);
    const std::string ours = apart ? "base" : "upper";
    std::string lowers = apart ? ours : "";
    if (apart) mkdir(ours);
    for (std::size_t i = 0; i < job_.root.size(); ++i) {
      const std::string name = std::to_string(i);
      mkdir(name);
      add({.op = Step::Op::attach, .path = name, .slot = source({.path = job_.root[i], .idmapped = host_.privileged})});
      lowers += (lowers.empty() ? "" : ":") + name;
    }
    for (const char* name : {"dev", "proc", "sys", "etc"}) mkdir(ours + "/" + name);
    mkdir(ours + "/tmp", 01777);
    const auto file = [&](const char* name, std::string content) {
      add({.op = Step::Op::make_file, .path = ours + "/etc/" + name, .data = std::move(content), .mode = 0644});
    };
    file("hostname", job_.hostname + "\n");
    file("hosts", fmt::format("127.0.0.1 localhost {0}\n::1 localhost ip6-localhost ip6-loopback\n", job_.hostname));
    if (job_.network != Network::none && !resolver_text().empty()) file("resolv.conf", resolver_text());
    // userxattr: the mount belongs to the cell's user namespace. The upper layer is a tmpfs, so `volatile` would save no sync, only cost 15
    // us.
    add({.op = Step::Op::overlay, .path = "root", .data = fmt::format("lowerdir={},upperdir=upper,workdir=work,userxattr", lowers)});
    add({.op = Step::Op::enter, .path = "root"});
    entered_ = true;
    for (const char* path : {"dev", "proc", "sys", "etc", "tmp"}) made_.emplace_back(path);
    if (job_.network == Network::host) add({.op = Step::Op::bind, .path = "etc/hosts", .source = "/etc/hosts", .optional = true});
    add({.op = Step::Op::bind, .path = "dev", .source = "../dev"});
  }

  // What a cell reads as its /etc/resolv.conf.
  [[nodiscard]] std::string resolver_text() const {
    const bool forwarded = job_.network == Network::outbound && host_.loopback_resolver;
    return forwarded ? fmt::format("nameserver {}\n", kGatewayResolver) : host_.resolv_conf;
  }

  // /etc/resolv.conf may point out of what is shown, or name a server that a cell behind a gateway can't reach.
  void resolver() {
    const bool forwarded = job_.network == Network::outbound && host_.loopback_resolver;
    if (job_.network == Network::none || (host_.resolv_conf_path.empty() && !forwarded)) return;
    const std::string path = host_.resolv_conf_path.empty() ? "run/resolv.conf" : host_.resolv_conf_path.substr(1);
    parents(path);
    add({.op = Step::Op::make_file, .path = path, .data = resolver_text(), .mode = 0644});
    if (host_.resolv_conf_path.empty() && below_attached("etc")) add({.op = Step::Op::bind, .path = "etc/resolv.conf", .source = path});
  }

  // What the job names, or the usual, with the root's links into that: without /lib64 -> usr/lib64 nothing in /usr finds its loader.
  [[nodiscard]] std::vector<std::string> shown_paths() const {
    if (job_.host_paths.empty()) return default_paths_;
    std::vector<std::string> shown = job_.host_paths;
    for (const std::string& path : default_paths_) {
      const auto found = host_.paths.find(path);
      if (found == host_.paths.end() || found->second.kind != HostPath::Kind::symlink) continue;
      const auto place = place_inside("/" + found->second.target, "a link");  // relative to the root, where all of these lie
      const bool leads_in = place && std::any_of(job_.host_paths.begin(), job_.host_paths.end(),
                                                 [&](const std::string& other) { return covers(other, "/" + *place); });
      if (leads_in && std::find(shown.begin(), shown.end(), path) == shown.end()) shown.push_back(path);
    }
    return shown;
  }

  void host_path(const std::string& path) {
    const auto found = host_.paths.find(path);
    if (found == host_.paths.end() || path.size() < 2) return;
    const std::string target = path.substr(1);
    switch (found->second.kind) {
      case HostPath::Kind::symlink:
        parents(target);
        add({.op = Step::Op::make_symlink, .path = target, .source = found->second.target});
        if (auto place = place_inside("/" + found->second.target, "a link"); place && target.find('/') == std::string::npos)
          links_.emplace_back(target, std::move(*place));
        break;
      case HostPath::Kind::directory:
        mkdirs(target);
        add({.op = Step::Op::attach, .path = target, .slot = source({.path = path})});
        trees_.push_back({target, true});
        break;
      case HostPath::Kind::file:
        parents(target);
        add({.op = Step::Op::make_file, .path = target, .mode = 0644});
        add({.op = Step::Op::attach, .path = target, .slot = source({.path = path})});
        break;
      default:
        break;  // not on this host: nothing to show
    }
  }

  void devices() {
    for (const char* name : kDevices) {
      const std::string path = fmt::format("dev/{}", name);
      add({.op = Step::Op::make_file, .path = path, .mode = 0666});
      add({.op = Step::Op::bind, .path = path, .source = "/" + path});
    }
    mkdir("dev/pts");
    add({.op = Step::Op::mount, .path = "dev/pts", .source = "devpts", .data = kTerminals});
    mkdir("dev/shm", 01777);
    constexpr const char* kLinks[][2] = {
        {"dev/fd", "/proc/self/fd"}, {"dev/stdin", "fd/0"}, {"dev/stdout", "fd/1"}, {"dev/stderr", "fd/2"}, {"dev/ptmx", "pts/ptmx"}};
    for (const auto& [path, target] : kLinks) add({.op = Step::Op::make_symlink, .path = path, .source = target});
  }

  void processes() {
    if (job_.profile == Profile::strict) {
      add({.op = Step::Op::mount, .path = "proc", .source = "proc", .data = "subset=pid"});
      return;
    }
    add({.op = Step::Op::mount, .path = "proc", .source = "proc"});
    for (const char* path : kMasked) add({.op = Step::Op::bind, .path = path, .source = "/dev/null", .optional = true});
    add({.op = Step::Op::read_only, .path = "proc/sys"});
  }

  // What stays writable when the root is not. Before the job's mounts, which may lie below.
  void writable_places() {
    if (!job_.read_only) return;
    for (const char* path : {"tmp", "dev/shm"})
      add({.op = Step::Op::mount, .path = path, .source = "tmpfs", .data = tmpfs_options(disk_bytes(), disk_inodes(), 01777), .number = 1});
  }

  // /lib/x is /usr/lib/x where the root has a link /lib -> usr/lib.
  [[nodiscard]] std::string behind_links(std::string path) const {
    for (const auto& [link, place] : links_) {
      if (covers(link, path)) return place + path.substr(link.size());
    }
    return path;
  }

  // In a tree of the host nothing can be made: a mount there needs a place that the host has.
  Result<void> mount_point(const std::string& path, const std::string& target) const {
    if (of_image()) return {};
    const auto over = std::find_if(trees_.rbegin(), trees_.rend(), [&](const Tree& tree) { return covers(tree.path, path); });
    const auto& shown = job_.host_paths.empty() ? default_paths_ : job_.host_paths;
    if (over == trees_.rend() || !over->of_host || std::find(shown.begin(), shown.end(), "/" + over->path) == shown.end()) return {};
    for (const std::string& known : {"/" + path, target}) {  // a target behind a link is known by its own name
      const auto found = host_.paths.find(known);
      if (found != host_.paths.end() && found->second.kind != HostPath::Kind::missing) return {};
    }
    return invalid(fmt::format(
        "can't mount at '{}': it lies in a read-only directory of the host that has no such place; choose another target, or say with "
        "--host-path which host directories are shown",
        target));
  }

  Result<void> mounts() {
    mounting_ = true;
    std::vector<std::pair<std::string, const Mount*>> sorted;
    for (const Mount& mount : job_.mounts) {
      TRY_ASSIGN(std::string path, place_inside(mount.target, "the target of a mount"));
      path = behind_links(std::move(path));
      if (is_own_place(mount, path)) continue;  // every cell has it
      if (reserved_place(path) && !(mount.kind == Mount::Kind::sysfs && path == "sys"))
        return invalid(fmt::format("nothing can be mounted at '{}' in a cell", mount.target));
      for (const auto& [other, unused] : sorted) {
        if (other == path) return invalid(fmt::format("two mounts at '{}'", mount.target));
      }
      sorted.emplace_back(std::move(path), &mount);
    }
    const auto depth = [](const std::string& path) { return std::count(path.begin(), path.end(), '/'); };
    std::stable_sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) { return depth(a.first) < depth(b.first); });
    const bool layers = std::any_of(sorted.begin(), sorted.end(), [](const auto& row) { return row.second->kind == Mount::Kind::overlay; });
    if (layers && of_image()) mkdir(layers_, 0700);
    if (layers && !of_image()) {
      mkdir(kLayersPlace, 0700);
      add({.op = Step::Op::mount,
           .path = kLayersPlace,
           .source = "tmpfs",
           .data = tmpfs_options(disk_bytes(), disk_inodes(), 0700),
           .number = 1});
    }
    for (const auto& [path, mount] : sorted) {
      TRY(mount_point(path, mount->target));
      switch (mount->kind) {
        case Mount::Kind::bind:
          TRY(bind(path, *mount));
          break;
        case Mount::Kind::tmpfs:
          mkdirs(path);
          add({.op = Step::Op::mount,
               .path = path,
               .source = "tmpfs",
               .data = tmpfs_options(mount->bytes.value_or(disk_bytes()), disk_inodes(), mount->mode),
               .number = mount->executable ? 1u : 0u});
          covered_by_new(path);
          break;
        case Mount::Kind::overlay:
          TRY(overlay(path, *mount));
          break;
        case Mount::Kind::device:
          TRY(device(path, *mount));
          break;
        case Mount::Kind::proc:
          return invalid(fmt::format("can't mount proc at '{}': a cell has one, at /proc", mount->target));
        case Mount::Kind::sysfs:
          if (job_.network == Network::host)
            return invalid(fmt::format("can't mount sysfs at '{}': with the host's network it would be the host's", mount->target));
          mount_kernel(path, "sysfs", "");
          break;
        case Mount::Kind::mqueue:
          mount_kernel(path, "mqueue", "");
          break;
        case Mount::Kind::devpts:
          mount_kernel(path, "devpts", kTerminals);
          break;
      }
    }
    TRY(collect_root());
    for (const std::string& wanted : job_.collect) {
      if (std::find(plan_.collected.begin(), plan_.collected.end(), wanted) == plan_.collected.end())
        return invalid(fmt::format("changes of '{}' can't be collected: there is no overlay mount at it", wanted));
    }
    mounting_ = false;
    if (layers && !of_image()) add({.op = Step::Op::detach, .path = kLayersPlace});
    return {};
  }

  static bool is_own_place(const Mount& mount, std::string_view path) {
    if (mount.kind == Mount::Kind::device)
      return path.starts_with("dev/") && path.substr(4) == mount.source &&
             std::find(std::begin(kDevices), std::end(kDevices), mount.source) != std::end(kDevices);
    return (mount.kind == Mount::Kind::proc && path == "proc") || (mount.kind == Mount::Kind::devpts && path == "dev/pts");
  }

  void mount_kernel(const std::string& path, const char* type, const char* options) {
    mkdirs(path);
    add({.op = Step::Op::mount, .path = path, .source = type, .data = options});
    trees_.push_back({path, true});
  }

  Result<void> device(const std::string& path, const Mount& mount) {
    const auto listed = [&](const auto& list) { return std::find(std::begin(list), std::end(list), mount.source) != std::end(list); };
    if (!listed(kDevices) && !listed(kMoreDevices))
      return invalid(fmt::format("'{}' is no device that a cell can be given: null, zero, full, random, urandom, tty, fuse", mount.source));
    parents(path);
    if (!below_attached(path)) add({.op = Step::Op::make_file, .path = path, .mode = 0666});
    add({.op = Step::Op::bind, .path = path, .source = "/dev/" + mount.source});
    return {};
  }

  // All that the job changes in an image's root.
  Result<void> collect_root() {
    if (std::find(job_.collect.begin(), job_.collect.end(), "/") == job_.collect.end()) return {};
    if (!of_image()) return invalid("changes of '/' can't be collected on image 'host': its root is not one tree");
    add({.op = Step::Op::export_directory, .path = "../upper", .slot = static_cast<int>(plan_.collected.size())});
    plan_.collected.emplace_back("/");
    plan_.collected_lower.push_back(job_.root);
    return {};
  }

  Result<void> bind(const std::string& path, const Mount& mount) {
    if (mount.source.empty() || mount.source[0] != '/')
      return invalid(fmt::format("'{}' is not an absolute path of the host", mount.source));
    const auto found = host_.paths.find(mount.source);
    if (found == host_.paths.end() || found->second.kind == HostPath::Kind::missing)
      return fail(ErrorCode::not_found, fmt::format("{}: no such file or directory on the host", mount.source), ENOENT);
    HostPath::Kind kind = found->second.kind;
    if (kind == HostPath::Kind::symlink) {
      const auto real = host_.paths.find(found->second.target);
      kind = real == host_.paths.end() ? HostPath::Kind::directory : real->second.kind;
    }
    if (kind == HostPath::Kind::directory) {
      mkdirs(path);
    } else {
      parents(path);
      if (!below_attached(path)) add({.op = Step::Op::make_file, .path = path, .mode = 0644});
    }
    add({.op = Step::Op::attach,
         .path = path,
         .slot = source({.path = mount.source,
                         .read_only = !mount.writable,
                         .noexec = !mount.executable,
                         .idmapped = mount.owned && host_.privileged})});
    trees_.push_back({path, true});
    return {};
  }

  Result<void> overlay(const std::string& path, const Mount& mount) {
    const std::string base = fmt::format("{}/{}", layers_, overlays_++);
    mkdir(base, 0700);
    // It is the cell's root's, and the job's user has to write in it, and to remove what he finds.
    const bool shared = path == "tmp" || path == "var/tmp";
    mkdir(base + "/upper", shared ? 01777 : job_.user.uid != 0 ? 0777 : 0755);
    mkdirs(path);
    std::vector<Source> lowers;
    for (const std::string& lower : mount.lower) lowers.push_back({.path = lower, .idmapped = mount.owned && host_.privileged});
    if (!mount.under.empty()) lowers.push_back({.path = mount.under});
    if (lowers.empty()) {
      add({.op = Step::Op::bind, .path = path, .source = base + "/upper"});
    } else {
      mkdir(base + "/work");
      std::string places;
      for (std::size_t i = 0; i < lowers.size(); ++i) {
        if (!lowers[i].path.starts_with('/')) return invalid(fmt::format("'{}' is not an absolute path of the host", lowers[i].path));
        const std::string at = fmt::format("{}/lower{}", base, i);
        mkdir(at);
        add({.op = Step::Op::attach, .path = at, .slot = source(std::move(lowers[i]))});
        places += (i ? ":" : "") + at;
      }
      // userxattr: the mount belongs to the cell's user namespace. The upper layer is a tmpfs, so `volatile` would save no sync, only cost
      // 15 us.
      add({.op = Step::Op::overlay,
           .path = path,
           .data = fmt::format("lowerdir={},upperdir={}/upper,workdir={}/work,userxattr", places, base, base)});
    }
    covered_by_new(path);
    if (std::find(job_.collect.begin(), job_.collect.end(), mount.target) != job_.collect.end()) {
      add({.op = Step::Op::export_directory, .path = base + "/upper", .slot = static_cast<int>(plan_.collected.size())});
      plan_.collected.push_back(mount.target);
      plan_.collected_lower.push_back(mount.lower);
      if (!mount.under.empty()) plan_.collected_lower.back().push_back(mount.under);
    }
    return {};
  }

  Result<void> last_touches() {
    TRY_ASSIGN(const std::string cwd, place_inside(job_.cwd, "the working directory"));
    add({.op = Step::Op::pivot});
    // Only now: a symlink in a project must lead to a place of the cell, not of the host.
    if (!cwd.empty()) mkdirs(cwd);
    if (job_.read_only) add({.op = Step::Op::read_only, .path = "/", .number = 1});
    add({.op = Step::Op::hostname, .data = job_.hostname});
    if (job_.network != Network::host) add({.op = Step::Op::loopback_up});
    if (job_.network == Network::outbound) {
      add({.op = Step::Op::export_network});
      add({.op = Step::Op::await_network});
    }
    return {};
  }

  // An engine without privilege can't hand over opened trees: the child opens them, before the new root is mounted over a directory of the
  // host.
  void open_sources(std::size_t at) {
    if (host_.privileged) return;
    std::vector<Step> steps;
    for (std::size_t slot = 0; slot < plan_.sources.size(); ++slot)
      steps.push_back({.op = Step::Op::open_source, .source = plan_.sources[slot].path, .slot = static_cast<int>(slot)});
    plan_.cell.insert(plan_.cell.begin() + static_cast<std::ptrdiff_t>(at), steps.begin(), steps.end());
  }

  void limit(int resource, std::uint64_t value) {
    plan_.job.push_back({.op = Step::Op::resource_limit, .number = value, .slot = resource});
  }

  void start() {
    plan_.job.push_back({.op = Step::Op::session});
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_RTPRIO, 0);
    limit(RLIMIT_NICE, 0);
    limit(RLIMIT_MEMLOCK, 8 << 20);
    // As namespace_limit above: also counted to the caller, whose own limits are 819,200 and some ten thousand.
    limit(RLIMIT_MSGQUEUE, 409'600);
    limit(RLIMIT_SIGPENDING, 4096);
    limit(RLIMIT_NOFILE, job_.limits.open_files.value_or(1024));
    limit(RLIMIT_FSIZE, job_.limits.file_bytes.value_or(1ull << 40));
    // Linux 5.14 counts RLIMIT_NPROC a user namespace: a second fence behind the pids controller, the only one where there is none.
    // It counts one user's processes: root's init is one of them.
    if (job_.limits.pids) limit(RLIMIT_NPROC, *job_.limits.pids + (job_.user.uid == 0 ? 1 : 0));
    if (job_.limits.cpu_time) limit(RLIMIT_CPU, static_cast<std::uint64_t>(job_.limits.cpu_time->count()) / 1000 + 1);
    plan_.job.push_back({.op = Step::Op::identity, .number = job_.user.uid, .mode = job_.user.gid});
    std::uint64_t kept = 0;
    for (const std::string& name : job_.capabilities) kept |= 1ull << capability_number(name);
    plan_.job.push_back({.op = Step::Op::change_directory, .path = job_.cwd});
    plan_.job.push_back({.op = Step::Op::capabilities, .number = kept});
    plan_.job.push_back({.op = Step::Op::no_new_privileges});
    plan_.job.push_back({.op = Step::Op::seccomp, .data = job_.profile == Profile::strict ? "strict" : "default"});
    plan_.job.push_back({.op = Step::Op::execute});
  }

  const Job& job_;
  const HostFacts& host_;
  Plan plan_;
  std::vector<std::string> default_paths_ = default_host_paths();
  std::vector<std::string> made_;
  struct Tree {
    std::string path;
    bool of_host;
  };
  std::vector<Tree> trees_;                                 // in the order of mounting
  std::vector<std::pair<std::string, std::string>> links_;  // of the root into what it shows: {"lib", "usr/lib"}
  bool mounting_ = false;                                   // the job's own mounts: at places that it chose
  bool entered_ = false;                                    // steps are relative to an image's root: its links may lead anywhere
  const char* layers_ = of_image() ? "../layers" : kLayersPlace;
  int overlays_ = 0;
};

}  // namespace

Result<Plan> compile(const Job& job, const HostFacts& host) {
  for (const std::string& name : job.capabilities) {
    if (name == "ALL" || name == "all")
      return invalid("capabilities are added by name, as NET_RAW or SYS_PTRACE (capabilities(7)): a cell never has all of them");
    if (capability_number(name) < 0) return invalid(fmt::format("there is no capability '{}'; see capabilities(7)", name));
  }
  return Compiler(job, host).compile();
}

}  // namespace casemate
