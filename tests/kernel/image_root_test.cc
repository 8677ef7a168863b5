// Cells whose root is an image: layers under one overlay, whatever is in them.
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "engine_test.h"

namespace casemate {
namespace {

// Layers in `dir_`, topmost first; the programs are the host's /usr, bound read-only.
class ImageRoot : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    base_ = layer("base");
    for (const char* name : {"bin", "sbin", "lib", "lib64"}) fs::create_directory_symlink(std::string("usr/") + name, base_ / name);
    fs::create_directories(base_ / "usr");
    fs::create_directories(base_ / "etc");
    fs::create_directories(base_ / "srv/kept");
    write(base_ / "srv/file", "base\n");
    write(base_ / "srv/other", "other\n");
    write(base_ / "etc/resolv.conf", "nameserver 203.0.113.1\n");
  }

  fs::path layer(const std::string& name) {
    fs::create_directories(dir_ / name);
    fs::permissions(dir_ / name, static_cast<fs::perms>(0755));
    return dir_ / name;
  }

  static void write(const fs::path& path, const std::string& text) {
    std::ofstream(path) << text;
    fs::permissions(path, static_cast<fs::perms>(0644));
  }

  Job job(const std::vector<fs::path>& layers, const std::string& script) {
    Job made = command({"/bin/sh", "-c", script});
    made.image = "test";
    for (const fs::path& path : layers) made.root.push_back(path);
    made.mounts.push_back({.source = "/usr", .target = "/usr"});
    return made;
  }

  JobResult run(const Job& job) {
    auto result = engine_->run(job);
    EXPECT_TRUE(result) << (result ? "" : result.error().what);
    return result ? *result : JobResult{};
  }
  std::string output(const Job& job) {
    const JobResult result = run(job);
    EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome) << result.output.err;
    return result.output.out;
  }

  fs::path base_;
};

TEST_F(ImageRoot, ShowsTheTopmostOfEachFileAndNothingOfTheHost) {
  const fs::path top = layer("top");
  fs::create_directories(top / "srv");
  write(top / "srv/file", "top\n");
  ASSERT_EQ(::mknod((top / "srv/other").c_str(), S_IFCHR, ::makedev(0, 0)), 0);
  fs::create_directories(top / "srv/kept");
  EXPECT_EQ(output(job({top, base_}, "cat /srv/file; ls /srv; ls /")),
            "top\nfile\nkept\nbin\ndev\netc\nlib\nlib64\nproc\nsbin\nsrv\nsys\ntmp\nusr\n");
}

TEST_F(ImageRoot, HonoursOpaqueDirectories) {
  const fs::path top = layer("top");
  fs::create_directories(top / "srv");
  ASSERT_EQ(::setxattr((top / "srv").c_str(), "user.overlay.opaque", "y", 1, 0), 0) << std::strerror(errno);
  EXPECT_EQ(output(job({top, base_}, "ls /srv")), "");
}

TEST_F(ImageRoot, IsTheJobsOwnAndKeepsNothing) {
  const JobResult result =
      run(job({base_}, "stat -c '%u:%g %a' /srv/file /srv; echo mine > /srv/file; rm -r /srv/kept; touch /new && cat /srv/file"));
  EXPECT_EQ(result.output.out, "0:0 644\n0:0 755\nmine\n") << words(result.outcome) << result.output.err;
  EXPECT_EQ(output(job({base_}, "cat /srv/file; ls -d /srv/kept; ls /new 2>&1 || true")),
            "base\n/srv/kept\nls: cannot access '/new': No such file or directory\n");
  EXPECT_EQ(read(base_ / "srv/file"), "base\n");
}

TEST_F(ImageRoot, CollectsWhatTheJobChangedAndNothingElse) {
  Job wanted = job({base_}, "echo more >> /srv/file; rm /srv/other; mkdir /made; echo x > /made/x; ln -s /etc/shadow /link");
  wanted.collect = {"/"};
  wanted.collect_to = dir_ / "out";
  wanted.network = Network::host;
  wanted.mounts.push_back({.kind = Mount::Kind::tmpfs, .target = "/scratch/deep"});
  const JobResult result = run(wanted);
  ASSERT_TRUE(result.outcome.succeeded()) << words(result.outcome) << result.output.err;
  EXPECT_EQ(result.collect_error, "");
  std::vector<std::string> changed;
  for (const Change& change : result.changes) {
    const char* kind = change.kind == Change::Kind::created ? "+" : change.kind == Change::Kind::deleted ? "-" : "*";
    changed.push_back(kind + change.path);
  }
  // The places of mounts are made in the root, as everywhere.
  EXPECT_EQ(changed, (std::vector<std::string>{"+link", "+made", "+made/x", "+scratch", "+scratch/deep", "*srv/file", "-srv/other"}));
  EXPECT_EQ(read(dir_ / "out/srv/file"), "base\nmore\n");
  EXPECT_EQ(fs::read_symlink(dir_ / "out/link"), "/etc/shadow");
}

