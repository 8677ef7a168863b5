#include "image/manifest.h"

#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "image/document.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr const char* kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr const char* kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kOciConfig = "application/vnd.oci.image.config.v1+json";
constexpr const char* kOciLayer = "application/vnd.oci.image.layer.v1.tar";
constexpr const char* kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr const char* kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr const char* kDockerConfig = "application/vnd.docker.container.image.v1+json";
constexpr const char* kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";

const Platform kAmd64 = {"linux", "amd64", ""};

std::string digest_of(char digit) { return "sha256:" + std::string(64, digit); }

Json descriptor(const std::string& type, char digit, Json platform = nullptr) {
  Json json = {{"mediaType", type}, {"digest", digest_of(digit)}, {"size", 100}};
  if (!platform.is_null()) json["platform"] = std::move(platform);
  return json;
}
Json platform(const char* os, const char* architecture, const char* variant = nullptr) {
  Json json = {{"os", os}, {"architecture", architecture}};
  if (variant) json["variant"] = variant;
  return json;
}
Json manifest_json() {
  return {
      {"schemaVersion", 2}, {"config", descriptor(kOciConfig, 'c')}, {"layers", {descriptor(kOciLayer, '1'), descriptor(kOciLayer, '2')}}};
}
// A list of its own: compilers differ in whether Json({x}) is x or [x].
Json index_json(const std::vector<Json>& manifests) { return {{"schemaVersion", 2}, {"manifests", manifests}}; }
Json config_json() {
  return {{"os", "linux"}, {"architecture", "amd64"}, {"rootfs", {{"type", "layers"}, {"diff_ids", {digest_of('1'), digest_of('2')}}}}};
}

template <class T>
std::string mistake(const Result<T>& result, ErrorCode code = ErrorCode::invalid_input) {
  if (result) {
    ADD_FAILURE() << "there is no error";
    return "";
  }
  EXPECT_EQ(result.error().code, code) << result.error().what;
  EXPECT_EQ(result.error().what.find_first_of(std::string_view("\n\x1b\0", 3)), std::string::npos);
  EXPECT_LT(result.error().what.size(), 1000u);
  return result.error().what;
}

#define EXPECT_SAYS(text, words) EXPECT_NE((text).find(words), std::string::npos) << (text)
#define EXPECT_BAD_MANIFEST(json, words) EXPECT_SAYS(mistake(parse_manifest((json).dump(), "")), words)
#define EXPECT_BAD_CONFIG(json, words) EXPECT_SAYS(mistake(parse_image_config((json).dump(), 2)), words)
#define EXPECT_UNSUPPORTED(json, words) EXPECT_SAYS(mistake(parse_manifest((json).dump(), ""), ErrorCode::not_supported), words)

ImageManifest image(const Json& json, const char* type = "") {
  auto document = parse_manifest(json.dump(), type);
  EXPECT_TRUE(document) << document.error().what;
  if (!document || !std::holds_alternative<ImageManifest>(*document)) {
    ADD_FAILURE() << "no manifest";
    return {};
  }
  return std::get<ImageManifest>(*document);
}
ImageIndex index_of(const Json& json, const char* type = "") {
  auto document = parse_manifest(json.dump(), type);
  EXPECT_TRUE(document) << document.error().what;
  if (!document || !std::holds_alternative<ImageIndex>(*document)) {
    ADD_FAILURE() << "no index";
    return {};
  }
  return std::get<ImageIndex>(*document);
}

// --- documents
// -------------------------------------------------------------------------------------------------------------------------------

std::string bad_document(std::string_view bytes) { return mistake(parse_document(bytes, "the thing")); }

TEST(Document, takes_any_json_object_within_its_bounds) {
  const auto json = parse_document(R"({"a": [1, -2.5, "x", null, true, {"a": {}}], "b": {"a": 1}})", "the thing");
  ASSERT_TRUE(json) << json.error().what;
  EXPECT_EQ((*json)["b"]["a"], 1);
  EXPECT_TRUE(parse_document(R"({"a":)" + std::string(31, '[') + std::string(31, ']') + "}", "x"));
}

