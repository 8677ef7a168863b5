#include "session/bounds.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include <unistd.h>

#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::size_t kMostOutside = 2000;
constexpr int kMostDepth = 16;
constexpr const char* kKernels[] = {"casemate", "dev", "proc", "sys"};  // and what casemate puts there itself

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// Whether the file has a table whose heading begins so.
bool has_table(const std::string& file, std::string_view heading) {
  const auto text = read_file(file, kMostBytes);
  if (!text) return false;
  for (std::size_t at = text->find(heading); at != std::string::npos; at = text->find(heading, at + 1)) {
    if (at == 0 || (*text)[at - 1] == '\n') return true;
  }
  return false;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

bool is_within(const std::string& path, const std::string& directory) {
  return directory == "/" || path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

std::string common_directory(std::string a, const std::string& b) {
  while (!is_within(b, a)) a = parent_of(a);
  return a;
}

// Nothing that is shown for the sake of one file in it.
bool is_too_much(const std::string& directory) {
  const char* home = std::getenv("HOME");
  std::error_code problem;
  const std::string real = home && *home ? std::filesystem::canonical(home, problem).string() : "";
  return directory == "/" || (!problem && real.starts_with('/') && is_within(real, directory));
}

template <class Fits>
std::string nearest_above(const std::string& directory, Fits fits) {
  for (std::string at = directory; !is_too_much(at); at = parent_of(at)) {
    if (fits(at)) return at;
  }
  return directory;
}

// What is there of an argument that names a file, a directory or a test; "" of any other.
std::string place_of(const std::string& argument, const std::string& directory) {
  if (argument.empty() || argument[0] == '-') return "";
  const std::string path = argument.substr(0, argument.find("::"));
  std::error_code problem;
  const std::string real = std::filesystem::canonical(path.starts_with('/') ? path : directory + "/" + path, problem).string();
  if (problem) return "";
  return std::filesystem::is_directory(real, problem) ? real : parent_of(real);
}

using Names = std::map<std::string, bool>;  // true: a directory

Names names_in(const std::vector<std::string>& directories, const std::string& place) {
  Names names;
  for (const std::string& directory : directories) {
    std::error_code problem;
    for (auto entry = std::filesystem::directory_iterator(directory + place, problem);
         !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
      std::error_code unknown;
      names.try_emplace(entry->path().filename().string(), entry->symlink_status(unknown).type() == std::filesystem::file_type::directory);
    }
  }
  return names;
}

void add_outside(const std::vector<std::string>& below, const std::vector<std::string>& project, const std::string& place, int depth,
                 std::set<std::string>& outside) {
  const Names ours = names_in(project, place);
  for (const auto& [name, is_directory] : names_in(below, place)) {
    if (outside.size() == kMostOutside) return;
    const std::string path = place + "/" + name;
    const auto found = ours.find(name);
    if (found == ours.end())
      outside.insert(path);
    else if (is_directory && found->second && depth < kMostDepth && !outside.contains(path))
      add_outside(below, project, path, depth + 1, outside);
  }
}

// What pytest finds from a directory upwards (8.1 and later: any pyproject.toml, if there are no settings); itself if that is nothing.
std::string root_above(const std::string& directory) {
  std::string root = nearest_above(directory, has_pytest_settings);
  for (const char* name : {"/pyproject.toml", "/setup.py"}) {
    if (root == directory && !has_pytest_settings(root))
      root = nearest_above(directory, [&](const std::string& at) { return exists(at + name); });
  }
  return root;
}

}  // namespace

bool has_pytest_settings(const std::string& directory) {
  for (const char* name : {"pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"}) {
    if (exists(directory + "/" + name)) return true;
  }
  return has_table(directory + "/pyproject.toml", "[tool.pytest") || has_table(directory + "/tox.ini", "[pytest]") ||
         has_table(directory + "/setup.cfg", "[tool:pytest]");
}

std::string project_directory(const std::string& directory, const std::vector<std::string>& arguments) {
  std::string shown = directory;
  for (const std::string& argument : arguments) {
    const std::string place = place_of(argument, directory);
    if (place.empty()) continue;
    if (std::string common = common_directory(shown, place); !is_too_much(common)) shown = std::move(common);
  }
  return nearest_above(root_above(shown), [](const std::string& at) { return exists(at + "/.git"); });
}

std::string pytest_root(const std::string& directory, const std::vector<std::string>& arguments) {
  std::string named;
  for (const std::string& argument : arguments) {
    const std::string place = place_of(argument, directory);
    if (!place.empty()) named = named.empty() ? place : common_directory(named, place);
  }
  if (named.empty()) named = directory;
  const std::string root = root_above(named);
  return root == named && !has_pytest_settings(root) && !exists(root + "/setup.py") ? common_directory(directory, named) : root;
}

std::string project_of(const std::vector<std::string>& paths) {
  std::string named;
  for (const std::string& path : paths) {
    const std::string place = place_of(path, "");
    if (!place.empty()) named = named.empty() ? place : common_directory(named, place);
  }
  return named.empty() || named == "/" ? "" : root_above(named);
}

std::vector<std::string> outside_project(const std::vector<std::string>& below, const std::vector<std::string>& project) {
  std::set<std::string> outside;
  for (const char* name : kKernels) outside.insert(std::string("/") + name);
  add_outside(below, project, "", 0, outside);
  return {outside.begin(), outside.end()};
}

}  // namespace casemate
