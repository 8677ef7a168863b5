// What a job sees at "/" and takes over from an image; run in cells.
#include "image/root.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "casemate/engine.h"
#include "pull_scratch.h"

namespace casemate {
namespace {

constexpr const char* kPasswd = "root:x:0:0:root:/root:/bin/sh\nbad line\nann:x:7:8:Ann:/home/ann:/bin/sh\nlost:x:no:8::/:\n";
constexpr const char* kGroup = "root:x:0:\nteam:x:12:ann\n";

class Roots : public PullScratch {
 protected:
  fs::path layer(const std::string& name) {
    const fs::path path = top_ / name;
    fs::create_directories(path);
    return path;
  }
  void account_files(const fs::path& layer) {
    fs::create_directories(layer / "etc");
    write(layer / "etc/passwd", kPasswd);
    write(layer / "etc/group", kGroup);
  }
  Root root(const std::vector<fs::path>& layers) {
    Root made;
    made.image = "test";
    for (const fs::path& path : layers) made.layers.push_back(path);
    return made;
  }
  static std::string user(const Root& root, std::string_view text) {
    const auto found = resolve_user(root, text);
    return found ? fmt::format("{}:{}", found->uid, found->gid) : found.error().what;
  }
  static std::string file(const Root& root, std::string_view path) {
    const auto text = read_root_file(root, path, 1000);
    return !text ? text.error().what : text->value_or("(none)");
  }
  static JobResult run(Job job) {
    job.limits = default_limits();
    auto engine = Engine::create({});
    EXPECT_TRUE(engine) << engine.error().what;
    auto result = (*engine)->run(std::move(job));
    EXPECT_TRUE(result) << result.error().what;
    return result ? *result : JobResult{};
  }
};

TEST_F(Roots, open_as_layers_topmost_first) {
  Store kept = store();
  const std::string image = image_of("image", {LayerTar().file("one", "1").bytes(), LayerTar().file("two", "2").bytes()});
  const auto opened = open_root(kept, reference(image), {});
  ASSERT_TRUE(opened) << opened.error().what;
  ASSERT_EQ(opened->layers.size(), 2u);
  EXPECT_EQ(read(opened->layers[0] + "/two"), "2");
  EXPECT_EQ(opened->image, image);
  EXPECT_FALSE(opened->is_host());
  EXPECT_FALSE(opened->cached);
  const auto again = open_root(kept, reference(image), {});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->cached);
  EXPECT_EQ(again->identity, opened->identity);
  EXPECT_EQ(again->config.env, std::vector<std::string>{"NAME=value"});
  // In use: an eviction of everything leaves them.
  ASSERT_TRUE(kept.prune(0));
  EXPECT_EQ(read(opened->layers[1] + "/one"), "1");
}

TEST_F(Roots, are_directories_too_but_not_the_host) {
  Store kept = store();
  fs::create_directory_symlink(layer("tree"), top_ / "link");
  const auto opened = open_root(kept, reference("dir:" + (top_ / "link").string()), {});
  ASSERT_TRUE(opened) << opened.error().what;
  EXPECT_EQ(opened->image, "dir:" + (top_ / "tree").string());
  EXPECT_EQ(opened->layers, std::vector<std::string>{top_ / "tree"});
  const auto refusal = [&](const std::string& text) { return open_root(kept, reference(text), {}).error().what; };
  EXPECT_EQ(refusal("dir:/"), "the host's own '/' can't be a root directory: image 'host' shows what of it is safe to show");
  EXPECT_EQ(refusal("dir:/usr/.."), "the host's own '/' can't be a root directory: image 'host' shows what of it is safe to show");
  EXPECT_NE(refusal("dir:" + (top_ / "missing").string()).find("No such file"), std::string::npos);
  write(top_ / "plain", "");
  EXPECT_NE(refusal("dir:" + (top_ / "plain").string()).find("not a directory"), std::string::npos);
}

TEST_F(Roots, know_their_users) {
  const fs::path base = layer("base");
  account_files(base);
  const Root image = root({layer("top"), base});
  EXPECT_EQ(user(image, "ann"), "7:8");
  EXPECT_EQ(user(image, "7"), "7:8");
  EXPECT_EQ(user(image, "70"), "70:0");
  EXPECT_EQ(user(image, "ann:team"), "7:12");
  EXPECT_EQ(user(image, "70:71"), "70:71");
  EXPECT_EQ(user(image, "nobody"), "image 'test' has no user 'nobody'; give a number");
  EXPECT_EQ(user(image, "lost"), "image 'test' has no user 'lost'; give a number");
  EXPECT_EQ(user(image, "ann:none"), "image 'test' has no group 'none'; give a number");
  EXPECT_EQ(user(image, "4294967295"), "image 'test' has no user '4294967295'; give a number");
  for (const char* wrong : {"", ":", "ann:", ":team"}) EXPECT_NE(user(image, wrong).find("is no user"), std::string::npos) << wrong;
  EXPECT_EQ(user(Root(), "1000:7"), "1000:7");
  EXPECT_EQ(user(Root(), "root"), "image 'host' has no user 'root'; give a number");
}

TEST_F(Roots, read_files_as_the_overlay_shows_them) {
  const fs::path base = layer("base");
  const fs::path top = layer("top");
  account_files(base);
  EXPECT_EQ(file(root({top, base}), "etc/passwd"), kPasswd);
  fs::create_directories(top / "etc");
  EXPECT_EQ(file(root({top, base}), "etc/passwd"), kPasswd);
  fs::create_symlink("/etc/shadow", top / "etc/passwd");
  EXPECT_EQ(file(root({top, base}), "etc/passwd"), "(none)");
  fs::remove(top / "etc/passwd");
  ASSERT_EQ(::mknod((top / "etc/passwd").c_str(), S_IFCHR, ::makedev(0, 0)), 0);
  EXPECT_EQ(file(root({top, base}), "etc/passwd"), "(none)");
  fs::remove(top / "etc/passwd");
  ASSERT_EQ(::setxattr((top / "etc").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  EXPECT_EQ(file(root({top, base}), "etc/passwd"), "(none)");
  fs::remove_all(top / "etc");
  fs::create_directory_symlink("/etc", top / "etc");
  EXPECT_EQ(file(root({top, base}), "etc/passwd"), "(none)");
  fs::remove(top / "etc");
  ASSERT_EQ(::mkfifo((base / "etc/fifo").c_str(), 0666), 0);
  EXPECT_EQ(file(root({top, base}), "etc/fifo"), "(none)");
  EXPECT_EQ(file(root({top, base}), "etc"), "(none)");
  write(base / "etc/large", std::string(1001, 'x'));
  EXPECT_EQ(file(root({top, base}), "etc/large"), "/etc/large of image 'test' is larger than 1000 bytes");
}

TEST_F(Roots, say_how_to_run) {
  const fs::path base = layer("base");
  account_files(base);
  Root image = root({base});
  image.config.env = {"PATH=/image", "MINE=image", "EMPTY=", "=odd"};
  image.config.working_dir = "/work/./x//../y";
  image.config.entrypoint = {"/entry", "-x"};
  image.config.cmd = {"default"};
  image.config.user = "ann";
  Job job;
  job.cwd = "";
  job.env = {{"MINE", "job"}};
  ASSERT_TRUE(take_config(job, image, {}));
  EXPECT_EQ(job.argv, (std::vector<std::string>{"/entry", "-x", "default"}));
  EXPECT_EQ(job.env, (std::map<std::string, std::string>{{"PATH", "/image"}, {"MINE", "job"}, {"EMPTY", ""}, {"HOME", "/home/ann"}}));
  EXPECT_EQ(job.cwd, "/work/y");
  EXPECT_EQ(job.user.uid, 7u);

  Job own;
  own.argv = {"mine"};
  own.cwd = "/here";
  own.env = {{"HOME", "/there"}};
  ASSERT_TRUE(take_config(own, image, {.env = false, .user = false}));
  EXPECT_EQ(own.argv, (std::vector<std::string>{"/entry", "-x", "mine"}));
  EXPECT_EQ(own.env, (std::map<std::string, std::string>{{"HOME", "/there"}}));
  EXPECT_EQ(own.cwd, "/here");
  EXPECT_EQ(own.user.uid, 0u);

  Job none;
  none.cwd = "";
  const auto refused = take_config(none, image, {.working_directory = false, .entrypoint = false});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().what, "image 'test' says no command to run, so give one");
  EXPECT_EQ(none.cwd, "/");
  image.config.user = "ghost";
  none.argv = {"x"};
  EXPECT_FALSE(take_config(none, image, {}));
}

TEST_F(Roots, of_the_host_get_layers_at_their_tops) {
  const fs::path one = layer("one");
  const fs::path two = layer("two");
  fs::create_directories(one / "app");
  fs::create_directories(two / "app");
  fs::create_directories(two / "usr/share/casemate-test");
  fs::create_directories(two / "tmp");
  for (const char* stub : {"proc", "dev", "sys"}) fs::create_directories(two / stub);
  write(one / "app/file", "one\n");
  write(two / "app/file", "two\n");
  write(two / "app/more", "more\n");
  write(two / "usr/share/casemate-test/data", "data\n");
  write(two / "note", "note\n");
  Root host;
  host.layers = {one, two};
  Job job;
  job.argv = {"sh", "-c",
              "cat /app/file /app/more /usr/share/casemate-test/data /note; stat -c %a /tmp; stat -c %u /app/file /note; id -u"};
  job.env = {{"PATH", "/usr/bin:/bin"}};
  const auto put = put_root(job, host);
  ASSERT_TRUE(put) << put.error().what;
  const JobResult result = run(job);
  EXPECT_EQ(result.output.out, "one\nmore\ndata\nnote\n1777\n0\n0\n0\n") << words(result.outcome) << result.output.err;
  EXPECT_FALSE(fs::exists("/usr/share/casemate-test"));

  fs::create_symlink("app", one / "odd");
  const auto refused = put_root(job, host);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("'/odd'"), std::string::npos);
}

TEST_F(Roots, on_the_host_keep_its_secrets_shut) {
  const fs::path one = layer("one");
  fs::create_directories(one / "etc");
  write(one / "etc/casemate-test", "here\n");
  Root host;
  host.layers = {one};
  Job job;
  job.argv = {"sh", "-c", "cat /etc/casemate-test; cat /etc/shadow 2>/dev/null || echo shut"};
  job.env = {{"PATH", "/usr/bin:/bin"}};
  ASSERT_TRUE(put_root(job, host));
  const JobResult result = run(job);
  EXPECT_EQ(result.output.out, "here\nshut\n") << words(result.outcome) << result.output.err;
}

TEST_F(Roots, grow_by_layers) {
  Store kept = store();
  Root image = root({layer("base")});
  const std::string before = image.identity;
  const std::string key(64, 'a');
  auto made = kept.make_layer(key, "test", [](const std::string& directory) -> Result<void> {
    write(fs::path(directory) / "file", "over");
    return {};
  });
  ASSERT_TRUE(made) << made.error().what;
  add_layer(image, std::move(*made), key);
  EXPECT_NE(image.identity, before);
  ASSERT_EQ(image.layers.size(), 2u);
  EXPECT_EQ(read(image.layers[0] + "/file"), "over");
  ASSERT_TRUE(kept.prune(0));
  EXPECT_TRUE(fs::exists(image.layers[0] + "/file"));
}

TEST_F(Roots, without_layers_are_empty_places_to_run_in) {
  Store kept = store();
  const auto none = open_root(kept, reference(image_of("none", {})), {});
  ASSERT_TRUE(none) << none.error().what;
  Root dropped = root({layer("base")});
  ASSERT_TRUE(drop_layers(dropped, kept));
  for (const Root& empty : {*none, dropped}) {
    Job job;
    ASSERT_TRUE(put_root(job, empty));
    job.argv = {"/usr/bin/env", "true"};
    job.env = {{"PATH", "/usr/bin"}};
    job.mounts = {{.source = "/usr", .target = "/usr"}};
    for (const char* lib : {"/lib", "/lib64"}) {
      if (fs::exists(lib)) job.mounts.push_back({.source = lib, .target = lib});
    }
    EXPECT_TRUE(run(job).outcome.succeeded());
  }
}

}  // namespace
}  // namespace casemate
