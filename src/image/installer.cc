#include "image/installer.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "base/units.h"
#include "image/image_interpreter.h"
#include "image/workshop.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kLogHead = 64 << 10;
constexpr std::size_t kLogTail = 192 << 10;
// Of one build, cache and temp directory included: room for the largest stacks there are (CUDA: 12 GiB); and of any one file of it.
constexpr std::uint64_t kMostBytes = 20ull << 30;
constexpr std::uint64_t kMostFileBytes = 8ull << 30;
constexpr std::string_view kUvInCell = "/casemate/bin/uv";

// Both installers find the new environment at its final path, by a link into the one directory that is bound: uv can only link files from
// its cache within one mount.
constexpr const char* kUvScript = R"(ln -s "$1" /casemate/env || exit 125
shift
/casemate/bin/uv --version
exec /casemate/bin/uv pip install --python /casemate/env/bin/python "$@")";

// The same for an image, which need not have a shell; a uv that is linked for other systems than the image's does not start.
constexpr const char* kUvOnImage = R"(import os, sys
os.symlink(sys.argv[1], '/casemate/env')
sys.stdout.flush()
uv = '/casemate/bin/uv'
if os.spawnv(os.P_WAIT, uv, [uv, '--version']):
    sys.exit(124)
os.execv(uv, [uv, 'pip', 'install', '--python', '/casemate/env/bin/python'] + sys.argv[2:]))";
constexpr int kUvDoesNotStart = 124;

// pip of the interpreter installs into the environment from outside (since 22.3), or one that is unpacked beside it: an environment holds
// what was asked for and no pip. Only where ensurepip's is older does the environment get it.
constexpr const char* kPipScript = R"(ln -s "$1" /casemate/env || exit 125
python=$2
shift 2
reaches_out() {
  "$1" -I -c 'import pip, sys; sys.exit([int(n) for n in pip.__version__.split(".")[:2]] < [22, 3])' 2>/dev/null
}
if ! reaches_out "$python"; then
  "$python" -I -m venv /casemate/pip >/casemate/ensurepip 2>&1 || {
    cat /casemate/ensurepip
    echo "ERROR: this Python has neither pip nor ensurepip: $CASEMATE_ADVICE"
    exit 1
  }
  python=/casemate/pip/bin/python
fi
if reaches_out "$python"; then
  "$python" -I -m pip --version
  exec "$python" -I -m pip --python /casemate/env/bin/python install "$@"
fi
/casemate/env/bin/python -I -m ensurepip >/casemate/ensurepip 2>&1 || {
  cat /casemate/ensurepip
  exit 1
}
/casemate/env/bin/python -I -m pip --version
exec /casemate/env/bin/python -I -m pip install "$@")";

bool is_elf(const std::string& path) {
  const auto file = open_file(path, O_RDONLY | O_NONBLOCK);
  char magic[4] = {};
  return file && ::access(path.c_str(), X_OK) == 0 && ::read(file->get(), magic, 4) == 4 &&
         std::string_view(magic, 4) ==
             "\x7f"
             "ELF";
}

std::string bounded_log(std::string_view raw) {
  std::string text(raw);
  if (raw.size() > kLogHead + kLogTail) {
    text = fmt::format("{}\n... {} bytes left out ...\n{}", raw.substr(0, kLogHead), raw.size() - kLogHead - kLogTail,
                       raw.substr(raw.size() - kLogTail));
  }
  return redacted(printable(text));
}

// Picks whole lines out of pieces of output and passes on what a person wants to see, not too often.
class ProgressLines {
 public:
  using Renaming = std::function<std::string(std::string_view)>;
  ProgressLines(const Progress& progress, Renaming rename) : progress_(progress), rename_(std::move(rename)) {}
  void take(std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n' && c != '\r') {
        if (line_.size() < 512) line_ += c;
        continue;
      }
      const std::string text = progress_of_line(rename_(line_));
      line_.clear();
      const auto now = std::chrono::steady_clock::now();
      if (text.empty() || (said_ && now - last_ < std::chrono::milliseconds(100))) continue;
      said_ = true;
      last_ = now;
      progress_("environment: " + redacted(printable_name(text)));
    }
  }

 private:
  const Progress& progress_;
  Renaming rename_;
  std::string line_;
  bool said_ = false;
  std::chrono::steady_clock::time_point last_;
};

