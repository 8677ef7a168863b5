// The words of a plan's steps, for `casemate explain`.
#include <sys/resource.h>

#include <fmt/format.h>

#include "base/terminal.h"
#include "cell/plan.h"

namespace casemate {
namespace {

using Op = Step::Op;

struct Row {
  Op op;
  std::string_view word;
};
constexpr Row kWords[] = {
    {Op::enter_cgroups, "enter_cgroups"},
    {Op::private_mounts, "private_mounts"},
    {Op::open_source, "open_source"},
    {Op::network_namespace, "network_namespace"},
    {Op::await_engine, "await_engine"},
    {Op::become_root, "become_root"},
    {Op::namespace_limit, "namespace_limit"},
    {Op::mount_root, "mount_root"},
    {Op::make_directory, "make_directory"},
    {Op::make_file, "make_file"},
    {Op::make_symlink, "make_symlink"},
    {Op::attach, "attach"},
    {Op::bind, "bind"},
    {Op::mount, "mount"},
    {Op::overlay, "overlay"},
    {Op::read_only, "read_only"},
    {Op::detach, "detach"},
    {Op::export_directory, "export_directory"},
    {Op::export_namespaces, "export_namespaces"},
    {Op::export_network, "export_network"},
    {Op::await_network, "await_network"},
    {Op::enter, "enter"},
    {Op::pivot, "pivot"},
    {Op::hostname, "hostname"},
    {Op::loopback_up, "loopback_up"},
    {Op::session, "session"},
    {Op::resource_limit, "resource_limit"},
    {Op::change_directory, "change_directory"},
    {Op::identity, "identity"},
    {Op::capabilities, "capabilities"},
    {Op::no_new_privileges, "no_new_privileges"},
    {Op::seccomp, "seccomp"},
    {Op::execute, "execute"},
};

std::string_view resource_name(int resource) {
  switch (resource) {
    case RLIMIT_CORE:
      return "core";
    case RLIMIT_RTPRIO:
      return "rtprio";
    case RLIMIT_NICE:
      return "nice";
    case RLIMIT_MEMLOCK:
      return "memlock";
    case RLIMIT_MSGQUEUE:
      return "msgqueue";
    case RLIMIT_SIGPENDING:
      return "sigpending";
    case RLIMIT_NOFILE:
      return "nofile";
    case RLIMIT_FSIZE:
      return "fsize";
    case RLIMIT_NPROC:
      return "nproc";
    case RLIMIT_CPU:
      return "cpu";
    default:
      return "resource";
  }
}

std::string source_words(const Plan& plan, int slot) {
  if (slot < 0 || static_cast<std::size_t>(slot) >= plan.sources.size()) return "?";
  const Source& source = plan.sources[static_cast<std::size_t>(slot)];
  return fmt::format("host {} ({}{}{})", printable_name(source.path), source.read_only ? "read-only" : "writable",
                     source.noexec ? ", noexec" : "", source.idmapped ? ", owners shifted" : "");
}

}  // namespace

std::string_view word(Op op) {
  for (const Row& row : kWords) {
    if (row.op == op) return row.word;
  }
  return "step";
}

std::string describe(const Step& step, const Plan& plan) {
  const bool named = step.path.starts_with("/") || step.path.starts_with("../");  // "../": beside the root
  const std::string path = printable_name(named ? step.path : "/" + step.path);
  switch (step.op) {
    case Op::enter_cgroups:
      return "enter the cell's cgroups, then a cgroup namespace of its own";
    case Op::private_mounts:
      return "make all mounts private";
    case Op::open_source:
      return fmt::format("open {}", source_words(plan, step.slot));
    case Op::network_namespace:
      return "a network namespace of its own";
    case Op::await_engine:
      return "wait for uid_map, gid_map and the cell's cgroups";
    case Op::become_root:
      return "become uid 0 of the user namespace, not dumpable";
    case Op::namespace_limit:
      return fmt::format("lower {} to {}", path, step.number);
    case Op::mount_root:
      return fmt::format("mount the new root, a tmpfs ({})", step.data);
    case Op::make_directory:
      return fmt::format("mkdir {} ({:o})", path, step.mode);
    case Op::make_file:
      return fmt::format("make file {} ({} bytes)", path, step.data.size());
    case Op::make_symlink:
      return fmt::format("symlink {} -> {}", path, printable_name(step.source));
    case Op::attach:
      return fmt::format("show {} at {}", source_words(plan, step.slot), path);
    case Op::bind:
      return fmt::format("bind {} over {}", printable_name(step.source), path);
    case Op::mount:
      return fmt::format("mount {} at {}{}", step.source, path, step.data.empty() ? "" : fmt::format(" ({})", step.data));
    case Op::overlay:
      return fmt::format("mount overlay at {} ({})", path, step.data);
    case Op::read_only:
      return fmt::format("make {} read-only", step.path == "/" ? "/" : path);
    case Op::detach:
      return fmt::format("unmount {}", path);
    case Op::export_directory:
      return fmt::format("hand {} to the engine: what the job writes", path);
    case Op::export_namespaces:
      return "hand the cell's namespaces to the engine, for forks that enter them";
    case Op::export_network:
      return "hand the network namespace to the engine, for the gateway";
    case Op::await_network:
      return "wait for the gateway's default route";
    case Op::enter:
      return fmt::format("go to {}: the root from here", path);
    case Op::pivot:
      return "pivot_root, drop the host's root";
    case Op::hostname:
      return fmt::format("sethostname {}", printable_name(step.data));
    case Op::loopback_up:
      return "bring lo up";
    case Op::session:
      return "setsid";
    case Op::resource_limit:
      return fmt::format("setrlimit {} {}", resource_name(step.slot), step.number);
    case Op::change_directory:
      return fmt::format("chdir {}", path);
    case Op::identity:
      return fmt::format("become uid {} gid {}", step.number, step.mode);
    case Op::capabilities:
      return step.number == 0 ? std::string("drop every capability") : fmt::format("keep capabilities {:#x} only", step.number);
    case Op::no_new_privileges:
      return "set no_new_privs";
    case Op::seccomp:
      return fmt::format("install the seccomp filter '{}'", step.data);
    case Op::execute:
      return "execve the command, looked up in PATH";
  }
  return "?";
}

}  // namespace casemate
