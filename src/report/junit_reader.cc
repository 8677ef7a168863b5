#include "report/junit_reader.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "report/failure_text.h"

namespace casemate {
namespace {

constexpr std::size_t kMostTags = 2'000'000;        // a node takes some 100 bytes, a tag three
constexpr std::size_t kMostAttributes = 4'000'000;  // of all tags together
constexpr std::size_t kMostDepth = 64;              // of suites in suites
constexpr std::size_t kMostName = 4096;             // bytes of a case's name, and of its class
constexpr std::size_t kMostTime = 64;
constexpr std::size_t kGapLine = 64;  // what head_and_tail() adds to what it keeps

std::size_t line_of(std::string_view xml, std::size_t at) {
  return 1 + static_cast<std::size_t>(std::count(xml.begin(), xml.begin() + static_cast<std::ptrdiff_t>(std::min(at, xml.size())), '\n'));
}

std::unexpected<Error> broken(std::string_view xml, std::size_t at, std::string_view how) {
  return fail(ErrorCode::corrupt, fmt::format("the JUnit report is broken in line {}: {}", line_of(xml, at), how));
}

// What is looked at before a parser spends memory on it: how many tags and attributes there are. A DOCTYPE, which alone could define
// entities, is in no report of pytest.
class Survey {
 public:
  explicit Survey(std::string_view xml) : xml_(xml) {}

  Result<void> whole() {
    if (const std::size_t nul = xml_.find('\0'); nul != std::string_view::npos) return broken(xml_, nul, "a NUL byte");
    while ((at_ = xml_.find('<', at_)) != std::string_view::npos) {
      const std::size_t begin = at_;
      if (++tags_ > kMostTags) return fail(ErrorCode::exhausted, fmt::format("the JUnit report has more than {} tags", kMostTags));
      if (skipped("<!--", "-->") || skipped("<![CDATA[", "]]>") || skipped("<?", "?>")) continue;
      if (xml_.substr(at_).starts_with("<!")) return broken(xml_, begin, "a document type or a declaration, which no pytest writes");
      pass_tag();
      if (attributes_ > kMostAttributes)
        return fail(ErrorCode::exhausted, fmt::format("the JUnit report has more than {} attributes", kMostAttributes));
    }
    return {};
  }

 private:
  bool skipped(std::string_view begin, std::string_view end) {
    if (!xml_.substr(at_).starts_with(begin)) return false;
    const std::size_t found = xml_.find(end, at_ + begin.size());
    at_ = found == std::string_view::npos ? xml_.size() : found + end.size();
    return true;
  }

  // To behind the '>' that is not within quotes.
  void pass_tag() {
    char quote = 0;
    for (++at_; at_ < xml_.size(); ++at_) {
      const char byte = xml_[at_];
      if (quote != 0) {
        if (byte == quote) quote = 0;
      } else if (byte == '"' || byte == '\'') {
        quote = byte;
        ++attributes_;
      } else if (byte == '>') {
        break;
      }
    }
  }

  std::string_view xml_;
  std::size_t at_ = 0;
  std::size_t tags_ = 0;
  std::size_t attributes_ = 0;
};

bool is_suite(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  return name == "testsuite" || name == "testsuites";
}

void join(std::string& all, std::string_view more, std::string_view between) {
  if (more.empty()) return;
  if (!all.empty()) all += between;
  all += more;
}

std::string content(const pugi::xml_node& element) {
  std::string text;
  for (const pugi::xml_node& part : element.children()) {
    if (part.type() == pugi::node_pcdata || part.type() == pugi::node_cdata) text += part.value();
  }
  return text;
}

class Reader {
 public:
  Result<JUnitDocument> read(const pugi::xml_node& root) {
    TRY(read_suite(root, 1));
    return std::move(report_);
  }

 private:
  Result<void> read_suite(const pugi::xml_node& suite, std::size_t depth) {
    if (depth > kMostDepth) return fail(ErrorCode::exhausted, fmt::format("the JUnit report has suites {} deep", kMostDepth));
    if (report_.time.empty()) report_.time = bounded(suite.attribute("time").value(), kMostTime);
    for (const pugi::xml_node& node : suite.children()) {
      if (is_suite(node)) {
        TRY(read_suite(node, depth + 1));
      } else if (std::string_view(node.name()) == "testcase") {
        if (report_.cases.size() >= kMostJUnitCases)
          return fail(ErrorCode::exhausted, fmt::format("the JUnit report has more than {} cases", kMostJUnitCases));
        add_case(node);
      }
    }
    return {};
  }

  void add_case(const pugi::xml_node& node) {
    JUnitCase test;
    test.class_name = bounded(node.attribute("classname").value(), kMostName);
    test.name = bounded(node.attribute("name").value(), kMostName);
    test.time = bounded(node.attribute("time").value(), kMostTime);
    for (const pugi::xml_node& element : node.children()) {
      const std::string_view kind = element.name();
      bool* const is = kind == "failure" ? &test.failed : kind == "error" ? &test.errored : kind == "skipped" ? &test.skipped : nullptr;
      if (!is) continue;
      *is = true;
      join(test.text, content(element), "\n\n");
      join(test.message, element.attribute("message").value(), "\n");
    }
    test.text = bounded(test.text, kMostJUnitText);
    test.message = bounded(test.message, kMostJUnitText);
    if (test.errored && !test.failed && joined_failure(test)) return;
    if (test.failed) failures_[key(test)] = report_.cases.size();
    report_.cases.push_back(std::move(test));
  }

  // pytest writes a second <testcase> of the same name where a test's call has failed and then its tear-down.
  bool joined_failure(const JUnitCase& error) {
    const auto found = failures_.find(key(error));
    if (found == failures_.end()) return false;
    JUnitCase& test = report_.cases[found->second];
    test.errored = true;
    join(test.text, error.text, "\n\n");
    join(test.message, error.message, "\n");
    test.text = bounded(test.text, kMostJUnitText);
    test.message = bounded(test.message, kMostJUnitText);
    failures_.erase(found);
    return true;
  }

  static std::string key(const JUnitCase& test) { return fmt::format("{}\n{}", test.class_name, test.name); }

  std::string bounded(std::string_view text, std::size_t most) {
    if (text.size() <= most) return std::string(text);
    std::string kept = most > 2 * kGapLine ? head_and_tail(text, most - kGapLine) : "";
    report_.dropped_bytes += text.size() - kept.size();
    return kept;
  }

  JUnitDocument report_;
  std::unordered_map<std::string, std::size_t> failures_;  // whose tear-down may follow
};

}  // namespace

Result<JUnitDocument> read_junit(std::string_view xml) {
  if (xml.size() > kMostJUnitBytes)
    return fail(ErrorCode::exhausted, fmt::format("the JUnit report is larger than {} MiB", kMostJUnitBytes >> 20));
  if (xml.find_first_not_of(" \t\r\n") == std::string_view::npos) return fail(ErrorCode::corrupt, "the JUnit report is empty");
  TRY(Survey(xml).whole());
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed) return broken(xml, static_cast<std::size_t>(std::max<std::ptrdiff_t>(parsed.offset, 0)), parsed.description());
  const pugi::xml_node root = document.document_element();
  if (!is_suite(root))
    return fail(ErrorCode::corrupt, "the report is XML, but not JUnit's: it does not begin with <testsuites> or <testsuite>");
  for (pugi::xml_node next = root.next_sibling(); next; next = next.next_sibling()) {
    if (next.type() == pugi::node_element) return fail(ErrorCode::corrupt, "the JUnit report has more than one outermost element");
  }
  return Reader().read(root);
}

}  // namespace casemate
