// group_runs: groups of units while they run, each a job of an executor that is not ours: what they tell becomes the results of single
// units, and what did not come back is run again in parts.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/engine.h"
#include "session/executors.h"
#include "session/queue.h"
#include "session/verdict.h"
#include "warm/group.h"

namespace casemate {

/// One unit while it runs, alone or in a group.
struct RunningUnit {
  Unit unit;
  UnitReport told;
  bool has_started = false;
  bool apart = false;  ///< from all others, in a cell or namespaces of its own, where the request has tests run
  std::uint32_t slot = 0;
  std::chrono::microseconds began{0};  ///< since the run began
};

/// What groups ask of their session, and tell it.
struct GroupSession {
  virtual ~GroupSession() = default;
  [[nodiscard]] virtual const std::vector<SelectedTest>& selected() const = 0;
  [[nodiscard]] virtual const Executors& executors() const = 0;
  /// For the interpreters of groups: Suite::rewritten().
  [[nodiscard]] virtual const std::string& rewritten() const = 0;
  /// Nothing more is begun.
  [[nodiscard]] virtual bool stopped() const = 0;
  virtual std::uint32_t take_group_slot() = 0;
  virtual void unit_began(RunningUnit& running) = 0;
  virtual void conclude(RunningUnit& running, JobResult result) = 0;
  /// Fresh interpreters for the tests of `file`, for what it has left.
  virtual void make_cold(const std::string& file, const std::string& left) = 0;
  /// The tests of `file` need a parent of all files.
  virtual void make_whole(const std::string& file) = 0;
  virtual void run_again(Unit unit) = 0;
  /// Told once for each text.
  virtual void note_once(const std::string& line) = 0;
  /// Whether nobody begins anything there any more.
  virtual bool note_whether_unable(const Outcome& outcome) = 0;
  /// The slot is free again (if there was one).
  virtual void group_over(std::optional<std::uint32_t> slot) = 0;
};

/// All groups of a session that run, and what did not come back of others.
class GroupRuns {
 public:
  explicit GroupRuns(GroupSession& session, Engine& engine, std::uint64_t capture_bytes);
  ~GroupRuns();
  GroupRuns(const GroupRuns&) = delete;
  GroupRuns& operator=(const GroupRuns&) = delete;

  [[nodiscard]] std::size_t running() const { return running_.size(); }
  /// The next part of a group that did not come back; empty: there is none.
  [[nodiscard]] std::vector<Unit> take_broken();
  [[nodiscard]] bool has_broken() const { return !broken_.empty(); }
  void forget_broken() { broken_.clear(); }
  void submit(std::vector<Unit> units);
  /// To be called now and then. When the run has been stopped what runs goes on, and its group ends behind it. Where cells have nothing to
  /// do
  /// (`idle`), they take a group of which nothing is heard, longer than it should have taken.
  void look(bool idle);

 private:
  struct Group;
  void hear(Group& group, GroupLine line);
  void begin_unit(Group& group, std::uint64_t number);
  void end_unit(Group& group, GroupOver over);
  void finish(Group& group, JobResult result);
  void conclude(Group& group, JobResult result);
  void give_back(RunningUnit& running, const JobResult& result);

  GroupSession& session_;
  Engine& engine_;
  std::uint64_t capture_bytes_;
  std::map<Group*, std::unique_ptr<Group>> running_;
  std::deque<std::vector<Unit>> broken_;
};

}  // namespace casemate
