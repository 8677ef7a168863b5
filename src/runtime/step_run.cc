#include "runtime/step_run.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <variant>

#include <unistd.h>

#include <fmt/format.h>

#include "base/terminal.h"
#include "base/units.h"
#include "runtime/data_flow.h"
#include "runtime/earlier_outputs.h"

namespace casemate::runtime {
namespace {

using std::chrono::milliseconds;
using Kind = Outcome::Kind;

constexpr auto kLook = milliseconds(50);        // for an interruption
constexpr auto kEnding = milliseconds(15'000);  // for what was cancelled

std::unexpected<Error> interruption() { return fail(ErrorCode::cancelled, "interrupted"); }

// What the cells' thread says; shared with it, for it may say so when nobody listens any more.
struct Heard {
  struct Word {
    std::size_t step = 0;
    std::variant<Result<ScriptRun>, Result<std::vector<DataReport>>> said;
    bool known = false;  // of inspections: the step's own inputs
  };
  std::mutex mutex;
  std::condition_variable there;
  std::deque<Word> words;

  void add(Word word) {
    const std::lock_guard lock(mutex);
    words.push_back(std::move(word));
    there.notify_one();
  }
  std::optional<Word> next(milliseconds most) {
    std::unique_lock lock(mutex);
    if (!there.wait_for(lock, most, [this] { return !words.empty(); })) return std::nullopt;
    Word word = std::move(words.front());
    words.pop_front();
    return word;
  }
};

std::string limit_words(const ScriptRun& run, milliseconds timeout) {
  switch (run.outcome.kind) {
    case Kind::timed_out:
      return fmt::format("timeout: the script was still running after {}", format_duration(timeout));
    case Kind::exited:
      return fmt::format("the script ended its process with status {}", run.outcome.code);
    default:
      return words(run.outcome);
  }
}

ScriptTestResult result_of(const ScriptExecutionSpec& spec, ScriptRun run, milliseconds timeout) {
  ScriptTestResult result;
  result.script_name = spec.script_name;
  result.step_name = spec.step();
  result.execution_time = std::chrono::duration<double>(run.took).count();
  result.has_main_function = run.has_main;
  result.success = run.problem.empty() && run.outcome.succeeded();
  if (!run.outcome.succeeded() && (run.problem.empty() || run.outcome.kind != Kind::exited)) {
    result.error_message = limit_words(run, timeout);
  } else if (!run.problem.empty()) {
    result.error_message = std::move(run.problem);
  }
  result.traceback = std::move(run.traceback);
  result.standard_output = std::move(run.output.out);
  result.standard_error = std::move(run.output.err);
  result.outcome = std::move(run.outcome);
  result.peak_memory_bytes = run.resources.peak_memory_bytes;
  result.outputs = std::move(run.outputs);
  result.notes = std::move(run.notes);
  for (const Leftover& left : run.leftovers)
    result.notes.push_back(
        fmt::format("still ran when the script had ended, and was killed: {} ({})", left.pid, printable_name(left.name)));
  return result;
}

class Steps {
 public:
  Steps(ScriptCells& cells, StepsRequest request, const Interrupted& interrupted)
      : cells_(cells),
        request_(std::move(request)),
        interrupted_(interrupted),
        heard_(std::make_shared<Heard>()),
        states_(count(), State::waiting),
        given_(request_.parameters) {
    made_.results.resize(count());
    made_.written.resize(count());
    made_.known.resize(count());
    followers_.resize(count());
    for (std::size_t step = 0; step < count(); ++step) {
      for (const std::size_t before : request_.graph.steps[step].after) followers_[before].push_back(step);
      open_.push_back(request_.graph.steps[step].after.size());
    }
  }

  Result<StepsResult> run() {
    for (std::size_t step = 0; step < count(); ++step) {
      if (open_[step] == 0) ready_.push_back(step);
    }
    begin_ready();
    while (under_way_ > 0) {
      auto word = heard_->next(kLook);
      if (interrupted_ && interrupted_() && !problem_) stop(interruption().error());
      if (word) hear(std::move(*word));
      if (problem_ && std::chrono::steady_clock::now() >= patience_) break;
    }
    if (problem_) return std::unexpected(std::move(*problem_));
    return std::move(made_);
  }

 private:
  enum class State { waiting, running, succeeded, failed, skipped };

  [[nodiscard]] std::size_t count() const { return request_.graph.steps.size(); }
  [[nodiscard]] const ScriptExecutionSpec& spec(std::size_t step) const { return request_.graph.steps[step].spec; }

  // A path that is not there, may not be written to or can be none: of a pipeline's step, the others can run all the same. What is left is
  // the host's: no space, no descriptors, no interpreter.
  [[nodiscard]] bool is_a_steps_own(const Error& error) const {
    constexpr std::array kOfPaths = {ENOTDIR, EISDIR, ENAMETOOLONG, ELOOP, EROFS, EXDEV, EEXIST, ENXIO, ENODEV, EINVAL, EILSEQ, EOPNOTSUPP};
    if (count() < 2) return false;
    return error.code == ErrorCode::invalid_input || error.code == ErrorCode::not_found || error.code == ErrorCode::refused ||
           (error.code == ErrorCode::system && std::ranges::find(kOfPaths, error.errno_value) != kOfPaths.end());
  }

  void stop(Error problem) {
    problem_ = std::move(problem);
    patience_ = std::chrono::steady_clock::now() + kEnding;
    cells_.cancel(mark_);
  }

  // All that it takes data from has ended.
  void begin(std::size_t step) {
    if (problem_) return;
    for (const std::size_t before : request_.graph.steps[step].after) {
      if (states_[before] == State::succeeded) continue;
      return skip(step, before);
    }
    const Result<std::string>& script = request_.scripts[step];
    if (!script) return fail_without_run(step, script.error().what);
    std::set<std::string> claimed;
    for (const PipelineEdge& edge : std::ranges::equal_range(request_.graph.edges, step, {}, &PipelineEdge::to))
      hand_over(given_[edge.from], given_[step], edge, claimed);
    CellScript wanted;
    wanted.name = spec(step).script_name;
    wanted.path = *script;
    wanted.parameters = given_[step];
    wanted.timeout = request_.timeout;
    wanted.mark = mark_;
    for (const auto& [name, path] : given_[step].input_paths) {
      if (::access(path.c_str(), F_OK) == 0) continue;
      missing_input_[step] = fmt::format("input path '{}' does not exist: {}", printable_name(name), printable_name(path));
      wanted.check_only = true;  // whether there is a main() at all can be said all the same
      wanted.parameters = {};
      break;
    }
    states_[step] = State::running;
    ++under_way_;
    cells_.run(std::move(wanted), [heard = heard_, step](Result<ScriptRun> run) { heard->add({step, std::move(run)}); });
  }

  void skip(std::size_t step, std::size_t before) {
    ScriptTestResult& result = made_.results[step];
    result.script_name = spec(step).script_name;
    result.step_name = spec(step).step();
    result.skipped =
        fmt::format("step '{}' {}", printable_name(spec(before).step()), states_[before] == State::skipped ? "was skipped" : "failed");
    result.error_message = "Skipped: " + *result.skipped;
    result.outcome = {Kind::cancelled};
    end(step, State::skipped);
  }

  void fail_without_run(std::size_t step, std::string why) {
    ScriptTestResult& result = made_.results[step];
    result.script_name = spec(step).script_name;
    result.step_name = spec(step).step();
    result.error_message = std::move(why);
    result.outcome = {Kind::cancelled};
    end(step, State::failed);
  }

  void hear(Heard::Word word) {
    --under_way_;
    if (auto* run = std::get_if<Result<ScriptRun>>(&word.said)) {
      if (problem_) return;
      if (!*run && is_a_steps_own(run->error())) {
        states_[word.step] = State::waiting;
        return fail_without_run(word.step, std::move(run->error().what));
      }
      if (!*run) return stop(std::move(run->error()));
      return hear_run(word.step, std::move(**run));
    }
    auto& data = std::get<Result<std::vector<DataReport>>>(word.said);
    if (problem_) return;
    if (!data) return stop(std::move(data.error()));
    if (word.known) std::erase_if(*data, [](const DataReport& report) { return report.problem.starts_with(kLookEnded); });
    (word.known ? made_.known : made_.written)[word.step] = std::move(*data);
  }

  void hear_run(std::size_t step, ScriptRun run) {
    ScriptTestResult result = result_of(spec(step), std::move(run), request_.timeout);
    if (const auto missing = missing_input_.find(step); missing != missing_input_.end()) {
      if (result.success) result.error_message = missing->second;
      result.success = false;
    }
    const bool succeeded = result.success;
    made_.results[step] = std::move(result);
    if (request_.inspect && succeeded && !followers_[step].empty()) look_at(step, given_[step].output_paths, false);
    if (request_.inspect && (!succeeded || request_.inspect_known)) look_at(step, own_inputs(step), true);
    end(step, succeeded ? State::succeeded : State::failed);
  }

  // Inputs that it was described with and another step's data stood in for.
  [[nodiscard]] NamedTexts own_inputs(std::size_t step) const {
    NamedTexts found;
    for (const auto& [name, path] : request_.parameters[step].input_paths) {
      const auto given = std::find_if(given_[step].input_paths.begin(), given_[step].input_paths.end(),
                                      [&](const auto& one) { return one.first == name; });
      if (given != given_[step].input_paths.end() && given->second != path && ::access(path.c_str(), F_OK) == 0)
        found.emplace_back(name, path);
    }
    return found;
  }

  void look_at(std::size_t step, const NamedTexts& paths, bool known) {
    std::vector<DataRequest> data;
    data.reserve(paths.size());
    for (const auto& [name, path] : paths) data.push_back({name, path});
    if (data.empty()) return;
    ++under_way_;
    cells_.inspect(std::move(data), mark_, request_.timeout, [heard = heard_, step, known](Result<std::vector<DataReport>> reports) {
      heard->add({step, std::move(reports), known});
    });
  }

  // A chain of ten thousand skipped steps must not be ten thousand calls deep.
  void end(std::size_t step, State state) {
    states_[step] = state;
    if (request_.ended) request_.ended(made_.results[step]);
    for (const std::size_t after : followers_[step]) {
      if (--open_[after] == 0) ready_.push_back(after);
    }
    begin_ready();
  }

  void begin_ready() {
    if (beginning_) return;
    beginning_ = true;
    while (!ready_.empty()) {
      const std::size_t next = ready_.front();
      ready_.pop_front();
      begin(next);
    }
    beginning_ = false;
  }

  ScriptCells& cells_;
  StepsRequest request_;
  const std::string mark_ = new_run_mark();
  const Interrupted& interrupted_;
  std::shared_ptr<Heard> heard_;
  std::vector<State> states_;
  std::vector<MainParameters> given_;
  std::vector<std::vector<std::size_t>> followers_;
  std::vector<std::size_t> open_;  // of those before it, how many have not ended
  std::deque<std::size_t> ready_;
  bool beginning_ = false;
  std::map<std::size_t, std::string> missing_input_;
  StepsResult made_;
  std::size_t under_way_ = 0;
  std::optional<Error> problem_;
  std::chrono::steady_clock::time_point patience_;
};

}  // namespace

Result<StepsResult> run_steps(ScriptCells& cells, StepsRequest request, const Interrupted& interrupted) {
  return Steps(cells, std::move(request), interrupted).run();
}

}  // namespace casemate::runtime
