#include "warm/stream.h"

#include <gtest/gtest.h>

#include "warm/parent.h"
#include "warm/protocol.h"

namespace casemate {
namespace {

std::vector<StreamLine> read_in_pieces(const std::string& bytes, std::size_t piece, std::uint64_t* dropped = nullptr) {
  StreamReader reader;
  std::vector<StreamLine> lines;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.add(std::string_view(bytes).substr(at, piece), [&](StreamLine line) { lines.push_back(std::move(line)); });
  }
  if (dropped) *dropped = reader.dropped();
  return lines;
}

TEST(WarmStream, LinesArePutTogetherFromPiecesOfAnySize) {
  const std::string text = "{\"begin\": \"a\"}\n{\"end\": \"a\"}\n{\"done\": true}\n";
  for (const std::size_t piece : {1u, 3u, 100u}) {
    const auto lines = read_in_pieces(text, piece);
    ASSERT_EQ(lines.size(), 3u);
    EXPECT_EQ(std::get<StreamBegin>(lines[0]).id, "a");
    EXPECT_TRUE(std::holds_alternative<StreamDone>(lines[2]));
  }
}

TEST(WarmStream, ALineWithoutEndIsDroppedAndTheNextIsRead) {
  std::uint64_t dropped = 0;
  const auto lines = read_in_pieces(std::string(kMostLine + 10, 'x') + "\n{\"end\": \"a\"}\n", 1 << 20, &dropped);
  EXPECT_EQ(dropped, 1u);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(std::get<StreamEnd>(lines[0]).id, "a");
}

TEST(WarmStream, NestingThatWouldEndTheStackIsNoLine) {
  for (const char* key : {"hash", "properties"}) {
    const std::string deep =
        std::string("{\"file\": \"a\", \"") + key + "\": " + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}";
    EXPECT_TRUE(std::holds_alternative<std::monostate>(read_stream_line(deep)));
  }
  const std::string hash = "R{\"hash\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_TRUE(std::holds_alternative<std::monostate>(read_parent_message(hash)));
}

TEST(WarmStream, ACollectorThatStaysNamesItsFile) {
  EXPECT_EQ(std::get<CollectorStays>(read_parent_message(R"(S{"file": "tests/test_a.py"})")).file, "tests/test_a.py");
  EXPECT_EQ(std::get<CollectorStays>(read_parent_message("S{}")).file, "");
  EXPECT_LE(std::get<CollectorStays>(read_parent_message(R"(S{"file": ")" + std::string(100'000, 'x') + "\"}")).file.size(), 4200u);
}

TEST(WarmStream, WhatCoverageMeasuredIsKeptAsItIs) {
  const std::string text = R"({"coverage": ["", "lines", {"a.py": [1, 2]}]})";
  EXPECT_EQ(std::get<StreamCoverage>(read_stream_line(text)).line, text);
  const auto covered = std::get<StreamCovered>(read_stream_line(R"({"covered": "TOTAL 80%", "failed": true})"));
  EXPECT_EQ(covered.text, "TOTAL 80%");
  EXPECT_TRUE(covered.failed);
  const auto written = std::get<StreamWritten>(read_stream_line(R"({"written": "htmlcov/a.html", "more": true, "content": "YQ=="})"));
  EXPECT_EQ(written.path, "htmlcov/a.html");
  EXPECT_EQ(written.content, "YQ==");
  EXPECT_TRUE(written.more);
}

TEST(WarmStream, WhatWasRewrittenIsKeptAsItIs) {
  const std::string text = R"({"rewritten": "/app/test_a.py", "source": "7 1 30b02f0 9.0.2", "code": "YQ=="})";
  EXPECT_EQ(std::get<StreamRewritten>(read_stream_line(text)).line, text);
}

