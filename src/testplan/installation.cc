#include "testplan/installation.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>

#include "base/digest.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "base/units.h"
#include "image/command_layer.h"
#include "image/requirements.h"
#include "testplan/host_installation.h"
#include "testplan/install_record.h"
#include "testplan/pattern.h"
#include "testplan/registries.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kVerifyWall = std::chrono::seconds(60);
constexpr auto kMostWait = std::chrono::seconds(60);
constexpr std::size_t kMostVersion = 200;

// What an installer's output says while it runs, a line at a time and not too often.
class Lines final : public JobListener {
 public:
  Lines(std::function<void(std::string_view)> tell, std::string label) : tell_(std::move(tell)), label_(std::move(label)) {}
  void output(Stream /*stream*/, std::string_view bytes) override {
    for (const char byte : bytes) {
      if (byte != '\n' && byte != '\r') {
        if (line_.size() < 300) line_ += byte;
        continue;
      }
      const std::string line = std::exchange(line_, "");
      const auto now = Clock::now();
      if (line.empty() || (said_ && now - last_ < std::chrono::milliseconds(100))) continue;
      said_ = true;
      last_ = now;
      tell_(fmt::format("{}: {}", label_, printable_name(line)));
    }
  }

 private:
  std::function<void(std::string_view)> tell_;
  std::string label_;
  std::string line_;
  bool said_ = false;
  Clock::time_point last_;
};

std::string first_line(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string line = printable_name(text.substr(0, end));
    if (line.find_first_not_of(' ') != std::string::npos) return to_utf8(line.substr(0, kMostVersion));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return "";
}

class Installing {
 public:
  Installing(InstallRequest request, const std::string& tool, Job base, InstallSurroundings& around)
      : request_(std::move(request)), tool_(tool), base_(std::move(base)), around_(around) {}

  Result<InstalledTool> install() {
    const auto began = Clock::now();
    base_.env.emplace("PATH", kDefaultPath);
    base_.argv.clear();
    store_ = around_.store;
    if (!store_) {
      TRY_ASSIGN(own_store_, Store::open());
      store_ = &*own_store_;
    }
    if (request_.strategy.empty()) TRY(find_strategy());
    if (request_.strategy == "script") take_simple_command();
    TRY_ASSIGN(script_, install_script(request_, tool_));
    label_ = fmt::format("installing {} by {}", tool_, request_.strategy);
    if (on_host()) TRY(prepare_host());
    key_ = key_of("casemate installation 1", fmt::format("{}\n{}", script_.text, script_.verify));
    if (around_.again) forget();
    TRY(put_in_place());
    for (auto directory = script_.path.rbegin(); directory != script_.path.rend(); ++directory)
      base_.env["PATH"] = fmt::format("{}:{}", *directory, base_.env["PATH"]);
    installed_.base = std::move(base_);
    installed_.strategy = request_.strategy;
    installed_.used = request_;
    installed_.log = log();
    installed_.took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
    return std::move(installed_);
  }

  // What was written so far, fit for anybody's eyes.
  std::string log() const { return without_secrets(printable(log_)); }

  // `text` as anybody may see it: an installer says what it was told.
  std::string without_secrets(std::string_view said) const {
    std::string text = redacted(said);
    for (const std::string& secret : registries_.secrets) {
      for (std::size_t at = 0; secret.size() >= 4 && (at = text.find(secret, at)) != std::string::npos;)
        text.replace(at, secret.size(), "***");
    }
    return text;
  }

 private:
  [[nodiscard]] bool native() const { return base_.executor.empty(); }
  [[nodiscard]] bool on_host() const { return native() && base_.image == "host"; }
  // The host's programs come and go without a trace.
  [[nodiscard]] bool recordable() const { return !on_host(); }

  std::string key_of(std::string_view kind, const std::string& what) const {
    std::string text = fmt::format("{}\n{}{}:{} {}\n", kind, root_identity(base_, store_), base_.user.uid, base_.user.gid, tool_);
    for (const auto& [name, value] : base_.env) text += fmt::format("{} {} {} {}\n", name.size(), name, value.size(), value);
    for (const std::string& package : request_.packages) text += fmt::format("{} {}\n", package.size(), package);
    return sha256_hex(text + request_.verify_pattern + "\n" + what);
  }

