// code_digest: the code that lies in a directory at this moment, in one word, which tells runs of the same code from runs of other.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// Where code is looked for.
struct CodePlace {
  std::string directory;               ///< absolute, a project's; a git work tree if `.git` is in it
  std::vector<std::string> without;    ///< absolute paths of files there that are no code: reports that a run writes itself
  std::vector<std::string> installed;  ///< directories of installed packages, of which only the names inside count: they tell versions
};

/// "git:<64 hex digits>" or "files:<64 hex digits>"; equal words mean equal code.
///
/// In a git work tree it is of the path, mode and content of each file that is tracked, and of those that are neither tracked nor ignored,
/// whatever is committed or staged. What git's index knows by its times is not read again, nor what is larger than 16 MiB (size, time and
/// inode stand for it). git takes no locks, writes nothing and runs no program that hooks or the repository's configuration name.
/// Elsewhere, where git is missing or refuses (safe.directory, git-config(1)), and in repositories inside the tree, it is of path, size,
/// time of change and inode of *.py and of settings (*.toml, *.ini, *.cfg). What is hidden, a cache or a virtual environment does not
/// count, but if tracked.
///
/// not_found: no such file; exhausted: more than 100,000; refused: stopped, or not done within 10 s.
Result<std::string> code_digest(const CodePlace& place, const std::stop_token& stop = {});

/// How long a survey may keep a run waiting, and how long it holds.
struct CodeSurveyTimes {
  std::chrono::milliseconds patience{200};
  std::chrono::milliseconds fresh{5000};
};

/// The digest taken beside a run, by a thread (and git) of low priority. One thread may call it.
class CodeSurvey {
 public:
  explicit CodeSurvey(CodePlace place, CodeSurveyTimes times = {}) : place_(std::move(place)), times_(times) {}
  ~CodeSurvey();
  CodeSurvey(const CodeSurvey&) = delete;
  CodeSurvey& operator=(const CodeSurvey&) = delete;

  /// A run begins. What was found less than `fresh` before, for another one, stands for this one too.
  void begin();
  /// The run has ended: its code, "" if that can't be known within `patience`, or was not the same all the time: after a run longer than
  /// `fresh` it is looked at again.
  std::string end();

 private:
  using Clock = std::chrono::steady_clock;
  struct Finding;
  void start();
  std::string wait() const;

  CodePlace place_;
  CodeSurveyTimes times_;
  std::shared_ptr<Finding> finding_;
  Clock::time_point looked_;
  std::jthread thread_;
};

}  // namespace casemate
