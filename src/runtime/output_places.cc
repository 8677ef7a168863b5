#include "runtime/output_places.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/terminal.h"
#include "runtime/earlier_outputs.h"
#include "runtime/written_path.h"
#include "sys/path.h"
#include "sys/random.h"

namespace casemate::runtime {
namespace {

constexpr const char* kInside = "out";
constexpr std::size_t kMostFiles = 1000;
constexpr std::size_t kMostNotes = 20;
constexpr int kTries = 20;
constexpr std::uint64_t kMostBytes = 16ull << 30;  // of each place, about
constexpr const char* kFileEndings[] = {".csv",     ".tsv",     ".txt",   ".json", ".jsonl", ".ndjson", ".pkl",  ".pickle", ".joblib",
                                        ".parquet", ".feather", ".arrow", ".npy",  ".npz",   ".xlsx",   ".xls",  ".html",   ".md",
                                        ".xml",     ".yaml",    ".yml",   ".log",  ".png",   ".jpg",    ".svg",  ".pdf",    ".gz",
                                        ".bz2",     ".xz",      ".zip",   ".tar",  ".pt",    ".pth",    ".onnx", ".h5",     ".hdf5",
                                        ".sqlite",  ".db",      ".bst",   ".ubj",  ".bin",   ".model"};

std::string below(const std::string& path, const std::string& directory) {
  return path == directory ? "" : path.substr(directory == "/" ? 1 : directory.size() + 1);
}
bool is_directory(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// Makes what is missing of a lexical path, following no link that a script may have made; gives its real path.
Result<std::string> make_directories(const std::string& path, const FilledPlaces& filled) {
  std::string there = path;
  while (there != "/" && !is_directory(there)) there = directory_of(there);
  TRY_ASSIGN(std::string real, filled.real_path(there));
  const std::string rest = below(path, there);
  if (rest.empty()) return real;
  TRY_ASSIGN(const UniqueFd directory, open_file(real, O_RDONLY | O_DIRECTORY));
  const auto made = make_directories_beneath(directory.get(), rest);
  if (!made) return fail_errno("make the directory " + quoted(path), made.error());
  return (real == "/" ? "" : real) + "/" + rest;
}

// What testers left that were killed: nobody holds its lock any more.
void sweep(int directory) {
  (void)for_each_entry(directory, [&](const std::string& name, const struct stat& info) -> Attempt<void> {
    if (!name.starts_with(kOutputPrefix) || !S_ISDIR(info.st_mode)) return {};
    const auto left = open_beneath(directory, name, O_RDONLY | O_DIRECTORY);
    if (left && ::flock(left->get(), LOCK_EX | LOCK_NB) == 0) (void)remove_tree_at(directory, name);
    return {};
  });
}

// A new directory in `directory`, locked. Another tester's sweep may take it before it is.
Result<std::pair<std::string, UniqueFd>> make_staging(int directory, const std::string& path) {
  for (int i = 0; i < kTries; ++i) {
    const std::string name = std::string(kOutputPrefix) + random_name();
    if (::mkdirat(directory, name.c_str(), 0700) < 0) {
      if (errno == EEXIST) continue;
      return fail_errno("make a directory for outputs in " + quoted(path));
    }
    auto made = open_beneath(directory, name, O_RDONLY | O_DIRECTORY);
    if (!made || ::flock(made->get(), LOCK_EX | LOCK_NB) < 0) continue;
    const auto now = stat_beneath(directory, name);
    struct stat ours{};
    if (now && ::fstat(made->get(), &ours) == 0 && now->st_ino == ours.st_ino) return std::pair(name, std::move(*made));
  }
  return fail(ErrorCode::system, "can't make a directory for outputs in " + quoted(path));
}

// The target that a link `depth` directories below `top` (lexical) may have: one that stays at or below `top` whatever else is there, and
// relative, so that it still does when all of it is elsewhere. nullopt: it leads out, or may.
std::optional<std::string> target_within(const std::string& target, const std::string& top, std::size_t depth) {
  std::vector<std::string_view> names;
  std::size_t ups = 0;
  for (std::string_view rest = target; !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.empty() || name == ".") continue;
    if (name != "..") {
      names.push_back(name);
    } else if (!names.empty() || ++ups > depth) {  // after a name, "..": of wherever that name leads to
      return std::nullopt;
    }
  }
  if (!target.starts_with('/')) return target;
  const std::string absolute = "/" + fmt::format("{}", fmt::join(names, "/"));
  if (ups > 0 || !is_at_or_below(absolute, top)) return std::nullopt;
  std::string relative;
  for (std::size_t i = 0; i < depth; ++i) relative += "../";
  relative += below(absolute, top);
  if (relative.ends_with('/')) relative.pop_back();
  return relative.empty() ? "." : relative;
}

// Walks what a script wrote: marks it, takes set-id bits away and removes what is no file, directory or link, and links that lead out of
// it: whoever reads or writes there later would follow them. Gives paths of files and links.
class Cleaner {
 public:
  // `target`: where the script saw it. `whole`: links may lead anywhere in it, else only about in the entry that they are in.
  Cleaner(const std::string& mark, const std::string& target, bool whole) : mark_(mark), target_(target), whole_(whole) {}
  std::vector<std::string> files;
  std::vector<std::string> notes;

