// The file that pins tags to digests: as people and other programs write it, and as we do.
#include "image/image_lock.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "store_scratch.h"

namespace casemate {
namespace {

const std::string kOne = "sha256:" + std::string(64, '1');
const std::string kTwo = "sha256:" + std::string(64, '2');

class ImageLockFile : public StoreScratch {
 protected:
  [[nodiscard]] std::string path() const { return directory_ + "/casemate.lock"; }
  [[nodiscard]] ImageLock lock() const {
    auto read = ImageLock::read(path());
    EXPECT_TRUE(read) << read.error().what;
    return read.value_or(ImageLock{});
  }
  [[nodiscard]] std::string refusal(const std::string& text) const {
    spill(path(), text);
    const auto read = ImageLock::read(path());
    if (read) return "it was read";
    EXPECT_EQ(read.error().code, ErrorCode::invalid_input);
    EXPECT_EQ(read.error().what.find('\n'), std::string::npos);
    EXPECT_TRUE(read.error().what.starts_with(path() + ":")) << read.error().what;
    return read.error().what.substr(path().size() + 1);
  }
  static ImageReference image(const std::string& text) { return parse_image_reference("docker://" + text).value(); }
};

TEST_F(ImageLockFile, none_is_an_empty_one_and_nothing_is_written_for_nothing) {
  ImageLock locked = lock();
  EXPECT_FALSE(locked.digest(image("python")));
  EXPECT_TRUE(locked.save());
  EXPECT_FALSE(fs::exists(path()));
}

TEST_F(ImageLockFile, repositories_are_found_under_all_their_names) {
  spill(path(), "version = 1\n\n[python]\n\"3.10-slim\" = \"" + kOne + "\"\n[\"quay.io/me/tool\"]\nlatest = \"" + kTwo + "\"\n");
  const ImageLock locked = lock();
  EXPECT_EQ(locked.digest(image("python:3.10-slim")), kOne);
  EXPECT_EQ(locked.digest(image("docker.io/library/python:3.10-slim")), kOne);
  EXPECT_EQ(locked.digest(image("quay.io/me/tool")), kTwo);
  EXPECT_FALSE(locked.digest(image("python")));
  EXPECT_FALSE(locked.digest(image("python@" + kTwo)));
  EXPECT_FALSE(locked.digest(ImageReference{}));
  EXPECT_EQ(to_text(locked.pinned(image("python:3.10-slim"))), "docker://docker.io/library/python@" + kOne);
  EXPECT_EQ(locked.pinned(image("python")), image("python"));
}

TEST_F(ImageLockFile, what_is_pinned_is_read_again) {
  ImageLock locked = lock();
  EXPECT_TRUE(locked.pin(image("python:3.11"), kOne));
  EXPECT_FALSE(locked.pin(image("python:3.11"), kOne));
  EXPECT_FALSE(locked.pin(image("python@" + kOne), kOne));
  EXPECT_TRUE(locked.pin(image("localhost:5000/a/b:v1.2_3"), kTwo));
  ASSERT_TRUE(locked.save());
  const ImageLock again = lock();
  EXPECT_EQ(again.digest(image("python:3.11")), kOne);
  EXPECT_EQ(again.digest(image("localhost:5000/a/b:v1.2_3")), kTwo);
  EXPECT_EQ(slurp(path()),
            "# Which digest each tag of an image stood for when it was first used. Written by casemate; keep it under version control.\n"
            "version = 1\n\n"
            "[\"docker.io/library/python\"]\n\"3.11\" = \"" +
                kOne +
                "\"\n\n"
                "[\"localhost:5000/a/b\"]\n\"v1.2_3\" = \"" +
                kTwo + "\"\n");
  EXPECT_EQ(count(directory_), 1u);
}

TEST_F(ImageLockFile, of_another_version_is_refused_whatever_kind_of_number_that_is) {
  for (const char* version : {"2", "\"1\"", "1.0", "true", "9999999999999999999999999999999990e0", "[1]"}) {
    spill(path(), fmt::format("version = {}\n", version));
    const auto read = ImageLock::read(path());
    ASSERT_FALSE(read) << version;
    EXPECT_NE(read.error().what.find("version"), std::string::npos) << read.error().what;
  }
}

TEST_F(ImageLockFile, what_others_wrote_meanwhile_is_kept) {
  spill(path(), "version = 1\nother = [1, 2]\n[python]\n\"3.10\" = \"" + kOne + "\"\n");
  ImageLock first = lock();
  ImageLock second = lock();
  first.pin(image("python:3.11"), kTwo);
  second.pin(image("python:3.10"), kTwo);
  second.pin(image("debian"), kTwo);
  ASSERT_TRUE(first.save());
  ASSERT_TRUE(second.save());
  const ImageLock again = lock();
  EXPECT_EQ(again.digest(image("python:3.11")), kTwo);
  EXPECT_EQ(again.digest(image("python:3.10")), kTwo);
  EXPECT_EQ(again.digest(image("debian")), kTwo);
  EXPECT_EQ(second.digest(image("python:3.11")), kTwo);
  const std::string text = slurp(path());
  EXPECT_NE(text.find("other = [ 1, 2 ]"), std::string::npos) << text;
  EXPECT_NE(text.find("[python]"), std::string::npos) << text;
  EXPECT_EQ(text.find("library/python"), std::string::npos) << text;
}

TEST_F(ImageLockFile, a_link_stays_a_link_and_a_mode_a_mode) {
  fs::create_directory(directory_ + "/real");
  spill(directory_ + "/real/lock", "version = 1\n");
  fs::permissions(directory_ + "/real/lock", fs::perms(0640));
  fs::create_symlink("real/lock", path());
  ImageLock locked = lock();
  locked.pin(image("python"), kOne);
  ASSERT_TRUE(locked.save());
  EXPECT_TRUE(fs::is_symlink(path()));
  EXPECT_EQ(fs::status(directory_ + "/real/lock").permissions(), fs::perms(0640));
  EXPECT_EQ(lock().digest(image("python")), kOne);
}

TEST_F(ImageLockFile, what_is_wrong_is_told_with_its_line) {
  EXPECT_TRUE(refusal("version = 1\n[python\n").starts_with("2: "));
  EXPECT_NE(refusal("[python]\n").find("version"), std::string::npos);
  EXPECT_TRUE(refusal("\nversion = 2\n").starts_with("2: its version is not 1"));
  EXPECT_TRUE(refusal("version = \"1\"\n").starts_with("1: "));
  EXPECT_TRUE(refusal("version = 1\n[Python]\n").starts_with("2: "));
  EXPECT_TRUE(refusal("version = 1\n[\"python:3\"]\n").starts_with("2: "));
  EXPECT_TRUE(refusal("version = 1\n[python]\na = 1\n").starts_with("3: the digest of tag 'a'"));
  EXPECT_TRUE(refusal("version = 1\n[python]\na = \"sha256:1\"\n").starts_with("3: "));
  const std::string twice = "version = 1\n[python]\na = \"" + kOne + "\"\n[\"docker.io/library/python\"]\na = \"" + kTwo + "\"\n";
  EXPECT_NE(refusal(twice).find("has two digests"), std::string::npos);
  EXPECT_TRUE(refusal("version = 1\nv\u00e4r = 1\n").starts_with("2: "));
  EXPECT_TRUE(refusal("v\u03d8 =\ufeff\n[versi").starts_with("1: "));
  EXPECT_TRUE(refusal("version = 1\nx = [1, {00a = 1 \"2\n\"3\" = \"4\"").starts_with("2: "));
  EXPECT_FALSE(ImageLock::read(directory_));
}

TEST_F(ImageLockFile, a_file_that_was_broken_meanwhile_is_left_alone) {
  ImageLock locked = lock();
  locked.pin(image("python"), kOne);
  spill(path(), "version = 1\n[broken");
  EXPECT_FALSE(locked.save());
  EXPECT_EQ(slurp(path()), "version = 1\n[broken");
  EXPECT_EQ(count(directory_), 1u);
}

}  // namespace
}  // namespace casemate
