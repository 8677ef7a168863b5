#include "runtime/script_cells.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/units.h"
#include "engine/engine_thread.h"
#include "runtime/cell_mounts.h"
#include "runtime/earlier_outputs.h"
#include "runtime/imports.h"
#include "runtime/output_places.h"
#include "runtime/script_answer.h"
#include "runtime/surroundings.h"
#include "runtime/written_path.h"
#include "sys/fd.h"
#include "warm/executor.h"
#include "warm/payload.h"

namespace casemate::runtime {
namespace {

#include "runtime_python.inc"

using Kind = Outcome::Kind;

constexpr const char* kExecutor = "scripts";
constexpr const char* kBaseModules = "ast,argparse,random,traceback,numpy,pandas";  // of every parent, where there are any
constexpr std::size_t kMostParents = 8;
constexpr std::size_t kMostRequest = 96u << 10;  // bytes; the most of a message to a parent is 128 KiB
constexpr std::uint64_t kCapture = 1u << 20;
constexpr std::size_t kMostScript = 4u << 20;  // bytes of a script that are looked through for imports
constexpr std::chrono::milliseconds kInspectingTime = std::chrono::minutes(5);

class Cells;

// What several looks come to, in the order in which they were asked for.
struct Looks {
  Looks(std::size_t count, std::function<void(Result<std::vector<DataReport>>)> done)
      : reports(count), open(count), done(std::move(done)) {}

  void add(std::size_t at, Result<DataReport> report) {
    std::unique_lock lock(mutex);
    if (report) {
      reports[at] = std::move(*report);
    } else if (!problem) {
      problem = std::move(report.error());
    }
    if (--open > 0) return;
    lock.unlock();
    if (problem) return done(std::unexpected(std::move(*problem)));
    done(std::move(reports));
  }