TEST(Document, says_in_one_line_what_is_wrong) {
  EXPECT_EQ(bad_document(""), "the thing is empty");
  EXPECT_EQ(bad_document("{\"a\": 1,}"), "the thing is no JSON: byte 9 does not fit");
  EXPECT_SAYS(bad_document("{\"a\": 1} x"), "is no JSON");
  EXPECT_SAYS(bad_document("<html>"), "is no JSON: byte 1");
  EXPECT_SAYS(bad_document(std::string_view("{\"a\0\": 1}", 9)), "is no JSON");
  EXPECT_SAYS(bad_document("{\"a\": \"\xff\"}"), "is no JSON");
  EXPECT_SAYS(bad_document("{\"a\": 1e999}"), "is no JSON");
  EXPECT_SAYS(bad_document("{\"a\": "), "is no JSON");
  for (const char* other : {"[]", "1", "\"x\"", "null", "true"}) EXPECT_EQ(bad_document(other), "the thing is no JSON object") << other;
}

TEST(Document, a_key_twice_in_one_object_is_refused_wherever_it_is) {
  EXPECT_EQ(bad_document(R"({"a": 1, "b": 2, "a": 1})"), "the thing has the key 'a' twice in one object");
  EXPECT_SAYS(bad_document(R"({"a": [{"b\n": 1, "b\n": 2}]})"), "the key 'b\\n' twice");
  EXPECT_SAYS(bad_document(R"({"a": 1, "\u0061": 2})"), "the key 'a' twice");
  EXPECT_TRUE(parse_document(R"({"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]})", "x"));
}

