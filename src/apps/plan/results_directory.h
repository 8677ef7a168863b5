// results_directory: what of a run lies in files: results.json, the plan with results, and artifacts/CASE/STEP/.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "testplan/document.h"
#include "testplan/models.h"
#include "testplan/normalisation.h"

namespace casemate {

/// A directory of ours on the host. A file in it, artifacts/casemate-plan.artifacts, says that the artifacts are ours, and names the files
/// beside them that are; what an earlier run left of these goes.
class ResultsDirectory {
 public:
  /// Makes it, or takes all out of it that an earlier run left, but its plan: that may be the one that runs. invalid_input: it has a
  /// directory `artifacts` that no casemate made.
  static Result<ResultsDirectory> open(const std::string& path);

  [[nodiscard]] std::string junit() const { return path_ + "/junit.xml"; }
  [[nodiscard]] std::string install_log() const { return path_ + "/install.log"; }
  [[nodiscard]] std::string html() const { return path_ + "/report.html"; }
  /// For PlanRunOptions::collect_to; begin_case() empties the case's part, end_case() takes it from there.
  [[nodiscard]] std::string collecting() const { return path_ + "/artifacts/.collecting"; }

  void begin_case(const TestPlan& plan, std::size_t index) const;
  /// Writes CASE/STEP/{stdout,stderr} and .normalised beside them, and CASE/files.
  [[nodiscard]] Result<void> end_case(const TestPlan& plan, std::size_t index, const CaseResult& result,
                                      const Normaliser& normaliser) const;
  /// The files of a case, as paths on the host and in the cell.
  struct File {
    std::string host, cell;
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] std::vector<File> files(const TestPlan& plan, std::size_t index) const;
  /// One file of a case that an earlier run kept; `path` as the cell had it. Never leaves the case's directory.
  [[nodiscard]] Result<void> add_file(const TestPlan& plan, std::size_t index, std::string_view path, std::string_view bytes) const;
  /// results.json, plan.json or plan.yaml, and install.log if there is one; an earlier run's plan goes.
  [[nodiscard]] Result<void> finish(const TestPlan& plan, const PlanResult& result, Document document, const Normaliser& normaliser,
                                    const std::string& install_log) const;

 private:
  explicit ResultsDirectory(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] std::string case_path(const TestPlan& plan, std::size_t index) const;
  [[nodiscard]] Result<void> mark(const std::vector<std::string>& files) const;
  std::string path_;
  std::vector<std::string> left_;  // files of an earlier run that are still there
};

/// Replaces a file whole, or not at all; symlinks are followed, parents made.
[[nodiscard]] Result<void> write_whole(const std::string& path, std::string_view bytes);
/// The same with a file of the user's own: its owner and mode stay. refused: check_writable().
[[nodiscard]] Result<void> rewrite(const std::string& path, std::string_view bytes);
/// invalid_input: `path` is in a directory that isn't there, or is a file that nobody may write.
[[nodiscard]] Result<void> check_writable(const std::string& path);

}  // namespace casemate
