#include "runtime/script_path.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/nearest.h"
#include "runtime/spec_fields.h"
#include "runtime/written_path.h"

namespace casemate::runtime {
namespace {

constexpr std::string_view kSuffix = ".py";
constexpr std::size_t kMostScripts = 10'000;

bool is_file_name(std::string_view name) { return name.size() > kSuffix.size() && name.ends_with(kSuffix); }

std::vector<std::string> all_directories(const std::vector<std::string>& directories) {
  std::vector<std::string> all = directories;
  all.insert(all.end(), std::begin(kScriptDirectories), std::end(kScriptDirectories));
  return all;
}

bool is_file(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool goes_up(std::string_view name) {
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    if (name.substr(at, end - at) == "..") return true;
    at = end + 1;
  }
  return false;
}

// ", did you mean 'x'? (looked in a, b and c)".
std::string where_it_is_not(const std::string& name, const std::vector<std::string>& directories) {
  if (name.starts_with('/')) return "";
  const std::vector<std::string> there = scripts_there(directories);
  const std::string meant = nearest(bare_script_name(name), {there.begin(), there.end()});
  std::string places;
  for (const std::string& directory : all_directories(directories)) {
    struct stat info{};
    const bool own = std::ranges::find(directories, directory) != directories.end();
    const bool is_missing = own && ::stat(directory.empty() ? "." : directory.c_str(), &info) != 0;
    places += fmt::format("{}{}{}", places.empty() ? "" : ", ", named(directory), is_missing ? ", which does not exist" : "");
  }
  return fmt::format("{} (looked in {})", meant.empty() ? "" : fmt::format(", did you mean '{}'?", named(meant)), places);
}

// No link is followed: the script's neighbours are those beside the name that was given.
std::string full_path(const std::string& path) { return lexical_path(path, working_directory()); }

}  // namespace

std::string bare_script_name(std::string name) {
  if (is_file_name(name)) name.resize(name.size() - kSuffix.size());
  return name;
}

Result<std::string> find_script(const std::string& name, const std::vector<std::string>& directories) {
  if (name.empty()) return fail(ErrorCode::invalid_input, "a script's name must not be empty");
  if (name.find('\0') != std::string::npos)
    return fail(ErrorCode::invalid_input, fmt::format("a script's name can't have a NUL byte in it: {}", named(name)));
  if (goes_up(name)) return fail(ErrorCode::invalid_input, fmt::format("a script's name can't have '..' in it: {}", named(name)));
  const std::string file = is_file_name(name) ? name : name + std::string(kSuffix);
  if (!file.starts_with('/')) {
    for (const std::string& directory : all_directories(directories)) {
      const std::string path = (directory.empty() ? "." : directory) + "/" + file;
      if (is_file(path)) return full_path(path);
    }
  }
  if (file.find('/') != std::string::npos && is_file(file)) return full_path(file);
  return fail(ErrorCode::not_found, fmt::format("Script not found: {}{}", named(name), where_it_is_not(name, directories)));
}

std::vector<std::string> scripts_there(const std::vector<std::string>& directories) {
  std::vector<std::string> names;
  for (const std::string& directory : all_directories(directories)) {
    std::error_code problem;
    std::filesystem::directory_iterator entry(directory.empty() ? "." : directory, problem);
    while (!problem && entry != std::filesystem::directory_iterator() && names.size() < kMostScripts) {
      const std::string name = entry->path().filename().string();
      if (is_file_name(name) && !name.starts_with("__") && is_file(entry->path().string())) names.push_back(bare_script_name(name));
      entry.increment(problem);
    }
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

}  // namespace casemate::runtime
