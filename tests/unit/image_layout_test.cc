// Image layouts made here, whole and damaged in every way.
#include "image/layout.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "image/document.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const Platform kAmd64 = {"linux", "amd64", ""};
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";

void spill(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

#define EXPECT_SAYS(text, words) EXPECT_NE((text).find(words), std::string::npos) << (text)

class ImageLayoutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-layout-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    scratch_ = name;
    top_ = scratch_ / "layout";
    fs::create_directories(top_ / "blobs/sha256");
    spill(top_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    write_index();
  }
  void TearDown() override { fs::remove_all(scratch_); }

  [[nodiscard]] fs::path blob_path(const std::string& digest) const { return top_ / "blobs/sha256" / digest.substr(7); }
  // A blob and its descriptor.
  Json put(const std::string& bytes, const std::string& type) {
    const std::string digest = "sha256:" + sha256_hex(bytes);
    spill(blob_path(digest), bytes);
    return {{"mediaType", type}, {"digest", digest}, {"size", bytes.size()}};
  }
  // An image of two layers, of which `word` makes it another one; the descriptor of its manifest.
  Json put_image(const std::string& word, const std::string& architecture = "amd64") {
    const Json low = put("low " + word, "application/vnd.oci.image.layer.v1.tar");
    const Json high = put("high " + word, "application/vnd.oci.image.layer.v1.tar+gzip");
    const std::string diff_id = "sha256:" + sha256_hex("the tar in it");
    const Json config = {{"os", "linux"},
                         {"architecture", architecture},
                         {"config", {{"Env", {"WORD=" + word}}}},
                         {"rootfs", {{"type", "layers"}, {"diff_ids", {low["digest"], diff_id}}}}};
    return put(Json{{"schemaVersion", 2},
                    {"config", put(config.dump(), "application/vnd.oci.image.config.v1+json")},
                    {"layers", Json::array({low, high})}}
                   .dump(),
               kManifestType);
  }
  // Puts a descriptor into index.json, under a tag if there is one.
  void add(Json descriptor, const std::string& tag = "", const std::string& architecture = "") {
    if (!tag.empty()) descriptor["annotations"] = {{"org.opencontainers.image.ref.name", tag}};
    if (!architecture.empty()) descriptor["platform"] = {{"os", "linux"}, {"architecture", architecture}};
    entries_.push_back(std::move(descriptor));
    write_index();
  }
  void write_index() const { spill(top_ / "index.json", Json{{"schemaVersion", 2}, {"manifests", entries_}}.dump()); }

  static ImageReference tagged(const std::string& tag) { return {ImageReference::Kind::oci_layout, "", tag, "", ""}; }
  static ImageReference pinned(const Json& descriptor) { return {ImageReference::Kind::oci_layout, "", "", descriptor["digest"], ""}; }

  [[nodiscard]] Result<Image> image(const ImageReference& wanted = {}) const {
    TRY_ASSIGN(const ImageLayout layout, ImageLayout::open(top_));
    return layout.image(wanted, kAmd64);
  }
  [[nodiscard]] std::string word(const ImageReference& wanted = {}) const {
    const auto found = image(wanted);
    if (!found) return found.error().what;
    return found->config.env.at(0);
  }
  // The error of opening the image, which is one line that names the layout.
  [[nodiscard]] std::string mistake(ErrorCode code, const ImageReference& wanted = {}) const {
    const auto found = image(wanted);
    if (found) {
      ADD_FAILURE() << "there is no error";
      return "";
    }
    EXPECT_EQ(found.error().code, code) << found.error().what;
    EXPECT_EQ(found.error().what.find('\n'), std::string::npos);
    EXPECT_SAYS(found.error().what, "image layout 'oci:" + top_.string() + "'");
    return found.error().what;
  }
  // Flips one bit of a blob and leaves its size.
  void damage(const std::string& digest) const {
    std::fstream file(blob_path(digest), std::ios::in | std::ios::out | std::ios::binary);
    const int first = file.get();
    file.seekp(0);
    file.put(static_cast<char>(first ^ 1));
  }

  fs::path scratch_;
  fs::path top_;
  Json entries_ = Json::array();
};

