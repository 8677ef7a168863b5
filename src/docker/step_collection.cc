#include "docker/step_collection.h"

#include <algorithm>
#include <utility>

#include "engine/delivery.h"

namespace casemate {
namespace {

// Archives say what is there, and have directories that are merely on the way.
void judge(JobResult& result, const std::map<std::string, LayerStep>& steps) {
  std::erase_if(result.changes, [&](const Change& change) { return !steps.contains(change.path); });
  for (Change& change : result.changes) change.kind = steps.at(change.path).kind;
  for (const auto& [path, step] : steps) {
    if (step.kind != Change::Kind::deleted) continue;
    Change change;
    change.kind = Change::Kind::deleted;
    change.type = step.type;
    change.path = path;
    result.changes.push_back(std::move(change));
  }
  std::sort(result.changes.begin(), result.changes.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
}

}  // namespace

Result<std::unique_ptr<Collection>> collect_steps(DockerGround& ground, const OpenContainer& container,
                                                  std::map<std::string, LayerStep> steps, const std::string& destination,
                                                  Collection::Done done) {
  Collection::Request request{
      .container = container.id, .image = container.image, .label_value = ground.label_value, .destination = destination};
  request.changes.emplace();
  for (const auto& [path, step] : steps) {
    if (step.kind != Change::Kind::deleted) request.changes->emplace(path, LayerChange::added);
  }
  auto root = std::make_shared<UniqueFd>();
  if (!destination.empty()) {
    TRY_ASSIGN(Delivery delivery, Delivery::open(destination));
    *root = std::move(delivery).take_root();
  }
  request.places.push_back({.path = "", .bare = true, .destination_fd = root->get()});
  return Collection::begin(ground.api, ground.reactor, std::move(request),
                           [root, steps = std::move(steps), done = std::move(done)](JobResult result) {
                             judge(result, steps);
                             done(std::move(result));
                           });
}

}  // namespace casemate
