#include "session/coverage.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/terminal.h"
#include "report/test_words.h"
#include "session/collector.h"
#include "sys/path.h"
#include "warm/stream.h"

namespace casemate {
namespace {

constexpr std::uint64_t kMostData = 1ull << 30;    // bytes of lines
constexpr std::uint64_t kMostFile = 256ull << 20;  // of one report
constexpr std::uint64_t kMostFiles = 100'000;
constexpr std::size_t kMostNotes = 5;

constexpr std::string_view kEndings[] = {".xml", ".json", ".lcov", ".info", ".md",    ".txt", ".html", ".css",
                                         ".js",  ".png",  ".svg",  ".db",   ".cover", ".dat", ".data", ",cover"};

std::string decoded(const std::string& text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  // It counts what only fills up the last four letters.
  const auto padding = static_cast<std::size_t>(
      std::count(text.end() - static_cast<std::ptrdiff_t>(std::min<std::size_t>(text.size(), 2)), text.end(), '='));
  bytes.resize(size < 0 || static_cast<std::size_t>(size) < padding ? 0 : static_cast<std::size_t>(size) - padding);
  return bytes;
}

// A new file takes the name at once: nobody sees half of it, and a link that has the name is not followed.
Attempt<void> write_file(int project, const std::string& path, std::string_view bytes) {
  const auto slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const auto directory = make_directories_beneath(project, slash == std::string::npos ? "" : std::string_view(path).substr(0, slash));
  if (!directory) return std::unexpected(directory.error());
  const std::string temporary = fmt::format(".casemate-coverage-{}", ::getpid());
  ::unlinkat(directory->get(), temporary.c_str(), 0);
  const auto file = make_file_beneath(directory->get(), temporary);
  if (!file) return std::unexpected(file.error());
  if (!write_all(file->get(), bytes) || ::renameat(directory->get(), temporary.c_str(), directory->get(), name.c_str()) != 0) {
    const int problem = errno;
    ::unlinkat(directory->get(), temporary.c_str(), 0);
    return std::unexpected(problem);
  }
  return {};
}

/// Hears the interpreter that reports.
class Reporter : public JobListener {
 public:
  explicit Reporter(const std::string& directory) : directory_(directory) {
    project_.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  void report(std::string_view bytes) override {
    reader_.add(bytes, [this](StreamLine line) {
      if (auto* covered = std::get_if<StreamCovered>(&line)) {
        made.text = std::move(covered->text);
        made.failed = covered->failed;
      } else if (auto* written = std::get_if<StreamWritten>(&line)) {
        take(*written);
      } else if (std::holds_alternative<StreamDone>(line)) {
        done = true;
      }
    });
  }

  CoverageReport made;
  bool done = false;

 private:
  void note(std::string line) {
    if (made.notes.size() < kMostNotes) made.notes.push_back(std::move(line));
  }

  void take(const StreamWritten& written) {
    content_ += decoded(written.content);
    if (content_.size() > kMostFile) too_large_ = true;
    if (too_large_) content_.clear();
    if (written.more) return;
    const std::string content = std::exchange(content_, "");
    if (std::exchange(too_large_, false) || ++files_ > kMostFiles)
      return note(fmt::format("coverage: {} is not written: it is too large", printable_name(written.path)));
    if (!is_coverage_file(written.path))
      return note(fmt::format("coverage: {} is not written: only coverage's data and reports may be, inside the project",
                              printable_name(written.path)));
    if (const auto done = write_file(project_.get(), written.path, content); !done)
      note(fmt::format("coverage: {} can't be written in {}: {}", printable_name(written.path), printable_name(directory_),
                       std::strerror(done.error())));
  }

  const std::string& directory_;
  UniqueFd project_;
  StreamReader reader_;
  std::string content_;
  bool too_large_ = false;
  std::uint64_t files_ = 0;
};

}  // namespace

bool is_coverage_file(std::string_view path) {
  if (path.empty() || path.starts_with('/') || path.size() > 4000 || path.find('\0') != std::string_view::npos) return false;
  const bool in_directory = path.find('/') != std::string_view::npos;
  for (auto slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/')) {
    if (slash == 0 || path.starts_with('.')) return false;  // also .git and the like
    path.remove_prefix(slash + 1);
  }
  if (path.starts_with(".coverage") || (in_directory && path == ".gitignore")) return true;
  return !path.starts_with('.') && path != "package.json" &&
         std::any_of(std::begin(kEndings), std::end(kEndings), [&](std::string_view ending) { return path.ends_with(ending); });
}

void Coverage::add(std::string_view line) {
  if (!file_) {
    const char* place = std::getenv("TMPDIR");
    file_.reset(::open(place != nullptr && *place == '/' ? place : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file_) file_.reset(::memfd_create("casemate-coverage", MFD_CLOEXEC));
  }
  if (!known_.insert(std::hash<std::string_view>()(line)).second) return;
  size_ += line.size() + 1;
  if (size_ > kMostData) {
    problem_ = "more was measured than casemate keeps (1 GiB): the rest is left out";
  } else if (auto written = write_all(file_.get(), std::string(line) + "\n"); !written) {
    problem_ = "not all that was measured could be kept: " + written.error().what;
  }
}

CoverageReport Coverage::report(Engine& engine, const std::string& executor, const std::string& directory, std::size_t failed) {
  Reporter reporter(directory);
  if (!problem_.empty()) reporter.made.notes.push_back("coverage: " + problem_);
  // The cell gets a descriptor of its own, which reads from the start and can't write.
  const UniqueFd data(::open(fmt::format("/proc/self/fd/{}", file_.get()).c_str(), O_RDONLY | O_CLOEXEC));
  Job job;
  job.name = "coverage";
  job.argv = {"coverage", std::to_string(failed)};
  job.executor = executor;
  job.stdin_fd = data.get();
  auto ended = engine.run(std::move(job), &reporter);
  if (!ended) {
    reporter.made.failed = true;
    reporter.made.notes.push_back("coverage: there is no report: " + ended.error().what);
  } else if (!reporter.done) {
    std::string why = last_words(*ended);
    why = why.substr(why.rfind('\n') == std::string::npos ? 0 : why.rfind('\n') + 1);
    reporter.made.failed = true;
    reporter.made.notes.push_back(fmt::format("coverage: there is no report: the interpreter that makes it ended: {}{}{}",
                                              words(ended->outcome), why.empty() ? "" : ": ", printable_name(why)));
  }
  return std::move(reporter.made);
}

}  // namespace casemate
