// One runtime tester that several threads share: what happens to the scripts of one is no business of the others.
#include "runtime/tester.h"

#include <atomic>
#include <future>
#include <thread>

#include <sys/stat.h>

#include "engine_test.h"

namespace casemate::runtime {
namespace {

const std::string kHead = "import os, time\ndef main(input_paths, output_paths, environ_vars, job_args):\n";
const std::string kBegin = "    open(output_paths['out'] + '/begun-' + job_args.name, 'w').close()\n";
const std::string kUntilGo =
    kHead + kBegin + "    while not os.path.exists(input_paths['in'] + '/go'): time.sleep(0.01)\n    print('went on')\n";

class RuntimeTesterTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto engine = Engine::create(); !engine) GTEST_SKIP() << engine.error().what;
    std::string name = fs::path(std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/var/tmp") / "casemate_tester_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    ::chmod(name.c_str(), 0755);
    fs::create_directory(dir_ / "in");
    ::setenv("CASEMATE_STATE_DIR", (dir_ / "state").c_str(), 1);
    RuntimeTestingConfiguration configuration;
    configuration.workspace_dir = dir_ / "work";
    configuration.slots = 2;
    configuration.python = "/usr/bin/python3";
    configuration.memory_bytes = 512ull << 20;
    configuration.script_directories = {dir_};
    configuration_ = configuration;
    auto made = RuntimeTester::create(configuration, {}, [this] { return interrupted_ == std::this_thread::get_id(); });
    ASSERT_TRUE(made) << made.error().what;
    tester_ = std::move(*made);
  }
  void TearDown() override {
    tester_.reset();
    ::unsetenv("CASEMATE_STATE_DIR");
    if (!dir_.empty()) fs::remove_all(dir_);
  }

  // In a thread of its own, whose id is in `threads_` from then on.
  std::future<Result<ScriptTestResult>> begin(const std::string& name, const std::string& text) {
    write(dir_ / (name + ".py"), text);
    ScriptExecutionSpec spec;
    spec.script_name = name;
    spec.script_path = dir_ / (name + ".py");
    MainParameters parameters;
    parameters.input_paths = {{"in", dir_ / "in"}};
    parameters.output_paths = {{"out", dir_ / ("out-" + name)}};
    parameters.job_args = {{"name", name}};
    std::promise<std::thread::id> id;
    auto told = id.get_future();
    auto future = std::async(std::launch::async, [this, spec, parameters, id = std::move(id)]() mutable {
      id.set_value(std::this_thread::get_id());
      return tester_->test_script_with_spec(spec, parameters);
    });
    threads_[name] = told.get();
    return future;
  }

  // Outputs of a script that runs lie beside their place.
  [[nodiscard]] bool has_begun(const std::string& name) const {
    std::error_code problem;
    for (fs::recursive_directory_iterator at(dir_, problem), end; !problem && at != end; at.increment(problem)) {
      if (at->path().filename() == "begun-" + name) return true;
    }
    return false;
  }
  void wait_for(const std::string& name) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!has_begun(name) && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(has_begun(name)) << name;
  }
  void expect_that_it_goes_on(std::future<Result<ScriptTestResult>>& future) const {
    write(dir_ / "in/go", "");
    const auto result = future.get();
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_TRUE(result->success) << result->error_message.value_or("") << words(result->outcome);
    EXPECT_EQ(result->standard_output, "went on\n");
  }

  fs::path dir_;
  RuntimeTestingConfiguration configuration_;
  std::atomic<std::thread::id> interrupted_;
  std::map<std::string, std::thread::id> threads_;
  std::unique_ptr<RuntimeTester> tester_;
};

TEST_F(RuntimeTesterTest, WhoIsInterruptedEndsHisOwnScriptAlone) {
  auto other = begin("other", kUntilGo);
  auto mine = begin("mine", kHead + kBegin + "    time.sleep(1000)\n");
  wait_for("other");
  wait_for("mine");
  interrupted_ = threads_["mine"];
  const auto ended = mine.get();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::cancelled);
  expect_that_it_goes_on(other);
}

TEST_F(RuntimeTesterTest, AnInterruptionBeforeAnythingRunsIsNobodyElses) {
  interrupted_ = std::this_thread::get_id();
  ScriptExecutionSpec spec;
  spec.script_name = "mine";
  spec.script_path = dir_ / "mine.py";
  write(dir_ / "mine.py", kHead + "    time.sleep(1000)\n");
  auto other = begin("other", kUntilGo);  // both need the same interpreter, which is looked for now
  const auto ended = tester_->test_script_with_spec(spec, {});
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::cancelled);
  expect_that_it_goes_on(other);
}

TEST_F(RuntimeTesterTest, WhatCannotBeRunEndsNothingElse) {
  auto other = begin("other", kUntilGo);
  wait_for("other");
  ScriptExecutionSpec spec;
  spec.script_name = "gone";
  spec.script_path = dir_ / "gone.py";
  const auto refused = tester_->test_script_with_spec(spec, {});
  EXPECT_FALSE(refused && refused->success);
  spec.script_path = dir_ / "other.py";
  MainParameters parameters;
  parameters.output_paths = {{"out", "/proc/1/out"}};
  EXPECT_FALSE(tester_->test_script_with_spec(spec, parameters));
  expect_that_it_goes_on(other);
}

TEST_F(RuntimeTesterTest, TestsOfOneNameTakeTurns) {
  write(dir_ / "same.py", kHead +
                              "    time.sleep(0.05)\n    assert os.listdir(output_paths['data_output']) == []\n"
                              "    print(open(input_paths['data_input'] + '/data.csv').read())\n"
                              "    open(output_paths['data_output'] + '/made', 'w').close()\n");
  auto other = RuntimeTester::create(configuration_);
  ASSERT_TRUE(other) << other.error().what;
  std::vector<std::future<Result<ScriptTestResult>>> all;
  for (int at = 0; at < 8; ++at) {
    RuntimeTester* const tester = at % 2 == 0 ? tester_.get() : other->get();
    all.push_back(std::async(std::launch::async, [=] { return tester->test_script("same", {{"n", {at}}}); }));
  }
  for (std::size_t at = 0; at < all.size(); ++at) {
    const auto result = all[at].get();
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_TRUE(result->success) << result->error_message.value_or("") << result->traceback;
    EXPECT_EQ(result->standard_output, "n\n" + std::to_string(at) + "\n\n");
    EXPECT_EQ(result->outputs.size(), 1u);
  }
  EXPECT_TRUE(fs::is_empty(dir_ / "work"));
}

TEST_F(RuntimeTesterTest, CancellingATesterEndsAllAndForGood) {
  auto first = begin("first", kHead + kBegin + "    time.sleep(1000)\n");
  auto second = begin("second", kHead + kBegin + "    time.sleep(1000)\n");
  wait_for("first");
  wait_for("second");
  tester_->cancel();
  for (auto* each : {&first, &second}) {
    const auto ended = each->get();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, ErrorCode::cancelled);
  }
  const auto later = begin("later", kUntilGo).get();
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace casemate::runtime
