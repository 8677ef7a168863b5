#include "image/manifest.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "image/document.h"
#include "image/reference.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostManifests = 4096;
constexpr std::size_t kListedPlatforms = 20;

constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";

struct LayerType {
  std::string_view media_type;
  Compression compression;
};
constexpr std::array<LayerType, 6> kLayerTypes = {{
    {"application/vnd.oci.image.layer.v1.tar", Compression::none},
    {"application/vnd.oci.image.layer.v1.tar+gzip", Compression::gzip},
    {"application/vnd.oci.image.layer.v1.tar+zstd", Compression::zstd},
    {"application/vnd.docker.image.rootfs.diff.tar", Compression::none},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::gzip},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", Compression::zstd},
}};

bool is_index_type(std::string_view type) { return type == kOciIndex || type == kDockerList; }
bool is_image_type(std::string_view type) { return type == kOciManifest || type == kDockerManifest; }
bool is_schema_1(std::string_view type) {
  return type == "application/vnd.docker.distribution.manifest.v1+json" ||
         type == "application/vnd.docker.distribution.manifest.v1+prettyjws";
}

std::unexpected<Error> unsupported(std::string what) { return fail(ErrorCode::not_supported, std::move(what)); }
std::unexpected<Error> schema_1() {
  return unsupported(
      "the image manifest is docker's schema 1, which has no digests of its contents: push the image again with a current docker");
}

Result<Platform> read_platform(const Json& value, const std::string& where) {
  TRY_ASSIGN(const Fields fields, Fields::of(value, where));
  Platform platform;
  TRY_ASSIGN(platform.os, fields.text("os"));
  TRY_ASSIGN(platform.architecture, fields.text("architecture"));
  TRY_ASSIGN(platform.variant, fields.optional_text("variant"));
  return platform;
}

Result<Descriptor> read_descriptor(const Json& value, const std::string& where) {
  TRY_ASSIGN(const Fields fields, Fields::of(value, where));
  Descriptor descriptor;
  TRY_ASSIGN(descriptor.media_type, fields.text("mediaType"));
  if (descriptor.media_type.empty()) return fields.wrong("'mediaType' is empty");
  TRY_ASSIGN(descriptor.digest, fields.text("digest"));
  if (const auto right = check_digest(descriptor.digest); !right) {
    return fail(right.error().code, fmt::format("{}: {}", where, right.error().what));
  }
  TRY_ASSIGN(descriptor.size, fields.number("size"));
  if (const Json* platform = fields.find("platform")) {
    TRY_ASSIGN(descriptor.platform, read_platform(*platform, fmt::format("the platform of {}", where)));
  }
  TRY_ASSIGN(const Fields annotations, fields.object("annotations", fmt::format("the annotations of {}", where)));
  TRY_ASSIGN(descriptor.name, annotations.optional_text("org.opencontainers.image.ref.name"));
  return descriptor;
}

// The tar in a layer's blob, or why casemate has no use for it.
Result<Compression> compression_of(const std::string& media_type, const std::string& where) {
  for (const LayerType& type : kLayerTypes) {
    if (type.media_type == media_type) return type.compression;
  }
  const auto has = [&](std::string_view part) { return media_type.find(part) != std::string::npos; };
  if (has(".layer.nondistributable.") || has(".rootfs.foreign.")) {
    return unsupported(fmt::format("{} is a foreign one, {}, which is not kept with the image", where, in_quotes(media_type)));
  }
  if (has("+encrypted")) return unsupported(fmt::format("{} is encrypted, {}", where, in_quotes(media_type)));
  return unsupported(fmt::format("{} is {}, which is none of tar, tar+gzip and tar+zstd", where, in_quotes(media_type)));
}

Result<ImageIndex> read_index(const Fields& fields) {
  TRY_ASSIGN(const Json* list, fields.optional_list("manifests"));
  if (!list) return fields.wrong("'manifests' is missing");
  if (list->size() > kMostManifests)
    return fields.wrong(fmt::format("{} manifests are named; at most {} are read", list->size(), kMostManifests));
  ImageIndex index;
  index.manifests.reserve(list->size());
  for (const Json& entry : *list) {
    TRY_ASSIGN(Descriptor descriptor, read_descriptor(entry, fmt::format("manifest {} of the image index", index.manifests.size() + 1)));
    index.manifests.push_back(std::move(descriptor));
  }
  return index;
}

