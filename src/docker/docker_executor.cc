#include "docker/docker_executor.h"

#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/untrusted_json.h"
#include "docker/container_opening.h"
#include "docker/container_run.h"
#include "docker/docker_context.h"
#include "docker/sweep.h"
#include "sys/process.h"
#include "witness/program.h"

namespace casemate {
namespace {

constexpr auto kBeat = std::chrono::seconds(3);
constexpr auto kHangs = std::chrono::seconds(10);

class DockerExecutor final : public Executor {
 public:
  DockerExecutor(Reactor& reactor, std::unique_ptr<DockerApi> api, DockerOptions options, std::string witness)
      : reactor_(reactor),
        api_(std::move(api)),
        images_(*api_),
        ground_{.api = *api_,
                .reactor = reactor_,
                .images = images_,
                .pull = options.pull,
                .tell = std::move(options.tell),
                .config = options.config,
                .user = options.user,
                .label_value = engine_label(),
                .witness = std::move(witness)} {}

  ~DockerExecutor() override {
    if (beat_) reactor_.cancel(*beat_);
    if (ping_) api_->forget(*ping_);
    keeping_.clear();
    for (std::size_t left = ground_.openings.size() + 1; !ground_.openings.empty() && ground_.openings.size() < left;) {
      left = ground_.openings.size();
      (*ground_.openings.begin())->abandon();
    }
    // Each waits in the loop until its container is gone, and the others' answers come meanwhile.
    each([](ContainerRun& run) { run.fall_silent(); });
    while (!running_.empty()) (void)running_.extract(running_.begin());
  }
  DockerExecutor(const DockerExecutor&) = delete;
  DockerExecutor& operator=(const DockerExecutor&) = delete;

  Result<void> start(Job job, JobListener& listener, std::function<void(JobResult)> done) override {
    return launch(std::move(job), listener, "", [done = std::move(done)](ContainerRun&, JobResult result) { done(std::move(result)); });
  }

  Result<void> open(Job job, OpenedContext opened) override {
    beat();
    return open_docker_context(ground_, std::move(job), std::move(opened));
  }

  Result<void> keep(Job job, std::string key, JobListener& listener, KeptRoot kept) override {
    TRY(check_docker_job(ground_, job, ContainerUse::job));
    // What a tag names may change, and what is kept of it with it.
    const std::string reference = docker_reference(job.image);
    const auto waiting = std::make_shared<KeptRoot>(std::move(kept));
    keeping_.insert(waiting);
    const auto found = [this, job = std::move(job), key = std::move(key), &listener, waiting](const Result<DockerImage>& image) {
      if (!keeping_.contains(waiting)) return;
      if (!image) {
        keeping_.erase(waiting);
        JobResult result;
        result.outcome = {Outcome::Kind::setup_failed, image.error().errno_value, "get the image", image.error().what};
        return (*waiting)(std::move(result), {});
      }
      find_kept(job, sha256_hex(key + "\n" + image->id), listener, waiting);
    };
    images_.get(reference, ground_.pull, ground_.tell, found);
    return {};
  }

  void signal_all(int number) override {
    each([&](ContainerRun& run) { run.signal(number); });
    for (Context* context : ground_.contexts) context->signal(number);
    for (ContainerOpening* opening : ground_.openings) opening->cancel();
    cancel_keeping();
  }

  void cancel_all() override {
    each([](ContainerRun& run) { run.cancel(); });
    for (Context* context : ground_.contexts) context->cancel();
    for (ContainerOpening* opening : ground_.openings) opening->cancel();
    cancel_keeping();
  }

  void cancel(const JobListener& listener) override {
    each([&](ContainerRun& run) {
      if (run.is_heard_by(listener)) run.cancel();
    });
  }

  void expect(const Job& /*next*/) override {}

 private:
  // Of images with the label, which any image may bring along, the one that commit() named.
  static std::string kept_image(const std::string& list, const std::string& key) {
    if (!is_within(list, {.depth = 16, .values = 1'000'000})) return "";
    const auto json = nlohmann::json::parse(list, nullptr, false);
    if (!json.is_array()) return "";
    for (const auto& each : json) {
      for (const std::string& tag : texts_at(each, "RepoTags", 1000, 300)) {
        if (tag == kept_name(key) || tag == "localhost/" + kept_name(key) || tag == "docker.io/library/" + kept_name(key))
          return text_at(each, "Id", 100);
      }
    }
    return "";
  }

