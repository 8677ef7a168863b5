#include "docker/snapshot.h"

#include <exception>
#include <utility>

#include <fmt/format.h>

#include "docker/upper_layer.h"

namespace casemate {
namespace {

constexpr std::size_t kMostLooks = 20'000;
constexpr std::size_t kAtATime = 8;

Change::Type type_of(TarEntry::Type type) {
  switch (type) {
    case TarEntry::Type::file:
    case TarEntry::Type::hard_link:
      return Change::Type::file;
    case TarEntry::Type::directory:
      return Change::Type::directory;
    case TarEntry::Type::symlink:
      return Change::Type::symlink;
    default:
      return Change::Type::skipped;
  }
}

}  // namespace

std::map<std::string, LayerStep> steps_between(const LayerSnapshot& before, const LayerSnapshot& after) {
  std::map<std::string, LayerStep> steps;
  for (const auto& [path, now] : after.entries) {
    const auto found = before.entries.find(path);
    const bool known = found != before.entries.end();
    const bool is_directory = now.type == Change::Type::directory;
    if (now.kind == LayerChange::deleted) {
      if (!known || found->second.kind != LayerChange::deleted)
        steps[path] = {Change::Kind::deleted, known ? found->second.type : now.type};
    } else if (!known) {
      if (now.kind == LayerChange::added) steps[path] = {Change::Kind::created, now.type};
      if (now.kind == LayerChange::modified && !is_directory) steps[path] = {Change::Kind::modified, now.type};
    } else if (found->second.kind == LayerChange::deleted) {
      steps[path] = {Change::Kind::created, now.type};
    } else if (found->second.type != now.type || (!is_directory && found->second.look != now.look)) {
      steps[path] = {Change::Kind::modified, now.type};
    }
  }
  for (const auto& [path, then] : before.entries) {
    if (after.entries.contains(path)) continue;
    // What was added and is gone; or was deleted and is there again as the image has it.
    if (then.kind == LayerChange::added) {
      // Of a tree that is gone one word is enough, as an overlay has it.
      const auto slash = path.rfind('/');
      const auto above = slash == std::string::npos ? steps.end() : steps.find(path.substr(0, slash));
      const bool told = above != steps.end() && above->second.kind == Change::Kind::deleted;
      steps[path] = {Change::Kind::deleted, then.type};
      if (told) steps[path].type = Change::Type::skipped;  // taken out below
    } else if (then.kind == LayerChange::deleted) {
      steps[path] = {Change::Kind::created, then.type};
    }
  }
  std::erase_if(steps,
                [](const auto& step) { return step.second.kind == Change::Kind::deleted && step.second.type == Change::Type::skipped; });
  return steps;
}

SnapshotTaking::~SnapshotTaking() {
  for (const DockerCallId id : calls_) api_.forget(id);
}

void SnapshotTaking::call(DockerRequest request, std::function<void(const Result<DockerReply>&)> then) {
  const auto id = std::make_shared<DockerCallId>();
  *id = api_.call(std::move(request), [this, id, then = std::move(then)](const Result<DockerReply>& reply) {
    calls_.erase(*id);
    then(reply);
  });
  calls_.insert(*id);
}

void SnapshotTaking::end(Result<LayerSnapshot> result) {
  for (const DockerCallId id : std::exchange(calls_, {})) api_.forget(id);
  const Done done = std::move(done_);  // it may destroy us
  done(std::move(result));
}

void SnapshotTaking::begin() {
  if (layer_) return walk();
  list();
}

void SnapshotTaking::walk() {
  const auto work = [this](const std::stop_token& stop) {
    try {
      walked_ = layer_->look(stop);
    } catch (const std::exception& problem) {  // no memory
      walked_ = fail(ErrorCode::exhausted, problem.what());
    }
  };
  auto walking = SideWork::begin(api_.reactor(), work, [this] {
    if (!*walked_) return list();
    end(std::move(*walked_));
  });
  if (!walking) return list();
  walking_ = std::move(*walking);
}

void SnapshotTaking::list() {
  call({.path = fmt::format("/containers/{}/changes", container_), .most_bytes = 64u << 20},
       [this](const Result<DockerReply>& reply) { listed(reply); });
}

void SnapshotTaking::listed(const Result<DockerReply>& reply) {
  if (!reply) return end(std::unexpected(reply.error()));
  if (reply->status != 200) return end(std::unexpected(docker_failure(*reply, "list what changed")));
  auto changes = parse_changes(reply->body);
  if (!changes) return end(std::unexpected(changes.error()));
  for (const auto& [path, kind] : *changes) {
    snapshot_.entries[path].kind = kind;
    if (kind == LayerChange::deleted) continue;
    const auto below = changes->upper_bound(path + "/");
    if (below != changes->end() && below->first.starts_with(path + "/")) {
      snapshot_.entries[path].type = Change::Type::directory;
    } else if (waiting_.size() < kMostLooks) {
      waiting_.push_back(path);
    } else {
      snapshot_.truncated = true;
    }
  }
  if (waiting_.empty()) return end(std::move(snapshot_));
  for (std::size_t i = 0; i < kAtATime && !waiting_.empty(); ++i) look();
}

void SnapshotTaking::look() {
  const std::string path = std::move(waiting_.back());
  waiting_.pop_back();
  DockerRequest request{.method = "HEAD",
                        .path = fmt::format("/containers/{}/archive?{}", container_, docker_query({{"path", "/" + path}}))};
  call(std::move(request), [this, path](const Result<DockerReply>& reply) {
    if (!reply) return end(std::unexpected(reply.error()));
    LayerEntry& entry = snapshot_.entries[path];
    if (const auto stat = parse_path_stat(reply->path_stat)) {
      entry.type = type_of(stat->type);
      if (entry.type != Change::Type::directory) entry.look = {stat->size, stat->mode, stat->modified.tv_sec, stat->modified.tv_nsec};
    }
    if (!waiting_.empty()) return look();
    if (calls_.empty()) end(std::move(snapshot_));
  });
}

}  // namespace casemate
