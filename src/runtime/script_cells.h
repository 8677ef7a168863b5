// script_cells: runs pipeline scripts, and looks at data, each in a cell of its own that a fork of a warm interpreter enters.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/outcome.h"
#include "casemate/result.h"
#include "image/installer.h"
#include "runtime/data_report.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// One script to run. Paths in `parameters` are given to it as they are written.
struct CellScript {
  std::string name;  ///< the module's
  std::string path;  ///< of its file, on the host
  MainParameters parameters;
  std::chrono::milliseconds timeout{300'000};
  /// Of its run, which can be cancelled by it, and whose scripts' outputs in the same directory are kept beside each other; "": one of its
  /// own.
  std::string mark;
  bool check_only = false;  ///< looks for main and its parameters, runs nothing
};

/// What a script came to.
struct ScriptRun {
  Outcome outcome;
  Resources resources;
  Output output;
  std::vector<Leftover> leftovers;
  std::vector<std::string> notes;
  bool has_main = false;
  std::string problem;  ///< one line: why it did not do what it should; "" if it did
  std::string traceback;
  std::chrono::microseconds took{0};  ///< of import and main
  std::vector<std::string> outputs;   ///< files below its output paths, as the caller named those; at most 1,000
};

/// Data to look at.
struct DataRequest {
  std::string name;  ///< logical
  std::string path;  ///< on the host
};

/// What a DataReport's problem begins with whose look did not come to its end: it crashed, needed more memory or time than there is, or
/// could not be shown to a cell. Its format is BINARY then, whatever it is.
inline constexpr std::string_view kLookEnded = "can't be read: the look at it was ended: ";

/// Interpreters, cells and a thread of their own. Safe from several threads. The destructor ends what runs and leaves nothing behind.
class ScriptCells {
 public:
  /// Starts the thread; surroundings and warm parents are made when the first script comes. `progress` is called in that thread.
  static Result<std::unique_ptr<ScriptCells>> create(RuntimeTestingConfiguration configuration, Progress progress);
  virtual ~ScriptCells() = default;

  /// Queues a script; `done` is called once, in the cells' thread. An Error in it: nothing ran (no interpreter, an input path that is not
  /// there). Outputs are at their places when it is called.
  virtual void run(CellScript request, std::function<void(Result<ScriptRun>)> done) = 0;
  /// The same for data of the run `mark`; a report each, in a cell each, for which it has `timeout` and at most 5 minutes. What ends the
  /// look at one is its report's `problem` (kLookEnded). An Error: cancelled, or nothing can be run on this host.
  virtual void inspect(std::vector<DataRequest> data, std::string mark, std::chrono::milliseconds timeout,
                       std::function<void(Result<std::vector<DataReport>>)> done) = 0;
  /// Ends all of the run `mark` that runs or waits as `cancelled`, and nothing of other runs.
  virtual void cancel(const std::string& mark) = 0;
};

}  // namespace casemate::runtime
