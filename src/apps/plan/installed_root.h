// installed_root: the root that a plan's commands see, fetched, with the tool in it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "apps/plan/settings.h"
#include "casemate/engine.h"
#include "casemate/result.h"
#include "command/job_root.h"
#include "store/store.h"
#include "testplan/installation.h"

namespace casemate {

/// What holds the engine and the root of a plan while it runs.
class InstalledRoot {
 public:
  using Tell = std::function<void(std::string_view line)>;

  /// Fetches the image (native); docker's daemon does that itself. Signals end the program until make_engine().
  static Result<InstalledRoot> open(PlanSettings settings, const TellPull& tell_pull);
  /// From then on signals cancel what runs. An Error where there is no daemon, or this host makes no cells.
  Result<Engine*> make_engine(const Tell& tell);
  /// Puts the job on the root, and the tool into it. The log of what failed is there all the same. `tell_output`: what the installer says.
  Result<void> install(const std::string& tool, bool again, const Tell& tell, const Tell& tell_output);

  /// After install(): invalid_input if the root has no such program. Nothing is asked about /bin/sh.
  Result<void> check_shell(const std::string& shell);

  /// After install(): the job that contexts are made of.
  [[nodiscard]] const Job& base() const { return installed_.base; }
  [[nodiscard]] const InstalledTool& installed() const { return installed_; }
  [[nodiscard]] const std::string& log() const { return installed_.log; }
  /// Of the image; "" where nobody knows.
  [[nodiscard]] std::string digest() const;
  [[nodiscard]] std::string image() const;

 private:
  explicit InstalledRoot(PlanSettings settings) : settings_(std::move(settings)) {}
  Result<Job> bare_root();

  PlanSettings settings_;
  std::optional<JobRoot> root_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Engine> engine_;
  InstalledTool installed_;
};

}  // namespace casemate
