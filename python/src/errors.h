// errors: casemate's errors as Python exceptions.
#pragma once

#include <string>

#include <nanobind/nanobind.h>

#include "casemate/result.h"

namespace casemate::python {

/// Thrown in the binding, which alone may throw; becomes the class of casemate.Error that its code names.
struct Failure {
  Error error;
};

/// Throws a Failure of code invalid_input: `place` says which value ("Job.argv[2]"), `what` what is wrong with it.
[[noreturn]] void reject(const std::string& place, const std::string& what);
/// The same for a value of the wrong type: "Job.argv[2]: a str is wanted, not int".
[[noreturn]] void reject_type(const std::string& place, const char* wanted, nanobind::handle value);

/// The value of a Result, or throws its error.
template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw Failure{std::move(result).error()};
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// An instance of the exception's class (casemate/_errors.py) for an error.
nanobind::object exception_of(const Error& error);

/// Makes nanobind raise Failures. Once, when the module is initialised.
void register_errors();

}  // namespace casemate::python
