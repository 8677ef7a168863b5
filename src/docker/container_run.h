// container_run: one job in a container of its own, from its creation to its removal.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "casemate/engine.h"
#include "docker/collection.h"
#include "docker/container_creation.h"
#include "docker/frames.h"
#include "docker/stats.h"
#include "engine/capture.h"
#include "sys/fd.h"
#include "witness/witness.h"

namespace casemate {

/// Owned by the executor, driven by the reactor.
class ContainerRun {
 public:
  using Clock = Reactor::Clock;
  /// Called once, at the end of everything, later than begin(); may destroy the run.
  using Done = std::function<void(ContainerRun&, JobResult)>;

  /// Opens what receives the changed files. An Error means that the job makes no sense here.
  static Result<std::unique_ptr<ContainerRun>> create(DockerGround& ground, Job job, JobListener& listener, Done done);
  /// Kills and removes the container, if there still is one, and waits for that (removal_time() at most).
  ~ContainerRun();
  ContainerRun(const ContainerRun&) = delete;
  ContainerRun& operator=(const ContainerRun&) = delete;

  void begin();
  /// Before begin(). Once the job has ended well its container becomes an image with this name and label kDockerKept; kept() is its id.
  /// The job has no stdin, and its environment is not in the image.
  void keep(std::string key) { keep_ = std::move(key); }
  [[nodiscard]] const std::string& kept() const { return kept_; }
  /// Nobody hears anything of it any more: its executor is going.
  void fall_silent();
  void signal(int number);
  void cancel();
  /// The daemon is gone, or hangs: kExecutorGone.
  void lose(const Error& why);
  [[nodiscard]] bool is_heard_by(const JobListener& listener) const { return listener_ == &listener; }
  [[nodiscard]] const Job& job() const { return job_; }

 private:
  ContainerRun(DockerGround& ground, Job job, JobListener& listener, Done done);
  void call(DockerRequest request, std::function<void(Result<DockerReply>)> then);
  void call(const char* method, const std::string& path, std::function<void(Result<DockerReply>)> then, bool waits = false);
  void schedule(Clock::duration after, std::function<void()> due);
  void attach();
  void attached(std::unique_ptr<DockerStream> stream);
  void start();
  void started();
  void wait();
  void waited(const Result<DockerReply>& reply);
  void await_last_bytes();
  void take(Stream stream, std::string_view bytes);
  void hear(std::string_view line);
  void hold_back();
  void forward_stdin();
  void read_stdin();
  void watch_cpu();
  void watch_disk();
  void kill();
  void give_up(Outcome outcome);
  void lose(std::string why, std::string_view step = {});
  void stream_ended(const Result<void>& how);
  void ended();
  void inspected(const Result<DockerReply>& reply);
  void decide();
  void collect();
  void commit();
  void remove();
  void complete();
  [[nodiscard]] Outcome outcome() const;
  [[nodiscard]] Outcome disk_limit(const std::string& what) const;
  [[nodiscard]] Resources resources() const;

  DockerGround& ground_;
  Job job_;
  JobListener* listener_;
  Done done_;
  std::string token_ = random_token();
  std::unique_ptr<ContainerCreation> creation_;
  std::string id_;
  std::set<DockerCallId> calls_;
  std::set<Reactor::TimerId> timers_;
  std::unique_ptr<DockerStream> stream_;
  Capture capture_;
  WitnessReport report_;
  WitnessReader errors_;
  FrameReader frames_;
  std::vector<UniqueFd> destinations_;
  std::unique_ptr<Collection> collection_;
  Clock::time_point began_ = Clock::now();
  std::optional<Clock::time_point> start_;
  std::optional<Clock::time_point> end_;
  std::optional<ContainerStats> stats_;
  Clock::duration size_took_{};      // to answer, the last time
  std::optional<Outcome> given_up_;  // what we ended it for
  std::optional<Outcome> own_end_;   // it never ran, or nobody knows
  int exit_code_ = 0;
  bool oom_killed_ = false;
  bool stdin_watched_ = false;
  bool waited_ = false;
  bool stream_over_ = false;
  bool ending_ = false;
  bool killed_ = false;
  bool out_broken_ = false;
  bool holding_back_ = false;
  std::string keep_, kept_;
  std::shared_ptr<void> living_ = std::make_shared<char>();  // what the images' own calls have of us looks whether we are still there
  JobResult result_;
};

}  // namespace casemate
