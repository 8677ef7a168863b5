// Tables for scripts that nobody gave any data.
#include "runtime/sample_data.h"

#include <set>

#include <gtest/gtest.h>

namespace casemate::runtime {
namespace {

std::string wrong(const Result<void>& result) { return result ? "" : result.error().what; }
std::string wrong_schema(const char* schema, std::uint64_t rows = 5) {
  const auto sample = sample_from_schema(Json::parse(schema), rows);
  return sample ? "" : sample.error().what;
}

TEST(SampleData, the_default_is_the_documented_one) {
  EXPECT_EQ(default_sample().dump(), R"({"feature1":[1,2,3,4,5],"feature2":[0.1,0.2,0.3,0.4,0.5],"label":[0,1,0,1,0]})");
  EXPECT_TRUE(check_sample(default_sample()));
  EXPECT_EQ(sample_csv(default_sample()), "feature1,feature2,label\n1,0.1,0\n2,0.2,1\n3,0.3,0\n4,0.4,1\n5,0.5,0\n");
}

TEST(SampleData, csv_is_as_pandas_writes_it) {
  const Json sample = Json::parse(
      R"({"i":[1,null,3],"f":[1,2.5,1e20],"s":["a,\"b\"",null,"x\ny"],"b":[true,null,false],"m":[1,"x",null],"l":[[1,2],{},null]})");
  ASSERT_TRUE(check_sample(sample));
  EXPECT_EQ(sample_csv(sample), "i,f,s,b,m,l\n1.0,1.0,\"a,\"\"b\"\"\",True,1,\"[1,2]\"\n,2.5,,,x,{}\n3.0,1e+20,\"x\ny\",False,,\n");
  EXPECT_EQ(sample_csv(Json::parse(R"({"a":["",null,"x"]})")), "a\n\"\"\n\"\"\nx\n");
  EXPECT_EQ(sample_csv(Json::parse(R"({"a,b":[],"c":[]})")), "\"a,b\",c\n");
}

TEST(SampleData, what_is_no_table_is_refused) {
  EXPECT_EQ(wrong(check_sample(Json::array())), "sample data must be an object of columns, is a list");
  EXPECT_EQ(wrong(check_sample(Json::object())), "sample data has no columns");
  EXPECT_EQ(wrong(check_sample(Json::parse(R"({"a":[1],"b":2})"))), "sample data: column 'b' must be a list, is a number");
  EXPECT_EQ(wrong(check_sample(Json::parse(R"({"a":[1],"b":[1,2]})"))), "sample data: column 'b' has 2 values, 'a' has 1");
  EXPECT_EQ(wrong(check_sample(Json{{"a", {"\xff", "x", "y"}}, {"b", {1, 2, 3}}})), "sample data: a[0]: must be UTF-8");
}

TEST(SampleData, a_schema_makes_the_same_table_each_time) {
  const Json schema = Json::parse(
      R"({"columns":{"id":"int","rate":{"type":"float","min":-1,"max":1},"name":"str","ok":"bool","day":"datetime64[ns]","class":{"values":["a","b"]},
    "n":{"type":"Int64","min":10,"max":10,"nulls":0.5}}})");
  const auto sample = sample_from_schema(schema, 100);
  ASSERT_TRUE(sample) << sample.error().what;
  EXPECT_EQ(*sample, sample_from_schema(schema, 100).value());
  ASSERT_TRUE(check_sample(*sample));
  for (int row = 0; row < 100; ++row) {
    EXPECT_TRUE((*sample)["id"][row].is_number_integer());
    EXPECT_GE((*sample)["rate"][row].get<double>(), -1);
    EXPECT_LE((*sample)["rate"][row].get<double>(), 1);
    EXPECT_TRUE((*sample)["ok"][row].is_boolean());
    EXPECT_EQ((*sample)["class"][row], row % 2 == 0 ? "a" : "b");
    EXPECT_EQ((*sample)["n"][row], row % 2 == 0 ? Json(10) : Json(nullptr));
  }
  EXPECT_EQ((*sample)["name"][9], "name_10");
  EXPECT_EQ((*sample)["day"][31], "2024-02-01");
  std::set<std::int64_t> ids;
  for (const Json& id : (*sample)["id"]) ids.insert(id.get<std::int64_t>());
  EXPECT_GT(ids.size(), 20u);
  EXPECT_EQ(sample_from_schema(Json::parse(R"([{"name":"b","type":"int"},{"name":"a","dtype":"str"}])"), 1)->begin().key(), "b");
}

TEST(SampleData, a_schema_that_is_wrong_names_the_column) {
  EXPECT_EQ(wrong_schema("7"), "schema: must be an object with columns, or a list of them, is a number");
  EXPECT_EQ(wrong_schema("{}"), "schema.columns: must be an object of types by name, or a list of columns, is missing");
  EXPECT_EQ(wrong_schema("[]"), "schema: has no columns");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":"flaot"}})"), "schema.columns.a: 'flaot' is no type, did you mean 'float'?");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":7}})"), "schema.columns.a: a column must be an object, is a number");
  EXPECT_EQ(wrong_schema(R"([{"type":"int"}])"), "schema[0].name: must be a text that is not empty, is missing");
  EXPECT_EQ(wrong_schema(R"([{"name":"a","type":"int"},{"name":"a","type":"int"}])"), "schema: two columns are named 'a'");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":{"type":"int","min":2,"max":1}}})"), "schema.columns.a: max is less than min");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":{"type":"int","min":0.2,"max":0.8}}})"),
            "schema.columns.a: no whole number lies between min and max");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":{"type":"str","min":2}}})"), "schema.columns.a.min: only columns of int or float have one");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":{"values":[]}}})"), "schema.columns.a.values: must be a list that is not empty, is a list");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":{"type":"int","nulls":3}}})"),
            "schema.columns.a.nulls: must be a share from 0 to 1, is a number");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":"int"}})", 1'000'001), "a sample of 1000001 rows is too large; at most 1000000 are made");
  EXPECT_EQ(wrong_schema(R"({"columns":{"a":"int"}})", 0), "");
}

}  // namespace
}  // namespace casemate::runtime
