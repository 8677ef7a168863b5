// What a cell told of data, read without trust; what differs between two; and results as people read them.
#include "runtime/data_report.h"

#include <gtest/gtest.h>

namespace casemate::runtime {
namespace {

using Told = nlohmann::json;
using Lines = std::vector<std::string>;

DataReport table(std::vector<DataColumn> columns, std::optional<std::uint64_t> rows = 5) {
  return {.name = "d", .format = "CSV", .files = 1, .bytes = 100, .rows = rows, .columns = std::move(columns)};
}

std::string wrong(const Told& told) {
  const auto report = data_report_from(told);
  EXPECT_FALSE(report) << told;
  if (report) return "";
  EXPECT_EQ(report.error().code, ErrorCode::corrupt);
  return report.error().what.substr(report.error().what.find(": ") + 2);
}

TEST(DataReport, what_was_told_is_read) {
  const auto told = Told::parse(
      R"({"name":"n","path":"p","format":"DIRECTORY","compression":"","files":2,"bytes":7,"rows":null,"columns":[],"encoding":"","problem":"",
    "members":[{"name":"m","path":"q","format":"CSV","compression":"gzip","files":1,"bytes":7,"rows":3,
                "columns":[{"name":"a","type":"int","dtype":"int64","nulls":1}],"encoding":"utf-8","problem":"x","members":[]}]})");
  const auto report = data_report_from(told);
  ASSERT_TRUE(report) << report.error().what;
  EXPECT_EQ(Told(to_json(*report)), told);
  EXPECT_EQ(report->members[0].columns[0], (DataColumn{"a", "int", "int64", 1}));
}

TEST(DataReport, what_makes_no_sense_is_refused) {
  EXPECT_EQ(wrong(Told::array()), "it is no object");
  EXPECT_EQ(wrong(Told::object()), "its format is none that we know");
  EXPECT_EQ(wrong({{"format", "csv\x1b"}}), "its format is none that we know");
  EXPECT_EQ(wrong({{"format", "CSV"}, {"columns", {{{"name", "a"}, {"type", "i32"}}}}}), "a column's type is none that we know");
  EXPECT_EQ(wrong({{"format", "CSV"}, {"columns", {1}}}), "a column's type is none that we know");
  EXPECT_EQ(wrong({{"format", "CSV"}, {"columns", Told::array_t(10'001, Told{{"name", "a"}, {"type", "int"}})}}),
            "it has too many columns");
  const Told member = {{"format", "CSV"}, {"name", "m"}};
  EXPECT_EQ(wrong({{"format", "DIRECTORY"}, {"members", Told::array_t(101, member)}}), "it has too many members");
  EXPECT_EQ(wrong({{"format", "DIRECTORY"}, {"members", {{{"format", "DIRECTORY"}, {"members", {member}}}}}}), "a member has members");
}

TEST(DataReport, members_of_another_type_are_as_missing_and_texts_are_cut) {
  const auto report = data_report_from({{"format", "CSV"},
                                        {"rows", -1},
                                        {"bytes", "7"},
                                        {"name", 7},
                                        {"problem", std::string(4095, 'x') + "\xc3\xa4"},
                                        {"columns", {{{"name", std::string(2000, 'n')}, {"type", "int"}, {"nulls", 1.5}}}}});
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->rows);
  EXPECT_EQ(report->bytes, 0u);
  EXPECT_EQ(report->problem, std::string(4095, 'x') + "\xef\xbf\xbd");
  EXPECT_EQ(report->columns[0].name.size(), 1000u);
  EXPECT_EQ(report->columns[0].nulls, 0u);
}

TEST(DataReport, differences_are_named_worst_first) {
  const DataReport wanted = table({{"label", "int"}, {"amount", "float"}, {"age", "int"}, {"day", "datetime"}});
  DataReport given =
      table({{"age", "int", "int64", 3}, {"amount", "str"}, {"day", "null", "object", 5}, {"labels", "int"}, {"extra", "str"}}, 0);
  given.format = "JSON";
  EXPECT_EQ(differences(given, wanted),
            (Lines{"the format is JSON, was CSV", "column `label` is missing (there is `labels`)", "`amount` is str, was float",
                   "`day` has nothing but nulls, was datetime", "there are no rows", "`age` has 3 nulls, had none"}));
  EXPECT_EQ(differences(wanted, wanted), Lines{});
}

TEST(DataReport, what_does_no_harm_is_no_difference) {
  EXPECT_EQ(differences(table({{"a", "int"}, {"b", "str"}, {"c", "int"}}, 7), table({{"c", "int"}, {"a", "float"}, {"b", "mixed"}})),
            Lines{});
  EXPECT_EQ(differences(table({{"a", "int", "", 3}}), table({{"a", "int", "", 1}})), Lines{});
  EXPECT_EQ(differences(table({}, 0), table({}, 0)), Lines{});
  EXPECT_EQ(differences(table({{"a", "int"}}), {.format = "MISSING"}), Lines{});
  EXPECT_EQ(differences(table({{"a", "float"}}), table({{"a", "int"}})), Lines{"`a` is float, was int"});
}

TEST(DataReport, data_that_is_not_there_is_one_line) {
  const DataReport wanted = table({{"a", "int"}});
  EXPECT_EQ(differences({.format = "MISSING"}, wanted), Lines{"there is no data"});
  EXPECT_EQ(differences({.format = "EMPTY"}, wanted), Lines{"it is empty"});
  EXPECT_EQ(differences({.format = "PARQUET", .problem = "pyarrow is not there"}, wanted),
            (Lines{"pyarrow is not there", "the format is PARQUET, was CSV"}));
}

TEST(DataReport, members_are_compared_by_name) {
  DataReport wanted{.format = "DIRECTORY"};
  wanted.members = {table({{"a", "int"}}), table({{"b", "int"}})};
  wanted.members[0].name = "x.csv";
  wanted.members[1].name = "y.csv";
  DataReport given = wanted;
  given.members[0].columns[0].type = "str";
  given.members.pop_back();
  EXPECT_EQ(differences(given, wanted), (Lines{"file `y.csv` is missing", "x.csv: `a` is str, was int"}));
}

TEST(DataReport, lines_are_bounded_and_printable) {
  std::vector<DataColumn> many;
  for (int at = 0; at < 10'000; ++at) many.push_back({"column-" + std::to_string(at), "int"});
  const Lines lines = differences(table({{"\x1b[2J\n", "int"}}), table(many));
  ASSERT_EQ(lines.size(), 50u);
  EXPECT_EQ(lines.back(), "and 9951 more");
  EXPECT_EQ(differences(table({{"a", "int"}}), table({{"\x1b[2J\n", "int"}})), Lines{"column `\\x1b[2J\\n` is missing"});
  EXPECT_NE(side_by_side(table({}), table(many)).find("  and 9800 columns more\n"), std::string::npos);
}

TEST(DataReport, two_are_shown_side_by_side) {
  DataReport given = table({{"größe", "int", "int64"}, {"new\x1b", "str", "object", 1}}, 7);
  given.encoding = "utf-8";
  EXPECT_EQ(side_by_side(given, table({{"größe", "float", "float64"}, {"label", "int"}})),
            "           given                 wanted\n"
            "format     CSV                   CSV\n"
            "size       100 B                 100 B\n"
            "rows       7                     5\n"
            "encoding   utf-8                 -\n"
            "  größe    int (int64)           float (float64)\n"
            "  label    -                     int\n"
            "  new\\x1b  str (object), 1 null  -\n");
}

}  // namespace
}  // namespace casemate::runtime
