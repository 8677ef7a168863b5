#include "image/command_layer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "image/file_tree.h"
#include "image/merged_root.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr int kDeepest = 255;
constexpr std::size_t kTold = 2000;  // bytes of a failed command's output in the message

constexpr std::size_t kToldSkipped = 5;
constexpr const char* kNoGateway = "no gateway on this host: the command ran without network";

Result<Job> job_for(const Root& root, const CommandLayer& layer, const std::string& directory, Network network) {
  Job job;
  job.name = "layer";
  job.argv = layer.argv;
  job.env["HOME"] = "/root";
  job.network = network;
  // What package managers need to be root: they change owners and become other users. Over the cell's ids alone, as all a job has.
  job.capabilities = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"};
  job.limits = default_limits();
  job.limits.memory_bytes = 4ull << 30;
  job.limits.pids = 1024;
  job.limits.wall = std::chrono::minutes(30);
  job.limits.open_files = 65'536;
  job.limits.disk_bytes = 8ull << 30;
  job.limits.disk_inodes = 1u << 20;
  TRY(put_root(job, root));
  TRY(take_config(job, root, {.env = true, .working_directory = false, .entrypoint = false, .user = false}));
  job.env.emplace("PATH", kDefaultPath);
  job.collect = {"/"};
  job.collect_to = directory;
  return job;
}

// The end of what it wrote, on one line.
std::string last_words(const JobResult& result) {
  std::string_view text = result.output.merged;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (text.size() > kTold) text = text.substr(text.size() - kTold);
  std::size_t start = text.size();
  for (int lines = 0; lines < 5 && start != std::string_view::npos && start > 0; ++lines) start = text.rfind('\n', start - 1);
  if (start != std::string_view::npos && start > 0) text.remove_prefix(start + 1);
  std::string line;
  for (const char byte : text) line += byte == '\n' ? std::string(" | ") : std::string(1, byte);
  return printable_name(line);
}

Result<void> judge(const JobResult& result, const std::string& label, bool network) {
  const Outcome& outcome = result.outcome;
  if (outcome.succeeded()) return {};
  const std::string said = last_words(result);
  const auto say = [&](ErrorCode code) {
    return fail(code, fmt::format("{}: the command ended with '{}'{}{}{}", label, printable_line(words(outcome)),
                                  network ? "" : fmt::format(" ({})", kNoGateway), said.empty() ? "" : ": ", said));
  };
  switch (outcome.kind) {
    case Outcome::Kind::timed_out:
    case Outcome::Kind::out_of_memory:
    case Outcome::Kind::disk_limit:
    case Outcome::Kind::too_many_processes:
      return say(ErrorCode::exhausted);
    case Outcome::Kind::cancelled:
      return say(ErrorCode::cancelled);
    case Outcome::Kind::setup_failed:
    case Outcome::Kind::lost:
      return say(ErrorCode::system);
    default:
      return say(ErrorCode::refused);
  }
}

// What is delivered has the modes that a user's files have. Here entries get those that the command gave them; directories that it left
// alone, and are only there for what lies in them, are as they are in the root.
class Modes {
 public:
  Modes(MergedRoot& root, const std::vector<Change>& changes) : root_(root) {
    for (const Change& change : changes) {
      if (change.kind != Change::Kind::deleted) modes_.emplace(change.path, change.mode & 01777);
    }
  }

  Attempt<void> apply(int directory, const std::string& path, int depth) {
    if (depth > kDeepest) return std::unexpected(ELOOP);
    return for_each_entry(directory, [&](const std::string& name, const struct stat& info) -> Attempt<void> {
      const std::string here = path.empty() ? name : path + "/" + name;
      if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) return {};
      const auto below = open_despite_mode(directory, name, O_RDONLY, 0700);
      if (!below) return std::unexpected(below.error());
      if (S_ISDIR(info.st_mode)) {
        if (const auto done = apply(below->get(), here, depth + 1); !done) return done;
      }
      return change_mode(below->get(), wanted(here, info.st_mode));
    });
  }

 private:
  std::uint32_t wanted(const std::string& path, std::uint32_t now) {
    if (const auto found = modes_.find(path); found != modes_.end()) return found->second;
    const auto& place = root_.at(path);
    return place.kind == MergedRoot::Place::Kind::directory ? place.mode : now & 01777;
  }

  MergedRoot& root_;
  std::unordered_map<std::string, std::uint32_t> modes_;
};

