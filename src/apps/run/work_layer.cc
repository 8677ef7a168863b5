#include "apps/run/work_layer.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

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

}  // namespace

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
