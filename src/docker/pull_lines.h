// pull_lines: what a daemon says while it pulls, as one line for a person. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

namespace casemate {

/// Adds up the layers of one pull.
class PullLines {
 public:
  /// `name` is the image's, as the user typed it.
  explicit PullLines(std::string name) : name_(std::move(name)) {}
  /// A line of the daemon's stream. True: line() may be another now.
  bool take(const nlohmann::json& object);
  /// "pulling python:3.11-slim: 3 of 5 layers, 41 of 120 MB".
  [[nodiscard]] std::string line() const;
  /// The daemon has it all: podman does not say so of each layer.
  void finish();
  /// The daemon's words for why it failed, "" if it has not.
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  struct Layer {
    bool done = false;
    std::uint64_t current = 0;
    std::uint64_t total = 0;
  };
  std::string name_;
  std::map<std::string, Layer> layers_;
  std::string error_;
};

}  // namespace casemate
