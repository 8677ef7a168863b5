#include "apps/run/run.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "apps/run/ending.h"
#include "apps/run/input.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "base/units.h"
#include "casemate/engine.h"
#include "command/executors.h"
#include "command/job_root.h"
#include "command/kept_run.h"
#include "command/run_arguments.h"
#include "command/staged_inputs.h"
#include "command/work_layer.h"
#include "engine/run_job.h"
#include "remote/engine.h"
#include "report/columns.h"
#include "report/live_output.h"
#include "report/printing.h"
#include "report/pull_progress.h"
#include "report/result_json.h"
#include "report/sending_teller.h"
#include "report/table.h"
#include "store/history.h"
#include "store/store.h"

namespace casemate {
namespace {

constexpr const char* kProgram = "casemate run";
constexpr std::size_t kFilesListed = 20;

/// Passes the job's output on as it comes.
class Forwarder final : public JobListener {
 public:
  void output(Stream stream, std::string_view bytes) override {
    heard_ += bytes.size();
    take_line_off();
    (stream == Stream::out ? out_ : err_).add(bytes);
  }
  /// Bytes that came.
  [[nodiscard]] std::uint64_t heard() const { return heard_; }
  std::size_t backlog() override { return out_.backlog() + err_.backlog(); }
  bool wants(Stream stream) override { return !(stream == Stream::out ? out_ : err_).broken(); }
  /// A line of ours: on a terminal until the next one (""), else only if it `stays`.
  void tell(std::string_view line, bool stays) {
    take_line_off();
    if (line.empty() || (!err_.terminal() && !stays)) return;
    const std::string text = fmt::format("casemate run: {}", line);
    if (!err_.terminal()) return err_.add_own(text + "\n");
    if (err_.in_line() || (out_.terminal() && out_.in_line())) err_.add_own("\n");
    if (out_.terminal()) out_.line_ended();
    err_.add_own(begin_within(text, std::max<std::size_t>(screen_of(STDERR_FILENO).columns, 20) - 1));
    shows_line_ = true;
  }
  void finish() {
    take_line_off();
    out_.finish();
    err_.finish();
  }
  /// errno of output that could not be passed on, 0 if all was.
  [[nodiscard]] int problem() const { return out_.problem() != 0 ? out_.problem() : err_.problem(); }

 private:
  void take_line_off() {
    if (std::exchange(shows_line_, false)) err_.add_own("\r\x1b[K");
  }

  LiveOutput out_{STDOUT_FILENO};
  LiveOutput err_{STDERR_FILENO};
  std::uint64_t heard_ = 0;
  bool shows_line_ = false;
};

// Exit statuses as docker run's, and 124 as timeout(1)'s.
int exit_status(const Outcome& outcome, int signal) {
  switch (outcome.kind) {
    case Outcome::Kind::exited:
      return outcome.code;
    case Outcome::Kind::signaled:
      return 128 + outcome.code;
    case Outcome::Kind::timed_out:
      return 124;
    case Outcome::Kind::out_of_memory:
    case Outcome::Kind::output_limit:
      return 137;
    case Outcome::Kind::too_many_processes:
    case Outcome::Kind::disk_limit:
      return outcome.code > 0 ? outcome.code : 1;
    case Outcome::Kind::setup_failed:
      if (!outcome.step.starts_with("execve ")) return 125;
      return outcome.code == ENOENT || outcome.code == ENOTDIR ? 127 : 126;
    case Outcome::Kind::cancelled:
      return signal > 0 ? 128 + signal : 125;
    case Outcome::Kind::lost:
      return 125;
  }
  return 125;
}

int put_object(const Json& object, int status) {
  return put(kProgram, object.dump(2, ' ', true, Json::error_handler_t::replace) + "\n", status);
}

// What --json prints when nothing was run.
int put_error_object(std::string_view what) {
  return put_object({{"status", "error"}, {"message", to_utf8(what)}, {"exit_status", kOwnFailure}}, kOwnFailure);
}

/// One call of `casemate run`.
class Run {
 public:
  explicit Run(RunRequest request) : request_(std::move(request)) {}

