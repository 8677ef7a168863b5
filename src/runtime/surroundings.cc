#include "runtime/surroundings.h"

#include "base/terminal.h"
#include "command/callers_environment.h"
#include "command/naming.h"
#include "image/active_python.h"
#include "image/environment.h"
#include "image/image_interpreter.h"
#include "image/interpreter.h"
#include "image/reference.h"
#include "image/root.h"
#include "store/store.h"

namespace casemate::runtime {
namespace {

constexpr std::uint64_t kMemory = 4ull << 30;
constexpr std::uint32_t kPids = 512;
constexpr std::uint64_t kDisk = 1ull << 30;

void finish(Job& job, const std::string& python) {
  job.argv = {python};
  job.name = "script";
  const std::string first = python.substr(0, python.rfind('/')) + ":";
  std::string& path = job.env["PATH"];
  if (path.empty()) path = kDefaultPath;
  if (python.starts_with('/') && !path.starts_with(first)) path.insert(0, first);
  job.env.emplace("HOME", "/root");
}

Limits limits_of(const RuntimeTestingConfiguration& configuration) {
  Limits limits = default_limits();
  limits.memory_bytes = configuration.memory_bytes.value_or(kMemory);
  limits.pids = kPids;
  limits.disk_bytes = kDisk;
  return limits;
}

// Layers and images stay in the store while this lives.
struct Kept {
  std::shared_ptr<const StoreLease> environment;
  std::unique_ptr<Store> store;
  Root root;
};

Result<void> use_environment(Surroundings& made, Kept& kept, EnvironmentRequest request, const RunJob& run, const Progress& progress) {
  auto environment = make_environment(request, run, progress);
  if (!environment) return std::unexpected(environment.error().error);
  made.job.mounts.insert(made.job.mounts.end(), environment->mounts.begin(), environment->mounts.end());
  kept.environment = environment->lease;
  finish(made.job, environment->python);
  return {};
}

Result<void> on_image(Surroundings& made, Kept& kept, const RuntimeTestingConfiguration& configuration, const RunJob& run,
                      const Progress& progress) {
  TRY_ASSIGN(const ImageReference reference, read_image_name(*configuration.image));
  TRY_ASSIGN(Store store, Store::open());
  kept.store = std::make_unique<Store>(std::move(store));
  if (progress) progress("image: " + printable_name(*configuration.image));
  TRY_ASSIGN(kept.root, open_root(*kept.store, reference, {}));
  made.notes = kept.root.notes;
  TRY_ASSIGN(Interpreter interpreter, find_interpreter(kept.root, configuration.python.value_or(""), run));
  take_environment(made.job, kept.root);
  if (configuration.requirements) {
    TRY(use_environment(made, kept,
                        {.interpreter = std::move(interpreter), .requirements_path = *configuration.requirements, .root = kept.root}, run,
                        progress));
  } else {
    finish(made.job, interpreter.path);
  }
  return put_root(made.job, kept.root);
}

Result<void> on_host(Surroundings& made, Kept& kept, const RuntimeTestingConfiguration& configuration, const RunJob& run,
                     const Progress& progress) {
  take_callers_environment(made.job);
  if (configuration.requirements) {
    TRY_ASSIGN(Interpreter interpreter, find_interpreter(configuration.python.value_or("")));
    return use_environment(made, kept, {.interpreter = std::move(interpreter), .requirements_path = *configuration.requirements}, run,
                           progress);
  }
  TRY_ASSIGN(const ActivePython active, find_active_python(configuration.python.value_or("")));
  made.job.mounts = active_python_mounts(active, default_host_paths());
  keep_user_site(made.job, active);
  finish(made.job, active.program);
  return {};
}

}  // namespace

Result<Surroundings> make_surroundings(const RuntimeTestingConfiguration& configuration, const RunJob& run, const Progress& progress) {
  Surroundings made;
  auto kept = std::make_shared<Kept>();
  const bool image = configuration.image && *configuration.image != "host";
  TRY(image ? on_image(made, *kept, configuration, run, progress) : on_host(made, *kept, configuration, run, progress));
  made.job.limits = limits_of(configuration);
  made.kept = std::move(kept);
  return made;
}

}  // namespace casemate::runtime
