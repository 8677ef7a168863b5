#include "warm/alone.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/terminal.h"
#include "sys/fd.h"
#include "warm/group.h"
#include "warm/payload.h"

namespace casemate {
namespace {

constexpr int kCannotExecute = 126, kNotFound = 127;                 // a loader's or a shell's word
constexpr std::string_view kNoPytest = "pytest cannot be imported";  // src/warm/python/boot.py
constexpr std::string_view kNoModule = "No module named ";           // Python's; runpy puts its own words around it

// What other machines lack for any test to begin there; "": nothing.
std::string lacking(const JobResult& result, const std::string& python) {
  const Outcome& outcome = result.outcome;
  const std::string name = printable_name(python);
  if (outcome.kind == Outcome::Kind::setup_failed && outcome.step.starts_with("execve")) {
    if (outcome.code == ENOENT || outcome.code == ENOTDIR)
      return fmt::format(
          "the engine's workers have no {}, or not the loader that it names: send one with --image, or name one that they have with "
          "--python",
          name);
    return fmt::format("the engine's workers can't execute {} ({})", name, std::strerror(outcome.code));
  }
  if (outcome.kind != Outcome::Kind::exited || outcome.code == 0) return "";
  const std::string said = printable_line(result.output.err.substr(0, result.output.err.find('\n')));
  if (const std::size_t module = said.find(kNoModule); said.starts_with(kNoPytest) && module != std::string::npos)
    return fmt::format(
        "the {} of the engine's workers can't import pytest ({}): send it with --requirements, --image or a virtual environment", name,
        said.substr(module, said.find(')', module) - module));
  if (outcome.code == kCannotExecute || outcome.code == kNotFound)
    return fmt::format("{} can't be started by the engine's workers ({})", name, said.empty() ? words(outcome) : said);
  return "";
}

class Alone final : public WarmExecutor {
 public:
  Alone(std::unique_ptr<Executor> others, WarmRequest request, std::string directory, bool elsewhere)
      : others_(std::move(others)), request_(std::move(request)), directory_(std::move(directory)), elsewhere_(elsewhere) {}

  Result<void> begin() {
    TRY(write_new(text_file(), warm_python()));
    for (Job* job : {&request_.parent, &request_.fork})
      job->mounts.push_back({.kind = Mount::Kind::bind, .source = text_file(), .target = kAlonePlace});
    return {};
  }

  Result<void> start(Job job, JobListener& listener, std::function<void(JobResult)> done) override {
    const std::string kind = job.argv.empty() ? "" : job.argv[0];
    if (kind == "collect") return launch(request_.parent, std::move(job), {"C"}, listener, std::move(done));
    if (kind == "coverage" && job.argv.size() == 2) return report_coverage(std::move(job), listener, std::move(done));
    if (kind == "group" && job.argv.size() == 3) return run_group(std::move(job), listener, std::move(done));
    if (kind != "cold" || job.argv.size() < 4)
      return fail(ErrorCode::internal,
                  "interpreters that are alone were given a job that is none of 'collect', 'cold', 'group' and 'coverage'");
    std::vector<std::string> order = {"K", job.argv[1], std::to_string(job.argv.size() - 3)};
    order.insert(order.end(), job.argv.begin() + 3, job.argv.end());
    return launch(request_.fork, std::move(job), order, listener, std::move(done));
  }

  Result<void> keep(Job job, std::string key, JobListener& listener, KeptRoot kept) override {
    const auto take = [this, kept = std::move(kept)](std::optional<JobResult> result, std::optional<Job> next) {
      if (next) request_.parent.image = request_.fork.image = next->image;
      kept(std::move(result), std::move(next));
    };
    return others_->keep(std::move(job), std::move(key), listener, take);
  }

  void signal_all(int /*number*/) override { others_->cancel_all(); }  // a test that is stopped has nothing to put in order
  void cancel_all() override { others_->cancel_all(); }
  void cancel(const JobListener& listener) override { others_->cancel(listener); }
  void expect(const Job& /*next*/) override {}
  void prepare(const std::string& /*file*/, const std::string& /*hash*/) override {}
  [[nodiscard]] const std::string& python() const override { return none_; }
  [[nodiscard]] const std::string& pytest() const override { return none_; }
  [[nodiscard]] const std::vector<std::string>& notes() const override { return no_notes_; }

 private:
  [[nodiscard]] std::string text_file() const { return directory_ + "/pytest.py"; }
  [[nodiscard]] std::string rewritten_file() const { return directory_ + "/rewritten"; }

  static Result<void> write_new(const std::string& path, std::string_view bytes) {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file) return fail_errno("write " + path);
    ::fchmod(file.get(), 0644);  // whoever is root there
    return write_all(file.get(), bytes);
  }

