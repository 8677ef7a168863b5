// Layers in real cells: what a command leaves, and a job that sees it all.
#include <sys/stat.h>

#include "engine_test.h"
#include "image/project_layers.h"

namespace casemate {
namespace {

class CommandLayers : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    image_ = dir_ / "image";
    project_ = dir_ / "project";
    for (const char* name : {"usr", "etc/keep", "srv/sub", "root"}) fs::create_directories(image_ / name);
    for (const char* name : {"bin", "sbin", "lib", "lib64"}) fs::create_directory_symlink(std::string("usr/") + name, image_ / name);
    fs::create_directory(project_);
    write(image_ / "etc/file", "image\n");
    write(image_ / "etc/keep/old", "old\n");
    write(image_ / "srv/sub/x", "x\n");
    ::chmod((image_ / "srv").c_str(), 0751);
    auto store = Store::open({.directory = dir_ / "store"});
    ASSERT_TRUE(store);
    store_.emplace(std::move(*store));
  }
  void TearDown() override {
    store_.reset();
    EngineTest::TearDown();
  }

  Root image() const {
    Root root;
    root.image = "dir:" + image_.string();
    root.identity = "test";
    root.layers = {image_};
    return root;
  }
  // The image has no programs; the host's are shown.
  static void show_programs(Job& job) { job.mounts.push_back({.source = "/usr", .target = "/usr"}); }

  Result<Root> layers(Root root, const std::vector<LayerSpec>& specs) {
    const RunJob run = [this](Job job, const std::function<void(Stream, std::string_view)>&) {
      ++runs_;
      show_programs(job);
      job.network = Network::none;  // what it reaches is another test's
      return engine_->run(std::move(job));
    };
    TRY(add_layers(root, specs, {*store_, project_, run, {}}));
    return root;
  }
  static LayerSpec shell_layer(const std::string& script) { return CommandLayer{{"/bin/sh", "-c", script}}; }

  std::string output(const Root& root, const std::string& script) {
    Job job = shell(script);
    EXPECT_TRUE(put_root(job, root));
    show_programs(job);
    return EngineTest::output(std::move(job));
  }

  fs::path image_;
  fs::path project_;
  std::optional<Store> store_;
  int runs_ = 0;
};

TEST_F(CommandLayers, what_a_command_changes_is_a_layer_made_once) {
  const std::vector<LayerSpec> specs = {
      shell_layer("umask 0; echo new > /etc/new; chmod 0640 /etc/new; echo changed > /etc/file; rm /etc/keep/old; rm -r /srv/sub; "
                  "mkdir -m 0777 /srv/open; ln -s new /etc/link; printf '#!/bin/sh\\necho tool' > /root/tool; chmod 755 /root/tool")};
  const auto root = layers(image(), specs);
  ASSERT_TRUE(root) << root.error().what;
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(output(*root, "cat /etc/new /etc/file /etc/link; ls /etc/keep /srv; /root/tool; stat -c '%a %n' /etc/new /srv /srv/open /etc"),
            "new\nchanged\nnew\n/etc/keep:\n\n/srv:\nopen\ntool\n640 /etc/new\n751 /srv\n777 /srv/open\n755 /etc\n");
  EXPECT_EQ(read(image_ / "etc/file"), "image\n");
  const auto again = layers(image(), specs);
  ASSERT_TRUE(again);
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(again->layers, root->layers);
  Root other = image();
  other.identity = "other";
  ASSERT_TRUE(layers(other, specs));
  EXPECT_EQ(runs_, 2) << "another root, another layer";
}

TEST_F(CommandLayers, a_command_may_be_as_much_root_as_a_package_manager_needs) {
  const auto root =
      layers(image(), {shell_layer("echo x > /shut && chmod 0 /shut && cat /shut > /srv/read && chown 0:0 /shut && mkdir /own && "
                                   "setpriv --regid 0 --clear-groups true 2>/dev/null; cat /proc/self/status | grep CapEff > /srv/caps")});
  ASSERT_TRUE(root) << root.error().what;
  // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID and nothing else.
  EXPECT_EQ(output(*root, "cat /srv/read /srv/caps"), "x\nCapEff:\t00000000000000fb\n");
}

TEST_F(CommandLayers, a_command_sees_the_layers_below_it) {
  write(project_ / "input", "of the project\n");
  const auto root = layers(image(), {PathsLayer{{"input"}, {}}, shell_layer("tr a-z A-Z < /input > /output")});
  ASSERT_TRUE(root) << root.error().what;
  EXPECT_EQ(output(*root, "cat /output"), "OF THE PROJECT\n");
}

