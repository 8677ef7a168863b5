#include "apps/cache/cache.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "action/digest_cache.h"
#include "action/input_history.h"
#include "base/terminal.h"
#include "base/units.h"
#include "command/command_line.h"
#include "image/catalogue.h"
#include "image/file_index.h"
#include "image/pull_place.h"
#include "image/workshop.h"
#include "report/printing.h"
#include "report/table.h"
#include "session/kept_passes.h"
#include "store/store.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kProgram = "casemate cache";
constexpr int kOk = 0, kDamaged = 1;

struct Options {
  bool json = false;
  Color color = Color::automatic;
  std::string max_size;
};

int complain(const std::string& what) { return casemate::complain(kProgram, what); }

struct Sum {
  std::size_t entries = 0;
  std::size_t in_use = 0;
  std::uint64_t bytes = 0;
};

Sum sum_of(const std::vector<StoreEntry>& entries, std::string_view kind) {
  Sum sum;
  for (const StoreEntry& entry : entries) {
    if (entry.kind != kind) continue;
    ++sum.entries;
    sum.in_use += entry.in_use ? 1 : 0;
    sum.bytes += entry.bytes;
  }
  return sum;
}

// What only spares work, and is in no sum of the store.
struct SparedWork {
  const char* directory;
  const char* name;
  const char* what;
  HintTotals totals;
};

std::vector<SparedWork> spared_work(const Store& store) {
  const std::string& directory = store.directory();
  return {{"tests", "passes", "tests that 'pytest --cache' does not run again", KeptPasses(directory).totals()},
          {"inputs", "inputs", "what commands with --cache ran with, for 'explain --why'", InputHistory(directory).totals()},
          {"digests", "digests", "spares reading files that have not changed", digest_files(directory).totals()}};
}

std::string count_of_files(std::size_t files) { return fmt::format("{} {}", files, files == 1 ? "file" : "files"); }

int info(const Store& store, const Options& options) {
  const auto entries = store.entries();
  if (!entries) return complain(entries.error().what);
  const auto installer = look_at_installer_cache(store);
  if (!installer) return complain(installer.error().what);
  const Sum layers = sum_of(*entries, "layer"), blobs = sum_of(*entries, "blob");
  const std::uint64_t bytes = layers.bytes + blobs.bytes;
  if (options.json) {
    const auto part = [](const Sum& sum) { return Json{{"count", sum.entries}, {"bytes", sum.bytes}, {"in_use", sum.in_use}}; };
    Json told = {{"directory", to_utf8(store.directory())},
                 {"bytes", bytes},
                 {"max_bytes", store.max_bytes()},
                 {"layers", part(layers)},
                 {"blobs", part(blobs)},
                 {"installer_cache_bytes", installer->bytes}};
    for (const SparedWork& work : spared_work(store)) told[work.name] = {{"files", work.totals.files}, {"bytes", work.totals.bytes}};
    print_json(told);
    return kOk;
  }
  fmt::print("directory  {}\n", printable_name(store.directory()));
  fmt::print("size       {} of at most {}\n", format_bytes(bytes), format_bytes(store.max_bytes()));
  for (const auto& [name, sum] : {std::pair{"layers", layers}, std::pair{"blobs", blobs}})
    fmt::print("{:<9}  {}, {}, {} in use\n", name, sum.entries, format_bytes(sum.bytes), sum.in_use);
  for (const SparedWork& work : spared_work(store)) {
    if (work.totals.files == 0) continue;
    fmt::print("{:<9}  {}, {}, not in the size above: {}\n", work.name, count_of_files(work.totals.files), format_bytes(work.totals.bytes),
               work.what);
  }
  if (installer->bytes > 0)
    fmt::print("uv cache   {}, not in the size above: layers share files with it\n", format_bytes(installer->bytes));
  return kOk;
}

int list(const Store& store, const Options& options) {
  auto entries = store.entries();
  if (!entries) return complain(entries.error().what);
  for (const SparedWork& work : spared_work(store)) {
    if (work.totals.files == 0) continue;
    entries->push_back({.kind = work.name,
                        .key = work.directory,
                        .bytes = work.totals.bytes,
                        .last_used = work.totals.last_used,
                        .description = fmt::format("{}: {}", count_of_files(work.totals.files), work.what)});
  }
  std::sort(entries->begin(), entries->end(), [](const StoreEntry& a, const StoreEntry& b) { return a.last_used > b.last_used; });
  if (options.json) {
    Json all = Json::array();
    for (const StoreEntry& entry : *entries)
      all.push_back({{"kind", entry.kind},
                     {"key", entry.key},
                     {"bytes", entry.bytes},
                     {"last_used", entry.last_used},
                     {"in_use", entry.in_use},
                     {"description", entry.description}});
    print_json(all);
    return kOk;
  }
  Table table({{"KIND"}, {"KEY"}, {"SIZE", Table::Align::right}, {"LAST USED", Table::Align::right}, {"IN USE"}, {"DESCRIPTION"}});
  const std::int64_t now = std::time(nullptr);
  for (const StoreEntry& entry : *entries) {
    const std::chrono::seconds age(std::max<std::int64_t>(0, now - entry.last_used));
    const std::string key = entry.key.substr(entry.kind == "blob" ? 7 : 0, 12);
    table.add({entry.kind, key, format_bytes(entry.bytes), format_duration(age) + " ago", entry.in_use ? "yes" : "",
               printable_name(entry.description)},
              entry.in_use ? "32" : "");
  }
  fmt::print("{}", table.text(colored(options.color, STDOUT_FILENO)));
  return kOk;
}

