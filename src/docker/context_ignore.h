// context_ignore: .dockerignore: what of a build's context is not sent to the daemon (docs.docker.com/build/concepts/context). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "image/glob_pattern.h"

namespace casemate {

/// The lines of a .dockerignore, of which the last that matches a path or a directory above it decides.
class ContextIgnore {
 public:
  /// invalid_input: a pattern that can't be read, with its line's number.
  static Result<ContextIgnore> parse(std::string_view text);
  /// Lets this path in, whatever the lines say (the Dockerfile).
  void keep(const std::string& path);
  /// `path` is relative, without "./".
  [[nodiscard]] bool ignores(std::string_view path) const;
  /// Whether something below an ignored directory may be let in again.
  [[nodiscard]] bool may_keep_below() const { return exceptions_; }

 private:
  struct Rule {
    GlobPattern pattern;
    bool keeps = false;  // "!pattern"
  };
  std::vector<Rule> rules_;
  std::vector<std::string> kept_;
  bool exceptions_ = false;
};

}  // namespace casemate
