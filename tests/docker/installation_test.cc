// A tool installed in a container: the same script, verification and record as in cells, kept as an image of the daemon's.
#include "testplan/installation.h"

#include <csignal>

#include <nlohmann/json.hpp>

#include "daemon_scratch.h"
#include "docker/docker_executor.h"

namespace casemate {
namespace {

class InstallationInContainers : public EachDaemon {
 protected:
  void SetUp() override {
    EachDaemon::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ::signal(SIGPIPE, SIG_IGN);
    std::string name = fs::temp_directory_path() / "casemate_installation.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    cache_ = name;
    ::setenv("CASEMATE_CACHE_DIR", cache_.c_str(), 1);
    ::setenv("CARGO_REGISTRY_TOKEN", "hidden-token-88", 1);
    auto store = Store::open();
    ASSERT_TRUE(store) << store.error().what;
    store_.emplace(std::move(*store));
    auto engine = Engine::create();
    ASSERT_TRUE(engine) << engine.error().what;
    engine_ = std::move(*engine);
    const auto added =
        engine_->add_executor("docker", [&](Reactor& reactor) { return make_docker_executor(reactor, docker_options(*daemon_)); });
    ASSERT_TRUE(added) << added.error().what;
  }
  void TearDown() override {
    engine_.reset();
    store_.reset();
    ::unsetenv("CARGO_REGISTRY_TOKEN");
    std::error_code ignored;
    if (!cache_.empty()) fs::remove_all(cache_, ignored);
  }
  static Job bare() {
    Job job;
    job.executor = "docker";
    job.image = kSmallImage;
    job.env = {{"PATH", "/bin"}, {"HOME", "/root"}};
    job.network = Network::host;  // the daemon's own namespace: it has no bridge
    job.limits.memory_bytes = 64u << 20;
    return job;
  }
  std::expected<InstalledTool, InstallFailure> install(const std::string& script, unsigned retries = 0) {
    InstallSurroundings around{.engine = *engine_, .store = &*store_, .retries = retries, .wait = std::chrono::milliseconds(10)};
    return install_tool({.strategy = "script", .source = script}, "tool", bare(), around);
  }

  fs::path cache_;
  std::optional<Store> store_;
  std::unique_ptr<Engine> engine_;
};
INSTANTIATE_TEST_SUITE_P(Real, InstallationInContainers, each_kind(), name_of_kind);

TEST_P(InstallationInContainers, is_an_image_made_once) {
  const std::string script =
      "echo \"token $CARGO_REGISTRY_TOKEN\"; printf '#!/bin/sh\\necho tool 7\\n' > /bin/tool; busybox chmod 755 /bin/tool";
  const auto first = install(script);
  ASSERT_TRUE(first) << first.error().error.what << "\n" << first.error().log;
  EXPECT_EQ(first->version, "tool 7");
  EXPECT_EQ(first->attempts, 1u);
  EXPECT_NE(first->log.find("token ***"), std::string::npos) << first->log;
  EXPECT_NE(first->base.image, kSmallImage);
  const auto second = install(script);
  ASSERT_TRUE(second) << second.error().error.what;
  EXPECT_TRUE(second->cached);
  EXPECT_EQ(second->attempts, 0u);
  EXPECT_EQ(second->base.image, first->base.image);
  Job job = second->base;
  job.argv = {"sh", "-c", "tool; env; ls /casemate/installation 2>/dev/null"};
  const auto result = engine_->run(std::move(job));
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_TRUE(result->output.out.starts_with("tool 7\n")) << result->output.merged;
  // Nothing of the caller's settings is in the image, for whoever may ask the daemon.
  const auto image = ask("GET", "/images/" + first->base.image + "/json");
  ASSERT_TRUE(image && image->status == 200);
  EXPECT_EQ(image->body.find("hidden-token"), std::string::npos);
  EXPECT_EQ(result->output.merged.find("hidden-token"), std::string::npos);
  (void)ask("DELETE", "/images/" + first->base.image + "?force=1");
}

TEST_P(InstallationInContainers, without_its_image_is_no_fault_of_the_tools) {
  Job job = bare();
  job.image = "casemate-test/none:1";
  for (const char* const strategy : {"none", "script"}) {
    InstallSurroundings around{.engine = *engine_, .store = &*store_};
    const auto failed = install_tool({.strategy = strategy, .source = "true"}, "tool", job, around);
    ASSERT_FALSE(failed);
    const std::string& what = failed.error().error.what;
    EXPECT_NE(what.find("casemate-test/none:1"), std::string::npos) << what;
    for (const char* const word : {"does not run", "setup failed", "get the image"}) EXPECT_EQ(what.find(word), std::string::npos) << what;
  }
}

TEST_P(InstallationInContainers, fails_in_one_line) {
  const auto failed = install("echo 'E: Unable to locate package tool' >&2; exit 100", 3);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().error.what, "installing tool by script failed: E: Unable to locate package tool");
  const auto cut = install("echo 'curl: (18) transfer closed' >&2; exit 18", 1);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().error.what, "installing tool by script failed: curl: (18) transfer closed (2 tries)");
  const auto broken = install("true");
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().error.what.find("tool is installed but does not run: 'tool --version' ended with 'exited 127'"),
            std::string::npos)
      << broken.error().error.what;
}

}  // namespace
}  // namespace casemate
