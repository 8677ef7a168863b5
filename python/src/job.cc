#include "job.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "errors.h"
#include "json.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace casemate::python {
namespace {

constexpr std::array<std::string_view, 3> kNetworks{"none", "outbound", "host"};
constexpr std::array<std::string_view, 2> kProfiles{"standard", "strict"};
constexpr std::array<std::string_view, 8> kMountKinds{"bind", "overlay", "tmpfs", "proc", "sysfs", "mqueue", "devpts", "device"};

// A field of an object, with what it is called.
struct Field {
  Field(nb::handle owner, const std::string& of, const char* name)
      : value(nb::getattr(owner, name)), place(fmt::format("{}.{}", of, name)) {}
  nb::object value;
  std::string place;
};

template <class Int>
Int integer(const Field& field) {
  if (PyBool_Check(field.value.ptr()) || !PyLong_Check(field.value.ptr())) reject_type(field.place, "an int", field.value);
  const unsigned long long number = PyLong_AsUnsignedLongLong(field.value.ptr());
  if (PyErr_Occurred() || number > std::numeric_limits<Int>::max()) {
    PyErr_Clear();
    reject(field.place, fmt::format("not between 0 and {}", std::numeric_limits<Int>::max()));
  }
  return static_cast<Int>(number);
}

double real(const Field& field) {
  if (PyBool_Check(field.value.ptr()) || !(PyFloat_Check(field.value.ptr()) || PyLong_Check(field.value.ptr())))
    reject_type(field.place, "a number", field.value);
  const double number = PyFloat_AsDouble(field.value.ptr());
  if (PyErr_Occurred() || !std::isfinite(number)) {
    PyErr_Clear();
    reject(field.place, "not a finite number");
  }
  return number;
}

bool truth(const Field& field) {
  if (!PyBool_Check(field.value.ptr())) reject_type(field.place, "a bool", field.value);
  return field.value.ptr() == Py_True;
}

std::chrono::milliseconds seconds(const Field& field) {
  const double number = real(field);
  if (number < 0 || number > 1e9) reject(field.place, "not between 0 and 1e9 seconds");
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(number * 1000)));
}

std::string name(const Field& field) { return name_of(field.value, field.place); }

template <std::size_t size>
std::size_t one_of(const Field& field, const std::array<std::string_view, size>& words) {
  const std::string word = name(field);
  for (std::size_t i = 0; i < size; ++i)
    if (words[i] == word) return i;
  std::string all;
  for (const std::string_view each : words) all += fmt::format("{}'{}'", all.empty() ? "" : ", ", each);
  reject(field.place, fmt::format("none of {}", all));
}

template <class Get>
auto optional(const Field& field, Get get) -> std::optional<decltype(get(field))> {
  if (field.value.is_none()) return std::nullopt;
  return get(field);
}

Limits limits_of(nb::handle object, const std::string& place) {
  const auto field = [&](const char* name) { return Field(object, place, name); };
  Limits limits;
  limits.memory_bytes = optional(field("memory_bytes"), integer<std::uint64_t>);
  limits.pids = optional(field("pids"), integer<std::uint32_t>);
  limits.cpus = optional(field("cpus"), real);
  limits.wall = optional(field("wall_seconds"), seconds);
  limits.cpu_time = optional(field("cpu_seconds"), seconds);
  limits.output_bytes = optional(field("output_bytes"), integer<std::uint64_t>);
  limits.disk_bytes = optional(field("disk_bytes"), integer<std::uint64_t>);
  limits.disk_inodes = optional(field("disk_inodes"), integer<std::uint64_t>);
  limits.open_files = optional(field("open_files"), integer<std::uint64_t>);
  limits.file_bytes = optional(field("file_bytes"), integer<std::uint64_t>);
  return limits;
}

// The dataclass `name` of casemate._data.
nb::object data_class(const char* name) { return nb::module_::import_("casemate._data").attr(name); }

void want(nb::handle object, const char* name, const std::string& place) {
  if (!nb::isinstance(object, data_class(name))) reject_type(place, fmt::format("a casemate.{}", name).c_str(), object);
}

Mount mount_of(nb::handle object, const std::string& place) {
  want(object, "Mount", place);
  const auto field = [&](const char* name) { return Field(object, place, name); };
  Mount mount;
  mount.kind = static_cast<Mount::Kind>(one_of(field("kind"), kMountKinds));
  mount.source = name(field("source"));
  mount.target = name(field("target"));
  const Field lower = field("lower");
  mount.lower = names_of(lower.value, lower.place);
  mount.under = name(field("under"));
  mount.writable = truth(field("writable"));
  mount.owned = truth(field("owned"));
  mount.executable = truth(field("executable"));
  mount.bytes = optional(field("bytes"), integer<std::uint64_t>);
  mount.mode = integer<std::uint32_t>(field("mode"));
  return mount;
}

std::vector<std::string> names(const Field& field) { return names_of(field.value, field.place); }

