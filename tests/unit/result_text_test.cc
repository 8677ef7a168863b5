// The runtime tester's results as people read them: the documented texts to the byte, and hostile messages made safe.
#include <gtest/gtest.h>

#include "runtime/tester.h"

namespace casemate::runtime {
namespace {

TEST(ResultText, a_script_that_passed) {
  EXPECT_EQ(script_text({.script_name = "tabular_preprocessing", .success = true, .execution_time = 2.345, .has_main_function = true}),
            "Script Test Results:\n"
            "==================\n"
            "Script: tabular_preprocessing\n"
            "Status: \xe2\x9c\x85 PASS\n"
            "Execution Time: 2.345s\n"
            "Has Main Function: Yes");
}

TEST(ResultText, a_script_that_failed_says_why_and_drives_no_terminal) {
  EXPECT_EQ(script_text({.script_name = "x\x1b[2J\n", .error_message = "größe \x1b]0;t\x07 \xff\nline two\n\n"}),
            "Script Test Results:\n"
            "==================\n"
            "Script: x\\x1b[2J\\n\n"
            "Status: \xe2\x9d\x8c FAIL\n"
            "Execution Time: 0.000s\n"
            "Has Main Function: No\n"
            "Error: größe \\x1b]0;t\\x07 \\xff\n"
            "  line two");
}

TEST(ResultText, on_a_terminal_the_word_of_how_it_came_out_has_a_colour) {
  EXPECT_NE(script_text({.script_name = "a", .success = true}, true).find("\nStatus: \xe2\x9c\x85 \x1b[32mPASS\x1b[0m\n"),
            std::string::npos);
  EXPECT_NE(compatibility_text({}, true).find("\nStatus: \xe2\x9d\x8c \x1b[31mINCOMPATIBLE\x1b[0m\n"), std::string::npos);
  EXPECT_NE(pipeline_text({}, true).find("\nPipeline Status: \xe2\x9d\x8c \x1b[31mFAIL\x1b[0m\n"), std::string::npos);
}

TEST(ResultText, scripts_that_are_compatible) {
  EXPECT_EQ(compatibility_text({.script_a = "tabular_preprocessing",
                                .script_b = "xgboost_training",
                                .compatible = true,
                                .data_format_a = "CSV",
                                .data_format_b = "CSV"}),
            "Data Compatibility Test Results:\n"
            "Script A: tabular_preprocessing\n"
            "Script B: xgboost_training\n"
            "Status: \xe2\x9c\x85 COMPATIBLE\n"
            "Data Format A: CSV\n"
            "Data Format B: CSV\n"
            "Issues: None");
}

TEST(ResultText, scripts_that_are_not) {
  EXPECT_EQ(compatibility_text({.script_a = "a",
                                .script_b = "b",
                                .compatibility_issues = {"Script A did not produce output data", "column `label` is missing"}}),
            "Data Compatibility Test Results:\n"
            "Script A: a\n"
            "Script B: b\n"
            "Status: \xe2\x9d\x8c INCOMPATIBLE\n"
            "Data Format A: Unknown\n"
            "Data Format B: Unknown\n"
            "Issues:\n"
            "  - Script A did not produce output data\n"
            "  - column `label` is missing");
}

TEST(ResultText, a_pipeline) {
  PipelineResult result{.pipeline_success = true};
  const ScriptTestResult passed{.success = true};
  const DataCompatibilityResult fits{.compatible = true};
  result.script_results = {{"a", passed}, {"b", passed}, {"c", passed}};
  result.data_flow_results = {{"a->b", fits}, {"b->c", fits}};
  EXPECT_EQ(pipeline_text(result),
            "Pipeline Flow Test Results:\n"
            "Pipeline Status: \xe2\x9c\x85 PASS\n"
            "Total Scripts: 3\n"
            "Successful Scripts: 3/3\n"
            "Total Data Flows: 2\n"
            "Successful Data Flows: 2/2\n"
            "Errors: None");
  result.pipeline_success = false;
  result.script_results[1].second.success = false;
  result.data_flow_results[1].second.compatible = false;
  result.errors = {"step 'b' failed:\n\x1b[31mboom"};
  EXPECT_EQ(pipeline_text(result),
            "Pipeline Flow Test Results:\n"
            "Pipeline Status: \xe2\x9d\x8c FAIL\n"
            "Total Scripts: 3\n"
            "Successful Scripts: 2/3\n"
            "Total Data Flows: 2\n"
            "Successful Data Flows: 1/2\n"
            "Errors:\n"
            "  - step 'b' failed:\n"
            "    \\x1b[31mboom");
}

TEST(ResultText, an_explanation_shows_both_schemas) {
  DataCompatibilityResult result{.script_a = "a", .script_b = "b"};
  EXPECT_EQ(explanation(result), "a -> b\n\nNo data was looked at.");
  result.data_a = {{.name = "out", .format = "CSV", .files = 1, .bytes = 10, .rows = 2, .columns = {{"x", "str", "object"}}}};
  result.data_b = {{.name = "in", .format = "CSV", .files = 1, .bytes = 12, .rows = 2, .columns = {{"x", "int", "int64"}}}};
  EXPECT_EQ(explanation(result),
            "a -> b\n\n"
            "given: out, wanted: in\n"
            "        given         wanted\n"
            "format  CSV           CSV\n"
            "size    10 B          12 B\n"
            "rows    2             2\n"
            "  x     str (object)  int (int64)\n"
            "Differences:\n"
            "  - `x` is str, was int");
}

}  // namespace
}  // namespace casemate::runtime