Result<ImageManifest> read_image(const Fields& fields) {
  ImageManifest manifest;
  const Json* config = fields.find("config");
  if (!config) return fields.wrong("'config' is missing");
  TRY_ASSIGN(manifest.config, read_descriptor(*config, "the config of the image manifest"));
  if (manifest.config.media_type != kOciConfig && manifest.config.media_type != kDockerConfig) {
    return unsupported(
        fmt::format("this is no image but something else kept like one: its config is {}", in_quotes(manifest.config.media_type)));
  }
  TRY_ASSIGN(const Json* layers, fields.optional_list("layers"));
  if (!layers) return fields.wrong("'layers' is missing");
  if (layers->size() > kMostLayers) {
    return unsupported(fmt::format("the image has {} layers; at most {} are taken", layers->size(), kMostLayers));
  }
  manifest.layers.reserve(layers->size());
  for (const Json& entry : *layers) {
    const std::string where = fmt::format("layer {} of the image manifest", manifest.layers.size() + 1);
    LayerDescriptor layer;
    TRY_ASSIGN(layer.blob, read_descriptor(entry, where));
    TRY_ASSIGN(layer.compression, compression_of(layer.blob.media_type, where));
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

// What kind of document this is: what it calls itself, else what it was called, else what it looks like.
Result<std::string> type_of(const Fields& fields, std::string_view called) {
  TRY_ASSIGN(std::string own, fields.optional_text("mediaType"));
  if (is_schema_1(own) || is_schema_1(called)) return schema_1();
  TRY_ASSIGN(const std::uint64_t schema, fields.number("schemaVersion"));
  if (schema == 1) return schema_1();
  if (schema != 2) return unsupported(fmt::format("the image manifest has schemaVersion {}; casemate reads 2", schema));
  if (!own.empty() && !called.empty() && own != called) {
    return fields.wrong(fmt::format("it calls itself {} but was named as {}", in_quotes(own), in_quotes(called)));
  }
  if (own.empty()) own = called;
  if (own.empty()) own = fields.has("manifests") ? kOciIndex : kOciManifest;
  return own;
}

// The names of `wanted`'s architecture as manifests spell it.
std::string_view usual_name(std::string_view architecture) {
  if (architecture == "x86_64" || architecture == "x86-64") return "amd64";
  if (architecture == "aarch64") return "arm64";
  return architecture;
}

// The N of variant "vN"; `plain` for "", nullopt for anything else.
std::optional<unsigned> version_of(std::string_view variant, unsigned plain) {
  if (variant.empty()) return plain;
  if (variant.size() != 2 || variant[0] != 'v' || variant[1] < '1' || variant[1] > '9') return std::nullopt;
  return static_cast<unsigned>(variant[1] - '0');
}

std::string platforms_of(const ImageIndex& index) {
  std::vector<std::string> names;
  for (const Descriptor& manifest : index.manifests) {
    // "unknown" is how BuildKit marks its attestations, which nobody can run.
    if (!manifest.platform || manifest.platform->os == "unknown" || !is_manifest_type(manifest.media_type)) continue;
    std::string name = to_text(*manifest.platform);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  if (names.empty()) return "nothing that could be run";
  const std::size_t more = names.size() > kListedPlatforms ? names.size() - kListedPlatforms : 0;
  names.resize(names.size() - more);
  for (std::string& name : names) {
    if (const std::string safe = in_quotes(name); safe != "'" + name + "'" || name.find(' ') != std::string::npos) name = safe;
  }
  return fmt::format("{}{}", fmt::join(names, ", "), more ? fmt::format(" and {} more", more) : "");
}

// An argument list; docker also wrote, and reads, one word alone.
Result<std::vector<std::string>> read_arguments(const Fields& fields, const char* name) {
  const Json* field = fields.find(name);
  if (!field || !field->is_string()) return fields.texts(name);
  TRY_ASSIGN(std::string word, fields.text(name));
  return std::vector<std::string>{std::move(word)};
}

Result<void> check_env(const Fields& fields, const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    if (entry.find('=') == std::string::npos || entry.starts_with('='))
      return fields.wrong(fmt::format("{} in 'Env' is not NAME=VALUE", in_quotes(entry)));
  }
  return {};
}

Result<std::vector<std::string>> read_diff_ids(const Fields& document, std::size_t layers) {
  if (!document.has("rootfs")) return document.wrong("'rootfs' is missing");
  TRY_ASSIGN(const Fields rootfs, document.object("rootfs", "'rootfs' of the image config"));
  TRY_ASSIGN(const std::string type, rootfs.text("type"));
  if (type != "layers")
    return unsupported(fmt::format("'rootfs' of the image config is of type {}; casemate reads 'layers'", in_quotes(type)));
  TRY_ASSIGN(std::vector<std::string> diff_ids, rootfs.texts("diff_ids"));
  if (diff_ids.size() != layers) {
    return rootfs.wrong(fmt::format("it has {} diff_ids, but the manifest has {} layers", diff_ids.size(), layers));
  }
  for (const std::string& diff_id : diff_ids) {
    if (const auto right = check_digest(diff_id); !right) {
      return fail(right.error().code, fmt::format("'diff_ids' of the image config: {}", right.error().what));
    }
  }
  return diff_ids;
}

// The same error, which names the document too.
std::unexpected<Error> in_document(const std::string& digest, const Error& error) {
  return fail(error.code, fmt::format("{} ({})", error.what, digest), error.errno_value, error.where);
}

}  // namespace

Platform host_platform() {
#if defined(__x86_64__)
  return {"linux", "amd64", ""};
#elif defined(__aarch64__)
  return {"linux", "arm64", "v8"};
#elif defined(__arm__)
  return {"linux", "arm", "v7"};
#elif defined(__i386__)
  return {"linux", "386", ""};
#elif defined(__riscv)
  return {"linux", "riscv64", ""};
#elif defined(__powerpc64__)
  return {"linux", "ppc64le", ""};
#elif defined(__s390x__)
  return {"linux", "s390x", ""};
#else
#error "name this architecture as Go does"
#endif
}

std::string to_text(const Platform& platform) {
  return fmt::format("{}/{}{}{}", platform.os, platform.architecture, platform.variant.empty() ? "" : "/", platform.variant);
}

std::optional<unsigned> fitness(const Platform& offered, const Platform& wanted) {
  const std::string_view architecture = usual_name(offered.architecture);
  if (offered.os != wanted.os || architecture != usual_name(wanted.architecture)) return std::nullopt;
  if (architecture == "amd64" || architecture == "arm64" || architecture == "arm") {
    const unsigned plain = architecture == "amd64" ? 1 : architecture == "arm64" ? 8 : 5;
    const auto has = version_of(offered.variant, plain);
    const auto most = version_of(wanted.variant, architecture == "arm" ? 7 : plain);
    if (!has || !most || *has > *most || *has < plain) return std::nullopt;
    return *most - *has;
  }
  if (offered.variant == wanted.variant) return 0;
  return offered.variant.empty() ? std::optional<unsigned>(1) : std::nullopt;
}

bool is_manifest_type(std::string_view media_type) { return is_index_type(media_type) || is_image_type(media_type); }

Result<ManifestDocument> parse_manifest(std::string_view bytes, std::string_view media_type) {
  const char* const what = is_index_type(media_type) ? "the image index" : "the image manifest";
  TRY_ASSIGN(const Json json, parse_document(bytes, what));
  TRY_ASSIGN(const Fields fields, Fields::of(json, what));
  TRY_ASSIGN(const std::string type, type_of(fields, media_type));
  const bool index = is_index_type(type);
  if (!index && !is_image_type(type)) return unsupported(fmt::format("{} is no media type of an image", in_quotes(type)));
  for (const char* foreign : {index ? "layers" : "manifests", index ? "config" : "fsLayers", "fsLayers"}) {
    if (fields.has(foreign)) return fields.wrong(fmt::format("it has '{}', which {} has not (CVE-2021-41190)", foreign, in_quotes(type)));
  }
  if (index) return read_index(fields);
  return read_image(fields);
}

Result<ImageConfig> parse_image_config(std::string_view bytes, std::size_t layers) {
  TRY_ASSIGN(const Json json, parse_document(bytes, "the image config"));
  ImageConfig config;
  TRY_ASSIGN(config.platform, read_platform(json, "the image config"));
  TRY_ASSIGN(const Fields document, Fields::of(json, "the image config"));
  TRY_ASSIGN(config.diff_ids, read_diff_ids(document, layers));
  TRY_ASSIGN(const Fields run, document.object("config", "'config' of the image config"));
  TRY_ASSIGN(config.env, run.texts("Env"));
  TRY(check_env(run, config.env));
  TRY_ASSIGN(config.working_dir, run.optional_text("WorkingDir"));
  if (!config.working_dir.empty() && config.working_dir[0] != '/') config.working_dir.insert(0, 1, '/');
  TRY_ASSIGN(config.entrypoint, read_arguments(run, "Entrypoint"));
  TRY_ASSIGN(config.cmd, read_arguments(run, "Cmd"));
  TRY_ASSIGN(config.user, run.optional_text("User"));
  return config;
}

Result<Descriptor> choose_manifest(const ImageIndex& index, const Platform& wanted) {
  const Descriptor* best = nullptr;
  unsigned best_fitness = 0;
  for (const Descriptor& manifest : index.manifests) {
    if (!is_manifest_type(manifest.media_type) && !is_schema_1(manifest.media_type)) continue;
    constexpr unsigned kLastResort = ~0u;
    const auto fits = manifest.platform ? fitness(*manifest.platform, wanted) : kLastResort;
    if (!fits || (best && *fits >= best_fitness)) continue;
    best = &manifest;
    best_fitness = *fits;
  }
  if (best) return *best;
  return fail(ErrorCode::not_found, fmt::format("the image is not there for {}; what there is: {}", to_text(wanted), platforms_of(index)));
}

Result<ResolvedManifest> resolve_manifest(const Descriptor& start, const Platform& wanted, const ReadBlob& read) {
  Descriptor at = start;
  std::vector<std::string> indexes;
  for (;;) {
    TRY_ASSIGN(const std::string bytes, read(at));
    auto document = parse_manifest(bytes, at.media_type);
    if (!document) return in_document(at.digest, document.error());
    if (auto* manifest = std::get_if<ImageManifest>(&*document)) return ResolvedManifest{std::move(at), std::move(*manifest)};
    if (indexes.size() == kDeepestIndex) {
      return fail(ErrorCode::refused, fmt::format("the image index {} nests indexes more than {} deep", indexes.front(), kDeepestIndex));
    }
    indexes.push_back(at.digest);
    TRY_ASSIGN(at, choose_manifest(std::get<ImageIndex>(*document), wanted));
    if (std::find(indexes.begin(), indexes.end(), at.digest) != indexes.end()) {
      return fail(ErrorCode::refused, fmt::format("the image index {} names itself", at.digest));
    }
  }
}

Result<ImageConfig> read_image_config(const ImageManifest& manifest, const Platform& wanted, const ReadBlob& read) {
  TRY_ASSIGN(const std::string bytes, read(manifest.config));
  auto config = parse_image_config(bytes, manifest.layers.size());
  if (!config) return in_document(manifest.config.digest, config.error());
  // Whoever named one image means it: a variant that this machine may lack is no reason to refuse.
  if (!fitness({config->platform.os, config->platform.architecture, wanted.variant}, wanted)) {
    return fail(ErrorCode::not_found,
                fmt::format("the image is for {}, not for {}", in_quotes(to_text(config->platform)), to_text(wanted)));
  }
  return config;
}

}  // namespace casemate
