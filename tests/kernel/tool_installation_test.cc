// Tools installed in real cells on a Debian made by tests/images/make, by the package managers themselves from the caller's registries.
#include <optional>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/digest.h"
#include "casemate/engine.h"
#include "engine/run_job.h"
#include "image/project_layers.h"
#include "image/root.h"
#include "scratch.h"
#include "sys/process.h"
#include "testplan/checks.h"
#include "testplan/first_plan.h"
#include "testplan/installation.h"
#include "testplan/plan_reading.h"

namespace casemate {
namespace {

// The image is unpacked once for all tests: into a store that they share. So is what several of them install.
class ToolInstallation : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* named = std::getenv("CASEMATE_IMAGES");
    const fs::path layout = fs::path(named ? named : CASEMATE_SOURCE_DIR "/build/images") / "python3.11";
    if (::geteuid() != 0) missing_ = "installing packages over a network was shown once, as root";
    if (::access((layout / "index.json").c_str(), R_OK) != 0)
      missing_ = fmt::format("no image {}: tests/images/make makes it", layout.string());
    if (!missing_.empty()) return;
    std::string name = "/var/tmp/casemate_test.XXXXXX";  // too much for a tmpfs
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    shared_ = name;
    auto store = Store::open({.directory = shared_ / "cache"});
    ASSERT_TRUE(store) << store.error().what;
    store_.emplace(std::move(*store));
    const auto reference = parse_image_reference("oci:" + layout.string());
    ASSERT_TRUE(reference) << reference.error().what;
    auto root = open_root(*store_, *reference, {});
    ASSERT_TRUE(root) << root.error().what;
    // The indexes of packages are fetched once for all tests: asking whether they are up to date takes half a second.
    auto engine = Engine::create();
    ASSERT_TRUE(engine) << engine.error().what;
    const LayerContext context{*store_, shared_, run_jobs_on(**engine), {}};
    const auto updated = add_layers(*root, {CommandLayer{{"/usr/bin/apt-get", "-o", "APT::Sandbox::User=root", "update"}}}, context);
    ASSERT_TRUE(updated) << updated.error().what;
    root_ = std::move(*root);
  }
  static void TearDownTestSuite() {
    with_curl_.reset();
    root_.reset();
    store_.reset();
    if (!shared_.empty()) fs::remove_all(shared_);
  }
  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << missing_;
    ASSERT_TRUE(root_);
    auto made = Engine::create();
    ASSERT_TRUE(made) << made.error().what;
    engine_ = std::move(*made);
    dir_ = shared_ / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directory(dir_);
  }
  void TearDown() override {
    for (const std::string& name : set_) ::unsetenv(name.c_str());
    engine_.reset();
  }

  static Job bare() {
    Job job;
    EXPECT_TRUE(put_root(job, *root_));
    job.env = {{"PATH", std::string(kDefaultPath)}, {"LANG", "C.UTF-8"}};
    job.limits = default_limits();
    return job;
  }
  InstallSurroundings around() { return {.engine = *engine_, .store = &*store_, .wait = std::chrono::milliseconds(10)}; }
  std::expected<InstalledTool, InstallFailure> install(const InstallRequest& request, const std::string& tool, Job base) {
    InstallSurroundings surroundings = around();
    auto done = install_tool(request, tool, std::move(base), surroundings);
    if (done) RecordProperty("took_ms", static_cast<int>(done->took.count()));
    return done;
  }
  std::expected<InstalledTool, InstallFailure> install(const std::string& word, const std::string& tool) {
    const auto request = parse_install({word});
    EXPECT_TRUE(request) << request.error().what;
    return install(*request, tool, bare());
  }
  std::expected<InstalledTool, InstallFailure> run_script(const std::string& text, const std::string& tool = "tool") {
    return install({.strategy = "script", .source = text}, tool, bare());
  }
  // What a command says on the root with the tool.
  std::string output(const Job& base, const std::string& script) {
    Job job = base;
    job.argv = {"/bin/sh", "-c", script};
    auto result = engine_->run(std::move(job));
    EXPECT_TRUE(result) << result.error().what;
    return result ? result->output.merged : "";
  }
  // All there is to say about a tool that installs: it runs, and the second time nothing is installed.
  void installs(const std::string& word, const std::string& tool, const std::string& script, const std::string& says) {
    const auto first = install(word, tool);
    ASSERT_TRUE(first) << first.error().error.what << "\n" << first.error().log;
    EXPECT_FALSE(first->cached);
    EXPECT_EQ(first->attempts, 1u);
    EXPECT_EQ(output(first->base, script), says);
    const auto began = std::chrono::steady_clock::now();
    const auto second = install(word, tool);
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
    ASSERT_TRUE(second) << second.error().error.what;
    EXPECT_TRUE(second->cached);
    EXPECT_EQ(second->attempts, 0u);
    EXPECT_EQ(second->version, first->version);
    EXPECT_EQ(second->log, first->log);
    EXPECT_EQ(second->base.root, first->base.root);
    EXPECT_EQ(output(second->base, script), says);
    std::printf("            %s (%s): first %ld ms, second %ld us\n", word.c_str(), first->version.c_str(),
                static_cast<long>(first->took.count()), static_cast<long>(took.count()));
  }
  static void fails(const std::expected<InstalledTool, InstallFailure>& done, ErrorCode code, const std::string& text) {
    ASSERT_FALSE(done) << done->version;
    EXPECT_EQ(done.error().error.code, code);
    EXPECT_NE(done.error().error.what.find(text), std::string::npos) << done.error().error.what << "\n" << done.error().log;
    EXPECT_EQ(done.error().error.what.find('\n'), std::string::npos);
  }
  void set(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }
  // A root that has curl, made by the first test that asks.
  Job with_curl() {
    if (!with_curl_) {
      auto made = install("apt:curl", "curl");
      EXPECT_TRUE(made) << made.error().error.what << "\n" << made.error().log;
      if (!made) return bare();
      with_curl_ = std::move(*made);
    }
    return with_curl_->base;
  }
  std::string archive(const std::string& name, const std::string& how) {
    const auto made = run_program({"/bin/sh", "-c", "cd \"$0\" && " + how, dir_}, std::chrono::seconds(30));
    EXPECT_TRUE(made && made->end.code == 0) << made->err;
    return dir_ / name;
  }

  static std::string missing_;
  static fs::path shared_;
  static std::optional<Store> store_;
  static std::optional<Root> root_;
  static std::optional<InstalledTool> with_curl_;
  std::unique_ptr<Engine> engine_;
  fs::path dir_;
  std::vector<std::string> set_;
};

