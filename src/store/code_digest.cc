#include "store/code_digest.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <string_view>

// As in base/digest.cc: the plain functions, not EVP.
#define OPENSSL_SUPPRESS_DEPRECATED 1
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/sha.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "sys/fd.h"
#include "sys/process.h"
#include "sys/thread.h"
#include "sys/watched_program.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostFiles = 100'000;
constexpr std::size_t kMostSeen = 1'000'000;  // entries of directories, whatever they are
constexpr off_t kMostBytes = 16 << 20;
constexpr std::size_t kMostListed = 64 << 20;  // bytes of names
constexpr std::chrono::seconds kMost(10);
constexpr int kNice = 10;  // beside tests on every CPU it still gets a tenth of one
constexpr std::string_view kNoCode[] = {"__pycache__", "node_modules", "site-packages"};
constexpr std::string_view kGitlink = "160000";  // gitformat-index(5): a submodule

bool is_code(std::string_view name) {
  return std::ranges::any_of(std::initializer_list<std::string_view>{".py", ".toml", ".ini", ".cfg"},
                             [&](std::string_view end) { return name.ends_with(end); });
}

// What is known of a file without reading it.
std::string stamp(const struct stat& info) {
  return fmt::format("{} {}.{:09} {}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ino);
}

// The survey of one moment: each path with what tells its content.
class Survey {
 public:
  Survey(const CodePlace& place, const std::stop_token& stop) : place_(place), stop_(stop), without_(place.without) {
    std::ranges::sort(without_);
  }

  Result<std::string> go() {
    std::string_view way = "files";
    if (::access((place_.directory + "/.git").c_str(), F_OK) == 0) {
      const auto read = read_work_tree();
      if (!read && (read.error().code == ErrorCode::exhausted || is_over())) return std::unexpected(read.error());
      if (read) way = "git";
    }
    if (way == "files") {
      found_.clear();
      TRY(walk(""));
    }
    if (found_.empty()) return fail(ErrorCode::not_found, "there is no code in " + place_.directory);
    Sha256 sum;
    for (const auto& [path, content] : found_) sum.update(fmt::format("{}{}{}{}", path, '\0', content, '\0'));
    for (const std::string& directory : place_.installed) sum.update(names_in(directory));
    return fmt::format("{}:{}", way, sum.hex());
  }

 private:
  [[nodiscard]] bool is_over() const { return stop_.stop_requested() || Clock::now() > deadline_; }
  Result<void> unless_over() const {
    if (is_over()) return fail(ErrorCode::refused, "the survey of the code was stopped");
    return {};
  }
  Result<void> put(const std::string& path, std::string content) {
    TRY(unless_over());
    if (std::ranges::binary_search(without_, place_.directory + "/" + path)) return {};
    if (found_.size() >= kMostFiles) return fail(ErrorCode::exhausted, fmt::format("more than {} files of code", kMostFiles));
    found_.insert_or_assign(path, std::move(content));
    return {};
  }

  // ---- Without git

  // *.py and settings below a directory; `prefix` is "" or ends with a slash.
  Result<void> walk(const std::string& prefix) {
    std::error_code problem;
    for (auto entry = fs::directory_iterator(place_.directory + "/" + prefix, problem); !problem && entry != fs::directory_iterator();
         entry.increment(problem)) {
      TRY(unless_over());
      if (++seen_ > kMostSeen) return fail(ErrorCode::exhausted, fmt::format("more than {} files", kMostSeen));
      const std::string name = entry->path().filename().string();
      std::error_code unknown;
      if (entry->symlink_status(unknown).type() == fs::file_type::directory) {
        if (!name.starts_with('.') && std::ranges::find(kNoCode, name) == std::end(kNoCode) &&
            ::access((entry->path() / "pyvenv.cfg").c_str(), F_OK) != 0)
          TRY(walk(prefix + name + "/"));
      } else if (struct stat info{}; is_code(name) && ::stat(entry->path().c_str(), &info) == 0 && S_ISREG(info.st_mode)) {
        TRY(put(prefix + name, stamp(info)));
      }
    }
    return {};
  }

  static std::string names_in(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code problem;
    for (auto entry = fs::directory_iterator(directory, problem);
         !problem && entry != fs::directory_iterator() && names.size() < kMostFiles; entry.increment(problem))
      names.push_back(entry->path().filename().string());
    std::ranges::sort(names);
    return fmt::format("{}{}", directory, fmt::join(names, "/"));
  }

  // ---- With git

  Result<std::string> git(const std::vector<std::string>& words) {
    WatchedProgram program;
    program.argv = {git_, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"};
    program.argv.insert(program.argv.end(), settings_.begin(), settings_.end());
    program.argv.insert(program.argv.end(), words.begin(), words.end());
    // A hook of git's that runs casemate has others of these set, for an index that is not the one here.
    for (char** variable = environ; *variable; ++variable) {
      if (!std::string_view(*variable).starts_with("GIT_")) program.env.emplace_back(*variable);
    }
    program.env.insert(program.env.end(), {"GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0",
                                           "GIT_CEILING_DIRECTORIES=" + fs::path(place_.directory).parent_path().string()});
    program.directory = place_.directory;
    program.out_limit = kMostListed;
    program.interval = std::chrono::milliseconds(10);
    program.watch = [this] { return unless_over(); };
    TRY_ASSIGN(ProgramResult result, run_watched(program));
    if (result.end.signaled || result.end.code > 1) return fail(ErrorCode::system, "git failed in " + place_.directory);
    return std::move(result.out);
  }

  // Each piece of a list that ends with NULs.
  template <class Take>
  static Result<void> for_each(std::string_view list, Take take) {
    while (!list.empty()) {
      const std::size_t end = std::min(list.find('\0'), list.size());
      TRY(take(list.substr(0, end)));
      list.remove_prefix(std::min(end + 1, list.size()));
    }
    return {};
  }

  // A file whose times the index does not know may be compared by its content, through the filters of gitattributes(5): programs.
  Result<void> disarm_filters() {
    TRY_ASSIGN(const std::string filters, git({"config", "-z", "--name-only", "--get-regexp", "^filter\\."}));
    return for_each(filters, [&](std::string_view key) -> Result<void> {
      if (key.contains('=')) return fail(ErrorCode::refused, "a filter whose settings can't be named on a command line");
      settings_.emplace_back("-c");
      settings_.push_back(fmt::format("{}={}", key, key.ends_with(".required") ? "false" : ""));
      return {};
    });
  }

  Result<void> read_work_tree() {
    git_ = program_on_path("git");
    if (git_.empty()) return fail(ErrorCode::not_found, "there is no git on PATH");
    TRY(disarm_filters());
    TRY_ASSIGN(const std::string listed, git({"ls-files", "-z", "-t", "--stage", "--cached", "--others", "--exclude-standard"}));
    TRY_ASSIGN(const std::string changed, git({"diff-files", "-z", "--name-only", "--ignore-submodules=all"}));
    TRY(for_each(listed, [&](std::string_view line) { return take(line); }));
    std::ranges::sort(untracked_);
    for (const std::string& path : untracked_) {
      if (is_left_out(path)) continue;
      TRY(path.ends_with('/') ? walk(path) : look_at(path));  // a repository inside ends with a slash
    }
    return for_each(changed, [&](std::string_view path) { return look_at(std::string(path)); });
  }

  // Whether what nobody ignores, and nobody tracks, is a tool's: hidden, a cache, or in a virtual environment.
  [[nodiscard]] bool is_left_out(std::string_view path) const {
    for (std::size_t from = 0; from < path.size();) {
      const std::size_t end = std::min(path.find('/', from), path.size());
      const std::string_view name = path.substr(from, end - from);
      if (name.starts_with('.') || std::ranges::find(kNoCode, name) != std::end(kNoCode)) return true;
      if (end < path.size() && std::ranges::binary_search(untracked_, std::string(path.substr(0, end)) + "/pyvenv.cfg")) return true;
      from = end + 1;
    }
    return false;
  }

  // "? path" of what is not tracked, else "H 100644 1234... 0\tpath".
  Result<void> take(std::string_view line) {
    if (line.starts_with("? ")) {
      untracked_.emplace_back(line.substr(2));
      return {};
    }
    const std::size_t tab = line.find('\t');
    const std::size_t id = line.find(' ', 2);
    if (tab == std::string_view::npos || id == std::string_view::npos || tab < id + 4)
      return fail(ErrorCode::system, "git says what is not known here");
    const std::string path(line.substr(tab + 1));
    if (line.substr(2, id - 2) == kGitlink) return walk(path + "/");
    id_digits_ = tab - 2 - (id + 1);
    return put(path, std::string(line.substr(2, tab - 2 - 2)));
  }

  // A file as git would put it into its index. One that is gone is forgotten.
  Result<void> look_at(const std::string& path) {
    const std::string file = place_.directory + "/" + path;
    found_.erase(path);
    struct stat info{};
    if (::lstat(file.c_str(), &info) != 0) return {};
    if (S_ISLNK(info.st_mode)) {
      std::error_code problem;
      return put(path, "120000 " + id_of(fs::read_symlink(file, problem).string()));
    }
    if (!S_ISREG(info.st_mode)) return put(path, "no file");
    const auto content = info.st_size <= kMostBytes ? read_regular(file) : std::nullopt;
    return put(path, fmt::format("{} {}", info.st_mode & S_IXUSR ? "100755" : "100644", content ? id_of(*content) : stamp(info)));
  }

  static std::optional<std::string> read_regular(const std::string& file) {
    auto content = read_file(file, kMostBytes);
    return content ? std::optional(std::move(*content)) : std::nullopt;
  }

  // git's id of a blob (gitdatamodel: "blob SIZE\0" and the content), so that `git add` and a commit change nothing.
  [[nodiscard]] std::string id_of(const std::string& content) const {
    const std::string object = fmt::format("blob {}{}{}", content.size(), '\0', content);
    if (id_digits_ == 64) return sha256_hex(object);
    unsigned char raw[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(object.data()), object.size(), raw);
    return fmt::format("{:02x}", fmt::join(raw, ""));
  }

  const CodePlace& place_;
  const std::stop_token& stop_;
  Clock::time_point deadline_ = Clock::now() + kMost;
  std::vector<std::string> without_;
  std::string git_;
  std::vector<std::string> settings_;  // further "-c", "NAME=VALUE"
  std::vector<std::string> untracked_;
  std::size_t id_digits_ = 40;
  std::size_t seen_ = 0;
  std::map<std::string, std::string> found_;
};

}  // namespace

Result<std::string> code_digest(const CodePlace& place, const std::stop_token& stop) {
  try {
    return Survey(place, stop).go();
  } catch (const fs::filesystem_error& problem) {  // an operator without an error_code
    return fail(ErrorCode::system, problem.what());
  }
}

struct CodeSurvey::Finding {
  std::mutex mutex;
  std::condition_variable told;
  std::optional<std::string> digest;
};

CodeSurvey::~CodeSurvey() = default;

void CodeSurvey::start() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  looked_ = Clock::now();
  finding_ = std::make_shared<Finding>();
  auto started = start_thread([place = place_, finding = finding_](const std::stop_token& stop) {
    ::setpriority(PRIO_PROCESS, 0, kNice);  // of this thread and of what it starts (setpriority(2), C library/kernel differences)
    const auto digest = code_digest(place, stop);
    const std::lock_guard lock(finding->mutex);
    finding->digest = digest.value_or("");
    finding->told.notify_all();
  });
  if (started)
    thread_ = std::move(*started);
  else
    finding_->digest = "";
}

std::string CodeSurvey::wait() const {
  std::unique_lock lock(finding_->mutex);
  finding_->told.wait_for(lock, times_.patience, [&] { return finding_->digest.has_value(); });
  return finding_->digest.value_or("");
}

void CodeSurvey::begin() {
  if (!finding_ || Clock::now() - looked_ > times_.fresh) start();
}

std::string CodeSurvey::end() {
  if (!finding_) return "";
  std::string digest = wait();
  if (digest.empty() || Clock::now() - looked_ <= times_.fresh) return digest;
  start();
  return wait() == digest ? digest : "";
}

}  // namespace casemate
