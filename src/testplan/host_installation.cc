#include "testplan/host_installation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/run_job.h"
#include "image/environment.h"
#include "sys/fd.h"

namespace casemate {

Result<HostEnvironment> install_on_host(const InstallRequest& request, InstallSurroundings& surroundings, Store& store, std::string& log) {
  if (request.strategy != "pip" || !request.needs.empty()) {
    return fail(
        ErrorCode::not_supported,
        fmt::format("on image 'host' {} can't install anything, for nothing may change the host's files: name an image (--image), or "
                    "install it on the host and say --install none",
                    request.strategy == "pip" ? "apt" : request.strategy));
  }
  TRY_ASSIGN(const auto directory, store.make_temp());
  const std::string path = directory->path() + "/requirements.txt";
  {
    TRY_ASSIGN(const UniqueFd file, open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    TRY(write_all(file.get(), fmt::format("{}\n", fmt::join(request.packages, "\n"))));
  }
  TRY_ASSIGN(const Interpreter interpreter, find_interpreter(""));
  EnvironmentRequest wanted{.interpreter = interpreter, .requirements_path = path, .store = &store};
  if (surroundings.limits.wall) wanted.wall = *surroundings.limits.wall;
  const auto progress = [&](std::string_view line) {
    if (surroundings.progress) surroundings.progress(line);
  };
  auto made = make_environment(wanted, run_jobs_on(surroundings.engine), progress);
  if (!made) {
    log = std::move(made.error().log);
    return std::unexpected(std::move(made.error().error));
  }
  log = made->log;
  return HostEnvironment{std::move(made->mounts), std::move(made->lease), made->cached};
}

}  // namespace casemate
