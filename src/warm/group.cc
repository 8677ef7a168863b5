#include "warm/group.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <sys/wait.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/units.h"
#include "base/untrusted_json.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostLeftovers = 64;
constexpr std::size_t kMostName = 15;
constexpr double kMostSeconds = 1e9;

std::string dump(const Json& json) { return json.dump(-1, ' ', true, Json::error_handler_t::replace); }

// Characters of U+0000 to U+00FF as the bytes of these numbers; others, which nobody sends, as they are.
std::string bytes_at(const Json& object, const char* key) {
  const std::string text = text_at(object, key);
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text[i]);
    if ((first == 0xc2 || first == 0xc3) && i + 1 < text.size()) {
      bytes += static_cast<char>((first & 3) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f));
    } else {
      bytes += text[i];
    }
  }
  return bytes;
}

std::chrono::microseconds seconds_at(const Json& object, const char* key) {
  const Json* found = member_if(object, key, &Json::is_number);
  const double seconds = found ? found->get<double>() : 0;
  if (!std::isfinite(seconds) || seconds < 0 || seconds > kMostSeconds) return {};
  return std::chrono::microseconds(std::llround(seconds * 1e6));
}

GroupLine over_of(const Json& object) {
  GroupOver over{.unit = number_at(object, "over")};
  if (const Json* status = member_if(object, "status", &Json::is_number_integer))
    over.wait_status = static_cast<int>(status->get<std::int64_t>() & 0xffff);
  over.limit = text_at(object, "limit");
  if (const Json* failed = member_if(object, "failed", &Json::is_array); failed && failed->size() == 2 && (*failed)[0].is_string()) {
    over.failed = printable_line((*failed)[0].get<std::string>().substr(0, 1000));
    over.problem = (*failed)[1].is_number_integer() ? static_cast<int>((*failed)[1].get<std::int64_t>() & 0xfff) : 0;
  }
  if (object.contains("died")) over.died = text_at(object, "died").substr(0, 1000);
  over.resources.wall = seconds_at(object, "wall");
  over.resources.user_cpu = seconds_at(object, "user");
  over.resources.system_cpu = seconds_at(object, "system");
  if (const std::uint64_t peak = number_at(object, "rss"); peak > 0) over.resources.peak_memory_bytes = peak;
  over.output.out = bytes_at(object, "out");
  over.output.err = bytes_at(object, "err");
  over.output.merged = over.output.out + over.output.err;
  over.output.out_total = std::max<std::uint64_t>(number_at(object, "out_total"), over.output.out.size());
  over.output.err_total = std::max<std::uint64_t>(number_at(object, "err_total"), over.output.err.size());
  over.output.truncated = over.output.out_total > over.output.out.size() || over.output.err_total > over.output.err.size();
  if (const Json* left = member_if(object, "left", &Json::is_array)) {
    for (const Json& one : *left) {
      if (over.leftovers.size() == kMostLeftovers || !one.is_array() || one.size() != 2 || !one[0].is_number_integer() ||
          !one[1].is_string())
        break;
      over.leftovers.push_back({static_cast<std::int32_t>(one[0].get<std::int64_t>() & 0x7fffffff),
                                printable_line(one[1].get<std::string>().substr(0, kMostName))});
    }
  }
  return over;
}

}  // namespace

std::string group_units(const std::vector<GroupUnit>& units) {
  Json files = Json::array();
  std::map<std::tuple<std::string, bool, bool>, std::size_t> known;
  for (std::size_t n = 0; n < units.size(); ++n) {
    const GroupUnit& unit = units[n];
    const bool whole = unit.whole && !unit.cold;
    const auto [at, fresh] = known.try_emplace({whole ? "" : unit.file, whole, unit.cold}, files.size());
    if (fresh) {
      Json file = {{"file", nullptr}, {"units", Json::array()}};
      if (!whole) file["file"] = unit.file;
      if (unit.cold) file["cold"] = true;
      const Json hash = Json::parse(unit.hash, nullptr, false);  // the collector's own text of a value
      if (hash.is_string() && !whole && !unit.cold) file["hash"] = hash;
      files.push_back(std::move(file));
    }
    Json told = {{"n", n}, {"file", unit.file}, {"ids", unit.ids}};
    if (unit.wall) told["wall"] = std::chrono::duration<double>(*unit.wall).count();
    files[at->second]["units"].push_back(std::move(told));
  }
  return dump(files);
}

