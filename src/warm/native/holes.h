// holes: free blocks between the objects of a warm parent. A fork that allocates into them copies a page for every few blocks.
#pragma once

#include "warm/native/immortal.h"

namespace casemate::native {

/// fill_holes() -> number of blocks: takes the free blocks of half used pools of CPython's allocator (obmalloc, blocks of up to 512 bytes)
/// for good, so that what a fork allocates lies together in fresh pools. A tenth fewer page faults a test.
PyObject* fill_holes(PyObject* module, PyObject* none);

}  // namespace casemate::native