// Removes it where it and the entries together are more than `most`; else there is nothing to tell.
Result<InstallerCache> prune_installer_cache(const Store& store, std::uint64_t most, std::uint64_t entries_bytes) {
  TRY_ASSIGN(const InstallerCache cache, look_at_installer_cache(store));
  if (cache.bytes == 0 || (most > 0 && cache.bytes + entries_bytes <= most)) return InstallerCache{};
  return clear_installer_cache(store);
}

int prune(Store& store, const Options& options) {
  std::uint64_t most = 0;
  if (!options.max_size.empty()) {
    const auto bytes = parse_bytes(options.max_size);
    if (!bytes) return complain("--max-size: " + bytes.error().what);
    most = *bytes;
  }
  std::vector<Error> problems;
  const auto before = store.entries();
  if (!before) return complain(before.error().what);
  // First: it only spares downloads, and what layers share with it stays.
  const auto installer = prune_installer_cache(store, most, sum_of(*before, "layer").bytes + sum_of(*before, "blob").bytes);
  if (!installer) problems.push_back(installer.error());
  sweep_pulls(store, std::chrono::seconds(0));
  auto freed = store.prune(most, &problems);
  if (!freed) return complain(freed.error().what);
  if (most == 0)
    *freed += clear_file_indexes(store.directory()) + digest_files(store.directory()).clear() + InputHistory(store.directory()).clear() +
              KeptPasses(store.directory()).clear();
  const auto left = store.entries();
  if (!left) return complain(left.error().what);
  const std::uint64_t bytes = sum_of(*left, "layer").bytes + sum_of(*left, "blob").bytes;
  if (options.json) {
    Json troubles = Json::array();
    for (const Error& problem : problems) troubles.push_back(to_utf8(problem.what));
    print_json({{"freed_bytes", *freed},
                {"left_bytes", bytes},
                {"left_entries", left->size()},
                {"installer_cache_cleared_bytes", installer && installer->cleared ? installer->bytes : 0},
                {"problems", troubles}});
  } else {
    fmt::print("freed {}, {} left in {} {}\n", format_bytes(*freed), format_bytes(bytes), left->size(),
               left->size() == 1 ? "entry" : "entries");
    if (installer && installer->bytes > 0)
      fmt::print("uv cache of {} {}\n", format_bytes(installer->bytes),
                 installer->cleared ? "removed" : "left alone: an environment is being built with it");
  }
  for (const Error& problem : problems) complain(problem.what);
  return problems.empty() ? kOk : kOwnFailure;
}

int verify(Store& store, const Options& options) {
  auto damages = store.verify();
  if (!damages) return complain(damages.error().what);
  for (std::string& name : remove_damaged_records(store))
    damages->push_back({"image", std::move(name), "what is known of the image has changed; it is pulled anew when wanted", true});
  if (options.json) {
    Json all = Json::array();
    for (const StoreDamage& damage : *damages)
      all.push_back({{"kind", damage.kind}, {"key", damage.key}, {"what", to_utf8(damage.what)}, {"removed", damage.removed}});
    print_json({{"sound", damages->empty()}, {"damaged", all}});
  } else if (damages->empty()) {
    fmt::print("all sound\n");
  } else {
    for (const StoreDamage& damage : *damages)
      fmt::print("{} {}: {}; {}\n", damage.kind, damage.key, printable_name(damage.what),
                 damage.removed ? "removed" : "in use, left alone");
  }
  return damages->empty() ? kOk : kDamaged;
}

}  // namespace

int cache_main(const std::vector<std::string>& arguments) {
  CLI::App app("What casemate's cache holds: blobs, layers and environments.", "casemate cache");
  app.require_subcommand(1);
  Options options;
  app.fallthrough();
  app.add_flag("--json", options.json, "Print JSON");
  declare_color(app, options.color);
  app.footer(
      "Examples:\n"
      "  casemate cache info\n"
      "  casemate cache list --json\n"
      "  casemate cache prune --max-size 5G\n"
      "  casemate cache verify\n\n"
      "The cache lies in $CASEMATE_CACHE_DIR, else $XDG_CACHE_HOME/casemate, else ~/.cache/casemate, and\n"
      "keeps itself below $CASEMATE_CACHE_SIZE (20G). Exit codes: 0 fine, 1 damage found, 125 failure.");
  const auto* info_command = app.add_subcommand("info", "Where it is and how much it holds");
  const auto* list_command = app.add_subcommand("list", "Each entry, the last used first");
  auto* prune_command = app.add_subcommand("prune", "Remove what nobody uses: uv's cache of packages, then the least recently used first");
  prune_command->add_option("--max-size", options.max_size, "Keep this much (default: nothing)")->option_text("SIZE");
  app.add_subcommand("verify", "Read all of it again, remove what is damaged");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& asked) {  // --help
    return app.exit(asked);
  } catch (const CLI::Error& wrong) {
    return complain(fmt::format("{} (see 'casemate cache --help')", parse_problem(app, wrong)));
  }
  const auto run = [&]() -> int {
    auto store = Store::open();
    if (!store) return complain(store.error().what);
    if (info_command->parsed()) return info(*store, options);
    if (list_command->parsed()) return list(*store, options);
    return prune_command->parsed() ? prune(*store, options) : verify(*store, options);
  };
  return printed(kProgram, run);
}

}  // namespace casemate
