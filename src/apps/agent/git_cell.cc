#include "apps/agent/git_cell.h"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/terminal.h"
#include "base/units.h"
#include "image/reference.h"
#include "image/requirements.h"
#include "image/root.h"

namespace casemate {
namespace {

constexpr std::size_t kLongestUrl = 4096;
constexpr std::size_t kLinesKept = 5;
constexpr const char* kRepositoryInCell = "/work/repository";
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

bool has_user(std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return false;
  const auto host = url.substr(scheme + 3, url.find('/', scheme + 3) - scheme - 3);
  return host.find('@') != std::string_view::npos;
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

// What git said last, without what it says when all is well.
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
  if (lines.size() > kLinesKept) lines.erase(lines.begin(), lines.end() - kLinesKept);
  return fmt::format("{}", fmt::join(lines, " "));
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
  source.secret = has_user(url);
  const auto path = local_path(url);
  if (!path) return source;
  if (!allow_file_urls)
    return fail(ErrorCode::refused,
                fmt::format("repository {} is a path: files of this machine are not allowed as repositories", in_quotes(url)));
  char* real = path->starts_with('/') ? ::realpath(path->c_str(), nullptr) : nullptr;
  if (!real) return fail(ErrorCode::not_found, fmt::format("repository {} does not exist", in_quotes(url)));
  source.host_path = real;
  std::free(real);
  source.url = fmt::format("file://{}", kRepositoryInCell);
  return source;
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

bool is_full_disk(const Outcome& outcome) {
  return outcome.kind == Outcome::Kind::disk_limit && outcome.detail.starts_with("the file system of ");
}

std::optional<std::string> git_failure(const GitSource& source, const JobResult& result) {
  const Outcome& outcome = result.outcome;
  const std::string said = last_words(source, result.output.err);
  switch (outcome.kind) {
    case Outcome::Kind::exited:
      if (outcome.code == 0) return std::nullopt;
      if (outcome.code == 128 + SIGXFSZ) return fmt::format("{} is too large: a file of more than {}", source.name, format_bytes(kDisk));
      return said.empty() ? fmt::format("git exited with {} and said nothing", outcome.code) : said;
    case Outcome::Kind::timed_out:
      return fmt::format("{} took longer than {}", source.name, format_duration(kWall));
    case Outcome::Kind::disk_limit:
      if (is_full_disk(outcome))
        return fmt::format("there is no room for {}: the disk of the machine that runs the tests is nearly full", source.name);
      return fmt::format("{} is too large: more than {} on disk", source.name, format_bytes(kDisk));
    case Outcome::Kind::out_of_memory:
      return fmt::format("{} is too large: git needed more than {} of memory", source.name, format_bytes(kMemory));
    case Outcome::Kind::setup_failed:
      return fmt::format("git's cell could not be made: {}", words(outcome));
    default:
      return fmt::format("git {}{}{}", words(outcome), said.empty() ? "" : ": ", said);
  }
}

}  // namespace casemate
