// pulling: the flags that say how an image is got, and the lock file that says which one; for every command that takes an image.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "image/image_lock.h"
#include "image/pull.h"
#include "image/reference.h"
#include "image/root.h"
#include "store/store.h"

namespace CLI {
class App;
}

namespace casemate {

/// The words of --platform, --tls-verify, --authfile, --cert-dir and --lock.
struct PullWords {
  std::string platform, authfile, cert_directory;
  bool verify_tls = true;
  std::string lock;  ///< path; "": none, "true": --lock alone, which is casemate.lock
};

/// The lock file that --lock names; "" for none.
[[nodiscard]] std::string lock_path(const PullWords& words);
/// invalid_input for "--lock other.lock", which names no file but leaves a word over that nobody meant as an image or a command.
Result<void> check_lock_words(const std::vector<std::string>& arguments);
/// Declares those options; the words are filled when the line is parsed.
void declare_pull_options(CLI::App& app, PullWords& words);
/// missing, always or never, as docker's --pull has it. invalid_input names `option`.
Result<PullOptions::Policy> parse_policy(std::string_view option, std::string_view text);
/// The words' meaning.
Result<PullOptions> pull_options(const PullWords& words, PullOptions::Policy policy);

/// An image's pin in a lock file, before and after it is got.
class Pin {
 public:
  /// No lock file: nothing is pinned.
  explicit Pin(ImageReference reference) : asked_(reference), wanted_(std::move(reference)) {}
  /// Looks the image up in the lock at `path`. With `moves` its pin doesn't count and keep() makes it anew.
  static Result<Pin> read(const std::string& path, const ImageReference& reference, bool moves);

  /// What to get: with the pinned digest, if there is one.
  [[nodiscard]] const ImageReference& wanted() const { return wanted_; }
  /// The digest that the lock had for it.
  [[nodiscard]] const std::optional<std::string>& before() const { return before_; }
  /// Pins what came, where that is not so already, and writes the lock. True if it changed. Images without a registry's tag can't be
  /// pinned: nothing is done.
  Result<bool> keep(const std::string& digest);

 private:
  ImageReference asked_;
  ImageReference wanted_;
  std::optional<ImageLock> lock_;
  std::optional<std::string> before_;
};

/// An image as a root.
struct PinnedRoot {
  Root root;
  std::string note;  ///< that a tag was pinned, and where; "" if none was
};
/// open_root() with the pin that the lock file at `lock` ("": none) has for the image. With `lock_grows` a tag that has none gets one.
Result<PinnedRoot> open_pinned_root(Store& store, const ImageReference& image, const PullOptions& options, const std::string& lock,
                                    bool lock_grows, const TellPull& tell);

}  // namespace casemate