  // False: not all of it could be looked at, and a note says so.
  bool clean(int root) {
    auto place = TreePosition::start(root, 0700);
    if (!place) return unseen(place.error());
    mark_output_directory(place->fd(), mark_);
    std::vector<std::pair<std::string, std::int64_t>> above;  // names, and where to go on in each
    auto reader = DirectoryReader(place->fd());
    for (;;) {
      const auto entry = reader.next();
      if (!entry) return unseen(entry.error());
      if (!*entry) {
        if (above.empty()) return true;
        if (const auto left = place->leave(); !left) return unseen(left.error());
        if (::lseek(place->fd(), above.back().second, SEEK_SET) < 0) return unseen(errno);
        above.pop_back();
        path_.resize(path_.size() - last_name_.back() - 1);
        last_name_.pop_back();
        reader = DirectoryReader(place->fd());
        continue;
      }
      const std::string name((*entry)->name);
      const std::int64_t resume = (*entry)->resume;
      const auto info = stat_beneath(place->fd(), name);
      if (!info) continue;
      if (S_ISDIR(info->st_mode) && place->enter(name)) {
        if ((info->st_mode & 06000) != 0) (void)change_mode(place->fd(), info->st_mode & 01777);
        mark_output_directory(place->fd(), mark_);
        above.emplace_back(name, resume);
        path_ += name + "/";
        last_name_.push_back(name.size());
        reader = DirectoryReader(place->fd());
      } else if (S_ISDIR(info->st_mode)) {
        (void)remove_tree_at(place->fd(), name);
        note(fmt::format("{} is a directory that can't be entered: it was left out", quoted(path_ + name)), 0);
      } else {
        look_at(place->fd(), name, *info);
      }
    }
  }

 private:
  void look_at(int directory, const std::string& name, const struct stat& info) {
    if (S_ISLNK(info.st_mode) && !stays_within(directory, name)) {
      ::unlinkat(directory, name.c_str(), 0);
      return note(fmt::format("{} is a symlink that leads out of its output: it was left out", quoted(path_ + name)), 0);
    }
    if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)) {
      ::unlinkat(directory, name.c_str(), 0);
      return note(fmt::format("{} is neither a file nor a directory: it was left out", quoted(path_ + name)), 0);
    }
    if (S_ISREG(info.st_mode) && (info.st_mode & 06000) != 0) {
      const auto file = open_beneath(directory, name, O_PATH);
      if (!file || !change_mode(file->get(), info.st_mode & 01777)) {
        ::unlinkat(directory, name.c_str(), 0);
        return note(fmt::format("{} has set-id bits that stay: it was left out", quoted(path_ + name)), 0);
      }
    }
    mark_output(directory, name, info, mark_);
    if (files.size() < kMostFiles) files.push_back(path_ + name);
  }
  // Links beside a single file are left to those who deliver it.
  [[nodiscard]] bool stays_within(int directory, const std::string& name) const {
    const std::size_t depth = last_name_.size();
    if (!whole_ && depth == 0) return true;
    const auto target = read_link_beneath(directory, name);
    if (!target) return false;
    const std::string top = whole_ ? target_ : (target_ == "/" ? "" : target_) + "/" + path_.substr(0, path_.find('/'));
    const auto within = target_within(*target, top, whole_ ? depth : depth - 1);
    if (!within) return false;
    if (*within == *target) return true;
    return ::unlinkat(directory, name.c_str(), 0) == 0 && ::symlinkat(within->c_str(), directory, name.c_str()) == 0;
  }
  bool unseen(int problem) {
    note("what the script wrote can't be looked at, and did not come to its place", problem);
    return false;
  }
  void note(std::string what, int problem) {
    if (problem != 0) what += fmt::format(": {}", std::strerror(problem));
    if (notes.size() < kMostNotes) notes.push_back(std::move(what));
  }

