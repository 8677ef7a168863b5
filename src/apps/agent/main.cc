// casemate-agent: `casemate agent` and `ostest-runner` exec it; it starts itself again for each task.
#include <csignal>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "apps/agent/agent.h"
#include "apps/agent/settings.h"
#include "apps/agent/worker.h"
#include "engine/executor.h"
#include "report/printing.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const std::vector<std::string> words(argv, argv + argc);
  if (argc > 0) casemate::set_host_arguments(argv[0], static_cast<std::size_t>(argv[argc - 1] + std::strlen(argv[argc - 1]) - argv[0]));
  casemate::hide_passwords(argc, argv);
  try {
    if (argc == 3 && words[1] == "worker") return casemate::worker_main(words[2]);
    const std::string name = argc > 0 ? words[0].substr(words[0].rfind('/') + 1) : "";
    return casemate::agent_main({words.begin() + (argc > 0 ? 1 : 0), words.end()},
                                name.starts_with("ostest-runner") ? name : "casemate agent");
  } catch (const std::exception& problem) {
    return casemate::complain("casemate agent", fmt::format("internal error: {}", problem.what()));
  }
}
