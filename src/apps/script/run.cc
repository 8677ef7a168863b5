#include "apps/script/run.h"

#include <csignal>
#include <cstring>

#include <fmt/format.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "action/job_action.h"
#include "apps/script/container_run.h"
#include "apps/script/interpreter_root.h"
#include "apps/script/results.h"
#include "apps/script/staged.h"
#include "base/digest.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "base/units.h"
#include "casemate/engine.h"
#include "command/executors.h"
#include "command/kept_run.h"
#include "engine/run_job.h"
#include "image/environment.h"
#include "image/image_interpreter.h"
#include "remote/engine.h"
#include "report/pull_progress.h"
#include "report/result_json.h"
#include "report/sending_teller.h"
#include "report/table.h"
#include "store/history.h"
#include "store/store.h"
#include "sys/signals.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMessageKept = 500;  // bytes of a failure's message that history gets: spool_run() drops details past 3 KiB

std::chrono::microseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
}

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// What the script's process gets and nothing else of the host's; what an image sets stands over ours. Its caches stay out of /app, where
// they would count as its output: a pycache prefix would do that too, but would also hide the packages' own caches and compile them again
// on every run.
void set_environment(Job& job, const ScriptRequest& request, const Environment& environment, const Root& root) {
  job.env = request.environment;
  job.env.emplace("PATH", fmt::format("{}:{}", directory_of(environment.python), search_path(root)));
  take_environment(job, root);
  job.env.emplace("PYTHONUNBUFFERED", "1");  // or stdout would arrive after stderr, and too late
  job.env.emplace("PYTHONDONTWRITEBYTECODE", "1");
}

ScriptErrorType class_of_staging(ErrorCode code) {
  return code == ErrorCode::not_found ? ScriptErrorType::file_not_found : ScriptErrorType::runner_internal_error;
}

class ScriptRun {
 public:
  ScriptRun(const ScriptRequest& request, Console& console) : request_(request), console_(console) {}

  ScriptReport go() {
    auto judged = attempt();
    ScriptReport report = judged ? std::move(*judged) : std::move(judged.error());
    const int signal = engine_ && engine_->cancelled_by_signal() ? engine_->cancelled_by_signal() : Interrupts::pending();
    if (signal != 0 && report.error_type != ScriptErrorType::none) {
      ScriptReport stopped = interrupted(signal);
      stopped.result = std::move(report.result);
      report = std::move(stopped);
    }
    report.environment = std::move(summary_);
    report.image = std::move(image_);
    report.results = results_.directory;
    results_.lock.reset();  // all that comes has come: the next run may begin
    if (staged_) report.notes.insert(report.notes.begin(), staged_->skipped.begin(), staged_->skipped.end());
    report.notes.insert(report.notes.end(), engine_notes_.begin(), engine_notes_.end());
    if (!fallback_note_.empty() && !report.cached) report.notes.push_back(fallback_note_);
    if (python_) report.notes.insert(report.notes.begin(), python_->notes.begin(), python_->notes.end());
    report.timings = timings_;
    report.timings.emplace_back("total", since(start_));
    return report;
  }

  /// What only later runs profit from, after the result is out: the modules of a new environment compiled, without which each start would
  /// do it again.
  void prepare_later_runs() {
    if (request_.remote) return;  // the times that compiled modules are known by are not sent
    if (!environment_ || environment_->bytecode || environment_->installer == "none" || !engine_ || engine_->cancelled_by_signal() != 0)
      return;
    console_.progress("environment: compiling its modules for later runs");
    (void)compile_environment(*environment_, environment_request(), run_job());  // without it later runs are as right, only slower
    console_.forget_progress();
  }

  /// What history calls the same work; "" before there is an environment.
  [[nodiscard]] const std::string& key() const { return key_; }
  /// The request made sense and its environment was begun: from here a failure is something to remember.
  [[nodiscard]] bool begun() const { return begun_; }

 private:
  template <class T>
  using Attempted = std::expected<T, ScriptReport>;

