#include "runtime/written_path.h"

#include <algorithm>
#include <climits>
#include <filesystem>
#include <utility>
#include <vector>

#include <unistd.h>

#include "base/terminal.h"

namespace casemate::runtime {

std::string working_directory() {
  char path[PATH_MAX];
  return ::getcwd(path, sizeof path) ? path : "/";
}

std::string lexical_path(const std::string& path, const std::string& directory) {
  const std::string whole = path.starts_with('/') ? path : directory + "/" + path;
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= whole.size();) {
    const std::size_t end = std::min(whole.find('/', at), whole.size());
    std::string part = whole.substr(at, end - at);
    if (part == ".." && !parts.empty()) {
      parts.pop_back();
    } else if (!part.empty() && part != "." && part != "..") {
      parts.push_back(std::move(part));
    }
    at = end + 1;
  }
  std::string all;
  for (const std::string& part : parts) all += "/" + part;
  return all.empty() ? "/" : all;
}

std::string plain_path(std::string_view path) {
  std::string plain = std::filesystem::path(path).lexically_normal().string();
  while (plain.size() > 1 && plain.ends_with('/')) plain.pop_back();
  return plain;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos || path == "/" ? "" : slash == 0 ? "/" : path.substr(0, slash);
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string quoted(std::string_view path) { return "'" + printable_name(path) + "'"; }

bool is_at_or_below(std::string_view path, std::string_view directory) {
  if (!path.starts_with(directory)) return false;
  return directory == "/" || path.size() == directory.size() || path[directory.size()] == '/';
}

}  // namespace casemate::runtime