std::string ToolInstallation::missing_;
fs::path ToolInstallation::shared_;
std::optional<Store> ToolInstallation::store_;
std::optional<Root> ToolInstallation::root_;
std::optional<InstalledTool> ToolInstallation::with_curl_;

constexpr const char* kTool = "printf '#!/bin/sh\\necho tool 1.2\\n' > /usr/local/bin/tool && chmod 755 /usr/local/bin/tool";

TEST_F(ToolInstallation, a_debian_package) {
  installs("apt:jq", "jq", "echo '{\"a\":7}' | jq .a; ls -A /var/lib/apt/lists; ls -d /casemate/* 2>/dev/null", "7\n");
}

TEST_F(ToolInstallation, a_debian_package_whose_program_has_another_name) {
  installs("apt:ripgrep", "rg", "echo needle | rg -o eed", "eed\n");
}

TEST_F(ToolInstallation, a_package_from_pypi_and_its_python_first_on_path) {
  installs("pip:httpie==3.2.2", "http", "http --version; python3 -c 'import httpie; print(httpie.__version__)'", "3.2.2\n3.2.2\n");
}

TEST_F(ToolInstallation, another_one_with_more_than_one_program) {
  installs("pip:csvkit", "csvcut", "printf 'a,b\\n1,2\\n' | csvcut -c b; printf 'a,b\\n1,2\\n' | csvjson",
           "b\n2\n[{\"a\": true, \"b\": 2.0}]");
}

