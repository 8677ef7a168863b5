// Documents of plans: well-formed ones, and malformed of every kind.
#include "testplan/document.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sys/fd.h"
#include "testplan/yaml.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json yaml(std::string_view text) {
  auto document = parse_document(text, "p.yaml", DocumentFormat::yaml);
  EXPECT_TRUE(document) << (document ? "" : document.error().what);
  return document ? document->value : Json();
}

std::string problem(std::string_view text, DocumentFormat format = DocumentFormat::yaml) {
  const auto document = parse_document(text, "p", format);
  if (document) return "none: " + document->value.dump().substr(0, 200);
  EXPECT_EQ(document.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(document.error().what.find('\n'), std::string::npos);
  return document.error().what;
}

TEST(PlanDocument, yaml_scalars_are_those_of_the_core_schema) {
  const Json value = yaml(R"(
nothing: [~, null, Null, NULL, ]
empty:
truth: [true, True, TRUE, false]
text: [yes, no, on, off, "true", '12', !!str 12, 2026-11-22, 12:30:45, 1_000, .inf, .nan, 0b1, 1e, +, -, ., 08a]
whole: [0, -1, +7, 0o17, 0x1F, 012, 18446744073709551615, -9223372036854775808]
float: [1.5, -.5, 1., 1e3, +1.5E-2, 99999999999999999999]
)");
  EXPECT_EQ(value["nothing"], Json::parse("[null, null, null, null]"));
  EXPECT_TRUE(value["empty"].is_null());
  EXPECT_EQ(value["truth"], Json::parse("[true, true, true, false]"));
  for (const Json& text : value["text"]) EXPECT_TRUE(text.is_string()) << text;
  EXPECT_EQ(value["whole"].dump(), "[0,-1,7,15,31,12,18446744073709551615,-9223372036854775808]");
  EXPECT_EQ(value["float"].dump(), "[1.5,-0.5,1.0,1000.0,0.015,1e+20]");
}

TEST(PlanDocument, aliases_are_written_out) {
  const Json value = yaml("a: &x {b: [1, &y two]}\nc: *x\nd: *y\n");
  EXPECT_EQ(value["c"], value["a"]);
  EXPECT_EQ(value["d"], "two");
}

TEST(PlanDocument, keys_keep_their_order_and_are_texts) {
  EXPECT_EQ(yaml("z: 1\na: 2\n3: c\n\"<<\": 4\n").dump(), R"({"z":1,"a":2,"3":"c","<<":4})");
}

TEST(PlanDocument, says_what_is_malformed_and_where) {
  EXPECT_EQ(problem(""), "p: is empty");
  EXPECT_EQ(problem(" \n\n", DocumentFormat::json), "p: is empty");
  EXPECT_EQ(problem("a: 1\nb: \xff\n"), "p:2: a byte that is no UTF-8");
  EXPECT_EQ(problem("{\n\"a\": \"\xc3\"}", DocumentFormat::json), "p:2: a byte that is no UTF-8");
  EXPECT_EQ(problem(std::string_view("a: 1\nb: \0\n", 10)), "p:2: the control character 0x00; in YAML write it as \"\\x00\"");
  EXPECT_EQ(problem("a: 1\nb: 2\na: 3\n"), "p:3: the key 'a' comes twice");
  EXPECT_EQ(problem("{\"a\": 1,\n\"a\": 2}", DocumentFormat::json), "p:2: the key 'a' comes twice");
  EXPECT_EQ(problem("a: &x [*x]\n"), "p:1: an alias within what it names");
  EXPECT_EQ(problem("a: 1\n---\nb: 2\n"), "p:2: a second document: a plan is one");
  EXPECT_EQ(problem("a: &a {b: 1}\nc:\n  <<: *a\n"), "p:3: a merge key (<<): YAML 1.2 has none; write its keys out");
  EXPECT_EQ(problem("? [a, b]\n: 1\n"), "p:1: a key that is a list or an object");
  EXPECT_EQ(problem(": 1\n"), "p:1: a key that is empty");
  EXPECT_TRUE(problem("a: !!python/object/apply:os.system ['true']\n")
                  .starts_with("p:1: the tag 'tag:yaml.org,2002:python/object/apply:os.system'"));
  EXPECT_TRUE(problem("a: [1, 2\n").starts_with("p:2: no YAML: ")) << problem("a: [1, 2\n");
  EXPECT_TRUE(problem("a: *nobody\n").starts_with("p:1: no YAML: ")) << problem("a: *nobody\n");
  EXPECT_TRUE(problem("\t- a: 1\n  b\n").starts_with("p:")) << problem("\t- a: 1\n  b\n");
  EXPECT_EQ(problem("{\"a\":\n  1,}", DocumentFormat::json).substr(0, 12), "p:2: no JSON");
  EXPECT_EQ(problem("{\"a\": 1} x", DocumentFormat::json).substr(0, 12), "p:1: no JSON");
  EXPECT_EQ(problem("{\"a\": 1e999}", DocumentFormat::json).substr(0, 12), "p:1: no JSON");
}

TEST(PlanDocument, is_bounded) {
  std::string laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int level = 1; level < 12; ++level) {
    laughs += fmt::format("a{0}: &a{0} [", level);
    for (int time = 0; time < 10; ++time) laughs += fmt::format("*a{}{}", level - 1, time < 9 ? ", " : "]\n");
  }
  EXPECT_TRUE(problem(laughs).ends_with(": more than 4 million values")) << problem(laughs);

  std::string long_text = "a: &a " + std::string(1 << 20, 'x') + "\nb:\n";
  for (int time = 0; time < 500; ++time) long_text += "  - *a\n";
  EXPECT_TRUE(problem(long_text).ends_with(": more than 256 MiB of text")) << problem(long_text);

  EXPECT_EQ(problem(std::string(100'000, '['), DocumentFormat::json), "p:1: nested deeper than 200");
  EXPECT_EQ(problem(std::string(300, '[') + std::string(300, ']')), "p:1: nested deeper than 200");
  EXPECT_TRUE(problem(std::string(100'000, '[')).starts_with("p:1: "));
  std::string dashes;
  for (int time = 0; time < 10'000; ++time) dashes += "- ";
  EXPECT_EQ(problem(dashes), "p:1: nested deeper than 200");
  EXPECT_EQ(problem("[" + std::string(5'000'000, ',') + "]"), "p:1: more than 4 million brackets and commas");
  std::string zeros = "[0";
  for (int time = 0; time < 4'100'000; ++time) zeros += ",0";
  EXPECT_EQ(problem(zeros + "]", DocumentFormat::json), "p:1: more than 4 million values");
  EXPECT_EQ(problem(std::string((64u << 20) + 1, ' ')), "p: is larger than 64 MiB");
}

TEST(PlanDocument, an_object_of_very_many_keys_takes_linear_time) {
  std::string text = "{";
  for (int key = 0; key < 300'000; ++key) text += fmt::format("{}\"k{}\":{}", key ? "," : "", key, key);
  const auto document = parse_document(text + "}", "p", DocumentFormat::json);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->value.size(), 300'000u);
}

// What is hard to write so that it is read as the same.
Json hard_values() {
  return Json{{"texts",
               {"",
                " ",
                "a",
                " a",
                "a ",
                "a: b",
                "a #b",
                "a:",
                "-",
                "- a",
                "yes",
                "No",
                "null",
                "~",
                "1",
                "1.10",
                "0x1",
                "2026-11-22",
                "12:30",
                "{{X}}",
                "[a",
                "\"q\"",
                "back\\slash",
                "tab\there",
                "esc\x1b[0m",
                "nul" + std::string(1, '\0'),
                "\x7f",
                "é漢😀",
                "\xe2\x80\xa8",
                "\xef\xbb\xbf",
                "\xc2\x85",
                "#",
                "%a",
                "@b",
                "`c",
                "!d",
                "&e",
                "*f",
                "|",
                ">",
                "?",
                "<<",
                "=",
                "--flag",
                "/usr/bin/x -a | grep 'y'"}},
              {"lines",
               {"a\n", "a\nb", "a\n\nb\n\n", "\n", "\n\n", "\na", "\n\n  a\n", "  a\nb\n", "a\n b\n", "a \nb\n", "a\n \n", "\ta\nb",
                "a\r\nb\r\n", "---\na\n", "# a\nb\n", "a\n...\n"}},
              {"numbers", {0, -1, 1.5, 1e100, 1e-7, 18446744073709551615u, true, false, nullptr}},
              {"nested", {{{"a", {{1, {2, 3}}, Json::array(), Json::object()}}, {"b", {{"c", "d\ne\n"}}}}, "x\ny"}},
              {"key with: colon", 1},
              {"", 2},
              {"true", 3},
              {"two\nlines", 4},
              {std::string(2000, 'k'), {{"deep", "a\nb"}}},
              {std::string(2000, 'l'), {1, "a\nb"}}};
}

TEST(PlanDocument, what_is_written_is_read_as_the_same) {
  const Json value = hard_values();
  for (const DocumentFormat format : {DocumentFormat::json, DocumentFormat::yaml}) {
    const std::string text = to_text({value, format});
    const auto again = parse_document(text, "p", format);
    ASSERT_TRUE(again) << again.error().what << "\n" << text;
    for (const auto& [name, part] : value.items()) EXPECT_EQ(again->value[name].dump(2), part.dump(2)) << text;
  }
  for (const Json& root :
       {Json("a\nb"), Json(1), Json::array(), Json::object(), Json(Json::array({Json::array({1, 2}), "a"})), Json(nullptr)})
    EXPECT_EQ(parse_yaml(yaml_text(root)).value(), root) << yaml_text(root);
}

TEST(PlanDocument, yaml_is_written_for_people) {
  EXPECT_EQ(yaml_text(Json{{"tool_name", "jq"},
                           {"version", "1.10"},
                           {"steps", {{{"command", "a | b"}, {"tags", Json::array()}}, "x\ny\n"}},
                           {"timeout", 5}}),
            "tool_name: jq\nversion: \"1.10\"\nsteps:\n  - command: a | b\n    tags: []\n  - |\n    x\n    y\ntimeout: 5\n");
}

class PlanDocumentFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "casemate-plan-document-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ + "/" + name) << text;
    return directory_ + "/" + name;
  }
  std::string directory_;
};

TEST_F(PlanDocumentFile, the_format_is_told_by_name_or_by_what_is_in_it) {
  EXPECT_EQ(read_plan_document(write("a.json", "{}"))->format, DocumentFormat::json);
  EXPECT_EQ(read_plan_document(write("a.yaml", "{}"))->format, DocumentFormat::yaml);
  EXPECT_EQ(read_plan_document(write("a.yml", "a: 1"))->format, DocumentFormat::yaml);
  EXPECT_EQ(read_plan_document(write("json", "\n {\"a\": 1}"))->format, DocumentFormat::json);
  EXPECT_EQ(read_plan_document(write("yaml", "a: 1"))->format, DocumentFormat::yaml);
}

TEST_F(PlanDocumentFile, what_is_no_file_is_said) {
  EXPECT_EQ(read_plan_document(directory_ + "/none.json").error().code, ErrorCode::not_found);
  EXPECT_EQ(read_plan_document(directory_).error().code, ErrorCode::invalid_input);
}

// The readers of generators are mostly PyYAML, which is of YAML 1.1.
TEST_F(PlanDocumentFile, python_reads_the_same) {
  const std::string python = "/usr/bin/python3";
  if (std::system((python + " -c 'import yaml' 2>/dev/null").c_str()) != 0) GTEST_SKIP() << python << " has no PyYAML";
  const std::string written = write("value.yaml", yaml_text(hard_values()));
  const std::string wanted = write("value.json", hard_values().dump());
  const std::string script = write("same.py",
                                   "import json, sys, yaml\n"
                                   "was = json.load(open(sys.argv[1]))\nnow = yaml.safe_load(open(sys.argv[2]))\n"
                                   "for key in was:\n"
                                   "    for a, b in zip(was[key], now[key]) if isinstance(was[key], list) else [(was[key], now[key])]:\n"
                                   "        if a != b or type(a) != type(b): sys.exit('%r became %r' % (a, b))\n");
  EXPECT_EQ(std::system(fmt::format("{} {} {} {} 2>{}/out", python, script, wanted, written, directory_).c_str()), 0)
      << read_file(directory_ + "/out").value_or("");
}

}  // namespace
}  // namespace casemate
