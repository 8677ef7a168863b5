#include "image/project_layers.h"

#include <set>
#include <thread>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <gtest/gtest.h>

#include "image/file_index.h"
#include "scratch.h"
#include "store/tree.h"

namespace casemate {
namespace {

// A project, a store and a root of one directory ("image"), all in top_.
class ProjectLayers : public Scratch {
 protected:
  void SetUp() override {
    Scratch::SetUp();
    project_ = top_ / "project";
    image_ = top_ / "image";
    fs::create_directories(project_);
    fs::create_directories(image_ / "usr/bin");
    fs::create_directory_symlink("usr/bin", image_ / "bin");
    fs::create_directory(image_ / "tmp");
    ::chmod((image_ / "tmp").c_str(), 01777);
    open_store();
  }
  void TearDown() override {
    store_.reset();
    Scratch::TearDown();
  }

  void open_store() {
    store_.reset();
    auto store = Store::open({.directory = top_ / "store"});
    ASSERT_TRUE(store) << store.error().what;
    store_.emplace(std::move(*store));
  }

  Root image() const {
    Root root;
    root.image = "dir:" + image_.string();
    root.identity = "image";
    root.layers = {image_};
    return root;
  }

  Result<Root> try_layers(const std::vector<LayerSpec>& specs) {
    Root root = image();
    LayerContext context{*store_, project_, {}, [this](std::string_view line) { told_ += std::string(line) + "\n"; }};
    TRY(add_layers(root, specs, context));
    return root;
  }
  Root layers(const std::vector<LayerSpec>& specs) {
    auto root = try_layers(specs);
    EXPECT_TRUE(root) << root.error().what;
    return root ? std::move(*root) : image();
  }
  std::string problem(const std::vector<LayerSpec>& specs, ErrorCode code) {
    const auto root = try_layers(specs);
    if (root) return "it worked";
    EXPECT_EQ(root.error().code, code) << root.error().what;
    EXPECT_EQ(root.error().what.find('\n'), std::string::npos);
    EXPECT_TRUE(root.error().what.starts_with("layers[")) << root.error().what;
    return root.error().what;
  }

  // The topmost file of a path, as overlayfs would show it; "" for none. `made` leaves out the image.
  static std::string find(const Root& root, const std::string& path) {
    for (const std::string& layer : root.layers) {
      struct stat info{};
      for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        if (::lstat((layer + "/" + path.substr(0, slash)).c_str(), &info) == 0 && S_ISCHR(info.st_mode)) return "";
      }
      if (::lstat((layer + "/" + path).c_str(), &info) == 0) return S_ISCHR(info.st_mode) ? "" : layer + "/" + path;
    }
    return "";
  }
  static std::string text(const Root& root, const std::string& path) {
    const std::string file = find(root, path);
    return file.empty() ? "(none)" : read(file);
  }
  // All paths of all layers over the image, without whiteouts and what they hide.
  static std::set<std::string> paths(const Root& root) {
    std::set<std::string> found;
    for (std::size_t i = 0; i + 1 < root.layers.size(); ++i) {
      for (const auto& entry : fs::recursive_directory_iterator(root.layers[i])) {
        const std::string path = entry.path().lexically_relative(root.layers[i]);
        if (!find(root, path).empty() && (entry.is_symlink() || !entry.is_directory())) found.insert(path);
      }
    }
    return found;
  }
  static struct stat info(const std::string& path) {
    struct stat found{};
    EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
    return found;
  }
  static void age(const fs::path& path) {
    const struct stat now = info(path);
    const timespec times[2] = {{now.st_mtim.tv_sec - 100, 5}, {now.st_mtim.tv_sec - 100, 5}};
    ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
  }
  void many_files(int count) {
    for (int i = 0; i < count; ++i) {
      fs::create_directories(project_ / ("d" + std::to_string(i % 10)));
      write(project_ / ("d" + std::to_string(i % 10)) / ("f" + std::to_string(i) + ".py"), "text " + std::to_string(i));
    }
  }

