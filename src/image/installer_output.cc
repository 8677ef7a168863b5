// What uv and pip print, read for people: hostile text, since package names and build output are part of it.
#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "image/installer.h"

namespace casemate {
namespace {

constexpr std::size_t kMaxTelling = 400;

std::string_view stripped(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r");
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(" \t\r") - start + 1);
}

template <class Visit>
void each_line(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// A line without the marks that uv of different ages puts before causes; `depth` tells the headline (0) from a cause (1) and the rest (-1).
std::string_view without_marks(std::string_view line, int& depth) {
  line = stripped(line);
  constexpr std::array<std::pair<std::string_view, int>, 8> kMarks = {
      {{"error: ", 0}, {"× ", 0}, {"cause: ", 1}, {"Caused by: ", 1}, {"╰─▶ ", 1}, {"├─▶ ", 1}, {"╰─> ", 1}, {"ERROR: ", 0}}};
  for (const auto& [mark, level] : kMarks) {
    if (line.starts_with(mark)) {
      depth = level;
      return stripped(line.substr(mark.size()));
    }
  }
  depth = -1;
  return line;
}

bool is_word_before(std::string_view line, std::string_view word) {
  return line.starts_with(word) && line.size() > word.size() && line[word.size()] == ' ';
}

std::string lowered_first(std::string_view line) {
  std::string text(line);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

// Takes an installer's output line by line and keeps what explains the failure.
class Telling {
 public:
  void line(std::string_view line) {
    int depth = -1;
    const std::string_view text = without_marks(line, depth);
    if (text.empty()) return;
    last_line_ = text;
    connection(text);
    if (text.starts_with("fatal: ")) program_ = text;  // git
    if (quoted(line, text)) return;
    // pip's own names for "look below".
    if (text == "subprocess-exited-with-error" || text == "metadata-generation-failed" || text.starts_with("See above for output")) return;
    const bool goes_on = wrapped_ && depth == -1 && line.starts_with("      ");
    wrapped_ = false;
    if (depth == 0 && headline_.empty()) headline_ = text;
    if (depth == 1 && !headline_.empty()) {
      last_cause_ = text;
      if (first_cause_.empty()) {
        first_cause_ = text;
        wrapped_ = true;
      }
    }
    if (goes_on && first_cause_.size() < kMaxTelling) {
      // uv wraps long causes.
      first_cause_ += ' ';
      first_cause_ += text;
      last_cause_ = first_cause_;
      wrapped_ = true;
    }
  }

  std::string text() const {
    // Of a bug or a mistake that it does not know pip says so, shows where it was, and then what it was.
    if (headline_ == "Exception:") return std::string(without_module(last_line_));
    // pip finds no version either where it reached no index.
    if (!unreachable_.empty() && headline_.ends_with("(from versions: none)"))
      return fmt::format("the package index{} could not be reached: {}", index_, unreachable_);
    std::string telling = headline_.empty() ? last_line_ : headline_;
    while (telling.ends_with(':') || telling.ends_with('.')) telling.pop_back();
    if (!first_cause_.empty()) telling += ": " + first_cause_;
    const std::string& end = program_.empty() ? last_cause_ : program_;
    if (!end.empty() && end != first_cause_) telling += ": " + end;
    return telling;
  }

 private:
  // What pip says of a connection that failed, and of the index that it was for.
  void connection(std::string_view text) {
    constexpr std::string_view kIndexes = "Looking in indexes: ";
    if (text.starts_with(kIndexes) && text.find(',') == std::string_view::npos) index_ = fmt::format(" {}", text.substr(kIndexes.size()));
    constexpr std::string_view kRetrying = "WARNING: Retrying (", kBroken = "connection broken by '";
    const std::size_t broken = text.find(kBroken);
    if (text.starts_with(kRetrying) && broken != std::string_view::npos)
      unreachable_ = reason(text.substr(broken + kBroken.size()));
    else if (text.find("Could not fetch URL ") != std::string_view::npos && text.find("Max retries exceeded") != std::string_view::npos)
      unreachable_ = reason(text.substr(text.find("Max retries exceeded")));
  }

  // Of an exception of urllib3, "NewConnectionError('<...object at 0x7f>: Failed to ...: [Errno 111] Connection refused')", the part for
  // people.
  static std::string reason(std::string_view exception) {
    constexpr std::string_view kCause = "Caused by ";
    if (const std::size_t cause = exception.find(kCause); cause != std::string_view::npos) exception.remove_prefix(cause + kCause.size());
    const std::string_view name = exception.substr(0, exception.find_first_of("'("));
    constexpr std::string_view kNumber = "[Errno ";
    if (const std::size_t end = exception.find("] ", exception.find(kNumber)); end != std::string_view::npos) {
      const std::string_view words = exception.substr(end + 2);
      return std::string(words.substr(0, words.find_first_of("'\"()")));
    }
    if (exception.find("timed out") != std::string_view::npos) return "timed out";
    return std::string(name);
  }

  // "pip._vendor.packaging.markers.InvalidMarker: ..." without the modules before the class.
  static std::string_view without_module(std::string_view text) {
    const std::size_t name = text.substr(0, text.find_first_of(": ")).rfind('.');
    return name == std::string_view::npos ? text : text.substr(name + 1);
  }

  // Output of a build, quoted by the installer: its last line says most.
  bool quoted(std::string_view line, std::string_view text) {
    if (text.ends_with("lines of output]") || text == "[stderr]" || text == "[stdout]" || text == "--- stderr") {
      quoting_ = true;
      return true;
    }
    if (text == "[end of output]" || (line[0] != ' ' && line[0] != '\t')) quoting_ = false;
    if (quoting_) program_ = text;
    return quoting_;
  }

  std::string headline_;
  std::string first_cause_;
  std::string last_cause_;
  std::string program_;
  std::string last_line_;
  std::string index_;
  std::string unreachable_;
  bool wrapped_ = false;
  bool quoting_ = false;
};

// The number at the front of `text`, with what is around it: "(line 12)" or ":12". Takes it away; 0 if there is none.
std::size_t take_line_number(std::string_view& text) {
  constexpr std::string_view kPip = " (line ";
  const bool pip = text.starts_with(kPip);
  if (!pip && !text.starts_with(':')) return 0;
  std::string_view rest = text.substr(pip ? kPip.size() : 1);
  std::size_t number = 0;
  const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (problem != std::errc{}) return 0;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  if (pip && !rest.starts_with(')')) return 0;
  text = rest.substr(pip ? 1 : 0);
  return number;
}

// Takes "line 12 of " from the end of `text`, as pip says it too; 0 if it is not there.
std::size_t take_line_before(std::string& text) {
  constexpr std::string_view kLine = "line ", kOf = " of ";
  if (!text.ends_with(kOf)) return 0;
  const std::size_t digits_end = text.size() - kOf.size();
  const std::size_t before = text.find_last_not_of("0123456789", digits_end - 1);
  if (before == std::string::npos || !std::string_view(text).substr(0, before + 1).ends_with(kLine)) return 0;
  std::size_t number = 0;
  if (std::from_chars(text.data() + before + 1, text.data() + digits_end, number).ec != std::errc{}) return 0;
  text.resize(before + 1 - kLine.size());
  return number;
}

}  // namespace

std::string in_users_words(std::string_view log, std::string_view path, const std::vector<std::string>& origins) {
  const auto known = std::find_if(origins.begin(), origins.end(), [](const std::string& origin) { return !origin.empty(); });
  const std::string file = known == origins.end() ? std::string(path.substr(path.rfind('/') + 1)) : known->substr(0, known->rfind(':'));
  std::string text;
  for (;;) {
    const std::size_t at = log.find(path);
    text += log.substr(0, at);
    if (at == std::string_view::npos) return text;
    log.remove_prefix(at + path.size());
    const bool in_parentheses = log.starts_with(" (");
    const std::size_t after = take_line_number(log);
    const std::size_t before = after == 0 ? take_line_before(text) : 0;
    const std::size_t number = after + before;
    if (number == 0 || number > origins.size() || origins[number - 1].empty()) {
      text += file;
      continue;
    }
    const std::string& origin = origins[number - 1];
    const std::size_t colon = origin.rfind(':');
    const std::string_view name = std::string_view(origin).substr(0, colon), line = std::string_view(origin).substr(colon + 1);
    text += before > 0 ? fmt::format("line {} of {}", line, name) : in_parentheses ? fmt::format("{} (line {})", name, line) : origin;
  }
}

std::string telling_line(std::string_view log) {
  Telling lines;
  each_line(log, [&](std::string_view line) { lines.line(line); });
  std::string telling = lines.text();
  if (telling.size() > kMaxTelling) {
    std::size_t end = kMaxTelling;
    while (end > 0 && (static_cast<unsigned char>(telling[end]) & 0xC0) == 0x80) --end;
    telling = telling.substr(0, end) + "...";
  }
  return telling;
}

std::string progress_of_line(std::string_view line) {
  line = stripped(line);
  for (const char* word : {"Resolved", "Downloading", "Downloaded", "Building", "Built", "Prepared", "Installed", "Updating", "Updated",
                           "Collecting", "Using cached", "Installing", "Preparing", "Successfully installed"}) {
    if (is_word_before(line, word)) return lowered_first(line.substr(0, 200));
  }
  return "";
}

}  // namespace casemate
