// container_opening: from a context's job to a container that runs, and waits for commands.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "docker/container_creation.h"
#include "docker/snapshot.h"
#include "docker/upper_layer.h"

namespace casemate {

/// What was opened. Who has it removes the container.
struct OpenContainer {
  std::string id;
  std::string image;                        ///< id
  std::unique_ptr<DockerStream> hold;       ///< stdin of its first process: it ends with this
  std::shared_ptr<const UpperLayer> layer;  ///< null: the daemon is asked what changed
  LayerSnapshot first;                      ///< before any command
};

/// One opening. What it has made on the way to an error it removes.
class ContainerOpening {
 public:
  /// Called once, later. What keeps the opening alive may be in it.
  using Done = std::function<void(Result<OpenContainer>)>;
  ContainerOpening(DockerGround& ground, const Job& job)
      : ground_(ground), creation_(std::make_unique<ContainerCreation>(ground, job, ContainerUse::context, random_token())) {
    ground.openings.insert(this);
  }
  ~ContainerOpening();
  ContainerOpening(const ContainerOpening&) = delete;
  ContainerOpening& operator=(const ContainerOpening&) = delete;
  void begin(Done done);
  /// It ends with Error cancelled.
  void cancel();
  /// The same without a word to anybody, for an executor that goes. It may be gone then.
  void abandon();

 private:
  void find_layer();
  void attach();
  void attached(std::unique_ptr<DockerStream> hold);
  void start();
  void take_snapshot();
  void end(Result<void> result);

  DockerGround& ground_;
  Done done_;
  std::unique_ptr<ContainerCreation> creation_;
  OpenContainer container_;
  std::optional<DockerCallId> call_;
  std::optional<Reactor::TimerId> end_;
  std::unique_ptr<UpperLayerSearch> search_;
  std::unique_ptr<SnapshotTaking> taking_;
};

}  // namespace casemate
