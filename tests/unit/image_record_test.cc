// What the store writes down about an image, and what skopeo says about one.
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <unistd.h>

#include "base/digest.h"

#include "image/catalogue.h"
#include "image/layer_cache.h"
#include "image/skopeo.h"
#include "sys/privilege.h"

namespace casemate {
namespace {

// Reads as nobody where we are root, whom nothing is closed to.
class AsNobody {
 public:
  AsNobody() : root_(::geteuid() == 0 && ::seteuid(65534) == 0) {}
  ~AsNobody() {
    if (root_ && ::seteuid(0) < 0) std::abort();
  }

 private:
  bool root_;
};

std::string digest_of(char c) { return "sha256:" + std::string(64, c); }

ImageRecord example() {
  ImageRecord record;
  StoredImage& image = record.image;
  image.reference = parse_image_reference("docker://python:3.10").value();
  image.digest = digest_of('1');
  image.manifest_digest = digest_of('2');
  image.platform = {"linux", "arm64", "v8"};
  image.config.platform = image.platform;
  image.config.env = {"A=1", "B=\"two\"\n"};
  image.config.working_dir = "/work";
  image.config.entrypoint = {"/bin/sh", "-c"};
  image.config.cmd = {"true"};
  image.config.user = "1000:1000";
  image.layers = {{digest_of('3'), digest_of('4'), 1234, image_layer_key(digest_of('4'), keeps_owners())}};
  image.config.diff_ids = {digest_of('4')};
  image.pulled = 1'700'000'000;
  record.manifest = {.media_type = "application/vnd.oci.image.manifest.v1+json", .digest = digest_of('2'), .size = 400};
  record.config = {.media_type = "application/vnd.oci.image.config.v1+json", .digest = digest_of('5'), .size = 300};
  record.origin = "1:2 3 4.5 6.7";
  return record;
}

TEST(ImageRecord, comes_back_as_it_was) {
  const ImageRecord record = example();
  const auto again = parse_image_record(to_json(record));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(*again, record);
  EXPECT_EQ(again->image.reference, record.image.reference);
  EXPECT_EQ(again->image.platform, record.image.platform);
  EXPECT_EQ(again->image.config.env, record.image.config.env);
  EXPECT_EQ(again->image.config.diff_ids, record.image.config.diff_ids);
  EXPECT_EQ(again->image.layers[0].key, record.image.layers[0].key);
  EXPECT_EQ(again->manifest.size, 400u);
}

TEST(ImageRecord, any_damage_is_noticed) {
  const std::string text = to_json(example());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto cut = parse_image_record(std::string_view(text).substr(0, i));
    ASSERT_FALSE(cut) << i;
    EXPECT_EQ(cut.error().code, ErrorCode::corrupt);
    std::string flipped = text;
    flipped[i] ^= 1 << i % 8;
    EXPECT_FALSE(parse_image_record(flipped)) << i;
  }
  EXPECT_FALSE(parse_image_record(text + text));
}

TEST(ImageRecord, of_other_versions_or_with_what_no_pull_writes_is_refused) {
  const auto refused = [](std::string_view part, const std::string& other) {
    std::string line = to_json(example());
    line.erase(line.find('\n') + 1);
    line.replace(line.find(part), part.size(), other);
    return !parse_image_record(line + sha256_hex(line) + "\n");
  };
  EXPECT_TRUE(refused("\"version\":1", "\"version\":2"));
  EXPECT_TRUE(refused(digest_of('3'), "sha256:../../../../etc"));
  EXPECT_FALSE(refused("1000:1000", "1001:1001"));
}

TEST(ImageLayerKey, tells_owners_and_tars_apart) {
  EXPECT_NE(image_layer_key(digest_of('1'), true), image_layer_key(digest_of('1'), false));
  EXPECT_NE(image_layer_key(digest_of('1'), true), image_layer_key(digest_of('2'), true));
  EXPECT_EQ(image_layer_key(digest_of('1'), true).size(), 64u);
}

struct Saying {
  const char* text;
  ErrorCode code;
  const char* words;
};

TEST(SkopeoErrors, become_one_line_that_says_what_to_do) {
  const Saying sayings[] = {
      {R"(time="2026-11-21T16:49:52Z" level=fatal msg="Error parsing image name \"docker://127.0.0.1:5999/x/y:none\": reading manifest none in 127.0.0.1:5999/x/y: manifest unknown: manifest unknown")",
       ErrorCode::not_found,
       "there is no such image: look at its name and tag (skopeo: reading manifest none in 127.0.0.1:5999/x/y: manifest unknown: manifest "
       "unknown)"},
      {R"(time="x" level=warning msg="Failed, retrying in 1s ... (1/2). Error: x509: nothing"
time="x" level=fatal msg="Error parsing image name \"docker://r/x:v1\": pinging container registry r: Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client")",
       ErrorCode::refused, "--tls-verify=false"},
      {R"(time="x" level=fatal msg="initializing source docker://r:1/x:v1: reading manifest v1 in r:1/x: unauthorized: authentication required")",
       ErrorCode::refused, "skopeo login"},
      {R"(time="x" level=fatal msg="pinging container registry r: Get \"https://r/v2/\": x509: certificate signed by unknown authority")",
       ErrorCode::refused, "--cert-dir"},
      {R"(time="x" level=fatal msg="writing blob: storing blob to file \"/a/oci-put-blob1\": write /a/oci-put-blob1: no space left on device")",
       ErrorCode::exhausted, "disk is full"},
      {R"(time="x" level=fatal msg="copying system image from manifest list: writing blob: Digest did not match, expected sha256:1, got sha256:2")",
       ErrorCode::refused, "other bytes"},
      {R"(time="x" level=fatal msg="Error parsing image name \"docker://nosuch.invalid/x:v1\": pinging container registry nosuch.invalid: Get \"https://nosuch.invalid/v2/\": dial tcp: lookup nosuch.invalid on 10.255.255.53:53: no such host")",
       ErrorCode::not_found, "can't find nosuch.invalid: no network or no DNS, or the name is wrong"},
      {R"(level=fatal msg="pinging container registry r: Get \"https://r/v2/\": dial tcp: lookup r: Temporary failure in name resolution")",
       ErrorCode::not_found, "can't find r: no network"},
      {R"(level=fatal msg="unable to retrieve auth token: invalid username/password: unauthorized: authentication required")",
       ErrorCode::refused, "does not take this user name and password"},
      {R"(time="x" level=fatal msg="Error parsing image name \"docker://r/x:v1\": getting username and password: 1 error occurred:\n\t* reading JSON file \"/run/containers/999/auth.json\": open /run/containers/999/auth.json: permission denied\n\n")",
       ErrorCode::refused, "/run/containers is closed to this user"},
      {"panic: something\n", ErrorCode::refused, "skopeo failed: panic: something"},
      {"", ErrorCode::refused, "without a word"},
      {"level=fatal msg=\"\x1b[31mred\\nlines\"", ErrorCode::refused, "red lines"}};
  for (const Saying& saying : sayings) {
    const Error error = read_skopeo_error(saying.text);
    EXPECT_EQ(error.code, saying.code) << error.what;
    EXPECT_NE(error.what.find(saying.words), std::string::npos) << error.what;
    EXPECT_EQ(error.what.find_first_of("\n\x1b"), std::string::npos) << error.what;
  }
  const auto of_archive = [](const char* text, ImageReference::Kind kind) {
    return read_skopeo_error(fmt::format("level=fatal msg=\"initializing source x:/a.tar: {}\"", text), kind).what;
  };
  using Kind = ImageReference::Kind;
  EXPECT_NE(of_archive("loading tar component manifest.json: unexpected EOF", Kind::docker_archive).find("damaged"), std::string::npos);
  EXPECT_NE(of_archive("loading tar component manifest.json: file does not exist", Kind::docker_archive).find("oci-archive:FILE"),
            std::string::npos);
  EXPECT_NE(of_archive("open /x/oci1/index.json: no such file or directory", Kind::oci_archive).find("docker-archive:FILE"),
            std::string::npos);
  EXPECT_LT(read_skopeo_error("level=fatal msg=\"" + std::string(100'000, 'x')).what.size(), 1000u);
}

TEST(SkopeoCredentials, a_closed_directory_is_told_from_a_missing_one) {
  namespace fs = std::filesystem;
  std::string name = (fs::temp_directory_path() / "casemate-closed-XXXXXX").string();
  ASSERT_TRUE(::mkdtemp(name.data()));
  const fs::path top = name;
  fs::permissions(top, fs::perms(0755));
  fs::create_directory(top / "closed");
  fs::permissions(top / "closed", fs::perms::none);
  {
    const AsNobody nobody;
    EXPECT_TRUE(is_closed_to_us(top / "closed/999/auth.json"));
    if (!is_closed_to_us(top)) EXPECT_FALSE(is_closed_to_us(top / "none/999/auth.json"));  // where TMPDIR is open to nobody
  }
  fs::permissions(top / "closed", fs::perms::owner_all);
  fs::remove_all(top);
}

TEST(KeptOwners, only_where_cells_can_shift_them) {
  EXPECT_EQ(keeps_owners(), ::geteuid() == 0 && has_capability(effective_capabilities(), CAP_CHOWN) && may_shift_ids());
  EXPECT_TRUE(ids_mapped("/proc/self/uid_map", ::geteuid(), 1));
  EXPECT_FALSE(ids_mapped("/proc/self/none", 0, 1));
  const AsNobody nobody;
  EXPECT_FALSE(keeps_owners());
  EXPECT_FALSE(may_shift_ids());
}

TEST(SkopeoCredentials, files_that_are_named_must_be_there) {
  const auto code = [](const RegistryAccess& access) {
    const auto found = Skopeo::find(access, std::chrono::seconds(1));
    return found ? std::string("found") : found.error().what;
  };
  if (code({}) != "found") GTEST_SKIP() << "skopeo is not installed";
  EXPECT_EQ(code({.authfile = "/nowhere/auth.json"}), "--authfile '/nowhere/auth.json': no such file");
  EXPECT_EQ(code({.cert_directory = "/nowhere"}), "--cert-dir '/nowhere': no such directory");
  EXPECT_EQ(code({.cert_directory = "/dev/null"}), "--cert-dir '/dev/null': is no directory");
}

}  // namespace
}  // namespace casemate
