// data_report: what a file or directory of data holds, as python/inspect.py tells it from inside a cell, and what differs between two.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "casemate/result.h"

namespace casemate::runtime {

/// A column of a table.
struct DataColumn {
  std::string name;
  /// In words that are the same whatever read it: "int", "float", "str", "bool", "datetime", "bytes", "list", "mixed" (several of them),
  /// "null" (nothing but nulls), "other".
  std::string type;
  std::string dtype;        ///< as pandas or pyarrow names it: "int64", "string"
  std::uint64_t nulls = 0;  ///< of a text file's first 2,000,000 cells
  bool operator==(const DataColumn&) const = default;
};

/// One file, or a directory of files that are one table (parts). All texts come out of a cell: UTF-8, hostile.
struct DataReport {
  std::string name;  ///< logical: "data_output"
  std::string path;  ///< as the caller named it
  /// In capitals, by content: CSV, TSV, PARQUET, JSON, JSONL, PICKLE, FEATHER, NPY, NPZ, EXCEL, TAR, TEXT, BINARY, EMPTY, DIRECTORY,
  /// MISSING.
  std::string format;
  std::string compression;  ///< "gzip", "" for none
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::optional<std::uint64_t> rows;
  std::vector<DataColumn> columns;  ///< of a table, at most 10,000
  std::string encoding;             ///< of text: "utf-8", "latin-1"; "" if it is none
  std::string problem;              ///< why there is no more to say: "pandas could not read it: ..."
  std::vector<DataReport> members;  ///< of a directory that is no table: its files, at most 100
};

/// Reads what inspect.py said; hostile, bounded. corrupt: it makes no sense.
Result<DataReport> data_report_from(const nlohmann::json& told);
[[nodiscard]] nlohmann::ordered_json to_json(const DataReport& report);

/// What of `given` is not as `wanted` was, a line each, worst first: "the format is JSON, was CSV", "column `label` is missing", "`amount`
/// is str, was float", "there are no rows", "`age` has 3 nulls, had none". Extra columns, other row counts and int for float are no issue.
/// At most 50; printable.
[[nodiscard]] std::vector<std::string> differences(const DataReport& given, const DataReport& wanted);

/// Both side by side for a person, a line a column, of at most 200; printable, with a newline after each line.
[[nodiscard]] std::string side_by_side(const DataReport& given, const DataReport& wanted);

}  // namespace casemate::runtime
