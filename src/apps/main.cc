// casemate: finds the front end by the program's name or the first argument.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "apps/cache/cache.h"
#include "apps/doctor/doctor.h"
#include "apps/explain/explain.h"
#include "apps/history/history.h"
#include "apps/image/image.h"
#include "apps/plan/plan.h"
#include "apps/pytest/pytest.h"
#include "apps/run/run.h"
#include "apps/runtime/runtime.h"
#include "apps/script/script.h"
#include "apps/show/show.h"
#include "base/nearest.h"
#include "base/terminal.h"
#include "command/executors.h"
#include "engine/executor.h"
#include "report/printing.h"
#include "sys/process.h"
#ifdef CASEMATE_DOCKER
#include "docker/docker_executor.h"
#endif
#ifdef CASEMATE_REMOTE
#include "apps/remote/remote.h"
#endif

namespace casemate {
namespace {

constexpr const char* kProgram = "casemate";

struct FrontEnd {
  std::string_view name;
  std::string_view summary;
  int (*main)(const std::vector<std::string>& arguments);
};

// The agent is a program of its own, beside this one: libcurl would cost every other command milliseconds at its start.
int exec_agent(const std::vector<std::string>& arguments, std::string name) {
  const std::string path = program_beside("casemate-agent");
  std::vector<std::string> words = arguments;
  std::vector<char*> argv = {name.data()};
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return complain(name == "casemate-agent" ? "casemate agent" : name,
                  fmt::format("can't start {}, which comes with casemate and belongs beside it: {}", path, std::strerror(errno)));
}

constexpr FrontEnd kFrontEnds[] = {
    {"run", "run one command in a fresh cell", run_main},
    {"explain", "print what the kernel would be asked to do for a job, run nothing", explain_main},
    {"image", "images as roots of jobs: pull, list, inspect, remove, prune, import, export", image_main},
    {"cache", "what casemate keeps on disk: show, prune, verify", cache_main},
    {"history", "what was run, how it ended, how long it took", history_main},
    {"show", "the last run of tests in a project again: failures, summary, reports", show_main},
    {"doctor", "what this host offers, what falls back, how to fix it", doctor_main},
    {"script", "run a Python script with its requirements and files, and keep what it makes (also py_test_runner)",
     [](const std::vector<std::string>& arguments) { return script_main(arguments, "casemate script"); }},
    {"pytest", "run a project's tests, each in a cell of its own (also maelstrom-pytest)",
     [](const std::vector<std::string>& arguments) { return pytest_main(arguments, "casemate pytest"); }},
    {"runtime", "run the scripts of a pipeline, alone, in pairs or all, and say whether they work (also cursus runtime)",
     [](const std::vector<std::string>& arguments) { return runtime_main(arguments, "casemate runtime"); }},
    {"plan", "test plans of command-line tools: run, record, verify, show, list, export, init", plan_main},
    {"agent", "take tasks from a backend, grade students' repositories, post the results (also ostest-runner)",
     [](const std::vector<std::string>& arguments) { return exec_agent(arguments, "casemate-agent"); }},
};

std::string usage() {
  std::string text =
      "casemate runs each script, test or command in its own fresh micro-container.\n\nUsage: casemate COMMAND "
      "[ARGUMENT...]\n\nCommands:\n";
  for (const FrontEnd& front_end : kFrontEnds) text += fmt::format("  {:<10} {}\n", front_end.name, front_end.summary);
  return text + "\n'casemate COMMAND --help' (or 'casemate help COMMAND') tells more; 'casemate doctor' what this host can do.\n";
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

const FrontEnd* front_end_of(std::string_view command) {
  for (const FrontEnd& front_end : kFrontEnds) {
    if (front_end.name == command) return &front_end;
  }
  return nullptr;
}

int no_command(const std::string& command) {
  std::vector<std::string_view> names = {"help", "version"};
  for (const FrontEnd& front_end : kFrontEnds) names.push_back(front_end.name);
  const std::string meant = nearest(command, names);
  return complain(kProgram, fmt::format("there is no command '{}'{} see 'casemate --help'", command,
                                        meant.empty() ? ";" : fmt::format(", did you mean '{}'?", meant)));
}

// "help image pull" is "image pull --help".
int help(std::vector<std::string> words) {
  const FrontEnd* front_end = words.empty() ? nullptr : front_end_of(words[0]);
  if (!front_end) return words.empty() ? put(kProgram, usage(), 0) : no_command(words[0]);
  words.erase(words.begin());
  words.emplace_back("--help");
  return front_end->main(words);
}

constexpr const char* kCursusUsage =
    "cursus, as casemate has it, tests the scripts of a pipeline by running them.\n\nUsage: cursus runtime TEST [ARGUMENT...]\n\nTests:\n"
    "  test-script         run one script\n"
    "  test-compatibility  run one script, then another one with what the first one wrote\n"
    "  test-pipeline       run all scripts of a pipeline\n\n'cursus runtime --help' (or 'cursus runtime TEST --help') tells more.\n";

// Of cursus's commands the one there is here.
int cursus(const std::vector<std::string>& words) {
  if (!words.empty() && words[0] == "runtime") return runtime_main({words.begin() + 1, words.end()}, "cursus runtime");
  if (!words.empty() && words[0] == "--version") return put("cursus", "casemate " CASEMATE_VERSION "\n", 0);
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h" || words[0] == "help")) return put("cursus", kCursusUsage, 0);
  return complain("cursus", "casemate stands in for 'cursus runtime' alone: see 'cursus runtime --help'", 2);
}

int dispatch(const std::vector<std::string>& words) {
  if (!words.empty() && base_name(words[0]).starts_with("py_test_runner"))
    return script_main({words.begin() + 1, words.end()}, "py_test_runner");
  if (!words.empty() && base_name(words[0]).starts_with("maelstrom-pytest"))
    return pytest_main({words.begin() + 1, words.end()}, "maelstrom-pytest");
  if (!words.empty() && base_name(words[0]).starts_with("ostest-runner"))
    return exec_agent({words.begin() + 1, words.end()}, std::string(base_name(words[0])));
  if (!words.empty() && base_name(words[0]) == "cursus") return cursus({words.begin() + 1, words.end()});
  if (words.size() < 2) {
    say(usage());
    return kOwnFailure;
  }
  const std::string& command = words[1];
  if (command == "help") return help({words.begin() + 2, words.end()});
  if (command == "--help" || command == "-h") return put(kProgram, usage(), 0);
  if (command == "--version" || command == "version") return put(kProgram, "casemate " CASEMATE_VERSION "\n", 0);
  const FrontEnd* front_end = front_end_of(command);
  return front_end ? front_end->main({words.begin() + 2, words.end()}) : no_command(command);
}

#ifdef CASEMATE_DOCKER
DockerPull pull_policy(std::string_view word) {
  if (word == "always") return DockerPull::always;
  return word == "never" ? DockerPull::never : DockerPull::missing;
}

Result<std::unique_ptr<Executor>> docker_executor(Reactor& reactor, const ExecutorChoice& choice) {
  DockerOptions options;
  TRY_ASSIGN(options.endpoint, docker_endpoint());
  options.pull = pull_policy(choice.pull);
  options.tell = choice.progress;
  options.config = choice.config;
  options.user = choice.user;
  return make_docker_executor(reactor, std::move(options));
}
#endif

}  // namespace
}  // namespace casemate

int main(int argc, char** argv) {
  // Fds 0 to 2 must be ours, or the first files opened would be taken for the standard streams. What is told on a closed
  // stdout is lost, and is to fail as it would have done (EBADF).
  for (int fd = 0; fd < 3; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", fd == 1 ? O_RDONLY : O_RDWR);
  }
  // What can't be written is an errno to tell of, not a reason to die: a reader that went away, the RLIMIT_FSIZE of a caller.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const std::vector<std::string> words(argv, argv + argc);
  casemate::know_arguments(argc, argv);
#ifdef CASEMATE_DOCKER
  casemate::know_executor("docker", casemate::docker_executor);
#endif
#ifdef CASEMATE_REMOTE
  casemate::know_executor("remote", casemate::remote_executor);
  casemate::know_engine_inquiry(casemate::inquire_engine);
#endif
  if (argc > 0) casemate::set_host_arguments(argv[0], static_cast<std::size_t>(argv[argc - 1] + std::strlen(argv[argc - 1]) - argv[0]));
  try {
    return casemate::dispatch(words);
  } catch (const std::exception& problem) {
    return casemate::complain("casemate", fmt::format("internal error: {}", problem.what()));
  }
}
