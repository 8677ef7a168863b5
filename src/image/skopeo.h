// skopeo: the program that speaks to registries for us (Debian's 1.9.3 and later). What it says is taken as a registry's word: whoever
// calls this checks digests and sizes.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "image/manifest.h"
#include "image/pull.h"

namespace casemate {

/// What skopeo's stderr says, in one line of ours: what the registry refused and what to do about it. Codes as pull_image() has them.
/// `source`: what was read; of archives the same words mean other things.
[[nodiscard]] Error read_skopeo_error(std::string_view text, ImageReference::Kind source = ImageReference::Kind::registry);

/// Whether a file can't be read or looked for because we may not (EACCES), as /run/containers/UID/auth.json can't once root's
/// `skopeo login` has made /run/containers for itself alone. skopeo then fails, even where nobody wants credentials.
[[nodiscard]] bool is_closed_to_us(const std::string& path);

/// skopeo as it is called for one pull. Its environment is a small one: home and XDG directories, PATH, proxies, certificates, and what
/// names skopeo's own files. No secret is ever on a command line. Where no policy.json exists it is told to do without; else that counts.
/// Where skopeo's default file of credentials is closed to us and nothing names another, it does without.
class Skopeo {
 public:
  /// not_supported: it is not installed; not_found: a file or directory that `access` names. `stall`: how long a registry may be silent.
  static Result<Skopeo> find(const RegistryAccess& access, std::chrono::milliseconds stall);

  /// The bytes of the manifest or index that "docker://NAME[:TAG|@DIGEST]" names; at most kDocumentLimit.
  [[nodiscard]] Result<std::string> manifest(const std::string& source) const;
  /// The bytes of its config.
  [[nodiscard]] Result<std::string> config(const std::string& source) const;

  /// A copy from one place to another.
  struct Copy {
    std::string source;
    std::string target;
    std::string directory;  ///< skopeo's working directory, and tmp/ in it for its large files; "source" and "target" may be relative
    Platform platform;      ///< of an index in the source; os "": skopeo's own choice
    std::function<Result<void>()> watch;  ///< called ten times a second; an error stops it
  };
  [[nodiscard]] Result<void> copy(const Copy& copy) const;

 private:
  Skopeo() = default;
  [[nodiscard]] std::vector<std::string> command() const;
  [[nodiscard]] std::vector<std::string> environment(const std::string& temporary) const;
  [[nodiscard]] Result<std::string> inspect(const std::string& source, bool config) const;

  std::string program_;
  RegistryAccess access_;  // paths absolute
  std::chrono::milliseconds stall_{};
  bool insecure_policy_ = false;
};

}  // namespace casemate