TEST_F(CommandLayers, a_failed_command_leaves_nothing_and_its_last_words_are_told) {
  const auto root = layers(image(), {shell_layer("echo one; echo two >&2; exit 3")});
  ASSERT_FALSE(root);
  EXPECT_EQ(root.error().code, ErrorCode::refused);
  EXPECT_TRUE(root.error().what.starts_with("layers[0]: command '/bin/sh -c ")) << root.error().what;
  EXPECT_NE(root.error().what.find("'exited 3'"), std::string::npos) << root.error().what;
  EXPECT_NE(root.error().what.find("two"), std::string::npos) << root.error().what;
  EXPECT_EQ(root.error().what.find('\n'), std::string::npos);
  EXPECT_TRUE(store_->entries()->empty());
}

TEST_F(CommandLayers, without_a_gateway_a_command_runs_without_network) {
  std::vector<Network> asked;
  const RunJob run = [&](Job job, const std::function<void(Stream, std::string_view)>&) -> Result<JobResult> {
    asked.push_back(job.network);
    if (job.network == Network::outbound) return fail(ErrorCode::not_supported, "network 'outbound' needs what is not here");
    show_programs(job);
    return engine_->run(std::move(job));
  };
  Root root = image();
  ASSERT_TRUE(add_layers(root, {shell_layer("echo x > /made; mkfifo /root/pipe")}, {*store_, project_, run, {}}));
  EXPECT_EQ(asked, (std::vector<Network>{Network::outbound, Network::none}));
  ASSERT_EQ(root.notes.size(), 2u);
  EXPECT_NE(root.notes[0].find("no gateway on this host: the command ran without network"), std::string::npos) << root.notes[0];
  EXPECT_TRUE(root.notes[1].starts_with("layers[0]: command ")) << root.notes[1];
  EXPECT_NE(root.notes[1].find("left out: /root/pipe (fifo)"), std::string::npos) << root.notes[1];
  EXPECT_EQ(output(root, "cat /made"), "x\n");
  Root other = image();
  const auto failed = add_layers(other, {shell_layer("exit 4")}, {*store_, project_, run, {}});
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().what.find("'exited 4' (no gateway on this host"), std::string::npos) << failed.error().what;
  const RunJob broken = [](const Job&, const auto&) -> Result<JobResult> { return fail(ErrorCode::system, "it is broken"); };
  const auto named = add_layers(other, {shell_layer("exit 5")}, {*store_, project_, broken, {}});
  ASSERT_FALSE(named);
  EXPECT_TRUE(named.error().what.starts_with("layers[0]: command ")) << named.error().what;
}

TEST_F(CommandLayers, a_cell_shows_a_delta_over_its_base) {
  fs::create_directories(project_ / "pkg");
  for (int i = 0; i < 100; ++i) write(project_ / "pkg" / ("f" + std::to_string(i) + ".py"), std::to_string(i));
  const LayerSpec spec = GlobLayer{.glob = "**.py", .prefix = {.prepend_prefix = "/app"}};
  ASSERT_TRUE(layers(image(), {spec}));
  write(project_ / "pkg/f7.py", "seven");
  fs::remove(project_ / "pkg/f8.py");
  const auto root = layers(image(), {spec});
  ASSERT_TRUE(root) << root.error().what;
  ASSERT_EQ(root->layers.size(), 3u);
  EXPECT_EQ(output(*root,
                   "cat /app/pkg/f7.py /app/pkg/f9.py; ls /app/pkg | wc -l; test -e /app/pkg/f8.py || echo gone; id -u; "
                   "stat -c %u /app/pkg/f9.py; echo mine > /app/pkg/f9.py && cat /app/pkg/f9.py"),
            "seven999\ngone\n0\n0\nmine\n");
}

TEST_F(CommandLayers, project_files_over_the_host) {
  write(project_ / "tool", "#!/bin/sh\necho tool\n");
  ::chmod((project_ / "tool").c_str(), 0755);
  auto root = layers(Root(), {PathsLayer{{"tool"}, {.prepend_prefix = "/opt/ours"}}, StubsLayer{{"/work/dir/"}}});
  ASSERT_TRUE(root) << root.error().what;
  Job job = shell("/opt/ours/tool; ls /work; ls -d /opt");
  ASSERT_TRUE(put_root(job, *root));
  EXPECT_EQ(EngineTest::output(std::move(job)), "tool\ndir\n/opt\n");
}

}  // namespace
}  // namespace casemate
