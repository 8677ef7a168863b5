// The same jobs on cells, dockerd and podman: the same outcomes, outputs and captured files. What differs is written down in
// docs/design/docker.md, and here.
#include <algorithm>
#include <csignal>
#include <thread>

#include <fmt/format.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "casemate/engine.h"
#include "daemon_scratch.h"
#include "docker/docker_executor.h"
#include "sys/path.h"

namespace casemate {
namespace {

using Mebibytes = std::uint64_t;

// A directory that goes with the test.
class Scratch {
 public:
  Scratch() {
    std::string name = fs::temp_directory_path() / "casemate_conformance.XXXXXX";
    if (::mkdtemp(name.data())) path_ = name;
    ::chmod(path_.c_str(), 0755);
  }
  ~Scratch() {
    std::error_code problem;
    fs::remove_all(path_, problem);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// kSmallImage's files, for cells.
const fs::path& small_root() {
  static const Scratch scratch;
  static const fs::path root = [] {
    std::ofstream(scratch.path() / "t", std::ios::binary) << small_root_tar();
    fs::create_directory(scratch.path() / "r");
    (void)run_program({"/bin/tar", "-C", scratch.path() / "r", "-xf", scratch.path() / "t"}, std::chrono::seconds(60));
    return scratch.path() / "r";
  }();
  return root;
}

struct Case {
  const char* name;
  std::function<void(Job&)> make;
};

void shell(Job& job, const std::string& line) { job.argv = {"sh", "-c", line}; }

// What both must agree on, as text.
std::string summary(const JobResult& result) {
  std::string text = fmt::format("outcome: {} {} step: {} detail: {}\n", word(result.outcome.kind), result.outcome.code,
                                 result.outcome.step, result.outcome.detail);
  text += fmt::format("exit status: {}\n", result.exit_status ? std::to_string(*result.exit_status) : "none");
  text += fmt::format("out: {} {}\nerr: {} {}\ntruncated: {}\n", result.output.out_total, result.output.out, result.output.err_total,
                      result.output.err, result.output.truncated);
  constexpr const char* kKinds[] = {"created", "modified", "deleted"};
  constexpr const char* kTypes[] = {"file", "directory", "symlink", "skipped"};
  for (const Change& change : result.changes) {
    text += fmt::format("{} {} {} {} {:o} {} {} {}\n", kKinds[static_cast<int>(change.kind)], kTypes[static_cast<int>(change.type)],
                        change.path, change.type == Change::Type::skipped ? 0 : change.size, change.mode, change.digest, change.link_target,
                        change.reason);
  }
  text += fmt::format("collect: {} {}\n", result.changes_truncated, result.collect_error);
  text += fmt::format("left: {}\n", result.leftovers.size());
  return text;
}

// The tree below a directory, as text.
std::string tree(const fs::path& top) {
  std::vector<std::string> lines;
  std::error_code problem;
  for (const auto& entry : fs::recursive_directory_iterator(top, problem)) {
    struct stat info{};
    ::lstat(entry.path().c_str(), &info);
    std::string line = fmt::format("{} {:o}", entry.path().lexically_relative(top).string(), info.st_mode);
    if (S_ISREG(info.st_mode)) line += fmt::format(" {}", info.st_size);
    if (info.st_mtime < 1'500'000'000) line += fmt::format(" of {}", info.st_mtime);  // not of now
    if (S_ISLNK(info.st_mode)) line += " -> " + fs::read_symlink(entry.path()).string();
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}\n", fmt::join(lines, "\n"));
}

class Conformance : public EachDaemon {
 protected:
  void SetUp() override {
    EachDaemon::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ::signal(SIGPIPE, SIG_IGN);
    cache_ = std::make_unique<Scratch>();
    ::setenv("CASEMATE_CACHE_DIR", cache_->path().c_str(), 1);
    auto engine = Engine::create({.slots = 4});
    ASSERT_TRUE(engine) << engine.error().what;
    engine_ = std::move(*engine);
    const auto added =
        engine_->add_executor("docker", [&](Reactor& reactor) { return make_docker_executor(reactor, docker_options(*daemon_)); });
    ASSERT_TRUE(added) << added.error().what;
  }
  void TearDown() override {
    engine_.reset();
    if (!daemon_ || !api_) return;
    // Nothing that is labelled is left.
    const auto left = ask("GET", "/containers/json?" + docker_query({{"all", "1"}, {"filters", R"({"label":["casemate.engine"]})"}}));
    if (left) EXPECT_EQ(nlohmann::json::parse(left->body, nullptr, false).size(), 0u) << left->body;
  }
  [[nodiscard]] Job base(const std::string& executor) const {
    Job job;
    job.executor = executor;
    job.image = kSmallImage;
    if (executor.empty()) job.root = {small_root()};
    job.env = {{"PATH", "/bin"}, {"HOME", "/root"}};
    job.limits.memory_bytes = 64u << 20;
    job.limits.pids = 32;
    job.limits.disk_bytes = 64u << 20;
    return job;
  }
  Result<JobResult> run(Job job, JobListener* listener = nullptr) { return engine_->run(std::move(job), listener); }
  std::string run_on(const std::string& executor, const Case& each) {
    Job job = base(executor);
    each.make(job);
    const Scratch out;
    if (job.collect_to == "yes") job.collect_to = out.path();
    const auto result = run(job);
    if (!result) return "error: " + result.error().what;
    return summary(*result) + tree(out.path());
  }
  void same(const Case& each) {
    SCOPED_TRACE(each.name);
    EXPECT_EQ(run_on("", each), run_on("docker", each));
  }

  std::unique_ptr<Scratch> cache_;
  std::unique_ptr<Engine> engine_;
};
INSTANTIATE_TEST_SUITE_P(Real, Conformance, each_kind(), name_of_kind);

const std::vector<Case> kOutcomes = {
    {"exits 0", [](Job& job) { shell(job, "echo out; echo err >&2"); }},
    {"exits 3", [](Job& job) { shell(job, "exit 3"); }},
    {"exits 139, which is no signal", [](Job& job) { shell(job, "exit 139"); }},
    {"killed by its own signal", [](Job& job) { shell(job, "kill -SEGV $$"); }},
    {"kills itself with SIGTERM", [](Job& job) { shell(job, "kill -TERM $$; sleep 5"); }},
    {"no such program", [](Job& job) { job.argv = {"no-such-program"}; }},
    {"not a program", [](Job& job) { job.argv = {"/etc/passwd"}; }},
    {"wall time",
     [](Job& job) {
       shell(job, "echo begun; sleep 100");
       job.limits.wall = std::chrono::seconds(2);
     }},
    {"CPU time",
     [](Job& job) {
       shell(job, "while :; do :; done");
       job.limits.cpu_time = std::chrono::milliseconds(700);
     }},
    {"out of memory", [](Job& job) { job.argv = {"dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"}; }},
    {"output limit",
     [](Job& job) {
       shell(job, "yes");
       job.limits.output_bytes = 100'000;
       job.capture_bytes = 1000;
     }},
    {"too many processes", [](Job& job) { shell(job, "i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done"); }},
    {"leaves a process behind", [](Job& job) { shell(job, "sleep 100 & sleep 0.3; exit 0"); }},
    {"binary output", [](Job& job) { shell(job, "head -c 100 /dev/zero; head -c 5 /dev/zero >&2"); }},
    {"a lot of output",
     [](Job& job) {
       shell(job, "yes | head -c 3000000; echo last");
       job.capture_bytes = 10'000;
     }},
    {"user",
     [](Job& job) {
       shell(job, "id -u; id -g; touch /tmp/mine && echo written; touch /bin/mine 2>/dev/null || echo refused");
       job.user = {1234, 1235};
     }},
    {"environment",
     [](Job& job) {
       shell(job, "env");
       job.env = {{"PATH", "/bin"}, {"HOME", "/x"}, {"A", "1 2\n3"}};
     }},
    {"directory",
     [](Job& job) {
       shell(job, "pwd > /tmp/x; cat /tmp/x; touch here && ls");
       job.cwd = "/work/deep";
     }},
    {"host name",
     [](Job& job) {
       shell(job, "cat /proc/sys/kernel/hostname");
       job.hostname = "some-name";
     }},
    {"read-only root",
     [](Job& job) {
       shell(job, "touch /x 2>/dev/null || echo refused; touch /tmp/x /dev/shm/x && echo written");
       job.read_only = true;
     }},
    {"tmpfs",
     [](Job& job) {
       shell(job, "head -c 2000000 /dev/zero > /t/x; echo $?");
       Mount mount;
       mount.kind = Mount::Kind::tmpfs;
       mount.target = "/t";
       mount.bytes = 1u << 20;
       job.mounts = {mount};
     }},
    {"open files",
     [](Job& job) {
       shell(job, "ulimit -n; ulimit -c");
       job.limits.open_files = 77;
     }},
    {"no network", [](Job& job) { shell(job, "cat /proc/net/dev | grep -c :"); }},
    {"no stdin", [](Job& job) { shell(job, "cat; echo end"); }},
    {"strict",
     [](Job& job) {
       shell(job, "echo fine");
       job.profile = Profile::strict;
     }},
};

TEST_P(Conformance, outcomes_and_outputs) {
  for (const Case& each : kOutcomes) same(each);
}

Mount overlay(const std::string& target, std::vector<std::string> lower) {
  Mount mount;
  mount.kind = Mount::Kind::overlay;
  mount.target = target;
  mount.lower = std::move(lower);
  mount.owned = true;
  return mount;
}

TEST_P(Conformance, captured_files) {
  const Scratch given;
  std::ofstream(given.path() / "same") << "same";
  std::ofstream(given.path() / "changed") << "before";
  std::ofstream(given.path() / "gone") << "gone";
  std::ofstream(given.path() / "touched") << "touched";
  fs::create_directories(given.path() / "dir/sub");
  std::ofstream(given.path() / "dir/sub/deep") << "deep";
  fs::create_directories(given.path() / "whole");
  std::ofstream(given.path() / "whole/x") << "x";
  fs::create_symlink("same", given.path() / "link");
  const std::string changing =
      "echo after > changed; rm gone; echo new > new; mkdir -p made/deep; echo x > made/deep/x; ln -s /etc/passwd made/out; rm -r whole; "
      "touch touched; ln -sf changed link; env mkfifo pipe 2>/dev/null; echo deeper >> dir/sub/deep; echo exe > exe; chmod 755 exe "
      "2>/dev/null; "
      "echo '#' > 'a name with spaces'; mkdir empty; touch -d @1000000000 new empty made";
  const auto in_app = [&](const std::string& line, bool copies) {
    return [&given, line, copies](Job& job) {
      shell(job, line);
      job.cwd = "/app";
      job.mounts = {overlay("/app", {given.path()})};
      job.collect = {"/app"};
      if (copies) job.collect_to = "yes";
    };
  };
  same({"listed", in_app(changing, false)});
  same({"copied", in_app(changing, true)});
  same({"nothing changed", in_app("cat same; ls > /dev/null", true)});
  same({"of a job that failed", in_app("echo x > y; exit 4", true)});
  same({"sparse and too large", [&](Job& job) {
          in_app("mkdir d; dd if=/dev/zero of=d/big bs=1 count=1 seek=6000000000 2>/dev/null; echo x > d/a; echo y > d/z; echo x > z",
                 true)(job);
          job.limits.disk_bytes.reset();       // docker counts what a file seems to have
          job.mounts = {overlay("/app", {})};  // podman follows a link that is asked for by its name
        }});
  same({"links out of the tree", in_app("ln -s ../../../../../../etc evil; ln -s / root; mkdir d; ln -s /tmp d/e", true)});
  same({"two places", [&](Job& job) {
          shell(job, "echo 1 > /app/new; echo 2 > /b/new");
          job.mounts = {overlay("/app", {given.path()}), overlay("/b", {})};
          job.collect = {"/app", "/b"};
          job.collect_to = "yes";
        }});
}

TEST_P(Conformance, the_whole_root) {
  const auto whole = [](const std::string& line) {
    return [line](Job& job) {
      shell(job, line);
      job.collect = {"/"};
      job.collect_to = "yes";
    };
  };
  same({"added", whole("mkdir -p /tmp/x/y; echo 1 > /tmp/x/y/z; echo 2 > /tmp/new; ln -s new /tmp/x/link")});
  same({"changed", whole("echo more >> /etc/passwd; touch /bin/busybox")});
  same({"removed", whole("rm /bin/tty /etc/passwd; echo end")});
  same({"nothing", whole("true")});
}

// A cell's layer is full and its job told so; a container's is looked at, and its job ended.
TEST_P(Conformance, the_disk_limit) {
  for (const std::string executor : {"", "docker"}) {
    SCOPED_TRACE(executor);
    Job job = base(executor);
    job.limits.disk_bytes = 16u << 20;
    shell(job, "dd if=/dev/zero of=/tmp/big bs=1000000 count=40 2>/dev/null || exit 7; sleep 20");
    const auto result = run(std::move(job));
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(word(result->outcome.kind), "disk limit") << words(result->outcome);
    EXPECT_LT(result->resources.wall, std::chrono::seconds(15));
  }
}

// Also of a job that is over before anybody looks.
TEST_P(Conformance, the_disk_limit_at_the_end) {
  Job job = base("docker");
  job.limits.disk_bytes = 16u << 20;
  shell(job, "dd if=/dev/zero of=/tmp/big bs=1000000 count=20 2>/dev/null");
  const auto result = run(std::move(job));
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(word(result->outcome.kind), "disk limit") << words(result->outcome);
}

TEST_P(Conformance, an_overlay_below_a_read_only_root) {
  const Scratch given;
  std::ofstream(given.path() / "changed") << "before";
  std::ofstream(given.path() / "gone") << "gone";
  const auto make = [&](Job& job) {
    shell(job, "touch /bin/x 2>/dev/null || echo refused; echo after > changed; rm gone; echo new > new; mkdir d; echo x > d/x");
    job.cwd = "/app";
    job.read_only = true;
    job.limits.disk_bytes.reset();
    job.mounts = {overlay("/app", {given.path()})};
    job.collect = {"/app"};
    job.collect_to = "yes";
  };
  if (!is_podman()) {
    same({"without a disk limit", make});
  } else {  // it would give other names
    const std::string said = run_on("docker", {"without a disk limit", make});
    EXPECT_NE(said.find("can't be had back from podman"), std::string::npos) << said;
  }
  Job limited = base("docker");
  make(limited);
  limited.collect.clear();
  limited.collect_to.clear();
  limited.limits.disk_bytes = 1u << 20;
  const auto refused = run(std::move(limited));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_supported);
  EXPECT_NE(refused.error().what.find("disk limit on /app below a read-only root"), std::string::npos) << refused.error().what;
}

// Passes nothing on for a while, as a reader on a page of a pager.
struct SlowReader : JobListener {
  void output(Stream, std::string_view bytes) override {
    if (heard == 0) until = std::chrono::steady_clock::now() + std::chrono::seconds(8);
    heard += bytes.size();
  }
  std::size_t backlog() override { return heard > 0 && std::chrono::steady_clock::now() < until ? 8u << 20 : 0; }
  std::size_t heard = 0;
  std::chrono::steady_clock::time_point until;
};

TEST_P(Conformance, a_slow_reader_loses_nothing) {
  Job job = base("docker");
  shell(job, "echo begin; sleep 1; head -c 200000 /dev/zero; exit 3");
  SlowReader slow;
  const auto result = run(std::move(job), &slow);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(words(result->outcome), "exited 3");
  EXPECT_EQ(slow.heard, 200'006u);
  EXPECT_EQ(result->output.out_total, 200'006u);
}

/// Keeps what a job reports.
struct Heard : JobListener {
  std::string said;
  void report(std::string_view bytes) override { said += bytes; }
};

TEST_P(Conformance, what_a_job_reports) {
  for (const std::string executor : {"", "docker"}) {
    SCOPED_TRACE(executor);
    Job job = base(executor);
    job.report = true;
    // Long lines and short ones, one that does not end, beside output and after who wrote it first.
    shell(job,
          "echo out; echo err >&2; echo begun >&3; head -c 100000 /dev/zero | tr '\\0' x >&3; echo >&3; (sleep 0.3; echo late >&3) & "
          "i=0; while [ $i -lt 300 ]; do echo $i >&3; echo e$i >&2; i=$((i+1)); done; wait; printf end >&3; exit 3");
    Heard heard;
    const auto result = engine_->run(std::move(job), &heard);
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(words(result->outcome), "exited 3");
    EXPECT_EQ(result->output.out, "out\n");
    std::string errors = "err\n";
    std::string wanted = "begun\n" + std::string(100'000, 'x') + "\n";
    for (int i = 0; i < 300; ++i) {
      errors += fmt::format("e{}\n", i);
      wanted += fmt::format("{}\n", i);
    }
    EXPECT_EQ(result->output.err, errors);
    const auto late = heard.said.find("late\n");
    ASSERT_NE(late, std::string::npos);
    EXPECT_EQ(heard.said.erase(late, 5), wanted + "end");
  }
}

TEST_P(Conformance, stdin_is_passed_on_to_its_end) {
  for (const std::string executor : {"", "docker"}) {
    auto pipe = make_pipe();
    ASSERT_TRUE(pipe);
    std::thread writer([&] {
      for (int i = 0; i < 2000; ++i) (void)write_all(pipe->write.get(), std::string(999, 'x') + "\n");
      pipe->write.reset();
    });
    Job job = base(executor);
    shell(job, "wc -c");
    job.forward_stdin = true;
    job.stdin_fd = pipe->read.get();
    const auto result = run(job);
    pipe->read.reset();  // or the writer may wait for ever
    writer.join();
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(words(result->outcome), "exited 0");
    EXPECT_EQ(result->output.out, "2000000\n") << executor;
  }
}

}  // namespace
}  // namespace casemate
