#include "apps/image/naming.h"

#include <gtest/gtest.h>

#include "apps/image/pulling.h"

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
  EXPECT_EQ(problem("/etc/passwd"), "image '/etc/passwd': did you mean oci-archive:/etc/passwd or docker-archive:/etc/passwd?");
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
  EXPECT_FALSE(images_named(all, "ccccc")) << "five digits are a name without a transport";
  const std::vector<StoredImage> alike = {image("docker://a", 'a'), image("docker://b", 'a')};
  EXPECT_EQ(images_named(alike, "aaaaaa")->size(), 2u) << "one image under two names";
  auto near = alike;
  near[1].digest[70] = 'b';
  EXPECT_FALSE(images_named(near, "aaaaaa"));
}

TEST(ImageNaming, digests_are_shown_short) {
  EXPECT_EQ(short_digest("sha256:0123456789abcdef"), "0123456789ab");
  EXPECT_EQ(short_digest(""), "");
  EXPECT_EQ(blob_bytes(image("docker://a", 'a')), 123u);
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
