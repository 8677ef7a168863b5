// Environments with the real engine, real installers and packages made here, from a directory or an index on the loopback; and a few from
// PyPI.
#include "image/environment.h"

#include <atomic>
#include <csignal>
#include <map>
#include <optional>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "casemate/engine.h"
#include "engine/run_job.h"
#include "scratch.h"
#include "sys/process.h"

namespace casemate {
namespace {

// Writes wheels and source archives, and an index of them for http.server.
constexpr const char* kPackages = R"(
import io, os, sys, tarfile, zipfile
top = sys.argv[1]
os.makedirs(top + '/links', exist_ok=True)
def wheel(name, version, body, requires=(), script=None):
    info = '%s-%s.dist-info' % (name, version)
    meta = 'Metadata-Version: 2.1\nName: %s\nVersion: %s\n' % (name, version) + ''.join('Requires-Dist: %s\n' % r for r in requires)
    files = {name + '/__init__.py': body, info + '/METADATA': meta, info + '/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n'}
    if script: files[info + '/entry_points.txt'] = '[console_scripts]\n%s\n' % script
    record = ''.join('%s,,\n' % f for f in list(files) + [info + '/RECORD'])
    with zipfile.ZipFile('%s/links/%s-%s-py3-none-any.whl' % (top, name, version), 'w') as z:
        for path, text in list(files.items()) + [(info + '/RECORD', record)]: z.writestr(path, text)
def source(name, version, body, backend):
    files = {'pyproject.toml': '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n', 'PKG-INFO': 'Metadata-Version: 1.0\nName: %s\nVersion: %s\n' % (name, version),
             'backend.py': backend % {'name': name, 'version': version, 'body': body}}
    with tarfile.open('%s/links/%s-%s.tar.gz' % (top, name, version), 'w:gz') as t:
        for path, text in files.items():
            member = tarfile.TarInfo('%s-%s/%s' % (name, version, path))
            member.size = len(text)
            t.addfile(member, io.BytesIO(text.encode()))
build = '''
import os, zipfile
for place in ('/casemate/workshop/cache', os.environ.get('UV_CACHE_DIR', '/nowhere')):
    try: open(place + '/poison', 'w').close()
    except OSError: pass
def build_wheel(directory, config_settings=None, metadata_directory=None):
    info = '%(name)s-%(version)s.dist-info'
    files = {'%(name)s/__init__.py': '''  + "'''%(body)s'''" + ''', info + '/METADATA': 'Metadata-Version: 2.1\\nName: %(name)s\\nVersion: %(version)s\\n', info + '/WHEEL': 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'}
    files[info + '/RECORD'] = ''.join(f + ',,\\n' for f in list(files) + [info + '/RECORD'])
    name = '%(name)s-%(version)s-py3-none-any.whl'
    with zipfile.ZipFile(os.path.join(directory, name), 'w') as z:
        for path, text in files.items(): z.writestr(path, text)
    return name
'''
# In the cell the victim's path is a copy of the tree, so that the installer goes on and succeeds.
swap = '''
import os, shutil
tree = os.path.realpath('/casemate/env')
bench = os.path.dirname(tree)
if os.path.exists('VICTIM'): pass  # imported again
elif '%(name)s' == 'caseswapstree':
    shutil.copytree(tree, 'VICTIM', symlinks=True)
    os.rename(tree, tree + '.old')
    os.symlink('VICTIM', tree)
elif '%(name)s' == 'caseswapsbench':
    shutil.copytree(tree, 'VICTIM', symlinks=True)
    shutil.copytree(bench, bench + '.copy', symlinks=True)
    shutil.rmtree(bench + '.copy/tree')
    os.symlink('VICTIM', bench + '.copy/tree')
    os.rename(bench, bench + '.old')
    os.rename(bench + '.copy', bench)
'''.replace('VICTIM', sys.argv[2])
source('casegreedy', '1.0', '', '''
import os, time
for i in range(48):
    with open(os.environ['TMPDIR'] + '/%%d' %% i, 'wb') as f: os.posix_fallocate(f.fileno(), 0, 1 << 20)
time.sleep(120)
''')
source('caseswapstree', '1.0', '', build + swap)
source('caseswapsbench', '1.0', '', build + swap)
wheel('casefour', '1.0', 'VALUE = 41')
wheel('casefour', '1.1', 'VALUE = 42', script='casefour-say = casefour:say')
wheel('caseneeds', '1.0', '', requires=['casefour<1.1'])
wheel('casemixed', '1.0', 'VALUE = 1')
source('casemixed', '2.0', 'VALUE = 2', build)
source('casebroken', '1.0', '', 'raise SystemExit("the build fell over")')
for file in os.listdir(top + '/links'):
    page = top + '/simple/' + file.split('-')[0]
    os.makedirs(page, exist_ok=True)
    with open(page + '/index.html', 'a') as f: f.write('<a href="../../links/%s">%s</a>\n' % (file, file))
)";

// `python -m http.server` on a port of its own.
class Index {
 public:
  explicit Index(const std::string& directory) {
    auto pipe = make_pipe();
    int pidfd = -1;
    const pid_t pid = clone_process(0, -1, &pidfd);
    if (pid == 0) {
      ::dup2(pipe->write.get(), 1);
      ::execl("/usr/bin/python3", "python3", "-u", "-c",
              "import functools, http.server, sys\n"
              "h = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])\n"
              "s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), h)\nprint(s.server_address[1])\nsys.stderr = open('/dev/null', "
              "'w')\ns.serve_forever()",
              directory.c_str(), nullptr);
      ::_exit(127);
    }
    process_ = ChildProcess(pid, UniqueFd(pidfd));
    pipe->write.reset();
    std::string text;
    for (char c = 0; ::read(pipe->read.get(), &c, 1) == 1 && c != '\n';) text += c;
    port_ = std::atoi(text.c_str());
  }
  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}/simple", port_); }

