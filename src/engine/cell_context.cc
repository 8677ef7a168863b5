#include "engine/cell_context.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "cell/job_check.h"
#include "engine/delivery.h"

namespace casemate {
namespace {

constexpr auto kSetupTime = std::chrono::seconds(60);

// What a context's job is as a job: with a command of no account, and all writable layers handed out.
Job as_job(Job job) {
  if (job.argv.empty()) job.argv = {"/bin/true"};
  job.collect_to.clear();
  job.collect.clear();
  job.forward_stdin = false;
  job.stdin_fd = -1;
  job.limits.wall.reset();
  job.limits.output_bytes.reset();
  if (!job.root.empty()) job.collect = {"/"};
  for (const Mount& mount : job.mounts) {
    if (mount.kind == Mount::Kind::overlay) job.collect.push_back(mount.target);
  }
  return job;
}

void sort_by_path(std::vector<Change>& changes) {
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
}

// Of a layer at `place` ("" is the root): what of it lies at or below `path`, as CollectOptions::within has it. nullopt: nothing does.
std::optional<std::string> part_of_layer(const std::string& place, const std::string& path) {
  const auto at_or_below = [](const std::string& low, const std::string& high) {
    return high.empty() || low == high || (low.starts_with(high) && low[high.size()] == '/');
  };
  if (at_or_below(place, path)) return "";
  if (!at_or_below(path, place)) return std::nullopt;
  return path.substr(place.empty() ? 0 : place.size() + 1);
}

}  // namespace

CellContext::CellContext(Reactor& reactor, const CellGround& ground, Job job, Ready ready, Gone gone)
    : reactor_(reactor), ground_(ground), job_(std::move(job)), ready_(std::move(ready)), gone_(std::move(gone)), discarded_(reactor) {}

CellContext::~CellContext() {
  if (gone_) std::exchange(gone_, nullptr)(*this);
  abandon();
}

Result<std::unique_ptr<CellContext>> CellContext::create(Reactor& reactor, CellGround& ground, Job given, Ready ready, Gone gone) {
  Job job = as_job(std::move(given));
  resolve_sources(job, ground.host);
  TRY_ASSIGN(Plan plan, compile(job, ground.host));
  plan.serves_commands = true;
  if (plan.outbound) TRY(Gateway::available());
  std::unique_ptr<CellContext> context(new CellContext(reactor, ground, std::move(job), std::move(ready), nullptr));
  for (std::size_t i = 0; i < plan.collected.size(); ++i) {
    const std::string place = plan.collected[i].substr(1);
    context->layers_.emplace_back(plan.collected_lower[i], place.empty() ? "" : place + "/");
  }
  TRY_ASSIGN(context->cell_, Cell::create(ground, std::move(plan), context->job_.limits));
  context->cell_->out().reset();
  context->cell_->err().reset();
  TRY(context->watch());
  context->gone_ = std::move(gone);
  return context;
}

Result<void> CellContext::watch() {
  TRY(reactor_.watch(cell_->socket(), [this] { messages(); }));
  TRY(reactor_.watch(cell_->process().pidfd(), [this] { died(); }));
  TRY(watch_disk());
  deadline_ = reactor_.schedule(Reactor::Clock::now() + kSetupTime, [this] {
    deadline_.reset();
    kill("it was not ready within 60 s");
  });
  return {};
}

Result<void> CellContext::watch_disk() {
  TRY_ASSIGN(disk_watch_, DiskWatch::begin(job_));
  if (!disk_watch_) return {};
  return reactor_.watch(disk_watch_->fd(), [this] { on_disk(); });
}

// The command that runs is at fault; from here what there is now counts as found.
void CellContext::on_disk() {
  DiskWatch::Problem problem = disk_watch_->problem();
  reactor_.unwatch(disk_watch_->fd());
  disk_watch_.reset();
  if (!command_ || !command_->started()) return kill(std::move(problem.text));
  command_->end_for_disk(std::move(problem));
  if (auto watched = watch_disk(); !watched) kill(watched.error().what);
}

void CellContext::kill(std::string why) {
  if (killed_for_.empty()) killed_for_ = std::move(why);
  cell_->kill();
}

void CellContext::messages() {
  const bool open = cell_->receive(report_);
  if (!open) reactor_.unwatch(cell_->socket());  // init is ending; its pidfd will say when it has
  if (cell_->plan().outbound && cell_->network_namespace() && !gateway_) open_gateway();
  if (command_) command_->take_terminal();
  if (ready_ && report_.ready) return become_ready();
  if (command_ && command_->started() && report_.wait_status) command_ended();
}

void CellContext::open_gateway() {
  auto gateway = Gateway::attach(cell_->network_namespace().get(), cell_->user_namespace().get(), ground_.host.loopback_resolver);
  if (!gateway) return kill(gateway.error().what);
  gateway_ = std::move(*gateway);
  const auto watched = reactor_.watch(gateway_->pidfd(), [this] {
    // Before there is a network this is why there is none; later commands meet one that is gone, as on any host.
    reactor_.unwatch(gateway_->pidfd());
    if (ready_) kill("the gateway program ended before the network was up; see 'casemate doctor'");
  });
  if (!watched) kill(watched.error().what);
}

void CellContext::become_ready() {
  if (deadline_) reactor_.cancel(*deadline_);
  deadline_.reset();
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (const UniqueFd& upper = cell_->uppers()[i]) (void)layers_[i].next(upper.get(), {});
    untouched_.push_back(layers_[i].last());
  }
  std::exchange(ready_, nullptr)(*this, {});
}

