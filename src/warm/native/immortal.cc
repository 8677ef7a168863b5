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
  bool has(PyObject* object) const { return capacity != 0 && seen[place(object)] == object; }
  void release() const {
    if (seen != nullptr) call(SYS_munmap, at(seen), static_cast<long>(capacity * sizeof(PyObject*)));
    if (open != nullptr) call(SYS_munmap, at(open), static_cast<long>(open_capacity * sizeof(PyObject*)));
  }
};

// ob_refcnt is the first field of every object.
bool is_immortal(PyObject* object) { return static_cast<std::int32_t>(*reinterpret_cast<std::uint64_t*>(object)) < 0; }

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

constexpr int kMostDepth = 6;  ///< of containers in containers; deeper ones stay mortal

// What may become immortal. Lives on the stack of one call.
struct Kinds {
  PyObject* plain;
  PyObject* containers;
  const Walk* namespaces;

  static bool has(PyObject* tuple, PyObject* type) {
    for (Py_ssize_t i = 0; i < PyTuple_Size(tuple); ++i) {
      if (PyTuple_GetItem(tuple, i) == type) return true;
    }
    return false;
  }
  bool want(PyObject* object, int depth = 0) const {
    PyTypeObject* const type = Py_TYPE(object);
    if (is_immortal(object) || (PyType_GetFlags(type) & Py_TPFLAGS_TYPE_SUBCLASS) != 0 || has(plain, reinterpret_cast<PyObject*>(type)))
      return true;
    if (namespaces->has(object)) return true;
    if (!has(containers, reinterpret_cast<PyObject*>(type))) return false;
    if (depth == kMostDepth) return false;
    const auto traverse = reinterpret_cast<traverseproc>(PyType_GetSlot(type, Py_tp_traverse));
    Look look{this, depth + 1};
    return traverse == nullptr || traverse(object, visit_content, &look) == 0;
  }

 private:
  struct Look {
    const Kinds* kinds;
    int depth;
  };
  static int visit_content(PyObject* object, void* look) {
    const auto* const wanted = static_cast<Look*>(look);
    return wanted->kinds->want(object, wanted->depth) ? 0 : 1;
  }
};

// The list of what the collector tracks, which is itself a fresh object: it may not be made immortal with the rest, nor kept.
PyObject* tracked_objects() {
  PyObject* const gc = PyImport_ImportModule("gc");
  if (gc == nullptr) return nullptr;
  PyObject* const list = PyObject_CallMethod(gc, "get_objects", nullptr);
  Py_DECREF(gc);
  return list;
}

}  // namespace

PyObject* immortalize(PyObject* /*module*/, PyObject* arguments) {
  PyObject* kinds = nullptr;
  PyObject* containers = nullptr;
  if (PyArg_ParseTuple(arguments, "O!O!", &PyTuple_Type, &kinds, &PyTuple_Type, &containers) == 0) return nullptr;
  PyObject* const tracked = tracked_objects();
  if (tracked == nullptr) return nullptr;
  Walk walk;
  Walk namespaces;
  for (Py_ssize_t i = 0; i < PyList_Size(tracked); ++i) walk.add(PyList_GetItem(tracked, i));
  while (walk.open_count > 0) {
    PyObject* const object = walk.open[--walk.open_count];
    // What is immortal has been looked into before, by this parent's parent, or is the interpreter's own.
    if (!is_immortal(object)) {
      if (PyModule_Check(object)) namespaces.add(PyModule_GetDict(object));
      look_into(object, walk);
    }
  }
  Py_DECREF(tracked);
  long made = 0;
  const Kinds wanted{kinds, containers, &namespaces};
  for (std::size_t i = 0; i < walk.capacity && !walk.out_of_memory && !namespaces.out_of_memory; ++i) {
    PyObject* const object = walk.seen[i];
    if (object == nullptr || object == arguments || object == kinds || object == containers) continue;
    if (is_immortal(object) || !wanted.want(object)) continue;
    *reinterpret_cast<std::uint64_t*>(object) = kImmortal;
    ++made;
  }
  const bool failed = walk.out_of_memory || namespaces.out_of_memory;
  walk.release();
  namespaces.release();
  return failed ? PyErr_NoMemory() : PyLong_FromLong(made);
}

}  // namespace casemate::native
