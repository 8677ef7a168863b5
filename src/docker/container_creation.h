// container_creation: from a job to a container that is ready to start, and what all containers of one executor share.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "docker/api.h"
#include "docker/container_spec.h"
#include "docker/images.h"
#include "engine/reactor.h"
#include "image/root.h"

namespace casemate {

class ContainerOpening;
class Context;

/// Lives as long as the executor.
struct DockerGround {
  DockerApi& api;
  Reactor& reactor;
  DockerImages& images;
  DockerPull pull = DockerPull::missing;
  TellDocker tell;
  std::optional<ConfigUse> config;  ///< as DockerOptions
  std::string user;
  std::string label_value;               ///< of kDockerLabel, on all we make
  std::string witness;                   ///< host path of the witness's program
  bool witness_is_seen = true;           ///< the daemon can mount it; false: it is uploaded into each container
  std::set<ContainerOpening*> openings;  ///< under way
  std::set<Context*> contexts;           ///< that are open
  [[nodiscard]] bool podman() const { return api.version().name == "podman"; }
  /// What a container's removal may take when nobody is left to wait longer. Podman gives its processes 10 s to end by themselves.
  [[nodiscard]] std::chrono::seconds removal_time() const { return std::chrono::seconds(podman() ? 20 : 5); }
};

/// How containers are made: create with what the daemon can mount, else with an upload; then all uploads. Calls `made` once.
/// What was made on the way to an error is removed by its owner: id() has it.
class ContainerCreation {
 public:
  ContainerCreation(DockerGround& ground, const Job& job, ContainerUse use, std::string token)
      : ground_(ground), job_(job), use_(use), token_(std::move(token)) {}
  ~ContainerCreation();
  ContainerCreation(const ContainerCreation&) = delete;
  ContainerCreation& operator=(const ContainerCreation&) = delete;

  void begin(std::function<void(Result<void>)> made);
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const DockerImage& image() const { return image_; }
  [[nodiscard]] const ContainerSpecBody& spec() const { return spec_; }
  /// As it runs: with what it takes over of the image's config.
  [[nodiscard]] const Job& job() const { return job_; }
  /// What was going on when it failed: "get the image", "create the container".
  [[nodiscard]] const char* step() const { return step_; }

 private:
  Result<void> take_config();
  void create();
  void created(const Result<DockerReply>& reply);
  void upload();
  void call(DockerRequest request, std::function<void(Result<DockerReply>)> then);
  void end(Result<void> result);

  DockerGround& ground_;
  Job job_;
  ContainerUse use_;
  std::string token_;
  std::function<void(Result<void>)> made_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::optional<DockerCallId> call_;
  DockerImage image_;
  std::string user_;  // in the image's words
  ContainerSpecBody spec_;
  std::size_t uploaded_ = 0;
  std::string id_;
  const char* step_ = "get the image";
};

/// What can be said of the job before its image is known: container_spec()'s errors.
Result<void> check_docker_job(const DockerGround& ground, Job job, ContainerUse use);

/// The images' names as docker has them: "docker://x" and "docker-daemon:x" are x.
[[nodiscard]] std::string docker_reference(const std::string& image);

/// 32 random hex digits.
[[nodiscard]] std::string random_token();

}  // namespace casemate
