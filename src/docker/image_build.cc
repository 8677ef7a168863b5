#include "docker/image_build.h"

#include <deque>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "docker/build_context.h"
#include "docker/credentials.h"
#include "docker/json_lines.h"

namespace casemate {
namespace {

constexpr std::size_t kLastLines = 8;
constexpr std::size_t kMostLine = 300;
constexpr std::size_t kMostLog = 64u << 10;   // of a line that does not end
constexpr std::chrono::minutes kSilence{60};  // a step may say nothing for long

class RunningBuild final : public ImageBuild {
 public:
  RunningBuild(DockerApi& api, BuildOrder order, TellDocker tell, std::function<void(Result<void>)> done)
      : api_(api), order_(std::move(order)), tell_(std::move(tell)), done_(std::move(done)), objects_([this](const nlohmann::json& object) {
          hear(object);
        }) {
    if (order_.dockerfile.empty()) order_.dockerfile = "Dockerfile";
    timer_ = api_.reactor().schedule(Reactor::Clock::now(), [this] {
      timer_ = 0;
      if (const Result<void> begun = begin(); !begun) finish(std::unexpected(begun.error()));
    });
  }
  ~RunningBuild() override {
    api_.reactor().cancel(timer_);
    if (call_ != 0) api_.forget(call_);
  }
  RunningBuild(const RunningBuild&) = delete;
  RunningBuild& operator=(const RunningBuild&) = delete;

 private:
  Result<void> begin() {
    if (order_.tag.empty()) return fail(ErrorCode::invalid_input, "the image to build has no name that one may have");
    TRY_ASSIGN(context_, BuildContext::open(order_.directory, order_.dockerfile));
    DockerRequest request{.method = "POST", .content_type = "application/x-tar"};
    const nlohmann::json labels = {{order_.label, order_.tag}};
    request.path = "/build?" + docker_query({{"t", order_.tag},
                                             {"dockerfile", order_.dockerfile},
                                             {"labels", labels.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)},
                                             {"rm", "1"},
                                             {"forcerm", "1"}});
    if (const std::string all = DockerConfig::read().all(); !all.empty()) request.headers.push_back("X-Registry-Config: " + all);
    request.silence = kSilence;
    request.lap = {};
    request.produce = [this] { return context_->next(); };
    request.stream = [this](std::string_view bytes) { return objects_.feed(bytes); };
    call_ = api_.call(std::move(request), [this](Result<DockerReply> reply) {
      call_ = 0;
      objects_.end();
      end_of_line();
      if (!reply) return finish(std::unexpected(reply.error()));
      if (reply->status != 200) return finish(std::unexpected(docker_failure(*reply, "build '" + order_.tag + "'")));
      if (error_.empty()) return finish({});
      const bool full = error_.find("no space left on device") != std::string::npos;
      finish(fail(full ? ErrorCode::exhausted : ErrorCode::invalid_input,
                  fmt::format("can't build '{}': {}; the log ends: {}", order_.tag, printable_line(error_), fmt::join(last_, " | "))));
    });
    return {};
  }

  void hear(const nlohmann::json& object) {
    if (const std::string error = text_at(object, "error", 1000); !error.empty()) error_ = error;
    for (const char byte : text_at(object, "stream")) {
      if (byte == '\n' || byte == '\r') {
        end_of_line();
      } else if (line_.size() < kMostLog) {
        line_ += byte;
      }
    }
  }

  void end_of_line() {
    const std::string line = printable_line(std::exchange(line_, {}).substr(0, kMostLine));
    if (line.empty()) return;
    last_.push_back(line);
    if (last_.size() > kLastLines) last_.pop_front();
    if (tell_) tell_(line);
  }

  void finish(Result<void> result) {
    const auto done = std::move(done_);
    done(std::move(result));  // this may be gone now
  }

  DockerApi& api_;
  BuildOrder order_;
  TellDocker tell_;
  std::function<void(Result<void>)> done_;
  JsonLines objects_;
  std::unique_ptr<BuildContext> context_;
  std::string error_;
  std::string line_;              // of the log, so far
  std::deque<std::string> last_;  // lines of the log
  DockerCallId call_ = 0;
  Reactor::TimerId timer_ = 0;
};

}  // namespace

std::unique_ptr<ImageBuild> ImageBuild::start(DockerApi& api, BuildOrder order, TellDocker tell, std::function<void(Result<void>)> done) {
  return std::make_unique<RunningBuild>(api, std::move(order), std::move(tell), std::move(done));
}

}  // namespace casemate
