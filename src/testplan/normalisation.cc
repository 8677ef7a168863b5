#include "testplan/normalisation.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "testplan/pattern.h"

namespace casemate {
namespace {

// A rule sees so much at once, cut at a line's end where there is one: what a pattern looks ahead is bounded, so time is linear.
constexpr std::size_t kPiece = 16 << 10;
constexpr std::size_t kMostRules = 200;

constexpr std::string_view kMonth = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}";
constexpr std::string_view kZone = "(?: ?(?:Z|UTC|GMT|CES?T|[ECMP][SD]T|[+-][0-9]{2}:?[0-9]{2}))?";
constexpr std::string_view kClock = "[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?: ?[AaPp][Mm]\\b)?";

std::vector<NormalisationRule> make_builtin_rules() {
  const std::string day = "(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? )?";
  const std::string numbers = "[0-9]{4}[-/.][0-9]{2}[-/.][0-9]{2}|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{4}";
  const std::string words = fmt::format("[0-9]{{1,2}}[ /-]{0}[ /-][0-9]{{4}}|{0} +[0-9]{{1,2}},? [0-9]{{4}}", kMonth);
  const std::string timestamp = fmt::format(
      "\\b{0}(?:{1}|{2}|{3} +[0-9]{{1,2}})(?:[T_ :]|, )(?:{4}|[0-9]{{2}}:[0-9]{{2}}\\b){5}(?: "
      "[0-9]{{4}}\\b)?|\\b[0-9]{{8}}T[0-9]{{6}}Z?\\b|\\b{4}{5}",
      day, numbers, words, kMonth, kClock, kZone);
  const std::string path_part = "[^\\s/'\"`:;,()<>|\\[\\]{}]+";
  return {
      {"ansi", "\\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\\x07\\x1b]*(?:\\x07|\\x1b\\\\)|[()*+][A-Za-z0-9]|[=>78A-Z\\\\^_])", ""},
      {"timestamp", timestamp, "<timestamp>"},
      {"date", fmt::format("\\b{}(?:{}|{})\\b", day, numbers, words), "<date>"},
      {"duration",
       "\\b[0-9]+m ?[0-9]+(?:\\.[0-9]+)?s\\b|\\b[0-9]+(?:[.,][0-9]+)? "
       "?(?:[nmuµ]s|s|msecs?|secs?|milliseconds?|microseconds?|seconds?|mins?|minutes?|hours?)\\b",
       "<duration>"},
      {"uuid", "\\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\\b", "<uuid>"},
      {"temp_path", fmt::format("(^|[^\\w/.])(?:/private)?/(?:var/tmp|tmp|dev/shm|var/folders/[^/\\s]+/[^/\\s]+/T)/{}", path_part),
       "\\1<temp_path>"},
      {"home", fmt::format("(^|[^\\w/.])(?:/(?:home|Users)/{}|/root\\b)", path_part), "\\1<home>"},
      {"hex_address", "\\b0x[0-9a-fA-F]{6,16}\\b", "<hex_address>"},
      {"pid", "\\b((?i)pid|process(?: id)?)([ =:#]{1,3})[0-9]+\\b", "\\1\\2<pid>"},
      {"port", "\\b((?i)localhost|127\\.0\\.0\\.1|0\\.0\\.0\\.0|port)([ =:]{1,2})[0-9]{1,5}\\b", "\\1\\2<port>"},
  };
}

// The end of the next piece of `text`: after a line's end if there is one, else where values of one long line (JSON) are parted, so that
// what a rule is for is not cut in two; never within a character.
std::size_t next_piece(std::string_view text) {
  if (text.size() <= kPiece) return text.size();
  const std::string_view piece = text.substr(0, kPiece);
  for (const std::string_view after : {"\n", "\",", " \t"}) {
    const auto last = piece.find_last_of(after);
    if (last != std::string_view::npos && (after == "\n" || last > kPiece / 2)) return last + 1;
  }
  std::size_t end = kPiece;
  while (end > 1 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return end;
}

std::string with_plain_newlines(std::string text) {
  std::size_t kept = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n') continue;
    text[kept++] = text[at];
  }
  text.resize(kept);
  return text;
}

}  // namespace

const std::vector<NormalisationRule>& builtin_rules() {
  static const std::vector<NormalisationRule> kRules = make_builtin_rules();
  return kRules;
}

struct Normaliser::Parts {
  struct Rule {
    std::shared_ptr<const re2::RE2> pattern;
    std::string by;
  };
  std::vector<Rule> rules;
};

Normaliser::Normaliser(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Normaliser::Normaliser(Normaliser&&) noexcept = default;
Normaliser& Normaliser::operator=(Normaliser&&) noexcept = default;
Normaliser::~Normaliser() = default;

Result<Normaliser> Normaliser::create(std::vector<NormalisationRule> more, const std::vector<std::string>& without) {
  std::vector<std::string_view> known;
  for (const NormalisationRule& rule : builtin_rules()) known.push_back(rule.name);
  for (const std::string& name : without) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      return fail(ErrorCode::invalid_input,
                  fmt::format("there is no rule of normalisation '{}'{}", printable_line(name), did_you_mean(name, known)));
  }
  if (more.size() > kMostRules)
    return fail(ErrorCode::invalid_input, fmt::format("{} rules of normalisation; at most {}", more.size(), kMostRules));
  std::vector<NormalisationRule> all;
  for (const NormalisationRule& rule : builtin_rules()) {
    if (std::find(without.begin(), without.end(), rule.name) == without.end()) all.push_back(rule);
  }
  std::move(more.begin(), more.end(), std::back_inserter(all));
  auto parts = std::make_unique<Parts>();
  for (NormalisationRule& rule : all) {
    auto pattern = make_pattern(rule.pattern, PatternLines::each_line);
    if (!pattern)
      return fail(ErrorCode::invalid_input, fmt::format("rule of normalisation '{}': {}", printable_line(rule.name), pattern.error().what));
    std::string problem;
    if (!(*pattern)->CheckRewriteString(rule.by, &problem))
      return fail(ErrorCode::invalid_input,
                  fmt::format("rule of normalisation '{}': {}", printable_line(rule.name), printable_line(problem)));
    parts->rules.push_back({*std::move(pattern), std::move(rule.by)});
  }
  return Normaliser(std::move(parts));
}

std::string Normaliser::apply(std::string_view bytes) const {
  const std::string text = with_plain_newlines(to_utf8(bytes));
  std::string made;
  made.reserve(text.size());
  std::string piece;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = next_piece(rest);
    piece.assign(rest.substr(0, end));
    rest.remove_prefix(end);
    for (const Parts::Rule& rule : parts_->rules) re2::RE2::GlobalReplace(&piece, *rule.pattern, rule.by);
    made += piece;
  }
  return made;
}

}  // namespace casemate
