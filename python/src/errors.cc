#include "errors.h"

#include <exception>

#include <fmt/format.h>

namespace nb = nanobind;

namespace casemate::python {
namespace {

const char* class_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_input:
      return "InvalidInput";
    case ErrorCode::not_found:
      return "NotFound";
    case ErrorCode::not_supported:
      return "NotSupported";
    case ErrorCode::refused:
      return "Refused";
    case ErrorCode::exhausted:
      return "Exhausted";
    case ErrorCode::corrupt:
      return "Corrupt";
    case ErrorCode::cancelled:
      return "Cancelled";
    case ErrorCode::system:
      return "SystemFailure";
    case ErrorCode::internal:
      break;
  }
  return "InternalError";
}

}  // namespace

void reject(const std::string& place, const std::string& what) {
  throw Failure{Error{ErrorCode::invalid_input, fmt::format("{}: {}", place, what)}};
}

void reject_type(const std::string& place, const char* wanted, nb::handle value) {
  reject(place, fmt::format("{} is wanted, not {}", wanted, nb::type_name(value.type()).c_str()));
}

nb::object exception_of(const Error& error) {
  const nb::object text = nb::steal(PyUnicode_DecodeUTF8(error.what.data(), static_cast<Py_ssize_t>(error.what.size()), "replace"));
  nb::object exception = nb::module_::import_("casemate._errors").attr(class_of(error.code))(text);
  exception.attr("errno_value") = error.errno_value;
  exception.attr("where") = error.where.c_str();
  return exception;
}

void register_errors() {
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const Failure& failure) {
      const nb::object exception = exception_of(failure.error);
      PyErr_SetObject(exception.type().ptr(), exception.ptr());
    }
  });
}

}  // namespace casemate::python