  const std::string& mark_;
  const std::string& target_;
  const bool whole_;
  std::string path_;
  std::vector<std::size_t> last_name_;
};

void tell_of(const std::string& given, int problem, std::vector<std::string>& notes) {
  notes.push_back(fmt::format("what the script wrote did not come to {}: {}", quoted(given), std::strerror(problem)));
}

std::string overwritten_note(const std::string& given, const MergedOutputs& merged) {
  constexpr std::size_t kMostNamed = 5;
  std::string names;
  for (std::size_t at = 0; at < merged.overwritten.size() && at < kMostNamed; ++at)
    names += (at == 0 ? "" : ", ") + quoted(merged.overwritten[at]);
  if (merged.overwritten_count > kMostNamed) names += fmt::format(" and {} more", merged.overwritten_count - kMostNamed);
  return fmt::format("{} held {} that no test wrote and this script wrote too: overwritten", quoted(given), names);
}

// Whether nothing of an old directory is lost when a new one takes its place, which gets its mode: not if its owner, its set-id bits, its
// ACLs or anybody's attributes say more.
bool may_stand_for(int fresh, int old) {
  struct stat before{}, now{};
  if (::fstat(old, &before) < 0 || ::fstat(fresh, &now) < 0) return false;
  if (before.st_uid != now.st_uid || before.st_gid != now.st_gid || (before.st_mode & 06000) != 0) return false;
  std::string names(64 << 10, '\0');  // XATTR_LIST_MAX
  const ssize_t length = ::flistxattr(old, names.data(), names.size());
  if (length < 0 && errno != ENOTSUP) return false;
  for (const char* name = names.data(); name < names.data() + std::max<ssize_t>(length, 0); name += std::strlen(name) + 1) {
    const std::string_view one(name);
    if (one != kOutputMark && (one.starts_with("user.") || one.starts_with("system.posix_acl_"))) return false;
  }
  return change_mode(fresh, before.st_mode & 01777).has_value();
}

// Whether a directory can't be renamed: something is mounted there.
bool is_mount_point(int parent, const std::string& name) {
  struct statx info{};
  return ::statx(parent, name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) == 0 && (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

}  // namespace

bool names_file(const std::string& path) {
  std::string name = last_part(path);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::any_of(std::begin(kFileEndings), std::end(kFileEndings),
                     [&](const std::string& ending) { return name.size() > ending.size() && name.ends_with(ending); });
}

void FilledPlaces::add(std::string place) {
  places_.insert(std::move(place));
  if (places_.size() < most_) return;
  std::erase_if(places_, [](const std::string& one) {
    struct stat info{};
    return ::lstat(one.c_str(), &info) != 0 && errno == ENOENT;
  });
  most_ = std::max(most_, 2 * places_.size());
}

Result<std::string> FilledPlaces::real_path(const std::string& path) const {
  for (std::string place = directory_of(path); !place.empty(); place = directory_of(place)) {
    if (!places_.contains(place)) continue;
    TRY_ASSIGN(const UniqueFd top, open_file(place, O_PATH | O_DIRECTORY));
    const auto found = open_beneath(top.get(), below(path, place), O_PATH);
    struct stat info{};
    const bool link = found ? ::fstat(found->get(), &info) == 0 && S_ISLNK(info.st_mode) : found.error() == ELOOP;
    if (link) return fail(ErrorCode::refused, fmt::format("{} leads through a symlink that a script has made", quoted(path)), ELOOP);
  }
  char real[PATH_MAX];
  if (::realpath(path.c_str(), real)) return std::string(real);
  if (errno == ENOENT || errno == ENOTDIR)
    return fail(ErrorCode::not_found, fmt::format("{}: no such file or directory", printable_name(path)), errno);
  return fail_errno("find " + quoted(path));
}

Result<OutputPlaces> OutputPlaces::create(const std::vector<std::pair<std::string, std::string>>& outputs,
                                          const std::vector<std::string>& kept, const FilledPlaces& filled, std::string mark) {
  struct Wanted {
    const std::string *given, *path;
    bool file;
  };
  std::vector<Wanted> wanted;
  for (const auto& [given, path] : outputs) wanted.push_back({&given, &path, names_file(path) && !is_directory(path)});
  // Directories first, those that hold others before them.
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const Wanted& a, const Wanted& b) { return a.file != b.file ? b.file : a.path->size() < b.path->size(); });
  OutputPlaces made(std::move(mark));
  for (const Wanted& each : wanted) {
    const std::string target = each.file ? directory_of(*each.path) : *each.path;
    if (!each.file) {
      for (const std::string& other : kept) {
        if (is_at_or_below(other, target))
          return fail(ErrorCode::invalid_input, fmt::format("output path {} holds {}, which the script needs: choose another directory",
                                                            quoted(*each.given), quoted(other)));
      }
    }
    const auto holds = [&](const Place& place) {
      return place.whole ? is_at_or_below(*each.path, place.target) : each.file && place.target == target;
    };
    auto place = std::find_if(made.places_.begin(), made.places_.end(), holds);
    if (place == made.places_.end()) {
      if (target == "/")
        return fail(ErrorCode::invalid_input, fmt::format("output path {}: the root can't be written to", quoted(*each.given)));
      made.places_.push_back({.target = target, .whole = !each.file});
      place = made.places_.end() - 1;
    }
    place->outputs.push_back({*each.given, below(*each.path, place->target), each.file});
  }
  for (Place& place : made.places_) TRY(made.stage(place, filled));
  return made;
}

