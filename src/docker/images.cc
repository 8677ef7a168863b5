#include "docker/images.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "docker/image_build.h"
#include "docker/image_pull.h"
#include "image/reference.h"

namespace casemate {
namespace {

using GotImage = std::function<void(Result<DockerImage>)>;

constexpr std::size_t kMostWords = 10'000;
constexpr std::size_t kMostName = 512;

// Names go into paths as they are: these characters alone, which the grammar of references has.
Result<void> check_name(const std::string& name) {
  const bool plain = !name.empty() && name.size() <= kMostName && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-:/@").find(c) != std::string_view::npos;
  });
  const bool dots = name.starts_with('/') || name.find("..") != std::string::npos || name.find("//") != std::string::npos;
  if (plain && !dots) return {};
  return fail(ErrorCode::invalid_input, fmt::format("'{}' is no name of an image", printable_line(name)));
}

// "sha256:..." of the repository that `reference` names, else of the first.
std::string digest_of(const nlohmann::json& answer, const std::string& reference) {
  const std::string name = reference.substr(0, reference.find('@'));
  std::string first;
  for (const std::string& full : texts_at(answer, "RepoDigests", 1000, 1000)) {
    const std::size_t at = full.find('@');
    if (at == std::string::npos || !check_digest(full.substr(at + 1))) continue;
    if (first.empty()) first = full.substr(at + 1);
    const std::string repository = full.substr(0, at);
    if (name == repository || name.starts_with(repository + ":")) return full.substr(at + 1);
  }
  return first;
}

Result<DockerImage> read_image(const DockerReply& reply, const std::string& reference) {
  const auto answer = untrusted_object(reply.body);
  DockerImage image;
  if (answer) image.id = text_at(*answer, "Id", 200);
  if (image.id.empty()) return fail(ErrorCode::corrupt, "the docker daemon describes an image without an id");
  image.digest = digest_of(*answer, reference);
  image.bytes = number_at(*answer, "Size");
  const nlohmann::json* const config = member_if(*answer, "Config", &nlohmann::json::is_object);
  if (!config) return image;
  image.env = texts_at(*config, "Env", kMostWords);
  image.working_directory = text_at(*config, "WorkingDir");
  image.user = text_at(*config, "User");
  image.entrypoint = texts_at(*config, "Entrypoint", kMostWords);
  image.command = texts_at(*config, "Cmd", kMostWords);
  return image;
}

}  // namespace

