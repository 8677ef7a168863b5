#include "image/project_layers.h"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/directories.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "image/brace_expansion.h"
#include "image/command_layer.h"
#include "image/environment_layer.h"
#include "image/file_index.h"
#include "image/file_layer.h"
#include "image/file_list.h"
#include "image/file_tree.h"
#include "image/unpack.h"

namespace casemate {
namespace {

constexpr std::size_t kMostSpecs = 200;  // a root takes 200 layers (check_job), the image's among them: more can't be right

std::string quoted(const std::string& text) { return fmt::format("'{}'", printable_line(text)); }

std::string first_of(const std::vector<std::string>& texts) {
  if (texts.empty()) return "(none)";
  return quoted(texts.front()) + (texts.size() > 1 ? ", ..." : "");
}

// What a person sees of a layer: "glob '**.py'".
struct Describe {
  std::string operator()(const GlobLayer& layer) const { return "glob " + quoted(layer.glob); }
  std::string operator()(const PathsLayer& layer) const { return "paths " + first_of(layer.paths); }
  std::string operator()(const TarLayer& layer) const { return "tar " + quoted(layer.path); }
  std::string operator()(const StubsLayer& layer) const { return "stubs " + first_of(layer.stubs); }
  std::string operator()(const SymlinksLayer& layer) const {
    return "symlinks " + (layer.symlinks.empty() ? "(none)" : quoted(layer.symlinks.front().link));
  }
  std::string operator()(const CommandLayer& layer) const { return "command " + quoted(join_shell_words(layer.argv)); }
  std::string operator()(const EnvironmentLayer& layer) const {
    return (layer.own_field ? "requirements " : "environment ") + quoted(layer.requirements);
  }
};

void append(std::string& text, std::string_view part) { text += fmt::format("{}:", part.size()).append(part); }

void append(std::string& text, const std::vector<std::string>& parts) {
  text += fmt::format("{}[", parts.size());
  for (const std::string& part : parts) append(text, part);
}

void append(std::string& text, const PrefixOptions& prefix) {
  append(text, prefix.strip_prefix);
  append(text, prefix.prepend_prefix);
  text += prefix.canonicalize ? 'c' : '-';
  text += prefix.follow_symlinks ? 'f' : '-';
}

// Makes one spec's layers and puts them over the root.
class SpecLayer {
 public:
  SpecLayer(Root& root, const LayerContext& context, std::string label) : root_(root), context_(context), label_(std::move(label)) {}

  Result<void> operator()(const GlobLayer& layer) {
    std::string identity = "glob ";
    append(identity, layer.glob);
    append(identity, layer.exclude);
    append(identity, layer.prefix);
    FileList list = new_list();
    TRY(list.add_glob(layer));
    return add_files(std::move(list), std::move(identity));
  }

  Result<void> operator()(const PathsLayer& layer) {
    std::string identity = "paths ";
    append(identity, layer.paths);
    append(identity, layer.prefix);
    FileList list = new_list();
    for (const std::string& path : layer.paths) TRY(list.add_path(path, layer.prefix));
    return add_files(std::move(list), std::move(identity));
  }

  Result<void> operator()(const StubsLayer& layer) {
    std::string identity = "stubs ";
    append(identity, layer.stubs);
    FileList list = new_list();
    for (const std::string& text : layer.stubs) {
      auto stubs = expand_braces(text, false);
      if (!stubs) return fail(stubs.error().code, fmt::format("{}: {}", label_, stubs.error().what));
      for (const std::string& stub : *stubs) TRY(list.add_stub(without_escapes(stub)));
    }
    return add_files(std::move(list), std::move(identity));
  }

  Result<void> operator()(const SymlinksLayer& layer) {
    std::string identity = "symlinks ";
    FileList list = new_list();
    for (const SymlinksLayer::Link& link : layer.symlinks) {
      append(identity, link.link);
      append(identity, link.target);
      TRY(list.add_symlink(link.link, link.target));
    }
    return add_files(std::move(list), std::move(identity));
  }

