#include "action/job_inputs.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "action/messages.h"
#include "base/terminal.h"
#include "sys/path.h"

namespace casemate {
namespace {

// Grows when what is looked at does: results of before are for nobody then.
constexpr std::string_view kKind = "casemate cell 1";

constexpr std::array<std::string_view, 7> kPackageDatabases = {
    "/var/lib/dpkg/status",  "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages", "/lib/apk/db/installed",     "/usr/lib/apk/db/installed"};
constexpr std::string_view kPacman = "/var/lib/pacman/local";  // a directory for each package

bool lies_in(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

std::string_view word_of(Mount::Kind kind) {
  constexpr std::array<std::string_view, 8> kWords = {"bind", "overlay", "tmpfs", "proc", "sysfs", "mqueue", "devpts", "device"};
  return kWords.at(static_cast<std::size_t>(kind));
}

std::string_view word_of(Network network) {
  constexpr std::array<std::string_view, 3> kWords = {"none", "outbound", "host"};
  return kWords.at(static_cast<std::size_t>(network));
}

class InputReader {
 public:
  InputReader(const Job& job, InputTrees& trees) : job_(job), trees_(trees) {}

  Result<JobInputs> run(const std::vector<std::pair<std::string, std::string>>& more) {
    if (job_.forward_stdin) return fail(ErrorCode::not_supported, "it reads stdin, whose bytes nobody knows beforehand");
    add_words();
    for (const auto& [name, value] : more) word(name, value);
    TRY(job_.image == "host" ? add_host() : add_image());
    for (const Mount& mount : job_.mounts) TRY(add_mount(mount));
    inputs_.action = digest();
    return std::move(inputs_);
  }

 private:
  void word(std::string name, std::string value) { inputs_.words.emplace_back(std::move(name), std::move(value)); }
  template <class T>
  void limit(std::string_view name, const std::optional<T>& value) {
    if (value) word(fmt::format("limit {}", name), fmt::format("{}", *value));
  }
  void time_limit(std::string_view name, const std::optional<std::chrono::milliseconds>& value) {
    if (value) word(fmt::format("limit {}", name), fmt::format("{} ms", value->count()));
  }

  void add_words() {
    for (std::size_t i = 0; i < job_.argv.size(); ++i) word(i == 0 ? "command" : fmt::format("argument {}", i), job_.argv[i]);
    for (const auto& [name, value] : job_.env) word("variable " + name, value);
    word("working directory", job_.cwd);
    word("host name", job_.hostname);
    word("user", fmt::format("{}:{}", job_.user.uid, job_.user.gid));
    word("network", std::string(word_of(job_.network)));
    word("profile", job_.profile == Profile::strict ? "strict" : "default");
    word("capabilities", fmt::format("{}", fmt::join(job_.capabilities, " ")));
    word("read-only", job_.read_only ? "yes" : "no");
    word("changes wanted of", fmt::format("{}", fmt::join(job_.collect, " ")));
    word("changes delivered", job_.collect_to.empty() ? "no" : "yes");
    const Limits& limits = job_.limits;
    limit("memory", limits.memory_bytes);
    limit("pids", limits.pids);
    limit("cpus", limits.cpus);
    time_limit("wall time", limits.wall);
    time_limit("cpu time", limits.cpu_time);
    limit("output", limits.output_bytes);
    limit("disk", limits.disk_bytes);
    limit("inodes", limits.disk_inodes);
    limit("open files", limits.open_files);
    limit("file size", limits.file_bytes);
    utsname system{};
    ::uname(&system);
    word("machine", system.machine);
    word("casemate", CASEMATE_VERSION);
  }

  void take(std::string place, InputTree tree) {
    inputs_.left_out.insert(inputs_.left_out.end(), tree.left_out.begin(), tree.left_out.end());
    inputs_.trees.push_back({std::move(place), std::move(tree.top)});
  }
  Result<void> take_file(const std::string& place, const std::string& path) {
    TRY_ASSIGN(InputDirectory::File file, trees_.file(path));
    const std::size_t slash = place.rfind('/');
    take(place.substr(0, slash), {seal({.files = {{place.substr(slash + 1), std::move(file)}}}), {}});
    return {};
  }

  // What we may not read the job may not either: it is us, with fewer rights.
  Result<void> take_path(const std::string& place, const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) < 0) return fail_errno("look at the input " + printable_line(path));
    if (!S_ISDIR(info.st_mode)) return take_file(place, path);
    TRY_ASSIGN(InputTree tree, trees_.readable(path));
    take(place, std::move(tree));
    return {};
  }

  Result<void> take_stamps(const std::string& path) {
    if (::access(path.c_str(), F_OK) < 0) return {};
    TRY_ASSIGN(InputTree tree, trees_.stamps(path));
    take(path, std::move(tree));
    return {};
  }

