// unpack_layer(): what becomes of honest layers, entry by entry, and how an overlay sees them.
#include "image/unpack.h"

#include <thread>

#include <sys/resource.h>

#include "base/digest.h"
#include "sanitizer.h"
#include "unpack_scratch.h"

namespace casemate {
namespace {

class UnpackTest : public UnpackScratch {};

bool has_note(const Unpacked& layer, const std::string& words) {
  return std::any_of(layer.notes.begin(), layer.notes.end(),
                     [&](const std::string& note) { return note.find(words) != std::string::npos; });
}

TEST_F(UnpackTest, FilesDirectoriesAndLinksAreMadeWithTheirModesAndTimes) {
  LayerTar tar;
  tar.add({.name = "./", .type = '5', .mode = 0750, .mtime = 1'500'000'000});
  tar.add({.name = "./usr/", .type = '5', .mode = 0555, .mtime = 1'500'000'001});
  tar.add({.name = "usr/tool", .content = std::string(100'000, 'x'), .mode = 0751, .mtime = 1'500'000'002});
  tar.add({.name = "tmp", .type = '5', .mode = 01777});
  tar.add({.name = "link", .type = '2', .link = "/etc/\xff nowhere", .mtime = 1'500'000'003});
  tar.hard_link("usr/same", "./usr/tool");
  tar.file("/absolute//./name", "inside");
  const Unpacked layer = unpacked(tar.bytes());
  EXPECT_EQ(layer.files, 4u);
  EXPECT_EQ(layer.bytes, 100'006u);
  EXPECT_EQ(info(".").st_mode, S_IFDIR | 0750u);
  EXPECT_EQ(info(".").st_mtim.tv_sec, 1'500'000'000);
  EXPECT_EQ(info("usr").st_mode, S_IFDIR | 0555u);
  EXPECT_EQ(info("usr").st_mtim.tv_sec, 1'500'000'001);
  EXPECT_EQ(info("usr/tool").st_mode, S_IFREG | 0751u);
  EXPECT_EQ(info("usr/tool").st_mtim.tv_sec, 1'500'000'002);
  EXPECT_EQ(info("usr/tool").st_ino, info("usr/same").st_ino);
  EXPECT_EQ(info("tmp").st_mode, S_IFDIR | 01777u);
  EXPECT_EQ(info("link").st_mtim.tv_sec, 1'500'000'003);
  EXPECT_EQ(fs::read_symlink(out_ / "link").string(), "/etc/\xff nowhere");
  EXPECT_EQ(read(out_ / "absolute/name"), "inside");
  EXPECT_EQ(info("absolute").st_mode, S_IFDIR | 0755u);
  EXPECT_EQ(info("absolute").st_mtim.tv_sec, 0);
  EXPECT_TRUE(has_note(layer, "without an entry of their own, now of mode 0755: 1"));
}

TEST_F(UnpackTest, EveryCompressionGivesTheSameDiffId) {
  const std::string tar = LayerTar().file("a", std::string(2'000'000, 'b')).bytes();
  for (const std::string& blob :
       {tar, gzip(tar), zstd(tar), gzip(tar.substr(0, 700)) + gzip(tar.substr(700)), zstd(tar.substr(0, 700)) + zstd(tar.substr(700))}) {
    const Unpacked layer = unpacked(blob, {.limits = {.ratio = 100'000}});
    EXPECT_EQ(layer.diff_id, "sha256:" + sha256_hex(tar));
    EXPECT_EQ(layer.digest, "sha256:" + sha256_hex(blob));
    EXPECT_EQ(read(out_ / "a"), std::string(2'000'000, 'b'));
  }
}

TEST_F(UnpackTest, APipeWillDo) {
  const std::string blob = gzip(LayerTar().file("a", std::string(300'000, 'b')).bytes());
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  std::thread writer([&] {
    EXPECT_TRUE(write_all(pipe->write.get(), blob));
    pipe->write.reset();
  });
  const UniqueFd directory(::open(out_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto layer = unpack_layer(pipe->read.get(), directory.get(), {});
  writer.join();
  ASSERT_TRUE(layer) << layer.error().what;
  EXPECT_EQ(layer->digest, "sha256:" + sha256_hex(blob));
}

TEST_F(UnpackTest, DigestAndDiffIdAreVerifiedToTheLastByte) {
  const std::string tar = LayerTar().file("a").bytes() + std::string(8192, '\0');
  const std::string blob = gzip(tar);
  const std::string digest = "sha256:" + sha256_hex(blob);
  const std::string diff_id = "sha256:" + sha256_hex(tar);
  unpacked(blob, {.expected_digest = digest, .expected_diff_id = diff_id});
  EXPECT_NE(refusal(blob, ErrorCode::corrupt, {.expected_digest = diff_id}).find("its digest is " + digest), std::string::npos);
  EXPECT_NE(refusal(blob, ErrorCode::corrupt, {.expected_diff_id = digest}).find("its diff-id is " + diff_id), std::string::npos);
  EXPECT_NE(refusal(LayerTar().file("a").bytes() + "x", ErrorCode::corrupt,
                    {.expected_diff_id = "sha256:" + sha256_hex(LayerTar().file("a").bytes())})
                .find("its diff-id is"),
            std::string::npos);
}

TEST_F(UnpackTest, ALaterEntryReplacesAnEarlierOneAndDirectoriesMerge) {
  LayerTar tar;
  tar.directory("d", 0700).file("d/a", "first").directory("d", 0711).file("d/b", "second");
  tar.file("d/a", "third");
  tar.directory("was", 0700).file("was/deep/below").file("was", "a file now");
  tar.file("name").directory("name").file("name/in");
  tar.symlink("s", "/etc/passwd").file("s", "no link now");
  tar.hard_link("h", "d/a").file("h", "alone");
  unpacked(tar.bytes());
  EXPECT_EQ(info("d").st_mode, S_IFDIR | 0711u);
  EXPECT_EQ(read(out_ / "d/a"), "third");
  EXPECT_EQ(read(out_ / "d/b"), "second");
  EXPECT_EQ(read(out_ / "was"), "a file now");
  EXPECT_EQ(read(out_ / "name/in"), "text");
  EXPECT_TRUE(S_ISREG(info("s").st_mode));
  EXPECT_EQ(read(out_ / "h"), "alone");
  EXPECT_EQ(info("d/a").st_nlink, 1u);
}

TEST_F(UnpackTest, WhiteoutsAndOpaqueDirectoriesBecomeOverlayfss) {
  if (!takes_user_xattrs()) GTEST_SKIP() << "this file system has no user xattrs";
  LayerTar tar;
  tar.whiteout("gone/.wh.file").whiteout(".wh.top");
  tar.directory("opaque").whiteout("opaque/.wh..wh..opq").file("opaque/own");
  // What the same layer has under the name stays, and hides what is below, in either order.
  tar.whiteout(".wh.both").file("both", "here").file("rev", "here").whiteout(".wh.rev");
  tar.whiteout(".wh.dir").directory("dir").file("dir/in").file("later/in").whiteout(".wh.later");
  tar.whiteout(".wh.implied").file("implied/deep/in");
  tar.whiteout(".wh..wh.plnk").file(".wh..wh.orph/x");
  const Unpacked layer = unpacked(tar.bytes());
  EXPECT_TRUE(is_whiteout("gone/file"));
  EXPECT_TRUE(is_whiteout("top"));
  EXPECT_TRUE(is_opaque("opaque"));
  EXPECT_EQ(read(out_ / "opaque/own"), "text");
  EXPECT_EQ(read(out_ / "both") + read(out_ / "rev"), "herehere");
  for (const char* name : {"dir", "later", "implied"}) EXPECT_TRUE(is_opaque(name)) << name;
  EXPECT_FALSE(is_opaque("gone"));
  EXPECT_FALSE(is_opaque("implied/deep"));
  EXPECT_TRUE(has_note(layer, "files of aufs's own left out: 2 (.wh..wh.plnk, .wh..wh.orph/x)"));
  EXPECT_FALSE(layer.hides_all_below);
  EXPECT_FALSE(exists(".wh..wh.plnk"));
}

TEST_F(UnpackTest, AnOpaqueRootIsToldToTheCaller) {
  EXPECT_TRUE(unpacked(LayerTar().whiteout(".wh..wh..opq").file("a").bytes()).hides_all_below);
}

TEST_F(UnpackTest, AnOverlayHidesWhatTheLayerHides) {
  if (!takes_user_xattrs()) GTEST_SKIP() << "this file system has no user xattrs";
  const fs::path lower = top_ / "lower";
  for (const char* name : {"gone", "opaque/old", "merged/old", "dir/old", "kept"}) {
    fs::create_directories((lower / name).parent_path());
    write(lower / name, "below");
  }
  LayerTar tar;
  tar.whiteout(".wh.gone").directory("opaque").whiteout("opaque/.wh..wh..opq").file("opaque/new").directory("merged").file("merged/new");
  tar.whiteout(".wh.dir").directory("dir").file("dir/new");
  unpacked(tar.bytes());
  fs::create_directory(top_ / "root");
  in_mount_namespace([&] {
    const std::string data = "lowerdir=" + out_.string() + ":" + lower.string() + ",userxattr";
    if (::mount("overlay", (top_ / "root").c_str(), "overlay", 0, data.c_str()) < 0)
      GTEST_SKIP() << "no overlay here: " << std::strerror(errno);
    const auto there = [&](const char* name) { return fs::exists(top_ / "root" / name); };
    EXPECT_TRUE(there("kept"));
    EXPECT_FALSE(there("gone"));
    EXPECT_TRUE(there("opaque/new"));
    EXPECT_FALSE(there("opaque/old"));
    EXPECT_TRUE(there("merged/new"));
    EXPECT_TRUE(there("merged/old"));
    EXPECT_TRUE(there("dir/new"));
    EXPECT_FALSE(there("dir/old"));
  });
}

TEST_F(UnpackTest, DevicesAndFifosAreLeftOutAndNoted) {
  LayerTar tar;
  tar.directory("dev");
  for (const char* name : {"dev/null", "dev/zero", "dev/full", "dev/random"}) tar.add({.name = name, .type = '3', .major = 1, .minor = 3});
  tar.add({.name = "dev/sda", .type = '4', .major = 8})
      .add({.name = "initctl", .type = '6'})
      .add({.name = "fake", .type = '3'})
      .file("after");
  const Unpacked layer = unpacked(tar.bytes());
  EXPECT_TRUE(has_note(layer, "device nodes left out: 5 (dev/null, dev/zero, dev/full, ...)"));
  EXPECT_TRUE(has_note(layer, "FIFOs left out: 1 (initctl)"));
  EXPECT_TRUE(has_note(layer, "character devices 0:0 left out, which would be whiteouts: 1 (fake)"));
  EXPECT_TRUE(fs::is_empty(out_ / "dev"));
  EXPECT_FALSE(exists("fake"));
  EXPECT_EQ(read(out_ / "after"), "text");
}

TEST_F(UnpackTest, SetIdBitsAndXattrsThatOrderTheKernelAreDropped) {
  if (!takes_user_xattrs()) GTEST_SKIP() << "this file system has no user xattrs";
  LayerTar tar;
  tar.add({.name = "su", .content = "x", .mode = 06755}).add({.name = "group", .type = '5', .mode = 03775});
  tar.add({.name = "marked",
           .type = '5',
           .pax = {{"SCHILY.xattr.user.overlay.opaque", "y"},
                   {"SCHILY.xattr.user.overlay.redirect", "/etc"},
                   {"SCHILY.xattr.trusted.overlay.opaque", "y"},
                   {"LIBARCHIVE.xattr.user.overlay%2Emetacopy", "eA=="},
                   {"SCHILY.xattr.user.mine", std::string("a\0b", 3)}}});
  tar.add({.name = "capable", .content = "x", .pax = {{"SCHILY.xattr.security.capability", std::string("\x01\0\0\x02\xff\0\0\0", 8)}}});
  tar.add({.name = "heavy",
           .content = "x",
           .pax = {{"SCHILY.xattr.user.a", std::string(60'000, 'v')}, {"SCHILY.xattr.user.b", std::string(60'000, 'v')}}});
  const Unpacked layer = unpacked(tar.bytes());
  EXPECT_EQ(info("su").st_mode, S_IFREG | 0755u);
  EXPECT_EQ(info("group").st_mode & 07777, 01775u);
  char names[1024];
  const ssize_t length = ::llistxattr((out_ / "marked").c_str(), names, sizeof names);
  EXPECT_EQ(std::string(names, static_cast<std::size_t>(std::max<ssize_t>(length, 0))), std::string("user.mine\0", 10));
  const UniqueFd marked(::open((out_ / "marked").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(extended_attribute(marked.get(), "user.mine"), std::string("a\0b", 3));
  EXPECT_LT(::lgetxattr((out_ / "capable").c_str(), "security.capability", nullptr, 0), 0);
  EXPECT_TRUE(has_note(layer, "without their set-id bits: 2 (su, group)"));
  EXPECT_TRUE(has_note(layer, "without their capabilities or other xattrs: 3 (marked, capable, heavy)"));
}

TEST_F(UnpackTest, OwnersAreKeptWhenAskedByWhoMay) {
  LayerTar tar;
  tar.add({.name = "f", .content = "x", .mode = 04755, .uid = 1234, .gid = 4321})
      .add({.name = "d", .type = '5', .mode = 0500, .uid = 12, .gid = 21});
  tar.add({.name = "l", .type = '2', .link = "f", .uid = 99, .gid = 98})
      .add({.name = "none", .uid = std::int64_t{1} << 32})
      .add({.name = "minus", .uid = -1});
  unpacked(tar.bytes());
  EXPECT_EQ(info("f").st_uid, ::geteuid());
  if (::geteuid() != 0) {
    EXPECT_NE(refusal(tar.bytes(), ErrorCode::not_supported, {.keep_owners = true}).find("can't give 'f' of the layer the owner 1234:4321"),
              std::string::npos);
    return;
  }
  const Unpacked layer = unpacked(tar.bytes(), {.keep_owners = true});
  EXPECT_EQ(info("f").st_uid, 1234u);
  EXPECT_EQ(info("f").st_gid, 4321u);
  EXPECT_EQ(info("f").st_mode, S_IFREG | 0755u);
  EXPECT_EQ(info("d").st_uid, 12u);
  EXPECT_EQ(info("d").st_mode, S_IFDIR | 0500u);
  EXPECT_EQ(info("l").st_uid, 99u);
  EXPECT_EQ(info("none").st_uid, 0u);
  EXPECT_TRUE(has_note(layer, "lacks their owners: 2")) << testing::PrintToString(layer.notes);
}

TEST_F(UnpackTest, NamesAreBytes) {
  const std::string bad("\xff\xfe\n\x1b[2J");
  const std::string cyrillic = "\xd0\xb9\xd1\x86";
  LayerTar tar;
  tar.file(bad, "1")
      .add({.name = "x", .content = "2", .pax = {{"path", cyrillic}}})
      .add({.name = "y", .content = "3", .pax = {{"path", bad + "p"}}});
  tar.add({.name = "l", .type = '2', .link = "-", .pax = {{"linkpath", cyrillic + bad}}})
      .add({.name = "h", .type = '1', .link = "-", .pax = {{"linkpath", cyrillic}}});
  tar.file(std::string(255, 'n'), "4").file("deep/" + std::string(200, 'd') + "/" + std::string(200, 'e'), "5");
  unpacked(tar.bytes());
  EXPECT_EQ(read(out_ / bad), "1");
  EXPECT_EQ(read(out_ / cyrillic), "2");
  EXPECT_EQ(read(out_ / (bad + "p")), "3");
  EXPECT_EQ(fs::read_symlink(out_ / "l").string(), cyrillic + bad);
  EXPECT_EQ(read(out_ / "h"), "2");
  EXPECT_EQ(read(out_ / std::string(255, 'n')), "4");
  EXPECT_EQ(read(out_ / "deep" / std::string(200, 'd') / std::string(200, 'e')), "5");
}

TEST_F(UnpackTest, SparseFilesStaySparse) {
  // GNU's 1.0: the map stands before the data. 4 KiB at 0, 4 KiB at 64 MiB, then nothing up to 128 MiB.
  const std::string map = "2\n0\n4096\n67108864\n4096\n";
  const std::string content = map + std::string(512 - map.size(), '\0') + std::string(4096, 'a') + std::string(4096, 'b');
  LayerTar tar;
  tar.add({.name = "GNUSparseFile.0/s",
           .content = content,
           .pax = {{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", "s"}, {"GNU.sparse.realsize", "134217728"}}});
  EXPECT_EQ(unpacked(tar.bytes()).bytes, 134'217'728u);
  EXPECT_EQ(info("s").st_size, 134'217'728);
  EXPECT_LT(info("s").st_blocks * 512, 1 << 20);
  const UniqueFd file(::open((out_ / "s").c_str(), O_RDONLY | O_CLOEXEC));
  char byte = 0;
  EXPECT_EQ(::pread(file.get(), &byte, 1, 67'108'864 + 4095), 1);
  EXPECT_EQ(byte, 'b');
  EXPECT_EQ(::pread(file.get(), &byte, 1, 5000), 1);
  EXPECT_EQ(byte, '\0');
  EXPECT_NE(refusal(tar.bytes(), ErrorCode::refused, {.limits = {.bytes = 100 << 20}}).find("larger than 100.0 MiB"), std::string::npos);
}

TEST_F(UnpackTest, EachLimitEndsItEarly) {
  const std::string zeros = gzip(LayerTar().file("z", std::string(32 << 20, '\0')).bytes());
  EXPECT_NE(refusal(zeros, ErrorCode::refused).find("more than 200 times its size"), std::string::npos);
  EXPECT_LT(info("z").st_size, 16 << 20);
  unpacked(zeros, {.limits = {.ratio = 2000}});
  EXPECT_NE(refusal(zeros, ErrorCode::refused, {.limits = {.bytes = 1 << 20, .ratio = 2000}}).find("larger than 1.0 MiB"),
            std::string::npos);
  const std::string three = LayerTar().file("a").file("a").file("a").bytes();
  EXPECT_NE(refusal(three, ErrorCode::refused, {.limits = {.entries = 2}}).find("more than 2 entries"), std::string::npos);
  unpacked(three, {.limits = {.entries = 3}});
  const std::string deep = LayerTar().file("1/2/3").bytes();
  EXPECT_NE(refusal(deep, ErrorCode::refused, {.limits = {.depth = 2}}).find("more than 2 directories deep"), std::string::npos);
  unpacked(deep, {.limits = {.depth = 3}});
  EXPECT_NE(refusal(deep, ErrorCode::refused, {.limits = {.path_bytes = 4}}).find("longer than 4 bytes"), std::string::npos);
  unpacked(deep, {.limits = {.path_bytes = 5}});
}

TEST_F(UnpackTest, DirectoriesThatShutOutTheirOwnerAreFilledFirst) {
  LayerTar tar;
  tar.directory("a", 0).directory("a/b", 0).file("a/b/c").directory("a-b", 0).file("a/d").directory(".", 0);
  unpacked(tar.bytes());
  EXPECT_EQ(info("a").st_mode, S_IFDIR | 0u);
  EXPECT_EQ(info(".").st_mode, S_IFDIR | 0700u);
  ::chmod((out_ / "a").c_str(), 0700);
  EXPECT_EQ(info("a/b").st_mode, S_IFDIR | 0u);
  ::chmod((out_ / "a/b").c_str(), 0700);
  EXPECT_EQ(read(out_ / "a/b/c"), "text");
}

TEST_F(UnpackTest, WhatIsNoLayerIsToldInOneLine) {
  const std::string tar = LayerTar().file("a", std::string(100'000, 'y')).bytes();
  EXPECT_NE(refusal("", ErrorCode::corrupt).find("it is empty"), std::string::npos);
  EXPECT_NE(refusal("BZh91AY", ErrorCode::not_supported).find("bzip2 or xz"), std::string::npos);
  EXPECT_NE(refusal(gzip(tar).substr(0, 150), ErrorCode::corrupt).find("in the middle of its compressed stream"), std::string::npos);
  EXPECT_NE(refusal(zstd(tar).substr(0, 30), ErrorCode::corrupt).find("in the middle of its compressed stream"), std::string::npos);
  EXPECT_NE(refusal(gzip(tar) + "junk", ErrorCode::corrupt).find("gzip stream can't be read"), std::string::npos);
  EXPECT_NE(refusal(zstd(tar) + "junk", ErrorCode::corrupt).find("zstd stream can't be read"), std::string::npos);
  std::string flipped = gzip(tar);
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);  // in the CRC
  EXPECT_NE(refusal(flipped, ErrorCode::corrupt).find("gzip stream can't be read"), std::string::npos);
  EXPECT_NE(refusal(tar.substr(0, 50'000), ErrorCode::corrupt).find("the layer is damaged"), std::string::npos);
  EXPECT_EQ(unpacked(std::string(1024, '\0')).files, 0u);  // docker's empty layer
}

TEST_F(UnpackTest, MemoryStaysFlatAndDescriptorsAreClosed) {
  if (kAddressSanitizer) GTEST_SKIP() << "AddressSanitizer keeps freed memory";
  unpacked(LayerTar().file("warm", std::string(1 << 20, 'w')).bytes());
  const int fds = open_fds();
  const auto peak = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  // A sparse map without end, which libarchive would hold in memory: 64 MB of it.
  std::string map = "9000000\n";
  while (map.size() < 64u << 20) map += "0\n0\n0\n0\n0\n0\n0\n0\n";
  LayerTar tar;
  tar.add({.name = "GNUSparseFile.0/s",
           .content = map,
           .pax = {{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", "s"}, {"GNU.sparse.realsize", "1048576"}}});
  const std::string bytes = tar.bytes();
  const UniqueFd blob(::memfd_create("layer", MFD_CLOEXEC));
  ASSERT_TRUE(write_all(blob.get(), bytes));
  ::lseek(blob.get(), 0, SEEK_SET);
  const UniqueFd directory(::open(out_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const long before = peak();
  const auto result = unpack_layer(blob.get(), directory.get(), {});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().what.find("headers of more than 4.0 MiB"), std::string::npos) << result.error().what;
  EXPECT_LT(peak() - before, 100 << 10);
  EXPECT_EQ(open_fds(), fds + 2);
}

TEST_F(UnpackTest, ATarMayLackItsLastPaddingButNoContents) {
  const std::string whole = LayerTar().file("one", "text").file("two", "text").bytes();
  const std::size_t end = 3 * 512 + 4;  // of the second file's contents
  for (const std::size_t size : {end, end + 1, end + 507, end + 508, end + 508 + 512}) {
    unpacked(whole.substr(0, size));
    EXPECT_EQ(read(out_ / "two"), "text") << size;
    TearDown();
    SetUp();
  }
  for (const std::size_t size : {end - 1, end - 4 - 100, std::size_t{512 + 2}}) {
    EXPECT_NE(refusal(whole.substr(0, size), ErrorCode::corrupt), "it worked") << size;
    TearDown();
    SetUp();
  }
}

}  // namespace
}  // namespace casemate
