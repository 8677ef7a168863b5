// run_arguments: the flags of `casemate run` and `casemate explain`, spelled as docker spells them, turned into a Job.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "command/remote_options.h"
#include "command/root_options.h"

namespace casemate {

/// What `casemate run` was asked for.
struct RunRequest {
  Job job;
  std::vector<std::string> inputs;  ///< host files and directories to copy into the working directory
  std::string outputs;              ///< host directory for changed files; "" for none
  std::optional<RootRequest> root;  ///< an image, layers, a container: JobRoot::furnish() completes the job; nullopt: it is complete
  std::string user;                 ///< with `root`: as typed ("" : not), in the words of the image
  bool directory_chosen = false;    ///< -w, or a container's
  std::string executor = "native";
  std::optional<RemoteChoice> remote;  ///< with executor "remote"
  bool why = false;                    ///< explain: which inputs have changed
  bool json = false;
  bool quiet = false;
};

/// What parsing gave: a request, or text to print and an exit status (--help, a usage error).
struct ParsedRun {
  RunRequest request;  ///< with `stop` only `json` counts: as far as it was understood
  bool stop = false;
  int exit_status = 0;
  std::string text;  ///< for stdout if exit_status is 0, else for stderr
};

/// Parses the arguments after the subcommand's name. `program` is "casemate run" or "casemate explain", for the texts.
ParsedRun parse_run(const std::vector<std::string>& arguments, std::string_view program);

}  // namespace casemate