void CellContext::died() {
  reactor_.unwatch(cell_->socket());
  reactor_.unwatch(cell_->process().pidfd());
  if (deadline_) reactor_.cancel(*deadline_);
  deadline_.reset();
  cell_->receive(report_);
  const ProcessEnd end = cell_->process().reap(true).value_or(ProcessEnd{});
  end_ = killed_for_;
  if (end_.empty() && command_ && command_->gave_up()) end_ = "a command of it could not be ended";
  if (end_.empty() && report_.over_limit == 0u && !command_) end_ = "what runs in it used more memory than its limit";
  if (end_.empty()) end_ = fmt::format("its first process {} {}", end.signaled ? "was killed by signal" : "exited", end.code);
  drop_watches();
  if (ready_) {
    std::string what = end_;
    if (report_.failure && report_.failure->step < cell_->plan().cell.size())
      what =
          fmt::format("{}: {}", describe(cell_->plan().cell[report_.failure->step], cell_->plan()), std::strerror(report_.failure->value));
    const int problem = report_.failure ? report_.failure->value : 0;
    return std::exchange(ready_, nullptr)(*this, fail(ErrorCode::system, "can't make a context: " + what, problem));
  }
  if (command_ && command_->started() && !side_) command_ended();
}

// ---- commands

Job CellContext::job_of(const ContextCommand& command) const {
  Job job;
  job.argv = command.argv;
  job.env = job_.env;
  for (const auto& [name, value] : command.env) job.env[name] = value;
  if (command.terminal) job.env.emplace("TERM", "xterm");
  job.cwd = command.cwd.empty() ? job_.cwd : command.cwd;
  job.limits.wall = command.wall;
  return job;
}

Result<void> CellContext::start(ContextCommand command, JobListener& listener, std::function<void(JobResult)> done) {
  if (!alive()) return fail(ErrorCode::refused, "the context has ended: " + end_);
  if (ready_ || command_ || copied_) return fail(ErrorCode::internal, "something runs in this context already");
  Job next = job_of(command);
  TRY(check_job(next, ground_.host));
  if (!next.cwd.starts_with('/') || next.cwd.find('\0') != std::string::npos)
    return fail(ErrorCode::invalid_input, fmt::format("the working directory '{}' is not an absolute path", printable_name(next.cwd)));
  const bool changes = command.changes && !layers_.empty();
  command_ = std::make_unique<CommandRun>(reactor_, *cell_, job_, std::move(command), listener);
  next_ = std::move(next);
  if (changes && stale_) {
    done_ = std::move(done);
    walk(true);
    return {};
  }
  if (auto launched = launch(); !launched) {
    command_.reset();
    return launched;
  }
  done_ = std::move(done);
  return {};
}

Result<void> CellContext::launch() {
  report_ = {};
  return command_->start(*std::exchange(next_, std::nullopt));
}

// After a walk, when it can only be told by the result.
void CellContext::launch_late() {
  if (command_->cancelled() || !alive()) {
    result_.outcome.kind = command_->cancelled() ? Outcome::Kind::cancelled : Outcome::Kind::lost;
    if (!command_->cancelled()) result_.outcome.detail = end_;
    return complete();
  }
  auto launched = launch();
  if (launched) return;
  result_.outcome = {Outcome::Kind::setup_failed, launched.error().errno_value, "start a command", launched.error().what};
  complete();
}

void CellContext::signal(int number) {
  if (command_) command_->signal(number);
}

void CellContext::cancel() {
  if (side_) side_->request_stop();
  if (command_) command_->cancel();
}

void CellContext::command_ended() {
  result_ = command_->finish(report_, end_);
  discarded_.take(command_->take_out());
  discarded_.take(command_->take_err());
  report_.wait_status.reset();
  if (command_->wants_changes() && !layers_.empty()) return walk(false);
  stale_ |= !layers_.empty();
  complete();
}

void CellContext::complete() {
  command_.reset();
  JobResult result = std::exchange(result_, {});
  std::exchange(done_, nullptr)(std::move(result));  // it may destroy us
}

// ---- changes

// In a thread of its own, for a large tree takes long. `before` a command: what others changed that nobody asked about is not its own.
void CellContext::walk(bool before) {
  auto side = SideWork::begin(
      reactor_, [this, before](const std::stop_token& stop) { look_for_changes(!before, stop); }, [this, before] { walked(before); });
  if (side) {
    side_ = std::move(*side);
    return;
  }
  look_for_changes(!before, {});
  walked(before);
}

