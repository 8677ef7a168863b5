#include "apps/remote/remote.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/terminal.h"
#include "remote/channel.h"
#include "remote/executor.h"
#include "remote/inquiry.h"
#include "sys/fd.h"

namespace casemate {
namespace {

// Of a file that holds a secret nothing is told but its name.
Result<std::string> bearer_token(const std::string& path) {
  TRY_ASSIGN(std::string text, read_file(path, 64u << 10));
  std::string token = text.substr(0, text.find('\n'));
  while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.pop_back();
  const bool printable = std::all_of(token.begin(), token.end(), [](char byte) { return byte > ' ' && byte <= '~'; });
  if (token.empty() || !printable)
    return fail(ErrorCode::invalid_input,
                fmt::format("the first line of {} is no token: printable ASCII without blanks", printable_name(path)));
  return token;
}

// Reads the files that it names.
Result<RemoteOptions> options_of(const RemoteChoice& remote) {
  RemoteOptions options;
  TRY_ASSIGN(options.endpoint, parse_remote(remote.address));
  options.endpoint.instance = remote.instance;
  options.endpoint.ca = remote.ca;
  options.endpoint.certificate = remote.certificate;
  options.endpoint.key = remote.key;
  options.endpoint.headers = remote.headers;
  if (!remote.token_file.empty()) {
    auto token = bearer_token(remote.token_file);
    if (!token)
      return fail(ErrorCode::invalid_input, fmt::format("--remote-token-file: {}", token.error().what), token.error().errno_value);
    options.endpoint.headers.emplace_back("authorization", "Bearer " + *token);
  }
  if (!remote.cache.empty()) {
    TRY_ASSIGN(const RemoteEndpoint cache, parse_remote(remote.cache));
    if (cache.tls != options.endpoint.tls)
      return fail(ErrorCode::invalid_input, "the engine and its storage (--remote-cache) are both reached with TLS, or both without");
    options.endpoint.cache = cache.address;
  }
  options.properties = remote.properties;
  options.image_as_property = remote.image_as_property;
  options.priority = remote.priority;
  options.deadline = remote.timeout;
  if (remote.patience) options.policy.patience = *remote.patience;
  return options;
}

// What others on the way to the engine can read; "": nothing.
std::string readable_headers(const RemoteEndpoint& endpoint) {
  const std::string& cache = endpoint.cache.empty() ? endpoint.address : endpoint.cache;
  if (endpoint.tls || endpoint.headers.empty() || (is_this_host(endpoint.address) && is_this_host(cache))) return "";
  std::string names;
  for (const auto& [name, value] : endpoint.headers) names += (names.empty() ? "" : ", ") + name;
  return fmt::format("the engine is reached without TLS: on the way can be read what is sent as {} (grpcs:// is with TLS)", names);
}

}  // namespace

Result<std::unique_ptr<Executor>> remote_executor(Reactor& reactor, const ExecutorChoice& choice) {
  if (!choice.remote) return fail(ErrorCode::invalid_input, "--executor remote needs an engine: --remote ADDRESS");
  TRY_ASSIGN(RemoteOptions options, options_of(*choice.remote));
  options.sending = choice.sending;
  if (choice.progress) {
    if (const std::string note = readable_headers(options.endpoint); !note.empty()) choice.progress(note);
  }
  options.outage = choice.outage;
  auto made = make_remote_executor(reactor, std::move(options));
  const bool nobody_there = !made && made.error().where == kRemoteUnusable && made.error().code == ErrorCode::not_found;
  if (nobody_there && !choice.remote->fallback) made.error().what += "; check the address, or run with --remote-fallback";
  return made;
}

Result<std::vector<HostFeature>> inquire_engine(const RemoteChoice& choice) {
  TRY_ASSIGN(RemoteOptions options, options_of(choice));
  return inquire(std::move(options));
}

}  // namespace casemate
