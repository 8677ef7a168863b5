#include "runtime/earlier_outputs.h"

#include <cerrno>
#include <cstring>
#include <functional>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "runtime/written_path.h"
#include "sys/random.h"

namespace casemate::runtime {
namespace {

constexpr std::size_t kMostNotes = 20;
constexpr int kDeepest = 64;  // directories that are in both trees; what is below in only one of them moves as a whole

std::string mark_of(int directory, const std::string& name) {
  const auto opened = open_beneath(directory, name, O_RDONLY);
  return opened ? extended_attribute(opened->get(), kOutputMark) : "";
}

enum class Whose { other, same_run, earlier };

Whose whose(const std::string& found, const std::string& mark) {
  return found.empty() ? Whose::other : found == mark ? Whose::same_run : Whose::earlier;
}

// Visits all that is no directory, and each directory when all below it has been. No recursion: a script may have made it.
class Walk {
 public:
  std::function<void(int directory, const std::string& name, Whose whose)> on_entry;
  std::function<void(int directory, const std::string& name)> on_left;  // a directory that a test has made
  std::function<void()> on_kept = [] {};                                // one of somebody else

  // `need`: as TreePosition's, 0700 to remove things.
  void walk(int root, const std::string& mark, std::string_view ours, unsigned need) {
    const auto readable = open_beneath(root, ".", O_RDONLY | O_DIRECTORY);
    if (!readable) return on_entry(root, ".", Whose::other);
    auto place = TreePosition::start(readable->get(), need);
    if (!place) return on_entry(root, ".", Whose::other);
    struct Above {
      std::string name;
      std::int64_t resume;
      std::string mark;  // of the directory in which it is
    };
    std::vector<Above> above;
    std::string here = extended_attribute(place->fd(), kOutputMark);
    auto reader = DirectoryReader(place->fd());
    for (;;) {
      const auto entry = reader.next();
      if (!entry) on_entry(root, ".", Whose::other);
      if (!entry || !*entry) {
        const bool of_a_test = !here.empty();
        if (above.empty() || !place->leave() || ::lseek(place->fd(), above.back().resume, SEEK_SET) < 0) return;
        const std::string name = std::move(above.back().name);
        here = std::move(above.back().mark);
        above.pop_back();
        if (of_a_test) {
          on_left(place->fd(), name);
        } else {
          on_kept();
        }
        reader = DirectoryReader(place->fd());
        continue;
      }
      const std::string name((*entry)->name);
      const std::int64_t resume = (*entry)->resume;
      if (above.empty() && name.starts_with(ours)) continue;
      const auto info = stat_beneath(place->fd(), name);
      if (!info) {
        on_entry(place->fd(), name, Whose::other);
      } else if (S_ISDIR(info->st_mode) && place->enter(name)) {
        above.push_back({name, resume, std::exchange(here, extended_attribute(place->fd(), kOutputMark))});
        reader = DirectoryReader(place->fd());
      } else if (S_ISREG(info->st_mode)) {
        on_entry(place->fd(), name, whose(mark_of(place->fd(), name), mark));
      } else {
        on_entry(place->fd(), name, S_ISLNK(info->st_mode) ? whose(here, mark) : Whose::other);
      }
    }
  }
};

// A directory that comes to lie in another one changes its "..", for which an owner needs write permission. It gets its mode back.
class WritableMeanwhile {
 public:
  WritableMeanwhile(int in, const std::string& name, const struct stat& info) : mode_(info.st_mode) {
    if (!S_ISDIR(mode_) || (mode_ & 0700) == 0700) return;
    auto opened = open_beneath(in, name, O_PATH | O_DIRECTORY);
    if (opened && change_mode(opened->get(), (mode_ & 07777) | 0700)) directory_ = std::move(*opened);
  }
  WritableMeanwhile(const WritableMeanwhile&) = delete;
  WritableMeanwhile& operator=(const WritableMeanwhile&) = delete;
  ~WritableMeanwhile() {
    if (directory_) (void)change_mode(directory_.get(), mode_ & 07777);
  }

 private:
  mode_t mode_;
  UniqueFd directory_;
};

class Merge {
 public:
  explicit Merge(const std::string& mark) : mark_(mark) {}
  MergedOutputs merged;