TEST_F(ToolInstallation, what_nobody_said_is_found_out_once) {
  const auto there = install(InstallRequest(), "sed", bare());
  ASSERT_TRUE(there) << there.error().error.what;
  EXPECT_EQ(there->strategy, "none");
  EXPECT_EQ(there->base.root, bare().root);
  EXPECT_TRUE(there->version.starts_with("sed ")) << there->version;
  const auto again = install(InstallRequest(), "sed", bare());
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->cached);
  const auto packaged = install(InstallRequest(), "hello", bare());
  ASSERT_TRUE(packaged) << packaged.error().error.what << "\n" << packaged.error().log;
  EXPECT_EQ(packaged->strategy, "apt");
  EXPECT_EQ(output(packaged->base, "hello"), "Hello, world!\n");
  const auto second = install(InstallRequest(), "hello", bare());
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->cached);
  EXPECT_EQ(second->strategy, "apt");
  EXPECT_EQ(second->used, (InstallRequest{.strategy = "apt", .packages = {"hello"}}));
  fails(install(InstallRequest(), "no-such-tool-zz", bare()), ErrorCode::not_found, "how is 'no-such-tool-zz' to be installed?");
  const auto told = install({.source = std::string(kTool)}, "tool", bare());
  ASSERT_TRUE(told) << told.error().error.what;
  EXPECT_EQ(told->strategy, "script");
  EXPECT_EQ(told->version, "tool 1.2");
}

TEST_F(ToolInstallation, what_does_not_exist_is_not_tried_again) {
  const auto package = install("apt:no-such-package-zz", "jq");
  fails(package, ErrorCode::refused, "installing jq by apt failed: E: Unable to locate package no-such-package-zz");
  EXPECT_EQ(package.error().log.find("casemate's try"), std::string::npos);
  fails(install("apt:jq=0.1", "jq"), ErrorCode::refused, "E: Version '0.1' for 'jq' was not found");
  fails(install("pip:httpie==0.0.77", "http"), ErrorCode::refused, "ERROR: No matching distribution found for httpie==0.0.77");
}

TEST_F(ToolInstallation, what_installs_but_does_not_run_is_kept_by_nobody) {
  const std::string broken =
      "printf '#!/bin/sh\\necho \"tool: libfoo.so.1: cannot open\" >&2\\nexit 127\\n' > /usr/local/bin/tool && chmod 755 "
      "/usr/local/bin/tool";
  for (int i = 0; i < 2; ++i) {
    const auto done = run_script(broken + " && echo ran");
    fails(done, ErrorCode::refused,
          "tool is installed but does not run: 'tool --version' ended with 'exited 127': tool: libfoo.so.1: cannot open");
    EXPECT_NE(done.error().log.find("ran\n"), std::string::npos) << done.error().log;
  }
  fails(run_script("true"), ErrorCode::refused, "there is no tool on PATH");
  const InstallRequest old{.strategy = "script", .source = kTool, .verify_pattern = "tool 2\\."};
  fails(install(old, "tool", bare()), ErrorCode::refused, "it says 'tool 1.2', which 'tool 2\\.' does not match");
  InstallRequest own = old;
  own.verify = "tool | tr a-z A-Z";
  own.verify_pattern = "^TOOL";
  const auto done = install(own, "tool", bare());
  ASSERT_TRUE(done) << done.error().error.what;
  EXPECT_EQ(done->version, "TOOL 1.2");
}

TEST_F(ToolInstallation, limits_end_a_try_in_one_line) {
  InstallSurroundings small = around();
  small.limits.disk_bytes = 8ull << 20;
  fails(install_tool({.strategy = "script", .source = "head -c 20M /dev/zero > /big"}, "tool", bare(), small), ErrorCode::exhausted,
        "installing tool by script ran out of disk (8.0 MiB)");
  InstallSurroundings quick = around();
  quick.limits.wall = std::chrono::milliseconds(300);
  fails(install_tool({.strategy = "script", .source = "echo waiting; sleep 60"}, "tool", bare(), quick), ErrorCode::exhausted,
        "installing tool by script took longer than it may (300 ms): waiting");
}

TEST_F(ToolInstallation, a_script_has_its_own_interpreter_and_no_secret_comes_out) {
  set("CARGO_REGISTRY_TOKEN", "hidden-token-77");
  const auto done =
      run_script(fmt::format("#!/usr/bin/python3\nimport os, sys\nprint('token', os.environ['CARGO_REGISTRY_TOKEN'])\n"
                             "print('at', 'https://user:word@host/x')\nsys.exit(os.system({:?}))\n",
                             kTool));
  ASSERT_TRUE(done) << done.error().error.what << done.error().log;
  EXPECT_NE(done->log.find("token ***\nat https://***@host/x\n"), std::string::npos) << done->log;
  EXPECT_EQ(output(done->base, "tool; env | grep -c TOKEN"), "tool 1.2\n0\n");
  // Nor in what is told meanwhile, nor in the error.
  std::string told;
  InstallSurroundings heard = around();
  heard.progress = [&](std::string_view line) { told += fmt::format("{}\n", line); };
  heard.output = heard.progress;
  fails(install_tool({.strategy = "script", .source = "echo \"error: $CARGO_REGISTRY_TOKEN\"; exit 1"}, "tool", bare(), heard),
        ErrorCode::refused, "failed: error: ***");
  EXPECT_NE(told.find("error: ***\n"), std::string::npos) << told;
  EXPECT_EQ(told.find("hidden-token-77"), std::string::npos) << told;
  // A failure of a command in the middle ends it.
  fails(run_script("echo one\nfalse\n" + std::string(kTool)), ErrorCode::refused, "failed: one");
}

