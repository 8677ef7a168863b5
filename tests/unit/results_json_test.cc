// The results file of a plan, held against the schema in docs/.
#include "testplan/results_json.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

const std::string kHostile = "\x1b[31m\xff\n\xe2\x80\xae" + std::string(1, '\0');

// Any key that the schema does not name is a problem too, and each that it names must have been there once.
constexpr std::string_view kValidator = R"py(
import json, sys
try:
    import jsonschema
except ImportError:
    sys.exit(77)
named, seen = set(), set()
def close(schema):
    if isinstance(schema, dict):
        if "properties" in schema:
            schema["additionalProperties"] = False
            named.update(schema["properties"])
        for value in schema.values(): close(value)
    elif isinstance(schema, list):
        for value in schema: close(value)
def look(value):
    if isinstance(value, dict):
        seen.update(value)
        for member in value.values(): look(member)
    elif isinstance(value, list):
        for element in value: look(element)
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
close(schema)
for path in sys.argv[2:]:
    results = json.load(open(path, encoding="utf-8"))
    look(results)
    for error in jsonschema.Draft202012Validator(schema).iter_errors(results): sys.exit("%s: %s: %s" % (path, list(error.absolute_path), error.message[:300]))
sys.exit("never seen: %s" % (named - seen) if named - seen else 0)
)py";

StepResult full_step(const std::string& text) {
  StepResult result{.status = PlanStatus::failed, .reason = text, .outcome = Outcome{Outcome::Kind::exited, 3, "", ""}};
  result.resources.wall = std::chrono::microseconds(1500);
  result.resources.peak_memory_bytes = 1'000'000;
  result.out = text;
  result.err = text;
  result.changes = {
      {.kind = Change::Kind::created, .type = Change::Type::file, .path = text, .size = 3, .mode = 0644, .digest = "sha256:00"},
      {.kind = Change::Kind::modified, .type = Change::Type::symlink, .path = "link", .mode = 0777, .link_target = text},
      {.kind = Change::Kind::created, .type = Change::Type::skipped, .path = "fifo", .reason = text},
      {.kind = Change::Kind::deleted, .type = Change::Type::directory, .path = "gone"}};
  result.services = {{5, text}};
  result.values = {{"V", text}};
  result.environment = {{"E", text}};
  result.attempts = 2;
  return result;
}

TestPlan plan_with(const std::string& text) {
  TestPlan plan{.id = "plan", .tool = text, .description = text, .version = "1"};
  plan.setup = {{.id = "setup-1", .type = PlanStep::Type::setup, .command = text}};
  plan.teardown = {{.id = "teardown-1", .type = PlanStep::Type::teardown, .command = text}};
  plan.cases = {{.id = text,
                 .name = text,
                 .tags = {text},
                 .steps = {{.id = "a", .type = PlanStep::Type::setup, .command = text},
                           {.id = "b", .command = text},
                           {.id = "c", .type = PlanStep::Type::assertion}},
                 .main = 1},
                {.id = "d", .steps = {{.id = "e", .type = PlanStep::Type::verification}}}};
  plan.notes = {text};
  return plan;
}

PlanResult result_with(const std::string& text) {
  PlanResult result{.run = "7", .started_ms = 1'700'000'000'123, .took = std::chrono::milliseconds(2500)};
  result.executor = "native";
  result.image = "python3.11";
  result.image_digest = "sha256:11";
  result.problem = text;
  result.setup = result.teardown = {full_step(text)};
  result.cases = {{.status = PlanStatus::failed,
                   .reason = text,
                   .steps = {full_step(text), full_step(text), {}},
                   .took = std::chrono::microseconds(1500),
                   .difference = text}};
  return result;
}

Json results(const TestPlan& plan, const PlanResult& result) { return results_json(plan, result, *Normaliser::create()); }

TEST(ResultsJson, says_what_came_of_each_case) {
  const Json all = results(plan_with("x at 09:31:04"), result_with("x at 09:31:04"));
  EXPECT_EQ(all["started_at"], "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(all["finished_at"], "2023-11-14T22:13:22.623Z");
  EXPECT_EQ(all["totals"].dump(), R"({"total":1,"passed":0,"failed":1,"error":0,"skipped":0,"not_run":0,"duration_ms":2500.0})");
  const Json& one = all["cases"][0];
  EXPECT_EQ(one["status"], "failed");
  EXPECT_EQ(one["return_code"], 3);
  EXPECT_EQ(one["duration_ms"], 1.5);
  EXPECT_EQ(one["stdout"], "x at 09:31:04");
  EXPECT_EQ(one["stdout_normalised"], "x at <timestamp>");
  EXPECT_FALSE(one.contains("stdout_base64"));
  EXPECT_EQ(one["steps"].size(), 2u);
  EXPECT_EQ(one["steps"][1]["command"], nullptr);
  EXPECT_EQ(one["steps"][1]["return_code"], nullptr);
  // A case that nobody came to is there all the same.
  EXPECT_EQ(all["cases"][1]["status"], "not_run");
  EXPECT_EQ(all["cases"][1]["resources"], nullptr);
}

TEST(ResultsJson, bytes_are_kept) {
  const Json all = results(plan_with(kHostile), result_with(kHostile));
  EXPECT_EQ(all["cases"][0]["stdout"], "\x1b[31m\xef\xbf\xbd\n\xe2\x80\xae" + std::string(1, '\0'));
  EXPECT_EQ(all["cases"][0]["stdout_base64"], "G1szMW3/CuKArgA=");
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("a"), "YQ==");
  EXPECT_EQ(base64("ab"), "YWI=");
  EXPECT_EQ(base64("abc"), "YWJj");
  EXPECT_FALSE(Json::parse(results_text(all), nullptr, false).is_discarded());
}

TEST(ResultsJson, times_that_no_calendar_has) {
  PlanResult result;
  for (const std::int64_t when : {std::int64_t{0}, std::int64_t{-1}, INT64_MAX}) {
    result.started_ms = when;
    EXPECT_EQ(results({}, result)["started_at"], nullptr) << when;
  }
}

TEST(ResultsJson, is_what_the_schema_says) {
  const std::string python = CASEMATE_BINARY_DIR "/venv/bin/python";
  if (!fs::exists(python)) GTEST_SKIP() << "no " << python << " (./dev test makes it)";
  std::string directory = testing::TempDir() + "casemate-results-json-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  std::ofstream(directory + "/validate.py") << kValidator;
  std::ofstream(directory + "/full.json") << results_text(results(plan_with("plain"), result_with("plain")));
  std::ofstream(directory + "/hostile.json") << results_text(results(plan_with(kHostile), result_with(kHostile)));
  std::ofstream(directory + "/empty.json") << results_text(results({}, {}));
  const int status = std::system(
      fmt::format("cd {0} && {1} -W ignore validate.py {2}/docs/schema/plan-results.schema.json full.json hostile.json empty.json 2>out",
                  directory, python, CASEMATE_SOURCE_DIR)
          .c_str());
  const std::string said = read_file(directory + "/out").value_or("");
  fs::remove_all(directory);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no jsonschema in " << python;
  EXPECT_EQ(status, 0) << said;
}

}  // namespace
}  // namespace casemate
