#include "daemon_scratch.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "sys/path.h"

namespace casemate {
namespace {

// Ends the daemons before the process does: destructors of statics would be too late for gtest's own.
class EndOfDaemons : public testing::Environment {
 public:
  void TearDown() override { daemons().clear(); }
  struct Shared {
    std::unique_ptr<Daemon> daemon;
    std::string why_not;
  };
  static std::map<Daemon::Kind, Shared>& daemons() {
    static std::map<Daemon::Kind, Shared> all;
    return all;
  }
};
const auto* const kEnd = testing::AddGlobalTestEnvironment(new EndOfDaemons);  // gtest deletes it

std::string contents(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// A control group of processes that were killed: the kernel lets go of the last of them some time after its parent has heard of its end.
void remove_cgroup(const fs::path& path) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  int problem = 0;
  do {
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return;
    problem = errno;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  } while (problem == EBUSY && std::chrono::steady_clock::now() < end);
  ADD_FAILURE() << path << " can't be removed: " << std::strerror(problem) << "; processes: " << contents(path / "cgroup.procs");
}

// Of this name in each hierarchy, with all below, the deepest first.
std::vector<fs::path> cgroups(const std::string& name) {
  std::error_code problem;
  std::vector<fs::path> found;
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", problem)) {
    const fs::path top = hierarchy.path() / name;
    if (!fs::is_directory(top, problem)) continue;
    found.push_back(top);
    for (const auto& entry : fs::recursive_directory_iterator(top, problem)) {
      if (entry.is_directory(problem)) found.push_back(entry.path());
    }
  }
  std::reverse(found.begin(), found.end());
  return found;
}

// Those that the daemon's containers had.
void remove_cgroups(const std::string& name) {
  for (const fs::path& path : cgroups(name)) remove_cgroup(path);
}

// What test processes left that were killed.
void sweep() {
  std::error_code problem;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator("/var/tmp", problem)) {
    if (entry.path().filename().string().starts_with("casemate_docker.")) found.push_back(entry.path());
  }
  for (const fs::path& top : found) {
    const UniqueFd lock(::open((top / "lock").c_str(), O_RDONLY | O_CLOEXEC));
    if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) continue;
    remove_cgroups(top.filename());
    fs::remove_all(top, problem);
  }
}

std::vector<std::string> command(const Daemon::Options& options, const fs::path& top) {
  const std::string where = top.string();
  std::vector<std::string> words = {"/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"};
  if (!options.on_host_network) words.emplace_back("--net");
  // Podman's conmon leaves an empty file `oom` in its working directory where a container was out of memory.
  words.insert(words.end(), {"/bin/sh", "-c", "cd \"$0\" && echo inside; ip link set lo up 2>/dev/null; exec \"$@\"", where});
  if (options.kind == Daemon::Kind::docker) {
    words.insert(words.end(),
                 {"/usr/sbin/dockerd", "--data-root", where + "/data", "--exec-root", where + "/exec", "--pidfile", where + "/pid",
                  "--host", "unix://" + where + "/s", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false",
                  "--config-file", where + "/daemon.json", "--cgroup-parent", "/" + top.filename().string()});
  } else {
    words.insert(words.end(), {"/usr/bin/env",
                               "CONTAINERS_REGISTRIES_CONF=" + where + "/registries.conf",
                               "TMPDIR=" + where + "/temp",
                               "/usr/bin/podman",
                               "--root",
                               where + "/data",
                               "--runroot",
                               where + "/exec",
                               "--tmpdir",
                               where + "/tmp",
                               "--cgroup-manager",
                               "cgroupfs",
                               "--runtime",
                               "runc",
                               "--events-backend",
                               "file",
                               "system",
                               "service",
                               "--time=0",
                               "unix://" + where + "/s"});
  }
  words.insert(words.end(), options.more.begin(), options.more.end());
  return words;
}

std::string missing(Daemon::Kind kind) {
  if (::geteuid() != 0) return "needs root, to start a daemon of its own";
  std::vector<std::string> programs = {"unshare", "ip"};
  if (kind == Daemon::Kind::docker) programs.emplace_back("dockerd");
  if (kind == Daemon::Kind::podman) programs.emplace_back("podman");
  for (const std::string& program : programs) {
    if (program_on_path(program).empty()) return program + " is not installed";
  }
  return "";
}

}  // namespace

