#include "session/filter.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "session/filter_words.h"

namespace casemate {

namespace {

// A method's name as maelstrom-pytest has it: "TestB.TestInner.test_c[1]".
std::string in_class(const TestCase& test) {
  std::string group = test.group;
  for (std::size_t at = group.find("::"); at != std::string::npos; at = group.find("::", at)) group.replace(at, 2, ".");
  return group + "." + test.name;
}

}  // namespace

// Chains are lists, so that only parentheses make it deep.
struct TestFilter::Node {
  enum class Kind : std::uint8_t { constant, look, all_of, any_of };
  Kind kind = Kind::constant;
  bool negated = false;
  bool value = true;                      // constant
  FilterField field = FilterField::file;  // look
  FilterMatcher matcher;                  // look
  std::vector<Node> parts;                // all_of, any_of

  [[nodiscard]] bool takes(const TestCase& test) const { return holds(test) != negated; }

 private:
  [[nodiscard]] bool looks_at(const TestCase& test) const {
    switch (field) {
      case FilterField::file:
        return matcher.matches(test.file);
      case FilterField::name:
        return matcher.matches(test.name) || (!test.group.empty() && matcher.matches(in_class(test)));
      case FilterField::node_id:
        return matcher.matches(test.id);
      case FilterField::package:
        return matcher.matches("default");
      case FilterField::markers:
        return std::any_of(test.markers.begin(), test.markers.end(), [&](const std::string& marker) { return matcher.matches(marker); });
    }
    return false;
  }

  [[nodiscard]] bool holds(const TestCase& test) const {
    const auto takes_it = [&](const Node& part) { return part.takes(test); };
    switch (kind) {
      case Kind::constant:
        return value;
      case Kind::look:
        return looks_at(test);
      case Kind::all_of:
        return std::all_of(parts.begin(), parts.end(), takes_it);
      case Kind::any_of:
        return std::any_of(parts.begin(), parts.end(), takes_it);
    }
    return false;
  }
};

namespace {

using Node = TestFilter::Node;

constexpr std::size_t kMostBytes = 64 << 10;
constexpr std::size_t kMostDepth = 100;
constexpr std::size_t kMostPatterns = 1000;

bool is_word_byte(char byte) { return std::isalnum(static_cast<unsigned char>(byte)) != 0 || byte == '_'; }

// Recursive descent, a function a rule of the grammar.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Node> whole() {
    if (text_.size() > kMostBytes) return problem(0, "longer than 64 KiB");
    TRY_ASSIGN(Node node, either());
    if (at_ == text_.size()) return node;
    if (text_[at_] == ')') return problem(at_, "this ')' closes nothing");
    const std::string_view found = word_here();
    if (found.empty()) return problem(at_, fmt::format("expected and, or, minus or the end, found '{}'", printable_line(character_here())));
    const std::string meant = nearest(found, {"and", "or", "minus"});
    return problem(at_, fmt::format("expected and, or, minus or the end, found '{}'{}", printable_line(found),
                                    meant.empty() ? "" : fmt::format(", did you mean '{}'?", meant)));
  }

 private:
  // The operators are what joins `parts`; a list of one is that one.
  static Node joined(Node::Kind kind, std::vector<Node> parts) {
    if (parts.size() == 1) return std::move(parts.front());
    Node node;
    node.kind = kind;
    node.parts = std::move(parts);
    return node;
  }

  Result<Node> either() {
    std::vector<Node> parts;
    do {
      TRY_ASSIGN(Node part, both());
      parts.push_back(std::move(part));
    } while (takes("||") || takes("|") || takes_word("or"));
    return joined(Node::Kind::any_of, std::move(parts));
  }

  Result<Node> both() {
    std::vector<Node> parts;
    bool without = false;
    while (true) {
      TRY_ASSIGN(Node part, negation());
      part.negated = part.negated != without;
      parts.push_back(std::move(part));
      const bool with = takes("&&") || takes("&") || takes("+") || takes_word("and");
      without = !with && (takes("-") || takes("\\") || takes_word("minus"));
      if (!with && !without) return joined(Node::Kind::all_of, std::move(parts));
    }
  }

  Result<Node> negation() {
    bool negated = false;
    while (takes("!") || takes("~") || takes_word("not")) negated = !negated;
    TRY_ASSIGN(Node node, simple());
    node.negated = node.negated != negated;
    return node;
  }

