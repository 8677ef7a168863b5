// Layers that want out: each is refused in one line, or unpacked with everything inside, and a canary beside the directory never changes.
#include <functional>
#include <set>

#include <dirent.h>

#include "unpack_scratch.h"

namespace casemate {
namespace {

// All that is to be known of a tree, a line an entry.
std::multiset<std::string> snapshot(const fs::path& top) {
  std::multiset<std::string> lines;
  const auto add = [&](const fs::path& path) {
    struct stat info{};
    ::lstat(path.c_str(), &info);
    lines.insert(fmt::format("{} {:o} {}:{} {} links {} {}.{} {}", path.string(), info.st_mode, info.st_uid, info.st_gid, info.st_size,
                             info.st_nlink, info.st_mtim.tv_sec, info.st_mtim.tv_nsec, S_ISREG(info.st_mode) ? read(path) : ""));
  };
  add(top);
  for (const auto& entry : fs::recursive_directory_iterator(top)) add(entry.path());
  return lines;
}

struct Hostile {
  std::string name;
  std::string bytes;
  std::string refusal;  // words of the error; "" where the layer is harmless once it is inside
};

class HostileLayersTest : public UnpackScratch {
 protected:
  // Unpacks into a new directory that holds a symlink to the canary already, which no store would ever hand out.
  void expect_held(const Hostile& layer) {
    SCOPED_TRACE(layer.name);
    const UniqueFd parent(::open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(remove_tree_at(parent.get(), "out"));
    fs::create_directory(out_);
    fs::create_directory_symlink(canary_, out_ / "planted");
    const auto before = snapshot(canary_);
    const int fds = open_fds();
    const auto result = unpack(layer.bytes);
    EXPECT_EQ(open_fds(), fds);
    EXPECT_EQ(snapshot(canary_), before);
    std::set<std::string> beside;
    for (const auto& entry : fs::directory_iterator(top_)) beside.insert(entry.path().filename());
    EXPECT_EQ(beside, (std::set<std::string>{"canary", "out"}));
    ASSERT_TRUE(fs::is_directory(fs::symlink_status(out_)));
    if (layer.refusal.empty()) {
      EXPECT_TRUE(result) << result.error().what;
    } else if (result) {
      ADD_FAILURE() << "taken";
    } else {
      EXPECT_NE(result.error().what.find(layer.refusal), std::string::npos) << result.error().what;
      EXPECT_EQ(result.error().what.find_first_of("\n\x1b"), std::string::npos);
      EXPECT_LT(result.error().what.size(), 1000u);
    }
    expect_nothing_special();
  }

  // No device but whiteouts, no set-id bits, no great size.
  void expect_nothing_special() {
    std::uint64_t blocks = 0;
    for (const auto& entry : fs::recursive_directory_iterator(out_, fs::directory_options::skip_permission_denied)) {
      struct stat info{};
      ASSERT_EQ(::lstat(entry.path().c_str(), &info), 0);
      EXPECT_FALSE(S_ISBLK(info.st_mode) || S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)) << entry.path();
      EXPECT_FALSE(S_ISCHR(info.st_mode) && info.st_rdev != 0) << entry.path();
      EXPECT_EQ(info.st_mode & 06000, 0u) << entry.path();
      blocks += static_cast<std::uint64_t>(info.st_blocks);
    }
    EXPECT_LT(blocks * 512, 64u << 20);
  }

