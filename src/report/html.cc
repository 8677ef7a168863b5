// What a test chose (names, texts) enters the page only within <script type="application/json">, which a browser neither runs nor parses as
// HTML, with every '<' as \u003c so that nothing in it can end that element; the script of the page makes text nodes of it. The page's
// policy lets exactly that one script run, by its digest.
#include "report/html.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "report/html_row.h"

namespace casemate {
namespace {

#include "html_page.inc"

using Json = nlohmann::ordered_json;

constexpr std::size_t kBlock = 256 << 10, kMostNotes = 200, kMostPast = 20;
constexpr std::uint64_t kLeastText = 1 << 10;

// A data block. Within JSON '<' stands only in strings, where \u003c is the same.
std::string block(std::string_view name, std::string_view json) {
  std::string text = fmt::format("<script type=\"application/json\" class=\"{}\">", name);
  text.reserve(text.size() + json.size() + json.size() / 16);
  for (const char byte : json) {
    if (byte == '<')
      text += "\\u003c";
    else
      text += byte;
  }
  return text + "</script>\n";
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string head() {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src {}; style-src {}; img-src data:; "
      "base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>Tests</title>\n<style>{}</style>\n</head>\n<body>\n{}",
      policy_digest(kPageScript), policy_digest(kPageStyle), kPageStyle, kPageHead);
}

// Where an escape sequence that begins at `at` ends (ECMA-48 5.4: CSI; ISO 2022 and OSC, DCS and such up to BEL or ST).
std::size_t end_of_escape(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  std::size_t end = at + 1;
  if (byte(end) == '[') {
    for (++end; byte(end) >= 0x20 && byte(end) <= 0x3f;) ++end;
    return byte(end) >= 0x40 && byte(end) <= 0x7e ? end + 1 : end;
  }
  if (byte(end) == ']' || byte(end) == 'P' || byte(end) == '^' || byte(end) == '_' || byte(end) == 'X') {
    for (std::size_t i = end + 1; i < text.size() && i < end + 4096; ++i) {
      if (text[i] == '\a') return i + 1;
      if (text[i] == '\x1b' && byte(i + 1) == '\\') return i + 2;
    }
    return end + 1;
  }
  while (byte(end) >= 0x20 && byte(end) <= 0x2f) ++end;
  return byte(end) >= 0x30 && byte(end) <= 0x7e ? end + 1 : end;
}

}  // namespace

std::string policy_digest(std::string_view text) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string hex = sha256_hex(text);
  std::string base64;
  unsigned bits = 0;
  int count = 0;
  for (const char digit : hex + "0") {  // 256 bits and 2 of padding; the last two of these four are never used
    bits = bits << 4 | static_cast<unsigned>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    count += 4;
    if (count >= 6) {
      count -= 6;
      base64 += kDigits[bits >> count & 63];
    }
  }
  return fmt::format("'sha256-{}='", base64);
}

std::string page_text(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\x1b') {
      at = end_of_escape(text, at);
    } else if (text[at] == '\r') {
      if (at + 1 >= text.size() || text[at + 1] != '\n') plain += '\n';
      ++at;
    } else {
      plain += text[at++];
    }
  }
  return printable(plain);
}

PastOf past_in(const TestHistory& history, std::string project) {
  return [&history, project = std::move(project)](const std::string& id) {
    std::vector<HtmlPast> past;
    const auto trend = history.trend(project, id, kMostPast + 1);  // the run on the page is kept while it goes
    if (!trend) return past;
    for (const TestMoment& moment : *trend) {
      if (const auto verdict = verdict_of(moment.result.verdict)) past.push_back({moment.began_ms, *verdict, moment.result.duration_us});
    }
    return past;
  };
}

void HtmlReport::keep(const Result<void>& written) {
  if (written || !problem_.empty()) return;
  problem_ = written.error().what;
  file_.reset();
}

void HtmlReport::run_started(const RunStart& run) {
  if (problem_.empty()) keep(begin(run));
}