std::string second_word_after(std::string_view log, std::string_view program) {
  const std::size_t start = log.find(std::string(program) + " ");
  if (start == std::string_view::npos) return std::string(program);
  const std::size_t end = log.find_first_of(" \n", start + program.size() + 1);
  return std::string(log.substr(start, std::min(end, log.size()) - start));
}

class Installing {
 public:
  Installing(const Interpreter& interpreter, const Root& root, const Installation& installation, Store& store,
             std::chrono::milliseconds wall, const RunJob& run, const Progress& progress)
      : interpreter_(interpreter), root_(root), installation_(installation), store_(store), wall_(wall), run_(run), progress_(progress) {}

  std::expected<Installed, EnvironmentFailure> into(const std::string& directory);

 private:
  using Step = std::expected<void, EnvironmentFailure>;

  Step with_uv(const std::string& uv, const std::string& directory);
  Step with_pip(const std::string& directory);
  Result<std::unique_ptr<Workshop>> workshop(bool shared);
  Job job(const Workshop& workshop, std::vector<std::string> command, const std::map<std::string, std::string>& env) const;
  std::vector<std::string> files(const Workshop& workshop, const char* requirement, const char* constraint) const;
  // Output that names files of the bench, with the user's files in their place.
  [[nodiscard]] std::string renamed(const Workshop& workshop, std::string_view output) const;
  Result<JobResult> installed(Job job, const Workshop& workshop, std::string_view program);
  Result<JobResult> uv_job(const std::string& uv, const Workshop& workshop, bool wheels_only);
  Result<bool> prefers_source(const std::string& uv, const Workshop& workshop);
  Step judge(const Result<JobResult>& result, std::string_view program) const;
  EnvironmentFailure failure(Error error) const { return {std::move(error), bounded_log(log_)}; }

  const Interpreter& interpreter_;
  const Root& root_;
  const Installation& installation_;
  Store& store_;
  std::chrono::milliseconds wall_;
  const RunJob& run_;
  const Progress& progress_;
  std::string log_;
  std::string installer_;
  bool uv_starts_ = true;
};

