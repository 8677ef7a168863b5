// JsonLinesReport with events made by hand; its output held against the schema in docs/.
#include "report/json_lines.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "hand_made_run.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

// Reads the schema and a file of events; any object with a key that the schema does not name is a problem too.
constexpr std::string_view kValidator = R"py(
import json, sys
try:
    import jsonschema
except ImportError:
    sys.exit(77)
def close(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema: schema["additionalProperties"] = False
        for value in schema.values(): close(value)
    elif isinstance(schema, list):
        for value in schema: close(value)
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
close(schema)
validator = jsonschema.Draft202012Validator(schema)
seen = set()
for line in open(sys.argv[2], encoding="utf-8"):
    event = json.loads(line)
    seen.add(event["event"])
    # Against its own definition: an error of "oneOf" would not say which key is wrong.
    own = jsonschema.Draft202012Validator({**schema["$defs"][event["event"]], "$defs": schema["$defs"]})
    for error in own.iter_errors(event): sys.exit("%s: %s" % (list(error.absolute_path), error.message[:300]))
    validator.validate(event)
missing = {name["$ref"].rsplit("/")[-1] for name in schema["oneOf"]} - seen
sys.exit("no event of kind %s" % missing if missing else 0)
)py";

class JsonLinesFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "casemate-json-lines-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }
  [[nodiscard]] std::vector<Json> events_of(const std::string& path) const {
    std::vector<Json> events;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) events.push_back(Json::parse(line));
    return events;
  }
  std::string directory_;
};

TestResult full_result() {
  TestResult result = failed("tests/test_a.py::TestB::test_c[1]");
  result.test.markers = {"slow", "parametrize"};
  result.reports[1].xfail = "";
  result.reports[1].subtest = "[msg]";
  result.warnings = {{"DeprecationWarning", "old", "/x.py", 3}};
  result.properties = {{"key", "value"}};
  result.leftovers = {{4, "sleep"}};
  result.notes = {"a note"};
  result.resources.peak_memory_bytes = 1'000'000;
  result.container = "host";
  return result;
}

TestResult hostile_result() {
  TestResult result = failed(kHostileId);
  result.reason = kHostileText;
  result.test.markers = {kHostileText};
  result.reports[1].text = kHostileText;
  result.reports[1].sections = {{kHostileText, kHostileText}};
  result.properties = {{kHostileText, kHostileText}};
  result.warnings = {{kHostileText, kHostileText, kHostileText, 1}};
  result.leftovers = {{1, kHostileText}};
  result.output.out = kHostileText;
  result.outcome = {Outcome::Kind::setup_failed, 13, kHostileText, kHostileText};
  return result;
}

void give_everything(Sink& sink) {
  sink.run_started(run_start());
  sink.progress("pulling", false);
  sink.progress("pulled", true);
  Collected found = collected(2);
  found.problems = {with_verdict("tests/test_bad.py", Verdict::error, "ImportError")};
  sink.collected(found);
  for (const TestResult& result : {full_result(), hostile_result(), ended("a.py::crash", Outcome::Kind::signaled, 11)}) {
    sink.test_started({&result.test, 1, 1, std::chrono::microseconds(1500)});
    sink.test_finished(result);
  }
  sink.note(kHostileText);
  RunEnd end;
  end.counts[1] = 3;
  end.stopped_because = "interrupted (SIGINT)";
  end.exit_status = 130;
  EXPECT_EQ(sink.run_finished(end), "");
}

TEST_F(JsonLinesFile, it_is_what_the_schema_says) {
  const std::string python = CASEMATE_BINARY_DIR "/venv/bin/python";
  if (!fs::exists(python)) GTEST_SKIP() << "no " << python << " (./dev test makes it)";
  JsonLinesReport sink(directory_ + "/made/events.jsonl");
  give_everything(sink);
  std::ofstream(directory_ + "/validate.py") << kValidator;
  const int status =
      std::system(fmt::format("{} -W ignore {}/validate.py {}/docs/schema/pytest-events.schema.json {}/made/events.jsonl 2>{}/out", python,
                              directory_, CASEMATE_SOURCE_DIR, directory_, directory_)
                      .c_str());
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no jsonschema in " << python;
  EXPECT_EQ(status, 0) << read_file(directory_ + "/out").value_or("");
}

