// Images in archives, on their way in and out of the store, and their removal.
#include <sys/wait.h>

#include <gtest/gtest.h>

#include "pull_scratch.h"
#include "sys/watched_program.h"

namespace casemate {
namespace {

class PullArchive : public PullScratch {
 protected:
  void SetUp() override {
    PullScratch::SetUp();
    if (program_on_path("skopeo").empty()) GTEST_SKIP() << "skopeo is not installed";
    image_ = image_of("image", {LayerTar().file("one", "1").bytes(), LayerTar().file("two", "2").bytes()});
  }
  static void skopeo(const std::string& words) {
    const auto ran = run_program({"/bin/sh", "-c", "skopeo --insecure-policy copy -q " + words}, std::chrono::seconds(60));
    ASSERT_TRUE(ran) << ran.error().what;
    ASSERT_EQ(ran->end.code, 0) << ran->err;
  }
  [[nodiscard]] std::string at(const std::string& name) const { return (top_ / name).string(); }
  static Result<void> write_out(Store& store, const std::string& image, const std::string& target) {
    return export_image(store, reference(image), reference(target));
  }

  std::string image_;
};

TEST_F(PullArchive, docker_and_oci_archives_are_read_once_until_they_change) {
  skopeo(fmt::format("{} docker-archive:{}:x/y:v1", image_, at("docker.tar")));
  skopeo(fmt::format("{} oci-archive:{}:v1", image_, at("oci.tar")));
  const fs::path odd = top_ / "a:b";  // skopeo would take what follows ':' for a name
  fs::create_directory(odd);
  fs::copy(at("oci.tar"), odd / "oci.tar");
  fs::create_symlink(odd / "oci.tar", top_ / "link.tar");
  Store kept = store();
  for (const std::string& text : {"docker-archive:" + at("docker.tar"), "docker-archive:" + at("docker.tar") + ":x/y:v1",
                                  "oci-archive:" + at("oci.tar"), "oci-archive:" + at("link.tar") + ":v1"}) {
    const ReadyImage first = pulled(kept, text);
    EXPECT_EQ(file_of(first, "one"), "1") << text;
    EXPECT_EQ(file_of(first, "two"), "2") << text;
    const fs::path path = ::getenv("PATH");
    ::setenv("PATH", "/nowhere", 1);  // nobody runs skopeo now
    EXPECT_TRUE(pulled(kept, text).cached);
    ::setenv("PATH", path.c_str(), 1);
  }
  const std::string changed = image_of("changed", {LayerTar().file("one", "new").bytes()});
  fs::remove(at("docker.tar"));
  skopeo(fmt::format("{} docker-archive:{}:x/y:v1", changed, at("docker.tar")));
  EXPECT_EQ(file_of(pulled(kept, "docker-archive:" + at("docker.tar")), "one"), "new");
  refusal(kept, "docker-archive:" + at("docker.tar") + ":x/z:v1", ErrorCode::not_found);
  refusal(kept, "docker-archive:" + at("none.tar"), ErrorCode::not_found);
  write(at("noise.tar"), std::string(5000, 'x'));
  refusal(kept, "oci-archive:" + at("noise.tar"), ErrorCode::refused);
  expect_tidy(kept);
}

TEST_F(PullArchive, an_archive_wanted_three_times_at_once_is_read_once) {
  skopeo(fmt::format("{} oci-archive:{}:v1", image_, at("oci.tar")));
  const std::string archive = "oci-archive:" + at("oci.tar");
  const fs::path log = top_ / "log";
  fs::create_directory(top_ / "bin");
  const std::string real = program_on_path("skopeo");
  write(top_ / "bin/skopeo", fmt::format("#!/bin/sh\necho run >> {}\nexec {} \"$@\"\n", log.string(), real));
  fs::permissions(top_ / "bin/skopeo", static_cast<fs::perms>(0755));
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", ((top_ / "bin").string() + ":" + path).c_str(), 1);
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(::fork());
    if (children.back() == 0) {
      Store kept = store();
      ::_exit(pull(kept, archive) ? 0 : 1);
    }
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(read(log), "run\n");
}

TEST_F(PullArchive, an_imported_image_is_one_of_a_registry_and_outlives_its_source) {
  Store kept = store();
  const std::string name = "docker://registry.invalid/me/tool:v1";
  const auto imported = import_image(kept, reference(image_), reference(name), {});
  ASSERT_TRUE(imported) << imported.error().what;
  EXPECT_EQ(to_text(imported->reference), name);
  ASSERT_EQ(list_images(kept)->size(), 1u) << "the layout was only the way in";
  fs::remove_all(top_ / "image");
  EXPECT_TRUE(pulled(kept, name).cached);
  // Its blobs are in the store: an evicted layer is unpacked again.
  ASSERT_TRUE(*kept.remove(imported->layers[1].key));
  const ReadyImage ready = pulled(kept, name);
  EXPECT_FALSE(ready.cached);
  EXPECT_EQ(file_of(ready, "two"), "2");
  EXPECT_FALSE(import_image(kept, reference("docker://registry.invalid/none:v1"), reference(name), {.policy = PullOptions::Policy::never}));
  const auto wrong = import_image(kept, reference(name), reference("oci:" + at("x")), {});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::invalid_input);
  expect_tidy(kept);
}

TEST_F(PullArchive, an_image_that_the_store_has_is_renamed_without_asking_anybody) {
  Store kept = store();
  const std::string name = "docker://registry.invalid/me/tool:v1";
  ASSERT_TRUE(import_image(kept, reference(image_), reference(name), {}));
  const fs::path path = ::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);  // nobody runs skopeo now
  const std::string other = "docker://registry.invalid/other:v2";
  const auto renamed = import_image(kept, reference(name), reference(other), {.policy = PullOptions::Policy::always});
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(renamed) << renamed.error().what;
  EXPECT_EQ(list_images(kept)->size(), 2u);
  EXPECT_TRUE(pulled(kept, other).cached);
  // A layout that was pulled for itself stays on record.
  pulled(kept, image_);
  ASSERT_TRUE(import_image(kept, reference(image_), reference("docker://registry.invalid/third:v1"), {}));
  EXPECT_EQ(list_images(kept)->size(), 4u);
  const std::string why = refusal(kept, "docker://registry.invalid/none:v1", ErrorCode::not_found, {.policy = PullOptions::Policy::never});
  EXPECT_NE(why.find("casemate image pull docker://registry.invalid/none:v1"), std::string::npos) << why;
  expect_tidy(kept);
}

