#include "runtime/workspace.h"

#include <algorithm>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "base/terminal.h"
#include "runtime/output_places.h"
#include "runtime/sample_data.h"
#include "runtime/written_path.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate::runtime {
namespace {

constexpr const char* kTestPrefix = "test_";

std::unexpected<Error> cannot(const std::string& what, const std::string& path, int problem) {
  return fail(ErrorCode::system, fmt::format("can't {} {}: {}", what, printable_name(path), std::generic_category().message(problem)),
              problem);
}

// A user's own directory may be called test_data.
Result<void> check_is_ours(int workspace, const std::string& name, const std::string& path) {
  const auto info = stat_beneath(workspace, name);
  if (!info && info.error() == ENOENT) return {};
  const auto directory = open_beneath(workspace, name, O_RDONLY | O_DIRECTORY);
  std::string other;
  const auto listed = !directory ? Attempt<void>(std::unexpected(directory.error()))
                                 : for_each_entry(directory->get(), [&](const std::string& entry, const struct stat&) -> Attempt<void> {
                                     if (entry != "input" && entry != "output" && !entry.starts_with(kOutputPrefix)) other = entry;
                                     return {};
                                   });
  if (listed && other.empty()) return {};
  return fail(ErrorCode::refused,
              fmt::format("{} is in the way of a test, and no test made it{}: remove it, or choose another workspace", printable_name(path),
                          other.empty() ? "" : fmt::format(" (it holds '{}')", printable_name(other))));
}

}  // namespace

Result<Workspace> Workspace::open(const std::string& directory) {
  if (directory.empty() || directory.find('\0') != std::string::npos)
    return fail(ErrorCode::invalid_input, "workspace_dir: must be the path of a directory");
  std::error_code problem;
  std::filesystem::create_directories(directory, problem);
  if (problem || !std::filesystem::is_directory(directory, problem))
    return fail(ErrorCode::invalid_input, fmt::format("the workspace {} can't be made: {}", printable_name(directory),
                                                      problem ? problem.message() : "there is something else of that name"));
  std::string name = directory;
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  return Workspace(std::move(name));
}

std::string Workspace::directory_name(const std::string& name) {
  std::string flat = kTestPrefix + name;
  std::replace(flat.begin(), flat.end(), '/', '_');
  return flat;
}

Result<TestEnvironment> Workspace::make_test(const std::string& name, const Json& sample) const {
  TestEnvironment made;
  const std::string flat = directory_name(name);
  made.test_dir = directory_ + "/" + flat;
  TRY_ASSIGN(const UniqueFd workspace, open_file(directory_, O_RDONLY | O_DIRECTORY));
  TRY(check_is_ours(workspace.get(), flat, made.test_dir));
  TRY(remove_tree_at(workspace.get(), flat));
  if (const auto test = make_directories_beneath(workspace.get(), flat + "/output"); !test)
    return cannot("make", made.test_dir, test.error());
  const auto input = make_directories_beneath(workspace.get(), flat + "/input");
  if (!input) return cannot("make", made.test_dir, input.error());
  if (!sample.is_null()) {
    TRY(check_sample(sample));
    const auto file = make_file_beneath(workspace.get(), flat + "/input/data.csv");
    if (!file) return cannot("write", made.test_dir + "/input/data.csv", file.error());
    TRY(write_all(file->get(), sample_csv(sample)));
  }
  made.parameters.input_paths = {{"data_input", made.test_dir + "/input"}};
  made.parameters.output_paths = {{"data_output", made.test_dir + "/output"}};
  made.parameters.environ_vars = {{"LABEL_FIELD", "label"}};
  made.parameters.job_args = {{"job_type", "testing"}};
  return made;
}

Result<void> Workspace::remove_test(const std::string& test_dir, bool keep_output) const {
  const std::string here = working_directory();
  const std::string path = lexical_path(test_dir, here);
  const std::string name = last_part(path);
  if (directory_of(path) != lexical_path(directory_, here) || !name.starts_with(kTestPrefix))
    return fail(ErrorCode::refused, fmt::format("{} is no directory of a test in the workspace {}: it is not removed",
                                                printable_name(test_dir), printable_name(directory_)));
  TRY_ASSIGN(const UniqueFd workspace, open_file(directory_, O_RDONLY | O_DIRECTORY));
  TRY(check_is_ours(workspace.get(), name, path));
  if (!keep_output) return remove_tree_at(workspace.get(), name);
  const auto test = open_beneath(workspace.get(), name, O_RDONLY | O_DIRECTORY);
  if (!test) return test.error() == ENOENT ? Result<void>() : cannot("open", path, test.error());
  return remove_tree_at(test->get(), "input");
}

}  // namespace casemate::runtime
