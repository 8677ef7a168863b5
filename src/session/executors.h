// executors: who runs the tests of a session, made as containers ask for them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "casemate/engine.h"
#include "session/directives.h"
#include "session/furnishing.h"
#include "session/request.h"
#include "store/store.h"
#include "warm/executor.h"

namespace casemate {

/// How many of a session's jobs run at a time, and where. Of both at least one is not 0.
struct SessionSlots {
  std::size_t cells = 0;   ///< units of tests, one by one: forks of warm parents in cells, or fresh interpreters of another executor
  std::size_t groups = 0;  ///< groups of units, each in an interpreter of its own, of another executor
};
/// What a request asks for.
[[nodiscard]] SessionSlots slots_of(const PytestRequest& request);
/// How many there are for cells of this machine, if all are.
[[nodiscard]] std::size_t slots_here(const PytestRequest& request);

/// The engine's executors of all containers. Numbers are those of containers (Directives): several that can have the same share the
/// first's.
class Executors {
 public:
  struct Ears {
    std::function<void(std::string_view)> note, progress;  ///< progress: "" where it is over
    TellPull pull;
    std::function<Result<Furnishing>()> furnish;  ///< in place of what a container says; may be empty
  };
  Executors(Engine& engine, const PytestRequest& request, const Directives& directives, Ears ears)
      : engine_(engine), request_(request), directives_(directives), ears_(std::move(ears)), slots_(slots_of(request)) {}

  /// The number of a container's, made when it is asked for first. An engine that can't be reached is done without where that is wanted
  /// (RemoteChoice::fallback).
  Result<std::size_t> of(std::size_t container);
  [[nodiscard]] SessionSlots slots() const { return slots_; }
  /// Whether groups run on a remote execution engine.
  [[nodiscard]] bool has_engine() const { return request_.remote.has_value(); }
  /// From now on nothing but cells.
  void leave_groups();
  [[nodiscard]] const Furnishing& furnishing(std::size_t number) const { return furnished_.at(number); }
  /// Of units one by one; nullptr: there is none.
  [[nodiscard]] WarmExecutor* cells(std::size_t number) const;
  /// The engine's name of the executor of units one by one, of the one of groups, and of the one that collects.
  [[nodiscard]] static std::string name_of_cells(std::size_t number);
  [[nodiscard]] static std::string name_of_groups(std::size_t number);
  [[nodiscard]] std::string name_of_collecting(std::size_t number) const;

 private:
  [[nodiscard]] bool may_fall_back() const { return request_.remote && request_.remote->fallback; }
  Result<void> add_groups(std::size_t container, const Furnishing& made);
  Result<std::unique_ptr<WarmExecutor>> alone(Reactor& reactor, const Furnishing& made);

  Engine& engine_;
  const PytestRequest& request_;
  const Directives& directives_;
  Ears ears_;
  SessionSlots slots_;
  std::map<std::size_t, Furnishing> furnished_;
  std::map<std::size_t, WarmExecutor*> cells_;
  std::optional<ActivePython> active_python_;
  std::optional<Store> store_;                     // with an executor that is not ours
  std::vector<std::unique_ptr<StoreTemp>> shown_;  // to its containers
};

}  // namespace casemate
