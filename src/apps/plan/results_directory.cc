#include "apps/plan/results_directory.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"
#include "report/report_file.h"
#include "sys/fd.h"
#include "testplan/plan_reading.h"
#include "testplan/plan_run.h"
#include "testplan/results_json.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

// Says that all in the directory is ours to replace, and which files beside it are.
constexpr const char* kMark = "casemate-plan.artifacts";
constexpr const char* kMarkText =
    "All that lies beside this is replaced by the next run (casemate plan --output, export); beside its directory these are:";
constexpr std::size_t kLongestMark = 64 << 10;
constexpr std::array<std::string_view, 6> kOurFiles = {"results.json", "junit.xml", "report.html", "install.log", "plan.json", "plan.yaml"};

std::unexpected<Error> cannot(std::string_view what, const std::string& path, const std::error_code& problem) {
  return fail(ErrorCode::system, fmt::format("can't {} {}: {}", what, printable_name(path), problem.message()), problem.value());
}

Result<void> make_directories(const std::string& path) {
  std::error_code problem;
  fs::create_directories(path, problem);
  return problem ? Result<void>(cannot("make", path, problem)) : Result<void>();
}

// Nobody waits for the disk: what a crash of the machine takes is in the database too.
Result<void> write_new(const std::string& path, std::string_view bytes) {
  TRY_ASSIGN(const UniqueFd file, open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0666));
  if (auto written = write_all(file.get(), bytes); !written)
    return fail(written.error().code, fmt::format("{}: {}", printable_name(path), written.error().what), written.error().errno_value);
  return {};
}

// What a mark says is ours beside the artifacts; never a name that we do not give.
std::vector<std::string> marked(const std::string& mark) {
  std::vector<std::string> files;
  const auto text = read_file(mark, kLongestMark);
  std::istringstream lines(text ? *text : "");
  for (std::string line; std::getline(lines, line);) {
    if (std::find(kOurFiles.begin(), kOurFiles.end(), line) != kOurFiles.end()) files.push_back(line);
  }
  return files;
}

// A link leads out of a directory that others may write to; a plan that no run of ours put there is somebody's work.
Result<void> check_place(const std::string& path, const std::vector<std::string>& ours) {
  std::error_code problem;
  for (const std::string_view name : {"artifacts", "results.json", "junit.xml", "report.html", "install.log", "plan.json", "plan.yaml"}) {
    const std::string file = fmt::format("{}/{}", path, name);
    if (fs::is_symlink(fs::symlink_status(file, problem)))
      return fail(ErrorCode::invalid_input,
                  fmt::format("--output {}: its '{}' is a symlink; remove it, or name another directory", printable_name(path), name));
    if (name.starts_with("plan.") && fs::exists(file, problem) && std::find(ours.begin(), ours.end(), name) == ours.end())
      return fail(ErrorCode::invalid_input,
                  fmt::format("--output {}: its '{}' would be written over, and no run put it there; name another directory",
                              printable_name(path), name));
  }
  return {};
}

void remove_artifacts(const std::string& directory) {
  std::error_code problem;
  std::vector<fs::path> old;
  for (fs::directory_iterator at(directory, problem), end; at != end && !problem; at.increment(problem)) {
    if (at->path().filename() != kMark) old.push_back(at->path());
  }
  for (const fs::path& one : old) fs::remove_all(one, problem);
}

}  // namespace

Result<void> check_writable(const std::string& path) {
  const fs::path directory = fs::path(path).parent_path();
  std::error_code problem;
  if (!directory.empty() && !fs::is_directory(directory, problem))
    return fail(ErrorCode::invalid_input,
                fmt::format("can't write {}: there is no directory {}", printable_name(path), printable_name(directory.string())));
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  // root may write everywhere; who took the write bits away didn't want that.
  if ((info.st_mode & 0222) == 0 || ::access(path.c_str(), W_OK) != 0)
    return fail(ErrorCode::invalid_input, fmt::format("can't write {}: it is read-only", printable_name(path)));
  return {};
}

Result<void> rewrite(const std::string& path, std::string_view bytes) {
  TRY(check_writable(path));
  TRY_ASSIGN(ReportFile file, ReportFile::begin(path));
  TRY(file.keep_owner_and_mode());
  TRY(file.add(bytes));
  return file.publish();
}

Result<void> write_whole(const std::string& path, std::string_view bytes) {
  TRY_ASSIGN(ReportFile file, ReportFile::begin(path));
  TRY(file.add(bytes));
  return file.publish();
}

