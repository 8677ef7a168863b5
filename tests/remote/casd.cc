#include "casd.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace casemate {
namespace fs = std::filesystem;

std::string Casd::programs() {
  const char* const value = std::getenv("CASEMATE_CASD");
  return value ? value : "";
}

namespace {

bool connects(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return connected;
}

}  // namespace

Casd::Casd(int jobs, bool bare) {
  char name[] = "/var/tmp/casemate-casd.XXXXXX";
  directory_ = ::mkdtemp(name);
  const std::string socket = directory_ + "/socket", log = directory_ + "/log";
  endpoint_.address = "unix:" + socket;
  std::vector<std::string> words = {programs() + "/buildbox-casd",
                                    "--bind=unix:" + socket,
                                    "--quota-high=4G",
                                    "--reserved=10M",
                                    "--buildbox-run=" + programs() + "/buildbox-run",
                                    fmt::format("--jobs={}", jobs),
                                    "--log-level=warning"};
  // The action's input root is the sandbox's root; these are the host's, with the links' targets, for bubblewrap follows none.
  for (const char* mount : {"/usr:/usr", "/usr/bin:/bin", "/usr/lib:/lib", "/usr/lib64:/lib64"}) {
    if (bare) break;
    words.push_back(fmt::format("--runner-arg=--ro-bind-mount={}", mount));
  }
  words.push_back(directory_ + "/cache");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Without buildbox-fuse on PATH inputs are copied or linked.
  const bool fuse = ::geteuid() == 0 && ::access("/dev/fuse", W_OK) == 0;
  const std::string path = fmt::format("PATH={}/usr/bin:/bin", fuse ? programs() + ":" : "");
  char* environment[] = {const_cast<char*>(path.c_str()), nullptr};
  pid_ = ::fork();
  if (pid_ == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execve(argv[0], argv.data(), environment);
    ::_exit(127);
  }
  for (int i = 0; i < 1000 && !listening_; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    listening_ = connects(socket);
  }
}

Casd::~Casd() {
  ::kill(pid_, SIGCONT);
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

std::string Casd::log() const {
  std::ifstream file(directory_ + "/log");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace casemate
