#include "apps/image/image.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <set>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/image/showing.h"
#include "base/terminal.h"
#include "base/units.h"
#include "command/command_line.h"
#include "command/naming.h"
#include "command/pulling.h"
#include "image/catalogue.h"
#include "image/registry.h"
#include "image/skopeo.h"
#include "report/printing.h"
#include "report/pull_progress.h"
#include "report/table.h"
#include "store/store.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kProgram = "casemate image";
constexpr int kOk = 0, kNoSuchImage = 1;

constexpr const char* kFooter =
    R"(Images are named as skopeo names them: docker://NAME[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG],
docker-archive:FILE[:NAME:TAG], docker-daemon:NAME[:TAG]. dir:ROOTFS is used where it lies and needs no pull.

Examples:
  casemate image pull docker://python:3.11-slim
  casemate image pull --lock --update docker://debian:12
  casemate image pull --tls-verify=false docker://localhost:5000/tool:1
  casemate image list
  casemate image inspect --json docker://python:3.11-slim
  casemate image import oci:./layout docker://example.org/tool:1
  casemate image export docker://python:3.11-slim oci-archive:python.tar
  casemate image remove docker://python:3.11-slim
  casemate image prune --all

Exit codes: 0 fine, 1 no such image, 125 failure.)";

struct Options {
  bool json = false;
  bool quiet = false;
  Color color = Color::automatic;
  PullWords words;
  std::string policy = "always";
  bool update = false;
  bool all = false;
  std::string unused_for;
  std::vector<std::string> names;
  std::string source, target;
};

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

int status_of(const Error& error) { return error.code == ErrorCode::not_found ? kNoSuchImage : kOwnFailure; }

Json failed_json(const Error& error) { return {{"status", "error"}, {"message", to_utf8(error.what)}, {"exit_status", status_of(error)}}; }

// What failed, as an object on stdout or a line on stderr.
int refuse(const Error& error, const Options& options) {
  if (!options.json) return casemate::complain(kProgram, error.what, status_of(error));
  print_json(failed_json(error));
  return status_of(error);
}

// The same for one name of several, whose objects are printed together.
int refuse(const std::string& name, const Error& error, const Options& options, Json& all) {
  if (!options.json) return casemate::complain(kProgram, error.what, status_of(error));
  Json object = {{"name", to_utf8(name)}};
  object.update(failed_json(error));
  object["error"] = object["message"];
  all.push_back(std::move(object));
  return status_of(error);
}

// ---- pull

/// What one pull came to.
struct Pulled {
  ReadyImage ready;
  std::optional<std::string> pinned_before;
  bool pin_changed = false;
  std::string moved_to;  // what the tag names now, if that is not what the lock says
  std::vector<std::string> notes;
};

// The tag of an image with a pin is not what is got: whether it has moved the registry is asked apart. One that does not answer is no
// failure, for the image is there.
void note_moved_tag(const ImageReference& reference, const Pin& pin, const PullOptions& pull, Pulled& pulled) {
  if (!pin.before() || pull.policy != PullOptions::Policy::always) return;
  const auto skopeo = Skopeo::find(pull.access, pull.stall);
  const auto now = skopeo ? resolve_in_registry(*skopeo, reference, pull.platform) : Result<RegistryImage>(std::unexpected(skopeo.error()));
  if (!now) {
    pulled.notes.push_back(fmt::format("whether {} has moved can't be told: {}", to_text(reference), now.error().what));
  } else if (now->digest != *pin.before()) {
    pulled.moved_to = now->digest;
    pulled.notes.push_back(fmt::format("{} is now {}; the lock has {}, --update moves it", to_text(reference), now->digest, *pin.before()));
  }
}

Result<Pulled> pull_one(Store& store, const std::string& name, const Options& options, const PullOptions& pull, const TellPull& tell) {
  TRY_ASSIGN(const ImageReference reference, read_image_name(name));
  if (reference.kind == ImageReference::Kind::host || reference.kind == ImageReference::Kind::root_directory)
    return fail(ErrorCode::invalid_input, fmt::format("image {} is used where it is: there is nothing to pull", in_quotes(name)));
  Pin pin(reference);
  if (!options.words.lock.empty()) {
    TRY_ASSIGN(pin, Pin::read(options.words.lock, reference, options.update));
  }
  Pulled pulled;
  TRY_ASSIGN(pulled.ready, pull_image(store, pin.wanted(), pull, tell));
  pulled.pinned_before = pin.before();
  pulled.notes = pulled.ready.notes;
  if (!options.words.lock.empty() && reference.kind != ImageReference::Kind::registry)
    pulled.notes.push_back(fmt::format("{} can't be locked: only tags of registries can", to_text(reference)));
  if (options.update || !pin.before()) {
    TRY_ASSIGN(pulled.pin_changed, pin.keep(pulled.ready.image.digest));
  } else {
    note_moved_tag(reference, pin, pull, pulled);
  }
  return pulled;
}