std::string group_order(std::string_view units, const Job& fork, std::uint64_t capture_bytes) {
  Json order = {{"places", Json::array()}, {"network", fork.network != Network::none}, {"cells", true}, {"capture", capture_bytes}};
  for (const Mount& mount : fork.mounts) {
    const bool empty = mount.kind == Mount::Kind::tmpfs && mount.target != "/tmp" && mount.target != "/dev/shm";  // those are a test's own
    const bool own = mount.kind == Mount::Kind::overlay || empty || (mount.kind == Mount::Kind::bind && mount.owned && !mount.writable);
    if (own && mount.target != "/") order["places"].push_back(mount.target);
  }
  if (fork.limits.disk_bytes) order["disk"] = *fork.limits.disk_bytes;
  if (fork.limits.memory_bytes) order["memory"] = *fork.limits.memory_bytes;
  if (fork.limits.pids) order["pids"] = *fork.limits.pids;
  std::string text = dump(order);
  text.pop_back();
  return fmt::format("{}, \"files\": {}}}", text, units);
}

GroupLine read_group_line(std::string_view line) {
  const auto read = untrusted_object(line);
  if (!read) return {};
  const Json& object = *read;
  if (object.contains("of")) return GroupPiece{number_at(object, "of"), bytes_at(object, "bytes")};
  if (object.contains("unit")) return GroupBegin{number_at(object, "unit")};
  if (object.contains("over")) return over_of(object);
  if (object.contains("apart"))
    return GroupApart{text_at(object, "apart") == "cells", text_at(object, "note").substr(0, 1000),
                      member_if(object, "root", &Json::is_boolean) && object["root"].get<bool>()};
  if (object.contains("tied")) return GroupTied{text_at(object, "tied"), text_at(object, "left").substr(0, 1000)};
  if (object.contains("differs")) return GroupDiffers{text_at(object, "differs")};
  if (object.contains("done")) return GroupDone{};
  StreamLine other = read_stream_line(line);
  if (auto* about = std::get_if<StreamAbout>(&other)) return std::move(*about);
  return {};
}

JobResult result_of(GroupOver over, const Limits& limits) {
  using Kind = Outcome::Kind;
  JobResult result{.resources = over.resources, .output = std::move(over.output)};
  result.leftovers = std::move(over.leftovers);
  Outcome plain{Kind::lost, 0, "", "its group does not say how it ended"};
  if (over.wait_status) {
    const int status = *over.wait_status;
    plain = WIFSIGNALED(status) ? Outcome{Kind::signaled, WTERMSIG(status)} : Outcome{Kind::exited, WEXITSTATUS(status)};
    if (WIFEXITED(status)) result.exit_status = WEXITSTATUS(status);
  }
  if (over.died) {
    result.outcome = {Kind::lost, 0, "warm parent", *over.died};
  } else if (!over.failed.empty()) {
    result.outcome = {Kind::setup_failed, over.problem, over.failed};
  } else if (over.limit == "wall") {
    result.outcome = {Kind::timed_out, 0, "",
                      fmt::format("wall time {}", format_duration(limits.wall.value_or(std::chrono::milliseconds(0))))};
  } else if (over.limit == "memory") {
    result.outcome = {Kind::out_of_memory, 0, "", fmt::format("limit {}", format_bytes(limits.memory_bytes.value_or(0)))};
  } else if (over.limit == "pids") {
    result.outcome = {Kind::too_many_processes, plain.code, "", fmt::format("limit {}, then {}", limits.pids.value_or(0), words(plain))};
  } else {
    result.outcome = std::move(plain);
  }
  return result;
}

}  // namespace casemate
