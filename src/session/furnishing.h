// furnishing: what the warm parents and the cells of one container's tests show and may use, made from a directive and the command line.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "casemate/engine.h"
#include "casemate/result.h"
#include "command/executors.h"
#include "command/job_root.h"
#include "image/active_python.h"
#include "image/environment.h"
#include "image/installer.h"
#include "image/pull.h"
#include "session/directives.h"
#include "session/request.h"
#include "store/store.h"
#include "warm/executor.h"

namespace casemate {

/// One container, ready. Layers stay in the store while this lives.
struct Furnishing {
  WarmRequest request;
  std::vector<std::string> notes;
  std::unique_ptr<JobRoot> root;           ///< nullptr: plain host
  std::optional<Environment> environment;  ///< of `requirements` on the host
  /// Of another executor, whose images are not ours; its jobs are for make_alone_executor(). `packages`: a file of requirements that is
  /// still to be installed (command/container_packages.h).
  std::optional<ExecutorChoice> elsewhere;
  std::optional<std::string> packages;
};

/// What making one needs.
struct FurnishingContext {
  const PytestRequest& request;
  std::optional<ActivePython>& active;  ///< the host's interpreter, once a container has asked: one answer does for all
  std::string directory;                ///< what relative paths of the directives are of
  RunJob run;                           ///< for layers that commands and installers make
  TellPull tell;
  Progress progress;
};

/// Opens the image, makes its layers and environment, and says what parents and forks get. On host without layers it shows the active
/// interpreter with its packages; with an image the image's python3. The project lies at its own place, as the lower layer of a writable
/// one that each cell has for itself; where a container has layers of its own these are the project. For another executor
/// (PytestRequest::executor) nothing is opened: the image is its own to get, and the project is shown as it is, read-only; not_supported:
/// layers, and what else only cells have.
Result<Furnishing> furnish(const TestContainer& container, const FurnishingContext& context);

/// Installs `packages` of a furnishing whose executor (make_alone_executor) the engine has under `executor`, or finds them kept. refused:
/// pip said no, with its last words.
Result<void> install_packages(Engine& engine, const std::string& executor, const Furnishing& furnishing, const Progress& progress);

/// Why a collecting job of this container ended, if there is no interpreter, or no pytest for it: one line that says what to do. Else "".
[[nodiscard]] std::string what_is_missing(const Furnishing& furnishing, const TestContainer& container, const std::string& directory,
                                          const JobResult& ended);

}  // namespace casemate