  Result<void> operator()(const TarLayer& layer) {
    const std::string path = layer.path.starts_with('/') ? layer.path : context_.project + "/" + layer.path;
    struct stat info{};
    if (::stat(path.c_str(), &info) < 0) return fail_tar(ErrorCode::not_found, path, std::strerror(errno));
    if (!S_ISREG(info.st_mode)) return fail_tar(ErrorCode::not_found, path, "is no file");
    TRY_ASSIGN(const std::string digest, digest_of_tar(path));
    const std::string key = sha256_hex(fmt::format("casemate tar layer 1\n{}\n", digest));
    const auto fill = [&](const std::string& directory) -> Result<void> {
      TRY_ASSIGN(const UniqueFd archive, open_file(path, O_RDONLY));
      TRY_ASSIGN(const UniqueFd target, open_file(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      auto unpacked = unpack_layer(archive.get(), target.get(), {.expected_digest = "sha256:" + digest});
      if (!unpacked) return fail_tar(unpacked.error().code, path, unpacked.error().what);
      if (unpacked->hides_all_below)
        return fail_tar(ErrorCode::refused, path, "it says that it hides all layers below it, which only an image's layer may");
      for (const std::string& note : unpacked->notes) root_.notes.push_back(fmt::format("{}: {}", label_, note));
      return {};
    };
    tell("unpacking it", [&] { return !context_.store.layer(key).value_or(std::nullopt); });
    TRY_ASSIGN(StoreLease lease, context_.store.make_layer(key, fmt::format("tar: {}", printable_line(path)), fill));
    add_layer(root_, std::move(lease), key);
    return {};
  }

  Result<void> operator()(const CommandLayer& layer) {
    TRY_ASSIGN(MadeLayer made, make_command_layer(root_, layer, context_, label_));
    add_layer(root_, std::move(made.lease), made.key);
    root_.notes.insert(root_.notes.end(), made.notes.begin(), made.notes.end());
    return {};
  }

  Result<void> operator()(const EnvironmentLayer& layer) {
    TRY_ASSIGN(MadeLayer made, make_environment_layer(root_, layer, context_, label_));
    add_layer(root_, std::move(made.lease), made.key);
    put_environment_first(root_);
    return {};
  }

 private:
  FileList new_list() const { return {context_.project, label_, {context_.store.directory(), state_directory()}}; }

  template <class When>
  void tell(std::string_view what, When when) const {
    if (context_.progress && when()) context_.progress(fmt::format("{}: {}", label_, what));
  }

  std::unexpected<Error> fail_tar(ErrorCode code, const std::string& path, std::string_view what) const {
    return fail(code, fmt::format("{}: {}: {}", label_, printable_line(path), what));
  }

  Result<void> add_files(FileList list, std::string identity) {
    identity += "in ";
    append(identity, context_.project);
    MergedRoot below(root_);
    TRY_ASSIGN(std::vector<ListedFile> files, std::move(list).finish(below));
    if (files.empty()) {
      tell("matches nothing; the layer is empty", [] { return true; });
      return {};
    }
    const FileLayerRequest request{.identity = std::move(identity),
                                   .label = label_,
                                   .description = fmt::format("project: {} of {}", label_.substr(label_.find(' ') + 1), context_.project),
                                   .on_host = root_.is_host()};
    TRY_ASSIGN(std::vector<MadeLayer> layers, make_file_layers(context_.store, std::move(files), below, request));
    for (MadeLayer& layer : layers) add_layer(root_, std::move(layer.lease), layer.key);
    return {};
  }

  Result<std::string> digest_of_tar(const std::string& path) const {
    ListedFile file{.path = "tar", .source = path};
    char real[PATH_MAX];
    if (::realpath(path.c_str(), real)) file.source = real;
    struct stat info{};
    if (::stat(file.source.c_str(), &info) == 0) file.stamp = stamp_of(info);
    FileIndex index(context_.store.directory(), "tar " + file.source);
    if (std::string known = index.digest_of(file.source, file.stamp); !known.empty()) return known;
    TRY_ASSIGN(const FileRead read, read_listed_file(file, label_));
    if (read.gone) return fail_tar(ErrorCode::not_found, path, "no such file");
    if (read.unchanged) {
      index.remember(file.source, read.stamp, read.digest);
      index.save({file});
    }
    return read.digest;
  }

  Root& root_;
  const LayerContext& context_;
  std::string label_;
};

}  // namespace

Result<void> add_layers(Root& root, const std::vector<LayerSpec>& specs, const LayerContext& context) {
  if (!context.project.starts_with('/'))
    return fail(ErrorCode::internal, fmt::format("layers: the project directory {} is not absolute", quoted(context.project)));
  if (specs.size() > kMostSpecs)
    return fail(ErrorCode::invalid_input, fmt::format("layers: {} of them; at most {} are taken", specs.size(), kMostSpecs));
  std::size_t counted = 0;
  for (const LayerSpec& spec : specs) {
    const auto* environment = std::get_if<EnvironmentLayer>(&spec);
    const std::string what = std::visit(Describe(), spec);
    const std::string label = environment && environment->own_field ? what : fmt::format("layers[{}]: {}", counted++, what);
    TRY(std::visit(SpecLayer(root, context, label), spec));
  }
  return {};
}

}  // namespace casemate