Result<ResultsDirectory> ResultsDirectory::open(const std::string& path) {
  ResultsDirectory made(path);
  const std::string artifacts = path + "/artifacts";
  const std::vector<std::string> old = marked(artifacts + "/" + kMark);
  TRY(check_place(path, old));
  std::error_code problem;
  const bool empty = !fs::exists(artifacts, problem) || fs::is_empty(artifacts, problem);
  if (!empty && !fs::exists(artifacts + "/" + kMark, problem))
    return fail(ErrorCode::invalid_input,
                fmt::format("--output {}: its directory 'artifacts' is not casemate's; name another directory", printable_name(path)));
  TRY(make_directories(artifacts));
  for (const std::string& file : old) {
    if (file.starts_with("plan."))
      made.left_.push_back(file);
    else
      fs::remove(path + "/" + file, problem);
  }
  TRY(made.mark(made.left_));
  remove_artifacts(artifacts);
  return made;
}

Result<void> ResultsDirectory::mark(const std::vector<std::string>& files) const {
  return write_new(fmt::format("{}/artifacts/{}", path_, kMark), fmt::format("{}\n{}\n", kMarkText, fmt::join(files, "\n")));
}

std::string ResultsDirectory::case_path(const TestPlan& plan, std::size_t index) const {
  return fmt::format("{}/artifacts/{}", path_, case_directory(plan, index));
}

void ResultsDirectory::begin_case(const TestPlan& plan, std::size_t index) const {
  std::error_code problem;
  fs::remove_all(fmt::format("{}/{}", collecting(), case_directory(plan, index)), problem);
}

Result<void> ResultsDirectory::end_case(const TestPlan& plan, std::size_t index, const CaseResult& result,
                                        const Normaliser& normaliser) const {
  const std::string place = case_path(plan, index);
  std::error_code problem;
  fs::remove_all(place, problem);
  for (std::size_t at = 0; at < result.steps.size() && at < plan.cases[index].steps.size(); ++at) {
    const StepResult& step = result.steps[at];
    if (!step.outcome) continue;
    const std::string directory = fmt::format("{}/{}", place, step_directory(plan.cases[index], at));
    TRY(make_directories(directory));
    for (const auto& [name, bytes] : {std::pair("stdout", &step.out), std::pair("stderr", &step.err)}) {
      TRY(write_new(fmt::format("{}/{}", directory, name), *bytes));
      TRY(write_new(fmt::format("{}/{}.normalised", directory, name), normaliser.apply(*bytes)));
    }
  }
  const std::string collected = fmt::format("{}/{}", collecting(), case_directory(plan, index));
  if (!fs::exists(fs::symlink_status(collected, problem))) return {};
  TRY(make_directories(place));
  fs::rename(collected, place + "/files", problem);
  return problem ? Result<void>(cannot("keep the files of the case in", place, problem)) : Result<void>();
}

std::vector<ResultsDirectory::File> ResultsDirectory::files(const TestPlan& plan, std::size_t index) const {
  std::vector<File> files;
  const std::string place = case_path(plan, index) + "/files";
  std::error_code problem;
  for (fs::recursive_directory_iterator at(place, problem), end; at != end && !problem; at.increment(problem)) {
    struct stat info{};
    const std::string path = at->path().string();
    if (::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode))
      files.push_back({path, path.substr(place.size()), static_cast<std::uint64_t>(info.st_size)});
  }
  return files;
}

Result<void> ResultsDirectory::add_file(const TestPlan& plan, std::size_t index, std::string_view path, std::string_view bytes) const {
  const fs::path inner = fs::path(path).relative_path().lexically_normal();
  if (inner.empty() || *inner.begin() == ".." || inner.filename().empty()) return {};
  const fs::path place = fs::path(case_path(plan, index)) / "files" / inner;
  TRY(make_directories(place.parent_path().string()));
  return write_new(place.string(), bytes);
}

Result<void> ResultsDirectory::finish(const TestPlan& plan, const PlanResult& result, Document document, const Normaliser& normaliser,
                                      const std::string& install_log) const {
  std::error_code problem;
  fs::remove_all(collecting(), problem);
  const std::string plan_file = document.format == DocumentFormat::json ? "plan.json" : "plan.yaml";
  std::vector<std::string> files = {"results.json", "junit.xml", "report.html", plan_file};
  if (!install_log.empty()) files.emplace_back("install.log");
  TRY(mark(files));
  for (const std::string& old : left_) {
    if (old != plan_file) fs::remove(path_ + "/" + old, problem);
  }
  TRY(write_whole(path_ + "/results.json", results_text(results_json(plan, result, normaliser))));
  write_result(plan, result, document.value);
  TRY(write_whole(path_ + "/" + plan_file, to_text(document)));
  if (install_log.empty()) return {};
  return write_whole(path_ + "/install.log", install_log);
}

}  // namespace casemate
