// images: what a Docker Engine has of images: there or pulled, built from a context, kept for plans, pruned.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/result.h"
#include "docker/api.h"

namespace casemate {

/// What of an image jobs need to know.
struct DockerImage {
  std::string id;      ///< "sha256:..."
  std::string digest;  ///< of the repository ("sha256:..."), "" for what was built or loaded
  std::vector<std::string> env;
  std::string working_directory;
  std::string user;
  std::vector<std::string> entrypoint, command;
  std::uint64_t bytes = 0;
};

/// When to ask a registry, as docker's --pull.
enum class DockerPull { missing, always, never };

/// One line for a person ("pulling python:3.11-slim: 3 of 5 layers, 41 of 120 MB"), at most ten a second.
using TellDocker = std::function<void(std::string_view line)>;

/// The images of a daemon. Used by the reactor's thread; its destructor forgets what is under way.
class DockerImages {
 public:
  /// `api` must outlive it, and be negotiated before anything is asked.
  explicit DockerImages(DockerApi& api);
  ~DockerImages();
  DockerImages(const DockerImages&) = delete;
  DockerImages& operator=(const DockerImages&) = delete;

  /// The image, pulled by the daemon if need be (credentials for its registry from docker's config.json: auths, credHelpers, credsStore).
  /// not_found: no registry has it, or policy never; refused: credentials; invalid_input: no name of an image. Calls for the same image at
  /// a time are one pull. `reference` as docker spells it ("python:3.11-slim", "localhost:5000/x@sha256:...", an image's id).
  void get(const std::string& reference, DockerPull policy, TellDocker tell, std::function<void(Result<DockerImage>)> done);
  /// Builds the context directory's Dockerfile (.dockerignore honoured; symlinks stay links; what is neither file, directory nor link is
  /// left out) as `tag`, labelled with kDockerKept. `dockerfile` is relative to the directory. The Error has the last lines of the log.
  void build(const std::string& directory, const std::string& dockerfile, const std::string& tag, TellDocker tell,
             std::function<void(Result<DockerImage>)> done);
  /// A container's changes as an image `tag`, labelled. See DockerExecutor's keep(). invalid_input: a label with a quote, a backslash, "$"
  /// or the end of a line in it.
  void commit(const std::string& container, const std::string& tag, const std::vector<std::pair<std::string, std::string>>& labels,
              std::function<void(Result<DockerImage>)> done);
  /// Removes images of ours (label kDockerKept) that no container uses, least recently made first, until `keep_bytes` are left. What an
  /// image shares with the one it was made of does not count, where the daemon says which that is (podman does not). Bytes freed.
  void prune(std::uint64_t keep_bytes, std::function<void(Result<std::uint64_t>)> done);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Of images that are kept between runs: its value is the key.
inline constexpr std::string_view kDockerKept = "casemate.kept";
/// What an image with that key as its label is called, NAME:TAG. Podman puts a registry before it.
[[nodiscard]] inline std::string kept_name(const std::string& key) { return "casemate-kept:" + key.substr(0, 32); }

}  // namespace casemate