Result<std::unique_ptr<Workshop>> Installing::workshop(bool shared) {
  TRY_ASSIGN(auto made, shared ? Workshop::shared(store_, root_.is_host() ? "" : root_.identity) : Workshop::own(store_));
  TRY(write_bare_environment(made->tree(), interpreter_));
  const auto write = [&](const char* name, const std::string& text) -> Result<void> {
    TRY_ASSIGN(const UniqueFd file, open_file(made->bench() + "/" + name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    return write_all(file.get(), text);
  };
  TRY(write("requirements.txt", installation_.requirements));
  TRY(write("constraints.txt", installation_.constraints));
  return made;
}

// What an image sets for its programs is theirs, but for what says where packages come from: that is the caller's to say.
void add_image_environment(Job& job, const Root& root) {
  Job image;
  take_environment(image, root);
  for (const auto& [name, value] : image.env) {
    if (!name.starts_with("PIP_") && !name.starts_with("UV_")) job.env.emplace(name, value);
  }
}

Job Installing::job(const Workshop& workshop, std::vector<std::string> command, const std::map<std::string, std::string>& env) const {
  Job job;
  job.name = "environment";
  job.argv = std::move(command);
  job.argv.push_back(workshop.tree_in_cell());
  job.env = env;
  job.env["PATH"] = search_path(root_);
  job.env["HOME"] = job.env["TMPDIR"] = workshop.temp_in_cell();
  job.env["LANG"] = "C.UTF-8";
  job.env["NO_COLOR"] = "1";
  job.network = Network::host;
  job.limits = default_limits();
  job.limits.memory_bytes = 4ull << 30;
  job.limits.pids = 1024;
  job.limits.wall = wall_;
  job.limits.open_files = 65'536;
  job.limits.disk_bytes = 1ull << 30;
  job.limits.disk_inodes = 1u << 20;
  job.limits.output_bytes = 8u << 20;
  job.limits.file_bytes = kMostFileBytes;
  job.mounts.push_back({.kind = Mount::Kind::tmpfs, .target = "/casemate", .bytes = 64u << 20});
  job.mounts.push_back({.kind = Mount::Kind::bind,
                        .source = workshop.path(),
                        .target = std::string(Workshop::kInCell),
                        .writable = true,
                        .owned = true,
                        .bytes = std::max(kMostBytes, store_.max_bytes())});
  if (root_.is_host()) {
    for (const Mount& mount : interpreter_mounts(interpreter_, default_host_paths())) job.mounts.push_back(mount);
  } else {
    job.image = root_.image;
    job.root = root_.layers;
    add_image_environment(job, root_);
  }
  for (const Mount& mount : installation_.mounts) job.mounts.push_back(mount);
  return job;
}

std::vector<std::string> Installing::files(const Workshop& workshop, const char* requirement, const char* constraint) const {
  std::vector<std::string> words{requirement, workshop.bench_in_cell() + "/requirements.txt"};
  if (!installation_.constraints.empty()) words.insert(words.end(), {constraint, workshop.bench_in_cell() + "/constraints.txt"});
  return words;
}

std::string Installing::renamed(const Workshop& workshop, std::string_view output) const {
  const std::string text = in_users_words(output, workshop.bench_in_cell() + "/requirements.txt", installation_.requirement_origins);
  return in_users_words(text, workshop.bench_in_cell() + "/constraints.txt", installation_.constraint_origins);
}

// Runs the job of an installer, tells of its progress and keeps what it said.
Result<JobResult> Installing::installed(Job job, const Workshop& workshop, std::string_view program) {
  ProgressLines lines(progress_, [&](std::string_view line) { return renamed(workshop, line); });
  auto result = run_(std::move(job), [&](Stream, std::string_view bytes) { lines.take(bytes); });
  if (!result) return result;
  result->output.merged = renamed(workshop, result->output.merged);
  log_ += result->output.merged;
  installer_ = second_word_after(result->output.merged, program);
  TRY(workshop.check_names());
  return result;
}

Result<JobResult> Installing::uv_job(const std::string& uv, const Workshop& workshop, bool wheels_only) {
  const bool host = root_.is_host();
  Job job = this->job(workshop,
                      host ? std::vector<std::string>{"/bin/sh", "-c", kUvScript, "sh"}
                           : std::vector<std::string>{interpreter_.path, "-I", "-S", "-c", kUvOnImage},
                      installation_.uv_env);
  job.mounts.push_back({.kind = Mount::Kind::bind, .source = uv, .target = std::string(kUvInCell)});
  job.env["UV_CACHE_DIR"] = std::string(Workshop::kInCell) + "/cache";
  job.env["UV_PYTHON_DOWNLOADS"] = "never";
  for (const auto& words : {files(workshop, "--requirements", "--constraints"), installation_.uv_flags})
    job.argv.insert(job.argv.end(), words.begin(), words.end());
  if (wheels_only) job.argv.emplace_back("--no-build");
  auto result = installed(std::move(job), workshop, "uv");
  const Outcome* outcome = result ? &result->outcome : nullptr;
  uv_starts_ = host || !outcome || outcome->kind != Outcome::Kind::exited || outcome->code != kUvDoesNotStart;
  return result;
}

// Without leave to build, uv takes an older release that has a wheel where the newest has none, and does not say so. Asked again offline,
// with all it just learned at hand, it names the file that it would rather have. What it does for that is thrown away, and what it might
// run sees neither cache nor network.
Result<bool> Installing::prefers_source(const std::string& uv, const Workshop& workshop) {
  Job job = this->job(workshop, {}, installation_.uv_env);
  job.network = Network::none;
  job.limits.wall = std::min<std::chrono::milliseconds>(wall_, std::chrono::minutes(2));
  const std::string requirements = std::string(kRequirementsDirectory);
  std::erase_if(job.mounts, [](const Mount& mount) { return mount.target == Workshop::kInCell; });
  job.mounts.push_back({.kind = Mount::Kind::bind, .source = uv, .target = std::string(kUvInCell)});
  job.mounts.push_back(
      {.kind = Mount::Kind::bind, .source = workshop.tree(), .target = std::string(kEnvironmentMountPoint), .owned = true});
  job.mounts.push_back({.kind = Mount::Kind::overlay, .target = "/casemate/cache", .lower = {workshop.path() + "/cache"}, .owned = true});
  for (const char* name : {"requirements.txt", "constraints.txt"}) {
    job.mounts.push_back(
        {.kind = Mount::Kind::bind, .source = workshop.bench() + "/" + name, .target = requirements + "/" + name, .owned = true});
  }
  job.env["HOME"] = job.env["TMPDIR"] = "/tmp";
  job.env["UV_CACHE_DIR"] = "/casemate/cache";
  job.env["UV_PYTHON_DOWNLOADS"] = "never";
  job.argv = {std::string(kUvInCell),
              "pip",
              "install",
              "--verbose",
              "--offline",
              "--dry-run",
              "--upgrade",
              "--python",
              std::string(kEnvironmentMountPoint) + "/bin/python",
              "--requirements",
              requirements + "/requirements.txt"};
  if (!installation_.constraints.empty()) job.argv.insert(job.argv.end(), {"--constraints", requirements + "/constraints.txt"});
  job.argv.insert(job.argv.end(), installation_.uv_flags.begin(), installation_.uv_flags.end());
  TRY_ASSIGN(const JobResult result, run_(std::move(job), {}));
  std::string_view text = result.output.merged;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool source = line.ends_with(".tar.gz)") || line.ends_with(".zip)") || line.ends_with(".tar.bz2)") || line.ends_with(".tgz)");
    if (source && line.find("Selecting: ") != std::string_view::npos) return true;
    if (line.starts_with(" + ") || line.starts_with(" - ")) return true;
  }
  return false;
}

Installing::Step Installing::judge(const Result<JobResult>& result, std::string_view program) const {
  if (!result) return std::unexpected(failure(result.error()));
  const Outcome& outcome = result->outcome;
  const auto say = [&](ErrorCode code, const std::string& what) { return std::unexpected(failure(Error{code, what, 0, "install"})); };
  switch (outcome.kind) {
    case Outcome::Kind::exited:
      if (outcome.code == 0) return {};
      return say(
          ErrorCode::refused,
          redacted(printable_name(fmt::format("{} could not install the requirements: {}", program, telling_line(result->output.merged)))));
    case Outcome::Kind::timed_out:
      return say(ErrorCode::exhausted,
                 fmt::format("{} was still installing the requirements after {} and was stopped", program, format_duration(wall_)));
    case Outcome::Kind::out_of_memory:
      return say(ErrorCode::exhausted, fmt::format("{} needed more than 4 GiB of memory to install the requirements", program));
    case Outcome::Kind::disk_limit:
      return say(ErrorCode::exhausted, fmt::format("{} was stopped while it installed the requirements: {}", program, outcome.detail));
    case Outcome::Kind::cancelled:
      return say(ErrorCode::cancelled, "installing the requirements was cancelled");
    default:
      return say(ErrorCode::system, fmt::format("{} could not install the requirements: {}", program, words(outcome)));
  }
}

Installing::Step Installing::with_uv(const std::string& uv, const std::string& directory) {
  const auto broken = [&](const Error& error) { return std::unexpected(failure(error)); };
  if (!installation_.builds) {
    auto shop = workshop(true);
    if (!shop) return broken(shop.error());
    const auto result = uv_job(uv, **shop, true);
    const auto verdict = judge(result, "uv");
    if (verdict) {
      const auto source = prefers_source(uv, **shop);
      if (!source) return broken(source.error());
      if (!*source) {
        if (auto moved = (*shop)->hand_over(directory); !moved) return broken(moved.error());
        return {};
      }
    } else {
      const std::string& text = result ? result->output.merged : log_;
      const bool no_wheel = text.find("building from source is disabled") != std::string::npos ||
                            text.find("no usable wheels") != std::string::npos || text.find("no wheels") != std::string::npos ||
                            text.find("--no-build") != std::string::npos;
      if (verdict.error().error.code != ErrorCode::refused || !no_wheel) return verdict;
    }
    // What was said so far is about a condition of ours, not about the requirements.
    log_ = "casemate: a package has no wheel for this Python: building from source, away from the shared cache\n";
    progress_("environment: a package has no wheel; building from source");
  }
  auto shop = workshop(false);
  if (!shop) return broken(shop.error());
  if (auto verdict = judge(uv_job(uv, **shop, false), "uv"); !verdict) return verdict;
  if (auto moved = (*shop)->hand_over(directory); !moved) return broken(moved.error());
  return {};
}

Installing::Step Installing::with_pip(const std::string& directory) {
  auto shop = workshop(false);
  if (!shop) return std::unexpected(failure(shop.error()));
  Job job = this->job(**shop, {"/bin/sh", "-c", kPipScript, "sh"}, installation_.pip_env);
  job.env["CASEMATE_ADVICE"] =
      root_.is_host() ? "install python3-venv or uv on the host" : "take an image with pip, or a uv that runs on it";
  job.argv.push_back(interpreter_.path);
  for (const char* word : {"--no-cache-dir", "--no-compile", "--progress-bar", "off", "--no-warn-script-location"})
    job.argv.emplace_back(word);
  for (const std::string& word : files(**shop, "--requirement", "--constraint")) job.argv.push_back(word);
  job.env["PIP_ROOT_USER_ACTION"] = "ignore";
  if (auto verdict = judge(installed(std::move(job), **shop, "pip"), "pip"); !verdict) return verdict;
  if (auto moved = (*shop)->hand_over(directory); !moved) return std::unexpected(failure(moved.error()));
  return {};
}

std::expected<Installed, EnvironmentFailure> Installing::into(const std::string& directory) {
  const std::string uv = installation_.pip_only.empty() ? find_uv() : "";
  if (!installation_.pip_only.empty()) log_ += fmt::format("casemate: using pip ({})\n", installation_.pip_only);
  progress_(fmt::format("environment: resolving requirements with {}", uv.empty() ? "pip" : "uv"));
  auto done = uv.empty() ? with_pip(directory) : with_uv(uv, directory);
  if (!done && !uv_starts_) {
    log_ = "casemate: this uv does not run on the image; using the image's pip\n";
    progress_("environment: resolving requirements with the image's pip");
    done = with_pip(directory);
  }
  if (!done) return std::unexpected(done.error());
  return Installed{printable_name(installer_.substr(0, 64)), bounded_log(log_)};
}

}  // namespace

