// immortal: reference counts that no longer change, so that a fork does not copy a page for each object it looks at (PEP 683).
#pragma once

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03080000
#include <Python.h>

namespace casemate::native {

/// immortalize(types): makes objects that can be reached from the garbage collector's immortal if they are types, or if their exact type is
/// in `types` (a tuple). Their number. CPython 3.12 and 3.13 with a GIL only: the caller checks.
PyObject* immortalize(PyObject* module, PyObject* types);

}  // namespace casemate::native
