#include "apps/run/work_layer.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

#include "cell/host.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr const char* kOpaque = "user.overlay.opaque";

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

// What one layer has there; `covers`: no layer below it is seen.
bool has_directory(const std::string& layer, const std::vector<std::string>& parts, bool& covers) {
  auto top = open_file(layer, O_RDONLY | O_DIRECTORY);
  covers = !top;
  if (!top) return false;
  UniqueFd directory = std::move(*top);
  for (const std::string& part : parts) {
    const auto info = stat_beneath(directory.get(), part);
    if (!info) {
      covers = covers || info.error() != ENOENT;
      return false;
    }
    auto next = open_beneath(directory.get(), part, O_RDONLY | O_DIRECTORY);
    if (!next) {  // a whiteout, a link, a file
      covers = true;
      return false;
    }
    directory = std::move(*next);
    covers = covers || extended_attribute(directory.get(), kOpaque) == "y";
  }
  return true;
}

// `directory` and all below it. They are the copies that we have just made, of at most PATH_MAX's depth.
Result<void> give_tree(const UniqueFd& directory, const User& user, bool owner) {
  struct stat own{};
  if (::fstat(directory.get(), &own) < 0) return fail_errno("look at the copies of the inputs");
  const auto open_to_all = [](mode_t mode) { return (mode & 07777) | (mode & 0700) >> 3 | (mode & 0700) >> 6; };
  const int problem = owner ? ::fchown(directory.get(), user.uid, user.gid) : ::fchmod(directory.get(), open_to_all(own.st_mode));
  if (problem < 0) return fail_errno("make the copies of the inputs the user's");
  DirectoryReader reader(directory.get());
  while (true) {
    const auto entry = reader.next();
    if (!entry) return fail_errno("read the copies of the inputs", entry.error());
    if (!*entry) return {};
    const std::string name((*entry)->name);
    const auto info = stat_beneath(directory.get(), name);
    if (!info) return fail_errno("look at the copies of the inputs", info.error());
    if (S_ISDIR(info->st_mode)) {
      auto inner = open_beneath(directory.get(), name, O_RDONLY | O_DIRECTORY);
      if (!inner) return fail_errno("open the copies of the inputs", inner.error());
      TRY(give_tree(*inner, user, owner));
    } else if (owner) {
      if (::fchownat(directory.get(), name.c_str(), user.uid, user.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno("make the copies of the inputs the user's");
    } else if (!S_ISLNK(info->st_mode) && ::fchmodat(directory.get(), name.c_str(), open_to_all(info->st_mode), 0) < 0) {
      return fail_errno("make the copies of the inputs the user's");
    }
  }
}

}  // namespace

Result<void> give_to(const User& user, const std::string& staged) {
  if (user.uid == 0 || user.uid >= kShiftedIds || user.gid >= kShiftedIds) return {};  // root may; the latter the cell refuses
  TRY_ASSIGN(const UniqueFd directory, open_file(staged, O_RDONLY | O_DIRECTORY));
  return give_tree(directory, user, read_host_facts().privileged);
}

std::vector<std::string> directories_at(const std::vector<std::string>& layers, std::string_view path) {
  const std::vector<std::string> parts = parts_of(path);
  std::vector<std::string> found;
  if (std::find(parts.begin(), parts.end(), "..") != parts.end()) return found;
  for (const std::string& layer : layers) {
    bool covers = false;
    if (has_directory(layer, parts, covers)) {
      found.push_back(layer);
      for (const std::string& part : parts) found.back() += "/" + part;
    }
    if (covers) break;
  }
  return found;
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
