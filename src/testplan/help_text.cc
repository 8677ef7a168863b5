#include "testplan/help_text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <re2/re2.h>

#include "base/ascii.h"
#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostText = 256 << 10;
constexpr std::size_t kMostCommands = 200;
constexpr std::size_t kMostOptions = 500;
constexpr std::size_t kMostDescription = 300;

// As it would look on paper: colours, and letters struck twice by a typewriter, are not part of it.
std::string plain(std::string_view text) {
  std::string clean(text.substr(0, kMostText));
  static const RE2 colours("\x1b\\[[0-9;?]*[A-Za-z]");
  RE2::GlobalReplace(&clean, colours, "");
  std::string kept;
  for (const char byte : clean) {
    if (byte == '\b') {
      if (!kept.empty() && kept.back() != '\n') kept.pop_back();
    } else if (byte == '\t') {
      kept += "        ";
    } else if (byte != '\r') {
      kept += byte;
    }
  }
  return kept;
}

struct Line {
  std::size_t indent = 0;
  std::string text;  // without indentation and trailing blanks
};

std::vector<Line> lines_of(const std::string& text) {
  std::vector<Line> lines;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = std::string_view(text).substr(start, end - start);
    line = line.substr(0, line.find_last_not_of(' ') + 1);
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    lines.push_back({indent, std::string(line.substr(indent))});
    start = end + 1;
  }
  return lines;
}

std::string described(std::string_view text) { return printable_name(to_utf8(text.substr(0, kMostDescription))); }

// An entry's left and right column: two blanks part them.
struct Columns {
  std::string left, right;
};
Columns columns_of(const std::string& text) {
  const std::size_t gap = text.find("  ");
  if (gap == std::string::npos) return {text, ""};
  return {text.substr(0, gap), text.substr(std::min(text.find_first_not_of(' ', gap), text.size()))};
}

bool is_command_name(const std::string& word) {
  static const RE2 name(R"([A-Za-z0-9][A-Za-z0-9_.:-]{0,60})");
  return RE2::FullMatch(word, name);
}

// Which kind of section a heading begins: of commands, of something else, or maybe of commands (git has headings like "start a working
// area", under which commands stand).
enum class Section { unknown, commands, other };

class Reader {
 public:
  Reader(std::string_view text, std::string_view tool) : lines_(lines_of(plain(text))), tool_(tool) {}

  HelpText read() {
    wants_command_ = mentions_command();
    for (at_ = 0; at_ < lines_.size(); ++at_) {
      const Line& line = lines_[at_];
      if (line.text.empty()) {
        after_blank_ = true;
        continue;
      }
      if (in_usage_ && in_usage(line)) {
        usage_line(line.text);
      } else if (is_usage(line.text)) {
        begin_usage(line.text);
      } else if (line.text.starts_with('-')) {
        option(line);
      } else if (is_heading(line)) {
        heading(line.text);
      } else if (section_ != Section::other && line.indent > 0) {
        command(line);
      }
      after_blank_ = false;
    }
    return std::move(found_);
  }

 private:
  static bool is_usage(const std::string& text) {
    const std::string small = ascii_lower(text);
    return small.starts_with("usage:") || small == "usage" || small == "synopsis";
  }

  // Usage goes on until a blank line, and beyond it with lines that begin with the tool's name.
  bool in_usage(const Line& line) const {
    if (line.text.starts_with('-')) return false;
    return line.text.starts_with(tool_ + " ") || (line.indent > 0 && !after_blank_);
  }

  // Usage says that a word of a list is wanted: "git <command>", "app COMMAND [ARGS]", "[SUBCOMMAND]", "{add,remove}".
  bool mentions_command() const {
    for (std::size_t i = 0; i < std::min<std::size_t>(lines_.size(), 60); ++i) {
      if (RE2::PartialMatch(lines_[i].text, R"((?i)[<\[ (](sub-?)?(command|cmd|action)s?[>\] ).]|(?i) (sub)?command$)") &&
          (is_usage(lines_[i].text) || lines_[i].text.find(tool_) != std::string::npos))
        return true;
    }
    return false;
  }