  Attempted<ScriptReport> attempt() {
    if (auto there = need_executor(request_.executor); !there)
      return request_.remote ? internal(there.error()) : std::unexpected(daemon_failure(there.error()));
    if (auto done = stage(); !done) return std::unexpected(std::move(done.error()));
    if (auto done = open_engine(); !done) return std::unexpected(std::move(done.error()));
    if (auto done = reach_remote(); !done) return std::unexpected(std::move(done.error()));
    if (request_.executor == "docker") return elsewhere();
    if (auto done = empty_results(); !done) return std::unexpected(std::move(done.error()));
    auto environment = make();
    if (!environment) return std::unexpected(std::move(environment.error()));
    return run(*environment_);
  }

  static std::unexpected<ScriptReport> internal(const Error& error) {
    return std::unexpected(failure(ScriptErrorType::runner_internal_error, error));
  }

  Attempted<void> stage() {
    const auto start = Clock::now();
    auto store = Store::open();
    if (!store) return internal(store.error());
    store_ = std::make_unique<Store>(std::move(*store));
    auto temp = store_->make_temp();
    if (!temp) return internal(temp.error());
    temp_ = std::move(*temp);
    auto staged = stage_files(request_, temp_->path());
    if (!staged) return std::unexpected(failure(class_of_staging(staged.error().code), staged.error()));
    staged_ = std::move(*staged);
    timings_.emplace_back("stage", since(start));
    return {};
  }

  Attempted<void> open_engine() {
    auto engine = Engine::create();
    if (!engine) return internal(engine.error());
    engine_ = std::move(*engine);
    if (auto watching = engine_->cancel_on_signals(); !watching) return internal(watching.error());
    return {};
  }

  // Before anything is emptied or made: what can't run there is told at once. Only the script runs there.
  Attempted<void> reach_remote() {
    if (!request_.remote) return {};
    Job job;
    job.argv = {"python3"};
    job.limits = request_.limits;
    if (auto suits = check_action_job(job, {}); !suits) return internal(suits.error());
    const auto start = Clock::now();
    ExecutorChoice choice{.name = "remote", .remote = request_.remote};
    choice.progress = [this](std::string_view line) { engine_notes_.emplace_back(line); };
    choice.outage = [this](std::string_view line, bool stays) { console_.waiting(line, stays); };
    choice.sending = [this](const SendingProgress& progress) { sending_.tell(progress); };
    if (auto added = add_executor(*engine_, choice); added) {
      script_executor_ = "remote";
      if (const std::string note = project_engine_note(*request_.remote); !note.empty()) engine_notes_.push_back(note);
    } else if (request_.remote->fallback && added.error().where == kRemoteUnusable) {
      fall_back(added.error().what);
    } else {
      return internal(added.error());
    }
    timings_.emplace_back("connect", since(start));
    return {};
  }

  void fall_back(const std::string& why) {
    script_executor_.clear();
    kept_.reset();  // by the inputs of another machine
    fallback_note_ = fmt::format("run here, not on the remote engine: {}", why);
  }

  // All of it by another executor.
  Attempted<ScriptReport> elsewhere() {
    ExecutorChoice choice{.name = request_.executor};
    const auto policy = request_.pull.policy;
    if (policy != PullOptions::Policy::missing) choice.pull = policy == PullOptions::Policy::always ? "always" : "never";
    choice.progress = [this](std::string_view line) { console_.progress(line); };
    choice.config = ConfigUse{.env = true, .working_directory = false, .entrypoint = false, .user = false};
    Executor* executor = nullptr;
    if (auto added = add_executor(*engine_, choice, &executor); !added) return std::unexpected(daemon_failure(added.error()));
    if (auto done = empty_results(); !done) return std::unexpected(std::move(done.error()));
    begun_ = true;
    const auto start = Clock::now();
    ScriptReport report = run_in_container(*engine_, *executor, request_, *staged_, results_.directory, console_,
                                           [this](std::string_view line) { console_.progress(line); });
    timings_.emplace_back("run", since(start));
    summary_ = report.environment;
    image_ = report.image;
    if (report.result) timings_.emplace_back("script", report.result->resources.wall);
    return report;
  }