  void forget() {
    if (!recordable()) return;
    drop_record(*store_, key_);
    if (native()) static_cast<void>(store_->remove(key_));  // somebody who holds it keeps it, and we get the same
  }

  // What nobody said: the tool is there already, a plan's command, a package of its name.
  Result<void> find_strategy() {
    const std::string key = key_of("casemate installation detection 1", request_.source);
    if (recordable() && !around_.again) {
      if (auto known = find_record(*store_, key)) return take(*known);
    }
    Job job = job_in_root();
    job.argv = {"/bin/sh", "-c", "command -v \"$0\"", tool_};
    job.limits.wall = kVerifyWall;
    TRY_ASSIGN(const JobResult result, run(std::move(job), nullptr));
    InstallRequest found;
    if (result.outcome.succeeded()) {
      found.strategy = "none";
      if (!request_.source.empty())
        installed_.notes.push_back(fmt::format("{} is there already: the plan's install_command is not run", tool_));
    } else if (request_.packages.empty() && !request_.source.empty()) {
      found = parse_install_command(request_.source);
    } else {
      found = {.strategy = "apt", .packages = request_.packages.empty() ? std::vector<std::string>{tool_} : request_.packages};
      guessed_ = true;
    }
    request_.strategy = found.strategy;
    request_.packages = found.packages;
    request_.source = found.source;
    if (on_host() && guessed_) return unknown();
    detection_ = key;
    return {};
  }

  // A script that is nothing but "pip install x" is what plans have for strategy pip.
  void take_simple_command() {
    const InstallRequest simple = parse_install_command(request_.source);
    if (simple.strategy.empty() || simple.strategy == "script") return;
    request_.strategy = simple.strategy;
    request_.packages = simple.packages;
    request_.source.clear();
  }

  Result<void> take(const InstallRecord& known) {
    request_.strategy = known.strategy;
    request_.packages = known.packages;
    request_.source = known.source;
    return {};
  }

  std::unexpected<Error> unknown() const {
    return fail(ErrorCode::not_found,
                fmt::format("how is '{}' to be installed? It is not on PATH{}, and nothing says how: give --install STRATEGY:PACKAGE, the "
                            "strategy one of {}",
                            tool_, on_host() ? "" : ", apt finds no package of that name", fmt::join(install_strategies(), ", ")));
  }

  Result<void> prepare_host() {
    if (request_.strategy == "none") return {};
    script_.text.clear();
    script_.path = {std::string(kEnvironmentMountPoint) + "/bin"};
    TRY_ASSIGN(HostEnvironment made, install_on_host(request_, around_, *store_, log_));
    base_.mounts.insert(base_.mounts.end(), made.mounts.begin(), made.mounts.end());
    installed_.cached = made.cached;
    installed_.attempts = made.cached ? 0 : 1;
    installed_.leases.push_back(std::move(made.lease));
    return {};
  }

  // Finds or makes the root with the tool in it, and asks the tool where nobody has.
  Result<void> put_in_place() {
    std::optional<InstallRecord> record = recordable() ? find_record(*store_, key_) : std::nullopt;
    if (record && (script_.text.empty() || (native() && find_layer()))) return recall(*record);
    if (!script_.text.empty()) {
      TRY(try_until_it_works());
      if (attempts_ran_ == 0) record = recordable() ? find_record(*store_, key_) : std::nullopt;
      if (attempts_ran_ == 0 && record) return recall(*record);
      installed_.attempts = attempts_ran_;
    }
    if (installed_.version.empty()) TRY(verify(base_.root));
    if (!recordable()) return {};
    const std::string what = fmt::format("installation of {} by {}", tool_, request_.strategy);
    const InstallRecord made{request_.strategy, request_.packages, request_.source, installed_.version, installed_.notes, log()};
    TRY(keep_record(*store_, key_, what, made));
    return detection_.empty() ? Result<void>() : keep_record(*store_, detection_, "how to install " + tool_, made);
  }

  bool find_layer() {
    auto lease = store_->layer(key_);
    if (!lease || !*lease) return false;
    put_over(std::move(**lease));
    return true;
  }

