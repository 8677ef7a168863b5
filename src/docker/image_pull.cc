#include "docker/image_pull.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "docker/credentials.h"
#include "docker/json_lines.h"
#include "docker/pull_lines.h"
#include "image/reference.h"

namespace casemate {
namespace {

constexpr std::chrono::milliseconds kBetweenLines{100};
constexpr std::chrono::minutes kSilence{5};  // a registry may be slow, and the daemon says nothing while it is

ErrorCode code_of(std::string_view message) {
  const auto says = [message](std::string_view words) { return message.find(words) != std::string_view::npos; };
  if (says("no space left on device")) return ErrorCode::exhausted;
  if (says("unauthorized") || says("authentication required") || says("no basic auth") || says("incorrect username or password"))
    return ErrorCode::refused;
  if (says("not found") || says("manifest unknown") || says("name unknown") || says("does not exist")) return ErrorCode::not_found;
  if (says("denied") || says("forbidden")) return ErrorCode::refused;
  return ErrorCode::system;
}

class RunningPull final : public ImagePull {
 public:
  RunningPull(DockerApi& api, const std::string& reference, TellDocker tell, std::function<void(Result<void>)> done)
      : api_(api),
        reference_(reference),
        tell_(std::move(tell)),
        done_(std::move(done)),
        lines_(reference),
        objects_([this](const nlohmann::json& object) { progress(object); }) {
    // Later, whatever there is to say: nobody has us yet.
    timer_ = api_.reactor().schedule(Reactor::Clock::now(), [this] {
      timer_ = 0;
      begin();
    });
  }
  ~RunningPull() override {
    api_.reactor().cancel(timer_);
    if (call_ != 0) api_.forget(call_);
  }
  RunningPull(const RunningPull&) = delete;
  RunningPull& operator=(const RunningPull&) = delete;

 private:
  void begin() {
    auto parsed = parse_image_reference("docker://" + reference_);
    if (!parsed || parsed->name.empty())
      return finish(fail(ErrorCode::invalid_input, fmt::format("'{}' is no image that could be pulled", printable_line(reference_))));
    image_ = std::move(*parsed);
    registry_ = image_.name.substr(0, image_.name.find('/'));
    const DockerConfig config = DockerConfig::read();
    stored_ = config.stored(registry_);
    const std::string helper = config.helper(registry_);
    if (helper.empty()) return pull(stored_);
    helper_ = CredentialHelper::ask(api_.reactor(), helper, registry_, [this](Result<std::optional<RegistryCredentials>> found) {
      // As docker's own client does, without any then: most images are public.
      if (!found) say(fmt::format("no credentials for {}: {}", printable_name(registry_), found.error().what));
      pull(found && *found ? *found : stored_);
    });
  }

  void pull(const std::optional<RegistryCredentials>& credentials) {
    DockerRequest request{.method = "POST"};
    request.path =
        "/images/create?" + docker_query({{"fromImage", image_.name}, {"tag", image_.digest.empty() ? image_.tag : image_.digest}});
    if (credentials) request.headers.push_back("X-Registry-Auth: " + auth_header(*credentials, registry_));
    request.silence = kSilence;
    request.lap = {};
    request.stream = [this](std::string_view bytes) { return objects_.feed(bytes); };
    say(lines_.line());
    call_ = api_.call(std::move(request), [this](Result<DockerReply> reply) {
      call_ = 0;
      objects_.end();
      if (!reply) return finish(std::unexpected(reply.error()));
      if (reply->status != 200) {
        Error error = docker_failure(*reply, "pull image '" + printable_line(reference_) + "'");
        if (error.code == ErrorCode::system || error.code == ErrorCode::not_found) error.code = code_of(error.what);
        return finish(std::unexpected(std::move(error)));
      }
      if (!lines_.error().empty())
        return finish(fail(code_of(lines_.error()), fmt::format("can't pull image '{}': the docker daemon says: {}",
                                                                printable_line(reference_), printable_line(lines_.error()))));
      lines_.finish();
      say(lines_.line());
      finish({});
    });
  }

  void progress(const nlohmann::json& object) {
    if (!lines_.take(object) || Reactor::Clock::now() < last_ + kBetweenLines) return;
    last_ = Reactor::Clock::now();
    say(lines_.line());
  }

  void say(const std::string& line) {
    if (tell_ && line != said_) tell_(line);
    said_ = line;
  }

  void finish(Result<void> result) {
    const auto done = std::move(done_);
    done(std::move(result));  // this may be gone now
  }

  DockerApi& api_;
  std::string reference_;
  TellDocker tell_;
  std::function<void(Result<void>)> done_;
  PullLines lines_;
  JsonLines objects_;
  ImageReference image_;
  std::string registry_;
  std::optional<RegistryCredentials> stored_;
  std::unique_ptr<CredentialHelper> helper_;
  DockerCallId call_ = 0;
  Reactor::TimerId timer_ = 0;
  Reactor::Clock::time_point last_{};
  std::string said_;
};

}  // namespace

std::unique_ptr<ImagePull> ImagePull::start(DockerApi& api, const std::string& reference, TellDocker tell,
                                            std::function<void(Result<void>)> done) {
  return std::make_unique<RunningPull>(api, reference, std::move(tell), std::move(done));
}

}  // namespace casemate
