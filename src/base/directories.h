// directories: where casemate keeps what it keeps (XDG Base Directory Specification 0.8).
#pragma once

#include <string>

namespace casemate {

/// $CASEMATE_CACHE_DIR, else $XDG_CACHE_HOME/casemate, else ~/.cache/casemate, else /var/tmp/casemate-<uid>: blobs, layers, environments.
[[nodiscard]] std::string cache_directory();
/// $CASEMATE_STATE_DIR, else $XDG_STATE_HOME/casemate, else ~/.local/state/casemate, else /var/tmp/casemate-<uid>: the history database.
[[nodiscard]] std::string state_directory();

}  // namespace casemate