  Result<void> launch(const Job& all, Job job, const std::vector<std::string>& order, JobListener& listener,
                      std::function<void(JobResult)> done) {
    Job own = all;
    own.name = std::move(job.name);
    own.capture_bytes = job.capture_bytes;
    own.limits.wall = job.limits.wall;
    own.limits.output_bytes = job.limits.output_bytes;
    own.mounts.insert(own.mounts.end(), job.mounts.begin(), job.mounts.end());
    own.argv = {request_.parent.argv[0], "-c", kAloneBoot};
    own.argv.insert(own.argv.end(), order.begin(), order.end());
    own.argv.insert(own.argv.end(), request_.parent.argv.begin() + 1, request_.parent.argv.end());
    own.env["CASEMATE_ALONE"] = "1";
    own.report = true;
    if (!elsewhere_ || begun_) return others_->start(std::move(own), listener, std::move(done));
    return others_->start(std::move(own), listener, [this, done = std::move(done)](JobResult result) {
      if (result.outcome.kind != Outcome::Kind::lost && result.outcome.kind != Outcome::Kind::cancelled) look_for_lacking(result);
      done(std::move(result));
    });
  }

  // Where no interpreter has ever begun none will: that says nothing of a test.
  void look_for_lacking(JobResult& result) {
    const std::string what = begun_ ? "" : lacking(result, request_.parent.argv[0]);
    begun_ |= what.empty();
    if (what.empty()) return;
    result.outcome = {Outcome::Kind::lost, 0, std::string(kExecutorGone), what};
    result.output = {};
  }

  // Names of tests are too long for arguments, so they are a file of its own.
  Result<void> run_group(Job job, JobListener& listener, std::function<void(JobResult)> done) {
    const std::string path = fmt::format("{}/group-{}.json", directory_, ++groups_);
    TRY(write_new(path, group_order(job.argv[1], request_.fork, job.capture_bytes)));
    job.mounts.push_back({.kind = Mount::Kind::bind, .source = path, .target = kGroupPlace});
    if (!job.argv[2].empty()) {
      if (!has_rewritten_) TRY(write_new(rewritten_file(), job.argv[2]));
      has_rewritten_ = true;
      job.mounts.push_back({.kind = Mount::Kind::bind, .source = rewritten_file(), .target = kRewrittenPlace});
    }
    const auto ended = [path, done = std::move(done)](JobResult result) {
      ::unlink(path.c_str());
      done(std::move(result));
    };
    Job all = request_.parent;
    all.network = request_.fork.network;  // its tests are in it
    return launch(all, std::move(job), {"G"}, listener, ended);
  }

  // What was measured becomes a file that a container can be shown, and pytest-cov writes into a copy of the project.
  Result<void> report_coverage(Job job, JobListener& listener, std::function<void(JobResult)> done) {
    const std::string path = directory_ + "/coverage";
    ::unlink(path.c_str());
    TRY(write_new(path, ""));
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    off_t at = 0;
    ssize_t sent = 0;
    while ((sent = ::sendfile(file.get(), job.stdin_fd, &at, 1 << 30)) > 0) {
    }
    if (sent < 0) return fail_errno("write " + path);
    job.stdin_fd = -1;
    job.mounts = {{.kind = Mount::Kind::bind, .source = path, .target = kCoveredPlace}};
    Job all = request_.parent;
    for (Mount& mount : all.mounts) {
      if (mount.kind == Mount::Kind::bind && mount.owned && !mount.writable)
        mount = {.kind = Mount::Kind::overlay, .target = mount.target, .lower = {mount.source}, .owned = true};
    }
    const std::vector<std::string> order = {"V", job.argv[1]};
    return launch(all, std::move(job), order, listener, std::move(done));
  }

  std::unique_ptr<Executor> others_;
  WarmRequest request_;
  std::string directory_;
  bool elsewhere_;
  bool begun_ = false;  // an interpreter with pytest, there
  std::uint64_t groups_ = 0;
  bool has_rewritten_ = false;  // of the one collection of a run
  std::string none_;
  std::vector<std::string> no_notes_;
};

}  // namespace

Result<std::unique_ptr<WarmExecutor>> make_alone_executor(std::unique_ptr<Executor> others, WarmRequest request,
                                                          const std::string& directory, bool elsewhere) {
  if (request.parent.argv.empty()) return fail(ErrorCode::invalid_input, "no interpreter");
  auto made = std::make_unique<Alone>(std::move(others), std::move(request), directory, elsewhere);
  TRY(made->begin());
  return made;
}

}  // namespace casemate
