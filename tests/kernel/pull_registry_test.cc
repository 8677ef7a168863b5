// Images out of a real registry on the loopback: plain http, TLS with an own CA, passwords; what is fetched, and what is not again.
#include <algorithm>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "image/pull_place.h"
#include "registry_scratch.h"

namespace casemate {
namespace {

class PullRegistry : public RegistryScratch {
 protected:
  // Bytes that don't compress, so that a layer has a size.
  static std::string noise(std::size_t size, unsigned seed) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1'664'525 + 1'013'904'223) >> 24);
    return bytes;
  }
  static std::string tar_of(const std::string& file, const std::string& content) { return LayerTar().file(file, content).bytes(); }
  void serve_image() {
    serve();
    push(image_of("image", {tar_of("one", "1"), tar_of("two", noise(100'000, 1)), tar_of("three", "3")}));
  }
};

TEST_F(PullRegistry, an_image_comes_once_and_is_asked_for_never_again) {
  ASSERT_NO_FATAL_FAILURE(serve_image());
  Store kept = store();
  std::vector<PullProgress> told;
  const auto first = pull(kept, name(), plain(), [&](const PullProgress& progress) { told.push_back(progress); });
  ASSERT_TRUE(first) << first.error().what;
  EXPECT_FALSE(first->cached);
  ASSERT_EQ(first->layers.size(), 3u);
  EXPECT_EQ(file_of(*first, "one"), "1");
  EXPECT_EQ(file_of(*first, "three"), "3");
  EXPECT_EQ(first->image.config.env, std::vector<std::string>{"NAME=value"});
  for (const StoredLayer& layer : first->image.layers) EXPECT_EQ(fetches(layer.digest), 1u) << layer.digest;
  ASSERT_GE(told.size(), 4u);
  EXPECT_EQ(told.front().phase, PullProgress::Phase::resolving);
  EXPECT_EQ(told.back().phase, PullProgress::Phase::done);
  EXPECT_GT(told.back().bytes, 100'000u);
  EXPECT_EQ(told.back().bytes_done, told.back().bytes);
  EXPECT_EQ(told.back().layers_done, 3u);

  const std::size_t asked = server_->log().size();
  const ReadyImage again = pulled(kept, name(), plain());
  EXPECT_TRUE(again.cached);
  PullOptions never = plain(PullOptions::Policy::never);
  EXPECT_TRUE(pulled(kept, name(), never).cached);
  // By its digest it is the same one.
  const std::string pinned = fmt::format("docker://127.0.0.1:{}/x/y@{}", port_, first->image.digest);
  EXPECT_TRUE(pulled(kept, pinned, never).cached);
  EXPECT_TRUE(pulled(kept, pinned, plain(PullOptions::Policy::always)).cached);
  EXPECT_EQ(server_->log().size(), asked);
  // Asked whether the tag has moved: it has not.
  EXPECT_TRUE(pulled(kept, name(), plain(PullOptions::Policy::always)).cached);
  EXPECT_GT(server_->log().size(), asked);
  for (const StoredLayer& layer : first->image.layers) EXPECT_EQ(fetches(layer.digest), 1u) << layer.digest;
  expect_tidy(kept);
}

TEST_F(PullRegistry, a_moved_tag_is_seen_by_who_asks_and_brings_only_what_is_new) {
  ASSERT_NO_FATAL_FAILURE(serve_image());
  Store kept = store();
  const ReadyImage before = pulled(kept, name(), plain());
  push(image_of("newer", {tar_of("one", "1"), tar_of("two", noise(100'000, 1)), tar_of("three", "changed")}));
  EXPECT_EQ(pulled(kept, name(), plain()).image.digest, before.image.digest);
  const ReadyImage after = pulled(kept, name(), plain(PullOptions::Policy::always));
  EXPECT_NE(after.image.digest, before.image.digest);
  EXPECT_EQ(file_of(after, "three"), "changed");
  EXPECT_EQ(after.layers[1].path(), before.layers[1].path());
  EXPECT_EQ(fetches(before.image.layers[0].digest), 1u);
  EXPECT_EQ(fetches(before.image.layers[1].digest), 1u);
  EXPECT_EQ(fetches(after.image.layers[2].digest), 1u);
  // The old one by its digest.
  EXPECT_EQ(file_of(pulled(kept, fmt::format("docker://127.0.0.1:{}/x/y@{}", port_, before.image.digest), plain()), "three"), "3");
  expect_tidy(kept);
}

TEST_F(PullRegistry, an_index_gives_the_image_of_the_platform) {
  ASSERT_NO_FATAL_FAILURE(serve());
  const fs::path layout = top_ / "multi";
  const std::string own = architecture();
  const std::string other = own == "amd64" ? "arm64" : "amd64";
  std::vector<std::string> entries;
  for (const std::string& one : {other, own}) {
    const Blob manifest = put_image(layout, {tar_of("for", one)}, one);
    entries.push_back(manifest_entry(manifest, fmt::format(R"(,"platform":{{"os":"linux","architecture":"{}"}})", one)));
  }
  const Blob index = put_blob(layout, fmt::format(R"({{"schemaVersion":2,"mediaType":"{0}","manifests":[{1}]}})",
                                                  "application/vnd.oci.image.index.v1+json", fmt::join(entries, ",")));
  finish_layout(layout, {descriptor("application/vnd.oci.image.index.v1+json", index)});
  push("oci:" + layout.string(), "x/y:v1", "--all");
  Store kept = store();
  const ReadyImage ready = pulled(kept, name(), plain());
  EXPECT_EQ(file_of(ready, "for"), own);
  EXPECT_EQ(ready.image.digest, index.digest);
  EXPECT_NE(ready.image.manifest_digest, index.digest);
  PullOptions options = plain();
  options.platform = {"linux", other, ""};
  EXPECT_EQ(file_of(pulled(kept, name(), options), "for"), other);
  EXPECT_EQ(list_images(kept)->size(), 2u);
  options.platform = {"linux", "riscv64", ""};
  const std::string why = refusal(kept, name(), ErrorCode::not_found, options);
  EXPECT_NE(why.find("linux/" + other), std::string::npos) << why;
  expect_tidy(kept);
}

TEST_F(PullRegistry, docker_manifests_and_plain_tars_are_images_too) {
  ASSERT_NO_FATAL_FAILURE(serve());
  const std::string image = image_of("image", {tar_of("one", "1")});
  push(image, "x/y:v1", "--format v2s2");
  push(image, "x/zstd:v1", "--dest-compress-format zstd --dest-compress");
  Store kept = store();
  EXPECT_EQ(file_of(pulled(kept, name(), plain()), "one"), "1");
  EXPECT_EQ(file_of(pulled(kept, name("x/zstd:v1"), plain()), "one"), "1");
}

TEST_F(PullRegistry, evicted_layers_are_unpacked_from_blobs_and_evicted_blobs_fetched_again) {
  ASSERT_NO_FATAL_FAILURE(serve_image());
  Store kept = store();
  std::vector<StoredLayer> layers = pulled(kept, name(), plain()).image.layers;
  ASSERT_TRUE(*kept.remove(layers[1].key));
  const ReadyImage unpacked = pulled(kept, name(), plain(PullOptions::Policy::never));
  EXPECT_FALSE(unpacked.cached);
  EXPECT_EQ(fetches(layers[1].digest), 1u);
}

TEST_F(PullRegistry, only_what_neither_layer_nor_blob_holds_is_fetched) {
  ASSERT_NO_FATAL_FAILURE(serve_image());
  Store kept = store();
  const std::vector<StoredLayer> layers = pulled(kept, name(), plain()).image.layers;
  for (const StoredLayer& layer : layers) ASSERT_TRUE(*kept.remove(layer.digest));
  ASSERT_TRUE(*kept.remove(layers[1].key));
  refusal(kept, name(), ErrorCode::not_found, plain(PullOptions::Policy::never));
  const ReadyImage again = pulled(kept, name(), plain());
  EXPECT_EQ(file_of(again, "one"), "1");
  EXPECT_EQ(fetches(layers[0].digest), 1u);
  EXPECT_EQ(fetches(layers[1].digest), 2u);
  EXPECT_EQ(fetches(layers[2].digest), 1u);
  expect_tidy(kept);
}

TEST_F(PullRegistry, a_blob_with_a_flipped_byte_is_found_and_fetched_again) {
  ASSERT_NO_FATAL_FAILURE(serve_image());
  Store kept = store();
  const StoredLayer layer = pulled(kept, name(), plain()).image.layers[1];
  ASSERT_TRUE(*kept.remove(layer.key));
  const fs::path blob = top_ / "store/blobs/sha256" / layer.digest.substr(7, 2) / layer.digest.substr(9);
  std::string bytes = read(blob);
  ASSERT_EQ(bytes.size(), layer.size);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  fs::permissions(blob, fs::perms::owner_all);
  write(blob, bytes);
  EXPECT_EQ(file_of(pulled(kept, name(), plain()), "two"), noise(100'000, 1));
  EXPECT_EQ(fetches(layer.digest), 2u);
  expect_tidy(kept);
}

TEST_F(PullRegistry, what_a_registry_says_no_to_is_one_line) {
  ASSERT_NO_FATAL_FAILURE(serve_image());
  Store kept = store();
  EXPECT_NE(refusal(kept, name("x/y:none"), ErrorCode::not_found, plain()).find("there is no such image"), std::string::npos);
  EXPECT_NE(refusal(kept, name("no/such:v1"), ErrorCode::not_found, plain()).find("there is no such image"), std::string::npos);
  EXPECT_NE(refusal(kept, name("x/y@sha256:" + std::string(64, 'a')), ErrorCode::not_found, plain()).find("no such image"),
            std::string::npos);
  EXPECT_NE(refusal(kept, name(), ErrorCode::refused).find("--tls-verify=false"), std::string::npos);
  server_.reset();
  EXPECT_NE(refusal(kept, name(), ErrorCode::refused, plain()).find("nothing listens there"), std::string::npos);
  EXPECT_TRUE(list_images(kept)->empty());
  expect_tidy(kept);
}

TEST_F(PullRegistry, two_at_once_fetch_it_once) {
  ASSERT_NO_FATAL_FAILURE(serve());
  push(image_of("image", {tar_of("one", noise(3'000'000, 2)), tar_of("two", noise(2'000'000, 3))}));
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(::fork());
    if (children.back() == 0) {
      Store kept = store();
      const auto ready = pull(kept, name(), plain());
      ::_exit(ready && ready->layers.size() == 2 ? 0 : 1);
    }
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  Store kept = store();
  const ReadyImage ready = pulled(kept, name(), plain());
  EXPECT_TRUE(ready.cached);
  for (const StoredLayer& layer : ready.image.layers) EXPECT_EQ(fetches(layer.digest), 1u);
  expect_tidy(kept);
}

TEST_F(PullRegistry, waiting_for_another_pull_is_told) {
  ASSERT_NO_FATAL_FAILURE(serve());
  push(image_of("image", {tar_of("one", "1")}));
  Store other = Store::open({.directory = top_ / "other"}).value();
  const std::string manifest = pulled(other, name(), plain()).image.manifest_digest;
  Store kept = store();
  std::optional<PullPlace> place;
  auto opened = PullPlace::open(kept, manifest.substr(7));
  ASSERT_TRUE(opened) << opened.error().what;
  place.emplace(std::move(*opened));
  std::vector<PullProgress::Phase> told;
  const auto ready = pull(kept, name(), plain(), [&](const PullProgress& progress) {
    told.push_back(progress.phase);
    if (progress.phase == PullProgress::Phase::waiting) place.reset();
  });
  ASSERT_TRUE(ready) << ready.error().what;
  EXPECT_EQ(std::count(told.begin(), told.end(), PullProgress::Phase::waiting), 1);
  EXPECT_EQ(told.back(), PullProgress::Phase::done);
  expect_tidy(kept);
}

TEST_F(PullRegistry, without_skopeo_it_says_what_to_install) {
  Store kept = store();
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", top_.c_str(), 1);
  const std::string why = refusal(kept, "docker://127.0.0.1:1/x:v1", ErrorCode::not_supported);
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_NE(why.find("install"), std::string::npos) << why;
}

TEST_F(PullRegistry, passwords_come_from_an_authfile) {
  // htpasswd's line for "secret", by bcrypt.
  write(top_ / "htpasswd", "tester:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n");
  ASSERT_NO_FATAL_FAILURE(serve("", fmt::format("auth: {{htpasswd: {{realm: test, path: {}/htpasswd}}}}\n", top_.string())));
  push(image_of("image", {tar_of("one", "1")}), "x/y:v1", "--dest-creds tester:secret");
  Store kept = store();
  const std::string why = refusal(kept, name(), ErrorCode::refused, plain());
  EXPECT_NE(why.find("skopeo login"), std::string::npos) << why;
  EXPECT_NE(why.find("--authfile"), std::string::npos) << why;
  const auto auth = [&](const char* words) { return fmt::format(R"({{"auths":{{"127.0.0.1:{}":{{"auth":"{}"}}}}}})", port_, words); };
  write(top_ / "wrong.json", auth("dGVzdGVyOndyb25n"));
  write(top_ / "right.json", auth("dGVzdGVyOnNlY3JldA=="));
  PullOptions options = plain();
  options.access.authfile = top_ / "wrong.json";
  refusal(kept, name(), ErrorCode::refused, options);
  options.access.authfile = top_ / "none.json";
  const std::string none = refusal(kept, name(), ErrorCode::not_found, options);
  EXPECT_NE(none.find("none.json': no such file"), std::string::npos) << none;
  options.access.authfile = top_ / "right.json";
  EXPECT_EQ(file_of(pulled(kept, name(), options), "one"), "1");
}

TEST_F(PullRegistry, tls_with_an_own_ca) {
  if (program_on_path("openssl").empty()) GTEST_SKIP() << "openssl is not installed";
  const std::string d = top_;
  write(top_ / "san", "subjectAltName=IP:127.0.0.1\n");
  ASSERT_EQ(sh(fmt::format("cd {0} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout "
                           "ca.key -out ca.crt && "
                           "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry -keyout r.key -out r.csr && "
                           "openssl x509 -req -in r.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out r.crt && "
                           "mkdir certs && cp ca.crt certs/",
                           d)),
            0);
  ASSERT_NO_FATAL_FAILURE(serve(fmt::format("  tls: {{certificate: {0}/r.crt, key: {0}/r.key}}\n", d)));
  push(image_of("image", {tar_of("one", "1")}));
  Store kept = store();
  const std::string why = refusal(kept, name(), ErrorCode::refused);
  EXPECT_NE(why.find("--cert-dir"), std::string::npos) << why;
  PullOptions options;
  options.access.cert_directory = top_ / "certs";
  EXPECT_EQ(file_of(pulled(kept, name(), options), "one"), "1");
  Store other = Store::open({.directory = top_ / "other"}).value();
  EXPECT_EQ(file_of(pulled(other, name(), plain()), "one"), "1");
}

}  // namespace
}  // namespace casemate