 private:
  ChildProcess process_;
  int port_ = 0;
};

using Made = std::expected<Environment, EnvironmentFailure>;

class Environments : public Scratch, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    Scratch::SetUp();
    if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no /usr/bin/python3";
    set("CASEMATE_CACHE_DIR", top_ / "cache");
    if (std::string(GetParam()) == "pip") set("CASEMATE_UV", "none");
    if (std::string(GetParam()) == "uv" && find_uv().empty()) GTEST_SKIP() << "no uv on this host";
    auto engine = Engine::create();
    if (!engine) GTEST_SKIP() << engine.error().what;
    engine_ = std::move(*engine);
    const auto found = find_interpreter("/usr/bin/python3");
    ASSERT_TRUE(found) << found.error().what;
    interpreter_ = *found;
    fs::create_directory(top_ / "index");
    const auto packages = run_program({"/usr/bin/python3", "-c", kPackages, top_ / "index", top_ / "victim"}, std::chrono::seconds(30));
    ASSERT_TRUE(packages);
    ASSERT_EQ(packages->end.code, 0) << packages->err;
    if (interpreter_.version.starts_with("3.11") && std::string(GetParam()) == "pip" &&
        ::access("/usr/lib/python3/dist-packages/pip", F_OK) != 0 && ::access("/usr/lib/python3.11/ensurepip/__main__.py", F_OK) != 0)
      GTEST_SKIP() << "this host's Python has neither pip nor ensurepip";
  }
  void TearDown() override {
    engine_.reset();
    for (auto it = saved_.rbegin(); it != saved_.rend(); ++it)
      it->second ? ::setenv(it->first.c_str(), it->second->c_str(), 1) : ::unsetenv(it->first.c_str());
    Scratch::TearDown();
  }
  void set(const std::string& name, const std::string& value) {
    const char* old = std::getenv(name.c_str());
    saved_.emplace_back(name, old ? std::optional<std::string>(old) : std::nullopt);
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  // Packages come from our directory alone, whatever the person who runs the tests has set.
  std::string from_links(const std::string& packages) {
    return fmt::format("--no-index\n--find-links {}\n{}\n", (top_ / "index/links").string(), packages);
  }

  Made make(const std::string& requirements, std::chrono::milliseconds wall = std::chrono::minutes(3)) {
    write(top_ / "requirements.txt", requirements);
    lines_.clear();
    return make_environment({interpreter_, top_ / "requirements.txt", wall}, run_jobs_on(*engine_),
                            [&](std::string_view line) { lines_.emplace_back(line); });
  }
  JobResult python(const Environment& environment, const std::vector<std::string>& arguments) {
    Job job;
    job.argv = {environment.python};
    job.argv.insert(job.argv.end(), arguments.begin(), arguments.end());
    job.mounts = environment.mounts;
    job.limits = default_limits();
    auto result = engine_->run(std::move(job));
    EXPECT_TRUE(result) << result.error().what;
    return result ? *result : JobResult();
  }
  // No layer, no half-made tree, no bench.
  void expect_nothing_kept() {
    for (const char* place : {"cache/layers", "cache/tmp"}) {
      if (fs::exists(top_ / place)) {
        EXPECT_TRUE(fs::is_empty(top_ / place)) << fs::directory_iterator(top_ / place)->path();
      }
    }
    if (!fs::exists(top_ / "cache/uv")) return;
    for (const auto& entry : fs::directory_iterator(top_ / "cache/uv"))
      EXPECT_FALSE(entry.path().filename().string().starts_with("bench")) << entry.path();
  }
  EnvironmentFailure failure_of(const std::string& requirements, std::chrono::milliseconds wall = std::chrono::minutes(3)) {
    Made made = make(requirements, wall);
    EXPECT_FALSE(made);
    expect_nothing_kept();
    if (made) return {};
    EXPECT_EQ(made.error().error.what.find('\n'), std::string::npos);
    return made.error();
  }

  std::unique_ptr<Engine> engine_;
  Interpreter interpreter_;
  std::vector<std::string> lines_;
  std::vector<std::pair<std::string, std::optional<std::string>>> saved_;
};

