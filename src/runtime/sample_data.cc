#include "runtime/sample_data.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <optional>
#include <string_view>
#include <unordered_set>

#include <fmt/format.h>

#include "base/nearest.h"
#include "runtime/spec_fields.h"

namespace casemate::runtime {
namespace {

constexpr std::uint64_t kMostRows = 1'000'000;
constexpr std::uint64_t kMostCells = 10'000'000;

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

// What a column of a schema asks for.
struct Column {
  std::string name;
  std::string type;
  std::optional<double> least, most;
  const Json* values = nullptr;
  double nulls = 0;  // share
};

// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014): the same numbers everywhere.
std::uint64_t mixed(std::uint64_t seed) {
  seed += 0x9e3779b97f4a7c15u;
  seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9u;
  seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebu;
  return seed ^ (seed >> 31);
}

std::uint64_t seed_of(std::string_view name) {
  std::uint64_t seed = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return seed;
}

Result<std::string> type_named(const std::string& written, const std::string& place) {
  std::string word;
  for (const char c : written) {
    if (c == '[') break;  // datetime64[ns]
    if (c < '0' || c > '9') word += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  for (const auto& [type, others] : std::initializer_list<std::pair<const char*, std::vector<std::string_view>>>{
           {"int", {"int", "integer", "long", "uint", "bigint"}},
           {"float", {"float", "double", "number", "real"}},
           {"str", {"str", "string", "text", "object", "category"}},
           {"bool", {"bool", "boolean"}},
           {"datetime", {"datetime", "date", "timestamp"}}}) {
    if (std::ranges::find(others, word) != others.end()) return type;
  }
  return invalid(
      fmt::format("{}: '{}' is no type{}", place, named(written), did_you_mean(written, {"int", "float", "str", "bool", "datetime"})));
}

Result<std::optional<double>> bound(const SpecFields& fields, const char* key, const std::string& type) {
  const Json* value = fields.find(key);
  if (!value) return std::nullopt;
  if (!value->is_number() || !(std::abs(value->get<double>()) <= 9e15)) return fields.wrong(key, "a number between -9e15 and 9e15");
  if (type != "int" && type != "float") return invalid(fmt::format("{}: only columns of int or float have one", fields.place(key)));
  return value->get<double>();
}

Result<Column> column_at(const Json& written, const std::string& place, std::string name) {
  Column column{.name = std::move(name)};
  if (written.is_string() && !column.name.empty()) {
    TRY_ASSIGN(column.type, type_named(written.get<std::string>(), place));
    return column;
  }
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(written, place, "a column"));
  if (column.name.empty()) {
    TRY_ASSIGN(column.name, fields.text("name"));
  }
  column.values = fields.find("values");
  if (column.values && (!column.values->is_array() || column.values->empty())) return fields.wrong("values", "a list that is not empty");
  if (column.values) TRY(check_value(*column.values, fields.place("values")));
  const char* key = fields.spelling("type", "dtype");
  if (fields.find(key) || !column.values) {
    TRY_ASSIGN(const auto type, fields.text(key));
    TRY_ASSIGN(column.type, type_named(type, fields.place(key)));
  }
  TRY_ASSIGN(column.least, bound(fields, "min", column.type));
  TRY_ASSIGN(column.most, bound(fields, "max", column.type));
  const double least = column.least.value_or(std::min(0.0, column.most.value_or(0)));
  if (column.most && *column.most < least) return invalid(fmt::format("{}: max is less than min", place));
  column.least = least;
  if (column.type == "int" && column.most && std::floor(*column.most) < std::ceil(least))
    return invalid(fmt::format("{}: no whole number lies between min and max", place));
  if (const Json* nulls = fields.find("nulls")) {
    column.nulls = nulls->is_number() ? nulls->get<double>() : -1;
    if (!(column.nulls >= 0 && column.nulls <= 1)) return fields.wrong("nulls", "a share from 0 to 1");
  }
  return column;
}

Json cell(const Column& column, std::uint64_t seed, std::uint64_t row) {
  // The share of nulls, spread evenly.
  const auto nulls_before = [&](std::uint64_t rows) { return std::floor(static_cast<double>(rows) * column.nulls + 1e-9); };
  if (nulls_before(row + 1) > nulls_before(row)) return nullptr;
  if (column.values) return (*column.values)[row % column.values->size()];
  const std::uint64_t random = mixed(seed + row);
  const double share = static_cast<double>(random >> 11) * 0x1p-53;
  const double least = column.least.value_or(0);
  if (column.type == "int") {
    const double from = std::ceil(least);
    const double to = std::floor(column.most.value_or(from + 100));
    return static_cast<std::int64_t>(std::min(to, std::floor(from + share * (to - from + 1))));
  }
  if (column.type == "float") {
    const double most = column.most.value_or(least + 1);
    const double value = std::round((least + share * (most - least)) * 1e4) / 1e4;
    return std::clamp(value, least, most);
  }
  if (column.type == "bool") return random % 2 == 0;
  if (column.type == "datetime") {
    const auto day = std::chrono::year_month_day(std::chrono::sys_days(std::chrono::year(2024) / 1 / 1) + std::chrono::days(row));
    return fmt::format("{:04}-{:02}-{:02}", int(day.year()), unsigned(day.month()), unsigned(day.day()));
  }
  return fmt::format("{}_{}", column.name, row + 1);
}

bool is_cell(const Json& value) { return !value.is_binary() && !value.is_discarded(); }

// As repr() of a float: the shortest text that reads back the same, always with a point or an exponent.
std::string float_text(double value) {
  if (std::isnan(value)) return "";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out.append(c == '"' ? 2 : 1, c);
  return out + '"';
}

// pandas keeps a column of numbers as floats if one is a float, or if one is missing.
bool is_float_column(const Json& column) {
  bool any_float = false, all_numbers = true;
  for (const Json& value : column) {
    any_float = any_float || value.is_number_float() || value.is_null();
    all_numbers = all_numbers && (value.is_number() || value.is_null());
  }
  return any_float && all_numbers;
}

std::string cell_text(const Json& value, bool as_float) {
  if (value.is_null()) return "";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number_float() || (as_float && value.is_number())) return float_text(value.get<double>());
  if (value.is_string()) return quoted(value.get_ref<const std::string&>());
  return quoted(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

Json default_sample() { return {{"feature1", {1, 2, 3, 4, 5}}, {"feature2", {0.1, 0.2, 0.3, 0.4, 0.5}}, {"label", {0, 1, 0, 1, 0}}}; }

Result<Json> sample_from_schema(const Json& schema, std::uint64_t rows) {
  const Json* written = &schema;
  std::string place = "schema";
  if (schema.is_object()) {
    TRY_ASSIGN(const SpecFields fields, SpecFields::of(schema, "schema", "it"));
    written = fields.find("columns");
    place = "schema.columns";
    if (!written || !written->is_structured()) return fields.wrong("columns", "an object of types by name, or a list of columns");
  }
  if (!written->is_structured())
    return invalid(fmt::format("schema: must be an object with columns, or a list of them, is {}", kind_of(schema)));
  std::vector<Column> columns;
  if (const auto* members = written->get_ptr<const Json::object_t*>()) {
    for (const auto& [name, column] : *members) {
      if (name.empty()) return invalid(place + ": a column's name must not be empty");
      TRY_ASSIGN(auto read, column_at(column, fmt::format("{}.{}", place, named(name)), name));
      columns.push_back(std::move(read));
    }
  } else {
    for (std::size_t at = 0; at < written->size(); ++at) {
      TRY_ASSIGN(auto read, column_at((*written)[at], fmt::format("{}[{}]", place, at), ""));
      columns.push_back(std::move(read));
    }
  }
  if (columns.empty()) return invalid(place + ": has no columns");
  if (rows > kMostRows) return invalid(fmt::format("a sample of {} rows is too large; at most {} are made", rows, kMostRows));
  if (rows * columns.size() > kMostCells)
    return invalid(fmt::format("a sample of {} rows and {} columns is too large", rows, columns.size()));
  std::unordered_set<std::string_view> names;
  Json::object_t sample;
  for (const Column& column : columns) {
    if (!names.insert(column.name).second) return invalid(fmt::format("{}: two columns are named '{}'", place, named(column.name)));
    Json cells = Json::array();
    const std::uint64_t seed = seed_of(column.name);
    for (std::uint64_t row = 0; row < rows; ++row) cells.push_back(cell(column, seed, row));
    sample.emplace_back(column.name, std::move(cells));
  }
  return Json(std::move(sample));
}

Result<void> check_sample(const Json& sample) {
  if (!sample.is_object()) return invalid(fmt::format("sample data must be an object of columns, is {}", kind_of(sample)));
  if (sample.empty()) return invalid("sample data has no columns");
  const auto& columns = sample.get_ref<const Json::object_t&>();
  for (const auto& [name, column] : columns) {
    if (const std::string problem = problem_of_text(name); !problem.empty())
      return invalid(fmt::format("sample data: the name of column '{}' {}", named(name), problem));
    if (!column.is_array()) return invalid(fmt::format("sample data: column '{}' must be a list, is {}", named(name), kind_of(column)));
    if (column.size() != columns.front().second.size()) {
      return invalid(fmt::format("sample data: column '{}' has {} values, '{}' has {}", named(name), column.size(),
                                 named(columns.front().first), columns.front().second.size()));
    }
    for (std::size_t at = 0; at < column.size(); ++at) {
      if (!is_cell(column[at])) return invalid(fmt::format("sample data: value {} of column '{}' is no JSON", at + 1, named(name)));
      if (column[at].is_structured() || column[at].is_string())
        TRY(check_value(column[at], fmt::format("sample data: {}[{}]", named(name), at)));
    }
  }
  return {};
}

std::string sample_csv(const Json& sample) {
  const auto& columns = sample.get_ref<const Json::object_t&>();
  const auto row_text = [&](std::string row) { return (columns.size() == 1 && row.empty() ? "\"\"" : row) + "\n"; };
  std::string csv;
  std::vector<bool> as_float;
  for (const auto& [name, column] : columns) {
    if (!as_float.empty()) csv += ',';
    csv += quoted(name);
    as_float.push_back(is_float_column(column));
  }
  csv = row_text(std::move(csv));
  const std::size_t rows = columns.empty() ? 0 : columns.front().second.size();
  for (std::size_t row = 0; row < rows; ++row) {
    std::string line;
    for (std::size_t at = 0; at < columns.size(); ++at) {
      if (at > 0) line += ',';
      line += cell_text((columns.begin() + static_cast<std::ptrdiff_t>(at))->second[row], as_float[at]);
    }
    csv += row_text(std::move(line));
  }
  return csv;
}

}  // namespace casemate::runtime
