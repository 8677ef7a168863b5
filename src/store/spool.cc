#include "store/spool.h"

#include <cerrno>
#include <limits>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/directories.h"
#include "base/terminal.h"
#include "store/parts.h"
#include "store/place.h"
#include "sys/fd.h"
#include "sys/random.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kNameLimit = 512;
constexpr std::size_t kKeyLimit = 256;
constexpr std::size_t kWordLimit = 64;
constexpr std::size_t kDetailsLimit = 1 << 20;
constexpr off_t kSpoolLimit =
    8 << 20;  // of the file: then a writer takes it in itself, or a host where nobody asks for history would fill its disk

// At most `limit` bytes, cut between characters where it is UTF-8.
std::string cut(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  for (int back = 0; back < 3 && limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80; ++back) --limit;
  text.resize(limit);
  return text;
}

std::string tidy_text(const std::string& text, std::size_t limit) { return cut(printable_name(cut(text, limit)), limit); }

Json to_json(const SpoolLine& line) {
  const RunRecord& record = line.record;
  Json json = {{"id", line.id},           {"started_ms", record.started_ms}, {"front_end", record.front_end}, {"name", record.name},
               {"key", record.key},       {"outcome", record.outcome},       {"code", record.code},           {"wall_us", record.wall_us},
               {"cpu_us", record.cpu_us}, {"details", record.details}};
  if (record.peak_memory_bytes) json["peak_memory_bytes"] = *record.peak_memory_bytes;
  return json;
}

// Reads members of an object; a missing one or one of another type makes the whole reading fail.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}
  void text(const char* name, std::string& to) {
    const auto found = json_.find(name);
    if (found != json_.end() && found->is_string())
      to = found->get<std::string>();
    else
      good_ = false;
  }
  void number(const char* name, std::int64_t& to, std::int64_t least, std::int64_t most) {
    const auto found = json_.find(name);
    const bool fits = found != json_.end() && found->is_number_integer() &&
                      !(found->is_number_unsigned() &&
                        found->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    if (fits) to = found->get<std::int64_t>();
    if (!fits || to < least || to > most) good_ = false;
  }
  [[nodiscard]] bool has(const char* name) const { return json_.contains(name); }
  [[nodiscard]] bool good() const { return good_; }

 private:
  const Json& json_;
  bool good_ = true;
};

}  // namespace

RunRecord tidy(RunRecord record) {
  record.front_end = tidy_text(record.front_end, kWordLimit);
  record.name = tidy_text(record.name, kNameLimit);
  record.key = tidy_text(record.key, kKeyLimit);
  record.outcome = tidy_text(record.outcome, kWordLimit);
  if (record.details.size() > kDetailsLimit || !Json::parse(record.details, nullptr, false).is_object()) record.details = "{}";
  return record;
}

std::string to_spool_line(const SpoolLine& line) {
  SpoolLine fitting{line.id, tidy(line.record)};
  std::string text = to_json(fitting).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kSpoolLineLimit - 2) {
    fitting.record.details = R"({"truncated":true})";
    text = to_json(fitting).dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return text;
}

Result<SpoolLine> parse_spool_line(std::string_view text) {
  const auto damaged = [] { return fail(ErrorCode::corrupt, "a line of the spool is damaged"); };
  if (text.size() > kSpoolLineLimit) return damaged();
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return damaged();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  SpoolLine line;
  std::int64_t code = 0;
  std::int64_t peak = 0;
  Reader reader(json);
  reader.text("id", line.id);
  reader.number("started_ms", line.record.started_ms, 0, kMost);
  reader.text("front_end", line.record.front_end);
  reader.text("name", line.record.name);
  reader.text("key", line.record.key);
  reader.text("outcome", line.record.outcome);
  reader.number("code", code, std::numeric_limits<int>::min(), std::numeric_limits<int>::max());
  reader.number("wall_us", line.record.wall_us, 0, kMost);
  reader.number("cpu_us", line.record.cpu_us, 0, kMost);
  reader.text("details", line.record.details);
  if (reader.has("peak_memory_bytes")) {
    reader.number("peak_memory_bytes", peak, 0, kMost);
    line.record.peak_memory_bytes = static_cast<std::uint64_t>(peak);
  }
  if (!reader.good() || line.id.size() != 16 || line.id.find_first_not_of("0123456789abcdef") != std::string::npos) return damaged();
  line.record.code = static_cast<int>(code);
  line.record = tidy(std::move(line.record));
  return line;
}

namespace {

// Opens the spool for one append, holding a shared lock (flock(2)) that keeps its taker waiting; -1 in the fd: it was taken meanwhile, try
// again.
Result<UniqueFd> open_spool(const Place& place, const std::string& path) {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  UniqueFd fd(::open(path.c_str(), kFlags, 0600));
  if (!fd && errno == ENOENT) {
    TRY(place.make());
    fd.reset(::open(path.c_str(), kFlags, 0600));
  }
  if (!fd) return place.failure("write " + path, errno);
  while (::flock(fd.get(), LOCK_SH) < 0 && errno == EINTR) continue;
  struct stat named{}, ours{};
  if (::fstat(fd.get(), &ours) < 0 || ::lstat(path.c_str(), &named) < 0 || ours.st_ino != named.st_ino) fd.reset();
  return fd;
}

}  // namespace

Result<void> spool_run(const RunRecord& record) {
  TRY_ASSIGN(const std::string directory, absolute_path(state_directory()));
  const Place place{directory, "CASEMATE_STATE_DIR"};
  const std::string path = directory + "/casemate.spool";
  // The newline in front ends the line of a writer that was killed or found the disk full half-way.
  const std::string line = fmt::format("\n{}\n", to_spool_line({random_name(), record}));
  for (int attempt = 0; attempt < 100; ++attempt) {
    TRY_ASSIGN(UniqueFd fd, open_spool(place, path));
    if (!fd) continue;
    struct stat info{};
    if (::fstat(fd.get(), &info) == 0 && info.st_size > kSpoolLimit) {
      fd.reset();
      TRY(History::open(directory));
      continue;
    }
    const ssize_t put = ::write(fd.get(), line.data(), line.size());
    if (put == static_cast<ssize_t>(line.size())) return {};
    return place.failure("write " + path, put < 0 ? errno : ENOSPC);
  }
  return fail(ErrorCode::system, fmt::format("can't write {}: it changes all the time", printable_name(path)));
}

}  // namespace casemate