TEST_P(Environments, makes_one_once_and_runs_it_read_only) {
  const Made made = make(from_links("casefour"));
  ASSERT_TRUE(made) << made.error().error.what << made.error().log;
  EXPECT_FALSE(made->cached);
  EXPECT_TRUE(made->installer.starts_with(std::string(GetParam()) + " ")) << made->installer;
  EXPECT_NE(made->log.find("casefour"), std::string::npos);
  EXPECT_FALSE(lines_.empty());
  const JobResult ran = python(
      *made,
      {"-c",
       "import casefour, sys\nprint(casefour.VALUE, sys.prefix)\ntry: open(sys.prefix + '/x', 'w')\nexcept OSError as e: print(e.errno)\n"
       "try: import pip\nexcept ImportError: print('bare')"});
  EXPECT_EQ(ran.output.merged, "42 /casemate/env\n30\nbare\n");
  EXPECT_EQ(read(made->layer + "/bin/casefour-say").substr(0, 25), "#!/casemate/env/bin/pytho");
  const Made again = make("# the same\n" + from_links("CASEFOUR # please"));
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->cached);
  EXPECT_EQ(again->key, made->key);
  EXPECT_EQ(again->layer, made->layer);
  EXPECT_EQ(again->installer, made->installer);
  EXPECT_EQ(again->log, "");
  EXPECT_TRUE(lines_.empty());
  const Made other = make(from_links("casefour<1.1"));
  ASSERT_TRUE(other);
  EXPECT_NE(other->key, made->key);
  EXPECT_EQ(python(*other, {"-c", "import casefour; print(casefour.VALUE)"}).output.merged, "41\n");
  auto store = Store::open();
  ASSERT_TRUE(store);
  const auto damage = store->verify();
  ASSERT_TRUE(damage);
  EXPECT_TRUE(damage->empty());
}

TEST_P(Environments, an_empty_file_needs_no_installer) {
  const Made made = make("# nothing\n");
  ASSERT_TRUE(made) << made.error().error.what;
  EXPECT_EQ(made->installer, "none");
  EXPECT_EQ(python(*made, {"-c", "import sys; print(sys.prefix, [p for p in sys.path if 'packages' in p])"}).output.merged,
            fmt::format("/casemate/env ['/casemate/env/{}']\n", interpreter_.site_packages));
}

TEST_P(Environments, compiles_modules_into_a_layer_that_is_found_first) {
  const Made made = make(from_links("casefour"));
  ASSERT_TRUE(made) << made.error().error.what;
  const std::vector<std::string> where{"-c", "import casefour, os; print(os.path.exists(casefour.__cached__))"};
  EXPECT_EQ(python(*made, where).output.merged, "False\n");
  const auto compiled = compile_environment(*made, {interpreter_, "", {}}, run_jobs_on(*engine_));
  ASSERT_TRUE(compiled) << compiled.error().what;
  EXPECT_TRUE(*compiled);
  const Made again = make(from_links("casefour"));
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->cached);
  EXPECT_TRUE(again->bytecode);
  EXPECT_EQ(again->key, made->key);
  EXPECT_EQ(again->installer, made->installer);
  EXPECT_EQ(python(*again, where).output.merged, "True\n");
  EXPECT_EQ(python(*made, where).output.merged, "False\n");
}