TEST_F(ImageRoot, TakesItsPlacesWhateverTheImageHasThere) {
  const fs::path host = layer("host");
  fs::permissions(host, fs::perms::all);
  const fs::path top = layer("top");
  const auto to_host = fs::path("../../../../../../..") / host.relative_path();
  for (const char* name : {"proc", "dev", "sys", "tmp"}) fs::create_directory_symlink(to_host, top / name);
  fs::create_directories(top / "etc");
  fs::create_directory_symlink(host, top / "etc/resolv.conf");
  fs::create_directory_symlink(host / "hosts", top / "etc/hosts");
  Job made = job({top, base_}, "test -c /dev/null && test -d /proc/self && test -w /tmp && cat /etc/hosts && readlink /etc/resolv.conf");
  EXPECT_EQ(output(made), "127.0.0.1 localhost casemate\n::1 localhost ip6-localhost ip6-loopback\n" + host.string() + "\n");
  EXPECT_TRUE(fs::is_empty(host));
  fs::remove(top / "etc/resolv.conf");
  fs::create_directory_symlink("/etc", top / "out");
  made = job({top, base_}, "ls /etc");
  made.mounts.push_back({.kind = Mount::Kind::tmpfs, .target = "/out/made"});
  made.mounts.push_back({.source = "/etc/passwd", .target = "/out/file"});
  EXPECT_EQ(output(made), "file\nhostname\nhosts\nmade\nresolv.conf\n");
}

TEST_F(ImageRoot, WhereAFileIsInTheWayOfAPlaceItIsHidden) {
  const fs::path top = layer("top");
  for (const char* name : {"proc", "dev", "sys", "etc", "tmp"}) write(top / name, "no directory");
  EXPECT_EQ(output(job({top, base_}, "cat /proc/self/comm; cat /etc/hostname")), "cat\ncasemate\n");
}

TEST_F(ImageRoot, HoldsLimits) {
  Job wanted = job({base_}, "dd if=/dev/zero of=/srv/big bs=64k count=1000 2>/dev/null");
  wanted.limits.disk_bytes = 1 << 20;
  EXPECT_EQ(run(wanted).outcome.kind, Outcome::Kind::disk_limit);
  EXPECT_EQ(output([&] {
              Job read_only = job({base_}, "touch /tmp/x /dev/shm/x && ! touch /srv/x 2>/dev/null && echo read-only");
              read_only.read_only = true;
              return read_only;
            }()),
            "read-only\n");
}

TEST_F(ImageRoot, OverlaysOfTheJobLieInIt) {
  const fs::path project = layer("project");
  write(project / "mine", "mine\n");
  Job wanted = job({base_}, "cat mine && echo out > result && ls /srv");
  wanted.cwd = "/srv/project";
  wanted.mounts.push_back({.kind = Mount::Kind::overlay, .target = "/srv/project", .lower = {project.string()}, .owned = true});
  wanted.collect = {"/srv/project"};
  const JobResult result = run(wanted);
  EXPECT_EQ(result.output.out, "mine\nfile\nkept\nother\nproject\n") << words(result.outcome) << result.output.err;
  ASSERT_EQ(result.changes.size(), 1u);
  EXPECT_EQ(result.changes[0].path, "result");
  EXPECT_EQ(fs::directory_iterator(project)->path().filename(), "mine");
}

TEST_F(ImageRoot, GivesTheCellsResolverWhereThereIsANetwork) {
  EXPECT_EQ(output(job({base_}, "cat /etc/resolv.conf")), "nameserver 203.0.113.1\n");
  const std::string host = read("/etc/resolv.conf");
  if (host.empty()) GTEST_SKIP() << "this host has no /etc/resolv.conf";
  Job wanted = job({base_}, "cat /etc/resolv.conf");
  wanted.network = Network::host;
  EXPECT_EQ(output(wanted), host);
}

