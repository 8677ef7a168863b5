#include "docker/container_creation.h"

#include <fmt/format.h>

#include "base/untrusted_json.h"
#include "docker/archive.h"
#include "sys/random.h"

namespace casemate {

std::string docker_reference(const std::string& image) {
  for (const std::string_view prefix : {"docker://", "docker-daemon:"}) {
    if (image.starts_with(prefix)) return image.substr(prefix.size());
  }
  return image;
}

std::string random_token() { return random_name() + random_name(); }

Result<void> check_docker_job(const DockerGround& ground, Job job, ContainerUse use) {
  if (ground.config) {  // these come from the image
    if (job.argv.empty()) job.argv = {"true"};
    if (job.cwd.empty()) job.cwd = "/";
  }
  TRY(container_spec(job, {.endpoint = ground.api.endpoint(), .use = use, .podman = ground.podman()}));
  return {};
}

ContainerCreation::~ContainerCreation() {
  *alive_ = false;
  if (call_) ground_.api.forget(*call_);
}

void ContainerCreation::begin(std::function<void(Result<void>)> made) {
  made_ = std::move(made);
  ground_.images.get(docker_reference(job_.image), ground_.pull, ground_.tell, [this, alive = alive_](Result<DockerImage> image) {
    if (!*alive) return;
    if (!image) return end(std::unexpected(std::move(image.error())));
    image_ = std::move(*image);
    if (auto taken = take_config(); !taken) return end(std::move(taken));
    create();
  });
}

// As docker itself does.
Result<void> ContainerCreation::take_config() {
  if (!ground_.config) return {};
  const ConfigUse& use = *ground_.config;
  if (use.env) {
    for (const std::string& variable : image_.env) {
      const auto equals = variable.find('=');
      if (equals != std::string::npos && equals > 0) job_.env.emplace(variable.substr(0, equals), variable.substr(equals + 1));
    }
  }
  job_.env.emplace("PATH", kDefaultPath);
  job_.env.emplace("HOME", "/root");
  if (job_.cwd.empty() && use.working_directory) job_.cwd = image_.working_directory;
  if (job_.cwd.empty()) job_.cwd = "/";
  if (use.entrypoint) {
    std::vector<std::string> words = image_.entrypoint;
    const std::vector<std::string>& rest = job_.argv.empty() ? image_.command : job_.argv;
    words.insert(words.end(), rest.begin(), rest.end());
    job_.argv = std::move(words);
  }
  if (job_.argv.empty()) return fail(ErrorCode::invalid_input, "no command, and the image says none");
  user_ = !ground_.user.empty() ? ground_.user : use.user ? image_.user : "";
  return {};
}

void ContainerCreation::call(DockerRequest request, std::function<void(Result<DockerReply>)> then) {
  call_ = ground_.api.call(std::move(request), [this, then = std::move(then)](Result<DockerReply> reply) {
    call_.reset();
    then(std::move(reply));
  });
}

void ContainerCreation::end(Result<void> result) {
  const auto made = std::move(made_);  // it may destroy us
  made(std::move(result));
}

void ContainerCreation::create() {
  step_ = "create the container";
  const bool mounted = ground_.api.endpoint().local() && ground_.witness_is_seen;
  ContainerSetting setting{.endpoint = ground_.api.endpoint(),
                           .use = use_,
                           .podman = ground_.podman(),
                           .label_value = ground_.label_value,
                           .user = user_,
                           .witness = mounted ? ground_.witness : "",
                           .token = token_,
                           .image = image_.id,
                           .image_env = image_.env};
  auto spec = container_spec(job_, setting);
  if (!spec) return end(std::unexpected(std::move(spec.error())));
  spec_ = std::move(*spec);
  if (!mounted) spec_.uploads.push_back({.lower = {ground_.witness}, .target = std::string(kWitnessPlace)});
  DockerRequest request{.method = "POST",
                        .path = "/containers/create?" + docker_query({{"name", "casemate-" + random_token().substr(0, 16)}})};
  request.body = spec_.body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  call(std::move(request), [this](const Result<DockerReply>& reply) { created(reply); });
}

void ContainerCreation::created(const Result<DockerReply>& reply) {
  if (!reply) return end(std::unexpected(reply.error()));
  if (reply->status != 201) {
    // A daemon that sees other files than we do (in a virtual machine, or another mount namespace).
    const bool unseen = ground_.witness_is_seen && reply->body.find(ground_.witness) != std::string::npos;
    if (unseen) {
      ground_.witness_is_seen = false;
      return create();
    }
    return end(std::unexpected(docker_failure(*reply, step_)));
  }
  if (const auto json = untrusted_object(reply->body)) id_ = text_at(*json, "Id", 64);
  if (id_.empty() || id_.find_first_not_of("0123456789abcdef") != std::string::npos)
    return end(fail(ErrorCode::corrupt, "the daemon made a container and does not say which", 0, "docker daemon"));
  upload();
}

void ContainerCreation::upload() {
  if (uploaded_ == spec_.uploads.size()) return end({});
  step_ = "copy files into the container";
  ContainerSpecBody::Upload each = spec_.uploads[uploaded_++];
  std::string place = "/";
  if (each.volume) std::swap(place, each.target);  // below a read-only root dockerd takes files for a volume alone, and by its own place
  auto archive = UploadArchive::open(each);
  if (!archive) return end(std::unexpected(std::move(archive.error())));
  DockerRequest request{.method = "PUT",
                        .path = fmt::format("/containers/{}/archive?{}", id_, docker_query({{"path", place}})),
                        .content_type = "application/x-tar"};
  request.produce = [source = std::shared_ptr<UploadArchive>(std::move(*archive))] { return source->next(); };
  call(std::move(request), [this](const Result<DockerReply>& reply) {
    if (!reply) return end(std::unexpected(reply.error()));
    if (reply->status != 200) return end(std::unexpected(docker_failure(*reply, step_)));
    upload();
  });
}

}  // namespace casemate