struct DockerImages::Parts {
  explicit Parts(DockerApi& daemon) : api(daemon) {}
  ~Parts() {
    pulls.clear();
    builds.clear();
    for (const DockerCallId id : calls) api.forget(id);
    for (const auto& timer : timers) api.reactor().cancel(*timer);
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  // As DockerApi::call(), and forgotten with us.
  void call(DockerRequest request, std::function<void(Result<DockerReply>)> done) {
    const auto id = std::make_shared<DockerCallId>(0);
    *id = api.call(std::move(request), [this, id, done = std::move(done)](Result<DockerReply> reply) {
      calls.erase(*id);
      done(std::move(reply));
    });
    calls.insert(*id);
  }

  // What can be said at once, but is not to be.
  void later(std::function<void()> what) {
    const auto timer = std::make_shared<Reactor::TimerId>(0);
    *timer = api.reactor().schedule(Reactor::Clock::now(), [this, timer, what = std::move(what)] {
      timers.erase(timer);
      what();
    });
    timers.insert(timer);
  }

  // nullopt in it: the daemon does not have it.
  void inspect(const std::string& reference, std::function<void(Result<std::optional<DockerImage>>)> done) {
    DockerRequest request{.path = "/images/" + reference + "/json"};
    call(std::move(request), [reference, done = std::move(done)](Result<DockerReply> reply) {
      if (!reply) return done(std::unexpected(reply.error()));
      if (reply->status == 404) return done(std::nullopt);
      if (reply->status != 200) return done(std::unexpected(docker_failure(*reply, "look at image " + reference)));
      auto image = read_image(*reply, reference);
      if (!image) return done(std::unexpected(image.error()));
      done(std::move(*image));
    });
  }
  // Must be there.
  void describe(const std::string& reference, GotImage done) {
    inspect(reference, [reference, done = std::move(done)](Result<std::optional<DockerImage>> image) {
      if (!image) return done(std::unexpected(image.error()));
      if (!*image) return done(fail(ErrorCode::not_found, fmt::format("the docker daemon lost the image '{}'", reference)));
      done(std::move(**image));
    });
  }

  void pull(const std::string& reference, TellDocker tell, GotImage done);
  void end_pull(const std::string& reference, const Result<void>& result);
  void remove_next(const std::shared_ptr<struct Pruning>& pruning);

  struct Pull {
    std::unique_ptr<ImagePull> pull;
    std::vector<TellDocker> tell;
    std::vector<GotImage> done;
  };
  DockerApi& api;
  std::set<DockerCallId> calls;
  std::set<std::shared_ptr<Reactor::TimerId>> timers;
  std::map<std::string, Pull> pulls;  // by reference
  std::map<std::uint64_t, std::unique_ptr<ImageBuild>> builds;
  std::uint64_t next = 1;
};

DockerImages::DockerImages(DockerApi& api) : parts_(std::make_unique<Parts>(api)) {}
DockerImages::~DockerImages() = default;

// ---- there, or pulled

void DockerImages::get(const std::string& reference, DockerPull policy, TellDocker tell, std::function<void(Result<DockerImage>)> done) {
  if (const Result<void> named = check_name(reference); !named) {
    parts_->later([error = named.error(), done = std::move(done)] { done(std::unexpected(error)); });
    return;
  }
  if (policy == DockerPull::always) return parts_->pull(reference, std::move(tell), std::move(done));
  parts_->inspect(reference,
                  [this, reference, policy, tell = std::move(tell), done = std::move(done)](Result<std::optional<DockerImage>> image) {
                    if (!image) return done(std::unexpected(image.error()));
                    if (*image) return done(std::move(**image));
                    if (policy == DockerPull::never)
                      return done(fail(ErrorCode::not_found,
                                       fmt::format("the docker daemon has no image '{}', and may not pull it (--pull never)", reference)));
                    parts_->pull(reference, tell, done);
                  });
}

void DockerImages::Parts::pull(const std::string& reference, TellDocker tell, GotImage done) {
  Pull& pull = pulls[reference];
  pull.done.push_back(std::move(done));
  if (tell) pull.tell.push_back(std::move(tell));
  if (pull.pull) return;
  const auto say = [this, reference](std::string_view line) {
    for (const TellDocker& hear : std::vector<TellDocker>(pulls[reference].tell)) hear(line);
  };
  pull.pull = ImagePull::start(api, reference, say, [this, reference](const Result<void>& result) { end_pull(reference, result); });
}

void DockerImages::Parts::end_pull(const std::string& reference, const Result<void>& result) {
  auto node = pulls.extract(reference);
  const auto tell_all = [done = std::move(node.mapped().done)](const Result<DockerImage>& image) {
    for (const GotImage& waiting : done) waiting(image);
  };
  if (!result) return tell_all(std::unexpected(result.error()));
  describe(reference, tell_all);
}

// ---- made

void DockerImages::build(const std::string& directory, const std::string& dockerfile, const std::string& tag, TellDocker tell,
                         std::function<void(Result<DockerImage>)> done) {
  const std::uint64_t id = parts_->next++;
  const Result<void> named = check_name(tag);
  parts_->builds[id] = ImageBuild::start(
      parts_->api, {.directory = directory, .dockerfile = dockerfile, .tag = named ? tag : "", .label = std::string(kDockerKept)},
      std::move(tell), [parts = parts_.get(), id, tag, done = std::move(done)](const Result<void>& result) {
        const auto ended = parts->builds.extract(id);
        const GotImage tell_image = done;
        if (!result) return tell_image(std::unexpected(result.error()));
        parts->describe(tag, tell_image);
      });
}

void DockerImages::commit(const std::string& container, const std::string& tag,
                          const std::vector<std::pair<std::string, std::string>>& labels, std::function<void(Result<DockerImage>)> done) {
  std::vector<std::pair<std::string, std::string>> query = {{"container", container}};
  const std::size_t colon = tag.rfind(':');
  const bool has_tag = colon != std::string::npos && tag.find('/', colon) == std::string::npos;
  query.emplace_back("repo", tag.substr(0, has_tag ? colon : std::string::npos));
  query.emplace_back("tag", has_tag ? tag.substr(colon + 1) : "latest");
  for (const auto& [name, value] : labels) {
    // Within quotes these alone would end or change them, and podman knows no escapes.
    if ((name + value).find_first_of("\"\\$\n\r") != std::string::npos)
      return parts_->later(
          [done = std::move(done)] { done(fail(ErrorCode::invalid_input, "an image's label has a character that none may have")); });
    query.emplace_back("changes", fmt::format("LABEL \"{}\"=\"{}\"", name, value));
  }
  DockerRequest request{.method = "POST", .path = "/commit?" + docker_query(query)};
  request.body = "{}";                         // podman wants one
  request.silence = std::chrono::minutes(10);  // it copies
  parts_->call(std::move(request), [parts = parts_.get(), done = std::move(done)](Result<DockerReply> reply) {
    if (!reply) return done(std::unexpected(reply.error()));
    if (reply->status != 201) return done(std::unexpected(docker_failure(*reply, "keep a container's changes")));
    const auto answer = untrusted_object(reply->body);
    const std::string id = answer ? text_at(*answer, "Id", 200) : "";
    if (!check_name(id)) return done(fail(ErrorCode::corrupt, "the docker daemon kept a container's changes, but does not say where"));
    parts->describe(id, done);
  });
}

// ---- no longer wanted

struct Pruning {
  struct Image {
    std::string id;
    std::uint64_t created = 0;
    std::uint64_t bytes = 0;
  };
  std::vector<Image> images;  // the next to go last
  std::uint64_t held = 0;
  std::uint64_t keep = 0;
  std::uint64_t freed = 0;
  std::function<void(Result<std::uint64_t>)> done;
};

namespace {

// Ours of all images that the daemon lists, with what each adds to the one that it was made of.
std::vector<Pruning::Image> kept_images(const nlohmann::json& list) {
  std::map<std::string, std::uint64_t> sizes;
  for (const nlohmann::json& entry : list) {
    if (entry.is_object()) sizes[text_at(entry, "Id", 200)] = number_at(entry, "Size");
  }
  std::vector<Pruning::Image> kept;
  for (const nlohmann::json& entry : list) {
    const nlohmann::json* const labels = entry.is_object() ? member_if(entry, "Labels", &nlohmann::json::is_object) : nullptr;
    if (!labels || !labels->contains(std::string(kDockerKept))) continue;
    Pruning::Image image{.id = text_at(entry, "Id", 200), .created = number_at(entry, "Created"), .bytes = number_at(entry, "Size")};
    const auto parent = sizes.find(text_at(entry, "ParentId", 200));
    if (parent != sizes.end() && !parent->first.empty()) image.bytes -= std::min(image.bytes, parent->second);
    if (check_name(image.id)) kept.push_back(std::move(image));
  }
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a.created > b.created; });
  return kept;
}

}  // namespace