Json pulled_json(const std::string& name, const Pulled& pulled, const Options& options) {
  const StoredImage& image = pulled.ready.image;
  Json json = {{"name", to_utf8(name)},
               {"image", to_utf8(to_text(image.reference))},
               {"digest", image.digest},
               {"manifest_digest", image.manifest_digest},
               {"platform", to_utf8(to_text(image.platform))},
               {"layers", image.layers.size()},
               {"compressed_bytes", blob_bytes(image)},
               {"cached", pulled.ready.cached},
               {"notes", Json::array()}};
  for (const std::string& note : pulled.notes) json["notes"].push_back(to_utf8(note));
  if (!options.words.lock.empty()) {
    json["lock"] = {{"file", to_utf8(options.words.lock)}, {"changed", pulled.pin_changed}, {"before", nullptr}, {"moved_to", nullptr}};
    if (!pulled.moved_to.empty()) json["lock"]["moved_to"] = pulled.moved_to;
    if (pulled.pinned_before) json["lock"]["before"] = *pulled.pinned_before;
  }
  return json;
}

// On stdout what a script wants, the name and its digest; on stderr what a person wants to know beside.
void tell_pulled(const std::string& name, const Pulled& pulled, const Options& options, std::chrono::microseconds took) {
  const StoredImage& image = pulled.ready.image;
  fmt::print("{} {}\n", printable_name(to_text(image.reference)), image.digest);
  if (options.quiet) return;
  say(fmt::format("{}: {} {}, {}; {} {}\n", printable_line(name), image.layers.size(), image.layers.size() == 1 ? "layer" : "layers",
                  format_bytes(blob_bytes(image)), pulled.ready.cached ? "nothing to fetch, looked at in" : "fetched and unpacked in",
                  format_duration(took)));
  for (const std::string& note : pulled.notes) say(fmt::format("{}: note: {}\n", kProgram, printable_line(note)));
  if (!pulled.pin_changed) return;
  if (pulled.pinned_before) {
    say(fmt::format("{}: {} moved from {} to {}\n", printable_line(options.words.lock), printable_line(name), *pulled.pinned_before,
                    image.digest));
  } else {
    say(fmt::format("{}: {} pinned to {}\n", printable_line(options.words.lock), printable_line(name), image.digest));
  }
}

int pull(Store& store, const Options& options) {
  const auto policy = parse_policy("--policy", options.policy);
  if (!policy) return refuse(policy.error(), options);
  const auto how = pull_options(options.words, *policy);
  if (!how) return refuse(how.error(), options);
  Json all = Json::array();
  int status = kOk;
  for (const std::string& name : options.names) {
    const auto start = std::chrono::steady_clock::now();
    PullDisplay display = PullDisplay::on_stderr(options.quiet || options.json, options.color);
    const auto pulled = pull_one(store, name, options, *how, display.teller());
    display.clear();
    if (!pulled) {
      status = std::max(status, refuse(name, pulled.error(), options, all));
    } else if (options.json) {
      all.push_back(pulled_json(name, *pulled, options));
    } else {
      tell_pulled(name, *pulled, options, std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start));
    }
  }
  if (options.json) print_json(all);
  return status;
}

// ---- list, inspect

int list(const Store& store, const Options& options) {
  const auto images = look_at_images(store);
  if (!images) return refuse(images.error(), options);
  if (options.json) {
    Json all = Json::array();
    for (const ShownImage& shown : *images) all.push_back(list_json(shown));
    print_json(all);
  } else if (options.quiet) {
    for (const ShownImage& shown : *images) fmt::print("{}\n", printable_name(to_text(shown.image.reference)));
  } else {
    fmt::print("{}", table_of(*images, std::time(nullptr), colored(options.color, STDOUT_FILENO)));
  }
  return kOk;
}

