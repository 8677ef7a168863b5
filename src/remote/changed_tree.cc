#include "remote/changed_tree.h"

#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/terminal.h"
#include "engine/lower.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

timespec time_of(std::int64_t nanoseconds) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t rest = nanoseconds % kSecond;
  const std::int64_t whole = nanoseconds / kSecond;
  return rest < 0 ? timespec{static_cast<time_t>(whole - 1), static_cast<long>(rest + kSecond)}
                  : timespec{static_cast<time_t>(whole), static_cast<long>(rest)};
}

// One place's writable layer, as the job would have left it.
class ChangedTree {
 public:
  ChangedTree(UniqueFd top, const std::vector<std::string>& lower) : top_(std::move(top)), lower_(lower) {}

  // errno, 0 if it is there; `content` is of a file.
  int put(const ChangedPath& change, const std::function<int(int fd)>& content) {
    const auto slash = change.path.rfind('/');
    const std::string above = slash == std::string::npos ? "" : change.path.substr(0, slash);
    const std::string name = change.path.substr(slash == std::string::npos ? 0 : slash + 1);
    const auto parent = make_directories_beneath(top_.get(), above, 0755);
    if (!parent) return parent.error();
    const int at = parent->get();
    const timespec times[2] = {time_of(change.modified_ns), time_of(change.modified_ns)};
    switch (change.kind) {
      case ChangedPath::Kind::directory:
        if (::mkdirat(at, name.c_str(), 0755) < 0 && errno != EEXIST) return errno;
        directories_.push_back(change);
        return 0;
      case ChangedPath::Kind::symlink:
        if (::symlinkat(change.target.c_str(), at, name.c_str()) < 0) return errno;
        (void)::utimensat(at, name.c_str(), times, AT_SYMLINK_NOFOLLOW);
        return 0;
      case ChangedPath::Kind::deleted:
        return ::mknodat(at, name.c_str(), S_IFCHR, makedev(0, 0)) < 0 ? errno : 0;
      case ChangedPath::Kind::fifo:
        if (::mknodat(at, name.c_str(), S_IFIFO | 0600, 0) < 0) return errno;
        (void)::fchmodat(at, name.c_str(), change.mode & 01777, 0);
        return 0;
      case ChangedPath::Kind::socket:
      case ChangedPath::Kind::device:  // stands as a socket: neither is taken
        return ::mknodat(at, name.c_str(), S_IFSOCK | 0600, 0) < 0 ? errno : 0;
      case ChangedPath::Kind::file:
        break;
    }
    const auto file = make_file_beneath(at, name, 0600);
    if (!file) return file.error();
    if (const int problem = content(file->get())) return problem;
    (void)::fchmod(file->get(), mode_of(change) & 01777);
    (void)::futimens(file->get(), times);
    return 0;
  }

  // After all has been put there.
  void finish() {
    for (auto each = directories_.rbegin(); each != directories_.rend(); ++each) {
      const auto opened = open_beneath(top_.get(), each->path, O_RDONLY | O_DIRECTORY);
      const timespec times[2] = {time_of(each->modified_ns), time_of(each->modified_ns)};
      if (!opened) continue;
      (void)::futimens(opened->get(), times);
      (void)::fchmod(opened->get(), mode_of(*each) & 01777);
    }
  }
  [[nodiscard]] int fd() const { return top_.get(); }

 private:
  // A worker has of a file's mode the executable bit alone: who left that as it was left the mode.
  std::uint32_t mode_of(const ChangedPath& change) {
    if (!change.same_mode) return change.mode;
    LayerSet set = lower_.all();
    std::string directory;
    for (std::size_t at = 0;;) {
      const std::size_t end = change.path.find('/', at);
      const std::string name = change.path.substr(at, end == std::string::npos ? end : end - at);
      const auto entry = lower_.find(directory, set, name);
      if (!entry) return change.mode;
      if (end == std::string::npos) return entry->info.st_mode & 07777;
      set = entry->layers;
      directory += (directory.empty() ? "" : "/") + name;
      at = end + 1;
    }
  }

  UniqueFd top_;
  LowerLayers lower_;
  std::vector<ChangedPath> directories_;
};

// What is too large to be had is named with its size by collect(), which looks at that first.
int leave_hole(int fd, std::uint64_t size) {
  const auto most = static_cast<std::uint64_t>(8) << 40;
  return ::ftruncate(fd, static_cast<off_t>(std::min(size, most))) < 0 ? errno : 0;
}

/// Contents of changed files: small ones many at a time, for each turn costs the way there and back.
class ChangedContents {
 public:
  ChangedContents(const ActionReport& report, const InputDirectoryPtr& contents, RemoteEngine& engine, const std::stop_token& stop)
      : report_(report), contents_(contents), engine_(engine), stop_(stop) {}