  [[nodiscard]] std::string up() const {
    std::string text;
    for (int i = 0; i < 20; ++i) text += "../";
    return text + canary_.string().substr(1);
  }
};

std::string behind(std::string_view link) { return fmt::format("behind the symlink '{}'", link); }
constexpr const char* kUpwards = "leads upwards";
constexpr const char* kNoFile = "which is no file of it";
constexpr const char* kNoDirectory = "which is no directory";

TEST_F(HostileLayersTest, PathsThatLeadOut) {
  const std::string absolute = canary_.string();
  const auto with_pax = [](const std::string& key, const std::string& value, char type = '0') {
    return LayerTar().add({.name = "n", .type = type, .content = type == '0' ? "x" : "", .link = "-", .pax = {{key, value}}});
  };
  for (const Hostile& layer : std::initializer_list<Hostile>{
           {"dots", LayerTar().file(up() + "/new").bytes(), kUpwards},
           {"dots in the middle", LayerTar().directory("a").file("a/../../canary/new").bytes(), kUpwards},
           {"dots at the end", LayerTar().directory("a/..", 0777).bytes(), kUpwards},
           {"only dots", LayerTar().directory("..", 0777).bytes(), kUpwards},
           {"dots to a whiteout", LayerTar().whiteout(up() + "/.wh.secret").bytes(), kUpwards},
           {"dots to an opaque mark", LayerTar().whiteout("../canary/.wh..wh..opq").bytes(), kUpwards},
           {"dots in a pax path", with_pax("path", up() + "/new").bytes(), kUpwards},
           {"dots in a long name", LayerTar().file(std::string(60, '/') + up() + std::string(60, '/') + "/new").bytes(), kUpwards},
           {"absolute", LayerTar().file(absolute + "/new").bytes(), ""},
           {"absolute with slashes", LayerTar().file("///" + absolute + "//new").bytes(), ""},
           {"absolute over the secret", LayerTar().file(absolute + "/secret", "owned").bytes(), ""},
           {"absolute in a pax path", with_pax("path", absolute + "/new").bytes(), ""},
       })
    expect_held(layer);
}

TEST_F(HostileLayersTest, SymlinksThatLeadOut) {
  const std::string out = canary_.string();
  const auto link = [&] { return LayerTar().symlink("x", out); };
  for (const Hostile& layer : std::initializer_list<Hostile>{
           {"a file behind a link", link().file("x/new").bytes(), behind("x")},
           {"a file behind a relative link", LayerTar().directory("a").symlink("a/x", "../../canary").file("a/x/new").bytes(),
            behind("a/x")},
           {"a file behind a planted link", LayerTar().file("planted/new").bytes(), behind("planted")},
           {"a directory behind a link", link().directory("x/directory", 0).bytes(), behind("x")},
           {"a symlink behind a link", link().symlink("x/l", "/").bytes(), behind("x")},
           {"a whiteout behind a planted link", LayerTar().whiteout("planted/.wh.secret").bytes(), behind("planted")},
           {"an opaque mark behind a link", link().whiteout("x/.wh..wh..opq").bytes(), behind("x")},
           {"a hard link to behind a link", link().hard_link("h", "x/secret").bytes(), behind("x")},
           {"a hard link into behind a link", link().file("f").hard_link("x/h", "f").bytes(), behind("x")},
           {"links in a circle", LayerTar().symlink("a", "b").symlink("b", "a").file("a/new").bytes(), behind("a")},
           {"links one behind the other", LayerTar().symlink("a", "b/c").symlink("b", out).file("a/new").bytes(), behind("a")},
           {"a link in place of a filled directory", LayerTar().directory("d").file("d/a").symlink("d", out).file("d/new").bytes(),
            behind("d")},
           {"a link with a slash at its end", LayerTar().symlink("x/", out).file("./x//new").bytes(), behind("x")},
           {"a link in place of the root", LayerTar().symlink(".", out).file("new").bytes(), "in place of its root"},
           {"a link in place of the root, with a slash", LayerTar().symlink("./", out).file("new").bytes(), "in place of its root"},
           {"a pax target", LayerTar().add({.name = "x", .type = '2', .link = "a", .pax = {{"linkpath", out}}}).file("x/new").bytes(),
            behind("x")},
           {"a magic link", LayerTar().symlink("p", "/proc/self/root" + out).file("p/new").bytes(), behind("p")},
           {"a file over a link", LayerTar().symlink("x", out + "/secret").file("x", "owned").bytes(), ""},
           {"a directory over a link", link().add({.name = "x", .type = '5', .mode = 0777, .uid = 1, .mtime = 1}).file("x/new").bytes(),
            ""},
           {"a directory over a planted link", LayerTar().directory("planted", 0777).file("planted/secret", "owned").bytes(), ""},
           {"a whiteout of a link", link().whiteout(".wh.x").bytes(), ""},
           {"an empty target", LayerTar().symlink("x", "").bytes(), "a target of 0 bytes"},
           {"a target too long", LayerTar().symlink("x", std::string(5000, 't')).bytes(), "a target of 5000 bytes"},
       })
    expect_held(layer);
}

TEST_F(HostileLayersTest, HardLinksThatLeadOut) {
  const std::string secret = canary_.string() + "/secret";
  for (const Hostile& layer : std::initializer_list<Hostile>{
           {"absolute", LayerTar().hard_link("h", secret).file("h", "owned").bytes(), kNoDirectory},
           {"dots", LayerTar().hard_link("h", up() + "/secret").file("h", "owned").bytes(), kUpwards},
           {"to a directory", LayerTar().directory("d").hard_link("h", "d").bytes(), kNoFile},
           {"to what the layer below has", LayerTar().hard_link("h", "etc/passwd").bytes(), kNoDirectory},
           {"to nothing", LayerTar().hard_link("h", "nothing").bytes(), kNoFile},
           {"to itself", LayerTar().file("h").hard_link("h", "./h").bytes(), kNoFile},
           {"to a whiteout", LayerTar().whiteout(".wh.w").hard_link("h", "w").bytes(), kNoFile},
           {"of the root", LayerTar().file("f").hard_link(".", "f").bytes(), "a hard link of its root"},
           {"to what it replaces", LayerTar().file("d/f").hard_link("d", "d/f").bytes(), kNoFile},
           {"to a link, then over it", LayerTar().symlink("x", secret).hard_link("h", "x").file("h", "owned").bytes(), ""},
           {"with contents of its own", LayerTar().file("f").add({.name = "h", .type = '1', .content = "owned", .link = "f"}).bytes(),
            "the layer is damaged"},
       })
    expect_held(layer);
}

TEST_F(HostileLayersTest, WhiteoutsThatAreNone) {
  constexpr const char* kNoName = "names no file";
  for (const Hostile& layer : std::initializer_list<Hostile>{
           {"of nothing", LayerTar().whiteout(".wh.").bytes(), kNoName},
           {"of the directory", LayerTar().whiteout("a/.wh..").bytes(), kNoName},
           {"of the parent", LayerTar().whiteout("a/.wh...").bytes(), kNoName},
           {"as a directory with files", LayerTar().directory(".wh.d").file(".wh.d/new").bytes(), "has entries below it"},
           {"by a symlink", LayerTar().symlink(".wh.l", canary_.string()).bytes(), ""},
           {"opaque by a symlink", LayerTar().symlink("d/.wh..wh..opq", canary_.string()).bytes(), ""},
           {"forged by a device", LayerTar().add({.name = "etc", .type = '3'}).bytes(), ""},
           {"below a file", LayerTar().file("f").whiteout("f/.wh.x").bytes(), kNoDirectory},
       })
    expect_held(layer);
}

TEST_F(HostileLayersTest, NumbersThatLie) {
  const auto sized = [](const std::string& field) { return LayerTar().add({.name = "n", .raw_size = field}).bytes(); };
  // GNU's old sparse header: 1 TiB, and no data at all.
  std::string sparse = LayerTar::header_block({.name = "s", .type = 'S'});
  sparse.replace(257, 8, std::string("ustar  \0", 8));
  sparse.replace(386, 24,
                 std::string("00000000000\0"
                             "00000000000\0",
                             24));
  sparse.replace(483, 12, std::string("\x80\0\0\0\0\0\x01\0\0\0\0\0", 12));
  LayerTar::seal(sparse.data());
  std::string broken = LayerTar::header_block({.name = "n"});
  broken[0] = 'm';
  std::string specials;
  for (int i = 0; i < 5000; ++i) specials += LayerTar::header_block({.name = "p", .type = i % 2 ? 'x' : 'L'});
  for (const Hostile& layer : std::initializer_list<Hostile>{
           {"a negative size", sized(std::string(12, '\xff')), "the layer is damaged"},
           {"a size of 2^94", sized("\x80" + std::string(11, '\x7f')), "the layer is damaged"},
           {"a size of 8 EiB", sized(std::string("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)), "the layer"},
           {"a size of 1 GiB with no data", sized("10000000000\0"), "the layer is damaged"},
           {"a pax size of 1 PiB", LayerTar().add({.name = "n", .pax = {{"size", "1125899906842624"}}}).bytes(), "larger than 32.0 GiB"},
           {"a negative pax size", LayerTar().add({.name = "n", .pax = {{"size", "-1"}}}).bytes(), "the layer is damaged"},
           {"a sparse TiB", LayerTar().raw(sparse).bytes(), "larger than 32.0 GiB"},
           {"a wrong checksum", LayerTar().file("a").raw(broken).bytes(), "the layer is damaged"},
           {"headers without end", LayerTar().raw(specials).file("a").bytes(), "the layer is damaged"},
           {"random bytes", LayerTar().raw("\x01\x02garbage" + std::string(3000, 'g')).bytes(), "the layer is damaged"},
           {"a time before the epoch", LayerTar().add({.name = "n", .mtime = -(std::int64_t{1} << 40)}).bytes(), ""},
           {"a time past all ends", LayerTar().add({.name = "n", .mtime = std::int64_t{1} << 60}).bytes(), ""},
           {"an unknown kind", LayerTar().add({.name = "n", .type = 'Z', .content = "x"}).bytes(), ""},
           {"set-id everywhere", LayerTar().add({.name = "n", .mode = 06777}).directory("d", 06777).bytes(), ""},
           {"a bomb", gzip(LayerTar().file("z", std::string(64 << 20, '\0')).bytes()), "decompression bomb"},
           {"a bomb in zstd", zstd(LayerTar().file("z", std::string(64 << 20, '\0')).bytes()), "decompression bomb"},
           {"a second layer behind the first", gzip(LayerTar().file("a").bytes()) + gzip(LayerTar().file(up() + "/new").bytes()), ""},
       })
    expect_held(layer);
}

TEST_F(HostileLayersTest, NamesAndShapes) {
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  LayerTar many;
  for (int i = 0; i < 2000; ++i) many.file("same", std::to_string(i));
  LayerTar swap;
  for (int i = 0; i < 200; ++i) swap.directory("s").file("s/f").symlink("s", canary_.string());
  for (const Hostile& layer : std::initializer_list<Hostile>{
           {"300 bytes", LayerTar().file(std::string(300, 'n')).bytes(), "more than 255 bytes"},
           {"300 deep", LayerTar().file(deep + "f").bytes(), "more than 255 directories deep"},
           {"5000 bytes",
            LayerTar()
                .file(std::string(2500, '/') + deep.substr(0, 100) + std::string(255, 'a') + "/" + std::string(2500, '/') + "f")
                .bytes(),
            ""},
           {"an escape sequence", LayerTar().file("\x1b]0;owned\x07\n\xff/..").bytes(), "\\x1b]0;owned"},
           {"a file in place of the root", LayerTar().file("./").bytes(), "the layer"},
           {"no name", LayerTar().file("").bytes(), "in place of its root"},
           {"below a file", LayerTar().file("f").file("f/new").bytes(), kNoDirectory},
           {"a root that nobody may enter", LayerTar().directory("./", 0).directory("/", 0).file("new").bytes(), ""},
           {"devices",
            LayerTar()
                .add({.name = "m", .type = '3', .mode = 0666, .major = 1, .minor = 1})
                .add({.name = "b", .type = '4', .major = 8})
                .bytes(),
            ""},
           {"a fifo", LayerTar().add({.name = "p", .type = '6'}).bytes(), ""},
           {"one name 2000 times", many.bytes(), ""},
           {"a directory and a link in turn", swap.bytes(), ""},
           {"a name with a zero", LayerTar().add({.name = "n", .pax = {{"path", std::string("a\0/../../canary/new", 19)}}}).bytes(), ""},
       })
    expect_held(layer);
}

}  // namespace
}  // namespace casemate