std::string find_uv() {
  const char* named = std::getenv("CASEMATE_UV");
  if (named && std::string_view(named) == "none") return "";
  if (named && named[0] == '/') return is_elf(named) ? named : "";
  std::vector<std::string> directories;
  if (const char* path = std::getenv("PATH")) {
    for (std::string_view rest = path; !rest.empty();) {
      const std::size_t end = std::min(rest.find(':'), rest.size());
      if (rest.starts_with('/')) directories.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  std::error_code ignored;
  directories.push_back(std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path());
  if (const char* home = std::getenv("HOME"))
    directories.insert(directories.end(), {std::string(home) + "/.local/bin", std::string(home) + "/.cargo/bin"});
  for (const std::string& directory : directories) {
    const std::string path = directory + "/uv";
    if (!directory.empty() && is_elf(path)) return std::filesystem::canonical(path, ignored);
  }
  return "";
}

Result<void> write_bare_environment(const std::string& directory, const Interpreter& interpreter) {
  std::error_code problem;
  std::filesystem::create_directories(directory + "/" + interpreter.site_packages, problem);
  if (!problem) std::filesystem::create_directories(directory + "/bin", problem);
  const std::size_t dot = interpreter.version.rfind('.');
  if (!problem) std::filesystem::create_symlink(interpreter.path, directory + "/bin/python", problem);
  for (const std::string& name : {std::string("python3"), "python" + interpreter.version.substr(0, dot)}) {
    if (!problem) std::filesystem::create_symlink("python", directory + "/bin/" + name, problem);
  }
  // site looks for lib64 too where Python was built for it.
  if (!problem && interpreter.site_packages.starts_with("lib/")) std::filesystem::create_symlink("lib", directory + "/lib64", problem);
  if (problem)
    return fail(ErrorCode::system, fmt::format("can't make an environment in {}: {}", directory, problem.message()), problem.value());
  TRY_ASSIGN(const UniqueFd file, open_file(directory + "/pyvenv.cfg", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
  return write_all(file.get(), fmt::format("home = {}\ninclude-system-site-packages = false\nversion = {}\nexecutable = {}\n",
                                           interpreter.path.substr(0, interpreter.path.rfind('/')), interpreter.version, interpreter.path));
}

std::expected<Installed, EnvironmentFailure> install(const std::string& directory, const Interpreter& interpreter, const Root& root,
                                                     const Installation& installation, Store& store, std::chrono::milliseconds wall,
                                                     const RunJob& run, const Progress& progress) {
  return Installing(interpreter, root, installation, store, wall, run, progress).into(directory);
}

}  // namespace casemate