TEST(Document, size_depth_and_count_are_bounded) {
  EXPECT_SAYS(bad_document(R"({"a":)" + std::string(32, '[') + std::string(32, ']') + "}"), "nested more than 32 deep");
  EXPECT_SAYS(bad_document(R"({"a":)" + std::string(1'000'000, '[')), "nested more than 32 deep");
  std::string many = R"({"a":[0)";
  for (int i = 0; i < 200'000; ++i) many += ",0";
  EXPECT_SAYS(bad_document(many + "]}"), "more than 200000 values");
  const std::string frame = R"({"a":""})";
  std::string large = frame;
  large.insert(6, std::string(kDocumentLimit - frame.size(), 'x'));
  EXPECT_EQ(large.size(), kDocumentLimit);
  EXPECT_TRUE(parse_document(large, "x"));
  EXPECT_SAYS(bad_document(large + " "), "has 4194305 bytes; at most 4194304");
}

// --- platforms
// -------------------------------------------------------------------------------------------------------------------------------

TEST(Platform, variants_fit_what_is_at_least_as_new) {
  EXPECT_EQ(fitness({"linux", "amd64", ""}, kAmd64), 0u);
  EXPECT_EQ(fitness({"linux", "amd64", "v1"}, kAmd64), 0u);
  EXPECT_EQ(fitness({"linux", "x86_64", ""}, kAmd64), 0u);
  EXPECT_EQ(fitness({"linux", "amd64", "v2"}, kAmd64), std::nullopt);
  EXPECT_EQ(fitness({"linux", "amd64", "v2"}, {"linux", "amd64", "v3"}), 1u);
  EXPECT_EQ(fitness({"linux", "amd64", ""}, {"linux", "amd64", "v3"}), 2u);
  EXPECT_EQ(fitness({"linux", "amd64", "rare"}, kAmd64), std::nullopt);
  EXPECT_EQ(fitness({"windows", "amd64", ""}, kAmd64), std::nullopt);
  EXPECT_EQ(fitness({"linux", "arm64", ""}, kAmd64), std::nullopt);
  EXPECT_EQ(fitness({"linux", "arm64", ""}, {"linux", "arm64", "v8"}), 0u);
  EXPECT_EQ(fitness({"linux", "aarch64", "v8"}, {"linux", "arm64", ""}), 0u);
  EXPECT_EQ(fitness({"linux", "arm64", "v9"}, {"linux", "arm64", "v8"}), std::nullopt);
  EXPECT_EQ(fitness({"linux", "arm", "v6"}, {"linux", "arm", "v7"}), 1u);
  EXPECT_EQ(fitness({"linux", "arm", "v8"}, {"linux", "arm", "v7"}), std::nullopt);
  EXPECT_EQ(fitness({"linux", "mips64le", "r6"}, {"linux", "mips64le", "r6"}), 0u);
  EXPECT_EQ(fitness({"linux", "mips64le", ""}, {"linux", "mips64le", "r6"}), 1u);
  EXPECT_EQ(fitness({"linux", "mips64le", "r5"}, {"linux", "mips64le", "r6"}), std::nullopt);
  EXPECT_EQ(to_text(Platform{"linux", "arm", "v7"}), "linux/arm/v7");
  EXPECT_EQ(fitness(host_platform(), host_platform()), 0u);
}

TEST(Platform, the_best_entry_of_an_index_is_chosen) {
  const ImageIndex index = index_of(
      index_json({descriptor(kOciManifest, '0'), descriptor(kOciManifest, '1', platform("linux", "arm64", "v8")),
                  descriptor(kOciManifest, '2', platform("linux", "amd64", "v3")),
                  descriptor(kOciManifest, '3', platform("linux", "amd64")), descriptor(kOciManifest, '4', platform("linux", "amd64"))}));
  const auto chosen = [&](const Platform& wanted) { return choose_manifest(index, wanted).value_or(Descriptor()).digest; };
  EXPECT_EQ(chosen(kAmd64), digest_of('3'));
  EXPECT_EQ(chosen({"linux", "amd64", "v4"}), digest_of('2'));
  EXPECT_EQ(chosen({"linux", "arm64", "v8"}), digest_of('1'));
  EXPECT_EQ(chosen({"linux", "s390x", ""}), digest_of('0')) << "what has no platform stands in";
}

TEST(Platform, what_there_is_instead_is_listed) {
  const ImageIndex index = index_of(index_json({descriptor(kOciManifest, '1', platform("linux", "arm64", "v8")),
                                                descriptor(kOciManifest, '2', platform("windows", "amd64")),
                                                descriptor(kOciManifest, '3', platform("unknown", "unknown")),
                                                descriptor("application/octet-stream", '4', platform("linux", "amd64"))}));
  EXPECT_EQ(mistake(choose_manifest(index, kAmd64), ErrorCode::not_found),
            "the image is not there for linux/amd64; what there is: linux/arm64/v8, windows/amd64");
  EXPECT_SAYS(mistake(choose_manifest(ImageIndex(), kAmd64), ErrorCode::not_found), "nothing that could be run");
  ImageIndex hostile;
  for (int i = 0; i < 1000; ++i)
    hostile.manifests.push_back({kOciManifest, digest_of('1'), 1, Platform{"\x1b[31m", std::to_string(i), "\n"}, ""});
  EXPECT_SAYS(mistake(choose_manifest(hostile, kAmd64), ErrorCode::not_found), "and 980 more");
}

// --- manifests
// -------------------------------------------------------------------------------------------------------------------------------

TEST(Manifest, oci_and_docker_manifests_are_read) {
  Json json = manifest_json();
  json["layers"] = {descriptor(kOciLayer, '1'), descriptor(std::string(kOciLayer) + "+gzip", '2'),
                    descriptor(std::string(kOciLayer) + "+zstd", '3')};
  json["layers"][2]["size"] = 1ull << 53;
  json["annotations"] = {{"x", "y"}};
  const ImageManifest oci = image(json, kOciManifest);
  EXPECT_EQ(oci.config.digest, digest_of('c'));
  EXPECT_EQ(oci.config.media_type, kOciConfig);
  ASSERT_EQ(oci.layers.size(), 3u);
  EXPECT_EQ(oci.layers[0].compression, Compression::none);
  EXPECT_EQ(oci.layers[1].compression, Compression::gzip);
  EXPECT_EQ(oci.layers[2].compression, Compression::zstd);
  EXPECT_EQ(oci.layers[1].blob.digest, digest_of('2'));
  EXPECT_EQ(oci.layers[1].blob.size, 100u);
  EXPECT_EQ(oci.layers[2].blob.size, 1ull << 53);

  json["mediaType"] = kDockerManifest;
  json["config"]["mediaType"] = kDockerConfig;
  json["layers"] = {descriptor(kDockerLayer, '1'), descriptor(std::string(kDockerLayer) + ".gzip", '2'),
                    descriptor(std::string(kDockerLayer) + ".zstd", '3')};
  const ImageManifest docker = image(json);
  ASSERT_EQ(docker.layers.size(), 3u);
  EXPECT_EQ(docker.layers[0].compression, Compression::none);
  EXPECT_EQ(docker.layers[1].compression, Compression::gzip);
  EXPECT_EQ(docker.layers[2].compression, Compression::zstd);

  json["layers"] = Json::array();
  EXPECT_TRUE(image(json).layers.empty());
}

TEST(Manifest, indexes_and_lists_are_read) {
  Json entry = descriptor(kOciManifest, '1', platform("linux", "arm", "v7"));
  entry["annotations"] = {{"org.opencontainers.image.ref.name", "v1.0"}};
  const ImageIndex index = index_of(index_json({entry, descriptor("text/plain", '2')}), kOciIndex);
  ASSERT_EQ(index.manifests.size(), 2u);
  EXPECT_EQ(index.manifests[0].name, "v1.0");
  EXPECT_EQ(index.manifests[0].platform, (Platform{"linux", "arm", "v7"}));
  EXPECT_EQ(index.manifests[1].platform, std::nullopt);
  Json list = index_json({descriptor(kDockerManifest, '1', platform("linux", "amd64"))});
  list["mediaType"] = kDockerList;
  EXPECT_EQ(index_of(list).manifests.size(), 1u);
  EXPECT_TRUE(index_of(index_json({})).manifests.empty());
}

TEST(Manifest, missing_fields_and_wrong_types_are_one_clear_line) {
  for (const char* field : {"schemaVersion", "config", "layers"}) {
    Json json = manifest_json();
    json.erase(field);
    EXPECT_BAD_MANIFEST(json, fmt::format("'{}' is missing", field));
    json[field] = "text";
    EXPECT_BAD_MANIFEST(json,
                        std::string(field) == "config" ? "the config of the image manifest is no JSON object" : "the image manifest: '");
  }
  for (const char* field : {"mediaType", "digest", "size"}) {
    Json json = manifest_json();
    json["layers"][1].erase(field);
    EXPECT_BAD_MANIFEST(json, fmt::format("layer 2 of the image manifest: '{}' is missing", field));
    json["layers"][1][field] = Json::array();
    EXPECT_BAD_MANIFEST(json, fmt::format("layer 2 of the image manifest: '{}' is no ", field));
    json["layers"][1][field] = nullptr;
    EXPECT_BAD_MANIFEST(json, "is missing");
  }
  Json json = manifest_json();
  json["layers"] = Json::object();
  EXPECT_BAD_MANIFEST(json, "'layers' is no list");
  json["layers"] = Json::array({1});
  EXPECT_BAD_MANIFEST(json, "layer 1 of the image manifest is no JSON object");
  json = manifest_json();
  json["mediaType"] = 7;
  EXPECT_BAD_MANIFEST(json, "'mediaType' is no text");
  json = manifest_json();
  json["config"]["mediaType"] = "";
  EXPECT_BAD_MANIFEST(json, "'mediaType' is empty");
  json["config"]["mediaType"] = std::string("a\0b", 3);
  EXPECT_BAD_MANIFEST(json, "'mediaType' has a NUL byte");

  EXPECT_SAYS(mistake(parse_manifest(R"({"schemaVersion": 2})", kOciIndex)), "the image index: 'manifests' is missing");
  json = index_json({descriptor(kOciManifest, '1', platform("linux", "amd64"))});
  json["manifests"][0]["platform"].erase("os");
  EXPECT_BAD_MANIFEST(json, "the platform of manifest 1 of the image index: 'os' is missing");
  json["manifests"][0]["platform"] = "linux/amd64";
  EXPECT_BAD_MANIFEST(json, "the platform of manifest 1 of the image index is no JSON object");
  json["manifests"][0].erase("platform");
  json["manifests"][0]["annotations"] = {{"org.opencontainers.image.ref.name", 1}};
  EXPECT_BAD_MANIFEST(json, "the annotations of manifest 1 of the image index: 'org.opencontainers.image.ref.name' is no text");
  json["manifests"] = "x";
  EXPECT_BAD_MANIFEST(json, "'manifests' is no list");
  json["manifests"] = Json::array();
  for (int i = 0; i < 4097; ++i) json["manifests"].push_back(descriptor(kOciManifest, '1'));
  EXPECT_BAD_MANIFEST(json, "4097 manifests are named; at most 4096");
}

TEST(Manifest, sizes_are_whole_numbers_up_to_2_to_the_53) {
  Json json = manifest_json();
  const auto with_size = [&](Json size) {
    json["layers"][0]["size"] = std::move(size);
    return mistake(parse_manifest(json.dump(), ""));
  };
  EXPECT_SAYS(with_size(-1), "layer 1 of the image manifest: 'size' is negative");
  EXPECT_SAYS(with_size(-1e300), "is negative");
  EXPECT_SAYS(with_size((1ull << 53) + 1), "'size' is larger than 2^53");
  EXPECT_SAYS(with_size(~0ull), "is larger than 2^53");
  EXPECT_SAYS(with_size(1e300), "is larger than 2^53");
  EXPECT_SAYS(with_size(1.5), "is no whole number");
  EXPECT_SAYS(with_size("100"), "'size' is no number");
  EXPECT_SAYS(with_size(true), "'size' is no number");
}

TEST(Manifest, digests_are_sha256_and_whole) {
  Json json = manifest_json();
  json["layers"][0]["digest"] = "sha256:abc";
  EXPECT_BAD_MANIFEST(json, "layer 1 of the image manifest: the digest 'sha256:abc' has 3 hex digits instead of 64");
  json["layers"][0]["digest"] = "sha256:../../../../../../../../../../../../../../../../../etc/passwd/////";
  EXPECT_BAD_MANIFEST(json, "the digest");
  json["layers"][0]["digest"] = "sha512:" + std::string(128, 'a');
  EXPECT_UNSUPPORTED(json, "is not SHA-256");
}

TEST(Manifest, schema_1_is_refused_by_name) {
  EXPECT_UNSUPPORTED(Json({{"schemaVersion", 1}, {"fsLayers", Json::array()}}), "schema 1");
  EXPECT_UNSUPPORTED(Json({{"mediaType", "application/vnd.docker.distribution.manifest.v1+json"}}), "schema 1");
  EXPECT_SAYS(mistake(parse_manifest("{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"), ErrorCode::not_supported),
              "schema 1");
  EXPECT_UNSUPPORTED(Json({{"schemaVersion", 3}}), "schemaVersion 3; casemate reads 2");
}

TEST(Manifest, layers_that_can_not_be_unpacked_are_refused_in_one_line) {
  Json json = manifest_json();
  const auto with_layer = [&](const std::string& type) {
    json["layers"][1]["mediaType"] = type;
    return mistake(parse_manifest(json.dump(), ""), ErrorCode::not_supported);
  };
  for (const char* type :
       {"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"})
    EXPECT_SAYS(with_layer(type), "layer 2 of the image manifest is a foreign one");
  EXPECT_SAYS(with_layer(std::string(kOciLayer) + "+gzip+encrypted"), "is encrypted");
  EXPECT_SAYS(with_layer("application/x-squash\n"), "is 'application/x-squash\\n', which is none of tar, tar+gzip and tar+zstd");
  json["layers"] = Json::array();
  for (int i = 0; i < 151; ++i) json["layers"].push_back(descriptor(kOciLayer, '1'));
  EXPECT_UNSUPPORTED(json, "151 layers; at most 150 are taken");
  json = manifest_json();
  json["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json";
  EXPECT_UNSUPPORTED(json, "this is no image but something else");
}

TEST(Manifest, a_document_is_what_it_was_called_and_only_that) {
  Json json = manifest_json();
  json["mediaType"] = kOciManifest;
  EXPECT_SAYS(mistake(parse_manifest(json.dump(), kOciIndex)),
              "calls itself 'application/vnd.oci.image.manifest.v1+json' but was named as");
  EXPECT_SAYS(mistake(parse_manifest(manifest_json().dump(), kOciIndex)), "it has 'layers'");
  EXPECT_SAYS(mistake(parse_manifest(index_json({}).dump(), kOciManifest)), "it has 'manifests'");
  json = manifest_json();
  json["manifests"] = Json::array();
  EXPECT_BAD_MANIFEST(json, "CVE-2021-41190");
  json = manifest_json();
  json["fsLayers"] = Json::array();
  EXPECT_BAD_MANIFEST(json, "it has 'fsLayers'");
  EXPECT_SAYS(mistake(parse_manifest(manifest_json().dump(), "text/html"), ErrorCode::not_supported),
              "'text/html' is no media type of an image");
  EXPECT_TRUE(is_manifest_type(kDockerList));
  EXPECT_FALSE(is_manifest_type(kOciConfig));
}

// --- configs
// ---------------------------------------------------------------------------------------------------------------------------------

TEST(ImageConfig, says_what_the_image_wants_to_be_run_as) {
  Json json = config_json();
  json["variant"] = "v1";
  json["config"] = {{"Env", {"PATH=/bin", "EMPTY=", "A=b=c"}},
                    {"WorkingDir", "/w"},
                    {"Entrypoint", {"/bin/sh", "-c"}},
                    {"Cmd", {"echo ü"}},
                    {"User", "1000:1000"},
                    {"Labels", {{"a", "b"}}}};
  const auto config = parse_image_config(json.dump(), 2);
  ASSERT_TRUE(config) << config.error().what;
  EXPECT_EQ(config->platform, (Platform{"linux", "amd64", "v1"}));
  EXPECT_EQ(config->env, (std::vector<std::string>{"PATH=/bin", "EMPTY=", "A=b=c"}));
  EXPECT_EQ(config->working_dir, "/w");
  EXPECT_EQ(config->entrypoint, (std::vector<std::string>{"/bin/sh", "-c"}));
  EXPECT_EQ(config->cmd, (std::vector<std::string>{"echo ü"}));
  EXPECT_EQ(config->user, "1000:1000");
  EXPECT_EQ(config->diff_ids, (std::vector<std::string>{digest_of('1'), digest_of('2')}));
}

TEST(ImageConfig, what_is_not_said_is_empty) {
  Json json = config_json();
  EXPECT_TRUE(parse_image_config(json.dump(), 2));
  json["config"] = nullptr;
  EXPECT_TRUE(parse_image_config(json.dump(), 2));
  json["config"] = {{"Env", nullptr}, {"Cmd", nullptr}, {"Entrypoint", nullptr}, {"WorkingDir", ""}};
  const auto config = parse_image_config(json.dump(), 2);
  ASSERT_TRUE(config) << config.error().what;
  EXPECT_TRUE(config->env.empty() && config->cmd.empty() && config->entrypoint.empty());
  EXPECT_EQ(config->working_dir + config->user, "");
  json["rootfs"]["diff_ids"] = nullptr;
  EXPECT_TRUE(parse_image_config(json.dump(), 0));
}

TEST(ImageConfig, is_read_as_docker_reads_it) {
  Json json = config_json();
  json["config"] = {{"Cmd", "one word"}, {"WorkingDir", "relative"}};
  const auto config = parse_image_config(json.dump(), 2);
  ASSERT_TRUE(config) << config.error().what;
  EXPECT_EQ(config->cmd, (std::vector<std::string>{"one word"}));
  EXPECT_EQ(config->working_dir, "/relative");
}

TEST(ImageConfig, mistakes_are_one_clear_line) {
  for (const char* field : {"os", "architecture", "rootfs"}) {
    Json json = config_json();
    json.erase(field);
    EXPECT_BAD_CONFIG(json, fmt::format("the image config: '{}' is missing", field));
    json[field] = 1;
    EXPECT_BAD_CONFIG(json, "image config");
  }
  const auto with = [](const char* field, Json value) {
    Json json = config_json();
    json["config"] = {{field, std::move(value)}};
    return json;
  };
  EXPECT_BAD_CONFIG(with("Env", "A=b"), "'Env' is no list");
  EXPECT_BAD_CONFIG(with("Env", Json::array({"A=b", 1})), "entry 2 of 'Env' is no text");
  EXPECT_BAD_CONFIG(with("Env", Json::array({"A\n"})), "'A\\n' in 'Env' is not NAME=VALUE");
  EXPECT_BAD_CONFIG(with("Env", Json::array({"=b"})), "is not NAME=VALUE");
  EXPECT_BAD_CONFIG(with("Env", Json::array({std::string("A=\0", 3)})), "entry 1 of 'Env' has a NUL byte");
  EXPECT_BAD_CONFIG(with("Cmd", Json::object()), "'Cmd' is no list");
  EXPECT_BAD_CONFIG(with("Entrypoint", 1), "'Entrypoint' is no list");
  EXPECT_BAD_CONFIG(with("WorkingDir", Json::array()), "'WorkingDir' is no text");
  EXPECT_BAD_CONFIG(with("User", 0), "'User' is no text");
  EXPECT_BAD_CONFIG(with("User", std::string("\0", 1)), "'User' has a NUL byte");
  Json json = config_json();
  json["config"] = Json::array();
  EXPECT_BAD_CONFIG(json, "'config' of the image config is no JSON object");
}

TEST(ImageConfig, there_is_a_diff_id_for_each_layer) {
  EXPECT_SAYS(mistake(parse_image_config(config_json().dump(), 3)), "it has 2 diff_ids, but the manifest has 3 layers");
  EXPECT_SAYS(mistake(parse_image_config(config_json().dump(), 0)), "has 0 layers");
  Json json = config_json();
  json["rootfs"]["diff_ids"][1] = "sha256:x";
  EXPECT_BAD_CONFIG(json, "'diff_ids' of the image config: the digest 'sha256:x' has 1 hex digits");
  json["rootfs"]["type"] = "squash";
  EXPECT_SAYS(mistake(parse_image_config(json.dump(), 2), ErrorCode::not_supported), "of type 'squash'");
}

// --- from an index to a config
// ---------------------------------------------------------------------------------------------------------------

// Blobs by digest. What a registry that lies might give: nothing here checks digests.
struct Blobs {
  std::map<std::string, std::string> bytes;

  void put(char digit, const Json& json) { bytes[digest_of(digit)] = json.dump(); }
  [[nodiscard]] ReadBlob reader() const {
    return [this](const Descriptor& wanted) -> Result<std::string> {
      const auto found = bytes.find(wanted.digest);
      if (found == bytes.end()) return fail(ErrorCode::not_found, "no blob " + wanted.digest);
      return found->second;
    };
  }
};

Descriptor start(const char* type, char digit) { return {type, digest_of(digit), 1, std::nullopt, ""}; }

TEST(Resolve, follows_nested_indexes_to_the_manifest) {
  Blobs blobs;
  for (char digit = '1'; digit <= '3'; ++digit) blobs.put(digit, index_json({descriptor(kOciIndex, static_cast<char>(digit + 1))}));
  blobs.put('4', index_json({descriptor(kOciManifest, '9', platform("linux", "arm64")),
                             descriptor(kOciManifest, '5', platform("linux", "amd64"))}));
  blobs.put('5', manifest_json());
  blobs.put('c', config_json());
  const auto resolved = resolve_manifest(start(kOciIndex, '1'), kAmd64, blobs.reader());
  ASSERT_TRUE(resolved) << resolved.error().what;
  EXPECT_EQ(resolved->descriptor.digest, digest_of('5'));
  EXPECT_EQ(resolved->manifest.layers.size(), 2u);
  EXPECT_TRUE(read_image_config(resolved->manifest, kAmd64, blobs.reader()));

  blobs.put('0', index_json({descriptor(kOciIndex, '1')}));
  EXPECT_SAYS(mistake(resolve_manifest(start(kOciIndex, '0'), kAmd64, blobs.reader()), ErrorCode::refused),
              "nests indexes more than 4 deep");
}

TEST(Resolve, an_index_that_names_itself_is_refused) {
  Blobs blobs;
  blobs.put('1', index_json({descriptor(kOciIndex, '1')}));
  EXPECT_SAYS(mistake(resolve_manifest(start(kOciIndex, '1'), kAmd64, blobs.reader()), ErrorCode::refused), "names itself");
  blobs.put('1', index_json({descriptor(kOciIndex, '2')}));
  blobs.put('2', index_json({descriptor(kOciIndex, '1')}));
  EXPECT_SAYS(mistake(resolve_manifest(start(kOciIndex, '1'), kAmd64, blobs.reader()), ErrorCode::refused), "names itself");
}

TEST(Resolve, errors_name_the_document) {
  Blobs blobs;
  blobs.put('1', index_json({descriptor(kOciManifest, '2', platform("linux", "amd64"))}));
  EXPECT_SAYS(mistake(resolve_manifest(start(kOciIndex, '1'), kAmd64, blobs.reader()), ErrorCode::not_found), digest_of('2'));
  blobs.bytes[digest_of('2')] = "{";
  EXPECT_SAYS(mistake(resolve_manifest(start(kOciIndex, '1'), kAmd64, blobs.reader())), digest_of('2'));
  blobs.put('1', index_json({descriptor("application/vnd.docker.distribution.manifest.v1+json", '2', platform("linux", "amd64"))}));
  blobs.put('2', {{"schemaVersion", 1}});
  EXPECT_SAYS(mistake(resolve_manifest(start(kOciIndex, '1'), kAmd64, blobs.reader()), ErrorCode::not_supported), "schema 1");
  blobs.bytes[digest_of('c')] = "[]";
  EXPECT_SAYS(mistake(read_image_config(image(manifest_json()), kAmd64, blobs.reader())), digest_of('c'));
}

TEST(Resolve, a_config_for_another_platform_is_refused) {
  Blobs blobs;
  Json json = config_json();
  json["architecture"] = "arm64";
  blobs.put('c', json);
  EXPECT_SAYS(mistake(read_image_config(image(manifest_json()), kAmd64, blobs.reader()), ErrorCode::not_found),
              "is for 'linux/arm64', not for linux/amd64");
  json["architecture"] = "amd64";
  json["variant"] = "v3";
  blobs.put('c', json);
  EXPECT_TRUE(read_image_config(image(manifest_json()), kAmd64, blobs.reader()));
}

}  // namespace
}  // namespace casemate
