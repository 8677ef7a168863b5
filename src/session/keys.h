// keys: single keys from the terminal, unseen: what is typed while a display is drawn would move it.
#pragma once

#include <string>

namespace casemate {

/// Switches echo and line mode of the terminal on stdin off, if we are in its foreground; puts them back when it goes, and when a signal
/// stops or ends the program (SIGKILL aside). Ctrl-C stays a signal. May be nested.
class Keys {
 public:
  Keys();
  ~Keys();
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  /// Whether there are keys to read.
  explicit operator bool() const { return on_; }
  /// The terminal: readable when a key was pressed.
  [[nodiscard]] int fd() const;
  /// What was typed; blocks if nothing was. "" if the terminal is gone.
  [[nodiscard]] std::string read() const;

 private:
  bool on_ = false;
  bool outermost_ = false;
};

}  // namespace casemate