TEST_F(ToolInstallation, another_time_is_asked_for) {
  const std::string script = std::string(kTool) + "; date +%N > /stamp";
  auto first = run_script(script);
  ASSERT_TRUE(first);
  const std::string stamp = output(first->base, "cat /stamp");
  auto second = run_script(script);
  ASSERT_TRUE(second);
  EXPECT_EQ(output(second->base, "cat /stamp"), stamp);
  first->leases.clear();
  second->leases.clear();
  InstallSurroundings anew = around();
  anew.again = true;
  const auto third = install_tool({.strategy = "script", .source = script}, "tool", bare(), anew);
  ASSERT_TRUE(third) << third.error().error.what;
  EXPECT_FALSE(third->cached);
  EXPECT_NE(output(third->base, "cat /stamp"), stamp);
}

TEST_F(ToolInstallation, an_archive_of_the_host) {
  const std::string tar =
      archive("tool-1.tar.gz",
              "mkdir -p tool-1/bin tool-1/share && printf '#!/bin/sh\\necho tool 3\\n' > "
              "tool-1/bin/tool && chmod 755 tool-1/bin/tool && echo data > tool-1/share/x && tar czf tool-1.tar.gz tool-1");
  installs("archive:" + tar, "tool", "ls -l /usr/local/bin/tool | sed 's/.*-> //'; cat /opt/tool/tool-1/share/x",
           "/opt/tool/tool-1/bin/tool\ndata\n");
  const std::string lie(64, 'a');
  fails(install("archive:" + tar + "#sha256=" + lie, "tool"), ErrorCode::refused, "and sha256:" + lie + " was asked for");
  const std::string empty = archive("empty.tar.xz", "mkdir e && echo x > e/readme && tar cJf empty.tar.xz e");
  fails(install("archive:" + empty, "tool"), ErrorCode::refused, "the archive has no executable file in bin/ or at its top");
  const std::string none = archive("none.tar.gz", "echo no archive > none.tar.gz");
  fails(install("archive:" + none, "tool"), ErrorCode::refused, "installing tool by archive failed: ");
}

// Paths that lead out, links to outside followed by files below them, a device, names like options: whatever it does, it does to its cell.
TEST_F(ToolInstallation, a_hostile_archive_reaches_nothing_of_the_host) {
  const fs::path bait = dir_ / "bait";
  write(bait, "host\n");
  const std::string tar = archive("evil.tar", fmt::format(R"(python3 - <<'END'
import io, tarfile
out = tarfile.open('evil.tar', 'w')
def add(name, text=b'', **more):
    info = tarfile.TarInfo(name)
    info.size = len(text)
    for key, value in more.items(): setattr(info, key, value)
    out.addfile(info, io.BytesIO(text))
add('bin/tool', b'#!/bin/sh\necho tool 6\n', mode=0o4755, uid=12345)
add('bin/-rf', b'#!/bin/sh\n', mode=0o755)
add('../../../../../../{0}', b'evil\n')
add('{0}', b'evil\n')
add('out', type=tarfile.SYMTYPE, linkname='{1}')
add('out/bait', b'evil\n')
out.close()
END)",
                                                          bait.string(), dir_.string()));
  const auto done = install("archive:" + tar, "tool");
  // Tar refuses some of it and says so, or leaves it out.
  if (done) EXPECT_EQ(output(done->base, "tool"), "tool 6\n");
  EXPECT_EQ(read(bait), "host\n");
  EXPECT_FALSE(fs::is_symlink(bait));
}

// A server whose first answers break off in the middle.
constexpr const char* kServer = R"(
import http.server, os, sys
data, cuts = open(sys.argv[1], 'rb').read(), int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global cuts
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2] if cuts else data)
        cuts -= bool(cuts)
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
os.write(1, b'%d\n' % server.server_address[1])
server.serve_forever()
)";

