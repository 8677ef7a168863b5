#include "runtime/cell_mounts.h"

#include <set>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "cell/message.h"
#include "sys/path.h"

namespace casemate::runtime {
namespace {

Mount read_only(std::string source, std::string target) {
  return {.kind = Mount::Kind::bind, .source = std::move(source), .target = std::move(target), .owned = true};
}

// The first that is shown at a place counts.
struct Shown {
  std::vector<Mount> all;
  std::set<std::string> targets;

  void add(std::string source, std::string target) {
    if (targets.insert(target).second) all.push_back(read_only(std::move(source), std::move(target)));
  }
};

// What lies in a directory, but for what hides behind outputs.
Result<void> add_entries(Shown& shown, const std::string& real, const std::string& target, const OutputPlaces& outputs) {
  TRY_ASSIGN(const UniqueFd directory, open_file(real, O_RDONLY | O_DIRECTORY));
  const auto listed = for_each_entry(directory.get(), [&](const std::string& name, const struct stat& info) -> Attempt<void> {
    const bool plain = S_ISREG(info.st_mode) || S_ISDIR(info.st_mode);
    if (!plain || outputs.hides(target, name)) return {};
    if (shown.all.size() >= kMostLateMounts) return std::unexpected(E2BIG);
    shown.add(real + "/" + name, target + "/" + name);
    return {};
  });
  if (listed) return {};
  if (listed.error() != E2BIG) return fail_errno("list " + printable_name(target), listed.error());
  return fail(ErrorCode::invalid_input,
              fmt::format("'{}' is read and written, and too much lies in it: write to another directory", printable_name(target)));
}

}  // namespace

Result<std::vector<Mount>> cell_mounts(const std::vector<std::string>& shown, const OutputPlaces* outputs, const FilledPlaces& filled) {
  Shown made;
  if (outputs) made.all = outputs->mounts();
  for (const Mount& mount : made.all) made.targets.insert(mount.target);
  const std::set<std::string> written = made.targets;
  for (const std::string& path : shown) {
    TRY_ASSIGN(std::string real, filled.real_path(path));
    if (written.contains(path)) {
      TRY(add_entries(made, real, path, *outputs));
    } else {
      made.add(std::move(real), path);
    }
  }
  if (made.all.size() > kMostLateMounts)
    return fail(ErrorCode::invalid_input,
                fmt::format("{} paths are more than the {} that a script can have", made.all.size(), kMostLateMounts));
  return std::move(made.all);
}

}  // namespace casemate::runtime