  Attempted<void> empty_results() {
    std::vector<std::string> needed = request_.inputs;
    needed.push_back(request_.script);
    if (request_.requirements != "/dev/null") needed.push_back(request_.requirements);
    auto renewed = renew_results(request_.results, needed);
    if (!renewed) return internal(renewed.error());
    results_ = std::move(*renewed);
    return {};
  }

  RunJob run_job() { return run_jobs_on(*engine_); }

  // The Python to run with; an image that has it is got first.
  Attempted<void> find_python() {
    const auto start = Clock::now();
    begun_ = true;
    console_.progress("environment: looking for Python");
    PullDisplay display = PullDisplay::on_stderr(request_.json || request_.quiet, request_.color);
    console_.forget_progress();
    ScriptRequest request = request_;
    request.pull.access.cancelled = [this] { return engine_->cancelled_by_signal() != 0 || Interrupts::pending() != 0; };
    auto found = find_interpreter_root(request, *store_, run_job(), display.teller());
    display.clear();
    if (!found) return std::unexpected(failure(ScriptErrorType::environment_setup_failed, found.error()));
    python_ = std::move(*found);
    if (python_->root.is_host()) return {};
    image_ = ImageSummary{python_->root.image, python_->root.digest};
    timings_.emplace_back("image", since(start));
    console_.done(fmt::format("image: {} in {}", python_->root.image, format_duration(since(start))));
    return {};
  }

  [[nodiscard]] EnvironmentRequest environment_request() const {
    return {.interpreter = python_->interpreter, .requirements_path = staged_->requirements, .root = python_->root, .store = store_.get()};
  }

  Attempted<void> make() {
    auto start = Clock::now();
    if (auto done = find_python(); !done) return std::unexpected(std::move(done.error()));
    if (image_) start = Clock::now();
    const Interpreter* interpreter = &python_->interpreter;
    auto environment = make_environment(environment_request(), run_job(), [this](std::string_view line) { console_.progress(line); });
    timings_.emplace_back("environment", since(start));
    if (!environment) {
      ScriptReport report = failure(ScriptErrorType::environment_setup_failed, environment.error().error);
      report.installer_log = std::move(environment.error().log);
      return std::unexpected(std::move(report));
    }
    summary_ = EnvironmentSummary{interpreter->version, environment->key, environment->cached, environment->installer};
    const std::string packages = environment->installer == "none" ? "no packages"
                                 : environment->cached            ? "packages from the cache"
                                                                  : "packages by " + environment->installer;
    console_.done(fmt::format("environment: Python {}, {} in {}", interpreter->version, packages, format_duration(since(start))));
    environment_ = std::move(*environment);
    return {};
  }

  [[nodiscard]] std::string running() const { return fmt::format("run: {}", printable_name(staged_->script)); }

  Result<Job> job_for(const Environment& environment) const {
    Job job;
    job.name = printable_name(staged_->script);
    job.argv = {environment.python, "/app/" + staged_->script};
    job.argv.insert(job.argv.end(), request_.script_arguments.begin(), request_.script_arguments.end());
    TRY(put_root(job, python_->root));
    set_environment(job, request_, environment, python_->root);
    job.cwd = "/app";
    job.mounts.insert(job.mounts.end(), environment.mounts.begin(), environment.mounts.end());
    Mount app;
    app.kind = Mount::Kind::overlay;
    app.target = "/app";
    app.lower = {staged_->directory};
    app.owned = true;
    job.mounts.push_back(std::move(app));
    job.network = request_.network;
    job.limits = request_.limits;
    job.collect = {"/app"};
    job.collect_to = results_.directory;
    job.executor = script_executor_;
    return job;
  }