Result<void> HtmlReport::begin(const RunStart& run) {
  rows_.clear();
  bad_.clear();
  good_.clear();
  notes_.clear();
  container_.clear();
  TRY_ASSIGN(ReportFile begun, ReportFile::begin(options_.path));
  if (file_ && data_end_ > 0)
    TRY(begun.add_from(*file_, data_end_));
  else
    TRY(begun.add(head()));
  file_ = std::move(begun);
  began_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(run.began.time_since_epoch()).count();
  std::vector<std::string> words{run.front_end};
  words.insert(words.end(), run.arguments.begin(), run.arguments.end());
  const Json json = {{"name", printable_name(run.name.empty() ? run.directory : run.name)},
                     {"command", printable_name(join_shell_words(words))},
                     {"directory", printable_name(run.directory)},
                     {"began_ms", began_ms_},
                     {"slots", run.slots},
                     {"repetition", run.repetition},
                     {"repetitions", run.repetitions},
                     {"casemate", CASEMATE_VERSION}};
  return file_->add(block("run", dump(json)));
}

void HtmlReport::collected(const Collected& collected) {
  python_ = collected.python;
  pytest_ = collected.pytest;
  deselected_ = collected.deselected;
  for (const TestResult& problem : collected.problems) add_row(problem, false);
}

void HtmlReport::test_finished(const TestResult& result) {
  add_row(result,
          result.verdict != Verdict::ignored && !result.cached && !(result.verdict == Verdict::cancelled && result.duration.count() == 0));
}

std::uint64_t HtmlReport::text_limit(const TestResult& result) const {
  const bool passed = !is_bad(result.verdict) && !result.flaky;
  if (texts_ < options_.all_texts) return passed ? options_.passed_text : options_.failed_text;
  return passed ? 0 : kLeastText;
}

void HtmlReport::add_row(const TestResult& result, bool in_slot) {
  if (!file_) return;
  std::string row = dump(html_row(result, in_slot, text_limit(result), result.container == container_));
  container_ = result.container;
  texts_ += row.size();
  rows_ += rows_.empty() ? "[" : ",\n";
  rows_ += row;
  if (rows_.size() >= kBlock) flush_rows();
  if (!options_.past || !result.last) return;
  std::vector<std::string>& ids = is_bad(result.verdict) || result.flaky ? bad_ : good_;
  if (ids.size() < options_.tests_with_past) ids.push_back(result.test.id);
}

void HtmlReport::flush_rows() {
  if (!file_ || rows_.empty()) return;
  keep(file_->add(block("tests", rows_ + "]")));
  rows_.clear();
}

void HtmlReport::note(std::string_view line) {
  if (notes_.size() < kMostNotes) notes_.push_back(printable_name(line));
}

Result<void> HtmlReport::end_run(const RunEnd& end) {
  flush_rows();
  if (!file_) return {};  // flush_rows() has kept why
  Json past = Json::array();
  for (const auto* ids : {&bad_, &good_}) {
    for (const std::string& id : *ids) {
      Json moments = Json::array();
      for (const HtmlPast& moment : options_.past(id)) {
        if (moment.began_ms < began_ms_ && moments.size() < kMostPast)
          moments.push_back({moment.began_ms, static_cast<int>(moment.verdict), moment.duration_us});
      }
      if (!moments.empty()) past.push_back({page_name(id), std::move(moments)});
    }
  }
  const Json json = {{"end",
                      {{"took", end.took.count()},
                       {"flaky", end.flaky},
                       {"cached", end.cached},
                       {"not_run", end.not_run},
                       {"stopped", printable_name(end.stopped_because)},
                       {"problem", printable_name(end.problem)},
                       {"exit_status", end.exit_status}}},
                     {"past", std::move(past)},
                     {"notes", notes_},
                     {"python", printable_name(python_)},
                     {"pytest", printable_name(pytest_)},
                     {"deselected", deselected_}};
  TRY(file_->add(block("end", dump(json))));
  data_end_ = file_->size();
  TRY(file_->add(fmt::format("<script>{}</script>\n</body>\n</html>\n", kPageScript)));
  return file_->publish();
}

std::string HtmlReport::run_finished(const RunEnd& end) {
  if (problem_.empty() && file_) keep(end_run(end));
  return problem();
}

}  // namespace casemate