std::unique_ptr<Daemon> Daemon::start(const Options& options, std::string& why_not) {
  why_not = missing(options.kind);
  if (!why_not.empty()) return nullptr;
  sweep();
  std::string name = "/var/tmp/casemate_docker.XXXXXX";  // not a tmpfs: the daemons' overlays want a file system that has all they use
  if (!::mkdtemp(name.data())) {
    why_not = "no directory in /var/tmp";
    return nullptr;
  }
  std::unique_ptr<Daemon> daemon(new Daemon(name));
  daemon->lock_ = UniqueFd(::open((daemon->top_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ::flock(daemon->lock_.get(), LOCK_EX);
  std::ofstream(daemon->top_ / "daemon.json") << "{\"insecure-registries\": [\"127.0.0.0/8\"]}\n";
  fs::create_directory(daemon->top_ / "temp");                 // podman leaves there what it was at when it is killed
  std::ofstream registries(daemon->top_ / "registries.conf");  // podman takes no ranges of ports
  for (int port = kFirstRegistryPort; port < kFirstRegistryPort + 50; ++port)
    registries << "[[registry]]\nlocation = \"127.0.0.1:" << port << "\"\ninsecure = true\n";
  registries.close();
  daemon->program_.emplace(command(options, daemon->top_), daemon->top_ / "log");
  for (int i = 0; i < 3000 && !daemon->program_->ended(); ++i) {
    auto reactor = Reactor::create();
    auto api = DockerApi::create(**reactor, daemon->endpoint());
    DockerRequest ping;
    ping.path = "/_ping";
    if (const auto reply = call_and_wait(**api, **reactor, ping); reply && reply->status == 200) return daemon;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  why_not = "it does not start: " + daemon->log();
  return nullptr;
}

void Daemon::stop() {
  if (!program_) return;
  // Its first process ends when all others of the pid namespace have (pid_namespaces(7)).
  const pid_t first = inside();
  const UniqueFd pidfd(first > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, first, 0)) : -1);
  program_.reset();
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  if (pidfd) EXPECT_EQ(::poll(&ended, 1, 30'000), 1) << "processes of a daemon do not end";
}

Daemon::~Daemon() {
  stop();
  remove_cgroups(top_.filename());
  // Podman's containers have no other, nor have those of other podmans: what is in use stays.
  for (const fs::path& path : cgroups("libpod_parent")) ::rmdir(path.c_str());
  const UniqueFd parent(::open(top_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto removed = remove_tree_at(parent.get(), top_.filename());
  EXPECT_TRUE(removed) << removed.error().what;
}

DockerEndpoint Daemon::endpoint() const {
  auto parsed = parse_docker_host("unix://" + socket(), false, "");
  EXPECT_TRUE(parsed) << parsed.error().what;
  return parsed.value_or(DockerEndpoint{});
}

DockerOptions docker_options(const Daemon& daemon) {
  return {.endpoint = daemon.endpoint(), .pull = DockerPull::never, .witness = CASEMATE_BINARY_DIR "/bin/casemate-witness"};
}

std::string Daemon::log() const { return contents(top_ / "log"); }

pid_t Daemon::inside() const {
  const std::string children = contents(fmt::format("/proc/{0}/task/{0}/children", program_->pid()));
  return std::atoi(children.c_str());
}

Daemon* shared_daemon(Daemon::Kind kind, std::string& why_not) {
  auto& all = EndOfDaemons::daemons();
  auto found = all.find(kind);
  if (found == all.end()) {
    EndOfDaemons::Shared made;
    made.daemon = Daemon::start({.kind = kind}, made.why_not);
    found = all.emplace(kind, std::move(made)).first;
  }
  why_not = found->second.why_not;
  return found->second.daemon.get();
}

void EachDaemon::SetUp() {
  DaemonTest::SetUp();
  std::string why_not;
  daemon_ = shared_daemon(GetParam(), why_not);
  if (!daemon_) GTEST_SKIP() << why_not;
  use(daemon_->endpoint());
  const auto version = negotiate();
  ASSERT_TRUE(version) << version.error().what;
  if (ask("GET", std::string("/images/") + kSmallImage + "/json")->status == 200) return;
  import_small_image();
}

void EachDaemon::import_small_image() {
  ASSERT_FALSE(small_root_tar().empty()) << "busybox-static is not installed";
  DockerRequest import;
  import.method = "POST";
  import.path = "/images/create?" + docker_query({{"fromSrc", "-"}, {"repo", kSmallImage}, {"changes", "ENV PATH=/bin"}});
  import.content_type = "application/x-tar";
  import.produce = [sent = false]() mutable -> Result<std::string> { return std::exchange(sent, true) ? std::string() : small_root_tar(); };
  const auto made = ask(std::move(import));
  ASSERT_TRUE(made) << made.error().what;
  ASSERT_EQ(made->status, 200) << made->body;
}

std::string EachDaemon::create(const std::string& line, const std::string& more) {
  const auto reply =
      ask("POST", "/containers/create",
          fmt::format(R"({{{}"Image":"{}","Cmd":["/bin/sh","-c",{}],"HostConfig":{{"NetworkMode":"none","LogConfig":{{"Type":"{}"}}}}}})",
                      more, kSmallImage, nlohmann::json(line).dump(), is_podman() ? "k8s-file" : "none"));
  EXPECT_TRUE(reply) << reply.error().what;
  if (!reply) return "";
  EXPECT_EQ(reply->status, 201) << reply->body;
  const auto answer = nlohmann::json::parse(reply->body, nullptr, false);
  return answer.is_object() ? answer.value("Id", "") : "";
}

std::string name_of_kind(const testing::TestParamInfo<Daemon::Kind>& info) {
  return info.param == Daemon::Kind::docker ? "docker" : "podman";
}

}  // namespace casemate
