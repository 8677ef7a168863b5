#include "image/merged_root.h"

#include <cerrno>
#include <climits>

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/path.h"

namespace casemate {
namespace {

constexpr int kMostLinks = 40;

bool is_opaque(const std::string& directory) {
  char value[2] = {};
  return ::lgetxattr(directory.c_str(), "user.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

MergedRoot::MergedRoot(const Root& root) : layers_(root.layers) {
  if (root.is_host()) layers_.emplace_back("");
}

const MergedRoot::Place& MergedRoot::at(const std::string& path) {
  if (const auto found = known_.find(path); found != known_.end()) return found->second;
  return known_.emplace(path, look(path)).first->second;
}

MergedRoot::Place MergedRoot::look(const std::string& path) {
  Place place;
  if (path.empty()) {
    place.kind = Place::Kind::directory;
    place.mode = 0755;
    for (std::size_t i = 0; i < layers_.size(); ++i) place.sources.push_back(static_cast<std::uint16_t>(i));
    return place;
  }
  const Place& parent = at(parent_of(path));
  if (parent.kind != Place::Kind::directory) return place;
  for (const std::uint16_t source : parent.sources) {
    const std::string file = layers_[source] + "/" + path;
    struct stat info{};
    if (::lstat(file.c_str(), &info) < 0) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return place;
    }
    const bool directory = S_ISDIR(info.st_mode);
    if (!directory && place.kind != Place::Kind::nothing) return place;  // hidden by the directory above it
    if (place.kind == Place::Kind::nothing) {
      if (S_ISCHR(info.st_mode) && info.st_rdev == 0) return place;  // a whiteout
      place.kind = directory ? Place::Kind::directory : S_ISLNK(info.st_mode) ? Place::Kind::symlink : Place::Kind::other;
      place.mode = info.st_mode & 01777;
      if (S_ISLNK(info.st_mode)) {
        place.target = read_link_beneath(AT_FDCWD, file).value_or("");
      }
    }
    place.sources.push_back(source);
    if (!directory) return place;
    if (is_opaque(file)) return place;
  }
  return place;
}

std::string MergedRoot::resolve(const std::string& path) {
  if (const auto found = resolved_.find(path); found != resolved_.end()) return found->second;
  std::string done;
  std::string rest = path;
  int links = 0;
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string part = rest.substr(0, slash);
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      done = parent_of(done);
      continue;
    }
    const std::string here = done.empty() ? part : done + "/" + part;
    const Place& place = at(here);
    if (place.kind == Place::Kind::symlink && links < kMostLinks && !place.target.empty() && place.target.size() + rest.size() < PATH_MAX) {
      ++links;
      if (place.target.starts_with('/')) done.clear();
      rest = place.target + (rest.empty() ? "" : "/" + rest);
    } else {
      done = here;
    }
  }
  resolved_.emplace(path, done);
  return done;
}

}  // namespace casemate
