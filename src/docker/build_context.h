// build_context: a directory as the tar that POST /build takes, made while it is sent.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "casemate/result.h"
#include "docker/context_ignore.h"
#include "sys/fd.h"

namespace casemate {

/// The context of a build. Entries come in the order of their names, owned by root as docker's own client sends them; links stay links;
/// what is neither file, directory nor link is left out. A file that changes while it is read is cut off, or filled up with zeros.
class BuildContext {
 public:
  /// not_found: no such directory, or no `dockerfile` (relative) in it; invalid_input: a .dockerignore that can't be read, a dockerfile
  /// outside the directory.
  static Result<std::unique_ptr<BuildContext>> open(const std::string& directory, const std::string& dockerfile);
  /// The next piece, "" at the end. An Error names the file that can't be read. Directories more than 200 deep are refused.
  Result<std::string> next();

 private:
  struct Level {
    std::string path;  // relative; "" is the context
    UniqueFd fd;
    std::vector<std::string> names;
    std::size_t at = 0;
  };
  explicit BuildContext(std::string directory) : directory_(std::move(directory)) {}
  Result<void> enter(const std::string& path, UniqueFd fd);
  Result<std::string> entry(const Level& level, const std::string& name);
  Result<std::string> contents();
  [[nodiscard]] std::string shown(const std::string& path) const;

  std::string directory_;
  ContextIgnore ignore_;
  std::vector<Level> levels_;
  UniqueFd file_;
  std::string file_path_;
  std::uint64_t left_ = 0;  // of file_
  std::uint64_t size_ = 0;
  bool ended_ = false;
};

}  // namespace casemate
