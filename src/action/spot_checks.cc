#include "action/spot_checks.h"

#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "action/composition.h"
#include "witness/order.h"

namespace casemate {
namespace {

constexpr std::array<std::string_view, 8> kWorkers = {"dev", "etc", "proc", "run", "sys", "tmp", "var", kActionPlace};
constexpr std::size_t kFiles = 3;         // of one part of the root
constexpr std::size_t kDirectories = 64;  // of it that are looked into
constexpr std::size_t kParts = 48;

class SpotChoice {
 public:
  // Of a part those files whose digests come first, which is as good as by lot, and of these the ones that are compared whole.
  void part(const std::string& path, const InputDirectory& top) {
    if (++parts_ > kParts) return;
    using Found = std::tuple<bool, std::string_view, std::string, const InputDirectory::File*>;
    std::set<Found> found;
    std::deque<std::pair<std::string, const InputDirectory*>> left = {{path, &top}};
    for (std::size_t seen = 0; !left.empty() && seen < kDirectories; ++seen) {
      const auto [place, here] = left.front();
      left.pop_front();
      for (const auto& [name, file] : here->files) {
        const BlobDigest& digest = file.blob.digest;
        if (digest.size == 0) continue;
        found.emplace(digest.size > kMostCompared, digest.hash, place + "/" + name, &file);
        if (found.size() > kFiles) found.erase(std::prev(found.end()));
      }
      for (const auto& [name, below] : here->directories) left.emplace_back(place + "/" + name, below.get());
    }
    for (const auto& [large, hash, where, file] : found) chosen_.push_back({where, *file});
  }

  // The file at an absolute path that may lead over symlinks. False: there is none.
  bool program(const InputDirectoryPtr& root, const std::string& path) {
    const auto resolved = resolve_input(root, path);
    if (!resolved) return false;
    const InputDirectory* here = root.get();
    std::string_view rest = std::string_view(*resolved).substr(1);
    for (std::size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
      const auto below = here->directories.find(std::string(rest.substr(0, slash)));
      if (below == here->directories.end()) return false;
      here = below->second.get();
      rest.remove_prefix(slash + 1);
    }
    const auto file = here->files.find(std::string(rest));
    if (file == here->files.end()) return false;
    chosen_.push_back({*resolved, file->second});
    return true;
  }

  std::vector<SpotCheck> take() { return std::move(chosen_); }

 private:
  std::vector<SpotCheck> chosen_;
  std::size_t parts_ = 0;
};

void choose_program(SpotChoice& choice, const InputDirectoryPtr& root, const Job& job) {
  const std::string& program = job.argv[0];
  if (program.find('/') != std::string::npos) {
    choice.program(root, program.starts_with('/') ? program : job.cwd + "/" + program);
    return;
  }
  const auto variable = job.env.find("PATH");
  std::string_view path = variable == job.env.end() ? "/usr/local/bin:/usr/bin:/bin" : std::string_view(variable->second);
  for (bool more = true; more;) {
    const std::size_t colon = path.find(':');
    more = colon != std::string_view::npos;
    const std::string directory(path.substr(0, colon));
    if (directory.starts_with('/') && choice.program(root, directory + "/" + program)) return;
    path.remove_prefix(more ? colon + 1 : 0);
  }
}

}  // namespace

std::vector<SpotCheck> spot_checks(const InputDirectoryPtr& root, const Job& job) {
  SpotChoice choice;
  choose_program(choice, root, job);
  for (const auto& [name, below] : root->directories) {
    if (std::find(kWorkers.begin(), kWorkers.end(), name) != kWorkers.end()) continue;
    if (name != "usr") {
      choice.part("/" + name, *below);
      continue;
    }
    for (const auto& [inner, part] : below->directories) choice.part("/usr/" + inner, *part);
  }
  return choice.take();
}

}  // namespace casemate
