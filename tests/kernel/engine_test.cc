// What a job sees and what it can't: the real engine, as root and as a user.
#include "engine_test.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <sstream>

#include <sys/stat.h>

#include "engine/executor.h"

namespace casemate {
namespace {

using Kind = Outcome::Kind;
using namespace std::string_literals;

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

// The value of a line "Name:\tvalue" of /proc/<pid>/status.
std::string field(const std::string& status, const std::string& name) {
  for (const std::string& line : split(status, '\n')) {
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  }
  return "none";
}

using Words = std::vector<std::string>;

TEST_F(EngineTest, StreamsStayApartAndMergeInTheOrderOfArrival) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  Job job = shell("echo 1; read x; echo 2 >&2; read x; echo 3; read x; printf 4 >&2");
  job.forward_stdin = true;
  job.stdin_fd = pipe->read.get();
  std::string heard;
  Hears hears;
  hears.on_output = [&](Stream stream, std::string_view bytes) {
    heard += (stream == Stream::out ? "out:" : "err:") + std::string(bytes);
    (void)!::write(pipe->write.get(), "\n", 1);
  };
  const JobResult result = run(job, &hears);
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_EQ(result.output.out, "1\n3\n");
  EXPECT_EQ(result.output.err, "2\n4");
  EXPECT_EQ(result.output.merged, "1\n2\n3\n4");
  EXPECT_EQ(heard, "out:1\nerr:2\nout:3\nerr:4");
}

TEST_F(EngineTest, AnyBytesComeThrough) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(output(python("import sys; sys.stdout.buffer.write(bytes(range(256)))")), all);
}

TEST_F(EngineTest, OutputInTheLastMomentIsNotLost) {
  for (int i = 0; i < 30; ++i) {
    const JobResult result = run(shell("head -c 200000 /dev/zero; echo end >&2"));
    ASSERT_EQ(result.output.out_total, 200'000u);
    ASSERT_EQ(result.output.err, "end\n");
  }
}

TEST_F(EngineTest, MuchOutputDoesNotGrowMemory) {
  constexpr std::uint64_t kBytes = 200'000'000;
  run(shell("head -c 20000000 /dev/zero"));
  Job job = shell(fmt::format("head -c {} /dev/zero", kBytes));
  job.capture_bytes = 1 << 20;
  const std::uint64_t before = resident_bytes();
  std::uint64_t most = before;
  std::uint64_t seen = 0;
  std::uint64_t next = 0;
  Hears hears;
  hears.on_output = [&](Stream, std::string_view bytes) {
    seen += bytes.size();
    if (seen < next) return;
    most = std::max(most, resident_bytes());
    next = seen + (4 << 20);
  };
  const JobResult result = run(job, &hears);
  EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome);
  EXPECT_EQ(seen, kBytes);
  EXPECT_EQ(result.output.out_total, kBytes);
  EXPECT_TRUE(result.output.truncated);
  EXPECT_LT(result.output.out.size(), (1u << 20) + 200);
  EXPECT_LT(most - std::min(most, before), 8u << 20);
}

TEST_F(EngineTest, StdinIsNullUnlessForwarded) { EXPECT_EQ(output(shell("readlink /proc/self/fd/0; cat")), "/dev/null\n"); }