TEST_F(PullArchive, an_archive_by_the_wrong_name_or_of_half_its_bytes) {
  skopeo(fmt::format("{} docker-archive:{}:x/y:v1", image_, at("docker.tar")));
  skopeo(fmt::format("{} oci-archive:{}:v1", image_, at("oci.tar")));
  Store kept = store();
  const auto says = [&](const std::string& text, const char* words) {
    const std::string why = refusal(kept, text, ErrorCode::refused);
    EXPECT_NE(why.find(words), std::string::npos) << why;
  };
  says("oci-archive:" + at("docker.tar"), "docker-archive:FILE");
  says("docker-archive:" + at("oci.tar"), "oci-archive:FILE");
  for (const char* kind : {"docker", "oci"}) {
    const std::string whole = read(at(fmt::format("{}.tar", kind)));
    write(at("half.tar"), whole.substr(0, whole.size() / 4 - 100));
    says(fmt::format("{}-archive:{}", kind, at("half.tar")), "damaged");
  }
  expect_tidy(kept);
}

TEST_F(PullArchive, an_exported_image_is_the_same_one) {
  Store kept = store();
  const std::string name = "docker://registry.invalid/me/tool:v1";
  const StoredImage imported = import_image(kept, reference(image_), reference(name), {}).value();
  Store other = Store::open({.directory = at("other")}).value();
  for (const char* target : {"oci:{}:v1", "oci-archive:{}:v1", "docker-archive:{}:me/tool:v1", "docker-archive:{}"}) {
    const std::string text = fmt::format(fmt::runtime(target), at("out"));
    const auto done = write_out(kept, name, text);
    ASSERT_TRUE(done) << text << ": " << done.error().what;
    const ReadyImage back = pulled(other, text);
    EXPECT_EQ(file_of(back, "two"), "2") << text;
    if (std::string(target).starts_with("oci")) EXPECT_EQ(back.image.manifest_digest, imported.manifest_digest) << text;
    const auto again = write_out(kept, name, text);
    ASSERT_FALSE(again) << text;
    EXPECT_EQ(again.error().code, ErrorCode::refused);
    fs::remove_all(at("out"));
  }
  EXPECT_EQ(write_out(kept, "docker://none", "oci:" + at("out")).error().code, ErrorCode::not_found);
  EXPECT_EQ(write_out(kept, name, "docker://registry.invalid/x").error().code, ErrorCode::invalid_input);
  ASSERT_TRUE(*kept.remove(imported.layers[0].digest));
  EXPECT_EQ(write_out(kept, name, "oci:" + at("out")).error().code, ErrorCode::not_found);
  for (const auto& entry : fs::directory_iterator(top_)) EXPECT_FALSE(entry.path().filename().string().starts_with("out")) << entry.path();
  expect_tidy(kept);
}