std::map<std::string, std::string> environment_of(const Field& field) {
  if (!PyMapping_Check(field.value.ptr()) || PyUnicode_Check(field.value.ptr())) reject_type(field.place, "a dict", field.value);
  std::map<std::string, std::string> variables;
  const nb::object items = nb::steal(PyMapping_Items(field.value.ptr()));
  if (!items.is_valid()) throw nb::python_error();
  for (const nb::handle item : items) {
    std::string key = name_of(item[0], field.place);
    std::string place = fmt::format("{}[{}]", field.place, nb::repr(item[0]).c_str());
    std::string value = name_of(item[1], place);
    if (key.empty() || key.find('=') != std::string::npos) reject(place, "not the name of a variable");
    variables[std::move(key)] = std::move(value);
  }
  return variables;
}

nb::object optional_object(const std::optional<std::uint64_t>& value) { return value ? nb::object(nb::int_(*value)) : nb::none(); }
nb::object seconds_object(const std::optional<std::chrono::milliseconds>& value) {
  return value ? nb::object(nb::float_(static_cast<double>(value->count()) / 1e3)) : nb::none();
}
nb::object seconds_object(std::chrono::microseconds value) { return nb::float_(static_cast<double>(value.count()) / 1e6); }
nb::bytes bytes_object(const std::string& text) { return nb::bytes(text.data(), text.size()); }

nb::object object_of(const Outcome& outcome) {
  const nb::object kind = data_class("OutcomeKind")(text_object(word(outcome.kind)));
  return data_class("Outcome")("kind"_a = kind, "code"_a = outcome.code, "step"_a = text_object(outcome.step),
                               "detail"_a = text_object(outcome.detail));
}

nb::object object_of(const Resources& used) {
  return data_class("Resources")(
      "wall_seconds"_a = seconds_object(used.wall), "user_cpu_seconds"_a = seconds_object(used.user_cpu),
      "system_cpu_seconds"_a = seconds_object(used.system_cpu), "peak_memory_bytes"_a = optional_object(used.peak_memory_bytes),
      "read_bytes"_a = optional_object(used.read_bytes), "written_bytes"_a = optional_object(used.written_bytes),
      "peak_pids"_a = optional_object(used.peak_pids), "major_faults"_a = used.major_faults, "minor_faults"_a = used.minor_faults);
}

nb::object object_of(const Output& output) {
  return data_class("Output")("out"_a = bytes_object(output.out), "err"_a = bytes_object(output.err),
                              "merged"_a = bytes_object(output.merged), "out_total"_a = output.out_total, "err_total"_a = output.err_total,
                              "truncated"_a = output.truncated);
}

nb::object object_of(const Change& change) {
  constexpr std::array<const char*, 3> kinds{"created", "modified", "deleted"};
  constexpr std::array<const char*, 4> types{"file", "directory", "symlink", "skipped"};
  return data_class("Change")("kind"_a = data_class("ChangeKind")(kinds.at(static_cast<std::size_t>(change.kind))),
                              "type"_a = data_class("FileType")(types.at(static_cast<std::size_t>(change.type))),
                              "path"_a = name_object(change.path), "size"_a = change.size, "mode"_a = change.mode,
                              "digest"_a = text_object(change.digest), "link_target"_a = name_object(change.link_target),
                              "reason"_a = text_object(change.reason));
}

}  // namespace

std::string name_of(nb::handle value, const std::string& place) {
  nb::object object = nb::borrow(value);
  if (!PyUnicode_Check(value.ptr()) && !PyBytes_Check(value.ptr())) {
    if (!nb::hasattr(value, "__fspath__")) reject_type(place, "a str, bytes or a path", value);
    object = nb::steal(PyOS_FSPath(value.ptr()));
    if (!object.is_valid()) throw nb::python_error();
  }
  if (PyUnicode_Check(object.ptr())) {
    object = nb::steal(PyUnicode_EncodeFSDefault(object.ptr()));
    if (!object.is_valid()) {
      PyErr_Clear();
      reject(place, "text that no file name could be (os.fsencode)");
    }
  }
  char* text = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(object.ptr(), &text, &size) < 0) throw nb::python_error();
  return {text, static_cast<std::size_t>(size)};
}

std::vector<std::string> names_of(nb::handle value, const std::string& place) {
  if (PyUnicode_Check(value.ptr()) || PyBytes_Check(value.ptr()) || nb::hasattr(value, "__fspath__"))
    reject_type(place, "a list", value);  // whose letters would be taken for items
  const nb::object items = nb::steal(PySequence_List(value.ptr()));
  if (!items.is_valid()) {
    PyErr_Clear();
    reject_type(place, "a list", value);
  }
  std::vector<std::string> names;
  for (const nb::handle item : items) names.push_back(name_of(item, fmt::format("{}[{}]", place, names.size())));
  return names;
}

nb::object name_object(std::string_view name) {
  nb::object object = nb::steal(PyUnicode_DecodeFSDefaultAndSize(name.data(), static_cast<Py_ssize_t>(name.size())));
  if (!object.is_valid()) throw nb::python_error();
  return object;
}