TEST_F(EngineTest, StdinIsForwarded) {
  const fs::path file = dir_ / "input";
  write(file, std::string(300'000, 'x'));
  const UniqueFd input(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  Job job = shell("cat");
  job.forward_stdin = true;
  job.stdin_fd = input.get();
  EXPECT_EQ(output(job), read(file));
}

TEST_F(EngineTest, EnvironmentIsExactlyWhatWasGiven) {
  ::setenv("CASEMATE_TEST_SECRET", "of the engine", 1);
  Job job = command({"/bin/cat", "/proc/self/environ"});
  job.env = {{"A", "1"}, {"B", ""}, {"C", "=\n\xff"}};
  EXPECT_EQ(output(job), "A=1\0B=\0C==\n\xff\0"s);
  job.env.clear();
  EXPECT_EQ(output(job), "");
  ::unsetenv("CASEMATE_TEST_SECRET");
}

TEST_F(EngineTest, ArgumentsKeepTheirBytes) {
  std::string all;
  for (int i = 1; i < 256; ++i) all += static_cast<char>(i);
  const Words argv = {"/bin/sh", "-c", "cat /proc/$$/cmdline; :", "", all, "a b", "", std::string(100'000, 'l'), ""};
  std::string wanted;
  for (const std::string& word : argv) wanted += word + '\0';
  EXPECT_EQ(output(command(argv)), wanted);
}

TEST_F(EngineTest, TheCommandIsLookedUpInItsOwnPath) {
  fs::create_directory(dir_ / "first");
  write(dir_ / "first/tool", "#!/bin/sh\necho first\n");
  fs::permissions(dir_ / "first/tool", fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
  Job job = command({"tool"});
  job.mounts = {{.source = dir_ / "first", .target = "/first"}};
  job.env = {{"PATH", "/none:/first"}};
  EXPECT_EQ(output(job), "first\n");
  job.env = {{"PATH", ""}};
  job.cwd = "/first";
  EXPECT_EQ(output(job), "first\n");
}

TEST_F(EngineTest, WorkingDirectory) {
  for (const char* cwd : {"/", "/tmp", "/usr/bin", "/new/deep/place", "/root/x"}) {
    Job job = command({"/bin/pwd"});
    job.cwd = cwd;
    EXPECT_EQ(output(job), std::string(cwd) + "\n");
  }
}

TEST_F(EngineTest, WorkingDirectoryThroughALinkStaysInTheCell) {
  fs::create_directories(dir_ / "project");
  fs::create_directories(dir_ / "outside");
  fs::permissions(dir_ / "outside", fs::perms::all);
  fs::create_directory_symlink(dir_ / "outside", dir_ / "project/link");
  Job job = command({"/bin/pwd"});
  job.mounts = {{.kind = Mount::Kind::overlay, .target = "/work", .lower = {dir_ / "project"}, .owned = true}};
  job.cwd = "/work/link/made";
  (void)engine_->run(job);
  EXPECT_TRUE(fs::is_empty(dir_ / "outside"));
}

TEST_F(EngineTest, Hostname) {
  Job job = command({"/bin/uname", "-n"});
  EXPECT_EQ(output(job), "casemate\n");
  job.hostname = std::string(64, 'h');
  EXPECT_EQ(output(job), job.hostname + "\n");
}

TEST_F(EngineTest, IsAnOrdinaryProcessWithoutPrivileges) {
  const std::string status = output(command({"/bin/cat", "/proc/self/status"}));
  EXPECT_EQ(field(status, "Uid"), "0\t0\t0\t0");
  EXPECT_EQ(field(status, "Gid"), "0\t0\t0\t0");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) EXPECT_EQ(field(status, set), "0000000000000000") << set;
  EXPECT_EQ(field(status, "NoNewPrivs"), "1");
  EXPECT_EQ(field(status, "Seccomp"), "2");
  EXPECT_EQ(field(status, "SigBlk"), "0000000000000000");
  EXPECT_EQ(field(status, "SigIgn"), "0000000000000000");
  EXPECT_NE(field(status, "Pid"), "1");
}

TEST_F(EngineTest, UserIds) {
  if (!has_ids()) GTEST_SKIP() << "this account has one id only";
  Job job = command({"/bin/cat", "/proc/self/status"});
  job.user = {1000, 2000};
  const std::string status = output(job);
  EXPECT_EQ(field(status, "Uid"), "1000\t1000\t1000\t1000");
  EXPECT_EQ(field(status, "Gid"), "2000\t2000\t2000\t2000");
  EXPECT_EQ(field(status, "CapEff"), "0000000000000000");
  EXPECT_EQ(field(status, "Groups"), " ");
}

TEST_F(EngineTest, CapabilitiesThatWereAskedForAreKept) {
  Job job = command({"/bin/cat", "/proc/self/status"});
  job.capabilities = {"NET_BIND_SERVICE", "CAP_KILL"};
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) EXPECT_EQ(field(output(job), set), "0000000000000420") << set;
  if (!has_ids()) return;
  job.user = {1000, 1000};
  EXPECT_EQ(field(output(job), "CapEff"), "0000000000000420") << "by the ambient set";
}

TEST_F(EngineTest, NoDescriptorButTheStandardOnes) {
  const UniqueFd ours(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
  EXPECT_EQ(output(python("import os\n"
                          "for fd in range(3, 1024):\n"
                          "  try: os.fstat(fd)\n"
                          "  except OSError: continue\n"
                          "  print(fd, os.readlink(f'/proc/self/fd/{fd}'))\n")),
            "");
}

TEST_F(EngineTest, NothingOfTheHostThatWasNotShown) {
  EXPECT_EQ(output(shell("ls -A /root /home /run /var /var/tmp /tmp /dev/shm /mnt /srv /sys /boot 2>/dev/null | grep -v '^$'; :")),
            "/dev/shm:\n/home:\n/root:\n/run:\n/tmp:\n/var:\ntmp\n/var/tmp:\n");
  std::set<std::string> allowed = {"dev", "proc", "var", "root",  "run",   "home",   "tmp", "usr",
                                   "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt"};
  for (const std::string& name : split(output(command({"/bin/ls", "-A", "/"})), '\n')) EXPECT_TRUE(allowed.contains(name)) << name;
}

TEST_F(EngineTest, OnlyTheHostPathsAskedFor) {
  Job job = command({"/bin/ls", "-A", "/"});
  job.host_paths = {"/usr", "/bin", "/lib", "/lib64"};
  const Words names = split(output(job), '\n');
  EXPECT_EQ(std::count(names.begin(), names.end(), "etc"), 0);
  EXPECT_EQ(std::count(names.begin(), names.end(), "usr"), 1);
}

TEST_F(EngineTest, HostPathsCantBeWritten) {
  EXPECT_EQ(output(shell("for d in /usr /etc /opt; do (: > $d/casemate-test) 2>/dev/null && echo $d; done; :")), "");
}

TEST_F(EngineTest, FewProcesses) {
  EXPECT_EQ(output(python("import os; print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()) == [1, os.getpid()])")), "True\n");
}

TEST_F(EngineTest, InitGivesNothingOfTheEngineAway) {
  // Not: `cat /proc/1/x || echo shut`, which is satisfied by a file that is not there.
  const std::string got =
      output(python("import os\n"
                    "for f in ('environ', 'maps', 'mem', 'auxv', 'fd', 'cwd', 'root', 'exe', 'map_files', 'io', 'ns/net'):\n"
                    "  p = '/proc/1/' + f\n"
                    "  try:\n"
                    "    r = os.listdir(p) if os.path.isdir(p) and not os.path.islink(p) else os.readlink(p) if os.path.islink(p) else "
                    "open(p, 'rb').read(1)\n"
                    "    print(f, 'open', r)\n"
                    "  except PermissionError: pass\n"
                    "  except OSError as e: print(f, e)\n"));
  EXPECT_EQ(got, "");
}

TEST_F(EngineTest, InitHidesTheArgumentsOfTheEngine) {
  const std::string own = read("/proc/self/cmdline");
  ASSERT_FALSE(own.empty());
  in_child([&] {
    const std::string stat = read("/proc/self/stat");
    const Words fields = split(stat.substr(stat.rfind(')') + 2), ' ');
    auto* first = reinterpret_cast<char*>(std::stoull(fields.at(48 - 3)));
    auto* end = reinterpret_cast<char*>(std::stoull(fields.at(49 - 3)));
    set_host_arguments(first, static_cast<std::size_t>(end - first));
    auto engine = Engine::create();
    ASSERT_TRUE(engine);
    const auto result = (*engine)->run(command({"/bin/cat", "/proc/1/cmdline"}));
    ASSERT_TRUE(result);
    EXPECT_TRUE(result->outcome.succeeded());
    EXPECT_EQ(result->output.out.find_first_not_of('\0'), std::string::npos) << result->output.out;
    EXPECT_EQ(read("/proc/self/cmdline"), own) << "the engine's own memory stays";
  });
}

TEST_F(EngineTest, NetworkIsLoopbackAndUp) {
  EXPECT_EQ(output(python("import socket\n"
                          "s = socket.create_server(('127.0.0.1', 0))\n"
                          "c = socket.create_connection(s.getsockname())\n"
                          "print([name for _, name in socket.if_nameindex()])\n")),
            "['lo']\n");
  EXPECT_EQ(split(output(command({"/bin/cat", "/proc/net/dev"})), '\n').size(), 3u) << "two lines of headings, and lo";
  EXPECT_NE(output(command({"/bin/readlink", "/proc/self/ns/net"})), fs::read_symlink("/proc/self/ns/net").string() + "\n");
}

TEST_F(EngineTest, NetworkHostIsTheHosts) {
  Job job = command({"/bin/readlink", "/proc/self/ns/net"});
  job.network = Network::host;
  EXPECT_EQ(output(job), fs::read_symlink("/proc/self/ns/net").string() + "\n");
}

TEST_F(EngineTest, ReadOnly) {
  fs::create_directory(dir_ / "data");
  write(dir_ / "data/file", "seen");
  Job job = shell(
      "for d in / /root /home /run /var /var/tmp /dev /usr /etc; do (: > $d/file) 2>/dev/null && echo $d; done\n"
      "for d in /tmp /dev/shm /scratch; do : > $d/file || echo not $d; done; cat /tmp/data/file");
  job.read_only = true;
  job.mounts = {{.kind = Mount::Kind::tmpfs, .target = "/scratch"}, {.source = dir_ / "data", .target = "/tmp/data"}};
  EXPECT_EQ(output(job), "seen");
}

TEST_F(EngineTest, TmpfsHasItsSizeModeAndFlags) {
  Job job = shell(
      "stat -c %a /small; head -c 2M /dev/zero > /small/file 2>/dev/null; stat -c %s /small/file; cp /bin/true /small/run; /small/run");
  job.mounts = {{.kind = Mount::Kind::tmpfs, .target = "/small", .bytes = 1 << 20, .mode = 01770}};
  JobResult result = run(job);
  EXPECT_EQ(result.output.out, "1770\n1048576\n");
  job = shell("cp /bin/true /small/run && ! /small/run 2>/dev/null");
  job.mounts = {{.kind = Mount::Kind::tmpfs, .target = "/small", .executable = false}};
  EXPECT_TRUE(run(job).outcome.succeeded());
}

TEST_F(EngineTest, TmpfsHasItsInodes) {
  Job job = shell("i=0; while true > /small/$i; do i=$((i+1)); done 2>/dev/null; ls /small | wc -l");
  job.mounts = {{.kind = Mount::Kind::tmpfs, .target = "/small"}};
  job.limits.disk_inodes = 200;
  const long made = std::strtol(run(job).output.out.c_str(), nullptr, 10);
  EXPECT_GT(made, 150);
  EXPECT_LT(made, 201);
}

TEST_F(EngineTest, MountsInMounts) {
  for (const char* name : {"a", "b"}) fs::create_directory(dir_ / name);
  write(dir_ / "a/file", "a");
  write(dir_ / "b/file", "b");
  Job job = shell("cat /opt/a/file /var/tmp/b/file /over/sub/deep/file; : > /var/tmp/x; : > /opt/y");
  job.mounts = {{.kind = Mount::Kind::tmpfs, .target = "/opt"},
                {.source = dir_ / "a", .target = "/opt/a"},
                {.kind = Mount::Kind::tmpfs, .target = "/var"},
                {.kind = Mount::Kind::tmpfs, .target = "/var/tmp"},
                {.source = dir_ / "b", .target = "/var/tmp/b"},
                {.kind = Mount::Kind::overlay, .target = "/over", .lower = {dir_ / "a"}, .owned = true},
                {.source = dir_ / "b", .target = "/over/sub/deep"}};
  EXPECT_EQ(output(job), "abb");
  EXPECT_EQ(files_below(dir_), (std::set<std::string>{dir_ / "a", dir_ / "a/file", dir_ / "b", dir_ / "b/file"}));
}

TEST_F(EngineTest, BindsAreReadOnlyUnlessWritable) {
  fs::create_directory(dir_ / "data");
  write(dir_ / "data/file", "old");
  Job job = shell("cat /data/file; (echo new > /data/file) 2>/dev/null; (: > /data/more) 2>/dev/null; :");
  job.mounts = {{.source = dir_ / "data", .target = "/data", .owned = true}};
  EXPECT_EQ(output(job), "old");
  EXPECT_EQ(read(dir_ / "data/file"), "old");
  EXPECT_FALSE(fs::exists(dir_ / "data/more"));
  job.mounts[0].writable = true;
  EXPECT_EQ(output(job), "old");
  EXPECT_EQ(read(dir_ / "data/file"), "new\n");
  struct stat info{};
  ASSERT_EQ(::stat((dir_ / "data/more").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, ::geteuid()) << "what the job's root makes is the caller's";
}

TEST_F(EngineTest, OwnersOfABind) {
  fs::create_directory(dir_ / "data");
  write(dir_ / "data/file", "");
  Job job = shell("stat -c %u:%g /data/file; (: > /data/more) 2>/dev/null && echo wrote; :");
  job.mounts = {{.source = dir_ / "data", .target = "/data", .writable = true, .owned = true}};
  EXPECT_EQ(output(job), "0:0\nwrote\n");
  fs::remove(dir_ / "data/more");
  job.mounts[0].owned = false;
  if (::geteuid() == 0) {
    EXPECT_EQ(output(job), "65534:65534\n") << "root's files are nobody's";
  } else {
    EXPECT_EQ(output(job), "0:0\nwrote\n") << "a user's root is the user";
  }
}

TEST_F(EngineTest, ABindOfAFileAndOfALinkToIt) {
  write(dir_ / "file", "content");
  fs::create_symlink(dir_ / "file", dir_ / "link");
  Job job = shell("cat /one /deep/er/two; (echo x > /one) 2>/dev/null; :");
  job.mounts = {{.source = dir_ / "file", .target = "/one", .owned = true}, {.source = dir_ / "link", .target = "/deep/er/two"}};
  EXPECT_EQ(output(job), "contentcontent");
  EXPECT_EQ(read(dir_ / "file"), "content");
}

TEST_F(EngineTest, OverlayLeavesTheLowerAloneAndHandsOutTheUpper) {
  fs::create_directories(dir_ / "lower/sub");
  write(dir_ / "lower/kept", "kept");
  write(dir_ / "lower/changed", "old");
  write(dir_ / "lower/gone", "gone");
  write(dir_ / "lower/sub/file", "file");
  const auto before = files_below(dir_ / "lower");
  Job job = shell(
      "set -e; cat /work/kept; echo new > /work/changed; rm /work/gone; echo made > /work/sub/made; ln -s /etc/passwd /work/link; mkfifo "
      "/work/fifo");
  job.mounts = {{.kind = Mount::Kind::overlay, .target = "/work", .lower = {dir_ / "lower"}, .owned = true}};
  job.cwd = "/work";
  job.collect = {"/work"};
  job.collect_to = dir_ / "out";
  const JobResult result = run(job);
  ASSERT_TRUE(result.outcome.succeeded()) << words(result.outcome) << result.output.err;
  EXPECT_EQ(result.collect_error, "");
  std::set<std::string> changes;
  for (const Change& change : result.changes)
    changes.insert(fmt::format("{} {} {}", static_cast<int>(change.kind), static_cast<int>(change.type), change.path));
  EXPECT_EQ(changes, (std::set<std::string>{"0 0 sub/made", "0 2 link", "0 3 fifo", "1 0 changed", "2 0 gone"}));
  EXPECT_EQ(files_below(dir_ / "lower"), before);
  EXPECT_EQ(read(dir_ / "lower/changed"), "old");
  EXPECT_EQ(read(dir_ / "out/changed"), "new\n");
  EXPECT_EQ(read(dir_ / "out/sub/made"), "made\n");
  EXPECT_EQ(fs::read_symlink(dir_ / "out/link"), "/etc/passwd");
  EXPECT_FALSE(fs::exists(dir_ / "out/kept"));

  job.collect.clear();
  job.collect_to.clear();
  EXPECT_TRUE(run(job).outcome.succeeded()) << "a second job begins with the same lower";
}

TEST_F(EngineTest, TopmostLowerWins) {
  for (const char* name : {"top", "bottom"}) {
    fs::create_directory(dir_ / name);
    write(dir_ / name / "both", name);
    write(dir_ / name / name, name);
  }
  Job job = shell("cd /work; cat both top bottom");
  job.mounts = {{.kind = Mount::Kind::overlay, .target = "/work", .lower = {dir_ / "top", dir_ / "bottom"}, .owned = true}};
  EXPECT_EQ(output(job), "toptopbottom");
}

TEST_F(EngineTest, LeftoversAreNamedAndEnded) {
  const JobResult result =
      run(shell("(setsid sleep 1000 </dev/null >/dev/null 2>&1 &); until grep -qsx sleep /proc/[0-9]*/comm; do :; done; exit 3"));
  EXPECT_EQ(result.outcome, (Outcome{Kind::exited, 3}));
  ASSERT_EQ(result.leftovers.size(), 1u);
  EXPECT_EQ(result.leftovers[0].name, "sleep");
  EXPECT_GT(result.leftovers[0].pid, 1);
  EXPECT_FALSE(has_children());
  EXPECT_TRUE(run(shell("sleep 0.01 & wait")).leftovers.empty());
}

TEST_F(EngineTest, NamesOfLeftoversAreHostile) {
  const JobResult result =
      run(python("import os, sys, time\n"
                 "r, w = os.pipe()\n"
                 "if os.fork() == 0:\n"
                 "  open('/proc/self/comm', 'w').write('a) R\\n\\x1b[2J')\n"
                 "  os.write(w, b'x'); time.sleep(1000)\n"
                 "os.read(r, 1)\n"));
  ASSERT_TRUE(result.outcome.succeeded()) << result.output.err;
  ASSERT_EQ(result.leftovers.size(), 1u);
  EXPECT_TRUE(result.leftovers[0].name.starts_with("a) R")) << result.leftovers[0].name;
  EXPECT_EQ(result.leftovers[0].name.find_first_of("\n\033"), std::string::npos);
}

TEST_F(EngineTest, MoreLeftoversThanAreNamed) {
  const JobResult result = run(shell("i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done"));
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_GE(result.leftovers.size(), 16u);
  EXPECT_FALSE(has_children());
}

TEST_F(EngineTest, AnOutputThatIsHeldOpenDoesNotHoldTheJob) {
  const JobResult result = run(shell("sleep 1000 & echo end"));
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_EQ(result.output.out, "end\n");
}

TEST_F(EngineTest, ClosedStandardStreamsAreFine) {
  EXPECT_EQ(run(shell("exec >&- 2>&- </dev/null; sleep 0.05; exit 4")).outcome, (Outcome{Kind::exited, 4}));
}

TEST_F(EngineTest, JobsDoNotSeeEachOther) {
  make_engine({.slots = 4});
  std::vector<JobResult> results;
  Hears hears;
  hears.on_finished = [&](JobResult result) { results.push_back(std::move(result)); };
  const Job job = shell("test ! -e /tmp/mark && : > /tmp/mark && sleep 0.02 && set -- /proc/[0-9]* && echo $#");
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(engine_->submit(job, hears));
  ASSERT_TRUE(engine_->run_until_idle());
  ASSERT_EQ(results.size(), 30u);
  for (const JobResult& result : results) {
    EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome) << result.output.err;
    EXPECT_EQ(result.output.out, "2\n") << "init and sh";
  }
}

TEST_F(EngineTest, JobsOfDifferentShapesTakeTurns) {
  make_engine({.slots = 1});
  std::vector<std::string> out;
  Hears hears;
  hears.on_finished = [&](JobResult result) { out.push_back(result.output.out); };
  for (int i = 0; i < 12; ++i) {
    Job job = command({"/bin/uname", "-n"});
    job.hostname = fmt::format("h{}", i / 2);
    ASSERT_TRUE(engine_->submit(job, hears));
  }
  ASSERT_TRUE(engine_->run_until_idle());
  ASSERT_EQ(out.size(), 12u);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], fmt::format("h{}\n", i / 2));
}

TEST_F(EngineTest, AListenerMaySubmitMore) {
  make_engine({.slots = 2});
  int ended = 0;
  Hears hears;
  hears.on_finished = [&](JobResult) {
    if (++ended < 10) {
      EXPECT_TRUE(engine_->submit(command({"/bin/true"}), hears));
    }
  };
  ASSERT_TRUE(engine_->submit(command({"/bin/true"}), hears));
  ASSERT_TRUE(engine_->run_until_idle());
  EXPECT_EQ(ended, 10);
}

TEST_F(EngineTest, AnInvalidJobAmongOthers) {
  make_engine({.slots = 1});
  std::vector<Kind> kinds;
  Hears hears;
  hears.on_finished = [&](JobResult result) { kinds.push_back(result.outcome.kind); };
  Job bad = command({"/bin/true"});
  bad.cwd = "relative";
  ASSERT_TRUE(engine_->submit(command({"/bin/true"}), hears));
  ASSERT_TRUE(engine_->submit(bad, hears));
  ASSERT_TRUE(engine_->submit(command({"/bin/true"}), hears));
  ASSERT_TRUE(engine_->run_until_idle());
  EXPECT_EQ(kinds, (std::vector<Kind>{Kind::exited, Kind::setup_failed, Kind::exited}));
}

TEST_F(EngineTest, DestroyedWhileJobsRun) {
  make_engine({.slots = 2});
  // A turn that ends with an error thrown out of the loop is the only way to come back early: so this engine dies inside a child.
  in_child([&] {
    auto engine = Engine::create({.slots = 2});
    ASSERT_TRUE(engine);
    const Traces before;
    Hears hears;
    hears.on_output = [&](Stream, std::string_view) { throw 1; };
    for (int i = 0; i < 6; ++i) ASSERT_TRUE((*engine)->submit(shell("echo begun; sleep 1000 & sleep 1000"), hears));
    try {
      (void)(*engine)->run_until_idle();
      ADD_FAILURE();
    } catch (int) {
    }
    EXPECT_TRUE(has_children());
    engine->reset();
    EXPECT_FALSE(has_children());
    EXPECT_TRUE(cgroups_of(::getpid()).empty());
    EXPECT_EQ(before.mounts, our_mounts());
  });
}

// Runs one job in an engine that hears signals, in a process of its own. `script` says "ready" when it is; every piece of output after
// `signals` more signals is only listened to.
void expect_after_signals(int signals, const std::string& script, const Outcome& wanted, const std::string& output) {
  auto engine = Engine::create({.slots = 1});
  ASSERT_TRUE(engine);
  ASSERT_TRUE((*engine)->cancel_on_signals());
  ASSERT_TRUE((*engine)->cancel_on_signals()) << "again changes nothing";
  std::vector<JobResult> results;
  int sent = 0;
  Hears hears;
  hears.on_output = [&](Stream, std::string_view) {
    if (sent < signals && ((*engine)->cancelled_by_signal() != 0) == (sent > 0)) {
      ++sent;
      ::kill(::getpid(), SIGTERM);
    }
  };
  hears.on_finished = [&](JobResult result) { results.push_back(std::move(result)); };
  Job job;
  job.argv = {"/bin/sh", "-c", script};
  job.env = {{"PATH", "/usr/bin:/bin"}};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE((*engine)->submit(job, hears));
  ASSERT_TRUE((*engine)->run_until_idle());
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].outcome, wanted) << words(results[0].outcome);
  if (!output.empty()) {
    EXPECT_EQ(results[0].output.out, output);
  }
  for (const int i : {1, 2}) EXPECT_EQ(results[static_cast<std::size_t>(i)].outcome.kind, Kind::cancelled);
  EXPECT_EQ((*engine)->cancelled_by_signal(), SIGTERM);
  engine->reset();
  EXPECT_FALSE(has_children());
  sigset_t mask;
  ::sigprocmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_FALSE(::sigismember(&mask, SIGTERM)) << "the mask is as it was";
}

TEST_F(EngineTest, ASignalIsPassedOn) {
  in_child([] {
    expect_after_signals(1, "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.02; done", {Kind::exited, 7}, "ready\ngot\n");
  });
  in_child([] { expect_after_signals(1, "echo ready; sleep 1000", {Kind::signaled, SIGTERM}, "ready\n"); });
}

TEST_F(EngineTest, ASecondSignalEndsAJobThatIgnoresTheFirst) {
  in_child([] { expect_after_signals(2, "trap '' TERM; while :; do echo on; sleep 0.02; done", {Kind::cancelled}, ""); });
}

TEST_F(EngineTest, AJobThatIgnoresSignalsIsEndedAfterTheGrace) {
  if (!std::getenv("CASEMATE_LONG_TESTS")) GTEST_SKIP() << "takes the grace of 10 s; set CASEMATE_LONG_TESTS=1";
  in_child([] { expect_after_signals(1, "trap '' TERM; while :; do echo on; sleep 0.02; done", {Kind::cancelled}, ""); });
}

}  // namespace
}  // namespace casemate