TEST_F(ImageLayoutTest, an_image_says_what_to_unpack_and_how_to_run_it) {
  const Json manifest = put_image("one");
  add(manifest, "v1");
  const auto found = image(tagged("v1"));
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_EQ(found->manifest_digest, manifest["digest"].get<std::string>());
  EXPECT_TRUE(check_digest(found->config_digest));
  EXPECT_EQ(found->config.env, (std::vector<std::string>{"WORD=one"}));
  ASSERT_EQ(found->layers.size(), 2u);
  EXPECT_EQ(found->layers[0].digest, "sha256:" + sha256_hex("low one"));
  EXPECT_EQ(found->layers[0].diff_id, found->layers[0].digest);
  EXPECT_EQ(found->layers[0].compression, Compression::none);
  EXPECT_EQ(found->layers[1].digest, "sha256:" + sha256_hex("high one"));
  EXPECT_EQ(found->layers[1].diff_id, "sha256:" + sha256_hex("the tar in it"));
  EXPECT_EQ(found->layers[1].compression, Compression::gzip);
  EXPECT_EQ(found->layers[1].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
  EXPECT_EQ(found->layers[1].size, 8u);
  EXPECT_EQ(found->layers[1].path, "blobs/sha256/" + sha256_hex("high one"));

  const auto layout = ImageLayout::open(top_);
  ASSERT_TRUE(layout);
  const auto fd = layout->open_layer(found->layers[1].digest, found->layers[1].size);
  ASSERT_TRUE(fd) << fd.error().what;
  EXPECT_EQ(read_all(fd->get(), 100).value_or(""), "high one");
  EXPECT_TRUE(layout->verify(*found));
}

TEST_F(ImageLayoutTest, a_tag_or_a_digest_picks_one_of_several_images) {
  const Json one = put_image("one");
  add(one, "v1");
  EXPECT_EQ(word(), "WORD=one") << "the only image needs no tag";
  add(put_image("two"), "docker.io/library/x:2");
  add(put_image("three"));
  EXPECT_EQ(word(tagged("v1")), "WORD=one");
  EXPECT_EQ(word(tagged("docker.io/library/x:2")), "WORD=two");
  EXPECT_EQ(word(pinned(one)), "WORD=one");
  EXPECT_SAYS(mistake(ErrorCode::invalid_input), "it has 3 images: name one by its tag: 'v1', 'docker.io/library/x:2'");
  EXPECT_SAYS(mistake(ErrorCode::not_found, tagged("v3")), "it has no image tagged 'v3'; its tags: 'v1', 'docker.io/library/x:2'");
  const Json other = {{"digest", "sha256:" + std::string(64, '0')}};
  EXPECT_SAYS(mistake(ErrorCode::not_found, pinned(other)), "it has no image sha256:000");
  EXPECT_EQ(ImageLayout::open(top_)->entries().size(), 3u);
}

TEST_F(ImageLayoutTest, one_image_under_two_tags_is_one) {
  const Json one = put_image("one");
  add(one, "v1");
  add(one, "latest");
  EXPECT_EQ(word(), "WORD=one");
  EXPECT_EQ(word(tagged("latest")), "WORD=one");
}

TEST_F(ImageLayoutTest, images_of_one_tag_are_told_apart_by_platform) {
  add(put_image("arm", "arm64"), "v1", "arm64");
  add(put_image("amd"), "v1", "amd64");
  EXPECT_EQ(word(tagged("v1")), "WORD=amd");
  add(put_image("amd again"), "v1", "amd64");
  EXPECT_SAYS(mistake(ErrorCode::invalid_input, tagged("v1")), "2 of its images could be meant");
}

TEST_F(ImageLayoutTest, an_index_leads_to_the_image_of_this_platform) {
  Json arm = put_image("arm", "arm64");
  arm["platform"] = {{"os", "linux"}, {"architecture", "arm64"}};
  Json amd = put_image("amd");
  amd["platform"] = {{"os", "linux"}, {"architecture", "amd64"}};
  add(put(Json{{"schemaVersion", 2}, {"mediaType", kIndexType}, {"manifests", Json::array({arm, amd})}}.dump(), kIndexType), "all");
  add(put(Json{{"schemaVersion", 2}, {"manifests", Json::array({arm})}}.dump(), kIndexType), "arm");
  EXPECT_EQ(word(tagged("all")), "WORD=amd");
  EXPECT_SAYS(mistake(ErrorCode::not_found, tagged("arm")), "not there for linux/amd64; what there is: linux/arm64");
  add(put_image("alone", "arm64"), "alone");
  EXPECT_SAYS(mistake(ErrorCode::not_found, tagged("alone")), "is for 'linux/arm64', not for linux/amd64");
}

TEST_F(ImageLayoutTest, what_is_no_layout_is_refused_in_one_line) {
  add(put_image("one"));
  spill(top_ / "oci-layout", R"({"imageLayoutVersion":"2.0.0"})");
  EXPECT_SAYS(mistake(ErrorCode::not_supported), "of version '2.0.0'; casemate reads 1.0.0");
  spill(top_ / "oci-layout", "{}");
  EXPECT_SAYS(mistake(ErrorCode::invalid_input), "'imageLayoutVersion' is missing");
  spill(top_ / "oci-layout", "");
  EXPECT_SAYS(mistake(ErrorCode::invalid_input), "oci-layout is empty");
  spill(top_ / "oci-layout", std::string(70'000, ' '));
  EXPECT_SAYS(mistake(ErrorCode::invalid_input), "oci-layout has 70000 bytes; at most 65536");
  fs::remove(top_ / "oci-layout");
  EXPECT_SAYS(mistake(ErrorCode::not_found), "this is no OCI image layout: it has no file oci-layout");
  fs::remove_all(top_);
  EXPECT_SAYS(mistake(ErrorCode::not_found), "No such file or directory");
  spill(top_, "a file");
  EXPECT_SAYS(mistake(ErrorCode::system), "Not a directory");
}

TEST_F(ImageLayoutTest, a_bad_index_is_refused_in_one_line) {
  EXPECT_SAYS(mistake(ErrorCode::not_found), "it has no images");
  EXPECT_SAYS(mistake(ErrorCode::not_found, tagged("x")), "no image tagged 'x'; it has 0 images and no tags");
  spill(top_ / "index.json", "{\"schemaVersion\": 2");
  EXPECT_SAYS(mistake(ErrorCode::invalid_input), "index.json: the image index is no JSON");
  spill(top_ / "index.json", std::string(kDocumentLimit + 1, ' '));
  EXPECT_SAYS(mistake(ErrorCode::invalid_input), "index.json has 4194305 bytes");
  spill(top_ / "index.json", R"({"schemaVersion": 1})");
  EXPECT_SAYS(mistake(ErrorCode::not_supported), "schema 1");
  fs::remove(top_ / "index.json");
  EXPECT_SAYS(mistake(ErrorCode::not_found), "index.json is missing");
}

TEST_F(ImageLayoutTest, an_index_that_names_itself_can_not_exist) {
  // Its digest would have to be in its own bytes: what claims it has another digest, and is found to be damaged.
  const std::string digest = "sha256:" + std::string(64, '1');
  const Json self = {{"mediaType", kIndexType}, {"digest", digest}, {"size", 1}};
  std::string bytes;
  Json entry = self;
  for (int i = 0; i < 3; ++i) {
    entry["size"] = bytes.size();
    bytes = Json{{"schemaVersion", 2}, {"manifests", Json::array({entry})}}.dump();
  }
  entry["size"] = bytes.size();
  spill(blob_path(digest), bytes);
  add(entry);
  EXPECT_SAYS(mistake(ErrorCode::corrupt), "blob " + digest + " is damaged");
}

TEST_F(ImageLayoutTest, a_flipped_byte_is_found_and_the_blob_named) {
  const Json manifest = put_image("one");
  add(manifest);
  const auto whole = image();
  ASSERT_TRUE(whole);
  damage(whole->config_digest);
  EXPECT_SAYS(mistake(ErrorCode::corrupt), "blob " + whole->config_digest + " is damaged");
  damage(whole->config_digest);
  damage(manifest["digest"]);
  EXPECT_SAYS(mistake(ErrorCode::corrupt), "blob " + manifest["digest"].get<std::string>() + " is damaged");
  damage(manifest["digest"]);
  ASSERT_TRUE(image());

  damage(whole->layers[1].digest);
  const auto layout = ImageLayout::open(top_);
  const auto verified = layout->verify(*whole);
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, ErrorCode::corrupt);
  EXPECT_SAYS(verified.error().what, "blob " + whole->layers[1].digest + " is damaged");
}

TEST_F(ImageLayoutTest, sizes_are_checked_before_a_byte_is_read) {
  Json manifest = put_image("one");
  add(manifest);
  const auto whole = image();
  ASSERT_TRUE(whole);
  const std::string layer = whole->layers[0].digest;
  spill(blob_path(layer), "low one and more");
  EXPECT_SAYS(mistake(ErrorCode::corrupt), "blob " + layer + " has 16 bytes, but 7 were to be there");
  spill(blob_path(layer), "low");
  EXPECT_SAYS(mistake(ErrorCode::corrupt), "has 3 bytes, but 7");
  EXPECT_FALSE(ImageLayout::open(top_)->open_layer(whole->layers[0].digest, whole->layers[0].size));
  fs::remove(blob_path(layer));
  EXPECT_SAYS(mistake(ErrorCode::not_found), "blob " + layer + " is missing");
  spill(blob_path(layer), "low one");

  entries_[0]["size"] = 5u << 20;
  write_index();
  EXPECT_SAYS(mistake(ErrorCode::invalid_input), "has 5242880 bytes; at most 4194304 of a document are read");
  entries_[0]["size"] = manifest["size"].get<int>() + 1;
  write_index();
  EXPECT_SAYS(mistake(ErrorCode::corrupt), "were to be there");
}

TEST_F(ImageLayoutTest, no_symlink_in_a_layout_is_followed) {
  add(put_image("one"));
  const auto whole = image();
  ASSERT_TRUE(whole);
  fs::create_symlink(top_, scratch_ / "link");
  EXPECT_TRUE(ImageLayout::open(scratch_ / "link")) << "the user's own word may be a link";

  // The very bytes that are wanted, but elsewhere.
  const std::string digest = whole->layers[0].digest;
  fs::rename(blob_path(digest), scratch_ / "outside");
  fs::create_symlink(scratch_ / "outside", blob_path(digest));
  EXPECT_SAYS(mistake(ErrorCode::refused), "blob " + digest + " lies behind a symlink or mount point, which is not followed");
  fs::remove(blob_path(digest));
  fs::rename(scratch_ / "outside", blob_path(digest));
  ASSERT_TRUE(image());

  for (const char* part : {"blobs", "blobs/sha256"}) {
    fs::rename(top_ / part, scratch_ / "away");
    fs::create_symlink(scratch_ / "away", top_ / part);
    EXPECT_SAYS(mistake(ErrorCode::refused), "lies behind a symlink");
    fs::remove(top_ / part);
    fs::rename(scratch_ / "away", top_ / part);
  }
  for (const char* part : {"oci-layout", "index.json"}) {
    fs::rename(top_ / part, scratch_ / "away");
    fs::create_symlink(scratch_ / "away", top_ / part);
    EXPECT_SAYS(mistake(ErrorCode::refused), std::string(part) + " lies behind a symlink");
    fs::remove(top_ / part);
    fs::rename(scratch_ / "away", top_ / part);
  }
}

TEST_F(ImageLayoutTest, fifos_and_directories_are_no_blobs_and_nobody_waits_for_them) {
  add(put_image("one"));
  const auto whole = image();
  ASSERT_TRUE(whole);
  const fs::path place = blob_path(whole->layers[0].digest);
  fs::remove(place);
  ASSERT_EQ(::mkfifo(place.c_str(), 0644), 0);
  EXPECT_SAYS(mistake(ErrorCode::refused), "is no regular file");
  fs::remove(place);
  fs::create_directory(place);
  EXPECT_SAYS(mistake(ErrorCode::refused), "is no regular file");
}

TEST_F(ImageLayoutTest, hostile_descriptors_stay_inside) {
  add({{"mediaType", kManifestType}, {"digest", "sha256:../../../../../../etc/passwd"}, {"size", 1}});
  EXPECT_SAYS(mistake(ErrorCode::invalid_input), "manifest 1 of the image index: the digest");
  const auto layout = [&] {
    entries_ = Json::array();
    write_index();
    return ImageLayout::open(top_);
  }();
  ASSERT_TRUE(layout);
  ImageLayer layer;
  layer.digest = "sha256:../../oci-layout";
  EXPECT_FALSE(layout->open_layer(layer.digest, layer.size));
  layer.digest = "";
  EXPECT_FALSE(layout->open_layer(layer.digest, layer.size));
}

}  // namespace
}  // namespace casemate
