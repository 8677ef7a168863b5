// What of a script's run is decided before a cell has it.
#include <gtest/gtest.h>

#include "runtime/imports.h"
#include "runtime/output_places.h"
#include "runtime/script_answer.h"

namespace casemate::runtime {
namespace {

TEST(Imports, AreThoseOfTheOutermostLevel) {
  EXPECT_EQ(imported_modules("import numpy as np, pandas.core\nfrom sklearn.linear_model import A\nimport os, sys\n"
                             "def f():\n    import hidden\ntry:\n    import xgboost\nexcept ImportError:\n    import other\n",
                             "/nonexistent"),
            "numpy,pandas,sklearn,xgboost");
}

TEST(Imports, OfOddTextsAreNoneThatCouldNotBeModules) {
  EXPECT_EQ(imported_modules("import \nimport ,\nfrom . import x\nfrom .a import b\nimport 3x\nimport a;b\nimport ok # import no\n\x01\xff",
                             "/nonexistent"),
            "ok");
  EXPECT_EQ(imported_modules("", "/nonexistent"), "");
  std::string many;
  for (int i = 0; i < 100; ++i) many += "import m" + std::to_string(i) + "\n";
  const std::string names = imported_modules(many, "/nonexistent");
  EXPECT_EQ(std::count(names.begin(), names.end(), ','), 31);
}

ScriptAnswer heard(std::string_view text) {
  ScriptAnswer answer;
  for (const char c : text) answer.hear({&c, 1});
  return answer;
}

TEST(ScriptAnswer, IsReadLineByLine) {
  const ScriptAnswer answer = heard(
      "{\"main\": true}\n{\"script\": {\"main\": true, \"problem\": \"E: a\\nb\", \"traceback\": \"T\", \"seconds\": 1.5, \"notes\": "
      "[\"n\", 3]}}\n{\"done\": true}\n");
  ASSERT_TRUE(answer.script());
  EXPECT_TRUE(answer.has_main());
  EXPECT_EQ(answer.script()->problem, "E: a");
  EXPECT_EQ(answer.script()->took, std::chrono::milliseconds(1500));
  EXPECT_EQ(answer.script()->notes, std::vector<std::string>{"n"});
  EXPECT_EQ(answer.problem(), "");
  EXPECT_TRUE(heard("{\"main\": true}\n").has_main()) << "what it said before it died";
}

TEST(ScriptAnswer, OfHostileBytesIsAProblemAndNoMore) {
  for (const char* text : {"x\n", "[]\n", "{\"script\": {}}}\n", "\xff\n"}) EXPECT_NE(heard(text).problem(), "") << text;
  EXPECT_EQ(heard("{\"script\": 3, \"data\": 4, \"main\": 5}\n").problem(), "");
  EXPECT_FALSE(heard("{\"script\": 3, \"main\": 5}\n").script());
  for (const char* seconds : {"1e999", "-1", "\"x\"", "1e300"}) {
    const ScriptAnswer answer = heard(std::string("{\"script\": {\"seconds\": ") + seconds + "}}\n");
    if (answer.script()) {
      EXPECT_LE(answer.script()->took, std::chrono::seconds(1'000'000'000)) << seconds;
    }
  }
  ScriptAnswer endless;
  const std::string much(1 << 20, ' ');
  for (int i = 0; i < 40; ++i) endless.hear(much);
  EXPECT_NE(endless.problem(), "");
  EXPECT_FALSE(heard("{\"script\": {\"problem\": \"first\"}}\n{\"script\": {\"problem\": \"second\"}}\n").script()->problem == "second");
}

TEST(NamesFile, GoesByTheEnding) {
  for (const char* path : {"/a/x.csv", "/a/x.JSON", "/x.tar.gz"}) EXPECT_TRUE(names_file(path)) << path;
  for (const char* path : {"/a/processed", "/a/v1.2", "/a.csv/x", "/a/.csv"}) EXPECT_FALSE(names_file(path)) << path;
}

}  // namespace
}  // namespace casemate::runtime
