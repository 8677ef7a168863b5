#include "apps/agent/git_cell.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/terminal.h"
#include "base/units.h"
#include "engine/disk_watch.h"
#include "image/reference.h"
#include "image/requirements.h"
#include "image/root.h"

namespace casemate {
namespace {

constexpr std::size_t kLongestUrl = 4096;
constexpr std::size_t kLinesKept = 5;
constexpr std::array<std::string_view, 3> kReasons = {"fatal:", "error:", "remote:"};
constexpr const char* kRepositoryInCell = "/work/repository";
constexpr const char* kCredentialsInCell = "/work/credentials";
constexpr auto kWall = std::chrono::minutes(5);
constexpr std::uint64_t kMemory = 1ull << 30;
constexpr std::uint64_t kDisk = 1ull << 30;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; });
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const int lower = std::tolower(static_cast<unsigned char>(digit));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// %2F and so on, as git's url_decode() has it for URLs, file: among them.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const int high = text[at] == '%' && at + 2 < text.size() ? hex_value(text[at + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[at + 2]) : -1;
    if (low > 0 || (low == 0 && high > 0)) {
      out += static_cast<char>(high * 16 + low);
      at += 2;
    } else {
      out += text[at];
    }
  }
  return out;
}

// The path of a repository on this machine, by git's rules (connect.c, url_is_local_not_ssh): no colon, or a slash before the first one.
std::optional<std::string> local_path(std::string_view url) {
  constexpr std::string_view kFile = "file://";
  if (url.starts_with(kFile)) return percent_decoded(url.substr(kFile.size()));
  const auto colon = url.find(':');
  if (colon == std::string_view::npos || url.find('/') < colon) return std::string(url);
  return std::nullopt;
}

// The host, and its port, of an authority.
std::string_view without_user(std::string_view authority) { return authority.substr(authority.rfind('@') + 1); }

// A host that is this machine itself (RFC 6761, 6.3; RFC 1122, 3.2.1.3; RFC 4291, 2.5.3), as URLs and scp's form have it.
bool names_loopback(std::string_view url) {
  const bool has_scheme = url.find("://") != std::string_view::npos;
  std::string_view host = without_user(has_scheme ? authority_of(url) : url.substr(0, url.find('/')));
  if (host.starts_with("[::1]")) return true;
  host = host.substr(0, host.find(':'));
  std::string lower;
  for (const char byte : host) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
  return lower == "localhost" || lower.ends_with(".localhost") ||
         (lower.starts_with("127.") && lower.find_first_not_of("0123456789.") == std::string::npos);
}

// "https://host:8443" of an URL, as gitcredentials(7) wants a server's settings named; "" where it has no such server.
std::string http_server(std::string_view url) {
  const std::string_view scheme = url.starts_with("http://") ? "http://" : url.starts_with("https://") ? "https://" : "";
  const std::string_view host = without_user(authority_of(url));
  if (scheme.empty() || host.empty() || host.find_first_of("=*\\") != std::string_view::npos) return "";
  return fmt::format("{}{}", scheme, host);
}

std::map<std::string, std::string> git_environment(const GitSource& source) {
  std::map<std::string, std::string> env = {
      {"PATH", std::string(kDefaultPath)},
      {"HOME", "/root"},  // a directory of the cell's own, with nothing in it
      {"LANG", "C.UTF-8"},
      {"URL", source.url},
      {"GIT_CONFIG_NOSYSTEM", "1"},
      {"GIT_CONFIG_GLOBAL", "/dev/null"},
      {"GIT_TERMINAL_PROMPT", "0"},
      {"GIT_ASKPASS", "/bin/true"},
      {"GIT_SSH_COMMAND", "ssh -o BatchMode=yes"},
      {"GIT_TEMPLATE_DIR", ""},  // no example hooks
      {"GIT_ALLOW_PROTOCOL", source.host_path.empty() ? "http:https:git:ssh" : "http:https:git:ssh:file"},
      {"GIT_HTTP_LOW_SPEED_LIMIT", "1"},
      {"GIT_HTTP_LOW_SPEED_TIME", "60"},
      {"GIT_CONFIG_COUNT", "3"},
      {"GIT_CONFIG_KEY_0", "core.hooksPath"},
      {"GIT_CONFIG_VALUE_0", "/dev/null"},
      {"GIT_CONFIG_KEY_1", "protocol.ext.allow"},
      {"GIT_CONFIG_VALUE_1", "never"},
      {"GIT_CONFIG_KEY_2", "advice.detachedHead"},
      {"GIT_CONFIG_VALUE_2", "false"},
  };
  for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"}) {
    if (const char* value = std::getenv(name)) env.emplace(name, value);
  }
  return env;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

