// collector: what the interpreter that collects has told.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "apps/pytest/coverage.h"
#include "casemate/engine.h"
#include "warm/stream.h"

namespace casemate {

/// Hears the collector's stream: all tests, in pytest's order.
struct Collector : JobListener {
  std::vector<TestCase> tests;
  std::map<std::string, std::string> hashes;  // by file
  std::vector<StreamProblem> problems;
  std::optional<StreamDone> done;
  Coverage coverage;     // of this and, later, of all tests
  bool damaged = false;  // something else was written to the stream
  StreamReader reader;

  void report(std::string_view bytes) override {
    reader.add(bytes, [this](StreamLine line) {
      if (auto* item = std::get_if<StreamItem>(&line)) {
        tests.push_back(std::move(item->test));
      } else if (auto* file = std::get_if<StreamFile>(&line)) {
        hashes[file->file] = std::move(file->hash);
      } else if (auto* problem = std::get_if<StreamProblem>(&line)) {
        problems.push_back(std::move(*problem));
      } else if (auto* measured = std::get_if<StreamCoverage>(&line)) {
        coverage.add(measured->line);
      } else if (auto* end = std::get_if<StreamDone>(&line)) {
        damaged |= done.has_value();
        done = std::move(*end);
      }
      damaged |= std::holds_alternative<std::monostate>(line);
    });
    damaged |= reader.dropped() > 0;
  }
};

}  // namespace casemate
