#include "command/work_layer.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include "image/merged_root.h"
#include "sys/fd.h"
#include "sys/path.h"
#include "sys/privilege.h"

namespace casemate {
namespace {

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return parts;
}

// `directory` and all below it. They are the copies that we have just made, of at most PATH_MAX's depth.
Attempt<void> give_tree(int directory, const User& user, bool owner) {
  struct stat own{};
  if (::fstat(directory, &own) < 0) return std::unexpected(errno);
  const auto open_to_all = [](mode_t mode) { return (mode & 07777) | (mode & 0700) >> 3 | (mode & 0700) >> 6; };
  if ((owner ? ::fchown(directory, user.uid, user.gid) : ::fchmod(directory, open_to_all(own.st_mode))) < 0) return std::unexpected(errno);
  return for_each_entry(directory, [&](const std::string& name, const struct stat& info) -> Attempt<void> {
    if (S_ISDIR(info.st_mode)) {
      const auto inner = open_beneath(directory, name, O_RDONLY | O_DIRECTORY);
      if (!inner) return std::unexpected(inner.error());
      return give_tree(inner->get(), user, owner);
    }
    int problem = 0;
    if (owner)
      problem = ::fchownat(directory, name.c_str(), user.uid, user.gid, AT_SYMLINK_NOFOLLOW);
    else if (!S_ISLNK(info.st_mode))
      problem = ::fchmodat(directory, name.c_str(), open_to_all(info.st_mode), 0);
    if (problem < 0) return std::unexpected(errno);
    return {};
  });
}

}  // namespace

Result<void> give_to(const User& user, const std::string& staged) {
  if (user.uid == 0 || user.uid >= kShiftedIds || user.gid >= kShiftedIds) return {};  // root may; the latter the cell refuses
  TRY_ASSIGN(const UniqueFd directory, open_file(staged, O_RDONLY | O_DIRECTORY));
  if (const auto given = give_tree(directory.get(), user, may_shift_ids()); !given)
    return fail_errno("make the copies of the inputs the user's", given.error());
  return {};
}

std::vector<std::string> directories_at(const std::vector<std::string>& layers, std::string_view path) {
  const std::vector<std::string> parts = parts_of(path);
  if (std::find(parts.begin(), parts.end(), "..") != parts.end()) return {};
  const std::string place = fmt::format("{}", fmt::join(parts, "/"));
  MergedRoot merged(layers);
  const MergedRoot::Place& found = merged.at(place);
  std::vector<std::string> directories;
  if (found.kind != MergedRoot::Place::Kind::directory) return directories;
  for (const std::uint16_t source : found.sources) directories.push_back(place.empty() ? layers[source] : layers[source] + "/" + place);
  return directories;
}

Result<void> add_work_layer(RunRequest& request, const std::string& staged, const std::vector<std::string>& below) {
  if (request.inputs.empty() && request.outputs.empty()) return {};
  Job& job = request.job;
  if (job.cwd == "/") return fail(ErrorCode::invalid_input, "--inputs and --outputs need a working directory other than /");
  Mount work{.kind = Mount::Kind::overlay, .target = job.cwd, .owned = true};
  if (!staged.empty()) work.lower = {staged};
  work.lower.insert(work.lower.end(), below.begin(), below.end());
  // Of layers over the host, what lies at the working directory is in `below` too.
  std::erase_if(job.mounts, [&](const Mount& mount) {
    return mount.kind == Mount::Kind::overlay && mount.target == work.target && !below.empty() && mount.lower == below;
  });
  job.mounts.push_back(std::move(work));
  if (!request.outputs.empty()) {
    job.collect = {job.cwd};
    job.collect_to = request.outputs;
  }
  return {};
}

}  // namespace casemate