TEST_P(Environments, says_in_one_line_what_the_installer_refused) {
  EnvironmentFailure missing = failure_of(from_links("six-that-is-not-there"));
  EXPECT_EQ(missing.error.code, ErrorCode::refused);
  EXPECT_TRUE(missing.error.what.starts_with(fmt::format("{} could not install the requirements: ", GetParam()))) << missing.error.what;
  EXPECT_NE(missing.error.what.find("six-that-is-not-there"), std::string::npos) << missing.error.what;
  EXPECT_NE(missing.log.find("six-that-is-not-there"), std::string::npos);
  const EnvironmentFailure conflict = failure_of(from_links("caseneeds\ncasefour==1.1"));
  EXPECT_NE(conflict.error.what.find("casefour"), std::string::npos) << conflict.error.what;
  if (std::string(GetParam()) == "pip") {
    EXPECT_NE(conflict.error.what.find("Cannot install -r requirements.txt (line 3) and casefour==1.1"), std::string::npos)
        << conflict.error.what;
  }
  EXPECT_EQ(conflict.log.find("/casemate/workshop"), std::string::npos) << conflict.log;
  const EnvironmentFailure unreachable = failure_of("--index-url http://me:secret@127.0.0.1:1/simple\ncasefour");
  EXPECT_EQ(unreachable.error.code, ErrorCode::refused);
  EXPECT_EQ(unreachable.error.what.find("secret") + unreachable.log.find("secret"), std::string::npos * 2);
  const EnvironmentFailure broken = failure_of(from_links("casebroken"));
  EXPECT_NE(broken.log.find("the build fell over"), std::string::npos) << broken.log;
  const EnvironmentFailure syntax = failure_of("casefour=>1");
  EXPECT_EQ(syntax.error.what, "requirements.txt:1: 'casefour=>1' is not a requirement: '=>1' is unexpected");
}

TEST_P(Environments, takes_the_newest_release_though_it_must_be_built_and_keeps_its_code_from_the_cache) {
  const Index index(top_ / "index");
  for (const std::string& text : {from_links("casemixed"), fmt::format("-i {}\ncasemixed\n", index.url())}) {
    const Made made = make(text);
    ASSERT_TRUE(made) << made.error().error.what << made.error().log;
    EXPECT_EQ(python(*made, {"-c", "import casemixed; print(casemixed.VALUE)"}).output.merged, "2\n") << made->log;
  }
  for (const auto& entry : fs::recursive_directory_iterator(top_ / "cache")) EXPECT_NE(entry.path().filename(), "poison");
}

// What a build writes is moved into the store by the host: no name that the build can change may lead it elsewhere.
TEST_P(Environments, a_build_that_swaps_its_tree_for_a_link_gets_nothing_moved) {
  fs::create_directories(top_ / "victim/below");
  write(top_ / "victim/.lock", "lock");
  write(top_ / "victim/precious", "mine");
  for (const char* package : {"caseswapstree", "caseswapsbench"}) {
    const EnvironmentFailure failed = failure_of(from_links(package));
    EXPECT_FALSE(failed.error.what.empty());
    EXPECT_EQ(read(top_ / "victim/precious"), "mine") << package;
    EXPECT_EQ(read(top_ / "victim/.lock"), "lock") << package;
    EXPECT_TRUE(fs::exists(top_ / "victim/below")) << package;
    EXPECT_EQ(std::distance(fs::directory_iterator(top_ / "victim"), {}), 3) << package;
    EXPECT_NE(failed.error.what.find("moved the directory of the new environment"), std::string::npos) << failed.error.what << "\n"
                                                                                                       << failed.log;
  }
}

