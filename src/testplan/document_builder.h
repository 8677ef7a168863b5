// document_builder: makes one value out of a parser's events, within bounds. Passive: parsers of JSON and of YAML drive it.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace casemate {

/// Each call is false once something is wrong: problem() says what, and nothing more is taken.
class DocumentBuilder {
 public:
  bool scalar(nlohmann::ordered_json value);
  /// `empty` is an empty object or array. `anchor`: a number from 1 by which alias() gives what it will have become; 0: none.
  bool begin(nlohmann::ordered_json empty, std::size_t anchor = 0);
  bool end();
  /// Of the next value of the object that is open.
  bool key(std::string name);
  /// True if the next thing that comes is an object's key.
  [[nodiscard]] bool wants_key() const;
  /// What `anchor` names once more. What is repeated so is counted as if it were written out.
  bool alias(std::size_t anchor);
  /// Remembers a scalar for alias().
  bool scalar(nlohmann::ordered_json value, std::size_t anchor);

  [[nodiscard]] const std::string& problem() const { return problem_; }
  /// The whole; null if there was nothing.
  [[nodiscard]] nlohmann::ordered_json take() { return std::move(whole_); }

 private:
  struct Open {
    nlohmann::ordered_json value;
    std::set<std::string> keys;
    std::string key;
    bool has_key = false;
    std::size_t anchor = 0;
    std::size_t values_before = 0;
    std::size_t bytes_before = 0;
  };
  struct Named {
    nlohmann::ordered_json value;
    std::size_t values = 0, bytes = 0;
  };

  bool wrong(std::string problem);
  bool count(std::size_t values, std::size_t bytes);
  bool put(nlohmann::ordered_json value);
  bool remember(std::size_t anchor, const nlohmann::ordered_json& value, std::size_t values, std::size_t bytes);

  std::vector<Open> open_;
  std::map<std::size_t, Named> named_;
  nlohmann::ordered_json whole_;
  std::size_t values_ = 0, bytes_ = 0;
  std::string problem_;
};

}  // namespace casemate
