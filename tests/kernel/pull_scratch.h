// pull_scratch: a store, image layouts written by the test itself, and skopeo to push them.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/digest.h"
#include "image/pull.h"
#include "layer_tar.h"
#include "scratch.h"
#include "store/store.h"
#include "sys/process.h"

namespace casemate {

class PullScratch : public Scratch {
 protected:
  struct Blob {
    std::string digest;
    std::size_t size = 0;
  };

  void SetUp() override {
    Scratch::SetUp();
    ::unsetenv("CASEMATE_CACHE_SIZE");
    fs::create_directories(top_ / "home");
    home_ = std::getenv("HOME") ? std::getenv("HOME") : "";
    ::setenv("HOME", (top_ / "home").c_str(), 1);
    ::setenv("XDG_RUNTIME_DIR", (top_ / "home").c_str(), 1);
  }
  void TearDown() override {
    ::setenv("HOME", home_.c_str(), 1);
    ::unsetenv("XDG_RUNTIME_DIR");
    Scratch::TearDown();
  }

  [[nodiscard]] std::string store_directory() const { return top_ / "store"; }
  [[nodiscard]] Store store() const {
    auto opened = Store::open({.directory = store_directory()});
    EXPECT_TRUE(opened) << opened.error().what;
    return std::move(*opened);
  }
  static ImageReference reference(const std::string& text) {
    auto parsed = parse_image_reference(text);
    EXPECT_TRUE(parsed) << parsed.error().what;
    return parsed.value_or(ImageReference{});
  }

  static Blob put_blob(const fs::path& layout, const std::string& bytes) {
    const std::string hex = sha256_hex(bytes);
    fs::create_directories(layout / "blobs/sha256");
    write(layout / "blobs/sha256" / hex, bytes);
    return {"sha256:" + hex, bytes.size()};
  }
  static std::string descriptor(const std::string& type, const Blob& blob, const std::string& more = "") {
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}{}}})", type, blob.digest, blob.size, more);
  }
  static std::string architecture() { return host_platform().architecture; }

  // Writes an image of these tars into a layout, gzipped; its manifest.
  static Blob put_image(const fs::path& layout, const std::vector<std::string>& tars, const std::string& architecture,
                        const std::string& env = "NAME=value") {
    std::vector<std::string> layers;
    std::vector<std::string> diff_ids;
    for (const std::string& tar : tars) {
      layers.push_back(descriptor("application/vnd.oci.image.layer.v1.tar+gzip", put_blob(layout, gzip(tar))));
      diff_ids.push_back("\"sha256:" + sha256_hex(tar) + "\"");
    }
    const Blob config = put_blob(
        layout,
        fmt::format(R"({{"architecture":"{}","os":"linux","config":{{"Env":["{}"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}})",
                    architecture, env, fmt::join(diff_ids, ",")));
    return put_blob(layout, fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}})",
                                        "application/vnd.oci.image.manifest.v1+json",
                                        descriptor("application/vnd.oci.image.config.v1+json", config), fmt::join(layers, ",")));
  }
  // Makes a layout of blobs one with an index.json: these entries.
  static void finish_layout(const fs::path& layout, const std::vector<std::string>& entries) {
    write(layout / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    write(layout / "index.json", fmt::format(R"({{"schemaVersion":2,"manifests":[{}]}})", fmt::join(entries, ",")));
  }
  static std::string manifest_entry(const Blob& manifest, const std::string& more = "") {
    return descriptor("application/vnd.oci.image.manifest.v1+json", manifest, more);
  }
  // A layout of one image.
  std::string image_of(const std::string& name, const std::vector<std::string>& tars, const std::string& env = "NAME=value") const {
    const Blob manifest = put_image(top_ / name, tars, architecture(), env);
    finish_layout(top_ / name, {manifest_entry(manifest)});
    return "oci:" + (top_ / name).string();
  }

  static Result<ReadyImage> pull(Store& store, const std::string& text, const PullOptions& options = {}, const TellPull& tell = {}) {
    return pull_image(store, reference(text), options, tell);
  }
  // The same, which must work.
  static ReadyImage pulled(Store& store, const std::string& text, const PullOptions& options = {}) {
    auto ready = pull(store, text, options);
    EXPECT_TRUE(ready) << ready.error().what;
    return ready ? std::move(*ready) : ReadyImage{};
  }
  // The same, which must fail with one line that names the image.
  static std::string refusal(Store& store, const std::string& text, ErrorCode code, const PullOptions& options = {}) {
    const auto ready = pull(store, text, options);
    if (ready) return "it worked";
    EXPECT_EQ(static_cast<int>(ready.error().code), static_cast<int>(code)) << ready.error().what;
    EXPECT_EQ(ready.error().what.find('\n'), std::string::npos) << ready.error().what;
    return ready.error().what;
  }
  [[nodiscard]] static std::string file_of(const ReadyImage& image, const std::string& path) {
    for (std::size_t i = image.layers.size(); i-- > 0;) {
      if (fs::exists(image.layers[i].path() + "/" + path)) return read(image.layers[i].path() + "/" + path);
    }
    return "(missing)";
  }
  // Nothing half is in the store.
  void expect_tidy(Store& kept) const {
    const auto damage = kept.verify();  // waits for threads that have temp directories
    std::error_code none;
    for (const char* place : {"store/tmp", "store/pulls"}) {
      for (const auto& entry : fs::directory_iterator(top_ / place, none)) ADD_FAILURE() << entry.path() << " was left behind";
    }
    ASSERT_TRUE(damage) << damage.error().what;
    for (const StoreDamage& one : *damage) ADD_FAILURE() << one.kind << " " << one.key << ": " << one.what;
  }

 private:
  std::string home_;
};

}  // namespace casemate
