// example_lab: the lab that comes with casemate-agent (examples/lab), as the two git repositories that a teacher has.
#pragma once

#include <string>
#include <utility>

#include "casemate/result.h"

namespace casemate {

/// Two git repositories, one commit on branch `main` each: a student's project in C, of which one test fails, and the tests. Removed with
/// this.
class ExampleLab {
 public:
  /// Writes them to `directory`/project and `directory`/tests; what was in `directory` is removed first. not_supported: there is no git.
  static Result<ExampleLab> write(const std::string& directory);
  ExampleLab(ExampleLab&& other) noexcept : directory_(std::exchange(other.directory_, "")) {}
  ExampleLab& operator=(ExampleLab&& other) noexcept;
  ~ExampleLab();
  /// file: URLs.
  [[nodiscard]] std::string project_url() const;
  [[nodiscard]] std::string tests_url() const;

 private:
  explicit ExampleLab(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;  // absolute; "" where it was moved away
};

}  // namespace casemate
