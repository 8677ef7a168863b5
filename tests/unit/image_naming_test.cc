#include "command/naming.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "command/pulling.h"

namespace casemate {
namespace {

std::string problem(std::string_view text) {
  const auto reference = read_image_name(text);
  EXPECT_FALSE(reference) << text;
  return reference ? "" : reference.error().what;
}

StoredImage image(const std::string& name, char digit, const std::string& architecture = "amd64") {
  StoredImage made;
  made.reference = parse_image_reference(name).value();
  made.digest = "sha256:" + std::string(64, digit);
  made.manifest_digest = "sha256:" + std::string(32, digit) + std::string(32, 'e');
  made.platform = {"linux", architecture, ""};
  made.layers = {{.size = 100}, {.size = 23}};
  return made;
}

TEST(ImageNaming, a_name_as_docker_has_it_is_asked_about) {
  EXPECT_EQ(problem("python:3.11-slim"), "image 'python:3.11-slim': did you mean docker://python:3.11-slim?");
  EXPECT_EQ(problem("localhost:5000/a/b"), "image 'localhost:5000/a/b': did you mean docker://localhost:5000/a/b?");
  EXPECT_EQ(problem("/usr"), "image '/usr': did you mean dir:/usr?");
  EXPECT_EQ(problem("/etc/passwd"), "image '/etc/passwd': did you mean docker-archive:/etc/passwd or oci-archive:/etc/passwd?");
}

// What lies in the current directory, which is one of the test's own.
TEST(ImageNaming, files_and_directories_are_asked_about_by_what_they_are) {
  namespace fs = std::filesystem;
  char name[] = "/tmp/casemate-naming-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const fs::path before = fs::current_path();
  fs::current_path(name);
  fs::create_directories("layout");
  fs::create_directories("tree");
  for (const char* file : {"layout/oci-layout", "saved.tar", "saved"}) std::ofstream(file) << "x";
  EXPECT_EQ(problem("layout"), "image 'layout': did you mean oci:layout?");
  EXPECT_EQ(problem("tree"), "image 'tree': did you mean dir:tree or docker://tree?");
  EXPECT_EQ(problem("./tree"), "image './tree': did you mean dir:./tree?");
  EXPECT_EQ(problem("saved.tar"), "image 'saved.tar': did you mean docker-archive:saved.tar or oci-archive:saved.tar?");
  EXPECT_EQ(problem("saved"), "image 'saved': did you mean docker-archive:saved or oci-archive:saved or docker://saved?");
  EXPECT_EQ(problem("gone"), "image 'gone': did you mean docker://gone?");
  fs::current_path(before);
  fs::remove_all(name);
}

TEST(ImageNaming, targets_of_an_export_are_layouts_and_archives) {
  EXPECT_EQ(read_export_target("oci:out")->path, "out");
  EXPECT_EQ(read_export_target("foo.tar").error().what, "'foo.tar': did you mean docker-archive:foo.tar or oci-archive:foo.tar?");
  EXPECT_EQ(read_export_target("foo").error().what, "'foo': did you mean oci:foo?");
  for (const char* wrong : {"docker://a", "dir:/x", "host", ""})
    EXPECT_NE(read_export_target(wrong).error().what.find("is exported to oci:DIR"), std::string::npos) << wrong;
}

TEST(ImageNaming, what_no_guess_helps_keeps_its_error) {
  EXPECT_EQ(problem("docker:python"), parse_image_reference("docker:python").error().what);
  EXPECT_EQ(problem(""), parse_image_reference("").error().what);
  EXPECT_EQ(problem("What Is This"), parse_image_reference("What Is This").error().what);
  EXPECT_EQ(read_image_name("docker://python:3")->tag, "3");
  EXPECT_EQ(read_image_name("host")->kind, ImageReference::Kind::host);
}

TEST(ImageNaming, platforms_are_read_as_docker_reads_them) {
  EXPECT_EQ(*parse_platform("linux/arm64/v8"), (Platform{"linux", "arm64", "v8"}));
  EXPECT_EQ(*parse_platform("Linux/x86_64"), (Platform{"linux", "amd64", ""}));
  EXPECT_EQ(*parse_platform("linux/aarch64"), (Platform{"linux", "arm64", ""}));
  for (const char* wrong : {"", "linux", "arm64", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "linux//v8"}) {
    const auto platform = parse_platform(wrong);
    ASSERT_FALSE(platform) << wrong;
    EXPECT_EQ(platform.error().code, ErrorCode::invalid_input);
  }
}

TEST(ImageNaming, images_are_found_by_name_and_by_digits) {
  const std::vector<StoredImage> all = {image("docker://python:3.11", 'a'), image("docker://python:3.11", 'b', "arm64"),
                                        image("docker://debian:12", 'c')};
  EXPECT_EQ(images_named(all, "docker://python:3.11")->size(), 2u) << "one for each platform";
  EXPECT_EQ(images_named(all, "docker://docker.io/library/debian:12")->size(), 1u);
  EXPECT_EQ(images_named(all, "docker://none")->size(), 0u);
  ASSERT_EQ(images_named(all, "cccccc")->size(), 1u);
  EXPECT_EQ(images_named(all, "cccccc")->front().reference.name, "docker.io/library/debian");
  EXPECT_EQ(images_named(all, "sha256:" + std::string(64, 'b'))->size(), 1u);
  EXPECT_EQ(images_named(all, all[0].manifest_digest)->size(), 1u) << "the manifest's digest too";
  EXPECT_EQ(images_named(all, "sha256:dddddd")->size(), 0u);
  EXPECT_FALSE(images_named(all, "ccccc")) << "five letters are a name without a transport";
  EXPECT_EQ(images_named(all, "04727").error().what, "'04727': of a digest give 6 digits at least");
  const std::vector<StoredImage> alike = {image("docker://a", 'a'), image("docker://b", 'a')};
  EXPECT_EQ(images_named(alike, "aaaaaa")->size(), 2u) << "one image under two names";
  auto near = alike;
  near[1].digest[70] = 'b';
  EXPECT_FALSE(images_named(near, "aaaaaa"));
}

TEST(ImageNaming, a_name_with_the_first_digits_of_its_digest_is_found) {
  std::vector<StoredImage> all = {image("docker://python:3.11", 'a'), image("docker://debian:12", 'a'),
                                  image("docker://python@sha256:" + std::string(64, 'b'), 'b')};
  ASSERT_EQ(images_named(all, "docker://docker.io/library/python@bbbbbbbbbbbb")->size(), 1u) << "as the list shows it";
  EXPECT_EQ(images_named(all, "docker://python@sha256:bbbbbb")->front().reference, all[2].reference);
  EXPECT_EQ(images_named(all, "docker://python@aaaaaa")->front().reference, all[0].reference) << "what the tag names";
  EXPECT_EQ(images_named(all, "docker://python@cccccc")->size(), 0u);
  EXPECT_EQ(images_named(all, all[2].digest)->size(), 1u);
  EXPECT_FALSE(images_named(all, "docker://python@bbb"));
  // Somebody's tag for the same bytes stays when the one without a tag is meant.
  all.push_back(image("docker://python:3.12", 'b'));
  EXPECT_EQ(images_named(all, "docker://python@bbbbbb")->size(), 1u);
}

TEST(ImageNaming, digests_are_shown_short) {
  EXPECT_EQ(short_digest("sha256:0123456789abcdef"), "0123456789ab");
  EXPECT_EQ(short_digest(""), "");
  EXPECT_EQ(blob_bytes(image("docker://a", 'a')), 123u);
}

TEST(ImagePulling, a_lock_file_without_its_equals_sign_is_told) {
  EXPECT_TRUE(check_lock_words({"--lock", "docker://a"}));
  EXPECT_TRUE(check_lock_words({"--lock=other.lock", "docker://a"}));
  EXPECT_TRUE(check_lock_words({"--", "--lock", "other.lock"})) << "another program's";
  EXPECT_EQ(check_lock_words({"--lock", "other.lock"}).error().what, "--lock other.lock: the file follows after '=': --lock=other.lock");
}

TEST(ImagePulling, words_become_options) {
  PullWords words;
  words.platform = "linux/arm64";
  words.verify_tls = false;
  words.authfile = "auth.json";
  const auto options = pull_options(words, PullOptions::Policy::never);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->platform.architecture, "arm64");
  EXPECT_FALSE(options->access.verify_tls);
  EXPECT_EQ(options->access.authfile, "auth.json");
  EXPECT_EQ(options->policy, PullOptions::Policy::never);
  EXPECT_EQ(pull_options({}, PullOptions::Policy::missing)->platform, host_platform());
  EXPECT_EQ(*parse_policy("--pull", "always"), PullOptions::Policy::always);
  EXPECT_EQ(parse_policy("--pull", "newer").error().what, "--pull 'newer': choose missing, always or never");
}

}  // namespace
}  // namespace casemate