  /// nullptr: the engine has none of that change.
  [[nodiscard]] const BlobDigest* digest(const ChangedPath& change) const {
    if (!contents_ || change.kind != ChangedPath::Kind::file) return nullptr;
    const auto found = contents_->files.find(std::to_string(change.number));
    return found == contents_->files.end() ? nullptr : &found->second.blob.digest;
  }

  /// `change` is one of the report's, in their order.
  Result<void> write(int fd, const ChangedPath& change, const BlobDigest& blob) {
    if (blob.size > kSmall) return engine_.read_to(fd, blob, stop_);
    const auto index = static_cast<std::size_t>(&change - report_.changes.data());
    if (index >= end_ || index < begin_) take_turn(index);
    const auto got = turn_.find(index);
    return got == turn_.end() ? engine_.read_to(fd, blob, stop_) : write_all(fd, got->second);
  }

 private:
  static constexpr std::uint64_t kSmall = 64u << 10;
  static constexpr std::uint64_t kTurn = 4u << 20;  // bytes held at a time
  static constexpr std::size_t kMostInTurn = 1000;

  // What comes next of the same place. One that can't be had must not cost the others: then each is asked for alone.
  void take_turn(std::size_t from) {
    turn_.clear();
    std::vector<BlobDigest> wanted;
    std::vector<std::size_t> indexes;
    std::uint64_t bytes = 0;
    begin_ = end_ = from;
    for (; end_ < report_.changes.size() && wanted.size() < kMostInTurn; ++end_) {
      const ChangedPath& change = report_.changes[end_];
      const BlobDigest* blob = change.place == report_.changes[from].place ? digest(change) : nullptr;
      if (!blob || blob->size > kSmall) continue;
      if (bytes + blob->size > kTurn) break;
      bytes += blob->size;
      wanted.push_back(*blob);
      indexes.push_back(end_);
    }
    auto read = engine_.read(wanted, kTurn, stop_);
    for (std::size_t i = 0; read && i < indexes.size(); ++i) turn_[indexes[i]] = std::move((*read)[i]);
  }

  const ActionReport& report_;
  const InputDirectoryPtr& contents_;
  RemoteEngine& engine_;
  const std::stop_token& stop_;
  std::size_t begin_ = 0, end_ = 0;  // the changes that the turn is of
  std::map<std::size_t, std::string> turn_;
};

}  // namespace

void collect_changed(const std::vector<WantedChanges>& places, const ActionReport& report, const InputDirectoryPtr& contents,
                     const std::string& directory, RemoteEngine& engine, const std::stop_token& stop, JobResult& result) {
  const auto problem = [&](const std::string& line) {
    if (result.collect_error.empty()) result.collect_error = line;
  };
  const CollectOptions bounds;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const WantedChanges& place = places[i];
    const std::string path = fmt::format("{}/{}", directory, i);
    auto top = ::mkdir(path.c_str(), 0700) == 0 ? open_file(path, O_RDONLY | O_DIRECTORY) : Result<UniqueFd>(fail_errno("make " + path));
    if (!top) return problem(top.error().what);
    ChangedTree tree(std::move(*top), place.lower);
    ChangedContents fetched_contents(report, contents, engine, stop);
    for (const ChangedPath& change : report.changes) {
      if (change.place != i) continue;
      if (stop.stop_requested()) return problem("the collection was interrupted");
      const int failed = tree.put(change, [&](int fd) {
        if (change.size > bounds.max_file_bytes) return leave_hole(fd, change.size);
        const BlobDigest* blob = fetched_contents.digest(change);
        if (!blob) return ENODATA;
        if (const auto fetched = fetched_contents.write(fd, change, *blob); !fetched) {
          problem(fetched.error().what);
          return EIO;
        }
        return 0;
      });
      if (failed != 0) problem(fmt::format("can't fetch {}: {}", printable_name(change.path), std::strerror(failed)));
    }
    tree.finish();
    CollectOptions options;
    options.destination = place.destination;
    options.destination_fd = place.destination_fd;
    options.lower = place.lower;
    options.stop = stop;
    auto collected = collect(tree.fd(), options);
    if (!collected) {
      problem(collected.error().what);
      continue;
    }
    result.changes_truncated |= collected->truncated;
    if (!collected->problem.empty()) problem(collected->problem);
    for (Change& change : collected->changes) change.path.insert(0, place.prefix);
    std::move(collected->changes.begin(), collected->changes.end(), std::back_inserter(result.changes));
  }
  result.changes_truncated |= report.changes_truncated;
  if (!report.collect_problem.empty()) problem(report.collect_problem);
}

}  // namespace casemate