void DockerImages::prune(std::uint64_t keep_bytes, std::function<void(Result<std::uint64_t>)> done) {
  const auto pruning = std::make_shared<Pruning>();
  pruning->keep = keep_bytes;
  pruning->done = std::move(done);
  DockerRequest request{.path = "/images/json?all=1"};
  request.most_bytes = 256ull << 20;
  parts_->call(std::move(request), [parts = parts_.get(), pruning](Result<DockerReply> reply) {
    if (!reply) return pruning->done(std::unexpected(reply.error()));
    if (reply->status != 200) return pruning->done(std::unexpected(docker_failure(*reply, "list images")));
    const bool bounded = is_within(reply->body, {.depth = 16, .values = 5'000'000});
    const auto list = bounded ? nlohmann::json::parse(reply->body, nullptr, false) : nlohmann::json();
    if (!list.is_array()) return pruning->done(fail(ErrorCode::corrupt, "the docker daemon's list of images can't be read"));
    pruning->images = kept_images(list);
    for (const Pruning::Image& image : pruning->images) pruning->held += image.bytes;
    parts->remove_next(pruning);
  });
}

void DockerImages::Parts::remove_next(const std::shared_ptr<Pruning>& pruning) {
  if (pruning->images.empty() || pruning->held <= pruning->keep) return pruning->done(pruning->freed);
  const Pruning::Image image = pruning->images.back();
  pruning->images.pop_back();
  DockerRequest request{.method = "DELETE", .path = "/images/" + image.id};
  request.silence = std::chrono::minutes(2);
  call(std::move(request), [this, pruning, image](Result<DockerReply> reply) {
    if (!reply) return pruning->done(std::unexpected(reply.error()));
    const bool gone = reply->status == 200 || reply->status == 404;
    if (gone) pruning->held -= image.bytes;
    if (reply->status == 200) pruning->freed += image.bytes;
    if (!gone && reply->status != 409) return pruning->done(std::unexpected(docker_failure(*reply, "remove an image")));
    remove_next(pruning);  // 409: a container uses it, or an image was made of it
  });
}

}  // namespace casemate