  Result<Node> simple() {
    skip_blanks();
    const std::size_t start = at_;
    if (takes("(")) {
      if (++depth_ > kMostDepth) return problem(start, fmt::format("more than {} parentheses in each other", kMostDepth));
      TRY_ASSIGN(Node node, either());
      --depth_;
      if (!takes(")")) return problem(start, "this '(' is not closed");
      return node;
    }
    const std::string_view word = word_here();
    if (word.empty())
      return problem(start, at_ == text_.size() ? "an expression is missing: all, file.equals(...), markers.contains(...)"
                                                : fmt::format("expected a selector (file, name, node_id, markers, all ...), found '{}'",
                                                              printable_line(character_here())));
    at_ += word.size();
    if (at_ < text_.size() && text_[at_] == '.') return look(word, start);
    Node node;
    auto value = filter_constant(word);
    if (!value) return problem(start, value.error().what);
    node.value = *value;
    if (text_.substr(at_, 2) == "()") at_ += 2;
    return node;
  }

  // What follows the selector, from the '.' on.
  Result<Node> look(std::string_view selector, std::size_t start) {
    Node node;
    node.kind = Node::Kind::look;
    const auto field = filter_field(selector);
    if (!field) return problem(start, field.error().what);
    node.field = *field;
    const std::size_t operator_start = ++at_;
    const std::string_view word = word_here();
    const auto how = word.empty() ? Result<FilterOperator>(fail(ErrorCode::invalid_input, "expected an operator: equals, contains ..."))
                                  : filter_operator(word);
    if (!how) return problem(operator_start, how.error().what);
    if (node.field == FilterField::markers && *how != FilterOperator::contains)
      return problem(operator_start, "markers has only the operator contains");
    at_ += word.size();
    const std::size_t parameter_start = at_;
    TRY_ASSIGN(const std::string_view text, parameter(word));
    const bool is_pattern = *how == FilterOperator::matches || *how == FilterOperator::globs;
    if (is_pattern && ++patterns_ > kMostPatterns) return problem(parameter_start, fmt::format("more than {} patterns", kMostPatterns));
    // A marker is one of the list or not; part of its name does not do.
    auto matcher = FilterMatcher::make(node.field == FilterField::markers ? FilterOperator::equals : *how, text);
    if (!matcher) return problem(parameter_start, matcher.error().what);
    node.matcher = std::move(*matcher);
    return node;
  }

  // "(...)" in one of five kinds of brackets, without them.
  Result<std::string_view> parameter(std::string_view after) {
    constexpr std::string_view kOpen = "([{</";
    constexpr std::string_view kClose = ")]}>/";
    const std::size_t kind = at_ < text_.size() ? kOpen.find(text_[at_]) : std::string_view::npos;
    if (kind == std::string_view::npos) return problem(at_, fmt::format("expected (...) after {}, or [...], {{...}}, <...>, /.../", after));
    const std::size_t start = ++at_;
    for (std::size_t depth = 1; at_ < text_.size(); ++at_) {
      if (text_[at_] == kClose[kind]) {
        if (--depth == 0) return text_.substr(start, at_++ - start);
      } else if (text_[at_] == kOpen[kind]) {
        ++depth;
      }
    }
    return problem(start - 1, fmt::format("this '{}' is not closed", kOpen[kind]));
  }

  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }

  bool takes(std::string_view symbol) {
    skip_blanks();
    if (!text_.substr(at_).starts_with(symbol)) return false;
    at_ += symbol.size();
    return true;
  }

  bool takes_word(std::string_view word) {
    skip_blanks();
    if (word_here() != word) return false;
    at_ += word.size();
    return true;
  }

  [[nodiscard]] std::string_view word_here() const {
    std::size_t end = at_;
    while (end < text_.size() && is_word_byte(text_[end])) ++end;
    return text_.substr(at_, end - at_);
  }

  // The whole character, which may be several bytes.
  [[nodiscard]] std::string_view character_here() const {
    std::size_t end = at_ + 1;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xc0) == 0x80) ++end;
    return text_.substr(at_, end - at_);
  }

  // Columns count characters, from 1.
  [[nodiscard]] std::unexpected<Error> problem(std::size_t at, std::string_view what) const {
    const std::string_view before = text_.substr(0, at);
    const auto column =
        1 + std::count_if(before.begin(), before.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; });
    return fail(ErrorCode::invalid_input, fmt::format("column {}: {}", column, what));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::size_t patterns_ = 0;
};

}  // namespace

Result<TestFilter> TestFilter::parse(std::string_view text) {
  TRY_ASSIGN(Node root, Parser(text).whole());
  return TestFilter(std::make_shared<const Node>(std::move(root)));
}

bool TestFilter::takes(const TestCase& test) const { return root_->takes(test); }

}  // namespace casemate
