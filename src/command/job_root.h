// job_root: the root that a command line asked for, fetched and made, and a job put on it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "casemate/result.h"
#include "command/root_options.h"
#include "command/run_arguments.h"
#include "image/installer.h"
#include "image/pull.h"
#include "image/root.h"
#include "store/store.h"

namespace casemate {

/// A root for one job; its layers stay in the store while this lives, which is until the job has ended.
class JobRoot {
 public:
  /// Gets the image, if one was asked for; nothing runs in a cell yet.
  static Result<JobRoot> open(const RootRequest& request, const TellPull& tell);

  /// Puts the layers over it (`run` is for those that commands make) and the job of `request` onto it: command, environment, working
  /// directory and user, as the command line, the container and the image have them, in this order.
  Result<void> furnish(RunRequest& request, const RunJob& run, const Progress& progress);

  /// What the root lies in; nullptr where it needs none.
  [[nodiscard]] Store* store() { return store_ ? &*store_ : nullptr; }
  [[nodiscard]] const std::vector<std::string>& notes() const { return root_.notes; }
  /// The image's and the layers' directories at a path of the root, topmost first.
  [[nodiscard]] std::vector<std::string> at(std::string_view path) const;
  /// {"name", "digest"} (null where there is none); null for the host.
  [[nodiscard]] nlohmann::ordered_json to_json() const;

 private:
  explicit JobRoot(RootRequest request) : request_(std::move(request)) {}
  Result<void> add_groups(const RunJob& run, const Progress& progress);
  Result<void> set_environment(Job& job) const;
  Result<void> set_user(Job& job, const std::string& typed) const;

  RootRequest request_;
  std::optional<Store> store_;
  Root root_;
};

/// PATH and HOME where the job has none.
void add_least_environment(Job& job);

}  // namespace casemate