// Those that `name` means, one at least, for --platform if it was given.
Result<std::vector<StoredImage>> named(const Store& store, const std::string& name, const Options& options) {
  TRY_ASSIGN(const std::vector<StoredImage> all, list_images(store));
  TRY_ASSIGN(std::vector<StoredImage> found, images_named(all, name));
  if (!options.words.platform.empty()) {
    TRY_ASSIGN(const Platform platform, parse_platform(options.words.platform));
    std::erase_if(found, [&](const StoredImage& image) { return !fitness(image.platform, platform); });
  }
  if (!found.empty()) return found;
  return fail(ErrorCode::not_found, fmt::format("image {} is not in the store; 'casemate image list' shows what is, 'casemate image pull' "
                                                "gets it",
                                                in_quotes(name)));
}

int inspect(const Store& store, const Options& options) {
  int status = kOk;
  const auto layers = layers_by_key(store);
  if (!layers) return refuse(layers.error(), options);
  Json all = Json::array();
  bool first = true;
  for (const std::string& name : options.names) {
    const auto found = named(store, name, options);
    if (!found) {
      status = std::max(status, refuse(name, found.error(), options, all));
      continue;
    }
    for (const StoredImage& image : *found) {
      const ShownImage shown = look_at(image, *layers);
      if (options.json) {
        all.push_back(inspect_json(shown));
      } else {
        fmt::print("{}{}", first ? "" : "\n", inspect_text(shown));
      }
      first = false;
    }
  }
  if (options.json) print_json(all);
  return status;
}

// ---- remove, prune

// `failed` has an object for each name that meant nothing.
int tell_removed(const RemovedImages& removed, const std::vector<std::string>& notes, const Json& failed, const Options& options,
                 int status) {
  for (const std::string& note : notes) {
    if (!options.json) say(fmt::format("{}: note: {}\n", kProgram, printable_line(note)));
  }
  if (options.json) {
    Json object = {{"status", failed.empty() ? "success" : "error"}};
    if (!failed.empty()) object.update({{"message", failed[0]["message"]}, {"exit_status", status}, {"errors", failed}});
    object.update({{"images", removed.images}, {"layers", removed.layers}, {"freed_bytes", removed.bytes}});
    if (!notes.empty()) object["notes"] = notes;
    print_json(object);
  } else {
    fmt::print("removed {} {} and {} {}, freed {}\n", removed.images, removed.images == 1 ? "image" : "images", removed.layers,
               removed.layers == 1 ? "layer" : "layers", format_bytes(removed.bytes));
  }
  return status;
}

std::string identity(const StoredImage& image) {
  return fmt::format("{}\n{}\n{}", to_text(image.reference), image.manifest_digest, to_text(image.platform));
}

int remove(Store& store, const Options& options) {
  int status = kOk;
  Json failed = Json::array();
  std::set<std::string> unwanted;
  std::vector<std::string> notes;
  const auto layers = layers_by_key(store);
  if (!layers) return refuse(layers.error(), options);
  for (const std::string& name : options.names) {
    const auto found = named(store, name, options);
    if (!found) {
      status = std::max(status, refuse(name, found.error(), options, failed));
      continue;
    }
    for (const StoredImage& image : *found) {
      if (!unwanted.insert(identity(image)).second || !look_at(image, *layers).in_use) continue;
      notes.push_back(fmt::format("{} is in use: its layers stay while a job runs on them, 'casemate image prune' removes them then",
                                  to_utf8(to_text(image.reference))));
    }
  }
  if (unwanted.empty() && !options.json) return status;
  const auto removed = unwanted.empty()
                           ? Result<RemovedImages>(RemovedImages{})
                           : remove_images(store, [&](const StoredImage& image) { return unwanted.contains(identity(image)); });
  if (!removed) return refuse(removed.error(), options);
  return tell_removed(*removed, notes, failed, options, status);
}

// An age in days, weeks or as parse_duration() has it.
Result<std::int64_t> parse_age(std::string text) {
  std::int64_t factor = 1;
  if (text.ends_with('d') || text.ends_with('w')) {
    factor = text.ends_with('d') ? 24 : 7 * 24;
    text.back() = 'h';
  }
  TRY_ASSIGN(const std::chrono::milliseconds length, parse_duration(text));
  return length.count() / 1000 * factor;
}

