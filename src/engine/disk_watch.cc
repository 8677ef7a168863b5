#include "engine/disk_watch.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <stop_token>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/terminal.h"
#include "base/units.h"
#include "sys/path.h"
#include "sys/thread.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLook = std::chrono::milliseconds(100);
constexpr int kRest = 4;  // a walk is followed by a pause of this many times its length
// What a job must leave free, or an eighth of what it found if that is less.
constexpr std::uint64_t kSpareBytes = 1ull << 30;
constexpr std::uint64_t kSpareFiles = 10'000;

struct Room {
  std::uint64_t used = 0;
  std::uint64_t free = 0;
  std::uint64_t free_files = 0;
  std::uint64_t used_files = 0;
  bool counts_files = false;  // btrfs has no such number
};

Result<Room> room_of(int directory, const std::string& path) {
  struct statvfs state{};
  if (::fstatvfs(directory, &state) < 0) return fail_errno("look at the file system of " + printable_name(path));
  return Room{(state.f_blocks - state.f_bfree) * state.f_frsize, state.f_bavail * state.f_frsize, state.f_favail,
              state.f_files - state.f_ffree, state.f_files > 0};
}

struct Written {
  std::uint64_t bytes = 0;
  std::uint64_t files = 0;
};

// What lies on disk below `root` in what was changed at `since` or later. A file counts by its share of names, so that links don't count
// twice. A job that moves directories while they are walked hides them: then what was seen so far is the answer.
Written written_since(int root, std::time_t since, const std::stop_token& stop) {
  Written sum;
  auto place = TreePosition::start(root, 0500);
  if (!place) return sum;
  std::vector<std::int64_t> resume;  // where to go on in each directory above
  auto reader = DirectoryReader(place->fd());
  while (!stop.stop_requested()) {
    const auto entry = reader.next();
    if (!entry || !*entry) {
      if (resume.empty() || !place->leave() || ::lseek(place->fd(), resume.back(), SEEK_SET) < 0) return sum;
      resume.pop_back();
      reader = DirectoryReader(place->fd());
      continue;
    }
    const std::string name((*entry)->name);
    const std::int64_t next = (*entry)->resume;
    const auto info = stat_beneath(place->fd(), name);
    if (!info) continue;
    if (info->st_ctime >= since) {
      sum.bytes += static_cast<std::uint64_t>(info->st_blocks) * 512 / (S_ISDIR(info->st_mode) ? 1 : std::max<nlink_t>(info->st_nlink, 1));
      ++sum.files;
    }
    if (!S_ISDIR(info->st_mode) || !place->enter(name)) continue;
    resume.push_back(next);
    reader = DirectoryReader(place->fd());
  }
  return sum;
}

}  // namespace

struct DiskWatch::Place {
  std::string path;
  UniqueFd directory;
  std::uint64_t most = 0;
  std::uint64_t most_files = 0;
  Room before;
  std::uint64_t least_used = 0;  // others may delete meanwhile
  std::uint64_t least_files = 0;
  std::time_t since = 0;
  Clock::time_point next_walk;

  Problem look(const std::stop_token& stop) {
    const auto now = room_of(directory.get(), path);
    if (!now) return {"", now.error().what};
    least_used = std::min(least_used, now->used);
    least_files = std::min(least_files, now->used_files);
    const bool full = now->free < std::min(kSpareBytes, before.free / 8);
    if (full && now->used > before.used)
      return {kDiskFull, fmt::format("the file system of {} was nearly full, {} were left", path, format_bytes(now->free))};
    if (now->counts_files && now->free_files < std::min(kSpareFiles, before.free_files / 8))
      return {kDiskFull, fmt::format("the file system of {} had room for only {} more files", path, now->free_files)};
    const auto begun = Clock::now();
    const bool more_files = now->counts_files && now->used_files - least_files > most_files;
    if ((now->used - least_used <= most && !more_files) || begun < next_walk) return {};
    const Written written = written_since(directory.get(), since, stop);
    const auto ended = Clock::now();
    next_walk = ended + kRest * (ended - begun);
    if (written.bytes > most) return {kManyBytes, fmt::format("more than {} were written below {}", format_bytes(most), path)};
    if (written.files > most_files) return {kManyFiles, fmt::format("more than {} files were made below {}", most_files, path)};
    return {};
  }
};

Result<std::unique_ptr<DiskWatch>> DiskWatch::begin(const Job& job) {
  std::unique_ptr<DiskWatch> watch;
  for (const Mount& mount : job.mounts) {
    if (mount.kind != Mount::Kind::bind || !mount.writable || !mount.bytes) continue;
    if (!watch) watch.reset(new DiskWatch);
    auto place = std::make_shared<Place>();
    place->path = printable_name(mount.source);
    place->most = *mount.bytes;
    place->most_files = files_within(*mount.bytes);
    TRY_ASSIGN(place->directory, open_file(mount.source, O_PATH | O_DIRECTORY));
    TRY_ASSIGN(place->before, room_of(place->directory.get(), mount.source));
    place->least_used = place->before.used;
    place->least_files = place->before.used_files;
    place->since = std::time(nullptr) - 1;  // file systems take the time of the last tick
    watch->places_.push_back(std::move(place));
  }
  if (!watch) return nullptr;
  watch->event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!watch->event_) return fail_errno("make an eventfd");
  auto thread = start_thread([raw = watch.get()](const std::stop_token& stop) { raw->watch(stop); });
  if (!thread) return fail(thread.error().code, "can't watch the disk: " + thread.error().what, thread.error().errno_value);
  watch->thread_ = std::move(*thread);
  return watch;
}

void DiskWatch::watch(const std::stop_token& stop) {
  try {
    std::mutex mutex;
    std::condition_variable_any pause;
    std::unique_lock lock(mutex);
    while (problem_.text.empty() && !pause.wait_for(lock, stop, kLook, [&] { return stop.stop_requested(); }) && !stop.stop_requested()) {
      for (const auto& place : places_) {
        if (problem_.text.empty()) problem_ = place->look(stop);
      }
    }
  } catch (const std::exception&) {
    problem_.text = "casemate has no memory left to watch the disk";
  }
  if (!problem_.text.empty()) ::eventfd_write(event_.get(), 1);
}

}  // namespace casemate