Job job_of(nb::handle object, std::string& input) {
  const std::string place = "Job";
  want(object, "Job", "job");
  const auto field = [&](const char* name) { return Field(object, place, name); };
  Job job;
  job.name = name(field("name"));
  job.argv = names(field("argv"));
  job.env = environment_of(field("env"));
  job.cwd = name(field("cwd"));
  job.image = name(field("image"));
  job.root = names(field("root"));
  job.host_paths = names(field("host_paths"));
  const Field mounts = field("mounts");
  if (!PyList_Check(mounts.value.ptr()) && !PyTuple_Check(mounts.value.ptr())) reject_type(mounts.place, "a list", mounts.value);
  for (const nb::handle mount : mounts.value) job.mounts.push_back(mount_of(mount, fmt::format("{}[{}]", mounts.place, job.mounts.size())));
  job.hostname = name(field("hostname"));
  job.user.uid = integer<std::uint32_t>(field("uid"));
  job.user.gid = integer<std::uint32_t>(field("gid"));
  job.network = static_cast<Network>(one_of(field("network"), kNetworks));
  job.profile = static_cast<Profile>(one_of(field("profile"), kProfiles));
  job.capabilities = names(field("capabilities"));
  const Field limits = field("limits");
  want(limits.value, "Limits", limits.place);
  job.limits = limits_of(limits.value, limits.place);
  job.capture_bytes = integer<std::uint64_t>(field("capture_bytes"));
  job.read_only = truth(field("read_only"));
  const Field stdin_bytes = field("stdin");
  if (!stdin_bytes.value.is_none()) {
    if (!PyBytes_Check(stdin_bytes.value.ptr())) reject_type(stdin_bytes.place, "bytes or None", stdin_bytes.value);
    input = name(stdin_bytes);
    job.forward_stdin = true;
  }
  job.collect = names(field("collect"));
  job.collect_to = name(field("collect_to"));
  return job;
}

nb::object object_of(const Limits& limits) {
  return data_class("Limits")("memory_bytes"_a = optional_object(limits.memory_bytes), "pids"_a = optional_object(limits.pids),
                              "cpus"_a = limits.cpus ? nb::object(nb::float_(*limits.cpus)) : nb::none(),
                              "wall_seconds"_a = seconds_object(limits.wall), "cpu_seconds"_a = seconds_object(limits.cpu_time),
                              "output_bytes"_a = optional_object(limits.output_bytes), "disk_bytes"_a = optional_object(limits.disk_bytes),
                              "disk_inodes"_a = optional_object(limits.disk_inodes), "open_files"_a = optional_object(limits.open_files),
                              "file_bytes"_a = optional_object(limits.file_bytes));
}

nb::object object_of(const Mount& mount) {
  nb::list lower;
  for (const std::string& each : mount.lower) lower.append(name_object(each));
  const nb::object kind = data_class("MountKind")(text_object(kMountKinds.at(static_cast<std::size_t>(mount.kind))));
  return data_class("Mount")("kind"_a = kind, "source"_a = name_object(mount.source), "target"_a = name_object(mount.target),
                             "lower"_a = lower, "under"_a = name_object(mount.under), "writable"_a = mount.writable,
                             "owned"_a = mount.owned, "executable"_a = mount.executable, "bytes"_a = optional_object(mount.bytes),
                             "mode"_a = mount.mode);
}

nb::object object_of(const JobResult& result) {
  nb::list changes;
  nb::list leftovers;
  nb::list notes;
  for (const Change& change : result.changes) changes.append(object_of(change));
  for (const Leftover& process : result.leftovers)
    leftovers.append(data_class("Leftover")("pid"_a = process.pid, "name"_a = text_object(process.name)));
  for (const std::string& note : result.notes) notes.append(text_object(note));
  return data_class("JobResult")("outcome"_a = object_of(result.outcome), "resources"_a = object_of(result.resources),
                                 "output"_a = object_of(result.output), "changes"_a = changes,
                                 "changes_truncated"_a = result.changes_truncated, "collect_error"_a = text_object(result.collect_error),
                                 "leftovers"_a = leftovers, "notes"_a = notes,
                                 "exit_status"_a = result.exit_status ? nb::object(nb::int_(*result.exit_status)) : nb::none());
}

std::string words_of_outcome(nb::handle object) {
  const auto field = [&](const char* name) { return Field(object, "Outcome", name); };
  Outcome outcome;
  const Field kind = field("kind");
  const auto known = outcome_kind(name(kind));
  if (!known) reject(kind.place, "no kind of outcome");
  outcome.kind = *known;
  const long long code = PyLong_AsLongLong(field("code").value.ptr());
  if (code == -1 && PyErr_Occurred()) throw nb::python_error();
  outcome.code = static_cast<int>(code);
  outcome.step = name(field("step"));
  outcome.detail = name(field("detail"));
  return words(outcome);
}

}  // namespace casemate::python
