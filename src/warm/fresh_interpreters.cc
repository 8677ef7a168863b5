#include "warm/fresh_interpreters.h"

#include <utility>

#include <fcntl.h>
#include <nlohmann/json.hpp>

#include "cell/cell.h"
#include "cell/plan.h"

namespace casemate {
namespace {

std::string message_of(char letter, const nlohmann::json& words) {
  return letter + words.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<void> FreshInterpreters::start_cold(Job job, const std::string& file, const std::vector<std::string>& ids, JobListener& listener,
                                           std::function<void(JobResult)> done) {
  return start(std::move(job), message_of('K', {{"file", file}, {"ids", ids}}), -1, listener, std::move(done));
}

Result<void> FreshInterpreters::start_coverage(Job job, unsigned long failed, int data, JobListener& listener,
                                               std::function<void(JobResult)> done) {
  return start(std::move(job), message_of('V', {{"failed", failed}}), data, listener, std::move(done));
}

Result<void> FreshInterpreters::start(Job job, const std::string& message, int file, JobListener& listener,
                                      std::function<void(JobResult)> done) {
  job.env["CASEMATE_COLD"] = "1";
  TRY_ASSIGN(Plan plan, compile(job, ground_.host));
  TRY_ASSIGN(auto control, ParentControl::create());
  TRY_ASSIGN(Pipe report, make_pipe());
  ::fcntl(report.read.get(), F_SETFL, O_NONBLOCK);
  std::vector<int> fds{report.write.get()};
  if (file >= 0) fds.push_back(file);
  if (control.first.send(message, fds) != ParentControl::Sent::yes) return fail_errno("tell an interpreter what to run");
  auto cold = std::make_unique<Cold>();
  cold->control = std::move(control.first);
  const auto ended = [this, done = std::move(done)](CellRun& run, JobResult result) {
    const std::unique_ptr<Cold> owner = std::move(running_.at(&run));
    running_.erase(&run);
    done(std::move(result));
  };
  const Limits limits = job.limits;
  TRY_ASSIGN(cold->run, CellRun::create(reactor_, ground_, std::move(job), plan, listener, ended));
  TRY_ASSIGN(std::unique_ptr<Cell> cell, Cell::create(ground_, std::move(plan), limits));
  cell->report() = std::move(report.read);
  CellRun* raw = cold->run.get();
  TRY(raw->begin(std::move(cell), {control.second.get(), python_.get(), native_.get()}));
  running_[raw] = std::move(cold);
  return {};
}

void FreshInterpreters::cancel_all() {
  for (const auto& [key, cold] : running_) cold->run->cancel();
}

void FreshInterpreters::cancel(const JobListener& listener) {
  for (const auto& [key, cold] : running_) {
    if (cold->run->is_heard_by(listener)) cold->run->cancel();
  }
}

}  // namespace casemate
