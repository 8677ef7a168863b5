#include "session/session_sinks.h"

namespace casemate {

void SessionSinks::note(std::string_view line) {
  tell([&](Sink& sink) { sink.note(line); });
}

void SessionSinks::note_once(const std::string& line) {
  if (told_.insert(line).second) note(line);
}

void SessionSinks::progress(std::string_view line) {
  tell([&](Sink& sink) { sink.progress(line, false); });
}

}  // namespace casemate
