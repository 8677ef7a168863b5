// native: the executor that runs jobs in cells on this machine.
#include <csignal>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include <fcntl.h>

#include "cell/cell.h"
#include "cell/pool.h"
#include "engine/cell_context.h"
#include "engine/cell_run.h"
#include "engine/executor.h"
#include "engine/gateway.h"
#include "engine/reactor.h"

namespace casemate {
namespace {

constexpr std::size_t kCellsAhead = 4;

char* host_argv = nullptr;
std::size_t host_argv_bytes = 0;

class NativeExecutor final : public Executor {
 public:
  NativeExecutor(Reactor& reactor, std::unique_ptr<CgroupFactory> cgroups)
      : reactor_(reactor), cgroups_(std::move(cgroups)), pool_(ground_, kCellsAhead) {
    ground_ = lay_ground(*cgroups_);
    cgroups_->sweep();
  }

  // Contexts are their users', who may keep them longer than there is an engine.
  ~NativeExecutor() override {
    opening_.clear();
    for (CellContext* context : contexts_) context->abandon();
  }

  Result<void> start(Job job, JobListener& listener, std::function<void(JobResult)> done) override {
    TRY_ASSIGN(CellShape shape, shape_of(job));
    if (shape.plan.outbound) TRY(Gateway::available());
    const auto ended = [this, done = std::move(done)](CellRun& run, JobResult result) {
      const std::unique_ptr<CellRun> owner = std::move(running_.at(&run));
      running_.erase(&run);
      done(std::move(result));
    };
    TRY_ASSIGN(std::unique_ptr<CellRun> run, CellRun::create(reactor_, ground_, std::move(job), shape.plan, listener, ended));
    std::unique_ptr<Cell> cell;
    if (!run->job().forward_stdin) cell = pool_.take(shape);
    if (!cell) {
      TRY_ASSIGN(cell, Cell::create(ground_, std::move(shape.plan), shape.limits, run->job().report ? nullptr : &run->job()));
    }
    TRY(begin(*run, std::move(cell)));
    CellRun* raw = run.get();
    running_[raw] = std::move(run);
    return {};
  }

  Result<void> open(Job job, OpenedContext opened) override {
    auto ready = [this, opened = std::move(opened)](CellContext& context, Result<void> result) {
      std::unique_ptr<CellContext> owner = std::move(opening_.at(&context));
      opening_.erase(&context);
      if (result) return opened(std::move(owner));
      owner.reset();
      opened(std::unexpected(std::move(result.error())));
    };
    const auto gone = [this](CellContext& context) { contexts_.erase(&context); };
    TRY_ASSIGN(std::unique_ptr<CellContext> made, CellContext::create(reactor_, ground_, std::move(job), std::move(ready), gone));
    CellContext* raw = made.get();
    contexts_.insert(raw);
    opening_[raw] = std::move(made);
    return {};
  }

  void signal_all(int number) override {
    for (const auto& [key, running] : running_) running->signal(number);
    for (CellContext* context : contexts_) context->signal(number);
  }

  void cancel_all() override {
    for (const auto& [key, running] : running_) running->cancel();
    for (CellContext* context : contexts_) context->give_up();
  }

  void cancel(const JobListener& listener) override {
    for (const auto& [key, running] : running_) {
      if (running->is_heard_by(listener)) running->cancel();
    }
  }

  void expect(const Job& next) override {
    if (next.forward_stdin) return;
    Job copy = next;
    if (auto shape = shape_of(copy)) pool_.fill(*shape);
  }

 private:
  static Result<void> begin(CellRun& run, std::unique_ptr<Cell> cell) {
    if (!run.job().report) return run.begin(std::move(cell));
    TRY_ASSIGN(Pipe report, make_pipe());
    ::fcntl(report.read.get(), F_SETFL, O_NONBLOCK);
    cell->report() = std::move(report.read);
    return run.begin(std::move(cell), {report.write.get()});
  }

  Result<CellShape> shape_of(Job& job) {
    resolve_sources(job, ground_.host);
    TRY_ASSIGN(Plan plan, compile(job, ground_.host));
    CellShape shape{std::move(plan), job.limits};
    shape.limits.wall.reset();
    shape.limits.output_bytes.reset();
    return shape;
  }

  Reactor& reactor_;
  std::unique_ptr<CgroupFactory> cgroups_;
  CellGround ground_;
  CellPool pool_;
  std::unordered_map<CellRun*, std::unique_ptr<CellRun>> running_;
  std::unordered_set<CellContext*> contexts_;  // all that there are
  std::unordered_map<CellContext*, std::unique_ptr<CellContext>> opening_;
};

}  // namespace

CellGround lay_ground(CgroupFactory& cgroups) {
  CellGround ground;
  ground.host = read_host_facts();
  ground.cgroups = &cgroups;
  ground.host_argv = host_argv;
  ground.host_argv_bytes = host_argv_bytes;
  return ground;
}

Result<std::unique_ptr<Executor>> make_native_executor(Reactor& reactor) {
  return std::make_unique<NativeExecutor>(reactor, open_cgroups());
}

void set_host_arguments(char* first, std::size_t bytes) {
  host_argv = first;
  host_argv_bytes = bytes;
}

}  // namespace casemate