Result<void> OutputPlaces::stage(Place& place, const FilledPlaces& filled) {
  TRY_ASSIGN(const std::string real, make_directories(place.target, filled));
  // Beside the place, so that it can be exchanged as a whole; else in it, where that is another mount or its directory is not ours to
  // write.
  for (const bool beside : {true, false}) {
    if (beside && !place.whole) continue;
    place.directory = beside ? directory_of(real) : real;
    place.name = beside ? last_part(real) : "";
    auto parent = open_file(place.directory, O_RDONLY | O_DIRECTORY);
    if (beside && (!parent || is_mount_point(parent->get(), place.name))) continue;
    if (!parent) return std::unexpected(std::move(parent.error()));
    place.parent = std::move(*parent);
    sweep(place.parent.get());
    auto staging = make_staging(place.parent.get(), place.directory);
    if (beside && !staging) continue;
    if (!staging) return std::unexpected(std::move(staging.error()));
    place.staging = std::move(staging->first);
    place.lock = std::move(staging->second);
    break;
  }
  if (::mkdirat(place.lock.get(), kInside, 0755) < 0) return fail_errno("make a directory for outputs in " + quoted(place.directory));
  const auto inside = open_beneath(place.lock.get(), kInside, O_RDONLY | O_DIRECTORY);
  if (!inside) return fail_errno("open a directory for outputs", inside.error());
  for (const Output& output : place.outputs) {
    const std::string needed =
        output.file ? output.below.substr(0, output.below.rfind('/') == std::string::npos ? 0 : output.below.rfind('/')) : output.below;
    if (const auto there = make_directories_beneath(inside->get(), needed); !there)
      return fail_errno("make a directory for outputs", there.error());
  }
  return {};
}

OutputPlaces::~OutputPlaces() {
  for (const Place& place : places_) {
    if (place.lock) (void)remove_tree_at(place.parent.get(), place.staging);
  }
}

std::vector<Mount> OutputPlaces::mounts() const {
  std::vector<Mount> all;
  for (const Place& place : places_) {
    all.push_back({.kind = Mount::Kind::bind,
                   .source = fmt::format("{}/{}/{}", place.directory == "/" ? "" : place.directory, place.staging, kInside),
                   .target = place.target,
                   .writable = true,
                   .owned = true,
                   .bytes = kMostBytes});
  }
  return all;
}

bool OutputPlaces::hides(const std::string& target, const std::string& name) const {
  if (name.starts_with(kOutputPrefix)) return true;
  return std::any_of(places_.begin(), places_.end(), [&](const Place& place) {
    return place.target == target &&
           std::any_of(place.outputs.begin(), place.outputs.end(), [&](const Output& output) { return output.below == name; });
  });
}

OutputPlaces::Delivered OutputPlaces::deliver(FilledPlaces& filled) {
  Delivered delivered;
  for (Place& place : places_) {
    deliver(place, delivered);
    if (place.whole) {
      filled.add(place.target);
      filled.add(place.name.empty() ? place.directory : (place.directory == "/" ? "" : place.directory) + "/" + place.name);
    }
    if (auto removed = remove_tree_at(place.parent.get(), place.staging); !removed) delivered.notes.push_back(removed.error().what);
    place.lock.reset();
  }
  std::sort(delivered.files.begin(), delivered.files.end());
  delivered.files.erase(std::unique(delivered.files.begin(), delivered.files.end()), delivered.files.end());
  if (delivered.files.size() > kMostFiles) delivered.files.resize(kMostFiles);
  return delivered;
}