// Images that no registry may have: when they are gone they can't be fetched again.
std::set<std::string> imported_images(const Store& store) {
  std::set<std::string> imported;
  for (const ImageRecord& record : all_records(store)) {
    if (record.origin == kImported) imported.insert(identity(record.image));
  }
  return imported;
}

int prune(Store& store, const Options& options) {
  std::set<std::string> unwanted;
  std::vector<std::string> notes;
  if (options.all || !options.unused_for.empty()) {
    std::int64_t least = 0;
    if (!options.unused_for.empty()) {
      const auto age = parse_age(options.unused_for);
      if (!age)
        return refuse({ErrorCode::invalid_input,
                       fmt::format("--unused-for: {} is no age: write 30d, 2w, 12h or 90m", in_quotes(options.unused_for)), 0, ""},
                      options);
      least = *age;
    }
    const auto images = look_at_images(store);
    if (!images) return refuse(images.error(), options);
    const std::int64_t now = std::time(nullptr);
    const std::set<std::string> imported = imported_images(store);
    for (const ShownImage& shown : *images) {
      if (shown.in_use || now - shown.last_used < least) continue;
      if (imported.contains(identity(shown.image))) {
        notes.push_back(
            fmt::format("{} was imported and stays; 'casemate image remove' removes it", to_utf8(to_text(shown.image.reference))));
      } else {
        unwanted.insert(identity(shown.image));
      }
    }
  }
  auto removed = remove_images(store, [&](const StoredImage& image) { return unwanted.contains(identity(image)); });
  if (!removed) return refuse(removed.error(), options);
  const auto orphans = remove_orphans(store);
  if (!orphans) return refuse(orphans.error(), options);
  removed->layers += orphans->layers;
  removed->bytes += orphans->bytes;
  return tell_removed(*removed, notes, Json::array(), options, kOk);
}

// ---- import, export

Result<void> import(Store& store, const Options& options) {
  TRY_ASSIGN(const ImageReference source, read_image_name(options.source));
  TRY_ASSIGN(const ImageReference name, read_image_name(options.target));
  if (name.kind != ImageReference::Kind::registry || is_pinned(name))
    return invalid(fmt::format("{}: an image is imported under a name with a tag: docker://NAME[:TAG]", in_quotes(options.target)));
  TRY_ASSIGN(const PullOptions how, pull_options(options.words, PullOptions::Policy::always));
  PullDisplay display = PullDisplay::on_stderr(options.quiet || options.json, options.color);
  TRY_ASSIGN(const StoredImage image, import_image(store, source, name, how, display.teller()));
  display.clear();
  if (options.json) {
    TRY_ASSIGN(const auto layers, layers_by_key(store));
    Json object = {{"status", "success"}};
    object.update(list_json(look_at(image, layers)));
    print_json(object);
  } else {
    fmt::print("{} {}\n", printable_name(to_text(image.reference)), image.digest);
  }
  return {};
}

Result<void> export_to(Store& store, const Options& options) {
  TRY_ASSIGN(const std::vector<StoredImage> found, named(store, options.source, options));
  TRY_ASSIGN(const ImageReference target, read_export_target(options.target));
  // Several platforms of one name: this machine's, unless --platform says which.
  const auto own = std::find_if(found.begin(), found.end(),
                                [](const StoredImage& image) { return fitness(image.platform, host_platform()).has_value(); });
  const StoredImage& image = own == found.end() ? found.front() : *own;
  TRY(export_image(store, image.reference, target, image.platform));
  if (options.json) {
    print_json({{"status", "success"},
                {"name", to_utf8(to_text(image.reference))},
                {"digest", image.digest},
                {"target", to_utf8(options.target)}});
  } else if (!options.quiet) {
    fmt::print("{} written to {}\n", printable_name(to_text(image.reference)), printable_name(options.target));
  }
  return {};
}

// ---- the command line

/// The subcommands, once declared.
struct Commands {
  CLI::App *pull, *list, *inspect, *remove, *prune, *import, *export_to;
};

void add_quiet(CLI::App& app, Options& options, const char* what) { app.add_flag("-q,--quiet", options.quiet, what); }

void add_platform(CLI::App& app, Options& options) {
  app.add_option("--platform", options.words.platform, "only the image for this platform")->option_text("OS/ARCH[/VARIANT]");
}

