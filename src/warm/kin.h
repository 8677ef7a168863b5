// kin: what the executor of warm parents keeps of each process of its tree, and of the jobs that wait for one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "casemate/engine.h"
#include "engine/cell_run.h"
#include "engine/reactor.h"
#include "sys/fd.h"
#include "warm/parent.h"

namespace casemate::warm {

/// A job that waits for a fork, or has one.
struct Test {
  std::uint64_t id = 0;
  std::string file;
  std::string hash;
  std::string ids;  // as message T has them
  std::unique_ptr<CellRun> run;
  struct Parent* parent = nullptr;
  bool cell_ready = false;
  bool forked = false;
};

/// A module parent.
struct Parent {
  std::string file;  // "": has collected everything; that of a part ends in NUL and its number
  std::string hash;  // that its R should have
  ParentControl control;
  UniqueFd theirs;  // of a part, until its file's parent is there to fork it
  bool collected = false;
  bool ready = false;  // to fork
  std::string thread;  // that runs after collection: no fork of it is to be used
  std::optional<Reactor::TimerId> patience;
  std::optional<Reactor::Clock::time_point> stalled;  // since when it has not read what was sent
  std::uint64_t last_used = 0;
  std::set<Test*> tests;  // that wait for it or are its forks
};

/// A collecting job.
struct Collecting {
  JobListener* listener = nullptr;
  std::function<void(JobResult)> done;
  UniqueFd stream;          // our end
  UniqueFd collectors;      // until it was sent
  ParentControl control;    // on which it says that it stays
  UniqueFd collectors_end;  // of that; until it was sent
};

}  // namespace casemate::warm
