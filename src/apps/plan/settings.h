// settings: how a plan is run: flags over a configuration over what the plan says over defaults.
#pragma once

#include <optional>
#include <string>

#include "apps/plan/request.h"
#include "casemate/job.h"
#include "casemate/result.h"
#include "command/root_options.h"
#include "testplan/models.h"
#include "testplan/plan_run.h"

namespace casemate {

/// All that is known before anything is fetched or made.
struct PlanSettings {
  std::string executor = "native";
  std::string pull = "missing";     ///< docker: when the daemon asks a registry
  std::optional<RootRequest> root;  ///< native, not host: gets the job's root
  Job job;                          ///< without command; docker: with the image by its name
  InstallRequest install;
  PlanRunOptions options;  ///< without base, selection and done
};

/// Lays the `execution` table of a configuration in YAML, JSON or TOML over `execution`; a file without one changes nothing. invalid_input
/// names the place.
Result<void> read_configuration(const std::string& path, PlanExecution& execution);

/// `execution` and `install` are the plan's, with the configuration's over them. invalid_input names what was said wrong.
Result<PlanSettings> plan_settings(const PlanFlags& flags, const PlanExecution& execution, const InstallRequest& install,
                                   const std::string& tool);

}  // namespace casemate