  void begin_usage(const std::string& text) {
    found_.usage = true;
    in_usage_ = true;
    section_ = Section::other;
    if (const std::size_t colon = text.find(':'); colon != std::string::npos && colon + 1 < text.size()) usage_line(text.substr(colon + 1));
  }

  // "naval ship new <name>...": a plain word right after the tool's name is a command. "{add,remove}" are commands too.
  void usage_line(const std::string& text) {
    static const RE2 plain_word(R"([a-z][a-z0-9_-]*)");
    std::vector<std::string> words;
    for (std::size_t start = 0; (start = text.find_first_not_of(' ', start)) != std::string::npos;) {
      const std::size_t end = std::min(text.find(' ', start), text.size());
      words.push_back(text.substr(start, end - start));
      start = end;
    }
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::string& word = words[i];
      if (word.starts_with('{') && word.find(',') != std::string::npos) choices(word);
      const bool own = i <= 1 && (word == tool_ || word.ends_with("/" + tool_));
      if (own && i + 1 < words.size() && words[i + 1] != "or" && RE2::FullMatch(words[i + 1], plain_word)) named_by_usage(words[i + 1]);
    }
  }

  // One line with a plain word may be an operand; several are docopt's.
  void named_by_usage(const std::string& name) {
    if (++usage_names_ == 1) {
      first_usage_name_ = name;
      return;
    }
    if (usage_names_ == 2) add_command(first_usage_name_, "");
    add_command(name, "");
  }

  void choices(std::string text) {
    text = text.substr(1, text.find('}') == std::string::npos ? std::string::npos : text.find('}') - 1);
    for (std::size_t start = 0; start <= text.size();) {
      const std::size_t end = std::min(text.find(',', start), text.size());
      add_command(text.substr(start, end - start), "");
      start = end + 1;
    }
  }

  // Not indented more than what stands around it, and followed by something that is; or with a colon at its end.
  bool is_heading(const Line& line) const {
    if (line.indent > 4 || line.text.size() > 100) return false;
    if (columns_of(line.text).right.empty() && line.text.ends_with(':')) return true;
    if (line.indent > 0) return false;
    for (std::size_t next = at_ + 1; next < lines_.size() && next < at_ + 3; ++next) {
      if (!lines_[next].text.empty()) return lines_[next].indent > 0;
    }
    return false;
  }

  void heading(const std::string& text) {
    in_usage_ = false;
    entry_indent_.reset();
    const std::string small = ascii_lower(text);
    static const RE2 of_commands(R"(\b(sub-?)?commands?\b|\bactions\b|\bverbs\b)"), ends_in_commands(R"(commands?:?$)");
    static const RE2 of_others(
        R"(^see also|\b(options?|flags?|switches|arguments?|parameters|examples?|environment|variables|files|exit|topics?|report|author|copyright|description|note|name|operands?)\b)");
    const bool names = RE2::PartialMatch(small, of_commands);
    const bool options = RE2::PartialMatch(small, of_others);
    if (small == "positional arguments:") {
      section_ = Section::unknown;  // argparse has "{a,b}" there, and below it what they do
      positional_ = true;
      return;
    }
    positional_ = false;
    if (names && !(options && !RE2::PartialMatch(small, ends_in_commands))) {
      section_ = Section::commands;
    } else {
      section_ = options || !wants_command_ ? Section::other : Section::unknown;
    }
  }

  void command(const Line& line) {
    if (line.text.starts_with('{') && line.text.find('}') != std::string::npos) {
      choices(line.text);
      section_ = Section::commands;
      entry_indent_.reset();
      return;
    }
    if (positional_ && section_ == Section::unknown) return;
    if (section_ == Section::commands && listed_by_commas(line.text)) return;
    const Columns columns = columns_of(line.text);
    // "add, a", "run [options] <file>", "remote:"
    static const RE2 entry(R"(([A-Za-z0-9][A-Za-z0-9_.:-]*?)[*:]?((, ?| \| ?|\|)[A-Za-z0-9_.:-]+)*( [<\[{(A-Z].*)?)");
    std::string name;
    if (!RE2::FullMatch(columns.left, entry, &name)) return;
    if (section_ == Section::unknown && columns.right.empty()) return;
    if (entry_indent_ && line.indent > *entry_indent_ + 1) {  // the rest of what stands above
      return;
    }
    entry_indent_ = line.indent;
    std::string description = columns.right;
    if (description.empty() && at_ + 1 < lines_.size() && lines_[at_ + 1].indent > line.indent) description = lines_[at_ + 1].text;
    add_command(name, description);
  }

  // npm: "access, adduser, audit, bugs,"
  bool listed_by_commas(const std::string& text) {
    static const RE2 list(R"([a-z0-9_.:-]+(, [a-z0-9_.:-]+){2,},?)"), rest(R"([a-z0-9_.:-]+(, [a-z0-9_.:-]+)*)");
    if (!RE2::FullMatch(text, list) && !(commas_ && RE2::FullMatch(text, rest))) return false;
    commas_ = text.ends_with(',');
    std::string word;
    for (const char byte : text + ",") {
      if (byte == ',') {
        add_command(std::exchange(word, ""), "");
      } else if (byte != ' ') {
        word += byte;
      }
    }
    return true;
  }

  void add_command(const std::string& name, const std::string& description) {
    if (!is_command_name(name) || name == tool_) return;
    const auto known =
        std::find_if(found_.commands.begin(), found_.commands.end(), [&](const HelpCommand& each) { return each.name == name; });
    if (known != found_.commands.end()) {
      if (known->description.empty()) known->description = described(description);
      return;
    }
    if (found_.commands.size() < kMostCommands) found_.commands.push_back({name, described(description)});
  }

  // "-a, --all    do all", "--output=FILE", "-o, --output string   where", "--[no-]color", "-V | --version"
  void option(const Line& line) {
    in_usage_ = false;
    const Columns columns = columns_of(line.text);
    HelpOption option;
    std::string_view rest = columns.left;
    static const RE2 flag(R"(^(--?[A-Za-z0-9?@#][A-Za-z0-9_.-]*)(\[?=?[^\s,|/]*)?)");
    bool any = false;
    while (!rest.empty()) {
      re2::StringPiece piece(rest.data(), rest.size());
      std::string name;
      std::string value;
      if (!RE2::Consume(&piece, flag, &name, &value)) break;
      any = true;
      rest = std::string_view(piece.data(), piece.size());
      option.takes_value = option.takes_value || !value.empty();
      if (name.starts_with("--") || name.size() > 2) {
        if (!option.name.starts_with("--")) option.name = name;
      } else {
        option.short_name = name;
      }
      const std::size_t next = rest.find(" -");
      const std::size_t joint = rest.find_first_not_of(" ,|/");
      if (joint == std::string_view::npos) break;
      if (rest[joint] == '-' && joint > 0) {
        rest.remove_prefix(joint);
        continue;
      }
      option.takes_value = true;  // a word that is no option: "<FILE>", "string"
      if (next == std::string_view::npos) break;
      rest.remove_prefix(next + 1);
    }
    if (!any || found_.options.size() >= kMostOptions) return;
    if (option.name.empty()) option.name = option.short_name;
    std::string description = columns.right;
    if (description.empty() && at_ + 1 < lines_.size() && lines_[at_ + 1].indent > line.indent && !lines_[at_ + 1].text.starts_with('-'))
      description = lines_[at_ + 1].text;
    option.description = described(description);
    const bool known =
        std::any_of(found_.options.begin(), found_.options.end(), [&](const HelpOption& each) { return each.name == option.name; });
    if (!known) found_.options.push_back(std::move(option));
  }

  const std::vector<Line> lines_;
  const std::string tool_;
  HelpText found_;
  std::size_t at_ = 0;
  Section section_ = Section::other;
  bool wants_command_ = false;
  bool in_usage_ = false;
  bool after_blank_ = false;
  bool positional_ = false;
  bool commas_ = false;
  std::optional<std::size_t> entry_indent_;
  std::size_t usage_names_ = 0;
  std::string first_usage_name_;
};

}  // namespace

HelpText read_help(std::string_view text, std::string_view tool) { return Reader(text, tool).read(); }

}  // namespace casemate