TEST_P(Environments, a_build_that_fills_the_disk_is_stopped) {
  write(top_ / "requirements.txt", from_links("casegreedy"));
  const RunJob run = run_jobs_on(*engine_);
  const RunJob on_a_small_disk = [&](Job job, std::function<void(Stream, std::string_view)> say) {
    for (Mount& mount : job.mounts) {
      if (!mount.writable) continue;
      EXPECT_GE(mount.bytes.value_or(0), 20ull << 30) << mount.target;
      mount.bytes = 32u << 20;
    }
    EXPECT_TRUE(job.limits.file_bytes);
    return run(std::move(job), std::move(say));
  };
  const Made made = make_environment({interpreter_, top_ / "requirements.txt"}, on_a_small_disk, [](std::string_view) {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().error.code, ErrorCode::exhausted);
  EXPECT_TRUE(made.error().error.what.starts_with(
      fmt::format("{} was stopped while it installed the requirements: more than 32.0 MiB were written below ", GetParam())))
      << made.error().error.what;
  expect_nothing_kept();
}

TEST_P(Environments, builds_for_two_at_once_only_once) {
  write(top_ / "requirements.txt", from_links("casefour"));
  std::atomic<int> jobs{0};
  std::atomic<int> cached{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      auto engine = Engine::create();
      ASSERT_TRUE(engine);
      const RunJob run = run_jobs_on(**engine);
      const RunJob counted = [&](Job job, std::function<void(Stream, std::string_view)> say) {
        if (job.network == Network::host) ++jobs;
        return run(std::move(job), std::move(say));
      };
      const Made made = make_environment({interpreter_, top_ / "requirements.txt"}, counted, [](std::string_view) {});
      ASSERT_TRUE(made) << made.error().error.what;
      cached += made->cached;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(jobs, 1);
  EXPECT_EQ(cached, 1);
}

TEST_P(Environments, an_index_that_never_answers_runs_into_the_time_limit) {
  const UniqueFd silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(silent.get(), 8), 0);
  ASSERT_EQ(::getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const EnvironmentFailure failed =
      failure_of(fmt::format("-i http://127.0.0.1:{}/simple\ncasefour\n", ntohs(address.sin_port)), std::chrono::seconds(2));
  EXPECT_EQ(failed.error.code, ErrorCode::exhausted);
  EXPECT_NE(failed.error.what.find("was still installing the requirements after 2"), std::string::npos) << failed.error.what;
}

TEST_P(Environments, a_killed_build_leaves_nothing_that_the_next_would_trip_over) {
  const Index index(top_ / "index");
  write(top_ / "requirements.txt", fmt::format("-i {}\ncasefour\n", index.url()));
  int pidfd = -1;
  engine_.reset();
  const pid_t child = clone_process(0, -1, &pidfd);
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto engine = Engine::create();
    if (!engine) ::_exit(1);
    const RunJob run = run_jobs_on(**engine);
    // Killed when the installer says its first word: the bench is there and the cell runs.
    (void)make_environment(
        {interpreter_, top_ / "requirements.txt"},
        [&](Job job, std::function<void(Stream, std::string_view)>) {
          return run(std::move(job), [](Stream, std::string_view) { ::raise(SIGKILL); });
        },
        [](std::string_view) {});
    ::_exit(2);
  }
  ChildProcess process(child, UniqueFd(pidfd));
  EXPECT_TRUE(process.reap()->signaled);
  auto engine = Engine::create();
  ASSERT_TRUE(engine);
  engine_ = std::move(*engine);
  const Made made = make(read(top_ / "requirements.txt"));
  ASSERT_TRUE(made) << made.error().error.what << made.error().log;
  EXPECT_FALSE(made->cached);
  EXPECT_EQ(words(python(*made, {"-c", "import casefour"}).outcome), "exited 0");
}

TEST_P(Environments, installs_from_pypi) {
  const Made made = make("six\nidna\nmarkupsafe\n");
  if (!made && made.error().log.find("onnect") != std::string::npos) GTEST_SKIP() << "PyPI can't be reached: " << made.error().error.what;
  ASSERT_TRUE(made) << made.error().error.what << made.error().log;
  EXPECT_EQ(python(*made, {"-c", "import six, idna, markupsafe, markupsafe._speedups; print(markupsafe.escape('<'))"}).output.merged,
            "&lt;\n");
  const Made missing = make("casemate-no-such-project-zz");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().error.what.find("casemate-no-such-project-zz"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(With, Environments, testing::Values("uv", "pip"), [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace casemate