  Attempted<ScriptReport> run(const Environment& environment) {
    const auto start = Clock::now();
    console_.progress(running());
    auto job = job_for(environment);
    if (!job) return internal(job.error());
    std::string work = fmt::format("script\n{}\n{}\n", environment.key, request_.script);
    for (const std::string& argument : request_.script_arguments) work += argument + '\0';
    key_ = sha256_hex(work);
    ScriptReport report;
    report.deterministic = job->deterministic = request_.cache;
    const std::optional<KeptResult> known = look_for_result(*job);
    auto result = known ? Result<JobResult>(known->result) : engine_->run(*job, &console_);
    if (known) pass_on(known->result.output, console_);
    const bool lost = result && result->outcome.kind == Outcome::Kind::lost;
    if (lost && !script_executor_.empty() && request_.remote->fallback && !console_.heard()) {
      fall_back(result->outcome.detail);
      job->executor.clear();
      result = engine_->run(*job, &console_);
    }
    timings_.emplace_back("run", since(start));
    if (!result) return internal(explained(result.error()));
    timings_.emplace_back("script", result->resources.wall);
    report.cached = known || (result->remote && result->remote->cached);
    if (kept_ && !known) not_kept_ = kept_->keep(*result);
    if (!not_kept_.empty()) report.notes.push_back(fmt::format("--cache: the result is not kept: {}", not_kept_));
    const std::string since_when = known ? "nothing has changed since " + format_moment(known->made) : "the engine had its result";
    console_.done(report.cached ? fmt::format("run: cached: not run again, {}", since_when)
                                : fmt::format("run: {} in {}", words(result->outcome), format_duration(result->resources.wall)));
    conclude(report, std::move(*result), request_.limits);
    const bool no_gateway =
        report.result->outcome.kind == Outcome::Kind::setup_failed && report.result->outcome.step.find("gateway") != std::string::npos;
    if (no_gateway) report.message += kChooseNetwork;
    if (!script_executor_.empty() && report.result->outcome.kind == Outcome::Kind::setup_failed)
      report.message = fmt::format("The script could not be started on the remote engine: {}.", hindrance_there(report.result->outcome));
    return report;
  }

  // Image host: the interpreter is at /casemate/env there, as a link to the worker's own.
  [[nodiscard]] std::string hindrance_there(const Outcome& outcome) const {
    if (image_ || !outcome.step.starts_with("execve ")) return words(outcome);
    return fmt::format("its workers need the Python that this host has, {}, and lack it or can't run it ({}); send one with --image",
                       printable_name(python_->interpreter.path), std::strerror(outcome.code));
  }

  // nullopt: it is to be run. What can't be known by its inputs is, and the reason is told.
  std::optional<KeptResult> look_for_result(const Job& job) {
    if (!request_.cache) return std::nullopt;
    // A layer of packages that has been compiled since is the same.
    auto looked = KeptRun::look(job, *store_, script_executor_.empty() ? nullptr : &*request_.remote, {.names = {"__pycache__"}});
    if (looked) {
      kept_.emplace(std::move(*looked));
      auto found = kept_->find();
      if (found) return std::move(*found);
      kept_.reset();
      not_kept_ = found.error().what;
    } else {
      not_kept_ = looked.error().what;
    }
    return std::nullopt;
  }

  Error explained(Error error) const {
    const bool says_how = error.what.find("--network none") != std::string::npos;
    if (request_.network == Network::outbound && error.code == ErrorCode::not_supported && !says_how) error.what += kChooseNetwork;
    return error;
  }

  static constexpr std::string_view kChooseNetwork =
      " (a script's network is `outbound` unless you choose: --network none needs no gateway and cuts it off, --network host gives it this "
      "host's)";