void add_names(CLI::App& app, Options& options, const char* what) {
  app.add_option("image", options.names, what)->required()->option_text("IMAGE...");
}

Commands declare(CLI::App& app, Options& options) {
  Commands commands{};
  commands.pull = app.add_subcommand("pull", "Get images, or look whether their tags have moved");
  add_names(*commands.pull, options, "what to get");
  declare_pull_options(*commands.pull, options.words);
  commands.pull->add_flag("--update", options.update, "with --lock: move the pins to what the tags name now");
  commands.pull->add_option("--policy", options.policy, "always ask; missing: only for what the store has not; never")
      ->option_text("POLICY");
  add_quiet(*commands.pull, options, "no progress, only the names and digests");
  commands.list = app.add_subcommand("list", "Each image, the last used first");
  add_quiet(*commands.list, options, "only the names");
  commands.inspect = app.add_subcommand("inspect", "Config, layers and digests of images in the store");
  add_names(*commands.inspect, options, "its name or the first digits of its digest");
  add_platform(*commands.inspect, options);
  commands.remove = app.add_subcommand("remove", "Forget images, and remove layers that no other image needs");
  add_names(*commands.remove, options, "its name or the first digits of its digest");
  add_platform(*commands.remove, options);
  commands.prune = app.add_subcommand("prune", "Remove what no image needs any more");
  commands.prune->add_flag("-a,--all", options.all, "and all images that no job is using now, but for imported ones");
  commands.prune
      ->add_option("--unused-for", options.unused_for, "and images that no job has used for so long, but for imported ones: 30d, 2w, 12h")
      ->option_text("AGE");
  commands.import = app.add_subcommand("import", "Take an image from somewhere into the store under another name");
  commands.import->add_option("source", options.source, "where it is")->required()->option_text("SOURCE");
  commands.import->add_option("name", options.target, "what it is called from now on: docker://NAME[:TAG]")
      ->required()
      ->option_text("NAME");
  declare_pull_options(*commands.import, options.words);
  commands.import->remove_option(commands.import->get_option("--lock"));
  add_quiet(*commands.import, options, "no progress, only name and digest");
  commands.export_to = app.add_subcommand("export", "Write an image of the store to an archive or a layout, which must not be there");
  commands.export_to->add_option("image", options.source, "its name or the first digits of its digest")->required()->option_text("IMAGE");
  commands.export_to->add_option("target", options.target, "oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG]")
      ->required()
      ->option_text("TARGET");
  add_platform(*commands.export_to, options);
  add_quiet(*commands.export_to, options, "say nothing");
  return commands;
}

int dispatch(const Commands& commands, const Options& options) {
  auto store = Store::open();
  if (!store) return refuse(store.error(), options);
  if (commands.pull->parsed()) return pull(*store, options);
  if (commands.list->parsed()) return list(*store, options);
  if (commands.inspect->parsed()) return inspect(*store, options);
  if (commands.remove->parsed()) return remove(*store, options);
  if (commands.prune->parsed()) return prune(*store, options);
  const auto done = commands.import->parsed() ? import(*store, options) : export_to(*store, options);
  return done ? kOk : refuse(done.error(), options);
}

}  // namespace

int image_main(const std::vector<std::string>& arguments) {
  CLI::App app("Images as roots of jobs: fetched once, kept by digest in casemate's cache.", "casemate image");
  app.require_subcommand(1);
  app.fallthrough();
  Options options;
  app.add_flag("--json", options.json, "print JSON");
  declare_color(app, options.color);
  app.footer(kFooter);
  const Commands commands = declare(app, options);
  options.json = asks_for_json_object(arguments);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& asked) {  // --help
    return app.exit(asked);
  } catch (const CLI::Error& wrong) {
    std::string problem = parse_problem(app, wrong);
    if (!problem.starts_with("there is no command")) problem += " (see 'casemate image --help')";
    return printed(kProgram, [&] { return refuse(Error{ErrorCode::invalid_input, problem, 0, ""}, options); });
  }
  if (const auto words = check_lock_words(arguments); !words) return printed(kProgram, [&] { return refuse(words.error(), options); });
  if (options.update && options.words.lock.empty()) options.words.lock = "true";
  options.words.lock = lock_path(options.words);
  return printed(kProgram, [&] { return dispatch(commands, options); });
}

}  // namespace casemate
