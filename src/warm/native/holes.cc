#include "warm/native/holes.h"

#include <cstdint>

namespace casemate::native {
namespace {

// obmalloc: blocks of one size lie in pools, which start at a multiple of 4 KiB (16 KiB since 3.10) with a header of 48 bytes. A fresh pool
// gives its blocks in order from its first one; one with holes gives the block that was freed last.
constexpr std::uintptr_t kPageMask = 0xFFF;
constexpr std::uintptr_t kPoolHeader = 48;
constexpr std::size_t kStep = 16;
constexpr std::size_t kLargest = 512;
constexpr int kFreshRun = 6;         ///< so many blocks in a row from the first on: a pool without holes
constexpr int kMostBlocks = 50'000;  ///< of one size; another allocator than obmalloc (PYTHONMALLOC) may never give such a row

long fill(std::size_t size) {
  void* run[kFreshRun] = {};
  int length = 0;
  long kept = 0;
  for (int i = 0; i < kMostBlocks && length < kFreshRun; ++i) {
    void* const block = PyObject_Malloc(size);
    if (block == nullptr) break;
    const auto address = reinterpret_cast<std::uintptr_t>(block);
    const bool follows = length > 0 && address == reinterpret_cast<std::uintptr_t>(run[length - 1]) + size;
    const bool begins = (address & kPageMask) == kPoolHeader;
    if (!follows) {
      kept += length;
      length = 0;
    }
    if (follows || begins) {
      run[length++] = block;
    } else {
      ++kept;
    }
  }
  while (length > 0) PyObject_Free(run[--length]);
  return kept;
}

}  // namespace

PyObject* fill_holes(PyObject* /*module*/, PyObject* /*none*/) {
  long kept = 0;
  for (std::size_t size = kStep; size <= kLargest; size += kStep) kept += fill(size);
  return PyLong_FromLong(kept);
}

}  // namespace casemate::native
