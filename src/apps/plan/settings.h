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
  std::string user;                 ///< with a root: in the words of the image; "": its own
  bool user_chosen = false;         ///< by --user: what the image says of it doesn't count
  Job job;                          ///< without command; docker: with the image by its name
  InstallRequest install;
  PlanRunOptions options;  ///< without base, selection and done
};

/// What a plan says of how it is run, with the `execution` table of a configuration (YAML, JSON or TOML; "": none) over it. A plan may be
/// somebody else's text, so this machine's network and a directory of it as the root have to be asked for by a flag or the configuration:
/// invalid_input where the plan alone does. invalid_input names the place of what is wrong in the configuration.
Result<PlanExecution> plan_execution(const PlanFlags& flags, PlanExecution plan, const std::string& configuration);

/// `execution` and `install` are the plan's, with the configuration's over them; `directory`: what the plan's own files are relative to.
/// invalid_input names what was said wrong.
Result<PlanSettings> plan_settings(const PlanFlags& flags, const PlanExecution& execution, const InstallRequest& install,
                                   const std::string& directory, const std::string& tool);

}  // namespace casemate