Result<void> add_whiteouts(const JobResult& result, const std::string& directory, const std::string& label) {
  TRY_ASSIGN(FileTree tree, FileTree::open(directory, label));
  std::vector<std::string> deleted;
  for (const Change& change : result.changes) {
    if (change.kind == Change::Kind::deleted) deleted.push_back(change.path);
  }
  std::sort(deleted.begin(), deleted.end());
  std::unordered_set<std::string> hidden;
  TRY_ASSIGN(const UniqueFd top, open_file(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  for (const std::string& path : deleted) {
    bool covered = false;  // by a whiteout of a directory above
    for (std::size_t slash = path.find('/'); slash != std::string::npos && !covered; slash = path.find('/', slash + 1))
      covered = hidden.contains(path.substr(0, slash));
    if (covered) continue;
    // Something new of that name hides it too.
    if (open_beneath(top.get(), path, O_PATH)) continue;
    TRY(tree.add_whiteout(path));
    hidden.insert(path);
  }
  return {};
}

// What came back of the command, and whether it had a network.
struct Ran {
  JobResult result;
  bool network = true;
};

// With a network where the host has a way to make one, else without: many commands need none, and the others' own words say what they miss.
Result<Ran> run_command(const Root& root, const CommandLayer& layer, const LayerContext& context, const std::string& directory,
                        const std::string& label) {
  const auto run = [&](Network network) -> Result<JobResult> {
    TRY_ASSIGN(Job job, job_for(root, layer, directory, network));
    return context.run(std::move(job), {});
  };
  if (context.progress) context.progress(fmt::format("{}: running it", label));
  auto result = run(Network::outbound);
  const bool network = result || result.error().code != ErrorCode::not_supported;
  if (!network) result = run(Network::none);
  if (result) return Ran{std::move(*result), network};
  const Error& error = result.error();
  return fail(error.code, fmt::format("{}: {}", label, error.what), error.errno_value, error.where);
}

void note_skipped(const JobResult& result, const std::string& label, std::vector<std::string>& notes) {
  std::vector<std::string> told;
  std::size_t skipped = 0;
  for (const Change& change : result.changes) {
    if (change.type != Change::Type::skipped || change.kind == Change::Kind::deleted || skipped++ >= kToldSkipped) continue;
    told.push_back(fmt::format("/{} ({})", printable_name(change.path), printable_line(change.reason)));
  }
  if (skipped == 0) return;
  const std::string more = skipped > told.size() ? fmt::format(" and {} more", skipped - told.size()) : "";
  notes.push_back(fmt::format("{}: left out: {}{}", label, fmt::join(told, ", "), more));
}

}  // namespace

Result<MadeLayer> make_changes_layer(const ChangesLayer& layer, Store& store, const Progress& progress) {
  std::vector<std::string> notes;
  const auto fill = [&](const std::string& directory) -> Result<void> {
    TRY_ASSIGN(const JobResult result, layer.run(directory));
    if (!result.collect_error.empty() || result.changes_truncated) {
      return fail(ErrorCode::exhausted,
                  fmt::format("{}: what the command changed can't be kept: {}", layer.label,
                              result.collect_error.empty() ? "too many files" : printable_line(result.collect_error)));
    }
    note_skipped(result, layer.label, notes);
    TRY_ASSIGN(const UniqueFd top, open_file(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    for (const std::string& name : layer.leave_out) TRY(remove_tree_at(top.get(), name));
    TRY(add_whiteouts(result, directory, layer.label));
    MergedRoot below(layer.below);
    if (const auto set = Modes(below, result.changes).apply(top.get(), "", 0); !set)
      return fail_errno(layer.label + ": set the modes of the layer's files", set.error());
    if (const auto set = change_mode(top.get(), 0755); !set) return fail_errno(layer.label + ": open up the layer", set.error());
    return layer.check ? layer.check(directory) : Result<void>();
  };
  const auto waiting = [&] {
    if (progress) progress(fmt::format("{}: another casemate runs it; waiting", layer.label));
  };
  TRY_ASSIGN(StoreLease lease, store.make_layer(layer.key, layer.description, fill, nullptr, waiting));
  return MadeLayer{std::move(lease), layer.key, std::move(notes)};
}

Result<MadeLayer> make_command_layer(const Root& root, const CommandLayer& layer, const LayerContext& context, const std::string& label) {
  if (layer.argv.empty() || layer.argv.front().empty()) return fail(ErrorCode::invalid_input, label + ": a command layer needs a command");
  if (root.is_host())
    return fail(ErrorCode::not_supported, label + ": on image 'host' a command has no files that it may change; name an image");
  if (!context.run) return fail(ErrorCode::internal, label + ": nothing to run commands with");
  std::string text = fmt::format("casemate command layer 1\n{}\n", root.identity);
  for (const std::string& word : layer.argv) text += fmt::format("{}:{}", word.size(), word);
  const std::string shown = printable_line(join_shell_words(layer.argv));
  bool network = true;
  const auto run = [&](const std::string& directory) -> Result<JobResult> {
    TRY_ASSIGN(Ran ran, run_command(root, layer, context, directory, label));
    network = ran.network;
    TRY(judge(ran.result, label, network));
    return std::move(ran.result);
  };
  const ChangesLayer changes{.key = sha256_hex(text),
                             .label = label,
                             .description = fmt::format("command: {} on {}", shown, root.image),
                             .below = root.layers,
                             .run = run};
  TRY_ASSIGN(MadeLayer made, make_changes_layer(changes, context.store, context.progress));
  if (!network) made.notes.insert(made.notes.begin(), fmt::format("{}: {}", label, kNoGateway));
  return made;
}

}  // namespace casemate