void CellContext::walked(bool before) {
  side_.reset();
  stale_ = false;
  if (before) return launch_late();
  complete();
}

void CellContext::look_for_changes(bool keep, const std::stop_token& stop) {
  try {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (!cell_->uppers()[i]) continue;
      auto found = layers_[i].next(cell_->uppers()[i].get(), stop);
      if (!keep) continue;
      if (!found) {
        result_.collect_error = found.error().what;
        continue;
      }
      result_.changes_truncated |= found->truncated;
      if (result_.collect_error.empty()) result_.collect_error = found->problem;
      std::move(found->changes.begin(), found->changes.end(), std::back_inserter(result_.changes));
    }
    sort_by_path(result_.changes);
  } catch (const std::exception& problem) {  // no memory
    result_.collect_error = problem.what();
  }
}

// ---- copies of what there is

void CellContext::collect(std::vector<std::string> paths, std::string destination, std::function<void(Result<JobResult>)> done) {
  const bool busy = ready_ || command_ || copied_;
  auto begun = busy ? Result<void>(fail(ErrorCode::internal, "something runs in this context")) : copy_out(paths, destination);
  if (begun) {
    copied_ = std::move(done);
    return;
  }
  // Later, as all answers.
  reactor_.schedule(Reactor::Clock::now(), [done = std::move(done), problem = begun.error(), living = std::weak_ptr<void>(living_)] {
    if (!living.expired()) done(std::unexpected(problem));
  });
}

Result<void> CellContext::copy_out(const std::vector<std::string>& paths, const std::string& destination) {
  std::vector<std::vector<std::string>> within(layers_.size());
  std::vector<bool> wanted(layers_.size());
  for (const std::string& path : paths) {
    TRY_ASSIGN(const std::string place, place_inside(path, "a path to copy"));
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto part = part_of_layer(cell_->plan().collected[i].substr(1), place);
      if (!part) continue;
      wanted[i] = true;
      within[i].push_back(*part);
    }
  }
  for (auto& each : within) {
    if (std::find(each.begin(), each.end(), "") != each.end()) each.clear();
  }
  result_ = {};
  result_.outcome.kind = Outcome::Kind::exited;
  TRY_ASSIGN(side_, SideWork::begin(
                        reactor_,
                        [this, within = std::move(within), wanted = std::move(wanted), destination](const std::stop_token& stop) {
                          for (std::size_t i = 0; i < layers_.size(); ++i) {
                            if (wanted[i] && cell_->uppers()[i]) copy_layer(i, within[i], destination, stop);
                          }
                          sort_by_path(result_.changes);
                        },
                        [this] {
                          side_.reset();
                          JobResult result = std::exchange(result_, {});
                          std::exchange(copied_, nullptr)(std::move(result));
                        }));
  return {};
}

void CellContext::copy_layer(std::size_t layer, std::vector<std::string> within, const std::string& destination,
                             const std::stop_token& stop) {
  try {
    const std::string& prefix = layers_[layer].prefix();
    CollectOptions options;
    options.destination = destination.empty() || prefix.empty() ? destination : destination + "/" + prefix;
    options.lower = layers_[layer].lower();
    options.within = std::move(within);
    options.untouched = &untouched_[layer];
    options.stop = stop;
    auto found = casemate::collect(cell_->uppers()[layer].get(), options);
    if (!found) {
      result_.collect_error = found.error().what;
      return;
    }
    result_.changes_truncated |= found->truncated;
    if (result_.collect_error.empty()) result_.collect_error = found->problem;
    for (Change& change : found->changes) {
      if (change.kind == Change::Kind::deleted) continue;
      change.path.insert(0, prefix);
      result_.changes.push_back(std::move(change));
    }
  } catch (const std::exception& problem) {  // no memory
    result_.collect_error = problem.what();
  }
}

// ---- the end

void CellContext::give_up() {
  if (ready_) return kill("it was cancelled");
  cancel();
}

void CellContext::drop_watches() {
  if (gateway_) reactor_.unwatch(gateway_->pidfd());
  gateway_.reset();
  if (disk_watch_) reactor_.unwatch(disk_watch_->fd());
  disk_watch_.reset();
}

void CellContext::abandon() {
  living_.reset();
  side_.reset();
  done_ = nullptr;
  copied_ = nullptr;
  ready_ = nullptr;
  gone_ = nullptr;
  command_.reset();
  if (end_.empty()) end_ = "its engine has ended";
  if (deadline_) reactor_.cancel(*deadline_);
  deadline_.reset();
  drop_watches();
  discarded_.close_all();
  if (!cell_) return;
  reactor_.unwatch(cell_->socket());
  reactor_.unwatch(cell_->process().pidfd());
  cell_.reset();
}

}  // namespace casemate
