#include "apps/doctor/doctor.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/doctor/programs.h"
#include "base/directories.h"
#include "base/terminal.h"
#include "cell/host.h"
#include "command/command_line.h"
#include "command/executors.h"
#include "command/remote_options.h"
#include "report/printing.h"
#include "report/table.h"
#include "sys/fd.h"
#include "sys/probe.h"
#include "sys/process.h"

namespace casemate {
namespace {

constexpr const char* kProgram = "casemate doctor";

using State = HostFeature::State;

Result<void> write_map(pid_t pid, const char* file, const std::vector<HostFacts::IdMap>& maps) {
  std::string text;
  for (const HostFacts::IdMap& map : maps) text += fmt::format("{} {} {}\n", map.inside, map.outside, map.count);
  TRY_ASSIGN(const UniqueFd fd, open_file(fmt::format("/proc/{}/{}", pid, file), O_WRONLY));
  return write_all(fd.get(), text);
}

Result<void> run_map_program(const char* program, pid_t pid, const std::vector<HostFacts::IdMap>& maps) {
  std::vector<std::string> argv{program, std::to_string(pid)};
  for (const HostFacts::IdMap& map : maps) {
    for (const std::uint32_t number : {map.inside, map.outside, map.count}) argv.push_back(std::to_string(number));
  }
  TRY_ASSIGN(const ProgramResult result, run_program(argv, std::chrono::seconds(10)));
  if (!result.end.signaled && result.end.code == 0) return {};
  return fail(ErrorCode::refused, fmt::format("{}: {}", program, printable_name(result.err.substr(0, result.err.find('\n')))), EPERM);
}

// The maps that the engine gives to a cell (cell/host.h).
Result<void> map_ids(pid_t pid, const HostFacts& host) {
  if (host.sub_ids) {
    TRY(run_map_program("newuidmap", pid, host.uid_map));
    return run_map_program("newgidmap", pid, host.gid_map);
  }
  if (!host.privileged) {
    TRY_ASSIGN(const UniqueFd fd, open_file(fmt::format("/proc/{}/setgroups", pid), O_WRONLY));
    TRY(write_all(fd.get(), "deny"));
  }
  TRY(write_map(pid, "uid_map", host.uid_map));
  return write_map(pid, "gid_map", host.gid_map);
}

std::vector<HostFeature> examine() {
  const HostFacts host = read_host_facts();
  const std::string cache = cache_directory();
  ProbeOptions options;
  options.map_ids = [&](pid_t pid) { return map_ids(pid, host); };
  options.mount_point = host.root_mount_point;
  options.cache_directory = existing_directory(cache);
  UniqueFd idmap;
  if (host.privileged) {
    if (auto made = make_user_namespace(host.uid_map.front().outside, host.uid_map.front().count)) idmap = std::move(*made);
  }
  options.idmap_fd = idmap.get();
  std::vector<HostFeature> rows = probe_kernel(options);
  for (HostFeature& row : probe_programs(host, cache)) rows.push_back(std::move(row));
  return rows;
}

bool can_run(const std::vector<HostFeature>& rows) {
  return std::none_of(rows.begin(), rows.end(), [](const HostFeature& row) { return row.required && row.state == State::missing; });
}

// `engine`: its address, if it is one that was looked at, and not this host.
std::string json_text(const std::vector<HostFeature>& rows, const std::string& engine) {
  nlohmann::ordered_json object;
  object["version"] = CASEMATE_VERSION;
  if (!engine.empty()) object["engine"] = to_utf8(engine);
  object["can_run"] = can_run(rows);
  object["rows"] = nlohmann::ordered_json::array();
  for (const HostFeature& row : rows) {
    object["rows"].push_back({{"name", row.name},
                              {"state", word(row.state)},
                              {"meaning", to_utf8(row.meaning)},
                              {"fix", to_utf8(row.fix)},
                              {"required", row.required}});
  }
  return object.dump(2) + "\n";
}

std::string table_text(const std::vector<HostFeature>& rows, bool colour, const std::string& engine) {
  std::string text;
  const auto to = std::back_inserter(text);
  std::size_t width = 0;
  std::size_t counts[3] = {};
  for (const HostFeature& row : rows) {
    width = std::max(width, row.name.size());
    ++counts[static_cast<std::size_t>(row.state)];
  }
  const char* end = colour ? "\x1b[0m" : "";
  const auto start = [&](State state) {
    return !colour ? "" : state == State::ok ? "\x1b[32m" : state == State::fallback ? "\x1b[33m" : "\x1b[31m";
  };
  for (const HostFeature& row : rows) {
    fmt::format_to(to, "{}{:<8}{}  {:<{}}  {}\n", start(row.state), word(row.state), end, row.name, width, printable_name(row.meaning));
    if (!row.fix.empty()) fmt::format_to(to, "{:<8}  {:<{}}  fix: {}\n", "", "", width, printable_name(row.fix));
  }
  const bool able = can_run(rows);
  std::string verdict = able ? "Jobs can run here." : "Jobs can't run here: see what is missing among namespaces, mounts and filters.";
  if (!engine.empty()) verdict = fmt::format("Jobs {} run on {}.", able ? "can" : "can't", printable_name(engine));
  fmt::format_to(to, "\n{}{}{} {} ok, {} fall back, {} missing.\n", start(able ? State::ok : State::missing), verdict, end, counts[0],
                 counts[1], counts[2]);
  return text;
}

struct LookedAt {
  std::string address;
  std::vector<HostFeature> rows;
};

// May make this process another program. `whole`: what can't be looked at is a row too.
Result<LookedAt> look_at_engine(const RemoteWords& words, bool whole) {
  TRY_ASSIGN(const std::optional<RemoteChoice> choice, remote_choice(words, std::filesystem::current_path()));
  if (!choice)
    return fail(ErrorCode::invalid_input,
                "--remote needs an engine: name its address (grpc://HOST:PORT) there, in CASEMATE_REMOTE or in [remote] of casemate.toml");
  TRY(need_executor("remote"));
  auto rows = ask_engine(*choice);
  if (!rows && whole && rows.error().code != ErrorCode::invalid_input)
    rows = std::vector<HostFeature>{{.name = "engine",
                                     .state = State::missing,
                                     .meaning = rows.error().what,
                                     .fix = "see that it runs, and that address, instance and credentials are right",
                                     .required = true}};
  if (!rows) return std::unexpected(std::move(rows.error()));
  return LookedAt{choice->address, std::move(*rows)};
}

}  // namespace

int doctor_main(const std::vector<std::string>& arguments) {
  bool json = false;
  Color when = Color::automatic;
  CLI::App app(
      "Look at this host by trying: what it offers, what falls back, how to fix it. With --remote at a remote execution engine "
      "instead (without ADDRESS the one that CASEMATE_REMOTE or casemate.toml names), of which one action is asked for. Exit 0 if jobs can "
      "run there, 1 if not.",
      kProgram);
  app.add_flag("--json", json, "print one JSON object");
  declare_color(app, when);
  RemoteWords words;
  declare_remote_options(app, words);
  app.get_option("--remote")->expected(0, 1);  // none: the one that the environment or casemate.toml names
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return put(kProgram, app.help(), 0);
  } catch (const CLI::ParseError& error) {
    return complain(kProgram, fmt::format("{} (see 'casemate doctor --help')", parse_problem(app, error)));
  }
  const auto tell = [&](const std::vector<HostFeature>& rows, const std::string& engine) {
    const std::string text = json ? json_text(rows, engine) : table_text(rows, colored(when, STDOUT_FILENO), engine);
    return put(kProgram, text, can_run(rows) ? 0 : 1);
  };
  if (app.count("--remote") == 0 && typed_remote_flag(words).empty()) return tell(examine(), "");
  words.off = false;
  const auto engine = look_at_engine(words, json);
  if (!engine) return complain(kProgram, engine.error().what, engine.error().code == ErrorCode::invalid_input ? kOwnFailure : 1);
  return tell(engine->rows, engine->address);
}

}  // namespace casemate