  int go() {
    if (auto there = need_executor(request_.executor); !there) return complain(there.error());
    if (auto ready = prepare_executor(); !ready) return complain(ready.error());
    // Before the engine, which takes the signals over: one that comes while an image is fetched ends us.
    if (auto opened = open_root(); !opened) return complain(opened.error());
    if (!root_) {
      if (auto staged = stage(); !staged) return complain(staged.error());
    }
    // Before the engine: the process that feeds the pipe must not hold any of the engine's descriptors, nor its blocked signals.
    Result<Input> input;
    if (request_.job.forward_stdin) {
      input = Input::from(STDIN_FILENO);
      if (!input) return complain(input.error());
      request_.job.stdin_fd = input->fd();
    }
    auto engine = Engine::create({.slots = 1});
    if (!engine) return complain(engine.error());
    Forwarder forwarder;
    choice_.outage = [&](std::string_view line, bool stays) {
      if (!request_.quiet && !request_.json) forwarder.tell(line, stays);
    };
    if (auto added = add_executor(**engine, choice_); !added) {
      if (!may_fall_back() || added.error().where != kRemoteUnusable) return complain(added.error());
      fall_back(added.error().what);
    }
    if (request_.remote && fallback_note_.empty()) engine_note_ = project_engine_note(*request_.remote);
    if (!engine_note_.empty() && !request_.quiet && !request_.json) say(fmt::format("casemate run: note: {}\n", engine_note_));
    if (auto watched = (*engine)->cancel_on_signals(); !watched) return complain(watched.error());
    if (root_) {
      const auto furnished = furnish(**engine);
      if (const int signal = (*engine)->cancelled_by_signal(); signal != 0) return interrupted(signal);
      if (!furnished) return complain(furnished.error());
    }
    if (request_.job.deterministic && !elsewhere()) {
      if (auto looked = look_for_result(); !looked) return complain(looked.error());
      if (const int signal = (*engine)->cancelled_by_signal(); signal != 0) return interrupted(signal);
      if (known_) return show(known_->result, 0, forwarder);
    } else if (!request_.json) {
      request_.job.capture_bytes = 0;
    }
    auto result = (*engine)->run(request_.job, request_.json ? nullptr : &forwarder);
    if (result && result->outcome.kind == Outcome::Kind::lost && may_fall_back() && forwarder.heard() == 0) {
      fall_back(result->outcome.detail);
      result = (*engine)->run(request_.job, request_.json ? nullptr : &forwarder);
    }
    if (!result) {
      forwarder.finish();
      return complain(result.error());
    }
    if (kept_) not_kept_ = kept_->keep(*result);
    return show(*result, (*engine)->cancelled_by_signal(), forwarder);
  }

 private:
  // Ends what is seen of the run.
  int show(const JobResult& result, int signal, Forwarder& forwarder) {
    if (known_ && !request_.json) pass_on(result.output, forwarder);
    forwarder.finish();
    if (forwarder.problem() != 0)
      return complain(
          {ErrorCode::exhausted,
           fmt::format("can't pass the command's output on: {}; it {}", std::strerror(forwarder.problem()), words(result.outcome)), 0, ""});
    int status = exit_status(result.outcome, signal);
    if (status == 0 && !result.collect_error.empty()) status = kOwnFailure;
    record(result, status);
    if (!request_.json && !request_.quiet) tell(result);
    return request_.json ? put_object(json(result, status), status) : status;
  }

  // What can't be known by its inputs is run as without --cache, and the reason is told.
  Result<void> look_for_result() {
    if (!store() && !store_) {
      TRY_ASSIGN(store_, Store::open());
    }
    auto looked = KeptRun::look(request_.job, store() ? *store() : *store_, is_remote() ? &*request_.remote : nullptr);
    if (!looked) {
      not_kept_ = looked.error().what;
      return {};
    }
    kept_.emplace(std::move(*looked));
    TRY_ASSIGN(known_, kept_->find());
    return {};
  }

  Store* store() { return root_ ? root_->store() : nullptr; }

  // Whoever runs the job has images of its own.
  [[nodiscard]] bool elsewhere() const {
    return request_.executor == "docker" || (request_.remote && request_.remote->image_as_property && has_image());
  }