  fs::path project_;
  fs::path image_;
  std::optional<Store> store_;
  std::string told_;
};

TEST_F(ProjectLayers, glob_takes_what_matches) {
  fs::create_directories(project_ / "pkg/sub");
  fs::create_directories(project_ / ".git/hooks");
  write(project_ / "pkg/a.py", "a");
  write(project_ / "pkg/sub/b.py", "b");
  write(project_ / "pkg/sub/c.txt", "c");
  write(project_ / ".hidden.py", "h");
  write(project_ / ".git/hooks/x.py", "x");
  ASSERT_EQ(::mkfifo((project_ / "fifo.py").c_str(), 0600), 0);
  fs::create_symlink("a.py", project_ / "pkg/link.py");
  const Root root = layers({GlobLayer{.glob = "**.py"}});
  EXPECT_EQ(paths(root), (std::set<std::string>{".hidden.py", "pkg/a.py", "pkg/link.py", "pkg/sub/b.py"}));
  EXPECT_EQ(text(root, "pkg/sub/b.py"), "b");
  EXPECT_EQ(fs::read_symlink(find(root, "pkg/link.py")), "a.py");
  EXPECT_EQ(paths(layers({GlobLayer{.glob = "**.py", .exclude = {"pkg/sub", ".*"}}})), (std::set<std::string>{"pkg/a.py", "pkg/link.py"}));
  EXPECT_EQ(paths(layers({GlobLayer{.glob = "pkg/**", .exclude = {"**/sub/**"}}})), (std::set<std::string>{"pkg/a.py", "pkg/link.py"}));
  EXPECT_EQ(paths(layers({GlobLayer{.glob = "**/.git/**"}})), (std::set<std::string>{".git/hooks/x.py"}));
  EXPECT_EQ(layers({GlobLayer{.glob = (project_ / "pkg/*.py"), .prefix = {.strip_prefix = project_}}}).layers.size(), 2u);
}

TEST_F(ProjectLayers, what_matches_nothing_is_told) {
  const Root root = layers({GlobLayer{.glob = "**.nothing"}, GlobLayer{.glob = "no/such/*.py"}});
  EXPECT_EQ(root.layers.size(), 1u);
  EXPECT_NE(told_.find("layers[0]: glob '**.nothing': matches nothing"), std::string::npos) << told_;
}

TEST_F(ProjectLayers, files_keep_mode_and_time_but_no_special_bits) {
  write(project_ / "run", "x");
  ::chmod((project_ / "run").c_str(), 04751);
  const timespec times[2] = {{1'500'000'000, 123'456'789}, {1'500'000'000, 123'456'789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (project_ / "run").c_str(), times, 0), 0);
  fs::create_directory(project_ / "shut");
  write(project_ / "shut/file", "y");
  ::chmod((project_ / "shut").c_str(), 0511);
  const Root root = layers({PathsLayer{.paths = {"run", "shut"}}});
  const struct stat run = info(find(root, "run"));
  EXPECT_EQ(run.st_mode & 07777, 0751u);
  EXPECT_EQ(run.st_mtim.tv_sec, 1'500'000'000);
  EXPECT_EQ(run.st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(run.st_uid, ::geteuid());
  EXPECT_EQ(info(find(root, "shut")).st_mode & 07777, 0511u);
  EXPECT_EQ(text(root, "shut/file"), "y");
  ::chmod((project_ / "shut").c_str(), 0755);
}

TEST_F(ProjectLayers, prefixes_say_where_files_go) {
  fs::create_directories(project_ / "src/pkg");
  write(project_ / "src/pkg/a.py", "a");
  write(top_ / "outside", "o");
  fs::create_directory_symlink("src", project_ / "alias");
  const auto one = [&](const PathsLayer& layer) { return *paths(layers({layer})).begin(); };
  EXPECT_EQ(one({{"src/pkg/a.py"}, {.strip_prefix = "src"}}), "pkg/a.py");
  EXPECT_EQ(one({{"./src//pkg/a.py"}, {.strip_prefix = "./src/", .prepend_prefix = "/app/"}}), "app/pkg/a.py");
  EXPECT_EQ(one({{"src/pkg"}, {.strip_prefix = "src/pkg", .prepend_prefix = "x"}}), "x/a.py");
  EXPECT_EQ(one({{"src/pkg/a.py"}, {.strip_prefix = "sr"}}), "src/pkg/a.py");
  EXPECT_EQ(one({{"alias/pkg/a.py"}, {}}), "alias/pkg/a.py");
  const std::string real = fs::canonical(project_);
  EXPECT_EQ(one({{"alias/pkg/a.py"}, {.strip_prefix = real, .canonicalize = true}}), "src/pkg/a.py");
  EXPECT_EQ(one({{"../outside"}, {.strip_prefix = ".."}}), "outside");
  EXPECT_NE(problem({PathsLayer{{"../outside"}, {}}}, ErrorCode::invalid_input).find("'..'"), std::string::npos);
  EXPECT_NE(problem({PathsLayer{{"src/pkg/a.py"}, {.strip_prefix = "src/pkg/a.py"}}}, ErrorCode::invalid_input).find("nothing"),
            std::string::npos);
  EXPECT_NE(problem({PathsLayer{{"src/pkg/a.py"}, {.prepend_prefix = "/a/../../b"}}}, ErrorCode::invalid_input).find("'..'"),
            std::string::npos);
}

TEST_F(ProjectLayers, missing_files_are_named) {
  EXPECT_EQ(problem({StubsLayer{{"/x/"}}, PathsLayer{{"no such\nfile"}, {}}}, ErrorCode::not_found),
            "layers[1]: paths 'no such\\nfile': no such\\nfile: no such file");
  EXPECT_NE(problem({TarLayer{"none.tar"}}, ErrorCode::not_found).find("none.tar"), std::string::npos);
  EXPECT_NE(problem({GlobLayer{.glob = "[a"}}, ErrorCode::invalid_input).find("never closed"), std::string::npos);
}

TEST_F(ProjectLayers, links_are_followed_on_request_and_loops_end) {
  fs::create_directories(project_ / "d");
  write(project_ / "d/a.py", "a");
  write(project_ / "real.py", "real");
  fs::create_directory_symlink("..", project_ / "d/up");
  fs::create_symlink("../real.py", project_ / "d/link.py");
  fs::create_symlink("nowhere", project_ / "d/dangling.py");
  const Root kept = layers({PathsLayer{{"d"}, {}}});
  EXPECT_EQ(paths(kept), (std::set<std::string>{"d/a.py", "d/dangling.py", "d/link.py", "d/up"}));
  EXPECT_TRUE(S_ISLNK(info(find(kept, "d/link.py")).st_mode));
  const Root followed = layers({PathsLayer{{"d"}, {.follow_symlinks = true}}});
  EXPECT_TRUE(S_ISREG(info(find(followed, "d/link.py")).st_mode));
  EXPECT_EQ(text(followed, "d/link.py"), "real");
  EXPECT_TRUE(S_ISLNK(info(find(followed, "d/dangling.py")).st_mode));
  EXPECT_EQ(text(followed, "d/up/real.py"), "real");
}

TEST_F(ProjectLayers, odd_names_work) {
  for (const std::string& name : {std::string("new\nline"), std::string("\xff\xfe"), std::string(255, 'x'), std::string(".wh.a"),
                                  std::string("-rf *"), std::string("'\"\\")})
    write(project_ / name, name);
  const Root root = layers({GlobLayer{.glob = "**"}});
  EXPECT_EQ(paths(root).size(), 6u);
  EXPECT_EQ(text(root, "new\nline"), "new\nline");
  EXPECT_EQ(text(root, "\xff\xfe"), "\xff\xfe");
}

TEST_F(ProjectLayers, stubs_and_links) {
  const Root root = layers({StubsLayer{{"/{proc,sys,tmp}/", "/etc/{a,b}", "/bin/tool"}}, SymlinksLayer{{{"/dev/fd", "/proc/self/fd"}}}});
  EXPECT_TRUE(fs::is_directory(find(root, "proc")));
  EXPECT_EQ(text(root, "etc/b"), "");
  EXPECT_EQ(fs::read_symlink(find(root, "dev/fd")), "/proc/self/fd");
  EXPECT_EQ(info(find(root, "tmp")).st_mode & 07777, 01777u) << "the image's directory keeps its mode";
  EXPECT_EQ(find(root, "usr/bin/tool"), root.layers[1] + "/usr/bin/tool") << "/bin is a link to usr/bin in the image";
  EXPECT_TRUE(S_ISLNK(info(find(root, "bin")).st_mode));
  EXPECT_NE(problem({StubsLayer{{"/a", "/a/b"}}}, ErrorCode::invalid_input).find("directory"), std::string::npos);
  EXPECT_NE(problem({StubsLayer{{"/../a"}}}, ErrorCode::invalid_input).find("'..'"), std::string::npos);
}

TEST_F(ProjectLayers, equal_files_are_one_layer) {
  many_files(20);
  const Root first = layers({GlobLayer{.glob = "**.py"}});
  const Root again = layers({GlobLayer{.glob = "**.py"}});
  EXPECT_EQ(first.layers, again.layers);
  EXPECT_EQ(first.identity, again.identity);
  const Root other = layers({PathsLayer{{"d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"}, {}}});
  EXPECT_EQ(first.layers, other.layers) << "what it is made of counts, not how that was said";
}

TEST_F(ProjectLayers, an_edit_makes_a_small_layer_over_the_full_one) {
  many_files(200);
  const Root first = layers({GlobLayer{.glob = "**.py"}});
  ASSERT_EQ(first.layers.size(), 2u);
  write(project_ / "d3/f13.py", "edited");
  fs::remove(project_ / "d4/f14.py");
  write(project_ / "d5/new.py", "new");
  const Root second = layers({GlobLayer{.glob = "**.py"}});
  ASSERT_EQ(second.layers.size(), 3u);
  EXPECT_EQ(second.layers[1], first.layers[0]);
  EXPECT_EQ(text(second, "d3/f13.py"), "edited");
  EXPECT_EQ(text(second, "d5/new.py"), "new");
  EXPECT_EQ(find(second, "d4/f14.py"), "");
  EXPECT_EQ(paths(second).size(), 200u);
  EXPECT_EQ(std::distance(fs::recursive_directory_iterator(second.layers[0]), fs::recursive_directory_iterator()), 6) << "3 in 3";
  // Again, and again with another edit: always over the full one.
  EXPECT_EQ(layers({GlobLayer{.glob = "**.py"}}).layers, second.layers);
  write(project_ / "d3/f23.py", "edited too");
  const Root third = layers({GlobLayer{.glob = "**.py"}});
  ASSERT_EQ(third.layers.size(), 3u);
  EXPECT_EQ(third.layers[1], first.layers[0]);
  EXPECT_EQ(text(third, "d3/f13.py"), "edited");
  // A touched file is not a changed one.
  age(project_ / "d1/f1.py");
  EXPECT_EQ(layers({GlobLayer{.glob = "**.py"}}).layers, third.layers);
  // All as before: the full one alone.
  write(project_ / "d3/f13.py", "text 13");
  write(project_ / "d3/f23.py", "text 23");
  write(project_ / "d4/f14.py", "text 14");
  fs::remove(project_ / "d5/new.py");
  EXPECT_EQ(layers({GlobLayer{.glob = "**.py"}}).layers, first.layers);
}

TEST_F(ProjectLayers, many_edits_make_a_new_full_layer) {
  many_files(100);
  const Root first = layers({GlobLayer{.glob = "**.py"}});
  for (int i = 0; i < 30; ++i) write(project_ / ("d" + std::to_string(i % 10)) / ("f" + std::to_string(i) + ".py"), "edited");
  const Root second = layers({GlobLayer{.glob = "**.py"}});
  ASSERT_EQ(second.layers.size(), 2u);
  EXPECT_NE(second.layers[0], first.layers[0]);
}

TEST_F(ProjectLayers, whole_directories_go_and_change_kind) {
  many_files(200);
  layers({GlobLayer{.glob = "**"}});
  fs::remove_all(project_ / "d7");
  fs::remove(project_ / "d8/f8.py");
  fs::create_directory(project_ / "d8/f8.py");
  write(project_ / "d8/f8.py/in", "in");
  const Root gone = layers({GlobLayer{.glob = "**"}});
  EXPECT_EQ(find(gone, "d7/f7.py"), "");
  EXPECT_EQ(text(gone, "d8/f8.py/in"), "in");
  write(project_ / "d7", "a file now");
  EXPECT_EQ(text(layers({GlobLayer{.glob = "**"}}), "d7"), "a file now");
}

TEST_F(ProjectLayers, what_the_image_has_shows_again_when_the_project_s_file_goes) {
  fs::create_directories(image_ / "d4");
  write(image_ / "d4/f14.py", "the image's");
  many_files(200);
  EXPECT_EQ(text(layers({GlobLayer{.glob = "**.py"}}), "d4/f14.py"), "text 14");
  fs::remove(project_ / "d4/f14.py");
  EXPECT_EQ(text(layers({GlobLayer{.glob = "**.py"}}), "d4/f14.py"), "the image's");
}

// Bytes that this process has read by read(2) and its kin (proc(5)).
std::uint64_t bytes_read() {
  const std::string io = read("/proc/self/io");
  return std::stoull(io.substr(io.find("rchar: ") + 7));
}

TEST_F(ProjectLayers, only_changed_files_are_read) {
  if (read("/proc/self/io").empty()) GTEST_SKIP() << "/proc/self/io can't be read";
  const auto file = [&](int i) { return project_ / ("f" + std::to_string(i) + ".py"); };
  for (int i = 0; i < 30; ++i) write(file(i), std::string(1'000'000, static_cast<char>('a' + i)));
  ::usleep(150'000);  // the index trusts no stamp that another write could still leave as it is
  layers({GlobLayer{.glob = "**.py"}});
  std::uint64_t before = bytes_read();
  layers({GlobLayer{.glob = "**.py"}});
  EXPECT_LT(bytes_read() - before, 500'000u);
  write(file(3), std::string(1'000'000, '.'));
  before = bytes_read();
  EXPECT_EQ(layers({GlobLayer{.glob = "**.py"}}).layers.size(), 3u);
  EXPECT_LT(bytes_read() - before, 3'000'000u);
}

TEST_F(ProjectLayers, a_write_that_leaves_size_and_time_alone_is_seen) {
  many_files(60);
  layers({GlobLayer{.glob = "**.py"}});
  const fs::path file = project_ / "d1/f1.py";
  const struct stat before = info(file);
  write(file, "TEXT 1");
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ::utimensat(AT_FDCWD, file.c_str(), times, 0);
  EXPECT_EQ(text(layers({GlobLayer{.glob = "**.py"}}), "d1/f1.py"), "TEXT 1");
}

TEST_F(ProjectLayers, a_damaged_index_is_none) {
  many_files(60);
  const Root first = layers({GlobLayer{.glob = "**.py"}});
  for (const auto& entry : fs::directory_iterator(top_ / "store/indexes")) {
    std::string bytes = read(entry.path());
    if (bytes.empty()) continue;
    bytes[bytes.size() / 2] ^= 1;
    write(entry.path(), bytes);
  }
  EXPECT_EQ(layers({GlobLayer{.glob = "**.py"}}).layers, first.layers);
  for (const auto& entry : fs::directory_iterator(top_ / "store/indexes")) fs::resize_file(entry.path(), fs::file_size(entry.path()) / 3);
  EXPECT_EQ(layers({GlobLayer{.glob = "**.py"}}).layers, first.layers);
}

TEST_F(ProjectLayers, an_evicted_base_is_made_again) {
  many_files(60);
  Root first = layers({GlobLayer{.glob = "**.py"}});
  const std::string path = first.layers[0];
  first = image();
  ASSERT_TRUE(store_->prune(0));
  ASSERT_FALSE(fs::exists(path));
  EXPECT_EQ(layers({GlobLayer{.glob = "**.py"}}).layers[0], path);
}

TEST_F(ProjectLayers, two_at_once_make_it_once) {
  many_files(300);
  std::vector<std::thread> threads;
  std::vector<std::string> made(4);
  for (std::string& layer : made) {
    threads.emplace_back([&] {
      auto store = Store::open({.directory = top_ / "store"});
      ASSERT_TRUE(store);
      Root root = image();
      const auto done = add_layers(root, {GlobLayer{.glob = "**.py"}}, {*store, project_, {}, {}});
      ASSERT_TRUE(done) << done.error().what;
      layer = root.layers[0];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set<std::string>(made.begin(), made.end()).size(), 1u);
  EXPECT_EQ(store_->entries()->size(), 1u);
  EXPECT_TRUE(fs::is_empty(top_ / "store/tmp"));
}

TEST_F(ProjectLayers, the_store_never_gets_into_a_layer) {
  project_ = top_;
  write(top_ / "a.py", "a");
  const Root root = layers({GlobLayer{.glob = "**", .exclude = {"image"}}});
  EXPECT_EQ(text(root, "a.py"), "a");
  for (const std::string& path : paths(root)) EXPECT_FALSE(path.starts_with("store")) << path;
  EXPECT_EQ(layers({GlobLayer{.glob = "store/layers/**"}}).layers, image().layers);
  EXPECT_NE(problem({PathsLayer{.paths = {"store/layers"}}}, ErrorCode::invalid_input).find("casemate's own cache"), std::string::npos);
}

TEST_F(ProjectLayers, files_where_nobody_would_see_them_are_refused_but_stubs_are_not) {
  write(project_ / "a", "a");
  for (const char* place : {"/dev", "/proc/x", "/sys"}) {
    const GlobLayer glob{.glob = "a", .prefix = {.prepend_prefix = place}};
    EXPECT_NE(problem({glob}, ErrorCode::invalid_input).find("of its own"), std::string::npos) << place;
  }
  layers({StubsLayer{{"/{proc,sys,tmp}/", "/dev/{full,null}"}}});
}

TEST_F(ProjectLayers, sparse_and_large_files) {
  write(project_ / "sparse", "begin");
  fs::resize_file(project_ / "sparse", 3 << 20);
  write(project_ / "large", std::string(1'000'000, 'x') + "end");
  const Root root = layers({GlobLayer{.glob = "*"}});
  EXPECT_EQ(read(find(root, "sparse")), read(project_ / "sparse"));
  EXPECT_EQ(read(find(root, "large")), read(project_ / "large"));
  EXPECT_LT(info(find(root, "sparse")).st_blocks * 512, 2 << 20);
}

TEST_F(ProjectLayers, tars_are_unpacked) {
  fs::create_directories(top_ / "in/opt");
  write(top_ / "in/opt/tool", "tool");
  ASSERT_EQ(std::system(("tar -C " + (top_ / "in").string() + " -czf " + (project_ / "x.tar.gz").string() + " opt").c_str()), 0);
  const Root root = layers({TarLayer{"x.tar.gz"}});
  EXPECT_EQ(text(root, "opt/tool"), "tool");
  EXPECT_EQ(layers({TarLayer{"x.tar.gz"}}).layers, root.layers);
  write(project_ / "broken.tar", std::string(3000, 'x'));
  EXPECT_NE(problem({TarLayer{"broken.tar"}}, ErrorCode::corrupt).find("broken.tar"), std::string::npos);
  store_.reset();  // its survey of the new layer has a temp directory meanwhile
  EXPECT_TRUE(fs::is_empty(top_ / "store/tmp"));
}

TEST_F(ProjectLayers, later_layers_lie_over_earlier_ones) {
  fs::create_directories(project_ / "one/etc");
  fs::create_directories(project_ / "two/etc");
  write(project_ / "one/etc/x", "1");
  write(project_ / "two/etc/x", "2");
  const Root root = layers({PathsLayer{{"one"}, {.strip_prefix = "one"}}, PathsLayer{{"two"}, {.strip_prefix = "two"}}});
  EXPECT_EQ(text(root, "etc/x"), "2");
  EXPECT_EQ(root.layers.size(), 3u);
}

TEST_F(ProjectLayers, commands_need_an_image) {
  Root host;
  const auto done = add_layers(host, {CommandLayer{{"true"}}}, {*store_, project_, {}, {}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::not_supported);
}

}  // namespace
}  // namespace casemate
