// Specs on disk: written whole, read back the same, and what is wrong with a file told with its place.
#include "runtime/spec_file.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "runtime/json_text.h"
#include "sys/fd.h"

namespace casemate::runtime {
namespace {

namespace fs = std::filesystem;

class SpecFile : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-spec-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string spill(const std::string& name, std::string_view bytes) const {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  std::string directory_;
};

template <class T>
std::string error(const Result<T>& result) {
  EXPECT_FALSE(result);
  return result ? "" : result.error().what;
}

std::string json_error(std::string_view text) { return error(json_from(text, "f")); }

TEST_F(SpecFile, a_spec_comes_back_as_it_was_saved) {
  ScriptExecutionSpec spec{.script_name = "x",
                           .step_name = "s",
                           .input_paths = {{"i", "ü"}},
                           .job_args = Json::parse(R"({"n":1.5,"big":18446744073709551615})")};
  const auto path = save(spec, directory_ + "/new/specs/");
  ASSERT_TRUE(path) << path.error().what;
  EXPECT_EQ(*path, directory_ + "/new/specs/x_runtime_test_spec.json");
  ASSERT_TRUE(spec.last_updated);
  EXPECT_EQ(spec.last_updated->size(), std::string("2026-11-22T06:02:12+00:00").size());
  EXPECT_EQ(load_script_spec("x", directory_ + "/new/specs"), spec);
  EXPECT_TRUE(read_file(*path)->starts_with("{\n  \"script_name\": \"x\",\n"));
  EXPECT_EQ(saved_script_specs(directory_ + "/new/specs"), std::vector<std::string>{"x"});
}

TEST_F(SpecFile, a_pipeline_comes_back_as_it_was_saved) {
  PipelineTestingSpec spec{.pipeline_name = "p",
                           .script_specs = {{.script_name = "a"}, {.script_name = "b"}},
                           .data_flow_specs = {{.from_step = "a", .to_step = "b"}}};
  const auto path = save(spec, directory_);
  ASSERT_TRUE(path) << path.error().what;
  EXPECT_EQ(*path, directory_ + "/p_pipeline_test_spec.json");
  EXPECT_EQ(load_pipeline_spec("p", directory_), spec);
}

TEST_F(SpecFile, a_missing_one_is_named) {
  const auto missing = load_script_spec("x", "none");
  EXPECT_EQ(error(missing), "ScriptExecutionSpec file not found: none/x_runtime_test_spec.json");
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_EQ(error(load_pipeline_spec("p", "none/")), "PipelineTestingSpec file not found: none/p_pipeline_test_spec.json");
  EXPECT_EQ(saved_script_specs("none"), std::vector<std::string>{});
}

TEST_F(SpecFile, names_that_lead_elsewhere_are_refused) {
  for (const std::string& name : {std::string(""), std::string("../x"), std::string("a\0b", 3), std::string(250, 'x')}) {
    EXPECT_FALSE(script_spec_path(name, "d")) << name;
    ScriptExecutionSpec spec{.script_name = name};
    EXPECT_FALSE(save(spec, directory_));
    EXPECT_FALSE(spec.last_updated);
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(SpecFile, what_could_not_be_read_back_is_not_written) {
  ScriptExecutionSpec spec{.script_name = "x", .input_paths = {{"i", "\xff"}}};
  EXPECT_TRUE(error(save(spec, directory_)).ends_with("each text must be UTF-8"));
  spec.input_paths.clear();
  spec.job_args = {{"rate", std::nan("")}, {"n", 1}};
  EXPECT_TRUE(error(save(spec, directory_)).ends_with("job_args.rate: must be a finite number, is NaN, which JSON can't hold"));
  EXPECT_EQ(entries(), 0u);
}

TEST_F(SpecFile, a_file_that_is_there_stays_if_a_new_one_can_not_be_written) {
  ScriptExecutionSpec spec{.script_name = "x", .step_name = "first"};
  ASSERT_TRUE(save(spec, directory_));
  ScriptExecutionSpec worse{.script_name = "x", .job_args = {{"a", "\xff"}, {"b", 1}}};
  EXPECT_FALSE(save(worse, directory_));
  EXPECT_EQ(load_script_spec("x", directory_), spec);
  spill("file", "");
  EXPECT_NE(error(save(spec, directory_ + "/file")).find("can't write " + directory_ + "/file/"), std::string::npos);
  EXPECT_EQ(entries(), 2u);
}

TEST_F(SpecFile, what_is_wrong_in_a_file_is_told_with_its_place) {
  const std::string path = spill("x_runtime_test_spec.json", "{\n  \"script_name\": \"x\",\n  \"job_args\": {\"rate\": NaN}\n}\n");
  EXPECT_EQ(error(load_script_spec("x", directory_)), path + ":3:24: NaN is no JSON: write null, or a text");
  spill("x_runtime_test_spec.json", R"({"script_name": "x", "job_args": []})");
  EXPECT_EQ(error(load_script_spec("x", directory_)), path + ": job_args: must be an object, is a list");
  spill("x_runtime_test_spec.json", "");
  EXPECT_EQ(error(load_script_spec("x", directory_)), path + ": is empty");
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_EQ(error(load_script_spec("x", directory_)), path + " is not a regular file");
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(error(load_script_spec("x", directory_)), path + " is not a regular file");
  EXPECT_EQ(saved_script_specs(directory_), std::vector<std::string>{});
}

TEST_F(SpecFile, only_specs_are_listed_sorted) {
  for (const char* name :
       {"b_runtime_test_spec.json", "a_runtime_test_spec.json", "_runtime_test_spec.json", "c.json", "p_pipeline_test_spec.json"})
    spill(name, "{}");
  EXPECT_EQ(saved_script_specs(directory_), (std::vector<std::string>{"a", "b"}));
}

TEST(JsonText, places_are_lines_and_columns) {
  EXPECT_EQ(json_error("{\"a\": 1,\n \"b\": 2,\n}"), "f:3:1: is no JSON: unexpected '}'; expected string literal");
  EXPECT_EQ(json_error("{'a': 1}"), "f:1:2: is no JSON: invalid literal; expected string literal");
  EXPECT_EQ(json_error("[1, -Infinity]"), "f:1:6: -Infinity is no JSON: write null, or a text");
  EXPECT_EQ(json_error("[Infinity]"), "f:1:2: Infinity is no JSON: write null, or a text");
  EXPECT_EQ(json_error("{\"a\": 1,\n \"a\": 2}"), "f:2:4: the key 'a' is there twice in one object");
  EXPECT_EQ(json_error("[1, 18446744073709551616 ]"), "f:1:25: 18446744073709551616 does not fit in 64 bits");
  EXPECT_TRUE(json_error("[1e999]").starts_with("f:1:6: is no JSON: number overflow parsing")) << json_error("[1e999]");
  EXPECT_TRUE(json_error("[\"\xff\"]").starts_with("f:1:3: is no JSON: invalid string: ill-formed UTF-8 byte")) << json_error("[\"\xff\"]");
  EXPECT_TRUE(json_error("[1").starts_with("f:1:")) << json_error("[1");
  EXPECT_EQ(json_error(" \n"), "f: is empty");
  EXPECT_EQ(json_error(std::string(100, '[')), "f:1:65: nested more than 64 deep");
  EXPECT_TRUE(json_error("\"\\ud800\"").starts_with("f:1:")) << json_error("\"\\ud800\"");
}

TEST(JsonText, a_document_keeps_its_order_and_numbers) {
  const std::string text = R"({"z":1,"a":[null,true,-5,18446744073709551615,0.1,1.0,"ü"],"m":{"y":{},"b":[]}})";
  const auto json = json_from("\xef\xbb\xbf" + text, "f");
  ASSERT_TRUE(json) << json.error().what;
  EXPECT_EQ(json->dump(), text);
  EXPECT_EQ(json_from("7", "f")->dump(), "7");
}

// The library's own reader would compare 45 thousand million names here.
TEST(JsonText, many_keys_take_linear_time) {
  std::string text = "{";
  for (int at = 0; at < 300'000; ++at) text += (at == 0 ? "\"k" : ",\"k") + std::to_string(at) + "\":0";
  const auto json = json_from(text + "}", "f");
  ASSERT_TRUE(json) << json.error().what;
  EXPECT_EQ(json->size(), 300'000u);
  std::string more = "[0";
  for (int at = 0; at < 5'000'000; ++at) more += ",0";
  EXPECT_TRUE(json_error(more + "]").ends_with("more than 5000000 values"));
}

}  // namespace
}  // namespace casemate::runtime
