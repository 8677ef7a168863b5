// request: what `casemate plan` was asked for.
#pragma once

#include <chrono>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "command/root_options.h"
#include "report/table.h"
#include "testplan/comparison.h"
#include "testplan/normalisation.h"
#include "testplan/plan_run.h"

namespace casemate {

/// What flags say of how a plan is run; unset: not said.
struct PlanFlags {
  RootWords root;  ///< --image, --pull and how images are got
  std::optional<std::string> executor, network, shell, work_dir;
  std::vector<std::string> install;
  bool install_again = false;
  std::optional<unsigned> parallel, retries;
  std::optional<std::chrono::milliseconds> timeout;
  bool isolate_cases = false;
  Limits limits;  ///< the defaults with what was said
  std::vector<Mount> mounts;
  std::map<std::string, std::string> environment;
  std::vector<std::string> unset;  ///< of --env NAME, those that the caller does not have
  std::string user;                ///< numbers, or names of the image; "": not said
  bool read_only = false;          ///< but /tmp, /dev/shm, mounts and the working directory of image host
};

/// A command line, read.
struct PlanRequest {
  enum class Action { run, record, verify, show, list, export_run, init };
  Action action = Action::run;
  std::string plan;    ///< a file; list: "" all
  std::string config;  ///< a file; "": none
  PlanFlags flags;
  PlanSelection selection;
  bool fail_fast = false;
  bool resume = false;
  std::string output;       ///< host directory; "": none
  bool write = false;       ///< into the plan's own file
  std::string output_file;  ///< record, init: another file; "": not said
  bool json = false;
  bool quiet = false;
  Color color = Color::automatic;
  std::string against;                 ///< verify: a run or a results file; "": the newest recording
  std::optional<CompareMode> compare;  ///< verify
  std::vector<std::string> without;    ///< rules of normalisation
  std::vector<NormalisationRule> rules;
  std::string run = "latest";  ///< show, export: id or "latest"
  std::string one;             ///< show: a case
  bool normalised = false;     ///< show
  std::size_t most = 20;       ///< list
  std::string directory;       ///< export
  std::string tool;            ///< init

  [[nodiscard]] bool runs() const { return action == Action::run || action == Action::record || action == Action::verify; }
};

inline constexpr std::string_view kPlanProgram = "casemate plan";
inline constexpr int kPlanUsage = 2;

/// Reads a command line; a number is the exit status of one that has been answered (--help) or refused.
std::expected<PlanRequest, int> read_plan_arguments(const std::vector<std::string>& arguments);

}  // namespace casemate
