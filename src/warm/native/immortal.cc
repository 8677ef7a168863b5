#include "warm/native/immortal.h"

#include <cstdint>

#include <sys/mman.h>

#include "warm/native/kernel.h"

namespace casemate::native {
namespace {

// _Py_IMMORTAL_REFCNT of 3.12 and 3.13 on 64 bits. An increment sees that the low half would overflow and leaves it alone.
constexpr std::uint64_t kImmortal = 0xFFFFFFFFu;

// Pages of our own, so that the walk leaves no trace in the interpreter's memory.
void* take_pages(std::size_t bytes) {
  const long pages = call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages < 0 && pages > -4096 ? nullptr : reinterpret_cast<void*>(pages);
}

// What has been seen, as a set with open addressing, and what is still to be looked into. Both only grow.
struct Walk {
  PyObject** seen = nullptr;
  std::size_t capacity = 0;
  std::size_t count = 0;
  PyObject** open = nullptr;
  std::size_t open_count = 0;
  std::size_t open_capacity = 0;
  bool out_of_memory = false;

  std::size_t place(PyObject* object) const {
    std::size_t at_place = (reinterpret_cast<std::uintptr_t>(object) >> 4) * 0x9E3779B97F4A7C15u & (capacity - 1);
    while (seen[at_place] != nullptr && seen[at_place] != object) at_place = (at_place + 1) & (capacity - 1);
    return at_place;
  }
  bool grow_seen() {
    PyObject** const old = seen;
    const std::size_t old_capacity = capacity;
    const std::size_t wanted = capacity == 0 ? std::size_t{1} << 18 : capacity * 2;
    auto* const fresh = static_cast<PyObject**>(take_pages(wanted * sizeof(PyObject*)));
    if (fresh == nullptr) return false;
    seen = fresh;
    capacity = wanted;
    for (std::size_t i = 0; i < old_capacity; ++i) {
      if (old[i] != nullptr) seen[place(old[i])] = old[i];
    }
    if (old != nullptr) call(SYS_munmap, at(old), static_cast<long>(old_capacity * sizeof(PyObject*)));
    return true;
  }
  bool grow_open() {
    const std::size_t wanted = open_capacity == 0 ? std::size_t{1} << 16 : open_capacity * 2;
    auto* const fresh = static_cast<PyObject**>(take_pages(wanted * sizeof(PyObject*)));
    if (fresh == nullptr) return false;
    for (std::size_t i = 0; i < open_count; ++i) fresh[i] = open[i];
    if (open != nullptr) call(SYS_munmap, at(open), static_cast<long>(open_capacity * sizeof(PyObject*)));
    open = fresh;
    open_capacity = wanted;
    return true;
  }
  void add(PyObject* object) {
    if (object == nullptr || out_of_memory) return;
    if (count * 2 >= capacity && !grow_seen()) out_of_memory = true;
    if (open_count == open_capacity && !grow_open()) out_of_memory = true;
    if (out_of_memory) return;
    PyObject*& slot = seen[place(object)];
    if (slot != nullptr) return;
    slot = object;
    ++count;
    open[open_count++] = object;
  }
  void release() const {
    if (seen != nullptr) call(SYS_munmap, at(seen), static_cast<long>(capacity * sizeof(PyObject*)));
    if (open != nullptr) call(SYS_munmap, at(open), static_cast<long>(open_capacity * sizeof(PyObject*)));
  }
};

int visit(PyObject* object, void* walk) {
  static_cast<Walk*>(walk)->add(object);
  return 0;
}

void look_into(PyObject* object, Walk& walk) {
  PyTypeObject* const type = Py_TYPE(object);
  walk.add(reinterpret_cast<PyObject*>(type));
  if ((PyType_GetFlags(type) & Py_TPFLAGS_HAVE_GC) == 0) return;
  // Static types are no objects of the collector, and their traverse says so with an abort.
  const auto is_gc = reinterpret_cast<inquiry>(PyType_GetSlot(type, Py_tp_is_gc));
  if (is_gc != nullptr && is_gc(object) == 0) return;
  const auto traverse = reinterpret_cast<traverseproc>(PyType_GetSlot(type, Py_tp_traverse));
  if (traverse != nullptr) traverse(object, visit, &walk);
}

bool is_wanted(PyObject* object, PyObject* types, Py_ssize_t types_count) {
  PyTypeObject* const type = Py_TYPE(object);
  for (Py_ssize_t i = 0; i < types_count; ++i) {
    if (PyTuple_GetItem(types, i) == reinterpret_cast<PyObject*>(type)) return true;
  }
  return (PyType_GetFlags(type) & Py_TPFLAGS_TYPE_SUBCLASS) != 0;
}

// The list of what the collector tracks, which is itself a fresh object: it may not be made immortal with the rest, nor kept.
PyObject* tracked_objects() {
  PyObject* const gc = PyImport_ImportModule("gc");
  if (gc == nullptr) return nullptr;
  PyObject* const list = PyObject_CallMethod(gc, "get_objects", nullptr);
  Py_DECREF(gc);
  return list;
}

}  // namespace

PyObject* immortalize(PyObject* /*module*/, PyObject* types) {
  if (!PyTuple_Check(types)) {
    PyErr_SetString(PyExc_TypeError, "a tuple of types is wanted");
    return nullptr;
  }
  PyObject* const tracked = tracked_objects();
  if (tracked == nullptr) return nullptr;
  Walk walk;
  for (Py_ssize_t i = 0; i < PyList_Size(tracked); ++i) walk.add(PyList_GetItem(tracked, i));
  while (walk.open_count > 0) look_into(walk.open[--walk.open_count], walk);
  Py_DECREF(tracked);
  if (walk.out_of_memory) {
    walk.release();
    return PyErr_NoMemory();
  }
  const Py_ssize_t types_count = PyTuple_Size(types);
  long made = 0;
  for (std::size_t i = 0; i < walk.capacity; ++i) {
    PyObject* const object = walk.seen[i];
    if (object == nullptr || object == types || !is_wanted(object, types, types_count)) continue;
    auto* const references = reinterpret_cast<std::uint64_t*>(object);  // ob_refcnt is the first field of every object
    if (static_cast<std::int32_t>(*references) < 0) continue;
    *references = kImmortal;
    ++made;
  }
  walk.release();
  return PyLong_FromLong(made);
}

}  // namespace casemate::native