  // At most kDeepest calls deep.
  void merge(int from, int to, const std::string& path, int depth) {
    const auto done = for_each_entry(from, [&](const std::string& name, const struct stat& info) -> Attempt<void> {
      const WritableMeanwhile writable(from, name, info);
      if (::renameat2(from, name.c_str(), to, name.c_str(), RENAME_NOREPLACE) == 0) return {};
      if (errno != EEXIST && errno != EINVAL) return not_come(path + name, std::strerror(errno));
      const auto there = stat_beneath(to, name);
      if (!there) {  // a file system that can't say "only if nothing is there"
        if (::renameat(from, name.c_str(), to, name.c_str()) < 0) return not_come(path + name, std::strerror(errno));
        return {};
      }
      if (!S_ISDIR(there->st_mode)) return replace(from, to, name, path);
      if (!S_ISDIR(info.st_mode)) return not_come(path + name, "a directory of its name is there, with files of others");
      if (depth == kDeepest) return not_come(path + name, "too many directories deep");
      const auto below_from = open_beneath(from, name, O_RDONLY | O_DIRECTORY), below_to = open_beneath(to, name, O_RDONLY | O_DIRECTORY);
      if (!below_from || !below_to) return not_come(path + name, std::strerror(below_from ? below_to.error() : below_from.error()));
      merge(below_from->get(), below_to->get(), path + name + "/", depth + 1);
      if (!extended_attribute(below_to->get(), kOutputMark).empty()) mark_output_directory(below_to->get(), mark_);
      return {};
    });
    if (!done) (void)not_come(path + ".", std::strerror(done.error()));
  }

 private:
  Attempt<void> replace(int from, int to, const std::string& name, const std::string& path) {
    const auto there = stat_beneath(to, name);
    const bool is_link = there && S_ISLNK(there->st_mode);
    const Whose before = whose(is_link ? extended_attribute(to, kOutputMark) : mark_of(to, name), mark_);
    if (before == Whose::same_run && !is_link)
      note(fmt::format("{} was written by another script of this run too: this one's is there now", quoted(path + name)));
    const auto done = put_in_place(from, to, name);
    if (done && before == Whose::other) {
      ++merged.overwritten_count;
      if (merged.overwritten.size() < kMostNotes) merged.overwritten.push_back(path + name);
    }
    return done ? Attempt<void>() : not_come(path + name, std::strerror(done.error()));
  }
  Attempt<void> not_come(const std::string& path, const char* why) {
    note(fmt::format("{} did not come to its place: {}", quoted(path), why));
    return {};
  }
  void note(std::string what) {
    if (merged.notes.size() < kMostNotes) merged.notes.push_back(std::move(what));
  }

  const std::string& mark_;
};

}  // namespace

std::string new_run_mark() { return random_name() + random_name(); }

void mark_output(int directory, const std::string& name, const struct stat& info, const std::string& mark) {
  if (!S_ISREG(info.st_mode)) return;
  const auto file = open_despite_mode(directory, name, O_RDONLY, 0600);
  if (!file) return;
  const bool marked = ::fsetxattr(file->get(), kOutputMark, mark.data(), mark.size(), 0) == 0;
  const bool in_the_way = !marked && errno == EACCES;  // an owner's own mode counts for attributes of "user."
  if (in_the_way && change_mode(file->get(), 0600)) (void)::fsetxattr(file->get(), kOutputMark, mark.data(), mark.size(), 0);
  if (in_the_way || (info.st_mode & 0600) != 0600) (void)change_mode(file->get(), info.st_mode & 01777);
}

void mark_output_directory(int directory, const std::string& mark) {
  (void)::fsetxattr(directory, kOutputMark, mark.data(), mark.size(), 0);
}

bool remove_if_earlier(int directory, const std::string& name, const std::string& mark) {
  return whose(mark_of(directory, name), mark) == Whose::earlier && ::unlinkat(directory, name.c_str(), 0) == 0;
}

EarlierOutputs look_for_earlier(int directory, const std::string& mark, std::string_view ours) {
  EarlierOutputs found;
  Walk walk;
  walk.on_entry = [&](int, const std::string&, Whose whose) {
    if (whose == Whose::other) ++found.others;
    if (whose == Whose::same_run) ++found.same_run;
  };
  walk.on_left = [](int, const std::string&) {};
  walk.on_kept = [&] { ++found.directories; };
  walk.walk(directory, mark, ours, 0500);
  return found;
}

void remove_earlier(int directory, const std::string& mark, std::string_view ours) {
  Walk walk;
  walk.on_entry = [](int in, const std::string& name, Whose whose) {
    if (whose == Whose::earlier) ::unlinkat(in, name.c_str(), 0);
  };
  walk.on_left = [](int in, const std::string& name) { ::unlinkat(in, name.c_str(), AT_REMOVEDIR); };
  walk.walk(directory, mark, ours, 0700);
}

Attempt<void> put_in_place(int from, int to, const std::string& name) {
  if (::renameat2(from, name.c_str(), to, name.c_str(), RENAME_EXCHANGE) == 0) return {};
  if (errno != ENOENT && errno != EINVAL && errno != ENOSYS) return std::unexpected(errno);
  if (errno != ENOENT) {  // a file system that can't exchange: rename(2) puts no directory over a file
    if (const auto info = stat_beneath(from, name); info && S_ISDIR(info->st_mode)) ::unlinkat(to, name.c_str(), 0);
  }
  if (::renameat(from, name.c_str(), to, name.c_str()) == 0) return {};
  return std::unexpected(errno);
}

MergedOutputs merge_outputs(int from, int to, const std::string& mark) {
  Merge merge(mark);
  merge.merge(from, to, "", 0);
  return std::move(merge.merged);
}

}  // namespace casemate::runtime
