// tester: the runtime tester and its models, as casemate/runtime.py stands on them.
#pragma once

#include <nanobind/nanobind.h>

namespace casemate::python {

/// Adds the class RuntimeTester and the runtime_* functions to the module.
void define_runtime(nanobind::module_& module);

}  // namespace casemate::python
