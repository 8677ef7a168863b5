#include "base/directories.h"

#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

namespace casemate {
namespace {

// The value of an environment variable if it is an absolute path, else "": the XDG specification says to ignore relative ones.
std::string absolute(const char* name) {
  const char* value = std::getenv(name);
  return value && value[0] == '/' ? value : "";
}

// That of a variable of ours: a relative path counts from the current directory, as it looks.
std::string named(const char* name) {
  const char* value = std::getenv(name);
  if (!value || value[0] == '\0' || value[0] == '/') return value ? value : "";
  std::error_code problem;
  const std::filesystem::path path = std::filesystem::absolute(value, problem);
  return problem ? "" : path.lexically_normal().string();
}

std::string below_home(const char* own, const char* xdg, const char* in_home) {
  if (std::string path = named(own); !path.empty()) return path;
  if (std::string path = absolute(xdg); !path.empty()) return path + "/casemate";
  if (std::string home = absolute("HOME"); !home.empty() && home != "/") return fmt::format("{}/{}/casemate", home, in_home);
  return fmt::format("/var/tmp/casemate-{}", ::geteuid());
}

}  // namespace

std::string cache_directory() { return below_home("CASEMATE_CACHE_DIR", "XDG_CACHE_HOME", ".cache"); }
std::string state_directory() { return below_home("CASEMATE_STATE_DIR", "XDG_STATE_HOME", ".local/state"); }

}  // namespace casemate