// What says why git failed; warnings, which come before it, mostly are about something else.
bool is_reason(std::string_view line) {
  return std::any_of(kReasons.begin(), kReasons.end(), [line](std::string_view word) { return line.starts_with(word); });
}

// What git said last, its reasons first, without what it says when all is well.
std::string last_words(const GitSource& source, const std::string& text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    line = line.substr(line.rfind('\r') == std::string::npos ? 0 : line.rfind('\r') + 1);
    while (!line.empty() && line.back() == ' ') line.pop_back();
    if (line.empty() || line.starts_with("Cloning into ") || line.starts_with("Submodule ")) continue;
    if (!source.host_path.empty()) {
      replace_all(line, source.url, source.name);
      replace_all(line, kRepositoryInCell, source.name);
    }
    lines.push_back(printable_name(redacted(line)));
  }
  const auto others = std::stable_partition(lines.begin(), lines.end(), is_reason);
  const auto reasons = static_cast<std::size_t>(others - lines.begin());
  const std::size_t kept = std::min(reasons, kLinesKept);
  const std::size_t beside = std::min(lines.size() - reasons, kLinesKept - kept);
  lines.erase(others, lines.end() - static_cast<std::ptrdiff_t>(beside));
  lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(reasons - kept));
  return fmt::format("{}", fmt::join(lines, " "));
}

// What git, curl and ssh say, in English: LANG is C.UTF-8. Not all that servers say, but what is in none of these lists only means to wait.
constexpr std::string_view kUnreached[] = {
    "Could not resolve",    "Failed to connect",      "Couldn't connect", "Connection refused",
    "Connection timed out", "Network is unreachable", "No route to host", "Temporary failure in name resolution"};
constexpr std::string_view kNotThere[] = {"' not found",
                                          "Repository not found",
                                          "does not appear to be a git repository",
                                          "repository not exported",
                                          "could not read Username",
                                          "could not read Password",
                                          "Authentication failed",
                                          "Permission denied (",
                                          "error: 403",
                                          "error: 410",
                                          "' not allowed",
                                          "is not a git command",
                                          "reference is not a tree",
                                          "not our ref"};
constexpr std::string_view kExhausted[] = {"No space left on device",          "Disk quota exceeded", "Cannot allocate memory",
                                           "Resource temporarily unavailable", "Too many open files", "Cannot fork"};