TEST_F(ImageRoot, ManyLayersAreOneRootAndTooManyAreRefused) {
  std::vector<fs::path> layers;
  for (int i = 0; i < 199; ++i) {
    layers.push_back(layer("l" + std::to_string(i)));
    write(layers.back() / ("file" + std::to_string(i)), "");
  }
  layers.push_back(base_);
  EXPECT_EQ(output(job(layers, "ls /file* | wc -l")), "199\n");
  layers.push_back(base_);
  const auto refused = engine_->run(job(layers, "true"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().what, "image 'test' has 201 layers, more than 200");
}

TEST_F(ImageRoot, AnImageThatNobodyOpenedIsRefused) {
  Job unopened = command({"/bin/true"});
  unopened.image = "docker://docker.io/library/python:3.11-slim";
  const auto refused = engine_->run(unopened);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
}

TEST_F(ImageRoot, KernelFileSystemsComeWhereTheyAreAskedFor) {
  Job wanted = job({base_},
                   "grep -c ' /sys sysfs ro' /proc/mounts; grep -c ' /dev/mqueue mqueue' /proc/mounts; "
                   "grep -c ' /pts devpts' /proc/mounts; ls /sys/class/net; grep -c ' proc ' /proc/mounts; stat -c %F /null");
  wanted.mounts.push_back({.kind = Mount::Kind::sysfs, .target = "/sys"});
  wanted.mounts.push_back({.kind = Mount::Kind::mqueue, .target = "/dev/mqueue"});
  wanted.mounts.push_back({.kind = Mount::Kind::devpts, .target = "/pts"});
  wanted.mounts.push_back({.kind = Mount::Kind::devpts, .target = "/dev/pts"});
  wanted.mounts.push_back({.kind = Mount::Kind::proc, .target = "/proc"});
  wanted.mounts.push_back({.kind = Mount::Kind::device, .source = "null", .target = "/dev/null"});
  wanted.mounts.push_back({.kind = Mount::Kind::device, .source = "null", .target = "/null"});
  const JobResult result = run(wanted);
  if (result.outcome.kind == Outcome::Kind::setup_failed && result.outcome.step.find("sysfs") != std::string::npos)
    GTEST_SKIP() << "sysfs: " << words(result.outcome) << " (this host's own is covered in parts, so the kernel gives out no other)";
  EXPECT_EQ(result.output.out, "1\n1\n1\nlo\n2\ncharacter special file\n") << words(result.outcome) << result.output.err;
  Job on_host = command({"/bin/sh", "-c", "ls /sys/class/net"});
  on_host.mounts.push_back({.kind = Mount::Kind::sysfs, .target = "/sys"});
  EXPECT_EQ(output(on_host), "lo\n");
}

TEST_F(ImageRoot, RefusesMountsThatWouldOpenTheHost) {
  const auto refused = [&](Mount mount, Network network = Network::none) {
    Job wanted = job({base_}, "true");
    wanted.network = network;
    wanted.mounts.push_back(std::move(mount));
    const auto result = engine_->run(wanted);
    return result ? std::string("ran: ") + words(result->outcome) : result.error().what;
  };
  EXPECT_EQ(refused({.kind = Mount::Kind::sysfs, .target = "/sys"}, Network::host),
            "can't mount sysfs at '/sys': with the host's network it would be the host's");
  EXPECT_EQ(refused({.kind = Mount::Kind::device, .source = "vda", .target = "/dev/vda"}),
            "'vda' is no device that a cell can be given: null, zero, full, random, urandom, tty, fuse");
  EXPECT_EQ(refused({.kind = Mount::Kind::device, .source = "../etc/shadow", .target = "/x"}).substr(0, 15), "'../etc/shadow'");
  for (const char* place : {"/proc", "/dev", "/", "/proc/x"})
    EXPECT_EQ(refused({.kind = Mount::Kind::mqueue, .target = place}), fmt::format("nothing can be mounted at '{}' in a cell", place));
  EXPECT_EQ(refused({.kind = Mount::Kind::proc, .target = "/other"}), "can't mount proc at '/other': a cell has one, at /proc");
}

}  // namespace
}  // namespace casemate