  [[nodiscard]] bool has_image() const { return request_.root && request_.root->image.kind != ImageReference::Kind::host; }

  Result<void> prepare_executor() {
    choice_.name = request_.executor;
    choice_.remote = request_.remote;
    if (request_.remote) {
      request_.job.executor = request_.executor;
      choice_.progress = [this](std::string_view line) {
        if (!request_.quiet && !request_.json) say(fmt::format("casemate run: note: {}\n", printable_line(line)));
      };
      if (!request_.quiet && !request_.json) {
        const auto sending = std::make_shared<SendingTeller>(SendingTeller::on_stderr());
        choice_.sending = [sending](const SendingProgress& progress) { sending->tell(progress); };
      }
    }
    if (!elsewhere()) return {};
    return request_.remote ? prepare_property() : prepare_elsewhere();
  }

  // The engine's workers have the image; what it says of how to run, nobody here knows.
  Result<void> prepare_property() {
    const RootRequest& root = *request_.root;
    Job& job = request_.job;
    if (root.image.kind != ImageReference::Kind::registry || !root.layers.empty() || !root.environment.empty() || !root.image_layers)
      return fail(ErrorCode::not_supported,
                  "with --remote-image property the image is one of a registry, without layers or an environment over it");
    job.image = to_text(root.image);
    if (root.entrypoint && !root.entrypoint->empty()) job.argv.insert(job.argv.begin(), *root.entrypoint);
    if (job.argv.empty())
      return fail(ErrorCode::invalid_input, "with --remote-image property the command has to be named: only the engine has the image");
    if (job.cwd.empty()) job.cwd = request_.inputs.empty() && request_.outputs.empty() ? "/" : "/app";
    TRY(numeric_user());
    if (!request_.user.empty()) {
      TRY_ASSIGN(job.user, resolve_user(Root{}, request_.user));
    }
    add_least_environment(job);
    return {};
  }

  [[nodiscard]] bool is_remote() const { return request_.remote && !request_.job.executor.empty(); }

  [[nodiscard]] bool may_fall_back() const {
    return request_.remote && request_.remote->fallback && !elsewhere() && !request_.job.executor.empty();
  }

  void fall_back(const std::string& why) {
    request_.job.executor.clear();
    kept_.reset();  // by the inputs of another machine
    fallback_note_ = fmt::format("run here, not on the remote engine: {}", printable_line(why));
  }

  // Of an image that another executor has, only that knows the config.
  Result<void> prepare_elsewhere() {
    const auto unsupported = [&](std::string_view what) {
      return fail(ErrorCode::not_supported, fmt::format("{} with --executor {}; leave --executor out", what, request_.executor));
    };
    Job& job = request_.job;
    job.executor = request_.executor;
    if (!request_.root || request_.root->image.kind == ImageReference::Kind::host)
      return fail(ErrorCode::invalid_input, fmt::format("--executor {} needs an image: --image docker://NAME[:TAG]", request_.executor));
    if (request_.job.deterministic && request_.executor == "docker") return unsupported("--cache can't be had");
    const RootRequest& root = *request_.root;
    if (root.image.kind != ImageReference::Kind::registry && root.image.kind != ImageReference::Kind::docker_daemon)
      return unsupported("only images of registries and of the daemon (docker://, docker-daemon:) can be had");
    if (!root.layers.empty() || !root.environment.empty() || !root.image_layers)
      return unsupported("layers and a container's environment can't be had");
    job.image = to_text(root.image);
    if (root.policy_chosen) {
      choice_.pull = root.pull.policy == PullOptions::Policy::always  ? "always"
                     : root.pull.policy == PullOptions::Policy::never ? "never"
                                                                      : "missing";
    }
    choice_.progress = [this](std::string_view line) {
      if (!request_.quiet && !request_.json) say(fmt::format("{}\n", printable_line(line)));
    };
    choice_.config = root.use;
    choice_.user = request_.user.empty() ? root.user : request_.user;
    if (root.entrypoint && !root.entrypoint->empty()) job.argv.insert(job.argv.begin(), *root.entrypoint);
    if (job.cwd.empty() && (!request_.inputs.empty() || !request_.outputs.empty())) job.cwd = "/app";
    if (job.user.uid == 0 && !choice_.user.empty()) TRY(numeric_user());
    return {};
  }