TEST_F(JsonLinesFile, each_event_is_there_when_it_has_happened) {
  const std::string path = directory_ + "/events.jsonl";
  JsonLinesReport sink(path);
  sink.run_started(run_start());
  ASSERT_EQ(events_of(path).size(), 1u);
  EXPECT_EQ(events_of(path)[0].dump(),
            R"({"event":"run_started","format":1,"casemate":")" CASEMATE_VERSION
            R"(","front_end":"pytest","name":"project","directory":"/home/someone/project","arguments":["tests"],)"
            R"("began":"2023-11-14T22:13:20.000Z","slots":2,"repetition":1,"repetitions":1})");
  sink.test_finished(full_result());
  const Json event = events_of(path).at(1);
  EXPECT_EQ(event["event"], "test_finished");
  EXPECT_EQ(event["verdict"], "failed");
  EXPECT_EQ(event["group"], "TestB");
  EXPECT_EQ(event["duration_ms"], 12.0);
  EXPECT_EQ(event["resources"]["peak_memory_bytes"], 1'000'000);
  EXPECT_TRUE(event["resources"]["peak_pids"].is_null());
  EXPECT_EQ(event["reports"][1]["sections"].dump(), R"([["Captured stdout call","said\n"],["Captured stderr call","warned\n"]])");
  EXPECT_EQ(event["reports"][1]["at"].dump(), R"({"path":"tests/test_a.py","line":3})");
}

TEST_F(JsonLinesFile, hostile_texts_stay_strings) {
  const std::string path = directory_ + "/events.jsonl";
  {
    JsonLinesReport sink(path);
    sink.test_finished(hostile_result());
  }
  const std::string bytes = read_file(path).value();
  EXPECT_EQ(bytes.find('\n'), bytes.size() - 1);
  EXPECT_EQ(bytes.find("##["), std::string::npos);
  EXPECT_EQ(bytes.find('\x1b'), std::string::npos);
  const Json event = Json::parse(bytes);
  EXPECT_EQ(event["output"]["stdout"].get<std::string>(),
            "\x1b[2J\x1b]52;c;aGk=\x07\n::error file=x::smuggled\n  ::set-env name=PATH::x\n##[error]old\n"
            "\xef\xbf\xbd\xef\xbf\xbd" +
                kOverride + "]]></failure><x>&amp;\x01\r\nend");
}

TEST_F(JsonLinesFile, a_slow_reader_misses_nothing) {
  const std::string path = directory_ + "/fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] {
    const auto fifo = open_file(path, O_RDONLY);
    got = read_all(fifo->get(), 256u << 20).value_or("");
  });
  TestResult big = passed("a.py::big");
  big.output.out = std::string(1u << 20, 'x');
  {
    JsonLinesReport sink(path);
    EXPECT_EQ(give(sink, std::vector<TestResult>(80, big)), "");  // more than any buffer on the way holds
  }
  reader.join();
  std::istringstream lines(got);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) ASSERT_EQ(line.back(), '}') << count;
  EXPECT_EQ(count, 80u * 2 + 3);
}

TEST_F(JsonLinesFile, a_place_that_cannot_be_written_is_known_at_once) {
  JsonLinesReport directory(directory_);
  EXPECT_EQ(directory.problem(), fmt::format("can't write {}: Is a directory", directory_));
  EXPECT_EQ(give(directory, {passed("a")}), directory.problem());
  JsonLinesReport full("/dev/full");
  EXPECT_EQ(full.problem(), "");
  EXPECT_EQ(give(full, {passed("a")}), "can't write /dev/full: No space left on device");
}

}  // namespace
}  // namespace casemate
