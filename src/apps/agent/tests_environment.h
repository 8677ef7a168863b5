// tests_environment: what the tests' command runs on: the host or an image, its Python, and the packages of the tests' requirements.txt.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "image/environment.h"
#include "image/installer.h"
#include "image/interpreter.h"
#include "image/root.h"
#include "store/store.h"

namespace casemate {

/// Ready for use; its layers stay in the store while this lives.
struct TestsEnvironment {
  Root root;
  Interpreter interpreter;
  std::optional<Environment> environment;  ///< unset: the tests have no requirements.txt, the interpreter's own packages are used
  StoreLease guarded;                      ///< where `environment` is set: the layer that cells show in its place (guard.h)
  std::vector<Mount> mounts;               ///< what a cell on `root` needs to run python()

  [[nodiscard]] const std::string& python() const { return environment ? environment->python : interpreter.path; }
  [[nodiscard]] bool cached() const { return root.cached && (!environment || environment->cached); }
};

/// For the tree of tests at `tree`, hostile: its requirements.txt may name no file outside of it. `image`: as `casemate run --image` has
/// it; "": the host. `cancelled` is asked while an image is fetched. Fails as open_root(), find_interpreter() and make_environment() do.
Result<TestsEnvironment> tests_environment(const std::string& image, const std::string& tree, Store& store, const RunJob& run,
                                           const std::function<bool()>& cancelled);

/// Compiles the packages' modules for later runs, where that is not done; for after a grade is out.
void compile_for_later(const TestsEnvironment& environment, const std::string& tree, Store& store, const RunJob& run);

}  // namespace casemate
