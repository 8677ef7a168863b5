#include "runtime/data_report.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "base/units.h"
#include "base/untrusted_json.h"
#include "report/table.h"
#include "runtime/spec_fields.h"

namespace casemate::runtime {
namespace {

using Told = nlohmann::json;

constexpr std::size_t kMostColumns = 10'000;
constexpr std::size_t kMostMembers = 100;
constexpr std::size_t kMostDifferences = 50;
constexpr std::size_t kMostLines = 200;
constexpr std::size_t kLongestName = 1'000;
constexpr std::size_t kLongestText = 4'096;
constexpr std::array<std::string_view, 16> kFormats = {"CSV", "TSV",   "PARQUET", "JSON", "JSONL",  "PICKLE", "FEATHER",   "NPY",
                                                       "NPZ", "EXCEL", "TAR",     "TEXT", "BINARY", "EMPTY",  "DIRECTORY", "MISSING"};
constexpr std::array<std::string_view, 10> kTypes = {"int", "float", "str", "bool", "datetime", "bytes", "list", "mixed", "null", "other"};

std::unexpected<Error> corrupt(std::string_view what) {
  return fail(ErrorCode::corrupt, fmt::format("what was said of data in the cell makes no sense: {}", what));
}

// to_utf8 after the cut, which may be within a character.
std::string text_of(const Told& told, const char* key, std::size_t most) { return to_utf8(text_at(told, key, most)); }

Result<DataReport> report_from(const Told& told, bool is_member) {
  if (!told.is_object()) return corrupt("it is no object");
  DataReport report;
  report.name = text_of(told, "name", kLongestName);
  report.path = text_of(told, "path", kLongestText);
  report.format = text_at(told, "format", 20);
  if (std::ranges::find(kFormats, report.format) == kFormats.end()) return corrupt("its format is none that we know");
  report.compression = text_of(told, "compression", 20);
  report.files = number_at(told, "files");
  report.bytes = number_at(told, "bytes");
  if (member_if(told, "rows", &Told::is_number_unsigned)) report.rows = number_at(told, "rows");
  report.encoding = text_of(told, "encoding", 40);
  report.problem = text_of(told, "problem", kLongestText);
  if (const Told* columns = member_if(told, "columns", &Told::is_array)) {
    if (columns->size() > kMostColumns) return corrupt("it has too many columns");
    for (const Told& column : *columns) {
      DataColumn one{text_of(column, "name", kLongestName), text_at(column, "type", 20), text_of(column, "dtype", kLongestName),
                     number_at(column, "nulls")};
      if (std::ranges::find(kTypes, one.type) == kTypes.end()) return corrupt("a column's type is none that we know");
      report.columns.push_back(std::move(one));
    }
  }
  const Told* members = member_if(told, "members", &Told::is_array);
  if (members && !members->empty()) {
    if (is_member) return corrupt("a member has members");
    if (members->size() > kMostMembers) return corrupt("it has too many members");
    for (const Told& member : *members) {
      TRY_ASSIGN(auto read, report_from(member, true));
      report.members.push_back(std::move(read));
    }
  }
  return report;
}

std::string in_ticks(std::string_view name) { return fmt::format("`{}`", named(name)); }

std::string format_words(const DataReport& report) {
  return report.compression.empty() ? report.format : fmt::format("{} ({})", report.format, named(report.compression));
}

bool is_there(const DataReport& report) { return report.format != "MISSING" && report.format != "EMPTY"; }

// What somebody who reads `wanted` can't read of `given`.
bool fits(const DataColumn& given, const DataColumn& wanted) {
  return given.type == wanted.type || (given.type == "int" && wanted.type == "float") || wanted.type == "mixed" || wanted.type == "other" ||
         wanted.type == "null";
}

using Columns = std::unordered_map<std::string_view, const DataColumn*>;

Columns by_name(const DataReport& report) {
  Columns columns;
  for (const DataColumn& column : report.columns) columns.emplace(column.name, &column);
  return columns;
}

// Differences by how bad they are, of a report and its members.
class Comparison {
 public:
  void compare(const DataReport& given, const DataReport& wanted, const std::string& where) {
    if (wanted.format == "MISSING") return;
    if (given.format == "MISSING") return add(kData, where + "there is no data");
    if (!given.problem.empty() && wanted.problem.empty()) add(kData, fmt::format("{}{}", where, named(given.problem)));
    if (given.format == "EMPTY" && is_there(wanted)) return add(kData, where + "it is empty");
    if (given.format != wanted.format || given.compression != wanted.compression)
      add(kData, fmt::format("{}the format is {}, was {}", where, format_words(given), format_words(wanted)));
    compare_columns(given, wanted, where);
    if (given.rows == 0u && wanted.rows.value_or(1) > 0 && !given.columns.empty()) add(kRows, where + "there are no rows");
    compare_members(given, wanted);
  }

  std::vector<std::string> lines() {
    std::vector<std::string> all;
    for (auto& group : groups_) std::ranges::move(group, std::back_inserter(all));
    if (all.size() <= kMostDifferences) return all;
    const std::size_t more = all.size() - (kMostDifferences - 1);
    all.resize(kMostDifferences - 1);
    all.push_back(fmt::format("and {} more", more));
    return all;
  }

 private:
  enum Group { kData, kColumns, kTypesDiffer, kRows, kNulls, kGroups };

  void add(Group group, std::string line) { groups_[group].push_back(std::move(line)); }

