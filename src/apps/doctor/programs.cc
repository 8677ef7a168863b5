#include "apps/doctor/programs.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include <dirent.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "base/units.h"
#include "image/installer.h"
#include "sys/fd.h"
#include "sys/privilege.h"
#include "sys/process.h"

namespace casemate {
namespace {

using State = HostFeature::State;

// The first line that a program prints when asked for its version; "" if it does not run.
std::string version_of(const std::vector<std::string>& argv) {
  const auto result = run_program(argv, std::chrono::seconds(10));
  if (!result || result->end.signaled || result->end.code != 0) return "";
  return result->out.substr(0, result->out.find('\n'));
}

HostFeature id_ranges(const HostFacts& host) {
  if (host.privileged) {
    const HostFacts::IdMap& map = host.uid_map.front();
    return {"id ranges", State::ok, fmt::format("cells get the host ids {} to {}", map.outside, map.outside + map.count - 1), "", false};
  }
  if (host.sub_ids)
    return {"id ranges", State::ok, fmt::format("by newuidmap: {} ids from {}", host.uid_map.back().count, host.uid_map.back().outside), "",
            false};
  if (may_not_gain_privileges())
    return {"id ranges", State::fallback,
            "one user and group in a cell: root; under no_new_privs newuidmap, a set-id program, can't give others",
            "start casemate without no_new_privs (systemd: NoNewPrivileges=no)", false};
  const bool programs = !program_on_path("newuidmap").empty() && !program_on_path("newgidmap").empty();
  return {"id ranges", State::fallback, "one user and group in a cell: root; others can't be had (--user, chown)",
          fmt::format("{}as root: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}`",
                      programs ? "" : "`apt-get install uidmap`, and ", host.uid),
          false};
}

std::vector<HostFeature> network() {
  const std::string pasta = program_on_path("pasta");
  const std::string slirp = program_on_path("slirp4netns");
  std::vector<HostFeature> rows;
  if (!pasta.empty() || !slirp.empty()) {
    rows.push_back({"outbound network", State::ok, fmt::format("by {}", !pasta.empty() ? pasta : slirp), "", false});
  } else {
    rows.push_back({"outbound network", State::missing, "--network outbound needs pasta or slirp4netns; none and host work",
                    "`apt-get install passt`", false});
  }
  const UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (tun) {
    rows.push_back({"tun device", State::ok, "/dev/net/tun can be opened", "", false});
  } else {
    rows.push_back(
        {"tun device", State::missing, fmt::format("/dev/net/tun can't be opened ({}); --network outbound needs it", std::strerror(errno)),
         errno == EACCES ? "`chmod 666 /dev/net/tun` as root" : "`modprobe tun`; in a container `--device /dev/net/tun`", false});
  }
  return rows;
}

// Versions by the names of interpreters, "3.11" on PATH and "3.12.1" of pyenv: running them all would take seconds.
std::set<std::string> python_versions() {
  std::set<std::string> versions;
  const auto look = [&](const std::string& directory, const char* prefix) {
    DIR* stream = ::opendir(directory.c_str());
    if (!stream) return;
    while (const dirent* entry = ::readdir(stream)) {
      std::string_view name = entry->d_name;
      if (!name.starts_with(prefix)) continue;
      name.remove_prefix(std::strlen(prefix));
      const bool number = !name.empty() && name.starts_with("3.") && name.find_first_not_of("0123456789.") == std::string_view::npos;
      if (number) versions.emplace(name);
    }
    ::closedir(stream);
  };
  const char* path = std::getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    if (rest[0] == '/' && !rest.substr(0, colon).ends_with("/shims")) look(std::string(rest.substr(0, colon)), "python");
    rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
  }
  const char* pyenv = std::getenv("PYENV_ROOT");
  const char* home = std::getenv("HOME");
  if (pyenv || home) look(fmt::format("{}/versions", pyenv ? std::string(pyenv) : fmt::format("{}/.pyenv", home)), "");
  return versions;
}

std::vector<HostFeature> python() {
  std::vector<HostFeature> rows;
  const std::set<std::string> versions = python_versions();
  // One start says it all: the version that "python3" is, and whether it has what makes environments.
  const std::string answer =
      version_of({"python3", "-I", "-c",
                  "import sys, importlib.util as u\n"
                  "print('%d.%d.%d' % sys.version_info[:3], *[m for m in ('pip', 'venv', 'ensurepip') if u.find_spec(m)])"});
  if (answer.empty()) {
    rows.push_back({"python", versions.empty() ? State::missing : State::fallback,
                    versions.empty() ? "no interpreter found; commands other than Python run all the same"
                                     : fmt::format("no python3 on PATH that runs; found {}", fmt::join(versions, ", ")),
                    "`apt-get install python3 python3-venv`", false});
  } else {
    rows.push_back({"python", State::ok,
                    fmt::format("python3 is {}{}{}", answer.substr(0, answer.find(' ')),
                                versions.empty() ? "" : "; also found: ", fmt::join(versions, ", ")),
                    "", false});
  }
  const std::string uv_path = find_uv();  // also beside this program and in ~/.local/bin
  const std::string uv = uv_path.empty() ? "" : version_of({uv_path, "--version"});
  const bool pip = answer.find("ensurepip") != std::string::npos ||
                   (answer.find(" pip") != std::string::npos && answer.find("venv") != std::string::npos);
  if (!uv.empty()) {
    rows.push_back({"package installer", State::ok, fmt::format("{}: {}", uv_path, uv), "", false});
  } else if (pip) {
    rows.push_back({"package installer", State::fallback, "venv and pip: several times slower than uv",
                    "`pip install uv`, or see https://docs.astral.sh/uv", false});
  } else {
    rows.push_back({"package installer", State::missing, "neither uv nor venv with pip: requirements can't be installed",
                    "`apt-get install python3-venv`, or install uv", false});
  }
  return rows;
}

HostFeature cache_space(const std::string& cache_directory) {
  struct statvfs info{};
  const std::string place = existing_directory(cache_directory);
  if (::statvfs(place.c_str(), &info) < 0) {
    return {"cache", State::missing, fmt::format("{}: {}", cache_directory, std::strerror(errno)), "set CASEMATE_CACHE_DIR", false};
  }
  const std::uint64_t room = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  const std::string said = fmt::format("{}: {} free", cache_directory, format_bytes(room));
  if (::faccessat(AT_FDCWD, place.c_str(), W_OK, AT_EACCESS) < 0) {
    return {"cache", State::missing, fmt::format("{} can't be written ({}): environments can't be kept", place, std::strerror(errno)),
            "set CASEMATE_CACHE_DIR to a directory of this user", false};
  }
  const std::string fix = "free some, or set CASEMATE_CACHE_DIR to a directory with more room; `casemate cache` shows what is kept";
  if (room < (100ull << 20)) return {"cache", State::missing, said + ": too little for any environment", fix, false};
  if (room < (2ull << 30)) return {"cache", State::fallback, said + ": little for environments and images", fix, false};
  return {"cache", State::ok, said, "", false};
}

HostFeature skopeo() {
  const std::string path = program_on_path("skopeo");
  if (path.empty())
    return {"skopeo", State::missing, "images of registries and archives can't be had; oci:DIR and dir:ROOTFS work",
            "`apt-get install skopeo`", false};
  const std::string version = version_of({path, "--version"});
  if (version.empty())
    return {"skopeo", State::missing, fmt::format("{} does not run", path), "`apt-get install --reinstall skopeo`", false};
  return {"skopeo", State::ok, fmt::format("{}: {}", path, version), "", false};
}

// Layers of images mark replaced directories by an extended attribute, on a file system of the cache's; a file without a name tries it.
HostFeature layer_marks(const std::string& cache_directory) {
  const std::string place = existing_directory(cache_directory);
  const UniqueFd file(::open(place.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file && ::fsetxattr(file.get(), "user.overlay.opaque", "y", 1, 0) == 0)
    return {"image layers", State::ok, fmt::format("the file system of {} holds their marks (user xattrs)", place), "", false};
  return {"image layers", State::fallback,
          fmt::format("{} on {} ({}): images whose layers replace directories can't be unpacked",
                      file ? "no user xattrs" : "no file can be made", place, std::strerror(errno)),
          "set CASEMATE_CACHE_DIR to a directory on ext4, xfs, btrfs or tmpfs (Linux 6.6)", false};
}

}  // namespace

std::string existing_directory(std::string path) {
  struct stat info{};
  while (path.size() > 1 && !(::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))) {
    const auto slash = path.rfind('/');
    path.resize(slash == std::string::npos || slash == 0 ? 1 : slash);
  }
  return path;
}

std::vector<HostFeature> probe_programs(const HostFacts& host, const std::string& cache_directory) {
  std::vector<HostFeature> rows{id_ranges(host)};
  for (HostFeature& row : network()) rows.push_back(std::move(row));
  for (HostFeature& row : python()) rows.push_back(std::move(row));
  rows.push_back(cache_space(cache_directory));
  rows.push_back(skopeo());
  rows.push_back(layer_marks(cache_directory));
  return rows;
}

}  // namespace casemate
