#include "witness/changed_places.h"

#include <cerrno>
#include <cstdio>
#include <functional>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/path.h"
#include "witness/order.h"

namespace casemate {
namespace {

constexpr std::size_t kMostEntries = 1'000'000;
constexpr std::uint64_t kLargestFile = 4ull << 30;  // as CollectOptions::max_file_bytes: larger ones are named only
constexpr const char* kWrittenByHabit[] = {"tmp", "var/tmp", "run", "root", "home", "dev/shm"};
const std::set<std::string> kKernels = {"proc", "sys", "dev", std::string(kActionPlace)};

// Calls `visit(path, directory, name, info)` for each entry below the directory `top`; what it says true of is a directory to go into.
// errno of the first thing that kept it from going on; what a mount hides is passed over.
int walk(int top, const std::function<bool(const std::string&, int, const std::string&, const struct stat&)>& visit) {
  auto position = TreePosition::start(top, 0500);
  if (!position) return position.error();
  struct Frame {
    std::string path;
    std::vector<std::string> directories;
  };
  std::vector<Frame> frames;
  int problem = 0;
  const auto enter = [&](std::string path) {
    Frame frame{std::move(path), {}};
    const auto read = for_each_entry(position->fd(), [&](const std::string& name, const struct stat& info) -> Attempt<void> {
      const std::string inner = frame.path.empty() ? name : frame.path + "/" + name;
      if (visit(inner, position->fd(), name, info) && S_ISDIR(info.st_mode)) frame.directories.push_back(name);
      return {};
    });
    if (!read && problem == 0) problem = read.error();
    frames.push_back(std::move(frame));
  };
  enter("");
  while (!frames.empty()) {
    Frame& frame = frames.back();
    if (frame.directories.empty()) {
      frames.pop_back();
      if (!frames.empty()) {
        if (const auto left = position->leave(); !left) return left.error();
      }
      continue;
    }
    const std::string name = std::move(frame.directories.back());
    frame.directories.pop_back();
    std::string path = frame.path.empty() ? name : frame.path + "/" + name;
    if (const auto entered = position->enter(name)) {
      enter(std::move(path));
    } else if (entered.error() != EXDEV && problem == 0) {
      problem = entered.error();
    }
  }
  return problem;
}

ChangedPath::Kind kind_of(mode_t mode) {
  using Kind = ChangedPath::Kind;
  if (S_ISREG(mode)) return Kind::file;
  if (S_ISDIR(mode)) return Kind::directory;
  if (S_ISLNK(mode)) return Kind::symlink;
  if (S_ISFIFO(mode)) return Kind::fifo;
  return S_ISSOCK(mode) ? Kind::socket : Kind::device;
}

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

bool copy(int from, int to) {
  for (;;) {
    const ssize_t put = ::sendfile(to, from, nullptr, 1u << 30);
    if (put == 0) return true;
    if (put < 0 && errno != EINTR) return false;
  }
}

}  // namespace

ChangedPlaces::Look ChangedPlaces::look_of(const struct stat& info) {
  return {info.st_mode, static_cast<std::uint64_t>(info.st_size), info.st_ino, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

Result<ChangedPlaces> ChangedPlaces::look(const std::vector<std::string>& places) {
  ChangedPlaces all;
  for (std::size_t i = 0; i < places.size(); ++i) {
    TRY_ASSIGN(UniqueFd top, open_file(places[i], O_PATH | O_DIRECTORY));
    all.trees_.push_back({static_cast<std::uint32_t>(i), "", std::move(top), {}});
    if (places[i] != "/") continue;
    for (const char* habit : kWrittenByHabit) {
      struct stat root{}, own{};
      UniqueFd mounted(::open((places[i] + habit).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!mounted || ::fstat(mounted.get(), &own) < 0 || ::stat("/", &root) < 0 || own.st_dev == root.st_dev) continue;
      if (habit != std::string_view("dev/shm"))
        all.trees_.push_back({static_cast<std::uint32_t>(i), std::string(habit) + "/", std::move(mounted), {}});
    }
  }
  for (Tree& tree : all.trees_) {
    const bool whole = places[tree.place] == "/" && tree.prefix.empty();
    const int problem = walk(tree.top.get(), [&](const std::string& path, int, const std::string&, const struct stat& info) {
      if (whole && kKernels.contains(path)) return false;
      if (tree.before.size() < kMostEntries) tree.before.emplace(path, look_of(info));
      return true;
    });
    if (problem != 0) return fail_errno("look at " + printable_name(places[tree.place]), problem);
    if (tree.before.size() >= kMostEntries)
      return fail(ErrorCode::exhausted,
                  fmt::format("there are more than {} files below {}", kMostEntries, printable_name(places[tree.place])));
  }
  return all;
}

void ChangedPlaces::take(int contents, ActionReport& report) {
  for (Tree& tree : trees_) take_tree(tree, contents, report);
}

void ChangedPlaces::take_tree(Tree& tree, int contents, ActionReport& report) {
  const bool whole = tree.prefix.empty() && [&] {
    struct stat root{}, own{};
    return ::stat("/", &root) == 0 && ::fstat(tree.top.get(), &own) == 0 && own.st_dev == root.st_dev && own.st_ino == root.st_ino;
  }();
  std::map<std::string, Look> gone = std::move(tree.before);
  std::set<std::string> replaced;  // directories where there are none any more
  const auto add = [&](ChangedPath change) {
    if (report.changes.size() < kMostChangedPaths) {
      report.changes.push_back(std::move(change));
      return true;
    }
    report.changes_truncated = true;
    return false;
  };
  const int problem = walk(tree.top.get(), [&](const std::string& path, int directory, const std::string& name, const struct stat& info) {
    if (whole && kKernels.contains(path)) return false;
    const auto before = gone.find(path);
    const Look now = look_of(info);
    bool same_mode = false;
    if (before != gone.end()) {
      const Look then = before->second;
      gone.erase(before);
      same_mode = then.mode == now.mode;
      if (S_ISDIR(then.mode) && !S_ISDIR(now.mode)) replaced.insert(path);
      // A directory's own times and size tell of its entries, and these are looked at.
      if (then == now || (S_ISDIR(info.st_mode) && same_mode)) return true;
    }
    ChangedPath change{.kind = kind_of(info.st_mode), .place = tree.place, .path = tree.prefix + path, .mode = info.st_mode & 07777};
    change.same_mode = same_mode;
    change.modified_ns = now.modified_ns;
    change.size = now.size;
    if (change.kind == ChangedPath::Kind::symlink) {
      if (auto target = read_link_beneath(directory, name)) change.target = std::move(*target);
    }
    if (report.changes.size() < kMostChangedPaths && change.kind == ChangedPath::Kind::file)
      change.number = keep_content(directory, name, info, contents, report);
    return add(std::move(change));
  });
  if (problem != 0 && report.collect_problem.empty())
    report.collect_problem = fmt::format("can't look at all that changed: {}", std::strerror(problem));
  // After a failure what is missing is not gone.
  if (problem != 0 || report.changes_truncated) return;
  // Of what is gone the topmost alone.
  for (const auto& [path, look] : gone) {
    const std::string above = path.find('/') == std::string::npos ? std::string() : path.substr(0, path.rfind('/'));
    if (gone.contains(above) || replaced.contains(above)) continue;
    if (!add({.kind = ChangedPath::Kind::deleted, .place = tree.place, .path = tree.prefix + path})) return;
  }
}

// The name of its content, 0 if that can't be had.
std::uint64_t ChangedPlaces::keep_content(int directory, const std::string& name, const struct stat& info, int contents,
                                          ActionReport& report) {
  if (static_cast<std::uint64_t>(info.st_size) > kLargestFile) return 0;
  const std::string number = std::to_string(kept_ + 1);
  const auto failed = [&](int problem) -> std::uint64_t {
    if (report.collect_problem.empty())
      report.collect_problem = fmt::format("can't keep {}: {}", printable_name(name), std::strerror(problem));
    return 0;
  };
  if (::renameat(directory, name.c_str(), contents, number.c_str()) == 0) {
    (void)::fchmodat(contents, number.c_str(), 0644, 0);
    return ++kept_;
  }
  const auto from = open_despite_mode(directory, name, O_RDONLY, 0400);
  if (!from) return failed(from.error());
  const UniqueFd to(::openat(contents, number.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!to || !copy(from->get(), to.get())) return failed(errno);
  return ++kept_;
}

}  // namespace casemate
