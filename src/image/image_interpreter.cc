#include "image/image_interpreter.h"

#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::chrono::seconds kProbeTime{60};
constexpr std::size_t kLongestAnswer = 64 << 10;
// Where the program that was asked for, which may be one of a virtual environment, looks for packages first.
constexpr const char* kWhereItLooks = "import site\nprint(os.path.realpath(site.getsitepackages()[0]))\n";

// Changes whenever the file at `path` is replaced. Only of a directory of somebody's: layers of the store never change.
std::string file_stamp(const Root& root, std::string_view path) {
  if (!root.image.starts_with("dir:") || path.size() < 2) return "";
  for (const std::string& layer : root.layers) {
    const auto directory = open_file(layer, O_PATH | O_DIRECTORY);
    if (!directory) continue;
    const auto file = open_beneath(directory->get(), std::string(path.substr(1)), O_PATH);
    struct stat info{};
    if (file && ::fstat(file->get(), &info) == 0 && S_ISREG(info.st_mode))
      return fmt::format(" {}.{:09} {}", info.st_ctim.tv_sec, info.st_ctim.tv_nsec, info.st_size);
  }
  return "";
}

// What `program` says of itself; nullopt: there is no such program, or it does not run here.
Result<std::optional<Interpreter>> ask(const Root& root, const std::string& program, const RunJob& run) {
  const std::string identity = "image " + sha256_hex(root.identity);
  if (auto known = recall_interpreter(identity, program)) {
    const std::string stamp = file_stamp(root, known->path);
    if (!root.image.starts_with("dir:") || (!stamp.empty() && known->identity.ends_with(stamp))) return known;
  }
  Job job;
  job.name = "python";
  job.argv = {program, "-E", "-s", "-B", "-c", std::string(kInterpreterProbe) + kWhereItLooks};
  TRY(put_root(job, root));
  take_environment(job, root);
  job.limits = default_limits();
  job.limits.wall = kProbeTime;
  job.limits.output_bytes = kLongestAnswer;
  TRY_ASSIGN(const JobResult result, run(std::move(job), {}));
  const Outcome& outcome = result.outcome;
  if (outcome.kind == Outcome::Kind::cancelled) return fail(ErrorCode::cancelled, "looking for the image's Python was cancelled");
  if (outcome.kind == Outcome::Kind::setup_failed && outcome.step.starts_with("execve ")) return std::optional<Interpreter>();
  if (outcome.kind == Outcome::Kind::setup_failed || outcome.kind == Outcome::Kind::lost)
    return fail(ErrorCode::system, fmt::format("no cell on image {}: {}", in_quotes(root.image), words(outcome)));
  if (outcome.kind == Outcome::Kind::exited && (outcome.code == 127 || outcome.code == 126)) return std::optional<Interpreter>();
  const std::string name = fmt::format("{} of image {}", program, root.image);
  if (!outcome.succeeded() && !result.output.out.starts_with("old\n"))
    return fail(ErrorCode::invalid_input, fmt::format("{} is no Python interpreter that runs: {}", printable_name(name), words(outcome)));
  TRY_ASSIGN(Interpreter found, read_interpreter_answer(result.output.out, name, identity));
  found.identity += file_stamp(root, found.path);
  remember_interpreter(identity, program, found);
  return std::optional(std::move(found));
}

}  // namespace

std::string search_path(const Root& root) {
  auto variables = image_environment(root);
  return variables.emplace("PATH", kDefaultPath).first->second;
}

void take_environment(Job& job, const Root& root) {
  job.env.merge(image_environment(root));
  job.env.emplace("PATH", kDefaultPath);
  job.env.emplace("HOME", "/root");
  job.env.emplace("LANG", "C.UTF-8");
}

Result<Interpreter> find_interpreter(const Root& root, std::string_view wanted, const RunJob& run) {
  if (root.is_host()) return find_interpreter(wanted);
  std::vector<std::string> programs = {"python3", "python"};
  std::vector<int> numbers;
  if (wanted.find('/') != std::string_view::npos) {
    if (!wanted.starts_with('/'))
      return fail(ErrorCode::invalid_input, fmt::format("'{}': a Python of image {} is named by its absolute path in it",
                                                        printable_name(wanted), in_quotes(root.image)));
    programs = {std::string(wanted)};
  } else if (!wanted.empty()) {
    numbers = version_numbers(wanted);
    if (numbers.empty())
      return fail(ErrorCode::invalid_input,
                  fmt::format("'{}' is neither a Python version (3.11, 3.11.7) nor the path of an interpreter", printable_name(wanted)));
    if (numbers.size() >= 2) programs.insert(programs.begin(), fmt::format("python{}.{}", numbers[0], numbers[1]));
  }
  std::string others;
  for (const std::string& program : programs) {
    TRY_ASSIGN(auto found, ask(root, program, run));
    if (!found) continue;
    if (version_fits(numbers, found->version)) return std::move(*found);
    others = found->version;
    break;  // python is what python3 is, or older
  }
  const bool path = programs[0].starts_with('/');
  const std::string what = path ? printable_name(programs[0]) : wanted.empty() ? "Python" : fmt::format("Python {}", wanted);
  const std::string has = !others.empty() ? "; it has Python " + others : path ? "" : " (neither python3 nor python on its PATH)";
  return fail(ErrorCode::not_found, fmt::format("image {} has no {}{}", in_quotes(root.image), what, has));
}

}  // namespace casemate