TEST_F(PullArchive, an_image_of_a_layout_is_exported_from_there) {
  Store kept = store();
  pulled(kept, image_);
  for (const char* target : {"oci:{}:v1", "oci-archive:{}:v1", "docker-archive:{}:me/tool:v1"}) {
    const std::string text = fmt::format(fmt::runtime(target), at("out"));
    const auto done = write_out(kept, image_, text);
    ASSERT_TRUE(done) << text << ": " << done.error().what;
    {
      Store other = Store::open({.directory = at("other")}).value();
      EXPECT_EQ(file_of(pulled(other, text), "two"), "2") << text;
    }
    fs::remove_all(at("out"));
    fs::remove_all(at("other"));
  }
  // What the layout has by now is not what was pulled.
  std::string blob;
  for (const auto& entry : fs::directory_iterator(top_ / "image/blobs/sha256")) {
    if (read(entry.path()).starts_with("\x1f\x8b")) blob = entry.path();
  }
  const std::string sound = read(blob);
  std::string flipped = sound;
  flipped[flipped.size() / 2] ^= 1;
  write(blob, flipped);
  const auto damaged = write_out(kept, image_, "oci:" + at("out"));
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::corrupt) << damaged.error().what;
  write(blob, sound);
  fs::remove(top_ / "image/index.json");
  image_of("image", {LayerTar().file("two", "3").bytes()});
  const auto moved = write_out(kept, image_, "oci:" + at("out"));
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().code, ErrorCode::not_found);
  EXPECT_NE(moved.error().what.find("another image"), std::string::npos) << moved.error().what;
  fs::remove_all(top_ / "image");
  const auto gone = write_out(kept, image_, "oci:" + at("out"));
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::not_found);
  EXPECT_NE(gone.error().what.find("is gone"), std::string::npos) << gone.error().what;
  EXPECT_EQ(gone.error().what.find("pull it again"), std::string::npos) << gone.error().what;
  EXPECT_FALSE(fs::exists(at("out")));
  expect_tidy(kept);
}

TEST_F(PullArchive, removal_takes_what_no_other_image_needs_and_nobody_holds) {
  Store kept = store();
  const std::string base = LayerTar().file("base", "shared").bytes();
  const std::string one = "docker://registry.invalid/one:v1";
  const std::string two = "docker://registry.invalid/two:v1";
  ASSERT_TRUE(import_image(kept, reference(image_of("a", {base, LayerTar().file("a", "a").bytes()})), reference(one), {}));
  ASSERT_TRUE(import_image(kept, reference(image_of("b", {base, LayerTar().file("b", "b").bytes()})), reference(two), {}));
  ASSERT_TRUE(kept.make_layer(std::string(64, 'e'), "environment: of somebody", [](const std::string&) -> Result<void> { return {}; }));
  const auto forget = [&](const std::string& text) {
    auto removed = remove_images(kept, [&](const StoredImage& image) { return to_text(image.reference) == text; });
    EXPECT_TRUE(removed) << removed.error().what;
    return removed.value_or(RemovedImages{});
  };
  forget("oci:" + at("a"));
  forget("oci:" + at("b"));
  {
    const ReadyImage held = pulled(kept, two);
    const RemovedImages removed = forget(one);
    EXPECT_EQ(removed.images, 1u);
    EXPECT_EQ(removed.layers, 1u);
    EXPECT_EQ(removed.kept, 0u) << "the base is still needed";
    EXPECT_GT(removed.bytes, 0u);
    const RemovedImages stayed = forget(two);
    EXPECT_EQ(stayed.layers, 0u);  // held
    EXPECT_EQ(stayed.kept, 2u);
    const auto orphans = remove_orphans(kept);
    ASSERT_TRUE(orphans);
    EXPECT_EQ(orphans->kept, 2u);
    EXPECT_EQ(file_of(held, "base"), "shared");
  }
  EXPECT_TRUE(list_images(kept)->empty());
  EXPECT_TRUE(*kept.layer(std::string(64, 'e')));
  std::size_t blobs = 0;
  const auto left = kept.entries();
  ASSERT_TRUE(left);
  for (const StoreEntry& entry : *left) blobs += entry.kind == "blob" ? 1 : 0;
  EXPECT_EQ(blobs, 0u);
  expect_tidy(kept);
}

TEST_F(PullArchive, the_docker_engine) {
  const auto there = run_program({"/bin/sh", "-c", "docker version"}, std::chrono::seconds(20));
  if (!there || there->end.code != 0) {
    Store kept = store();
    const std::string why = refusal(kept, "docker-daemon:casemate-none:v1", ErrorCode::not_supported);
    EXPECT_NE(why.find("Docker"), std::string::npos) << why;
    GTEST_SKIP() << "no Docker Engine answers here";
  }
  skopeo(fmt::format("${{DOCKER_HOST:+--dest-daemon-host $DOCKER_HOST}} {} docker-daemon:casemate-pull-test:v1", image_));
  Store kept = store();
  EXPECT_EQ(file_of(pulled(kept, "docker-daemon:casemate-pull-test:v1"), "two"), "2");
  EXPECT_TRUE(pulled(kept, "docker-daemon:casemate-pull-test:v1").cached);
  refusal(kept, "docker-daemon:casemate-none:v1", ErrorCode::not_found);
  run_program({"/bin/sh", "-c", "docker image rm casemate-pull-test:v1"}, std::chrono::seconds(20)).value();
}

}  // namespace
}  // namespace casemate
