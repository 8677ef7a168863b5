#include "action/interpreter_files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include <unistd.h>

namespace casemate {
namespace {

constexpr std::array<std::string_view, 3> kTop = {"include", "pkgs", "conda-meta"};
constexpr std::array<std::string_view, 4> kShared = {"man", "doc", "info", "gtk-doc"};

bool is_one_of(std::string_view name, const auto& names) { return std::find(names.begin(), names.end(), name) != names.end(); }

bool is_standard_library(std::string_view name) { return name.starts_with("python3.") || name.starts_with("pypy3."); }

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/')) {
    parts.push_back(path.substr(0, slash));
    path.remove_prefix(slash + 1);
  }
  parts.push_back(path);
  return parts;
}

}  // namespace

bool is_interpreter_prefix(const std::string& directory) {
  if (::access((directory + "/pyvenv.cfg").c_str(), F_OK) == 0) return true;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/lib", problem)) {
    const bool library = is_standard_library(entry.path().filename().native());
    if (library && ::access((entry.path() / "os.py").c_str(), F_OK) == 0) return true;
  }
  return false;
}

bool runs_without(std::string_view path, bool packages) {
  const std::vector<std::string_view> parts = parts_of(path);
  const std::string_view name = parts.back();
  if (name.ends_with(".opt-1.pyc") || name.ends_with(".opt-2.pyc")) return true;
  if (parts.size() == 1) return is_one_of(name, kTop);
  if (parts[0] == "share" && parts.size() == 2) return is_one_of(name, kShared);
  if (parts[0] != "lib" && parts[0] != "lib64") return false;
  if (parts.size() == 2) return name == "pkgconfig" || name == "cmake" || name.ends_with(".a");
  if (!is_standard_library(parts[1])) return false;
  const bool installed = parts[2] == "site-packages" || parts[2] == "dist-packages";
  if (installed) return !packages;
  if (parts.size() == 3 && name.starts_with("config-")) return true;
  return name == "test" || name == "tests" || name == "idle_test" || name.ends_with(".a");
}

}  // namespace casemate