  void find_kept(const Job& job, const std::string& key, JobListener& listener, const std::shared_ptr<KeptRoot>& waiting) {
    const std::string filter = nlohmann::json{{"label", {fmt::format("{}={}", kDockerKept, key)}}}.dump();
    DockerRequest find{.path = "/images/json?" + docker_query({{"filters", filter}})};
    api_->call(std::move(find), [this, job, key, &listener, waiting](const Result<DockerReply>& reply) {
      if (keeping_.erase(waiting) == 0) return;
      const KeptRoot& kept = *waiting;
      if (!reply || reply->status != 200)
        return kept(lost(reply ? docker_failure(*reply, "look for an image").what : reply.error().what), {});
      if (const std::string id = kept_image(reply->body, key); !id.empty()) {
        Job next = job;
        next.image = id;
        return kept({}, std::move(next));
      }
      const auto ended = [waiting](ContainerRun& run, JobResult result) {
        std::optional<Job> next;
        if (!run.kept().empty()) {
          next = run.job();
          next->image = run.kept();
        }
        (*waiting)(std::move(result), std::move(next));
      };
      if (auto launched = launch(job, listener, key, ended); !launched) kept(lost(launched.error().what), {});
    });
  }

  // Those that wait for an image, and have no container yet.
  void cancel_keeping() {
    for (const auto& each : std::exchange(keeping_, {})) {
      reactor_.schedule(Reactor::Clock::now(), [each] {
        JobResult result;
        result.outcome = {Outcome::Kind::cancelled};
        (*each)(std::move(result), {});
      });
    }
  }

  static JobResult lost(std::string why) {
    JobResult result;
    result.outcome = {Outcome::Kind::lost, 0, "", std::move(why)};
    return result;
  }

  template <class Call>
  void each(Call call) {
    for (const auto& [key, run] : running_) call(*run);
  }

  Result<void> launch(Job job, JobListener& listener, const std::string& key, ContainerRun::Done done) {
    const auto ended = [this, done = std::move(done)](ContainerRun& run, JobResult result) {
      const std::unique_ptr<ContainerRun> owner = std::move(running_.at(&run));
      running_.erase(&run);
      done(run, std::move(result));
    };
    TRY_ASSIGN(std::unique_ptr<ContainerRun> run, ContainerRun::create(ground_, std::move(job), listener, ended));
    if (!key.empty()) run->keep(key);
    ContainerRun* raw = run.get();
    running_[raw] = std::move(run);
    raw->begin();
    beat();
    return {};
  }

  // A daemon that hangs says nothing, and a wait for a container's end may take for ever.
  void beat() {
    if (beat_ || ping_) return;
    beat_ = reactor_.schedule(Reactor::Clock::now() + kBeat, [this] {
      beat_.reset();
      if (running_.empty()) return;
      ping_ = api_->call({.path = "/_ping", .silence = kHangs, .lap = kHangs}, [this](Result<DockerReply> reply) {
        ping_.reset();
        if (!reply) each([&](ContainerRun& run) { run.lose(reply.error()); });
        beat();
      });
    });
  }

  Reactor& reactor_;
  std::unique_ptr<DockerApi> api_;
  DockerImages images_;
  DockerGround ground_;
  std::optional<Reactor::TimerId> beat_;
  std::optional<DockerCallId> ping_;
  std::set<std::shared_ptr<KeptRoot>> keeping_;  // asked for, without a container yet
  std::unordered_map<ContainerRun*, std::unique_ptr<ContainerRun>> running_;
};

}  // namespace

Result<std::unique_ptr<Executor>> make_docker_executor(Reactor& reactor, DockerOptions options) {
  std::string witness = options.witness;
  if (witness.empty()) {
    TRY_ASSIGN(witness, witness_program());
  }
  TRY_ASSIGN(std::unique_ptr<DockerApi> api, DockerApi::create(reactor, options.endpoint));
  std::optional<Result<DockerVersion>> version;
  api->negotiate([&](Result<DockerVersion> said) { version = std::move(said); });
  while (!version) TRY(reactor.turn(std::chrono::seconds(1)));
  if (!*version) return std::unexpected(std::move(version->error()));
  TRY(sweep_docker(*api, reactor));
  return std::make_unique<DockerExecutor>(reactor, std::move(api), std::move(options), std::move(witness));
}

}  // namespace casemate