void OutputPlaces::deliver(Place& place, Delivered& delivered) {
  const auto inside = open_despite_mode(place.lock.get(), kInside, O_RDONLY | O_DIRECTORY, 0700);
  struct stat mode{};
  if (!inside || ::fstat(inside->get(), &mode) < 0) return delivered.notes.push_back("what the script wrote can't be opened");
  if ((mode.st_mode & 0700) != 0700) (void)change_mode(inside->get(), (mode.st_mode & 01777) | 0700);  // what is in it is to be moved
  Cleaner cleaner(mark_, place.target, place.whole);
  const bool clean = cleaner.clean(inside->get());
  std::move(cleaner.notes.begin(), cleaner.notes.end(), std::back_inserter(delivered.notes));
  if (!clean) return;
  for (const std::string& file : cleaner.files) {
    const Output* closest = nullptr;
    for (const Output& output : place.outputs) {
      const bool holds = output.below.empty() || is_at_or_below("/" + file, "/" + output.below);
      if (holds && (!closest || output.below.size() > closest->below.size())) closest = &output;
    }
    if (!closest) continue;
    const std::string rest = file == closest->below ? "" : below("/" + file, closest->below.empty() ? "/" : "/" + closest->below);
    delivered.files.push_back(rest.empty() ? closest->given : closest->given + (closest->given.ends_with('/') ? "" : "/") + rest);
  }
  if (place.whole) return deliver_whole(place, inside->get(), delivered);
  deliver_files(place, inside->get(), delivered);
}

void OutputPlaces::deliver_whole(Place& place, int inside, Delivered& delivered) {
  const std::string& given = place.outputs.front().given;
  const auto old = open_beneath(place.parent.get(), place.name.empty() ? "." : place.name, O_RDONLY | O_DIRECTORY);
  if (!old) return tell_of(given, old.error(), delivered.notes);
  const EarlierOutputs found = look_for_earlier(old->get(), mark_, kOutputPrefix);
  if (found.others == 0 && found.directories == 0 && found.same_run == 0 && !place.name.empty() && may_stand_for(inside, old->get())) {
    if (::renameat2(place.lock.get(), kInside, place.parent.get(), place.name.c_str(), RENAME_EXCHANGE) == 0) return;
  }
  remove_earlier(old->get(), mark_, kOutputPrefix);
  MergedOutputs merged = merge_outputs(inside, old->get(), mark_);
  // Its symlinks are then of scripts: so they are if nothing of anybody else's lay in it.
  if (found.others == 0 || !extended_attribute(old->get(), kOutputMark).empty()) mark_output_directory(old->get(), mark_);
  if (merged.overwritten_count > 0) merged.notes.push_back(overwritten_note(given, merged));
  if (const std::size_t kept = found.others - std::min(found.others, merged.overwritten_count); kept > 0)
    merged.notes.push_back(fmt::format("{} holds {} {} that no test wrote: {} beside what this script wrote", quoted(given), kept,
                                       kept == 1 ? "file" : "files", kept == 1 ? "it stays" : "they stay"));
  std::move(merged.notes.begin(), merged.notes.end(), std::back_inserter(delivered.notes));
}

void OutputPlaces::deliver_files(Place& place, int inside, Delivered& delivered) {
  for (const Output& output : place.outputs) {
    const auto written = stat_beneath(inside, output.below);
    const auto old = stat_beneath(place.parent.get(), output.below);
    if (!written || S_ISLNK(written->st_mode)) {
      if (written) delivered.notes.push_back(fmt::format("{} is a symlink: it was left out", quoted(output.given)));
      if (old && !S_ISDIR(old->st_mode) && !remove_if_earlier(place.parent.get(), output.below, mark_))
        delivered.notes.push_back(fmt::format("{} was there before and this script did not write it: it stays", quoted(output.given)));
      std::erase(delivered.files, output.given);
      continue;
    }
    const auto there = put_in_place(inside, place.parent.get(), output.below);
    if (!there) tell_of(output.given, there.error(), delivered.notes);
  }
}

}  // namespace casemate::runtime
