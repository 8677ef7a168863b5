// An entry is a directory: `result`, a JobResult as CBOR (RFC 8949), and `files`, what came out, as a writable layer would have it.
#include "action/result_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/terminal.h"
#include "engine/collect.h"
#include "engine/copy.h"
#include "engine/delivery.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;
constexpr std::size_t kMostBytes = 256u << 20;  // of `result`

std::string key_of(const BlobDigest& action) { return sha256_hex(fmt::format("result {}/{}", action.hash, action.size)); }

// ---- a result as bytes

Json binary(const std::string& bytes) { return Json::binary({bytes.begin(), bytes.end()}); }

std::string text_of(const Json& value) {
  const auto& bytes = value.get_binary();
  return {bytes.begin(), bytes.end()};
}

template <class T>
Json number(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::optional<std::uint64_t> maybe(const Json& value) { return value.is_null() ? std::nullopt : std::optional(value.get<std::uint64_t>()); }

std::string encode(const JobResult& result, std::int64_t made) {
  Json changes = Json::array();
  for (const Change& change : result.changes) {
    changes.push_back({static_cast<int>(change.kind), static_cast<int>(change.type), binary(change.path), change.size, change.mode,
                       change.digest, binary(change.link_target), binary(change.reason)});
  }
  Json notes = Json::array();
  for (const std::string& note : result.notes) notes.push_back(binary(note));
  const Resources& used = result.resources;
  const Json json = {{"format", kFormat},
                     {"made", made},
                     {"wall", used.wall.count()},
                     {"user", used.user_cpu.count()},
                     {"system", used.system_cpu.count()},
                     {"memory", number(used.peak_memory_bytes)},
                     {"read", number(used.read_bytes)},
                     {"written", number(used.written_bytes)},
                     {"pids", number(used.peak_pids)},
                     {"major", used.major_faults},
                     {"minor", used.minor_faults},
                     {"out", binary(result.output.out)},
                     {"err", binary(result.output.err)},
                     {"merged", binary(result.output.merged)},
                     {"changes", std::move(changes)},
                     {"notes", std::move(notes)}};
  std::string bytes;
  Json::to_cbor(json, bytes);
  return bytes + sha256_hex(bytes);
}

// The bytes are ours: their sum is right. What is not as we would write it all the same throws a Json::exception.
KeptResult decode(const Json& json) {
  KeptResult kept{.made = json.at("made").get<std::int64_t>()};
  JobResult& result = kept.result;
  result.outcome = {.kind = Outcome::Kind::exited};
  result.exit_status = 0;
  Resources& used = result.resources;
  used.wall = std::chrono::microseconds(json.at("wall").get<std::int64_t>());
  used.user_cpu = std::chrono::microseconds(json.at("user").get<std::int64_t>());
  used.system_cpu = std::chrono::microseconds(json.at("system").get<std::int64_t>());
  used.peak_memory_bytes = maybe(json.at("memory"));
  used.read_bytes = maybe(json.at("read"));
  used.written_bytes = maybe(json.at("written"));
  used.peak_pids = maybe(json.at("pids"));
  used.major_faults = json.at("major").get<std::uint64_t>();
  used.minor_faults = json.at("minor").get<std::uint64_t>();
  result.output = {.out = text_of(json.at("out")), .err = text_of(json.at("err")), .merged = text_of(json.at("merged"))};
  result.output.out_total = result.output.out.size();
  result.output.err_total = result.output.err.size();
  for (const Json& entry : json.at("changes")) {
    Change change;
    change.kind = static_cast<Change::Kind>(entry.at(0).get<int>());
    change.type = static_cast<Change::Type>(entry.at(1).get<int>());
    change.path = text_of(entry.at(2));
    change.size = entry.at(3).get<std::uint64_t>();
    change.mode = entry.at(4).get<std::uint32_t>();
    change.digest = entry.at(5).get<std::string>();
    change.link_target = text_of(entry.at(6));
    change.reason = text_of(entry.at(7));
    result.changes.push_back(std::move(change));
  }
  for (const Json& note : json.at("notes")) result.notes.push_back(text_of(note));
  return kept;
}

std::optional<KeptResult> read_result(const std::string& path) {
  constexpr std::size_t kSum = 64;
  auto bytes = read_file(path, kMostBytes);
  if (!bytes || bytes->size() < kSum) return std::nullopt;
  const std::string sum = bytes->substr(bytes->size() - kSum);
  bytes->resize(bytes->size() - kSum);
  if (sha256_hex(*bytes) != sum) return std::nullopt;
  try {
    const Json json = Json::from_cbor(*bytes);
    if (json.at("format").get<int>() != kFormat) return std::nullopt;
    return decode(json);
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

// ---- its files

bool is_delivered(const Change& change) {
  return change.kind != Change::Kind::deleted && change.type != Change::Type::skipped && change.reason.empty();
}

Result<CollectedFiles> walk(const std::string& files, const std::string& destination) {
  TRY_ASSIGN(const UniqueFd upper, open_file(files, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return collect(upper.get(), {.destination = destination});
}

// Whether all that came out is there, and is what it was.
bool is_whole(const JobResult& result, const std::string& files) {
  const auto found = walk(files, "");
  if (!found || found->truncated) return false;
  std::map<std::string_view, const Change*> there;
  for (const Change& change : found->changes) there.emplace(change.path, &change);
  return std::ranges::all_of(result.changes, [&](const Change& change) {
    if (!is_delivered(change)) return true;
    const auto same = there.find(change.path);
    return same != there.end() && same->second->type == change.type && same->second->digest == change.digest &&
           same->second->link_target == change.link_target;
  });
}

// What of a delivery went wrong now, in place of what went wrong then: nothing did.
void take_problems(JobResult& result, CollectedFiles delivered) {
  std::map<std::string_view, const Change*> told;
  for (const Change& change : delivered.changes) told.emplace(change.path, &change);
  for (Change& change : result.changes) {
    const auto found = told.find(change.path);
    if (!is_delivered(change) || found == told.end()) continue;
    change.reason = found->second->reason;
    change.type = found->second->type;
  }
  result.collect_error = std::move(delivered.problem);
}

std::unexpected<Error> fail_file(const std::string& path, int errno_value) {
  return fail(ErrorCode::system, fmt::format("can't keep {}: {}", printable_name(path), std::strerror(errno_value)), errno_value);
}

// One thing that lies in the destination, into the entry.
Result<void> copy_change(const Change& change, int from, Delivery& to, Copier& copier) {
  const std::size_t slash = change.path.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : change.path.substr(0, slash);
  const std::string name = change.path.substr(slash + 1);
  if (change.type == Change::Type::directory) {
    if (const auto made = to.directory(change.path); !made) return fail_file(change.path, made.error());
    return {};
  }
  struct stat info{};
  if (change.type == Change::Type::symlink) {
    const auto place = open_beneath(from, change.path, O_PATH);
    if (!place || ::fstat(place->get(), &info) < 0 || !S_ISLNK(info.st_mode)) return fail_file(change.path, ESTALE);
    if (const auto made = to.link(parent, name, change.link_target, info.st_mtim); !made) return fail_file(change.path, made.error());
    return {};
  }
  const auto file = open_beneath(from, change.path, O_RDONLY);
  if (!file) return fail_file(change.path, file.error());
  if (::fstat(file->get(), &info) < 0 || !S_ISREG(info.st_mode)) return fail_file(change.path, ESTALE);
  const auto target = to.file(parent, name, (info.st_mode & S_IXUSR) != 0);
  if (!target) return fail_file(change.path, target.error());
  const Copied copied = copier.copy(file->get(), target->get(), static_cast<std::uint64_t>(info.st_size), true);
  if (copied.read_error != 0 || copied.write_error != 0)
    return fail_file(change.path, copied.write_error != 0 ? copied.write_error : copied.read_error);
  if (copied.digest != change.digest)
    return fail(ErrorCode::corrupt, fmt::format("{} has been changed since it came out", printable_name(change.path)));
  const struct timespec times[2] = {info.st_mtim, info.st_mtim};
  (void)::futimens(target->get(), times);
  return {};
}

Result<void> copy_files(const JobResult& result, const std::string& from, const std::string& to) {
  TRY_ASSIGN(const UniqueFd source, open_file(from, O_RDONLY | O_DIRECTORY));
  TRY_ASSIGN(Delivery delivery, Delivery::open(to));
  Copier copier;
  for (const Change& change : result.changes) {
    if (is_delivered(change)) TRY(copy_change(change, source.get(), delivery, copier));
  }
  // After all in them has been made.
  for (const Change& change : result.changes) {
    struct stat info{};
    if (!is_delivered(change) || change.type != Change::Type::directory) continue;
    const auto place = open_beneath(source.get(), change.path, O_PATH | O_DIRECTORY);
    if (place && ::fstat(place->get(), &info) == 0) delivery.set_time(change.path, info.st_mtim);
  }
  return {};
}

}  // namespace

std::string why_not_kept(const JobResult& result) {
  if (!result.outcome.succeeded()) return fmt::format("it {}", words(result.outcome));
  if (!result.leftovers.empty()) return "it left processes behind";
  if (result.output.truncated) return "not all of its output was taken in";
  if (result.changes_truncated || !result.collect_error.empty()) return "not all of its files came out";
  const auto lost = [](const Change& change) { return change.type != Change::Type::skipped && !change.reason.empty(); };
  return std::ranges::any_of(result.changes, lost) ? "not all of its files came out" : "";
}

bool ResultCache::has(const BlobDigest& action) const { return store_.has(key_of(action)); }

Result<std::optional<KeptResult>> ResultCache::find(const BlobDigest& action, const std::string& collect_to) {
  TRY_ASSIGN(std::optional<StoreLease> lease, store_.layer(key_of(action)));
  if (!lease) return std::nullopt;
  const std::string files = lease->path() + "/files";
  auto kept = read_result(lease->path() + "/result");
  if (!kept || (!collect_to.empty() && !is_whole(kept->result, files))) {
    lease.reset();
    TRY(store_.remove(key_of(action)));
    return std::nullopt;
  }
  if (!collect_to.empty()) {
    TRY_ASSIGN(CollectedFiles delivered, walk(files, collect_to));
    take_problems(kept->result, std::move(delivered));
  }
  return kept;
}

Result<void> ResultCache::keep(const BlobDigest& action, const JobResult& result, const std::string& collect_to,
                               std::string_view description) {
  if (const std::string why = why_not_kept(result); !why.empty()) return fail(ErrorCode::invalid_input, why);
  std::uint64_t bytes = result.output.out.size() + result.output.err.size() + result.output.merged.size();
  for (const Change& change : result.changes) {
    if (!collect_to.empty() && is_delivered(change)) bytes += change.size;
  }
  if (bytes > store_.max_bytes() / 4) return fail(ErrorCode::exhausted, "it would take more than a quarter of the cache");
  const auto fill = [&](const std::string& directory) -> Result<void> {
    const std::string files = directory + "/files";
    if (::mkdir(files.c_str(), 0755) < 0) return fail_errno("make " + files);
    if (!collect_to.empty()) TRY(copy_files(result, collect_to, files));
    TRY_ASSIGN(const UniqueFd file, open_file(directory + "/result", O_WRONLY | O_CREAT | O_EXCL, 0600));
    return write_all(file.get(), encode(result, std::time(nullptr)));
  };
  TRY(store_.make_layer(key_of(action), description, fill));
  return {};
}

}  // namespace casemate