  const ScriptRequest& request_;
  Console& console_;
  Clock::time_point start_ = Clock::now();
  std::unique_ptr<Store> store_;
  std::unique_ptr<StoreTemp> temp_;  // outlives the engine, whose cells show it
  std::unique_ptr<Engine> engine_;
  std::optional<Staged> staged_;
  std::optional<InterpreterRoot> python_;
  std::optional<Environment> environment_;
  std::optional<EnvironmentSummary> summary_;
  std::optional<ImageSummary> image_;
  std::optional<KeptRun> kept_;
  std::string not_kept_;
  Results results_;
  std::string key_;
  std::string script_executor_;            // Job::executor of the script
  std::vector<std::string> engine_notes_;  // what the executor had to say when it was made
  std::string fallback_note_;
  SendingTeller sending_{::isatty(STDERR_FILENO) == 1 ? SendingTeller::Style::live : SendingTeller::Style::lines,
                         [this](std::string_view line) { console_.progress(line.empty() ? running() : std::string(line)); }};
  bool begun_ = false;
  std::vector<std::pair<std::string_view, std::chrono::microseconds>> timings_;
};

// For a run that got as far as its environment. Without a result the script was never started: no packages, no cell, or somebody stopped
// us.
void record(const ScriptRequest& request, const ScriptReport& report, const std::string& key, std::int64_t started_ms) {
  RunRecord run;
  run.started_ms = started_ms;
  run.front_end = "script";
  std::vector<std::string> command = {request.script};
  command.insert(command.end(), request.script_arguments.begin(), request.script_arguments.end());
  run.name = printable_name(join_shell_words(command));
  nlohmann::ordered_json details = {{"error_type", word(report.error_type)}};
  if (report.result) {
    const JobResult& result = *report.result;
    run.key = key;
    run.outcome = word(result.outcome.kind);
    run.code = result.outcome.code;
    run.wall_us = result.resources.wall.count();
    run.cpu_us = (result.resources.user_cpu + result.resources.system_cpu).count();
    run.peak_memory_bytes = result.resources.peak_memory_bytes;
    details["captured"] = captured_files(result).size();
    if (report.cached) details["cached"] = true;
    if (result.remote) details["remote"] = remote_json(*result.remote);
  } else {
    run.outcome = word(report.reason == "interrupted" ? Outcome::Kind::cancelled : Outcome::Kind::setup_failed);
    run.wall_us = report.timings.empty() ? 0 : report.timings.back().second.count();  // the total
    details["message"] = report.message.substr(0, kMessageKept);
  }
  if (report.environment) details["environment"] = {{"key", report.environment->key}, {"cached", report.environment->cached}};
  if (report.image) details["image"] = {{"name", report.image->name}, {"digest", report.image->digest}};
  for (const auto& [phase, duration] : report.timings) details["timings_us"][std::string(phase)] = duration.count();
  run.details = details.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  [[maybe_unused]] const auto spooled = spool_run(run);  // history is a convenience: without it the run is as good
}

}  // namespace

Interrupts::Interrupts() {
  const sigset_t set = ending_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

Interrupts::~Interrupts() {
  const sigset_t set = ending_signals();
  const timespec now{0, 0};
  while (::sigtimedwait(&set, nullptr, &now) > 0) {
  }  // what came has been answered: the exit status says so
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

int Interrupts::pending() {
  sigset_t waiting;
  if (::sigpending(&waiting) < 0) return 0;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    if (sigismember(&waiting, number) == 1) return number;
  }
  return 0;
}

ScriptReport interrupted(int signal) {
  const char* name = sigabbrev_np(signal);
  ScriptReport report = failure(ScriptErrorType::runner_internal_error,
                                Error{ErrorCode::cancelled, fmt::format("The run was interrupted by SIG{}.", name ? name : "?"), 0, ""});
  report.reason = "interrupted";
  report.exit_status = 128 + signal;
  return report;
}

void run_script(const ScriptRequest& request, Console& console, const std::function<void(const ScriptReport&)>& tell) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  ScriptRun run(request, console);
  const ScriptReport report = run.go();
  if (run.begun()) record(request, report, run.key(), std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  tell(report);
  run.prepare_later_runs();
}

}  // namespace casemate