  std::mutex mutex;
  std::vector<DataReport> reports;
  std::optional<Error> problem;
  std::size_t open;
  std::function<void(Result<std::vector<DataReport>>)> done;
};

// Of data whose look did not come to its end.
DataReport unread(const DataRequest& data, const std::string& why) {
  DataReport report;
  report.name = to_utf8(data.name);
  report.path = to_utf8(data.path);
  report.format = "BINARY";
  report.files = 1;
  struct stat info{};
  if (::lstat(data.path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) report.bytes = static_cast<std::uint64_t>(info.st_size);
  report.problem = std::string(kLookEnded) + printable_line(why);
  return report;
}

// One script or inspection, from its request to its result.
class Work final : public JobListener {
 public:
  using Done = std::function<void(Work&, Result<JobResult>)>;
  Work(Cells& cells, std::string kind, Json request) : kind(std::move(kind)), request(std::move(request)), cells_(cells) {}

  void report(std::string_view bytes) override { answer.hear(bytes); }
  void finished(JobResult result) override;

  std::string kind;  // "script", "inspect"
  Json request;
  std::string text;                                          // the request, as it is sent
  std::vector<std::pair<std::string, std::string>> outputs;  // as given, and lexical
  std::vector<std::string> inputs;                           // lexical: what the cell shows read-only
  std::string mark;                                          // of its run
  std::string modules;                                       // that its parent should have
  std::chrono::milliseconds timeout{0};
  std::function<void(Result<ScriptRun>)> script_done;
  DataRequest data;  // to look at
  std::function<void(Result<DataReport>)> data_done;

  std::optional<OutputPlaces> places;
  std::vector<Mount> mounts;
  ScriptAnswer answer;
  std::vector<std::string> notes;
  bool cold = false;

 private:
  Cells& cells_;
};

class Cells final : public ScriptCells {
 public:
  Cells(RuntimeTestingConfiguration configuration, Progress progress)
      : configuration_(std::move(configuration)), progress_(std::move(progress)) {}
  ~Cells() override {
    if (thread_) (void)thread_->post([this](Engine& engine) { end_waiting(engine, [](const Work&) { return true; }); });
    thread_.reset();  // cancels what runs
  }

  Result<void> begin() {
    TRY_ASSIGN(thread_, EngineThread::create({.slots = configuration_.slots}));
    return {};
  }

  void run(CellScript request, std::function<void(Result<ScriptRun>)> done) override {
    const std::string here = working_directory();
    auto work = std::make_shared<Work>(*this, "script", Json::object());
    const MainParameters& parameters = request.parameters;
    const std::string path = lexical_path(request.path, here);
    work->request = to_json(parameters);
    work->request.update({{"name", request.name}, {"path", path}, {"cwd", here}, {"check_only", request.check_only}});
    work->inputs.push_back(path);
    if (!request.check_only) {
      for (const auto& [name, input] : parameters.input_paths) work->inputs.push_back(lexical_path(input, here));
      for (const auto& [name, output] : parameters.output_paths) work->outputs.emplace_back(output, lexical_path(output, here));
    }
    work->mark = request.mark.empty() ? new_run_mark() : std::move(request.mark);
    work->timeout = request.timeout;
    work->script_done = std::move(done);
    post(std::move(work));
  }

  // A cell each: what ends the look at one says nothing of the others.
  void inspect(std::vector<DataRequest> data, std::string mark, std::chrono::milliseconds timeout,
               std::function<void(Result<std::vector<DataReport>>)> done) override {
    if (data.empty()) return done(std::vector<DataReport>());
    const std::string here = working_directory();
    auto looks = std::make_shared<Looks>(data.size(), std::move(done));
    for (std::size_t at = 0; at < data.size(); ++at) {
      auto work = std::make_shared<Work>(*this, "inspect", Json::object());
      work->data = std::move(data[at]);
      work->request = {{"data", Json::array({{{"name", work->data.name}, {"path", work->data.path}}})}, {"cwd", here}};
      work->inputs.push_back(lexical_path(work->data.path, here));
      work->modules = "pyarrow.parquet";
      work->mark = mark;
      work->timeout = std::min(kInspectingTime, timeout);
      work->data_done = [looks, at](Result<DataReport> report) { looks->add(at, std::move(report)); };
      post(std::move(work));
    }
  }

  void cancel(const std::string& mark) override {
    (void)thread_->post([this, mark](Engine& engine) {
      const auto of_the_run = [&](const Work& work) { return work.mark == mark; };
      std::vector<std::shared_ptr<Work>> running;  // those that have no slot yet end at once, and leave the map
      for (const auto& [key, work] : running_) {
        if (of_the_run(*work)) running.push_back(work);
      }
      for (const auto& work : running) engine.cancel(*work);
      end_waiting(engine, of_the_run);
    });
  }

  // The word of the engine.
  void finished(Work& work, JobResult result) {
    const bool no_parent = result.outcome.kind == Kind::lost && (result.outcome.step == "threads" || result.outcome.step == "warm parent");
    const bool no_cell = result.outcome.kind == Kind::setup_failed && result.outcome.step == "prepare the job";
    if ((no_parent || no_cell) && !work.cold && !work.answer.script()) {
      work.notes.push_back(fmt::format("ran in a fresh interpreter: {}",
                                       result.outcome.detail.empty() ? "no parent could be had" : printable_line(result.outcome.detail)));
      work.cold = true;
      work.answer = ScriptAnswer();
      work.places.reset();  // it may have begun, and written something
      if (auto ready = furnish(work); !ready) return cannot_begin(work, ready.error());
      submit(work);
      return;
    }
    end(work, std::move(result));
  }

 private:
  static JobResult cancelled() {
    JobResult result;
    result.outcome = {Kind::cancelled};
    return result;
  }

  void post(std::shared_ptr<Work> work) {
    const auto posted = thread_->post([this, work](Engine& engine) { take(engine, work); });
    if (!posted) tell(*work, posted.error());  // in the caller's thread
  }

  // ---- From here in the engine's thread

  // Of those that wait for surroundings. Nobody is left: these are not made to their end.
  template <class Chosen>
  void end_waiting(Engine& engine, const Chosen& chosen) {
    std::deque<std::shared_ptr<Work>> kept;
    std::deque<std::shared_ptr<Work>> ended;
    for (auto& work : std::exchange(waiting_, {})) (chosen(*work) ? ended : kept).push_back(std::move(work));
    waiting_ = std::move(kept);
    for (const auto& work : ended) end(*work, cancelled());
    if (!preparing_ || !waiting_.empty()) return;
    given_up_ = true;
    if (preparation_) engine.cancel(*preparation_);
  }

  void take(Engine& engine, const std::shared_ptr<Work>& work) {
    engine_ = &engine;
    if (!surroundings_) {
      waiting_.push_back(work);
      if (!std::exchange(preparing_, true)) prepare();
      return;
    }
    start(work);
  }

  // Others may come meanwhile: it runs jobs.
  void prepare() {
    const RunJob run = [this](Job job, std::function<void(Stream, std::string_view)> on_output) -> Result<JobResult> {
      struct Hears final : JobListener {
        std::function<void(Stream, std::string_view)> tell;
        void output(Stream stream, std::string_view bytes) override {
          if (tell) tell(stream, bytes);
        }
      } hears;
      hears.tell = std::move(on_output);
      if (given_up_) return fail(ErrorCode::cancelled, "cancelled");
      preparation_ = &hears;
      auto result = engine_->run(std::move(job), &hears);
      preparation_ = nullptr;
      return result;
    };
    Result<Surroundings> made;
    do {  // again, where others have come since it was given up
      given_up_ = false;
      made = make_surroundings(configuration_, run, progress_ ? progress_ : Progress([](std::string_view) {}));
    } while (!made && given_up_ && !waiting_.empty());
    if (made) {
      if (auto tree = make_tree(*made); !tree) made = std::unexpected(tree.error());
    }
    preparing_ = given_up_ = false;
    const auto waiting = std::exchange(waiting_, {});
    if (!made) {  // the next one may have more luck
      for (const auto& work : waiting) fail_work(*work, made.error());
      return;
    }
    surroundings_ = std::move(*made);
    for (const auto& work : waiting) start(work);
  }

  Result<void> make_tree(const Surroundings& made) {
    WarmRequest request;
    request.text = std::string(warm_plain()) + std::string(kRuntimePython);
    request.fork = request.parent = made.job;
    request.parent.argv.emplace_back(kBaseModules);
    request.parent.limits.memory_bytes.reset();  // parents hold what their forks share
    request.parent.limits.pids.reset();
    request.cells_ahead = 2;
    request.most_parents = kMostParents;
    return engine_->add_executor(kExecutor, [&](Reactor& reactor) -> Result<std::unique_ptr<Executor>> {
      TRY_ASSIGN(auto tree, make_warm_executor(reactor, std::move(request)));
      return tree;
    });
  }

  void start(const std::shared_ptr<Work>& work) {
    if (auto ready = furnish(*work); !ready) return cannot_begin(*work, ready.error());
    running_[work.get()] = work;
    submit(*work);
  }

  // What its cell shows; outputs' directories are made here.
  Result<void> furnish(Work& work) {
    std::vector<std::string> kept = work.inputs;
    kept.push_back(work.request.value("cwd", "/"));
    for (const Mount& mount : surroundings_->job.mounts) kept.push_back(mount.target);  // the interpreter may lie in a project
    std::vector<std::string> shown = work.inputs;
    if (work.kind == "script") {
      TRY_ASSIGN(const std::string real, filled_.real_path(work.inputs.front()));  // a link may lead to a directory that is not shown
      work.request["path"] = real;
      shown.front() = real.substr(0, std::max<std::size_t>(1, real.rfind('/')));
      if (auto text = read_file(real, kMostScript); text) work.modules = imported_modules(*text, shown.front());
    }
    if (work.kind != "script") std::erase_if(shown, [](const std::string& path) { return ::access(path.c_str(), F_OK) != 0; });
    if (!work.outputs.empty()) {
      TRY_ASSIGN(OutputPlaces places, OutputPlaces::create(work.outputs, kept, filled_, work.mark));
      work.places.emplace(std::move(places));
    }
    TRY_ASSIGN(work.mounts, cell_mounts(shown, work.places ? &*work.places : nullptr, filled_));
    work.text = work.request.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (work.text.size() > kMostRequest)
      return fail(ErrorCode::invalid_input, "what main() is called with is longer than 96 KiB: put it into a file");
    return {};
  }

  void submit(Work& work) {
    Job job;
    job.executor = kExecutor;
    job.name = work.kind == "script" ? work.request.value("name", "script") : "inspection";
    job.argv = {work.cold ? "cold" : "test", work.modules, "", work.kind, work.text};
    job.mounts = work.mounts;
    job.limits.wall = work.timeout;
    job.capture_bytes = kCapture;
    (void)engine_->submit(std::move(job), work);
  }

  void fail_work(Work& work, const Error& error) {
    const auto owner = running_.extract(&work);
    tell(work, error);
  }

  // A path that can't be shown: of data it is a description.
  void cannot_begin(Work& work, const Error& error) {
    if (!work.data_done) return fail_work(work, error);
    const auto owner = running_.extract(&work);
    work.data_done(unread(work.data, error.what));
  }

  static void tell(Work& work, const Error& error) {
    if (work.script_done) work.script_done(std::unexpected(error));
    if (work.data_done) work.data_done(std::unexpected(error));
  }

  void end(Work& work, JobResult result) {
    const auto owner = running_.extract(&work);
    if (work.script_done) {
      work.script_done(script_run(work, std::move(result)));
    } else if (work.data_done) {
      work.data_done(report(work, result));
    }
  }

  ScriptRun script_run(Work& work, JobResult result) {
    ScriptRun run;
    run.outcome = std::move(result.outcome);
    run.resources = result.resources;
    run.output = std::move(result.output);
    run.leftovers = std::move(result.leftovers);
    if (surroundings_) run.notes = std::exchange(surroundings_->notes, {});  // the first one tells them
    for (auto* more : {&work.notes, &result.notes}) run.notes.insert(run.notes.end(), more->begin(), more->end());
    run.has_main = work.answer.has_main();
    run.took = run.resources.wall;  // of what was ended before it could say
    if (const auto& told = work.answer.script()) {
      run.problem = told->problem;
      run.traceback = told->traceback;
      run.took = told->took;
      run.notes.insert(run.notes.end(), told->notes.begin(), told->notes.end());
    } else if (run.outcome.succeeded()) {
      run.problem = work.answer.problem().empty() ? "the script ended its process before main() had returned" : work.answer.problem();
    }
    const bool ran = run.outcome.kind != Kind::setup_failed && run.outcome.kind != Kind::cancelled;
    if (work.places && ran) {
      OutputPlaces::Delivered delivered = work.places->deliver(filled_);
      run.outputs = std::move(delivered.files);
      run.notes.insert(run.notes.end(), delivered.notes.begin(), delivered.notes.end());
    }
    work.places.reset();
    return run;
  }

  static Result<DataReport> report(Work& work, const JobResult& result) {
    if (result.outcome.kind == Kind::cancelled) return fail(ErrorCode::cancelled, "cancelled");
    if (!work.answer.data().empty()) return std::move(work.answer.data().front());
    std::string why = work.answer.problem();
    if (why.empty() && work.answer.script()) why = work.answer.script()->problem;
    if (why.empty() && result.outcome.kind == Kind::timed_out) why = "it still went on after " + format_duration(work.timeout);
    return unread(work.data, why.empty() ? words(result.outcome) : why);
  }

  RuntimeTestingConfiguration configuration_;
  Progress progress_;
  Engine* engine_ = nullptr;
  std::optional<Surroundings> surroundings_;
  bool preparing_ = false;
  bool given_up_ = false;                      // while it was prepared
  JobListener* preparation_ = nullptr;         // of the job that prepares
  std::deque<std::shared_ptr<Work>> waiting_;  // for surroundings
  std::map<Work*, std::shared_ptr<Work>> running_;
  FilledPlaces filled_;
  std::unique_ptr<EngineThread> thread_;  // last: its end calls back
};

void Work::finished(JobResult result) { cells_.finished(*this, std::move(result)); }

}  // namespace

Result<std::unique_ptr<ScriptCells>> ScriptCells::create(RuntimeTestingConfiguration configuration, Progress progress) {
  auto cells = std::make_unique<Cells>(std::move(configuration), std::move(progress));
  TRY(cells->begin());
  return cells;
}

}  // namespace casemate::runtime
