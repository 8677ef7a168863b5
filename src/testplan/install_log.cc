#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/terminal.h"
#include "image/requirements.h"
#include "testplan/installation.h"

namespace casemate {
namespace {

constexpr std::size_t kMostLine = 400;
constexpr std::size_t kLooked = 256 << 10;  // of a log's end

// What no other try would change, whatever the network did meanwhile.
constexpr const char* kFinal =
    R"((?i)No space left on device|Disk quota exceeded|casemate: |Unable to locate package|has no installation candidate|)"
    R"(Version '[^']*' for '[^']*' was not found|DO NOT MATCH THE HASHES|could not find `[^`]*` in registry|npm (ERR!|error) code (E404|ETARGET|EINTEGRITY)|)"
    R"(unknown revision|checksum mismatch|SECURITY ERROR|Could not find a valid gem)";

// How the clients of registries, and what they are built on, say that a network was away or broke off.
constexpr const char* kNetwork =
    R"((?i)Temporary failure (in name resolution|resolving)|Could(n't| not) resolve|Could not connect|Unable to connect|No route to host|)"
    R"(Network is unreachable|Connection (timed out|refused|reset|aborted|broken|closed)|Connection failed|Failed to establish a new connection|)"
    R"(Read timed out|ReadTimeout|ConnectTimeout|IncompleteRead|RemoteDisconnected|Broken pipe|Hash Sum mismatch|File has unexpected size|)"
    R"(unexpected (EOF|end of file)|i/o timeout|TLS handshake timeout|no such host|)"
    R"(\b(ETIMEDOUT|ECONNRESET|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ENETUNREACH|ESOCKETTIMEDOUT|E5\d\d)\b|network (socket|timeout|error)|spurious network error|)"
    R"(curl: \((5|6|7|16|18|28|35|52|55|56|92)\)|error: 5\d\d|\b50[0234] +(Bad Gateway|Service Unavailable|Gateway Time-?out|Internal Server Error)|)"
    R"(Server returned 5\d\d|Net::OpenTimeout|Could not reach host|download(ing)? .{0,200}(timed out|timeout)|transfer closed with)";

// Lines that say why something failed, best first.
constexpr std::array kTelling = {
    R"(^casemate: (.+))",
    R"(^(E: .*(Unable to locate|no installation candidate|was not found|No space left|Failed to fetch).*))",
    R"(^(ERROR: .*(No matching distribution|No space left|DO NOT MATCH).*))",
    R"(^(E: .+))",
    R"(^(ERROR: .+))",
    R"(^(npm (?:ERR!|error) (?:404|notarget|network|enospc) .+))",
    R"(^(npm (?:ERR!|error) .+))",
    R"(^(error: .+))",
    R"(^(error(?:\[E\d+\])?: .+))",
    R"(^(curl: \(\d+\) .+))",
    R"(^(go: .+))",
    R"((?i)^(.*\b(?:error|fatal|failed|cannot|can't|not found|no such)\b.*))",
};

std::string_view end_of(std::string_view log) { return log.size() > kLooked ? log.substr(log.size() - kLooked) : log; }

std::string shown(std::string_view line) {
  std::string text = with_few_versions(redacted(printable_name(line)));
  if (text.size() > kMostLine) text = printable_name(to_utf8(text.substr(0, kMostLine))) + "...";
  return text;
}

}  // namespace

std::string with_few_versions(std::string text) {
  static const RE2 all(R"(\(from versions: [^()]*, ([^(), ]+, [^(), ]+, [^(), ]+)\))");
  RE2::GlobalReplace(&text, all, R"((from versions: ..., \1))");
  return text;
}

std::string end_of_log(std::string_view log, std::string_view rest) {
  constexpr std::size_t kShown = 20;
  while (log.ends_with('\n')) log.remove_suffix(1);
  if (log.empty()) return "";
  const auto lines = static_cast<std::size_t>(std::count(log.begin(), log.end(), '\n')) + 1;
  if (lines <= kShown) return fmt::format("{}\n", printable(log));
  std::size_t from = log.size();
  for (std::size_t shown = 0; shown < kShown; ++shown) from = log.rfind('\n', from - 1);
  return fmt::format("the last {} of {} lines of the installer{}{}:\n{}\n", kShown, lines, rest.empty() ? "" : "; all: ", rest,
                     printable(log.substr(from + 1)));
}

bool may_be_retried(std::string_view log) {
  static const RE2 final(kFinal);
  static const RE2 network(kNetwork);
  const std::string_view text = end_of(log);
  return !RE2::PartialMatch(text, final) && RE2::PartialMatch(text, network);
}

std::string telling_install_line(std::string_view log) {
  std::vector<std::string_view> lines;
  std::string_view rest = end_of(log);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find_first_of("\r\n"), rest.size());
    std::string_view line = rest.substr(0, end);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    if (!line.empty()) lines.push_back(line);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  for (const char* pattern : kTelling) {
    const RE2 telling(pattern);
    for (const std::string_view line : lines) {
      std::string told;
      if (RE2::PartialMatch(line, telling, &told) && told.find("complete log of this run") == std::string_view::npos) return shown(told);
    }
  }
  return lines.empty() ? "" : shown(lines.back());
}

}  // namespace casemate