template <std::size_t N>
bool has_any(std::string_view text, const std::string_view (&words)[N]) {
  return std::any_of(std::begin(words), std::end(words), [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

// Whether a program of ours says that something ran out: as strerror(3) at a line's end. Elsewhere, and in lines of the server's, the words
// may be a name that somebody chose.
bool says_exhausted(std::string_view said) {
  while (!said.empty()) {
    const std::string_view line = said.substr(0, said.find('\n'));
    said.remove_prefix(std::min(said.size(), line.size() + 1));
    if (line.starts_with("remote:")) continue;
    for (const std::string_view word : kExhausted) {
      if (line.ends_with(word) && line.substr(0, line.size() - word.size()).ends_with(": ")) return true;
    }
  }
  return false;
}

// Of a git that exited, and said this.
ErrorCode code_of(const Outcome& outcome, std::string_view said) {
  constexpr int kNoProgram = 127;  // of sh
  constexpr int kUsage = 129;      // of git; above it: of sh, for a git that was killed
  if (outcome.code == kNoProgram || outcome.code > kUsage) return ErrorCode::internal;
  if (says_exhausted(said)) return ErrorCode::exhausted;
  return has_any(said, kNotThere) ? ErrorCode::not_found : ErrorCode::refused;
}

}  // namespace

Result<GitSource> read_git_source(std::string_view url, bool allow_file_urls) {
  GitSource source;
  source.name = printable_name(redacted(url));
  source.url = url;
  if (url.empty()) return fail(ErrorCode::invalid_input, "there is no URL of a repository");
  if (url[0] == '-') return fail(ErrorCode::invalid_input, fmt::format("{} is no URL of a repository: it begins with '-'", in_quotes(url)));
  if (has_control(url) || url.size() > kLongestUrl)
    return fail(ErrorCode::invalid_input, fmt::format("{} is no URL of a repository", in_quotes(redacted(url))));
  source.secret = authority_of(url).find('@') != std::string_view::npos;
  const auto path = local_path(url);
  source.loopback = !path && names_loopback(url);
  if (!path) return source;
  if (!allow_file_urls)
    return fail(ErrorCode::refused,
                fmt::format("repository {} is a path: files of this machine are not allowed as repositories (but with --allow-file-urls)",
                            in_quotes(url)));
  char* real = path->starts_with('/') ? ::realpath(path->c_str(), nullptr) : nullptr;
  if (!real) return fail(ErrorCode::not_found, fmt::format("repository {} does not exist", in_quotes(url)));
  source.host_path = real;
  std::free(real);
  source.url = fmt::format("file://{}", kRepositoryInCell);
  return source;
}

std::string_view authority_of(std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return "";
  url.remove_prefix(scheme + 3);
  return url.substr(0, url.find_first_of("/?#"));
}

std::string repository_name(std::string_view url) {
  while (url.ends_with('/')) url.remove_suffix(1);
  if (const auto at = url.find_last_of("/:"); at != std::string_view::npos) url.remove_prefix(at + 1);
  if (url.ends_with(".git")) url.remove_suffix(4);
  return url.empty() ? "repository" : printable_name(url);
}

Result<void> check_revision(std::string_view what, std::string_view revision) {
  if (revision.starts_with('-') || has_control(revision) || revision.find("..") != std::string_view::npos ||
      revision.find_first_of(" ~^:?*[\\") != std::string_view::npos || revision.size() > kLongestUrl)
    return fail(ErrorCode::invalid_input, fmt::format("{} {} is no name that git allows", what, in_quotes(revision)));
  return {};
}

bool is_commit(std::string_view revision) {
  return (revision.size() == 40 || revision.size() == 64) && revision.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Job git_job(const GitSource& source, Network network, const std::string& script, const std::vector<std::string>& arguments,
            const std::string& tree) {
  Job job;
  job.name = "git";
  job.argv = {"/bin/sh", "-c", script, "git"};
  job.argv.insert(job.argv.end(), arguments.begin(), arguments.end());
  job.env = git_environment(source);
  job.network = source.host_path.empty() ? network : Network::none;
  job.limits = default_limits();
  job.limits.memory_bytes = kMemory;
  job.limits.wall = kWall;
  job.limits.output_bytes = 64u << 20;
  job.limits.file_bytes = kDisk;
  job.capture_bytes = 64u << 10;
  if (!tree.empty()) {
    job.cwd = kGitTree;
    job.mounts.push_back({.kind = Mount::Kind::bind, .source = tree, .target = kGitTree, .writable = true, .owned = true, .bytes = kDisk});
  }
  if (!source.host_path.empty())
    job.mounts.push_back({.kind = Mount::Kind::bind, .source = source.host_path, .target = kRepositoryInCell, .owned = true});
  return job;
}

void show_credentials(Job& job, const GitSource& source, const std::string& file) {
  const std::string server = http_server(source.url);
  if (file.empty() || server.empty()) return;
  job.mounts.push_back({.kind = Mount::Kind::bind, .source = file, .target = kCredentialsInCell, .owned = true});
  // It is only asked: to be told that a password was right, or wrong, would make it write.
  job.env["ASK"] = fmt::format("credential.{}.helper=!ask() {{ test \"$1\" != get || git credential-store --file={} get; }}; ask", server,
                               kCredentialsInCell);
}

bool is_full_disk(const Outcome& outcome) { return outcome.kind == Outcome::Kind::disk_limit && outcome.step == kDiskFull; }

bool is_many_files(const Outcome& outcome) { return outcome.kind == Outcome::Kind::disk_limit && outcome.step == kManyFiles; }

bool is_out_of_reach(const GitSource& source, Network network) { return source.loopback && network == Network::outbound; }

std::optional<Error> git_failure(const GitSource& source, const JobResult& result, Network network) {
  auto failure = git_failure(source, result);
  if (failure && is_out_of_reach(source, network) && result.outcome.kind == Outcome::Kind::exited) {
    failure->code = ErrorCode::not_found;
    failure->what.insert(
        0, fmt::format("{} is on the loopback of the machine that runs the tests, where git can look with --clone-network host only: ",
                       source.name));
  }
  return failure;
}

std::optional<Error> git_failure(const GitSource& source, const JobResult& result) {
  const Outcome& outcome = result.outcome;
  const std::string said = last_words(source, result.output.err);
  const auto failure = [](ErrorCode code, std::string what, int number = 0) { return Error{code, std::move(what), number, ""}; };
  switch (outcome.kind) {
    case Outcome::Kind::exited:
      if (outcome.code == 0) return std::nullopt;
      if (outcome.code == 128 + SIGXFSZ)
        return failure(ErrorCode::refused, fmt::format("{} is too large: a file of more than {}", source.name, format_bytes(kDisk)));
      return failure(code_of(outcome, result.output.err),
                     said.empty() ? fmt::format("git exited with {} and said nothing", outcome.code) : said);
    case Outcome::Kind::timed_out:
      return failure(ErrorCode::refused, fmt::format("{} took longer than {}", source.name, format_duration(kWall)));
    case Outcome::Kind::disk_limit:
      if (is_full_disk(outcome))
        return failure(ErrorCode::exhausted,
                       fmt::format("there is no room for {}: the disk of the machine that runs the tests is nearly full", source.name));
      if (is_many_files(outcome))
        return failure(ErrorCode::refused, fmt::format("{} is too large: more than {} files", source.name, files_within(kDisk)));
      return failure(ErrorCode::refused, fmt::format("{} is too large: more than {} on disk", source.name, format_bytes(kDisk)));
    case Outcome::Kind::out_of_memory:
      return failure(ErrorCode::refused,
                     fmt::format("{} is too large: git needed more than {} of memory", source.name, format_bytes(kMemory)));
    case Outcome::Kind::setup_failed:
      return failure(ErrorCode::system, fmt::format("git's cell could not be made: {}", words(outcome)), outcome.code);
    case Outcome::Kind::cancelled:
      return failure(ErrorCode::cancelled, "git was stopped");
    case Outcome::Kind::signaled:
    case Outcome::Kind::lost:
      return failure(ErrorCode::internal, fmt::format("git {}{}{}", words(outcome), said.empty() ? "" : ": ", said));
    default:
      return failure(ErrorCode::refused, fmt::format("git {}{}{}", words(outcome), said.empty() ? "" : ": ", said));
  }
}

bool is_unreached(const JobResult& result) {
  if (result.outcome.kind != Outcome::Kind::exited || result.outcome.code == 0) return false;
  const std::string& said = result.output.err;
  constexpr std::string_view kStatus = "returned error: ";  // of HTTP: 429 and 5xx say that it is too much now
  const auto at = said.find(kStatus);
  const std::string_view status = at == std::string::npos ? "" : std::string_view(said).substr(at + kStatus.size());
  return has_any(said, kUnreached) || status.starts_with("5") || status.starts_with("429");
}

}  // namespace casemate
