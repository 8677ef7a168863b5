// Pipeline scripts in cells, with the interpreter that is active here.
#include "runtime/script_cells.h"

#include <csignal>
#include <future>

#include <sys/file.h>
#include <sys/stat.h>

#include "engine_test.h"

namespace casemate::runtime {
namespace {

const std::string kHead = "def main(input_paths, output_paths, environ_vars, job_args):\n";

class ScriptCellsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { cells_ = nullptr; }
  static void TearDownTestSuite() { cells_.reset(); }

  void SetUp() override {
    if (const auto engine = Engine::create(); !engine) GTEST_SKIP() << engine.error().what;
    std::string name = fs::path(std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/var/tmp") / "casemate_scripts_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    ::chmod(name.c_str(), 0755);
    fs::create_directory(dir_ / "in");
    write(dir_ / "in/data.csv", "a,b\n1,2\n");
    if (!cells_) cells_ = make_cells();
  }
  void TearDown() override {
    if (dir_.empty()) return;
    std::vector<std::string> left;
    for (const auto& entry : fs::recursive_directory_iterator(dir_)) {
      if (entry.path().filename().string().starts_with(".casemate-output-")) left.push_back(entry.path());
    }
    EXPECT_TRUE(left.empty()) << left.front();
    fs::remove_all(dir_);
  }

  static std::unique_ptr<ScriptCells> make_cells() {
    RuntimeTestingConfiguration configuration;
    configuration.slots = 2;
    configuration.python = "/usr/bin/python3";
    configuration.memory_bytes = 512ull << 20;
    auto made = ScriptCells::create(configuration, {});
    EXPECT_TRUE(made) << made.error().what;
    return made ? std::move(*made) : nullptr;
  }

  CellScript script(const std::string& name, const std::string& text) {
    fs::create_directories(dir_ / "scripts");
    write(dir_ / "scripts" / (name + ".py"), text);
    CellScript request{.name = name, .path = dir_ / "scripts" / (name + ".py")};
    request.parameters.input_paths = {{"data", dir_ / "in"}};
    request.parameters.output_paths = {{"result", dir_ / "out"}};
    request.timeout = std::chrono::seconds(60);
    return request;
  }
  static std::future<Result<ScriptRun>> begin(CellScript request) {
    auto promise = std::make_shared<std::promise<Result<ScriptRun>>>();
    auto future = promise->get_future();
    cells_->run(std::move(request), [promise](Result<ScriptRun> run) { promise->set_value(std::move(run)); });
    return future;
  }
  static ScriptRun run(CellScript request) {
    auto result = begin(std::move(request)).get();
    EXPECT_TRUE(result) << result.error().what;
    return result ? std::move(*result) : ScriptRun();
  }
  ScriptRun run(const std::string& name, const std::string& text) { return run(script(name, text)); }

  inline static std::unique_ptr<ScriptCells> cells_;
  fs::path dir_;
};

std::string told(const ScriptRun& run) { return words(run.outcome) + "; " + run.problem + "\n" + run.traceback + run.output.err; }

TEST_F(ScriptCellsTest, AScriptReadsItsInputsAndWritesItsOutputs) {
  CellScript request = script("pre", "import os\n" + kHead +
                                         "    text = open(input_paths['data'] + '/data.csv').read()\n"
                                         "    os.makedirs(output_paths['result'] + '/deep')\n"
                                         "    open(output_paths['result'] + '/deep/two.txt', 'w').write(text * job_args.times)\n"
                                         "    print('label', os.environ['LABEL_FIELD'], environ_vars['LABEL_FIELD'], __name__)\n");
  request.parameters.environ_vars = {{"LABEL_FIELD", "target"}};
  request.parameters.job_args = {{"times", 2}};
  fs::create_directory(dir_ / "out");
  write(dir_ / "out/mine", "a user's");
  const ScriptRun result = run(std::move(request));
  EXPECT_TRUE(result.outcome.succeeded() && result.problem.empty()) << told(result);
  EXPECT_TRUE(result.has_main);
  EXPECT_EQ(result.output.out, "label target target pre\n");
  EXPECT_EQ(read(dir_ / "out/deep/two.txt"), "a,b\n1,2\na,b\n1,2\n");
  EXPECT_EQ(result.outputs, std::vector<std::string>{dir_ / "out/deep/two.txt"});
  EXPECT_EQ(read(dir_ / "out/mine"), "a user's");
  ASSERT_FALSE(result.notes.empty());
  EXPECT_EQ(result.notes.back(),
            "'" + (dir_ / "out").string() + "' holds 1 file that no test wrote: it stays beside what this script wrote");
  struct stat info{};
  ASSERT_EQ(::stat((dir_ / "out/deep/two.txt").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, ::geteuid());
}

TEST_F(ScriptCellsTest, OnlyTheFileIsBroughtBackOfAnOutputThatIsOne) {
  CellScript request =
      script("one", kHead + "    open(output_paths['m'], 'w').write('m')\n    open(output_paths['m'] + '.more', 'w').write('')\n");
  request.parameters.output_paths = {{"m", dir_ / "in/model.json"}};
  const ScriptRun result = run(std::move(request));
  EXPECT_EQ(result.problem, "") << told(result);
  EXPECT_EQ(read(dir_ / "in/model.json"), "m");
  EXPECT_EQ(read(dir_ / "in/data.csv"), "a,b\n1,2\n") << "beside an input";
  EXPECT_FALSE(fs::exists(dir_ / "in/model.json.more"));
  EXPECT_EQ(result.outputs, std::vector<std::string>{dir_ / "in/model.json"});
}

TEST_F(ScriptCellsTest, WhatIsNoScriptIsSaid) {
  const auto says = [&](const std::string& text, bool has_main, const std::string& problem) {
    const ScriptRun result = run("bad", text);
    EXPECT_EQ(result.problem, problem) << told(result);
    EXPECT_EQ(result.has_main, has_main) << text;
    EXPECT_TRUE(result.outcome.succeeded()) << told(result);
    EXPECT_EQ(result.output.out, "") << "nothing of it ran";
  };
  says("print('ran')\n", false, "Script missing main() function");
  says("print('ran')\nclass A:\n    def main(self): pass\n", false, "Script missing main() function");
  const std::string other = "Main function signature doesn't match script development guide";
  says("print('ran')\ndef main(): pass\n", true, other);
  says("print('ran')\ndef main(input_paths, output_paths, environ_vars, job_args, more): pass\n", true, other);
  says("print('ran')\nasync def main(input_paths, output_paths, environ_vars, job_args): pass\n", true, other);
  says("def main(:\n", false, "SyntaxError: invalid syntax (bad.py, line 1)");
}

TEST_F(ScriptCellsTest, OtherWaysToHaveAMainAreTaken) {
  for (const std::string text : {"def f(**more): print('ok', sorted(more))\nmain = f\n",
                                 "if True:\n    def main(job_args, *, input_paths, output_paths, environ_vars, more=1): print('ok')\n",
                                 "def main(**more): print('ok')\nif __name__ == '__main__':\n    raise SystemExit(7)\n"}) {
    const ScriptRun result = run("other", text);
    EXPECT_EQ(result.problem, "") << told(result);
    EXPECT_TRUE(result.output.out.starts_with("ok")) << text;
  }
}

TEST_F(ScriptCellsTest, HowAScriptFailsIsSaid) {
  ScriptRun result = run("raises", "import json\n" + kHead + "    deep()\ndef deep():\n    raise ValueError('no such thing\\nmore')\n");
  EXPECT_EQ(result.problem, "ValueError: no such thing");
  EXPECT_TRUE(result.traceback.starts_with("Traceback (most recent call last):\n  File \"")) << result.traceback;
  EXPECT_EQ(result.traceback.find("casemate>"), std::string::npos) << result.traceback;
  EXPECT_NE(result.traceback.find("in deep\n    raise ValueError"), std::string::npos) << result.traceback;
  result = run("imports", "import not_there\n" + kHead + "    pass\n");
  EXPECT_EQ(result.problem, "ModuleNotFoundError: No module named 'not_there'") << told(result);
  EXPECT_TRUE(result.has_main);
  EXPECT_EQ(run("exits", "import sys\n" + kHead + "    sys.exit(3)\n").problem, "the script called sys.exit(3)");
  EXPECT_EQ(run("exits", "import sys\n" + kHead + "    sys.exit(0)\n").problem, "");
  EXPECT_EQ(run("exits", "import sys\nsys.exit(0)\n" + kHead + "    pass\n").problem,
            "the script called sys.exit(0) when it was imported, before main()");
  EXPECT_EQ(run("exits", "import os\n" + kHead + "    os._exit(0)\n").problem, "the script ended its process before main() had returned");
  result = run("crash", "import os\n" + kHead + "    os.abort()\n");
  EXPECT_EQ(result.outcome.kind, Outcome::Kind::signaled);
  EXPECT_TRUE(result.has_main);
}

TEST_F(ScriptCellsTest, NothingElseCanBeReachedOrChanged) {
  const ScriptRun result = run("reach", "import os\n" + kHead +
                                            "    top = os.path.dirname(input_paths['data'])\n    print(sorted(os.listdir(top)))\n"
                                            "    for path in (input_paths['data'] + '/data.csv', __file__):\n"
                                            "        try:\n            os.remove(path)\n"
                                            "        except OSError as problem:\n            print(problem.errno)\n"
                                            "    open(top + '/elsewhere', 'w').write('x')\n");
  EXPECT_EQ(result.problem, "") << told(result);
  EXPECT_EQ(result.output.out, "['in', 'out', 'scripts']\n30\n30\n");
  EXPECT_FALSE(fs::exists(dir_ / "elsewhere")) << "the cell's own";
  EXPECT_TRUE(fs::exists(dir_ / "in/data.csv"));
}

TEST_F(ScriptCellsTest, AnEndlessScriptIsEndedAndWhatItWroteIsThere) {
  CellScript request = script("endless", kHead + "    open(output_paths['result'] + '/some', 'w').write('x')\n    while True: pass\n");
  request.timeout = std::chrono::milliseconds(1500);
  const ScriptRun result = run(std::move(request));
  EXPECT_EQ(result.outcome.kind, Outcome::Kind::timed_out) << told(result);
  EXPECT_TRUE(result.has_main);
  EXPECT_EQ(read(dir_ / "out/some"), "x");
}

TEST_F(ScriptCellsTest, TooMuchMemoryIsNamedAndOutputIsBounded) {
  const ScriptRun bomb = run("bomb", kHead + "    kept = []\n    while True: kept.append(bytearray(b'x') * (16 << 20))\n");
  EXPECT_EQ(bomb.outcome.kind, Outcome::Kind::out_of_memory) << told(bomb);
  const ScriptRun flood = run("flood", kHead + "    for i in range(64): print('x' * (1 << 20))\n    print('end')\n");
  EXPECT_EQ(flood.problem, "") << told(flood);
  EXPECT_TRUE(flood.output.truncated);
  EXPECT_LT(flood.output.out.size(), 4u << 20);
  EXPECT_TRUE(flood.output.out.ends_with("end\n"));
}

TEST_F(ScriptCellsTest, ALinkToAScriptIsRunWhereItLies) {
  CellScript request = script("real", "import beside\n" + kHead + "    print(beside.word)\n");
  write(dir_ / "scripts/beside.py", "word = 'there'\n");
  fs::create_directory(dir_ / "links");
  fs::create_symlink(dir_ / "scripts/real.py", dir_ / "links/alias.py");
  request.name = "alias";
  request.path = dir_ / "links/alias.py";
  const ScriptRun result = run(std::move(request));
  EXPECT_EQ(result.output.out, "there\n") << told(result);
}

TEST_F(ScriptCellsTest, TheSameScriptIsReadAnewEachTime) {
  EXPECT_EQ(run("edited", kHead + "    print(1)\n").output.out, "1\n");
  EXPECT_EQ(run("edited", kHead + "    print(2)\n").output.out, "2\n");
}

TEST_F(ScriptCellsTest, LookingForMainRunsNothing) {
  CellScript request = script("looks", "print('ran')\n" + kHead + "    print('ran')\n");
  request.check_only = true;
  request.parameters.input_paths = {{"data", dir_ / "none"}};
  const ScriptRun result = run(std::move(request));
  EXPECT_TRUE(result.has_main);
  EXPECT_EQ(result.problem, "") << told(result);
  EXPECT_EQ(result.output.out, "");
  EXPECT_FALSE(fs::exists(dir_ / "out"));
}

TEST_F(ScriptCellsTest, WhatAScriptHoldsBackIsWritten) {
  const ScriptRun result =
      run("buffers", "import atexit, threading, time\natexit.register(print, 'at exit')\n" + kHead +
                         "    global kept\n    kept = open(output_paths['result'] + '/kept', 'w')\n    kept.write('held')\n"
                         "    threading.Thread(target=time.sleep, args=(1000,), name='sleeper').start()\n");
  EXPECT_EQ(result.problem, "") << told(result);
  EXPECT_EQ(read(dir_ / "out/kept"), "held");
  EXPECT_EQ(result.output.out, "at exit\n");
  ASSERT_FALSE(result.notes.empty());
  EXPECT_EQ(result.notes.back(), "still running when main() had ended: sleeper");
}

TEST_F(ScriptCellsTest, LinksAndModesOfAScriptHarmNobody) {
  const std::string secret = dir_ / "secret";
  fs::create_directory(secret);
  write(secret + "/key", "hidden");
  ScriptRun result =
      run("links", "import os\n" + kHead + "    out = output_paths['result']\n    os.symlink('" + secret +
                       "', out + '/link')\n    os.mkdir(out + '/real')\n    os.symlink('real', out + '/within')\n"
                       "    open(out + '/tool', 'w').write('x')\n"
                       "    try:\n        os.chmod(out + '/tool', 0o4755)\n    except OSError:\n        os.chmod(out + '/tool', 0o755)\n"
                       "    os.mkfifo(out + '/fifo')\n");
  EXPECT_EQ(result.problem, "") << told(result);
  EXPECT_FALSE(fs::exists(fs::symlink_status(dir_ / "out/link"))) << "it leads out, and later processes follow links";
  EXPECT_TRUE(fs::is_symlink(dir_ / "out/within"));
  EXPECT_EQ(fs::status(dir_ / "out/tool").permissions(), fs::perms(0755));
  EXPECT_FALSE(fs::exists(dir_ / "out/fifo"));
  CellScript next = script("next", kHead + "    pass\n");
  next.parameters.input_paths = {{"data", dir_ / "out/within"}};
  next.parameters.output_paths.clear();
  const auto refused = begin(std::move(next)).get();
  ASSERT_FALSE(refused) << "the link's place would be shown";
  EXPECT_EQ(refused.error().code, ErrorCode::refused);
  next = script("write", kHead + "    open(output_paths['o'] + '/key', 'w').write('x')\n");
  next.parameters.output_paths = {{"o", dir_ / "out/within/below"}};
  EXPECT_FALSE(begin(std::move(next)).get());
  EXPECT_EQ(read(secret + "/key"), "hidden");
}

TEST_F(ScriptCellsTest, WhatIsWrongWithPathsIsAnError) {
  CellScript request = script("paths", kHead + "    pass\n");
  request.parameters.input_paths = {{"data", dir_ / "none"}};
  auto result = begin(request).get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::not_found);
  request.parameters.input_paths = {{"data", dir_ / "in/data.csv"}};
  request.parameters.output_paths = {{"o", dir_ / "in"}};
  result = begin(request).get();
  ASSERT_FALSE(result) << "its input would go";
  EXPECT_EQ(result.error().code, ErrorCode::invalid_input);
  EXPECT_TRUE(fs::exists(dir_ / "in/data.csv"));
}

TEST_F(ScriptCellsTest, WhatAKilledTesterLeftIsRemovedAndALivingOnesStays) {
  fs::create_directories(dir_ / ".casemate-output-00/out");
  fs::create_directories(dir_ / ".casemate-output-01/out");
  const UniqueFd held(::open((dir_ / ".casemate-output-01").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);
  EXPECT_EQ(run("plain", kHead + "    pass\n").problem, "");
  EXPECT_FALSE(fs::exists(dir_ / ".casemate-output-00"));
  EXPECT_TRUE(fs::exists(dir_ / ".casemate-output-01"));
  fs::remove_all(dir_ / ".casemate-output-01");
}

TEST_F(ScriptCellsTest, ScriptsWithTheSameImportsShareAParentAndNothingElse) {
  const std::string text = "import sqlite3, xml.dom.minidom\nimport os, random\nstate = []\n" + kHead +
                           "    state.append(1)\n    print(len(state), random.random(), os.getpid())\n";
  auto one = begin(script("one", text));
  const ScriptRun first = run("two", text);
  const ScriptRun second = one.get().value_or(ScriptRun());
  EXPECT_TRUE(first.output.out.starts_with("1 ") && second.output.out.starts_with("1 ")) << told(first) << told(second);
  EXPECT_NE(first.output.out, second.output.out);
}

TEST_F(ScriptCellsTest, NamesMayBeOfAnyAlphabet) {
  CellScript request = script("größe", kHead + "    open(output_paths['ä'] + '/ü', 'w').write(open(input_paths['п']).read())\n");
  write(dir_ / "данные", "x");
  request.parameters.input_paths = {{"п", dir_ / "данные"}};
  request.parameters.output_paths = {{"ä", dir_ / "итог"}};
  const ScriptRun result = run(std::move(request));
  EXPECT_EQ(result.problem, "") << told(result);
  EXPECT_EQ(read(dir_ / "итог/ü"), "x");
}

TEST_F(ScriptCellsTest, AThreadLeftByAnImportMeansAFreshInterpreter) {
  const fs::path packages = dir_ / "packages";
  fs::create_directory(packages);
  write(packages / "threaded.py", "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n");
  ::setenv("PYTHONPATH", packages.c_str(), 1);
  const auto before = std::exchange(cells_, make_cells()) ? true : false;
  const ScriptRun result = run("warm", "import threaded\n" + kHead + "    print(threaded.threading.active_count())\n");
  ::unsetenv("PYTHONPATH");
  cells_.reset();
  EXPECT_TRUE(before);
  EXPECT_EQ(result.problem, "") << told(result);
  EXPECT_EQ(result.output.out, "2\n");
  ASSERT_FALSE(result.notes.empty());
  EXPECT_NE(result.notes.front().find("fresh interpreter"), std::string::npos) << result.notes.front();
}

TEST_F(ScriptCellsTest, CancellingARunEndsWhatOfItRunsAndWaits) {
  std::vector<std::future<Result<ScriptRun>>> all;
  for (int i = 0; i < 4; ++i) {
    CellScript request = script("waits", "import time\n" + kHead + "    time.sleep(1000)\n");
    request.parameters.output_paths = {{"o", dir_ / std::to_string(i)}};
    request.mark = "this run";
    all.push_back(begin(std::move(request)));
  }
  auto other = begin(script("other", kHead + "    print('kept')\n"));
  cells_->cancel("this run");
  for (auto& one : all) {
    const auto result = one.get();
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(result->outcome.kind, Outcome::Kind::cancelled) << told(*result);
  }
  const auto kept = other.get();
  ASSERT_TRUE(kept) << kept.error().what;
  EXPECT_EQ(kept->output.out, "kept\n") << told(*kept);
  EXPECT_EQ(run("again", kHead + "    pass\n").problem, "") << "they serve on";
}

}  // namespace
}  // namespace casemate::runtime