// Its process, ended with the test.
class Server {
 public:
  Server(const std::string& file, int cuts) {
    const std::string line = fmt::format("exec python3 -c \"$0\" {} {}", file, cuts);
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], 1);
      ::close(ends[0]);
      ::execl("/bin/sh", "sh", "-c", line.c_str(), kServer, nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    char text[16] = {};
    EXPECT_GT(::read(ends[0], text, sizeof text - 1), 0);
    ::close(ends[0]);
    port_ = std::atoi(text);
  }
  ~Server() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  [[nodiscard]] std::string url(const std::string& name) const { return fmt::format("http://127.0.0.1:{}/{}", port_, name); }

 private:
  pid_t pid_ = -1;
  int port_ = 0;
};

TEST_F(ToolInstallation, a_network_that_is_cut_is_tried_again) {
  const std::string tar =
      archive("tool.tar.gz",
              "mkdir bin && printf '#!/bin/sh\\necho tool 5\\n' > bin/tool && chmod 755 bin/tool && head -c 100000 /dev/urandom "
              "> noise && tar czf tool.tar.gz bin noise");
  const auto fd = open_file(tar, O_RDONLY);
  ASSERT_TRUE(fd);
  const std::string digest = "sha256:" + *sha256_hex_of_fd(fd->get());
  Job base = with_curl();
  base.network = Network::host;  // the server is on loopback
  {
    const Server server(tar, 2);
    std::vector<std::string> told;
    InstallSurroundings surroundings = around();
    surroundings.progress = [&](std::string_view line) { told.emplace_back(line); };
    const auto done =
        install_tool({.strategy = "archive", .source = server.url("tool.tar.gz"), .digest = digest}, "tool", base, surroundings);
    ASSERT_TRUE(done) << done.error().error.what << "\n" << done.error().log;
    EXPECT_EQ(done->attempts, 3u);
    EXPECT_EQ(done->version, "tool 5");
    EXPECT_NE(done->log.find("casemate's try 3:"), std::string::npos);
    EXPECT_TRUE(std::any_of(told.begin(), told.end(),
                            [](const std::string& line) { return line.find("once more in 20 ms") != std::string::npos; }));
    EXPECT_EQ(std::count(told.begin(), told.end(), "installing tool by archive, try 3 of 4"), 1);
  }
  {
    const Server server(tar, 99);
    const InstallRequest request{.strategy = "archive", .source = server.url("tool.tar.gz"), .digest = digest};
    const auto done = install(request, "tool", base);
    fails(done, ErrorCode::refused, "installing tool by archive failed: curl: (18) ");
    EXPECT_NE(done.error().error.what.find("(4 tries)"), std::string::npos) << done.error().error.what;
  }
  {
    const Server server(tar, 0);
    const InstallRequest request{.strategy = "archive", .source = server.url("tool.tar.gz"), .digest = "sha256:" + std::string(64, '0')};
    const auto done = install(request, "tool", base);
    fails(done, ErrorCode::refused, "the archive has the digest " + digest);
    EXPECT_EQ(done.error().log.find("casemate's try"), std::string::npos);
  }
}

TEST_F(ToolInstallation, on_the_host_pip_makes_an_environment_and_nothing_else_can) {
  Job base;
  base.env = {{"PATH", "/usr/bin:/bin"}};
  base.limits = default_limits();
  const InstallRequest six{
      .strategy = "pip", .packages = {"six==1.16.0"}, .verify = "python3 -c 'import six; print(six.__version__, six.__file__)'"};
  const auto done = install(six, "six", base);
  ASSERT_TRUE(done) << done.error().error.what << "\n" << done.error().log;
  EXPECT_TRUE(done->version.starts_with("1.16.0 /casemate/env/")) << done->version;
  const auto again = install(six, "six", base);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->cached);
  const auto there = install({.strategy = "none"}, "sed", base);
  ASSERT_TRUE(there) << there.error().error.what;
  EXPECT_TRUE(there->version.starts_with("sed ")) << there->version;
  fails(install({.strategy = "none"}, "no-such-tool-zz", base), ErrorCode::refused, "no-such-tool-zz is there but does not run");
  fails(install({.strategy = "apt", .packages = {"jq"}}, "jq", base), ErrorCode::not_supported,
        "on image 'host' apt can't install anything");
  fails(install(InstallRequest(), "no-such-tool-zz", base), ErrorCode::not_found, "how is 'no-such-tool-zz' to be installed?");
}

