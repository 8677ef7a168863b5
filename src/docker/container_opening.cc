#include "docker/container_opening.h"

#include <utility>

#include <fmt/format.h>

namespace casemate {

ContainerOpening::~ContainerOpening() {
  ground_.openings.erase(this);
  if (call_) ground_.api.forget(*call_);
  if (end_) ground_.reactor.cancel(*end_);
  search_.reset();
  taking_.reset();
  container_.hold.reset();
  const std::string id = creation_ ? creation_->id() : "";
  creation_.reset();
  if (!id.empty()) remove_container(ground_.api, ground_.reactor, id, ground_.removal_time());
}

void ContainerOpening::begin(Done done) {
  done_ = std::move(done);
  creation_->begin([this](Result<void> made) {
    container_.id = creation_->id();
    container_.image = creation_->image().id;
    if (!made) return end(std::move(made));
    find_layer();
  });
}

void ContainerOpening::cancel() { end(fail(ErrorCode::cancelled, "cancelled while the container was made ready")); }

void ContainerOpening::abandon() { const Done last = std::exchange(done_, nullptr); }

// Podman's storage is none of Docker's.
void ContainerOpening::find_layer() {
  if (!ground_.api.endpoint().local() || ground_.podman()) return attach();
  search_ = std::make_unique<UpperLayerSearch>(ground_.api, container_.id, [this](std::shared_ptr<const UpperLayer> layer) {
    container_.layer = std::move(layer);
    attach();
  });
  search_->begin();
}

// Its stdin keeps the container alive: when we go, however, it ends.
void ContainerOpening::attach() {
  DockerRequest request{.method = "POST", .path = fmt::format("/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1", container_.id)};
  call_ = ground_.api.open_stream(std::move(request), [this](Result<std::unique_ptr<DockerStream>> hold) {
    call_.reset();
    if (!hold) return end(std::unexpected(std::move(hold.error())));
    attached(std::move(*hold));
  });
}

void ContainerOpening::attached(std::unique_ptr<DockerStream> hold) {
  container_.hold = std::move(hold);
  container_.hold->listen([](std::string_view) {},
                          [this](const Result<void>&) { end(fail(ErrorCode::system, "the container ended at its start")); });
  start();
}

void ContainerOpening::start() {
  call_ = ground_.api.call({.method = "POST", .path = fmt::format("/containers/{}/start", container_.id)},
                           [this](const Result<DockerReply>& reply) {
                             call_.reset();
                             if (!reply) return end(std::unexpected(reply.error()));
                             if (reply->status != 204) return end(std::unexpected(docker_failure(*reply, "start the container")));
                             take_snapshot();
                           });
}

void ContainerOpening::take_snapshot() {
  taking_ = std::make_unique<SnapshotTaking>(ground_.api, container_.id, container_.layer, [this](Result<LayerSnapshot> taken) {
    if (!taken) return end(std::unexpected(std::move(taken.error())));
    container_.first = std::move(*taken);
    end({});
  });
  taking_->begin();
}

// Not from within callbacks of what goes with this.
void ContainerOpening::end(Result<void> result) {
  if (end_) return;
  end_ = ground_.reactor.schedule(Reactor::Clock::now(), [this, result = std::move(result)] {
    end_.reset();
    const Done done = std::move(done_);  // it may be what keeps us
    if (!result) return done(std::unexpected(result.error()));
    taking_.reset();
    creation_.reset();
    done(std::move(container_));
  });
}

}  // namespace casemate
