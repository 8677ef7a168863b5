// immortal: reference counts that no longer change, so that a fork does not copy a page for each object it looks at (PEP 683).
#pragma once

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03080000
#include <Python.h>

namespace casemate::native {

/// immortalize(kinds, containers) -> number of objects: of those that can be reached from the garbage collector's makes immortal
///   types and modules' namespaces,
///   objects whose exact type is in `kinds` (a tuple): nobody can observe their death,
///   tuples and the like (exact type in `containers`, which cannot change what they hold) that hold nothing but such objects: their death
///   would free nothing else.
/// It does not look through objects that are immortal already: in a fork of a process that has called it only new ones cost anything.
/// CPython 3.12 and 3.13 with a GIL only: the caller checks.
PyObject* immortalize(PyObject* module, PyObject* arguments);

}  // namespace casemate::native
