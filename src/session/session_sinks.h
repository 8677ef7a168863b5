// session_sinks: whoever listens to a session.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/events.h"

namespace casemate {

/// All sinks of a session. Each call reaches every one of them.
class SessionSinks {
 public:
  explicit SessionSinks(const std::vector<Sink*>& sinks) : sinks_(sinks) {}

  template <class Call>
  void tell(Call call) {
    for (Sink* sink : sinks_) call(*sink);
  }
  void note(std::string_view line);
  /// Told once for each text.
  void note_once(const std::string& line);
  /// A state that the next one replaces.
  void progress(std::string_view line);

 private:
  const std::vector<Sink*>& sinks_;
  std::set<std::string> told_;
};

}  // namespace casemate
