// host_installation: packages of pip for programs of the host, whose files nothing may change: an environment beside them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "store/store.h"
#include "testplan/installation.h"

namespace casemate {

/// An environment at /casemate/env, for a job on image host.
struct HostEnvironment {
  std::vector<Mount> mounts;
  std::shared_ptr<const StoreLease> lease;
  bool cached = false;
};

/// Strategy pip alone, by make_environment(); not_supported for all others, with what to do instead. `log` gets the installer's words.
Result<HostEnvironment> install_on_host(const InstallRequest& request, InstallSurroundings& surroundings, Store& store, std::string& log);

}  // namespace casemate
