// json_lines: the Engine API's streams of JSON objects, one after the other (pull, build, events).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "casemate/result.h"

namespace casemate {

/// Takes the stream in any pieces and hands on each object. What stands on a line and is no object is passed over.
class JsonLines {
 public:
  using Take = std::function<void(const nlohmann::json& object)>;
  explicit JsonLines(Take take) : take_(std::move(take)) {}
  /// corrupt: a line of more than 1 MiB.
  Result<void> feed(std::string_view bytes);
  /// The last line may lack its end.
  void end();

 private:
  Take take_;
  std::string line_;
};

}  // namespace casemate
