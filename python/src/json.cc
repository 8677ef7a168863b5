#include "json.h"

#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "base/terminal.h"
#include "errors.h"

namespace nb = nanobind;
using Json = nlohmann::ordered_json;

namespace casemate::python {
namespace {

Json value_of(nb::handle value, const std::string& place, int depth);

std::string text_of(nb::handle value, const std::string& place) {
  const nb::object bytes = nb::steal(PyUnicode_AsUTF8String(value.ptr()));
  if (!bytes.is_valid()) {
    PyErr_Clear();
    reject(place, "its text has lone surrogates, which are no Unicode");
  }
  char* text = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(bytes.ptr(), &text, &size) < 0) throw nb::python_error();
  return {text, static_cast<std::size_t>(size)};
}

Json integer_of(nb::handle value, const std::string& place) {
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
  if (overflow == 0) {
    if (number == -1 && PyErr_Occurred()) throw nb::python_error();
    // As a JSON text would be read: who takes a count asks for the kind without a sign.
    if (number >= 0) return static_cast<std::uint64_t>(number);
    return static_cast<std::int64_t>(number);
  }
  if (overflow > 0) {
    const unsigned long long large = PyLong_AsUnsignedLongLong(value.ptr());
    if (!PyErr_Occurred()) return static_cast<std::uint64_t>(large);
    PyErr_Clear();
  }
  reject(place, "an int of more than 64 bits");
}

// `at` names an item: only called when there is something to say, for most values are fine.
Json list_of(nb::handle value, const std::string& place, int depth) {
  Json list = Json::array();
  const nb::object items = nb::steal(PySequence_List(value.ptr()));  // a copy: paths' __fspath__ may change what they lie in
  if (!items.is_valid()) throw nb::python_error();
  const Py_ssize_t count = PyList_Size(items.ptr());
  for (Py_ssize_t i = 0; i < count; ++i)
    list.push_back(value_of(PyList_GetItem(items.ptr(), i), fmt::format("{}[{}]", place, i), depth + 1));
  return list;
}

Json dict_of(nb::handle value, const std::string& place, int depth) {
  Json object = Json::object();
  const nb::object items = nb::steal(PyMapping_Items(value.ptr()));
  if (!items.is_valid()) throw nb::python_error();
  const Py_ssize_t count = PyList_Size(items.ptr());
  for (Py_ssize_t i = 0; i < count; ++i) {
    const nb::object pair = nb::borrow(PyList_GetItem(items.ptr(), i));
    const nb::object key = pair[0];
    if (!PyUnicode_Check(key.ptr())) reject_type(place, "a dict whose keys are str", key);
    std::string name = text_of(key, place);
    std::string below = fmt::format("{}.{}", place, printable_name(name));
    const nb::object item = pair[1];
    object.emplace(std::move(name), value_of(item, below, depth + 1));
  }
  return object;
}

bool is_mapping(nb::handle value) {
  return PyDict_Check(value.ptr()) || nb::isinstance(value, nb::module_::import_("collections.abc").attr("Mapping"));
}

std::string type_of(nb::handle value) { return nb::type_name(value.type()).c_str(); }

// What makes plain data of tables and arrays as pandas and numpy have them; null: it is none of those.
const char* way_to_plain(nb::handle value) {
  if (nb::hasattr(value, "columns") && nb::hasattr(value, "to_dict"))
    return "give a table as df.to_dict(\"list\"), with None for missing values";
  if (nb::hasattr(value, "tolist")) return "give its .tolist(), with None for missing values";
  return nullptr;
}

Json value_of(nb::handle value, const std::string& place, int depth) {
  if (depth > kMostDepth) reject(place, fmt::format("nested deeper than {} containers", kMostDepth));
  if (value.is_none()) return nullptr;
  if (PyBool_Check(value.ptr())) return value.ptr() == Py_True;
  if (PyLong_Check(value.ptr())) return integer_of(value, place);
  if (PyFloat_Check(value.ptr())) {
    const double number = PyFloat_AsDouble(value.ptr());
    if (!std::isfinite(number)) reject(place, "JSON has no infinity and no NaN: a missing value is None");
    return number;
  }
  if (PyUnicode_Check(value.ptr())) return text_of(value, place);
  if (PyList_Check(value.ptr()) || PyTuple_Check(value.ptr())) return list_of(value, place, depth);
  if (PyBytes_Check(value.ptr()) || PyByteArray_Check(value.ptr())) reject(place, "bytes are no text: decode them first");
  if (nb::hasattr(value, "__fspath__")) {
    const nb::object path = nb::steal(PyOS_FSPath(value.ptr()));
    if (!path.is_valid()) throw nb::python_error();
    if (!PyUnicode_Check(path.ptr())) reject(place, "a path of bytes: decode it first (os.fsdecode)");
    return text_of(path, place);
  }
  if (is_mapping(value)) return dict_of(value, place, depth);
  constexpr const char* wanted = "plain data (None, bool, int, float, str, path, list, tuple, dict)";
  if (const char* way = way_to_plain(value)) reject(place, fmt::format("{} is wanted, not {}: {}", wanted, type_of(value), way));
  reject_type(place, wanted, value);
}

nb::object checked(PyObject* object) {
  if (!object) throw nb::python_error();
  return nb::steal(object);
}

}  // namespace

Json json_of(nb::handle value, const std::string& place) { return value_of(value, place, 0); }

nb::object text_object(std::string_view text) {
  return checked(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

nb::object object_of(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return nb::bool_(json.get<bool>());
    case Json::value_t::number_integer:
      return checked(PyLong_FromLongLong(json.get<std::int64_t>()));
    case Json::value_t::number_unsigned:
      return checked(PyLong_FromUnsignedLongLong(json.get<std::uint64_t>()));
    case Json::value_t::number_float:
      return checked(PyFloat_FromDouble(json.get<double>()));
    case Json::value_t::string:
      return text_object(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      nb::list list;
      for (const Json& item : json) list.append(object_of(item));
      return list;
    }
    case Json::value_t::object: {
      nb::dict dict;
      for (const auto& [key, item] : json.items()) dict[text_object(key)] = object_of(item);
      return dict;
    }
    default:
      return nb::none();
  }
}

}  // namespace casemate::python