  Result<void> add_image() {
    TRY_ASSIGN(InputTree tree, trees_.layers(job_.root));
    take("", std::move(tree));
    return {};
  }

  Result<void> add_host() {
    std::vector<std::string> paths = job_.host_paths.empty() ? default_host_paths() : job_.host_paths;
    std::ranges::sort(paths);
    word("host paths", fmt::format("{}", fmt::join(paths, " ")));
    for (const std::string& path : paths) {
      struct stat info{};
      if (::lstat(path.c_str(), &info) < 0) continue;  // shown if it is there
      if (S_ISLNK(info.st_mode) && is_system(path)) {  // "/bin": what lies behind it is looked at where it is
        word(fmt::format("link {}", path), read_link_beneath(AT_FDCWD, path).value_or(""));
      } else if (lies_in(path, "/usr/local") || lies_in(path, "/opt")) {
        TRY(take_stamps(path));
      } else if (is_system(path)) {
        TRY(take_system(path));
      } else {
        TRY(take_path(path, path));
      }
    }
    return {};
  }

  // A directory that packages are installed into.
  static bool is_system(std::string_view path) {
    constexpr std::array<std::string_view, 7> kSystem = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    return std::ranges::any_of(kSystem, [path](std::string_view directory) { return lies_in(path, directory); });
  }

  Result<void> take_system(const std::string& path) {
    if (!packages_) {
      TRY_ASSIGN(packages_, add_packages());
    }
    if (!*packages_) return take_stamps(path);
    return path == "/usr" ? take_stamps("/usr/local") : Result<void>();
  }

  // False: nobody keeps a list of what is installed.
  Result<bool> add_packages() {
    struct stat info{};
    if (::stat("/etc/os-release", &info) == 0) TRY(take_file("/etc/os-release", "/etc/os-release"));
    for (const std::string_view path : kPackageDatabases) {
      if (::stat(std::string(path).c_str(), &info) < 0 || !S_ISREG(info.st_mode)) continue;
      TRY(take_file(std::string(path), std::string(path)));
      return true;
    }
    if (::stat(std::string(kPacman).c_str(), &info) < 0) return false;
    TRY(take_stamps(std::string(kPacman)));
    return true;
  }

  Result<void> add_mount(const Mount& mount) {
    word(fmt::format("mount {}", mount.target),
         fmt::format("{}{}{}{} {:o} {}", word_of(mount.kind), mount.writable ? " writable" : "", mount.owned ? " owned" : "",
                     mount.executable ? "" : " noexec", mount.mode, mount.bytes ? std::to_string(*mount.bytes) : ""));
    switch (mount.kind) {
      case Mount::Kind::bind:
        if (mount.writable)
          return fail(ErrorCode::not_supported, fmt::format("it may write to {} of the host", printable_line(mount.source)));
        return trees_.is_kept(mount.source) ? take_layers(mount.target, {mount.source}) : take_path(mount.target, mount.source);
      case Mount::Kind::overlay: {
        std::vector<std::string> layers = mount.lower;
        if (!mount.under.empty()) layers.push_back(mount.under);
        return layers.empty() ? Result<void>() : take_layers(mount.target, layers);
      }
      case Mount::Kind::device:
        word(fmt::format("device {}", mount.target), mount.source);
        break;
      default:
        break;
    }
    return {};
  }

  Result<void> take_layers(const std::string& place, const std::vector<std::string>& layers) {
    TRY_ASSIGN(InputTree tree, trees_.layers(layers));
    take(place, std::move(tree));
    return {};
  }

  // Not a root to run anything in: each tree by itself, and a list of the places.
  BlobDigest digest() const {
    std::string list;
    const auto add = [&list](std::string_view text) { list += fmt::format("{}:{}\n", text.size(), text); };
    for (const auto& [name, value] : inputs_.words) add(name), add(value);
    InputDirectory root;
    for (std::size_t i = 0; i < inputs_.trees.size(); ++i) {
      add(inputs_.trees[i].place);
      root.directories.emplace(std::to_string(i), inputs_.trees[i].tree);
    }
    root.files.emplace("words", input_file(std::move(list)));
    const std::string command = command_message({.arguments = {std::string(kKind)}});
    return digest_of(action_message({.command = digest_of(command), .input_root = seal(std::move(root))->digest}));
  }

  const Job& job_;
  InputTrees& trees_;
  JobInputs inputs_;
  std::optional<bool> packages_;  // whether there is a list of them
};

}  // namespace

Result<JobInputs> inputs_of(const Job& job, InputTrees& trees, const std::vector<std::pair<std::string, std::string>>& more) {
  return InputReader(job, trees).run(more);
}

}  // namespace casemate
