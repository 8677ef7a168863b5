// Result<T>: a value or an Error. casemate's library functions never throw; see HACKING.md, "Errors".
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace casemate {

/// What kind of thing went wrong; front ends map these to their own exit codes and words.
enum class ErrorCode {
  invalid_input,  ///< the user gave something that can't be used; `what` says what to do
  not_found,      ///< a file, program or record that was named does not exist
  not_supported,  ///< this host can't do it (kernel, privilege, missing program); `what` says how to change that
  refused,        ///< the kernel, a server or a policy said no
  exhausted,      ///< out of disk, memory, descriptors, ids
  corrupt,        ///< stored data is not what its name says
  cancelled,      ///< somebody asked us to stop
  system,         ///< a system call failed in a way that is nobody's input; `errno_value` says how
  internal,       ///< a bug in casemate
};

/// One failure: `what` is one line for a person (what happened, to what, what to do), `errno_value` is 0 or an errno,
/// `where` names the system call or step that failed ("" if none).
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string what;
  int errno_value = 0;
  std::string where;
};

template <class T>
using Result = std::expected<T, Error>;

/// Makes the error side of any Result: `return fail(ErrorCode::not_found, "no such image 'x'")`.
[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string what, int errno_value = 0, std::string where = {}) {
  return std::unexpected<Error>(Error{code, std::move(what), errno_value, std::move(where)});
}

}  // namespace casemate

#define CASEMATE_CONCAT_(a, b) a##b
#define CASEMATE_CONCAT(a, b) CASEMATE_CONCAT_(a, b)

/// `TRY(expr)` returns the error of a Result<...> to the caller, and drops its value.
#define TRY(...)                                                              \
  do {                                                                        \
    auto try_result_ = (__VA_ARGS__);                                         \
    if (!try_result_) return std::unexpected(std::move(try_result_).error()); \
  } while (false)

/// `TRY_ASSIGN(auto x, expr)` declares or assigns from the value of a Result, or returns its error to the caller.
#define TRY_ASSIGN(target, ...)                                                                                     \
  auto CASEMATE_CONCAT(try_, __LINE__) = (__VA_ARGS__);                                                             \
  if (!CASEMATE_CONCAT(try_, __LINE__)) return std::unexpected(std::move(CASEMATE_CONCAT(try_, __LINE__)).error()); \
  target = std::move(*CASEMATE_CONCAT(try_, __LINE__))