  void put_over(StoreLease lease) {
    base_.root.insert(base_.root.begin(), lease.path());
    installed_.leases.push_back(std::make_shared<const StoreLease>(std::move(lease)));
  }

  Result<void> recall(const InstallRecord& record) {
    installed_.version = record.version;
    installed_.notes = record.notes;
    installed_.cached = true;
    log_ = record.log;
    return {};
  }

  Result<void> try_until_it_works() {
    auto pause = around_.wait;
    for (unsigned tries = 1;; ++tries) {
      if (tries > 1) trying_ = fmt::format("{}, try {} of {}", label_, tries, around_.retries + 1);
      auto done = native() ? try_in_cell() : try_in_container();
      if (done) return {};
      Error error = std::move(done.error());
      if (guessed_ && log_.find("Unable to locate package") != std::string::npos) return unknown();
      if (!again_may_help_ || tries > around_.retries) {
        if (tries > 1) error.what += fmt::format(" ({} tries)", tries);
        return std::unexpected(std::move(error));
      }
      tell(fmt::format("{}; once more in {}", error.what, format_duration(pause)));
      TRY(wait_about(pause));
      pause = std::min<std::chrono::milliseconds>(pause * 2, kMostWait);
    }
  }

  void tell(std::string_view line) const {
    if (around_.progress) around_.progress(without_secrets(line));
  }
  Lines lines() const {
    const auto pass_on = [this](std::string_view line) {
      if (around_.output) around_.output(without_secrets(line));
    };
    return {pass_on, label_};
  }