  void compare_columns(const DataReport& given, const DataReport& wanted, const std::string& where) {
    if (given.columns.empty()) return;
    const Columns there = by_name(given);
    const Columns known = by_name(wanted);
    std::vector<std::string_view> extra;
    for (const DataColumn& column : given.columns) {
      if (extra.size() < kMostMembers && !known.contains(column.name)) extra.push_back(column.name);
    }
    for (const DataColumn& column : wanted.columns) {
      const auto found = there.find(column.name);
      if (found == there.end()) {
        const std::string meant = groups_[kColumns].size() < kMostDifferences ? nearest(column.name, extra) : "";
        add(kColumns, fmt::format("{}column {} is missing{}", where, in_ticks(column.name),
                                  meant.empty() ? "" : fmt::format(" (there is {})", in_ticks(meant))));
        continue;
      }
      const DataColumn& other = *found->second;
      if (!fits(other, column)) {
        add(kTypesDiffer, fmt::format("{}{} {}, was {}", where, in_ticks(column.name),
                                      other.type == "null" ? "has nothing but nulls" : "is " + other.type, column.type));
      } else if (other.nulls > 0 && column.nulls == 0 && column.type != "null") {
        add(kNulls, fmt::format("{}{} has {} null{}, had none", where, in_ticks(column.name), other.nulls, other.nulls == 1 ? "" : "s"));
      }
    }
  }

  void compare_members(const DataReport& given, const DataReport& wanted) {
    for (const DataReport& member : wanted.members) {
      const auto found = std::ranges::find(given.members, member.name, &DataReport::name);
      if (found != given.members.end()) {
        compare(*found, member, named(member.name) + ": ");
      } else if (!given.members.empty()) {
        add(kData, fmt::format("file {} is missing", in_ticks(member.name)));
      }
    }
  }

  std::array<std::vector<std::string>, kGroups> groups_;
};

std::string type_words(const DataColumn& column) {
  std::string words = column.type;
  if (!column.dtype.empty() && column.dtype != column.type) words += fmt::format(" ({})", named(column.dtype));
  if (column.nulls > 0) words += fmt::format(", {} null{}", column.nulls, column.nulls == 1 ? "" : "s");
  return words;
}

void add_table(Table& table, const DataReport* given, const DataReport* wanted) {
  const auto row = [&](const std::string& heading, auto text) {
    const std::string left = given ? text(*given) : "-";
    const std::string right = wanted ? text(*wanted) : "-";
    if (!left.empty() || !right.empty()) table.add({heading, left.empty() ? "-" : left, right.empty() ? "-" : right});
  };
  row("format", [](const DataReport& report) { return format_words(report); });
  row("files", [](const DataReport& report) { return report.files > 1 ? std::to_string(report.files) : ""; });
  row("size", [](const DataReport& report) { return is_there(report) ? format_bytes(report.bytes) : ""; });
  row("rows", [](const DataReport& report) { return report.rows ? std::to_string(*report.rows) : ""; });
  row("encoding", [](const DataReport& report) { return named(report.encoding); });
  row("problem", [](const DataReport& report) { return named(report.problem); });
  static const DataReport nothing;
  const DataReport& left = given ? *given : nothing;
  const DataReport& right = wanted ? *wanted : nothing;
  const Columns ours = by_name(left);
  const Columns theirs = by_name(right);
  std::size_t lines = 0;
  const auto column_row = [&](const std::string& name) {
    if (++lines > kMostLines) return;
    const auto words = [&](const Columns& columns) {
      const auto found = columns.find(name);
      return found == columns.end() ? std::string("-") : type_words(*found->second);
    };
    table.add({"  " + named(name), words(ours), words(theirs)});
  };
  for (const DataColumn& column : right.columns) column_row(column.name);
  for (const DataColumn& column : left.columns) {
    if (!theirs.contains(column.name)) column_row(column.name);
  }
  if (lines > kMostLines) table.add({fmt::format("  and {} columns more", lines - kMostLines)});
}

}  // namespace

Result<DataReport> data_report_from(const Told& told) { return report_from(told, false); }

nlohmann::ordered_json to_json(const DataReport& report) {
  nlohmann::ordered_json columns = nlohmann::ordered_json::array();
  for (const DataColumn& column : report.columns)
    columns.push_back(
        {{"name", to_utf8(column.name)}, {"type", to_utf8(column.type)}, {"dtype", to_utf8(column.dtype)}, {"nulls", column.nulls}});
  nlohmann::ordered_json members = nlohmann::ordered_json::array();
  for (const DataReport& member : report.members) members.push_back(to_json(member));
  return {{"name", to_utf8(report.name)},
          {"path", to_utf8(report.path)},
          {"format", to_utf8(report.format)},
          {"compression", to_utf8(report.compression)},
          {"files", report.files},
          {"bytes", report.bytes},
          {"rows", report.rows ? nlohmann::ordered_json(*report.rows) : nlohmann::ordered_json(nullptr)},
          {"columns", std::move(columns)},
          {"encoding", to_utf8(report.encoding)},
          {"problem", to_utf8(report.problem)},
          {"members", std::move(members)}};
}

std::vector<std::string> differences(const DataReport& given, const DataReport& wanted) {
  Comparison comparison;
  comparison.compare(given, wanted, "");
  return comparison.lines();
}

std::string side_by_side(const DataReport& given, const DataReport& wanted) {
  Table table({{""}, {"given"}, {"wanted"}});
  add_table(table, &given, &wanted);
  const auto member_of = [](const DataReport& report, const std::string& name) {
    const auto found = std::ranges::find(report.members, name, &DataReport::name);
    return found == report.members.end() ? nullptr : &*found;
  };
  for (const DataReport& member : wanted.members) {
    table.add({named(member.name)});
    add_table(table, member_of(given, member.name), &member);
  }
  for (const DataReport& member : given.members) {
    if (member_of(wanted, member.name)) continue;
    table.add({named(member.name)});
    add_table(table, &member, nullptr);
  }
  return table.text(false);
}

}  // namespace casemate::runtime
