// Image layouts as the programs make them that people have: umoci and skopeo. And what only a real kernel has: mounts in a layout.
#include "image/layout.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "scratch.h"
#include "sys/process.h"

namespace casemate {
namespace {

using namespace std::chrono_literals;

bool is_there(const std::string& program) {
  const auto found = run_program({"/bin/sh", "-c", "command -v " + program}, 10s);
  return found && !found->end.signaled && found->end.code == 0;
}

class ImageLayoutPrograms : public Scratch {
 protected:
  void SetUp() override {
    Scratch::SetUp();
    for (const char* program : {"umoci", "skopeo"}) {
      if (!is_there(program)) GTEST_SKIP() << program << " is not installed";
    }
    // An image of two layers: umoci writes them.
    fs::create_directories(top_ / "etc");
    write(top_ / "etc/one", "one\n");
    write(top_ / "two", "two\n");
    const std::string image = layout() + ":v1";
    sh("umoci init --layout " + layout());
    sh("umoci new --image " + image);
    sh(fmt::format("umoci insert --rootless --image {} {}/etc /etc", image, top_.string()));
    sh(fmt::format("umoci insert --rootless --image {} {}/two /two", image, top_.string()));
    sh("umoci config --image " + image +
       " --config.env NAME=value --config.workingdir /work --config.entrypoint /bin/sh --config.cmd -c --config.user 1000:1000");
  }

  [[nodiscard]] std::string layout() const { return top_ / "layout"; }
  void sh(const std::string& line) const {
    const auto ran =
        run_program({"/bin/sh", "-c", fmt::format("export HOME={0} XDG_RUNTIME_DIR={0} TMPDIR={0}; exec {1}", top_.string(), line)}, 60s);
    ASSERT_TRUE(ran) << ran.error().what;
    ASSERT_TRUE(!ran->end.signaled && ran->end.code == 0) << line << "\n" << ran->err;
  }
  static void skopeo(const ImageLayoutPrograms& test, const std::string& arguments) {
    test.sh("skopeo --insecure-policy copy --quiet " + arguments);
  }
  // The image at a reference in words, and all its layers read.
  static Result<Image> whole(const std::string& text) {
    TRY_ASSIGN(const ImageReference reference, parse_image_reference(text));
    TRY_ASSIGN(const ImageLayout layout, ImageLayout::open(reference.path));
    TRY_ASSIGN(Image image, layout.image(reference));
    TRY(layout.verify(image));
    return image;
  }
};

TEST_F(ImageLayoutPrograms, what_umoci_writes_is_read) {
  const auto image = whole("oci:" + layout() + ":v1");
  ASSERT_TRUE(image) << image.error().what;
  ASSERT_EQ(image->layers.size(), 2u);
  EXPECT_EQ(image->layers[0].compression, Compression::gzip);
  EXPECT_NE(image->layers[0].diff_id, image->layers[0].digest);
  EXPECT_EQ(image->config.platform.os, "linux");
  EXPECT_EQ(image->config.working_dir, "/work");
  EXPECT_EQ(image->config.entrypoint, (std::vector<std::string>{"/bin/sh"}));
  EXPECT_EQ(image->config.cmd, (std::vector<std::string>{"-c"}));
  EXPECT_EQ(image->config.user, "1000:1000");
  EXPECT_NE(std::find(image->config.env.begin(), image->config.env.end(), "NAME=value"), image->config.env.end());
}

TEST_F(ImageLayoutPrograms, an_image_without_layers_is_one) {
  sh("umoci new --image " + layout() + ":empty");
  const auto image = whole("oci:" + layout() + ":empty");
  ASSERT_TRUE(image) << image.error().what;
  EXPECT_TRUE(image->layers.empty());
}

TEST_F(ImageLayoutPrograms, what_skopeo_copies_is_the_same_image) {
  const auto before = whole("oci:" + layout() + ":v1");
  ASSERT_TRUE(before) << before.error().what;
  skopeo(*this, fmt::format("oci:{}:v1 oci:{}/copy:docker.io/library/x:1", layout(), top_.string()));
  const auto copy = whole("oci:" + top_.string() + "/copy:docker.io/library/x:1");
  ASSERT_TRUE(copy) << copy.error().what;
  EXPECT_EQ(copy->manifest_digest, before->manifest_digest);
  EXPECT_TRUE(whole("oci:" + top_.string() + "/copy:@" + before->manifest_digest));

  // Through docker's format and back: other blobs, the same tars.
  skopeo(*this, fmt::format("oci:{}:v1 docker-archive:{}/x.tar:x:1", layout(), top_.string()));
  skopeo(*this, fmt::format("docker-archive:{0}/x.tar:x:1 oci:{0}/back:x", top_.string()));
  const auto back = whole("oci:" + top_.string() + "/back");
  ASSERT_TRUE(back) << back.error().what;
  ASSERT_EQ(back->layers.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(back->layers[i].diff_id, before->layers[i].diff_id);
  EXPECT_EQ(back->config.user, "1000:1000");
}

TEST_F(ImageLayoutPrograms, docker_manifests_and_zstd_layers_by_skopeo_are_read) {
  const auto before = whole("oci:" + layout() + ":v1");
  ASSERT_TRUE(before) << before.error().what;
  skopeo(*this, fmt::format("--dest-compress-format zstd --dest-compress oci:{}:v1 oci:{}/zstd:x", layout(), top_.string()));
  skopeo(*this, fmt::format("--format v2s2 oci:{}:v1 dir:{}/docker", layout(), top_.string()));
  const auto document = parse_manifest(read(top_ / "docker/manifest.json"), "application/vnd.docker.distribution.manifest.v2+json");
  ASSERT_TRUE(document) << document.error().what;
  const auto& manifest = std::get<ImageManifest>(*document);
  ASSERT_EQ(manifest.layers.size(), 2u);
  const auto config = parse_image_config(read(top_ / "docker" / manifest.config.digest.substr(7)), 2);
  ASSERT_TRUE(config) << config.error().what;
  EXPECT_EQ(config->diff_ids[0], before->layers[0].diff_id);

  const auto zstd = whole("oci:" + top_.string() + "/zstd:x");
  ASSERT_TRUE(zstd) << zstd.error().what;
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(zstd->layers[i].compression, Compression::zstd);
    EXPECT_EQ(zstd->layers[i].diff_id, before->layers[i].diff_id);
  }
}

TEST_F(ImageLayoutPrograms, a_mount_point_in_a_layout_is_not_entered) {
  in_mount_namespace([&] {
    const std::string blobs = layout() + "/blobs";
    ASSERT_EQ(::mount(blobs.c_str(), blobs.c_str(), nullptr, MS_BIND | MS_REC, nullptr), 0);
    const auto image = whole("oci:" + layout() + ":v1");
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code, ErrorCode::refused);
    EXPECT_NE(image.error().what.find("mount point"), std::string::npos) << image.error().what;
  });
}

}  // namespace
}  // namespace casemate