TEST(WarmStream, WhatCollectionLeftIsReadWithinBounds) {
  const auto file = std::get<StreamFile>(read_stream_line(R"({"file": "a.py", "hash": 1, "count": 2, "left": ["a file", 3, "b"]})"));
  EXPECT_EQ(file.left, (std::vector<std::string>{"a file", "b"}));
  EXPECT_EQ(std::get<StreamDone>(read_stream_line(R"({"done": true, "left": ["c"]})")).left, std::vector<std::string>{"c"});
  EXPECT_TRUE(std::get<StreamFile>(read_stream_line(R"({"file": "a.py", "left": {"a": "b"}})")).left.empty());
  std::string many = R"({"file": "a.py", "left": [")" + std::string(100'000, 'x') + '"';
  for (int i = 0; i < 1000; ++i) many += R"(, "y")";
  const auto bounded = std::get<StreamFile>(read_stream_line(many + "]}")).left;
  ASSERT_EQ(bounded.size(), 16u);
  EXPECT_EQ(bounded[0].size(), 1000u);
}

TEST(WarmStream, AReportIsReadWithAllItSays) {
  const auto line =
      read_stream_line(R"({"report": {"id": "a::b", "when": "call", "outcome": "failed", "start": 1.5, "duration": 0.25, "line": 7,
    "text": "t", "message": "m", "path": "p", "sections": [["Captured", "c"]], "properties": [["k", 1]], "xfail": "", "subtest": "s"}})");
  const auto& said = std::get<StreamReport>(line);
  EXPECT_EQ(said.id, "a::b");
  EXPECT_EQ(said.report.duration.count(), 250'000);
  EXPECT_EQ(said.report.line, 7u);
  EXPECT_EQ(said.report.sections.at(0).second, "c");
  EXPECT_EQ(said.properties.at(0).second, "1");
  EXPECT_EQ(said.report.xfail, "");
}

TEST(WarmStream, WhatIsOfTheWrongKindIsLeftOut) {
  const auto line =
      read_stream_line(R"({"report": {"id": 1, "when": [], "duration": 1e300, "line": -1, "sections": [1, ["a"], ["a", 2]]}})");
  const auto& said = std::get<StreamReport>(line);
  EXPECT_EQ(said.id, "");
  EXPECT_EQ(said.report.duration.count(), 0);
  EXPECT_EQ(said.report.line, 0u);
  for (const char* junk : {"", "1", "[]", "{}", "{\"report\": 1}", "{\"item\"", "\xff", "null"}) {
    const StreamLine read = read_stream_line(junk);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(read)) << junk;
  }
}

TEST(WarmParent, MessagesOfAnotherSizeAreNothing) {
  EndedMessage ended{};
  ended.letter = 'E';
  ended.job = 5;
  ended.user_us = -7;
  std::string bytes(reinterpret_cast<const char*>(&ended), sizeof ended);
  const auto said = std::get<ForkEnded>(read_parent_message(bytes));
  EXPECT_EQ(said.job, 5u);
  EXPECT_EQ(said.end.user_us, 0);
  bytes += 'x';
  EXPECT_TRUE(std::holds_alternative<std::monostate>(read_parent_message(bytes)));
  FailedMessage failed{};
  failed.letter = 'F';
  failed.step = 1000;
  const std::string other(reinterpret_cast<const char*>(&failed), sizeof failed);
  EXPECT_EQ(std::get<ForkFailed>(read_parent_message(other)).step, "enter the cell");
}

TEST(WarmParent, OneThatOnlyTalksNonsenseIsGone) {
  auto pair = ParentControl::create();
  ASSERT_TRUE(pair);
  ParentControl other(std::move(pair->second));
  bool gone = false;
  int heard = 0;
  for (int i = 0; i < 2000 && !gone; ++i) {
    ASSERT_EQ(other.send("junk", {}), ParentControl::Sent::yes);
    if (pair->first.receive(gone)) ++heard;
  }
  EXPECT_TRUE(gone);
  EXPECT_GT(heard, 100);
}

TEST(WarmParent, OneThatDoesNotReadIsTriedLaterAndOneThatIsGoneIsNot) {
  auto pair = ParentControl::create();
  ASSERT_TRUE(pair);
  ParentControl::Sent sent = ParentControl::Sent::yes;
  for (int i = 0; i < 100'000 && sent == ParentControl::Sent::yes; ++i) sent = pair->first.send("T", {});
  EXPECT_EQ(sent, ParentControl::Sent::later);
  pair->second.reset();
  EXPECT_EQ(pair->first.send("T", {}), ParentControl::Sent::no);
}

}  // namespace
}  // namespace casemate
