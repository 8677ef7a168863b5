#include "witness/action_report.h"

#include <algorithm>
#include <cerrno>

#include "base/terminal.h"
#include "witness/packed.h"

namespace casemate {
namespace {

constexpr std::string_view kMark = "casemate report 1\n";
constexpr std::size_t kMostLeftovers = 16;
constexpr std::size_t kMostNotes = 32;
constexpr std::size_t kLongestLine = 4096;
constexpr std::size_t kLongestPath = 4096;

void put(PackedWriter& writer, const std::optional<int>& value) { writer.number(value ? static_cast<std::uint64_t>(*value) + 1 : 0); }
void put(PackedWriter& writer, const std::optional<std::uint64_t>& value) { writer.number(value ? *value + 1 : 0); }

std::optional<int> get_small(PackedReader& reader, int most) {
  const std::uint64_t value = reader.number();
  return value == 0 ? std::nullopt : std::optional(static_cast<int>(std::min<std::uint64_t>(value - 1, static_cast<unsigned>(most))));
}
std::optional<std::uint64_t> get_optional(PackedReader& reader) {
  const std::uint64_t value = reader.number();
  return value == 0 ? std::nullopt : std::optional(value - 1);
}

// For people: one line, printable.
std::string line(PackedReader& reader) { return printable_line(reader.text().substr(0, kLongestLine)); }

void put_job(PackedWriter& writer, const WitnessReport& job) {
  put(writer, job.exit_status);
  put(writer, job.signal);
  put(writer, job.exec_errno);
  for (const std::uint64_t value : {job.wall_us, job.user_cpu_us, job.system_cpu_us, job.major_faults, job.minor_faults})
    writer.number(value);
  put(writer, job.peak_memory_bytes);
  put(writer, job.peak_pids);
  writer.number(job.disk_full ? 1 : 0);
  writer.number(job.leftovers.size());
  for (const Leftover& left : job.leftovers) {
    writer.number(static_cast<std::uint64_t>(left.pid));
    writer.text(left.name);
  }
}

void get_job(PackedReader& reader, WitnessReport& job) {
  job.exit_status = get_small(reader, 255);
  job.signal = get_small(reader, 127);
  job.exec_errno = get_small(reader, 4095);
  for (std::uint64_t* value : {&job.wall_us, &job.user_cpu_us, &job.system_cpu_us, &job.major_faults, &job.minor_faults})
    *value = std::min(reader.number(), kMostTold);
  job.peak_memory_bytes = get_optional(reader);
  job.peak_pids = get_optional(reader);
  job.disk_full = reader.number() != 0;
  for (std::uint64_t left = reader.count(16); left > 0; --left) {
    const auto pid = static_cast<std::int32_t>(reader.number());
    std::string name = printable_name(reader.text().substr(0, 15));
    if (job.leftovers.size() < kMostLeftovers) job.leftovers.push_back({pid, std::move(name)});
  }
}

void put_change(PackedWriter& writer, const ChangedPath& change) {
  writer.number(static_cast<std::uint64_t>(change.kind));
  writer.number(change.place);
  writer.text(change.path);
  writer.number(change.mode);
  writer.number(change.same_mode ? 1 : 0);
  writer.number(static_cast<std::uint64_t>(change.modified_ns));
  writer.number(change.size);
  writer.text(change.target);
  writer.number(change.number);
}

// "a/b": relative, of parts that are names.
bool is_inner_path(std::string_view path) {
  if (path.empty() || path.size() >= kLongestPath || path.find('\0') != std::string_view::npos) return false;
  for (;;) {
    const auto slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool get_change(PackedReader& reader, ChangedPath& change) {
  const std::uint64_t kind = reader.number();
  if (kind > static_cast<std::uint64_t>(ChangedPath::Kind::deleted)) return false;
  change.kind = static_cast<ChangedPath::Kind>(kind);
  change.place = static_cast<std::uint32_t>(reader.number());
  change.path = reader.text();
  change.mode = static_cast<std::uint32_t>(reader.number() & 07777);
  change.same_mode = reader.number() != 0;
  change.modified_ns = static_cast<std::int64_t>(reader.number());
  change.size = reader.number();
  change.target = reader.text();
  change.number = reader.number();
  return is_inner_path(change.path) && change.target.size() < kLongestPath && change.target.find('\0') == std::string::npos;
}

}  // namespace

int exit_code_of(const ActionReport& report) {
  constexpr int kNotKept = 124, kNotStarted = 125, kNotExecutable = 126, kNotFound = 127, kSignaled = 127;
  if (!report.setup_step.empty()) return kNotStarted;
  if (report.job.exec_errno) return *report.job.exec_errno == ENOENT ? kNotFound : kNotExecutable;
  if (report.ended_for != EndedFor::nothing || !report.job.leftovers.empty() || report.reports_cut) return kNotKept;
  if (report.job.signal) return kSignaled;
  return std::min(report.job.exit_status.value_or(kSignaled), 127);
}

std::string report_bytes(const ActionReport& report) {
  PackedWriter writer;
  writer.text(kMark);
  put_job(writer, report.job);
  writer.text(report.setup_step);
  writer.number(static_cast<std::uint64_t>(report.setup_errno));
  writer.text(report.setup_detail);
  writer.number(static_cast<std::uint64_t>(report.ended_for));
  writer.number(report.turns.size());
  for (const ActionReport::Turn& turn : report.turns) {
    writer.number(turn.stream == Stream::out ? 1 : 2);
    writer.number(turn.bytes);
  }
  writer.number(report.reports_cut ? 1 : 0);
  writer.number(report.notes.size());
  for (const std::string& note : report.notes) writer.text(note);
  writer.number(report.changes.size());
  for (const ChangedPath& change : report.changes) put_change(writer, change);
  writer.number(report.changes_truncated ? 1 : 0);
  writer.text(report.collect_problem);
  return std::move(writer).take();
}

Result<ActionReport> read_report(std::string_view bytes) {
  const auto none = [] { return fail(ErrorCode::corrupt, "what the witness of the action left is no report of its"); };
  PackedReader reader(bytes);
  if (reader.text() != kMark) return none();
  ActionReport report;
  get_job(reader, report.job);
  report.setup_step = line(reader);
  report.setup_errno = static_cast<int>(reader.number() & 0xfff);
  report.setup_detail = line(reader);
  const std::uint64_t ended_for = reader.number();
  if (ended_for > static_cast<std::uint64_t>(EndedFor::files)) return none();
  report.ended_for = static_cast<EndedFor>(ended_for);
  const std::uint64_t turns = reader.count(16);
  if (turns > kMostTurns) return none();
  for (std::uint64_t left = turns; left > 0; --left) {
    const Stream stream = reader.number() == 1 ? Stream::out : Stream::err;
    report.turns.push_back({stream, reader.number()});
  }
  report.reports_cut = reader.number() != 0;
  for (std::uint64_t left = reader.count(); left > 0; --left) {
    std::string note = line(reader);
    if (report.notes.size() < kMostNotes) report.notes.push_back(std::move(note));
  }
  const std::uint64_t changes = reader.count(72);
  if (changes > kMostChangedPaths) return none();
  report.changes.resize(changes);
  for (ChangedPath& change : report.changes) {
    if (!get_change(reader, change)) return none();
  }
  report.changes_truncated = reader.number() != 0;
  report.collect_problem = line(reader);
  const bool says_something = !report.setup_step.empty() || report.job.exec_errno || report.job.signal || report.job.exit_status ||
                              report.ended_for != EndedFor::nothing;
  if (!reader.at_end() || !says_something) return none();
  return report;
}

}  // namespace casemate
