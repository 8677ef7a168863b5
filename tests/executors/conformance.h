// conformance: the jobs on which all executors have to agree: the same outcomes, outputs and captured files.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <stdlib.h>
#include <sys/stat.h>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/outcome.h"

namespace casemate {

namespace fs = std::filesystem;

/// A directory that goes with the test.
class Scratch {
 public:
  Scratch() {
    std::string name = fs::temp_directory_path() / "casemate_conformance.XXXXXX";
    if (::mkdtemp(name.data())) path_ = name;
    ::chmod(path_.c_str(), 0755);
  }
  ~Scratch() {
    std::error_code problem;
    fs::remove_all(path_, problem);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// A tar of a root file system with busybox (sh, cat, sleep, ...) in /bin, and an empty /tmp; "" if busybox-static is not installed.
const std::string& small_root_tar();
/// The same as a directory.
const fs::path& small_root();

/// A job, as what makes it out of a plain one on the small root.
struct Case {
  std::string name;
  std::function<void(Job&)> make;
};
void shell(Job& job, const std::string& line);
/// A writable layer over `lower`, the job's own.
Mount overlay(const std::string& target, std::vector<std::string> lower);

/// A project: files to change, remove and leave alone.
class GivenFiles {
 public:
  GivenFiles();
  [[nodiscard]] const fs::path& path() const { return scratch_.path(); }

 private:
  Scratch scratch_;
};

std::vector<Case> outcome_cases();
std::vector<Case> captured_cases(const GivenFiles& given);
std::vector<Case> whole_root_cases();

/// Passes nothing on for a while, as a reader on a page of a pager.
struct SlowReader : JobListener {
  explicit SlowReader(std::chrono::seconds wait) : pause(wait) {}
  void output(Stream, std::string_view bytes) override {
    if (heard == 0) until = std::chrono::steady_clock::now() + pause;
    heard += bytes.size();
  }
  std::size_t backlog() override { return heard > 0 && std::chrono::steady_clock::now() < until ? 8u << 20 : 0; }
  std::chrono::seconds pause;
  std::size_t heard = 0;
  std::chrono::steady_clock::time_point until;
};

/// What executors must agree on, as text.
std::string summary(const JobResult& result);
/// The tree below a directory, as text.
std::string tree(const fs::path& top);

}  // namespace casemate
