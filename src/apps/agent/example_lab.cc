#include "apps/agent/example_lab.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/terminal.h"
#include "store/tree.h"
#include "sys/process.h"
#include "sys/watched_program.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

#include "example_lab.inc"

struct EmbeddedFile {
  const char* path;
  std::string_view bytes;
};

constexpr EmbeddedFile kProject[] = {{"Makefile", kLabMakefile}, {"count.c", kLabCount}};
constexpr EmbeddedFile kTests[] = {{"run_tests.py", kLabRunTests},
                                   {"requirements.txt", kLabRequirements},
                                   {"tests/conftest.py", kLabConftest},
                                   {"tests/lab1/test_build.py", kLabTestBuild},
                                   {"tests/lab1/test_count.py", kLabTestCount}};

std::unexpected<Error> no_file(const fs::path& path, const std::error_code& problem) {
  return fail(ErrorCode::system, fmt::format("can't write {}: {}", path.string(), problem.message()), problem.value());
}

Result<void> write_files(const fs::path& directory, std::span<const EmbeddedFile> files) {
  for (const EmbeddedFile& file : files) {
    const fs::path path = directory / file.path;
    std::error_code problem;
    fs::create_directories(path.parent_path(), problem);
    if (problem) return no_file(path.parent_path(), problem);
    std::ofstream out(path, std::ios::binary);
    out << file.bytes;
    out.close();
    if (!out) return no_file(path, std::make_error_code(std::errc::io_error));
  }
  return {};
}

// With no configuration but this, and always the same commit: what is cached by its id serves the next run too.
Result<void> git(const std::string& program, const std::string& directory, const std::vector<std::string>& arguments) {
  WatchedProgram run;
  run.argv = {program, "-C", directory};
  run.argv.insert(run.argv.end(), arguments.begin(), arguments.end());
  run.env = {"PATH=/usr/local/bin:/usr/bin:/bin",
             "HOME=/nonexistent",
             "GIT_CONFIG_GLOBAL=/dev/null",
             "GIT_CONFIG_NOSYSTEM=1",
             "GIT_AUTHOR_NAME=casemate",
             "GIT_AUTHOR_EMAIL=casemate@localhost",
             "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
             "GIT_COMMITTER_NAME=casemate",
             "GIT_COMMITTER_EMAIL=casemate@localhost",
             "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z"};
  TRY_ASSIGN(const ProgramResult ran, run_watched(run));
  if (ran.end.signaled || ran.end.code != 0)
    return fail(ErrorCode::system, fmt::format("git {} failed in {}: {}", arguments[0], directory, printable_line(ran.err.substr(0, 500))));
  return {};
}

Result<void> write_repository(const std::string& program, const fs::path& directory, std::span<const EmbeddedFile> files) {
  TRY(write_files(directory, files));
  TRY(git(program, directory, {"init", "--quiet", "--template=", "--initial-branch=main"}));
  TRY(git(program, directory, {"add", "--all"}));
  return git(program, directory, {"commit", "--quiet", "--message=The lab"});
}

// A '%' in a URL would be read as the beginning of a byte's number.
std::string file_url(std::string_view directory, std::string_view name) {
  std::string url = "file://";
  for (const char byte : directory) url += byte == '%' ? std::string("%25") : std::string(1, byte);
  return fmt::format("{}/{}", url, name);
}

}  // namespace

Result<ExampleLab> ExampleLab::write(const std::string& directory) {
  const std::string program = program_on_path("git");
  if (program.empty())
    return fail(ErrorCode::not_supported, "there is no git in $PATH, which the example lab and every clone need: install it");
  std::error_code problem;
  const fs::path place = fs::absolute(directory, problem);
  if (problem) return no_file(directory, problem);
  TRY(remove_tree(place));
  ExampleLab lab(place);
  TRY(write_repository(program, place / "project", kProject));
  TRY(write_repository(program, place / "tests", kTests));
  return lab;
}

ExampleLab& ExampleLab::operator=(ExampleLab&& other) noexcept {
  std::swap(directory_, other.directory_);
  return *this;
}

ExampleLab::~ExampleLab() {
  if (!directory_.empty()) static_cast<void>(remove_tree(directory_));
}

std::string ExampleLab::project_url() const { return file_url(directory_, "project"); }
std::string ExampleLab::tests_url() const { return file_url(directory_, "tests"); }

}  // namespace casemate
