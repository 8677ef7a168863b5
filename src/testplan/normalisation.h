// normalisation: what differs between two runs of the same command for no reason, replaced by names: times, ids, temp paths. Beside the raw
// bytes, never instead of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// What is replaced, by what: "<timestamp>".
struct NormalisationRule {
  std::string name;     ///< "timestamp"
  std::string pattern;  ///< RE2
  std::string by;       ///< with \1 as RE2's rewrite has it
};

/// In the order in which they are applied: ansi (removed), timestamp, date, duration, uuid, temp_path, home, hex_address, pid, port.
[[nodiscard]] const std::vector<NormalisationRule>& builtin_rules();

/// Rules, ready to be applied to many texts; any number of threads may do so at once.
class Normaliser {
 public:
  /// Built-in rules but those named in `without`, then `more`. invalid_input: a pattern that RE2 refuses, a name that is unknown.
  static Result<Normaliser> create(std::vector<NormalisationRule> more = {}, const std::vector<std::string>& without = {});
  Normaliser(Normaliser&&) noexcept;
  Normaliser& operator=(Normaliser&&) noexcept;
  ~Normaliser();
  /// Linear in the text. Any bytes in, UTF-8 out (U+FFFD for what is none); CRLF becomes LF.
  [[nodiscard]] std::string apply(std::string_view text) const;

 private:
  struct Parts;
  explicit Normaliser(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
