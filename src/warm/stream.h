// stream: what a collector and the forks of a warm parent report, line by line, as values. See protocol.h. Everything is hostile.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/events.h"

namespace casemate {

/// A test, in the order of collection.
struct StreamItem {
  TestCase test;
};
/// The items of a file are over: what a parent of this file must come to as well.
struct StreamFile {
  std::string file;
  std::string hash;
  std::uint64_t count = 0;
  std::vector<std::string> left;  ///< what forks for its tests would not have, in words
};
/// A report, with what pytest keeps beside it.
struct StreamReport {
  std::string id;
  TestReport report;
  std::vector<std::pair<std::string, std::string>> properties;
};
/// A file that could not be collected.
struct StreamProblem {
  std::string id;
  TestReport report;
};
/// A warning, of a test or ("" id) of none.
struct StreamWarning {
  std::string id;
  TestWarning warning;
};
/// A test begins (told where there are several).
struct StreamBegin {
  std::string id;
};
/// All reports of a test have been given.
struct StreamEnd {
  std::string id;
};
/// The parent has not collected this test.
struct StreamMissing {
  std::string id;
};
/// A plain pytest would have ended its session here.
struct StreamStop {
  std::string text;
};
/// The last line. A fork's has nothing in it.
struct StreamDone {
  std::uint64_t deselected = 0;
  std::vector<std::string> left;  ///< what no fork would have or all would share, in words
  int status = 0;
  std::string text;
};
/// What coverage measured: the line as it is, without its newline, for the interpreter that reports. Not looked into.
struct StreamCoverage {
  std::string line;
};
/// What pytest's assertion rewriting made of a module: the line as it is, without its newline, for groups of tests. Not looked into.
struct StreamRewritten {
  std::string line;
};
/// What pytest-cov printed of all that was measured.
struct StreamCovered {
  std::string text;
  bool failed = false;  ///< it is less than what was asked for
};
/// A part of a file that pytest-cov wrote.
struct StreamWritten {
  std::string path;     ///< relative to where pytest was started; not checked
  std::string content;  ///< base64
  bool more = false;    ///< the next line has more of it
};
/// What an interpreter that collects alone says of itself.
struct StreamAbout {
  std::string python;
  std::string pytest;
  std::vector<std::string> notes;
};
/// monostate: no line that makes sense.
using StreamLine =
    std::variant<std::monostate, StreamItem, StreamFile, StreamReport, StreamProblem, StreamWarning, StreamBegin, StreamEnd, StreamMissing,
                 StreamStop, StreamDone, StreamCoverage, StreamCovered, StreamWritten, StreamRewritten, StreamAbout>;

/// One line without its newline. Never fails: what is no such line is monostate.
[[nodiscard]] StreamLine read_stream_line(std::string_view line);

/// Puts lines together. A line of more than kMostLine bytes is dropped, and counted.
class LineReader {
 public:
  /// `hear` gets each line without its newline, valid for the call.
  void add(std::string_view bytes, const std::function<void(std::string_view)>& hear);
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  std::string rest_;
  bool skipping_ = false;
  std::uint64_t dropped_ = 0;
};

/// The same, with each line's meaning.
class StreamReader {
 public:
  void add(std::string_view bytes, const std::function<void(StreamLine)>& hear);
  [[nodiscard]] std::uint64_t dropped() const { return lines_.dropped(); }

 private:
  LineReader lines_;
};

}  // namespace casemate