  // Between half and one and a half of it, so that many who failed together don't come back together.
  Result<void> wait_about(std::chrono::milliseconds pause) {
    static thread_local std::mt19937 dice{std::random_device{}()};
    const auto part = std::uniform_real_distribution<double>(0.5, 1.5)(dice);
    const auto until = Clock::now() + std::chrono::duration_cast<std::chrono::milliseconds>(pause * part);
    while (Clock::now() < until && around_.engine.cancelled_by_signal() == 0)
      TRY(around_.engine.turn(std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()) + std::chrono::milliseconds(1)));
    if (around_.engine.cancelled_by_signal() != 0) return fail(ErrorCode::cancelled, label_ + ": cancelled");
    return {};
  }

  // The job that all runs of ours begin with: the bare root and nothing of the plan's.
  Job job_in_root() const {
    Job job = base_;
    job.name = "install";
    job.mounts.clear();
    if (on_host()) job.mounts = base_.mounts;
    job.collect.clear();
    job.collect_to.clear();
    job.cwd = "/";
    job.forward_stdin = false;
    return job;
  }

  // Variables for the script alone, in a file that only we (and the job) can read: a container's own are there for all who may ask docker.
  Result<void> write_environment() {
    std::string text;
    for (const auto& [name, value] : registries_.environment) text += fmt::format("export {}={}\n", name, join_shell_words({value}));
    TRY_ASSIGN(settings_, store_->make_temp());
    TRY_ASSIGN(const UniqueFd file, open_file(settings_->path() + "/environment", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    return write_all(file.get(), text);
  }

  Result<Job> installing_job() {
    TRY_ASSIGN(registries_, read_registries());
    Job job = job_in_root();
    job.argv = {"/bin/sh", "-c", script_.text};
    job.env["HOME"] = "/root";
    TRY(write_environment());
    job.mounts = {{.kind = Mount::Kind::tmpfs, .target = std::string(kInstallationPlace)}};
    job.mounts.push_back(
        {.source = settings_->path() + "/environment", .target = fmt::format("{}/environment", kInstallationPlace), .owned = true});
    job.mounts.insert(job.mounts.end(), registries_.mounts.begin(), registries_.mounts.end());
    job.mounts.insert(job.mounts.end(), script_.mounts.begin(), script_.mounts.end());
    job.user = {};
    if (job.network == Network::none) job.network = Network::outbound;
    job.profile = Profile::standard;
    // As package managers need it: they change owners and become other users. Over the cell's ids alone.
    job.capabilities = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"};
    job.limits = around_.limits;
    if (!native()) job.limits.open_files.reset();  // a daemon may have fewer itself; it has a limit for its containers anyway
    job.read_only = false;
    job.capture_bytes = 16ull << 20;
    return job;
  }

  // No image, or no daemon: no fault of the tool's.
  static bool is_executors(const Outcome& outcome) {
    if (outcome.detail.empty()) return false;
    return outcome.kind == Outcome::Kind::lost ? outcome.step == kExecutorGone
                                               : outcome.kind == Outcome::Kind::setup_failed && outcome.step == "get the image";
  }

  Result<JobResult> run(Job job, JobListener* listener) {
    auto result = around_.engine.run(std::move(job), listener);
    if (!result) result.error().what = fmt::format("{}: {}", label_.empty() ? "looking for " + tool_ : label_, result.error().what);
    if (result && is_executors(result->outcome)) return fail(ErrorCode::system, result->outcome.detail);
    return result;
  }

  Result<void> try_in_cell() {
    again_may_help_ = false;
    const ChangesLayer layer{
        .key = key_,
        .label = label_,
        .description = fmt::format("{} on {}", label_, base_.image),
        .below = base_.root,
        .run = [this](const std::string& directory) -> Result<JobResult> {
          TRY_ASSIGN(Job job, installing_job());
          job.collect = {"/"};
          job.collect_to = directory;
          tell(trying_.empty() ? label_ : trying_);
          Lines heard = lines();
          auto result = run(job, &heard);
          // Archives and scripts of this host need no network; the others' failure says what was missing.
          if (!result && result.error().code == ErrorCode::not_supported && job.network == Network::outbound) {
            no_network_ = std::move(result.error().what);
            job.network = Network::none;
            result = run(std::move(job), &heard);
          }
          if (result) TRY(judge(*result));
          return result;
        },
        .leave_out = {"casemate"},
        .check = [this](const std::string& directory) -> Result<void> {
          std::vector<std::string> root = base_.root;
          root.insert(root.begin(), directory);
          return verify(root);
        },
    };
    const auto progress = [this](std::string_view line) { tell(line); };
    TRY_ASSIGN(MadeLayer made, make_changes_layer(layer, *store_, progress));
    put_over(std::move(made.lease));
    installed_.notes = std::move(made.notes);
    return {};
  }

  Result<void> try_in_container() {
    again_may_help_ = false;
    TRY_ASSIGN(Job job, installing_job());
    tell(trying_.empty() ? label_ : trying_);
    Lines heard = lines();
    auto kept = around_.engine.keep(std::move(job), key_, &heard);
    if (!kept)
      return fail(kept.error().code, fmt::format("{}: {}", label_, kept.error().what), kept.error().errno_value, kept.error().where);
    if (kept->result) TRY(judge(*kept->result));
    if (!kept->next) return fail(ErrorCode::system, label_ + ": what it installed could not be kept");
    base_.image = kept->next->image;
    base_.root = kept->next->root;
    return {};
  }

  // What came of one try.
  Result<void> judge(const JobResult& result) {
    ++attempts_ran_;
    log_ += attempts_ran_ > 1 ? fmt::format("\ncasemate's try {}:\n", attempts_ran_) : "";
    log_ += result.output.merged;
    const Outcome& outcome = result.outcome;
    if (outcome.succeeded()) return {};
    const std::string said = telling_install_line(result.output.merged);
    const std::string tail = said.empty() ? "" : ": " + said;
    const auto limit = [](const auto& value, auto format) { return value ? fmt::format(" ({})", format(*value)) : std::string(); };
    switch (outcome.kind) {
      case Outcome::Kind::timed_out:
        return fail(ErrorCode::exhausted, fmt::format("{} took longer than it may{}{}", label_,
                                                      limit(around_.limits.wall, [](auto wall) { return format_duration(wall); }), tail));
      case Outcome::Kind::out_of_memory:
        return fail(ErrorCode::exhausted,
                    fmt::format("{} ran out of memory{}{}", label_, limit(around_.limits.memory_bytes, format_bytes), tail));
      case Outcome::Kind::disk_limit:
        return fail(ErrorCode::exhausted,
                    fmt::format("{} ran out of disk{}{}", label_, limit(around_.limits.disk_bytes, format_bytes), tail));
      case Outcome::Kind::cancelled:
        return fail(ErrorCode::cancelled, label_ + ": cancelled");
      case Outcome::Kind::setup_failed:
      case Outcome::Kind::lost:
        if (is_executors(outcome)) return fail(ErrorCode::system, outcome.detail);
        return fail(ErrorCode::system, fmt::format("{}: {}", label_, printable_line(words(outcome))));
      default:
        break;
    }
    again_may_help_ = no_network_.empty() && outcome.kind == Outcome::Kind::exited && may_be_retried(result.output.merged);
    return fail(ErrorCode::refused, fmt::format("{} failed{}{}", label_, said.empty() ? " with '" + words(outcome) + "'" : tail,
                                                no_network_.empty() ? "" : fmt::format("; it ran without network: {}", no_network_)));
  }

  // Asks the tool, as the user that the plan's commands will be, without network.
  Result<void> verify(const std::vector<std::string>& root) {
    Job job = job_in_root();
    job.argv = {"/bin/sh", "-c", script_.verify};
    job.root = root;
    for (auto directory = script_.path.rbegin(); directory != script_.path.rend(); ++directory)
      job.env["PATH"] = fmt::format("{}:{}", *directory, job.env["PATH"]);
    job.limits.wall = kVerifyWall;
    TRY_ASSIGN(const JobResult result, run(std::move(job), nullptr));
    log_ += fmt::format("\n$ {}\n{}", request_.verify.empty() ? tool_ + " --version" : request_.verify, result.output.merged);
    if (result.outcome.kind == Outcome::Kind::cancelled) return fail(ErrorCode::cancelled, label_ + ": cancelled");
    if (!result.outcome.succeeded()) {
      const std::string said = telling_install_line(result.output.merged);
      return fail(ErrorCode::refused, fmt::format("{} is {} but does not run: '{}' ended with '{}'{}", tool_,
                                                  request_.strategy == "none" ? "there" : "installed",
                                                  request_.verify.empty() ? tool_ + " --version" : printable_line(request_.verify),
                                                  printable_line(words(result.outcome)), said.empty() ? "" : ": " + said));
    }
    installed_.version = first_line(result.output.merged);
    if (request_.verify_pattern.empty()) return {};
    const auto pattern = make_pattern(request_.verify_pattern);
    if (!pattern) return fail(ErrorCode::invalid_input, fmt::format("{}'s verification: {}", tool_, pattern.error().what));
    if (!RE2::PartialMatch(result.output.merged, **pattern))
      return fail(ErrorCode::refused, fmt::format("{} is not the one that was asked for: it says '{}', which '{}' does not match", tool_,
                                                  installed_.version, printable_line(request_.verify_pattern)));
    return {};
  }

  InstallRequest request_;
  const std::string& tool_;
  Job base_;
  InstallSurroundings& around_;
  std::optional<Store> own_store_;
  Store* store_ = nullptr;
  InstallScript script_;
  std::unique_ptr<StoreTemp> settings_;
  Registries registries_;
  InstalledTool installed_;
  std::string label_;
  std::string trying_;  // the same with the number of the try, after the first
  std::string key_;
  std::string detection_;  // key of what was found out, to be remembered
  std::string log_;
  std::string no_network_;  // why there was none; "" there was
  bool guessed_ = false;
  bool again_may_help_ = false;
  unsigned attempts_ran_ = 0;
};

}  // namespace

Limits installation_limits() {
  Limits limits = default_limits();
  limits.memory_bytes = 4ull << 30;
  limits.pids = 1024;
  limits.wall = std::chrono::minutes(20);
  limits.open_files = 65'536;
  limits.disk_bytes = 8ull << 30;
  limits.disk_inodes = 1u << 20;
  return limits;
}

std::expected<InstalledTool, InstallFailure> install_tool(const InstallRequest& request, const std::string& tool, Job base,
                                                          InstallSurroundings& surroundings) {
  Installing installing(request, tool, std::move(base), surroundings);
  auto done = installing.install();
  if (!done) {
    done.error().what = with_few_versions(installing.without_secrets(done.error().what));
    return std::unexpected(InstallFailure{std::move(done.error()), installing.log()});
  }
  return std::move(*done);
}

}  // namespace casemate