TEST_F(ToolInstallation, a_first_plan_of_a_real_tool_is_a_plan) {
  for (const char* tool : {"pip", "apt-get", "dpkg"}) {
    const FirstPlanRequest request{.tool = tool, .install = {.strategy = "none"}, .commands = 2};
    const auto made = first_plan(request, ask_in_cells(*engine_, bare()));
    ASSERT_TRUE(made) << made.error().what;
    const auto again = first_plan(request, ask_in_cells(*engine_, bare()));
    ASSERT_TRUE(again);
    EXPECT_EQ(made->document.dump(1), again->document.dump(1));
    const auto plan = read_plan({made->document, DocumentFormat::yaml}, tool);
    ASSERT_TRUE(plan) << plan.error().what;
    std::set<std::string> ids;
    for (const PlanCase& one : plan->cases) ids.insert(one.id);
    for (const char* id : {"version", "help", "unknown-option"}) EXPECT_TRUE(ids.contains(id)) << tool << " " << made->document.dump(1);
    if (std::string(tool) == "pip") EXPECT_TRUE(ids.contains("help-install") && ids.contains("help-download")) << made->document.dump(1);
    // What is expected is what comes.
    for (const PlanCase& one : plan->cases) {
      Job job = bare();
      job.argv = {"/bin/sh", "-c", one.steps.at(0).command};
      const auto result = engine_->run(std::move(job));
      ASSERT_TRUE(result);
      EXPECT_EQ(result->outcome.code, *one.steps[0].expected.exit_code) << one.id;
      for (const std::string& text : one.steps[0].expected.output) EXPECT_TRUE(contains_ignoring_case(result->output.out, text)) << one.id;
      for (const std::string& text : one.steps[0].expected.error) EXPECT_TRUE(contains_ignoring_case(result->output.err, text)) << one.id;
    }
  }
}

// Compilers, and npm with its hundreds of Debian packages: minutes. tests/suites runs them.
class SlowToolInstallation : public ToolInstallation {
 protected:
  static void SetUpTestSuite() {
    if (std::getenv("CASEMATE_TEST_SLOW_INSTALLATIONS")) return ToolInstallation::SetUpTestSuite();
    missing_ = "takes minutes: ./dev test suites runs it";
  }
};

TEST_F(SlowToolInstallation, a_package_from_the_npm_registry) {
  installs("npm:prettier@3.3.3", "prettier", "echo 'a  =  1' | prettier --parser babel", "a = 1;\n");
  fails(install("npm:prettier@99.99.99", "prettier"), ErrorCode::refused, "installing prettier by npm failed: npm ");
}

TEST_F(SlowToolInstallation, a_go_module) {
  installs("go:mvdan.cc/sh/v3/cmd/shfmt@v3.6.0", "shfmt", "echo 'if a; then b;fi' | shfmt", "if a; then b; fi\n");
}

// Debian 12's own cargo is too old for the registry's index; its updates have a young one.
TEST_F(SlowToolInstallation, a_crate) {
  Root root = *root_;
  const LayerContext context{*store_, shared_, run_jobs_on(*engine_), {}};
  const std::string updates =
      "sed -n 's,/debian bookworm ,/debian-security bookworm-security ,p' /etc/apt/sources.list > /etc/apt/sources.list.d/updates.list";
  ASSERT_TRUE(add_layers(root, {CommandLayer{{"/bin/sh", "-c", updates}}}, context));
  Job base = bare();
  base.root = root.layers;
  const InstallRequest crate{.strategy = "cargo", .packages = {"hexyl@0.14.0"}};
  const auto first = install(crate, "hexyl", base);
  ASSERT_TRUE(first) << first.error().error.what << "\n" << first.error().log;
  EXPECT_EQ(first->version, "hexyl 0.14.0");
  const auto second = install(crate, "hexyl", base);
  ASSERT_TRUE(second) << second.error().error.what;
  EXPECT_TRUE(second->cached);
  std::printf("            cargo:hexyl@0.14.0: first %ld ms, second %ld ms\n", static_cast<long>(first->took.count()),
              static_cast<long>(second->took.count()));
}

}  // namespace
}  // namespace casemate