  // Who owns the directory of the inputs has to be known before: a name is the image's to resolve.
  Result<void> numeric_user() {
    if (request_.inputs.empty() && request_.outputs.empty()) return {};
    const auto user = resolve_user(Root{}, choice_.user);
    if (!user)
      return fail(ErrorCode::not_supported, fmt::format("--user {} with --inputs or --outputs: write numbers", in_quotes(choice_.user)));
    request_.job.user = *user;
    return {};
  }

  Result<void> open_root() {
    if (!request_.root || elsewhere()) return {};
    PullDisplay display = PullDisplay::on_stderr(request_.quiet || request_.json);
    TRY_ASSIGN(root_, JobRoot::open(*request_.root, display.teller()));
    return {};
  }

  // What needs the root to be there: layers that commands make, the image's word on how to run, the directory of the inputs.
  Result<void> furnish(Engine& engine) {
    const Progress progress = [this](std::string_view line) {
      if (!request_.quiet && !request_.json) say(fmt::format("{}\n", printable_line(line)));
    };
    TRY(root_->furnish(request_, run_jobs_on(engine), progress));
    return stage();
  }

  // Inputs are copied, so that the command may change its copy; outputs are what it leaves in the writable layer over them.
  Result<void> stage() {
    const std::vector<std::string> below = root_ ? root_->at(request_.job.cwd) : std::vector<std::string>();
    if (elsewhere() && request_.inputs.empty() && request_.outputs.empty()) return {};  // the image's own directory
    if (request_.inputs.empty()) return add_work_layer(request_, "", below);
    if (!store()) {
      TRY_ASSIGN(store_, Store::open());
    }
    TRY_ASSIGN(staged_, StagedInputs::make(request_, store() ? *store() : *store_, below));
    return {};
  }

  // Before the job began; a shell says as little of it.
  [[nodiscard]] int interrupted(int signal) const {
    if (!request_.json) return 128 + signal;
    return put_object({{"status", "error"}, {"message", "interrupted before the command began"}, {"exit_status", 128 + signal}},
                      128 + signal);
  }

  int complain(const Error& error) const { return request_.json ? put_error_object(error.what) : casemate::complain(kProgram, error.what); }

  [[nodiscard]] Json json(const JobResult& result, int status) const {
    Json object;
    object["status"] = result.outcome.succeeded() && status == 0 ? "success" : "error";
    if (!result.collect_error.empty()) object["message"] = to_utf8(undelivered(result));
    object["exit_status"] = status;
    object["command"] = Json::array();
    for (const std::string& word : request_.job.argv) object["command"].push_back(to_utf8(word));
    if (request_.job.deterministic) object["cached"] = known_.has_value() || (result.remote && result.remote->cached);
    if (root_) {
      if (auto image = root_->to_json(); !image.is_null()) object["image"] = std::move(image);
    }
    put_result(object, result);
    object["outcome_word"] = word(result.outcome.kind);
    if (!result.collect_error.empty()) object["collect_error"] = to_utf8(result.collect_error);
    object["notes"] = Json::array();
    for (const std::string& note : notes(result)) object["notes"].push_back(to_utf8(note));
    return object;
  }

  [[nodiscard]] std::vector<std::string> notes(const JobResult& result) const {
    std::vector<std::string> all = before();
    if (!engine_note_.empty()) all.push_back(engine_note_);
    all.insert(all.end(), result.notes.begin(), result.notes.end());
    return all;
  }

  // What there was to note before the job began.
  [[nodiscard]] std::vector<std::string> before() const {
    std::vector<std::string> all = root_ ? root_->notes() : std::vector<std::string>();
    if (staged_) all.insert(all.end(), staged_->skipped().begin(), staged_->skipped().end());
    if (!fallback_note_.empty() && !known_) all.push_back(fallback_note_);
    if (!not_kept_.empty()) all.push_back(fmt::format("--cache: the result is not kept: {}", not_kept_));
    return all;
  }

