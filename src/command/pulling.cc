#include "command/pulling.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/terminal.h"
#include "command/naming.h"

namespace casemate {

void declare_pull_options(CLI::App& app, PullWords& words) {
  app.add_option("--platform", words.platform, "the image for another platform than this machine's")->option_text("OS/ARCH[/VARIANT]");
  app.add_flag("--tls-verify", words.verify_tls, "--tls-verify=false: also registries with any certificate, and plain http");
  app.add_option("--authfile", words.authfile, "credentials of registries [as skopeo finds them]")->option_text("FILE");
  app.add_option("--cert-dir", words.cert_directory, "certificates (*.crt, *.cert, *.key) of the registry")->option_text("DIR");
  app.add_flag("--lock", words.lock,
               "--lock[=FILE]: take the digest that this file [casemate.lock] has for the tag, and note new ones there");
}

std::string lock_path(const PullWords& words) { return words.lock == "true" ? "casemate.lock" : words.lock; }

Result<void> check_lock_words(const std::vector<std::string>& arguments) {
  for (std::size_t i = 1; i < arguments.size() && arguments[i - 1] != "--"; ++i) {
    if (arguments[i - 1] == "--lock" && arguments[i].ends_with(".lock"))
      return fail(ErrorCode::invalid_input,
                  fmt::format("--lock {0}: the file follows after '=': --lock={0}", printable_name(arguments[i])));
  }
  return {};
}

Result<PullOptions::Policy> parse_policy(std::string_view option, std::string_view text) {
  if (text == "missing") return PullOptions::Policy::missing;
  if (text == "always") return PullOptions::Policy::always;
  if (text == "never") return PullOptions::Policy::never;
  return fail(ErrorCode::invalid_input, fmt::format("{} {}: choose missing, always or never", option, in_quotes(text)));
}

Result<PullOptions> pull_options(const PullWords& words, PullOptions::Policy policy) {
  PullOptions options;
  options.policy = policy;
  if (!words.platform.empty()) {
    TRY_ASSIGN(options.platform, parse_platform(words.platform));
  }
  options.access = {words.verify_tls, words.authfile, words.cert_directory};
  return options;
}

Result<Pin> Pin::read(const std::string& path, const ImageReference& reference, bool moves) {
  Pin pin(reference);
  if (reference.kind != ImageReference::Kind::registry || is_pinned(reference)) return pin;
  TRY_ASSIGN(pin.lock_, ImageLock::read(path));
  pin.before_ = pin.lock_->digest(reference);
  if (!moves) pin.wanted_ = pin.lock_->pinned(reference);
  return pin;
}

Result<bool> Pin::keep(const std::string& digest) {
  if (!lock_ || !lock_->pin(asked_, digest)) return false;
  TRY(lock_->save());
  return true;
}

Result<PinnedRoot> open_pinned_root(Store& store, const ImageReference& image, const PullOptions& options, const std::string& lock,
                                    bool lock_grows, const TellPull& tell) {
  Pin pin(image);
  if (!lock.empty()) {
    TRY_ASSIGN(pin, Pin::read(lock, image, false));
  }
  PinnedRoot opened;
  TRY_ASSIGN(opened.root, open_root(store, pin.wanted(), options, tell));
  const std::string& digest = opened.root.digest;
  if (!lock_grows || lock.empty() || pin.before() || digest.empty()) return opened;
  TRY_ASSIGN(const bool pinned, pin.keep(digest));
  if (pinned) opened.note = fmt::format("{}: {} pinned to {}", lock, to_text(image), digest);
  return opened;
}

}  // namespace casemate
