// first_plan: a test plan to begin with, from what a tool says of itself: no more than its answers to --help and --version can justify.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"
#include "testplan/models.h"

namespace casemate {

/// Runs one command line, in a shell, in a root of its own that has the tool.
using AskTool = std::function<Result<JobResult>(const std::string& command_line)>;
/// Each command in a cell (or container) of its own on the job's root, without stdin, for at most 20 s. `engine` must live as long.
[[nodiscard]] AskTool ask_in_cells(Engine& engine, Job base);

/// What a first plan is to be of.
struct FirstPlanRequest {
  std::string tool;           ///< its program's name
  InstallRequest install;     ///< written into the plan, so that it can be run as it is
  std::string image;          ///< the same; "": not said
  bool in_docker = false;     ///< the same
  std::size_t commands = 50;  ///< at most so many sub-commands get a case
};

/// The plan, and what isn't in it.
struct FirstPlan {
  nlohmann::ordered_json document;  ///< read_plan() accepts it; tell DocumentFormat to to_text()
  std::vector<std::string> notes;   ///< what was left out and why, for people
};

/// Asks the tool and writes down what it did: --version, --help, the help of each sub-command, an unknown option (which must fail), and
/// each flag that only prints, by its name or its description. Every case was run once and has what came as its expectation: the exit
/// status and a few words that will stay. The same answers give the same plan, byte by byte. Descriptions say what a person should
/// complete. refused: the tool can't be asked (not there, no help in any spelling), with its own words.
Result<FirstPlan> first_plan(const FirstPlanRequest& request, const AskTool& ask);

}  // namespace casemate