  // What a person wants to know beyond the command's own output: why it was ended, and what came back.
  void tell(const JobResult& result) const {
    if (known_) say(fmt::format("casemate run: cached: not run again, nothing has changed since {}\n", format_moment(known_->made)));
    if (!known_ && result.remote && result.remote->cached) say("casemate run: cached: not run again, the engine had its result\n");
    std::vector<std::string> all = before();  // without what was told at the beginning
    if (result.remote) all.insert(all.end(), result.notes.begin(), result.notes.end());
    for (const std::string& note : all) say(fmt::format("casemate run: note: {}\n", printable_name(note)));
    const Outcome& outcome = result.outcome;
    if (outcome.kind != Outcome::Kind::exited && outcome.kind != Outcome::Kind::signaled)
      casemate::complain(kProgram, ending_line(outcome, elsewhere() || !request_.job.root.empty(), request_.job.executor == "remote"));
    for (const Leftover& process : result.leftovers)
      say(fmt::format("casemate run: note: process {} ({}) was still there and was killed\n", process.pid, process.name));
    if (!result.collect_error.empty()) casemate::complain(kProgram, undelivered(result));
    std::size_t listed = 0;
    for (const Change& change : result.changes) {
      if (change.type == Change::Type::skipped)
        say(fmt::format("casemate run: left out: {} ({})\n", printable_name(change.path), change.reason));
      if (change.type != Change::Type::file || change.kind == Change::Kind::deleted || !change.reason.empty()) continue;
      if (++listed <= kFilesListed) say(fmt::format("{:>12}  {}\n", format_bytes(change.size), printable_name(change.path)));
    }
    if (listed > kFilesListed) say(fmt::format("{:>12}  and {} more\n", "", listed - kFilesListed));
  }

  // Why files did not come out, and what to do: a second run with the same --outputs is what most often meets a name that is taken.
  static std::string undelivered(const JobResult& result) {
    std::size_t taken = 0;
    for (const Change& change : result.changes) taken += change.reason.ends_with(std::strerror(EEXIST)) ? 1 : 0;
    if (taken == 0) return result.collect_error;
    return fmt::format("{}{}; files that are there are never written over: remove them, or name another directory with --outputs",
                       result.collect_error, taken > 1 ? fmt::format(" ({} more like it)", taken - 1) : "");
  }

  void record(const JobResult& result, int status) const {
    RunRecord run;
    run.started_ms = started_ms_;
    run.front_end = "run";
    run.name = printable_name(request_.job.name.empty() ? join_shell_words(request_.job.argv) : request_.job.name);
    run.outcome = word(result.outcome.kind);
    run.code = result.outcome.code;
    run.wall_us = result.resources.wall.count();
    run.cpu_us = (result.resources.user_cpu + result.resources.system_cpu).count();
    run.peak_memory_bytes = result.resources.peak_memory_bytes;
    run.details = fmt::format("{{\"exit_status\":{}{}}}", status, known_ ? ",\"cached\":true" : "");
    if (result.remote) run.details.insert(run.details.size() - 1, fmt::format(",\"remote\":{}", remote_json(*result.remote).dump()));
    (void)spool_run(run);  // history is a convenience: without it the run is as good
  }

  RunRequest request_;
  ExecutorChoice choice_;
  std::string engine_note_, fallback_note_;
  std::optional<JobRoot> root_;  // outlives the job
  std::int64_t started_ms_ =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::optional<Store> store_;
  std::optional<StagedInputs> staged_;
  std::optional<KeptRun> kept_;
  std::optional<KeptResult> known_;  // and not run again
  std::string not_kept_;
};

}  // namespace

int run_main(const std::vector<std::string>& arguments) {
  ParsedRun parsed = parse_run(arguments, kProgram);
  if (parsed.stop) {
    if (parsed.exit_status == 0) return put(kProgram, parsed.text + "\n", 0);
    if (parsed.request.json) return put_error_object(parsed.text);
    say(printable_line(parsed.text) + "\n");
    return parsed.exit_status;
  }
  return Run(std::move(parsed.request)).go();
}

}  // namespace casemate
