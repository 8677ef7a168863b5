// module: casemate._casemate, what the classes in python/casemate stand on. Its stub is python/casemate/_casemate.pyi.
#include <cstdio>
#include <memory>
#include <string>

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "closable.h"
#include "engine.h"
#include "engine/executor.h"
#include "errors.h"
#include "gil.h"
#include "image/active_python.h"
#include "image/root.h"
#include "job.h"
#include "json.h"
#include "tester.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace casemate::python {
namespace {

// What PyEngine.submit() gives: the job, and the engine, which lives as long.
struct Run {
  std::shared_ptr<EngineState> engine;
  std::shared_ptr<JobState> job;

  Run(std::shared_ptr<EngineState> engine, std::shared_ptr<JobState> job) : engine(std::move(engine)), job(std::move(job)) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() {
    try {
      engine->check_process();
    } catch (const Failure&) {
      return;  // the parent's threads may have left its lock locked
    }
    job->stop_listening();
  }
  JobState& state() const {
    engine->check_process();
    return *job;
  }
};

struct PyEngine {
  explicit PyEngine(std::size_t slots) : state(EngineState::create(slots)) {}
  std::shared_ptr<EngineState> state;
};

struct PyMailbox {
  std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
};

nb::list pieces_of(const Run& run) {
  nb::list list;
  for (const JobState::Piece& piece : run.state().take_output())
    list.append(nb::make_tuple(static_cast<int>(piece.stream), nb::bytes(piece.bytes.data(), piece.bytes.size())));
  return list;
}

nb::object result_of(const Run& run) { return object_of(value_or_throw(run.state().end())); }

// (program, version, its mounts beyond what image `host` shows).
nb::tuple active_python(const std::string& wanted) {
  const ActivePython python = value_or_throw(without_gil([&] { return find_active_python(wanted); }));
  nb::list mounts;
  for (const Mount& mount : active_python_mounts(python, default_host_paths())) mounts.append(object_of(mount));
  return nb::make_tuple(name_object(python.program), nb::str(python.version.c_str()), mounts);
}

// A cell's init is a copy of this process: where our command line lies it is wiped in the cell (proc_pid_stat(5): arg_start, arg_end).
void find_host_arguments() {
  std::FILE* file = std::fopen("/proc/self/stat", "re");
  if (!file) return;
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return;
  std::size_t at = name_end + 1;
  for (int field = 2; field < 47 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  unsigned long long first = 0;
  unsigned long long last = 0;
  if (at == std::string::npos || std::sscanf(text.c_str() + at, " %llu %llu", &first, &last) != 2 || first == 0 || last <= first) return;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel tells addresses as numbers
  set_host_arguments(reinterpret_cast<char*>(first), static_cast<std::size_t>(last - first));
}

void define_engine(nb::module_& module) {
  nb::class_<PyMailbox>(module, "Mailbox")
      .def(nb::init<>())
      .def("fileno", [](const PyMailbox& self) { return self.mailbox->fd(); })
      .def("take", [](const PyMailbox& self) { return self.mailbox->take(); })
      .def("wait", [](const PyMailbox& self, double seconds) { return self.mailbox->wait(seconds); }, "seconds"_a);
  nb::class_<Run>(module, "Run")
      .def("done", [](const Run& self) { return self.state().done(); })
      .def("take_output", pieces_of)
      .def("stop_listening", [](const Run& self) { self.state().stop_listening(); })
      .def("result", result_of)
      .def("cancel", [](const Run& self) { self.engine->cancel(self.job); })
      .def(
          "subscribe", [](const Run& self, const PyMailbox& to, std::uint64_t key) { self.state().subscribe(to.mailbox, key); },
          "mailbox"_a, "key"_a)
      .def(
          "unsubscribe", [](const Run& self, const PyMailbox& to, std::uint64_t key) { self.state().unsubscribe(*to.mailbox, key); },
          "mailbox"_a, "key"_a);
  nb::class_<PyEngine>(module, "Engine")
      .def(nb::init<std::size_t>(), "slots"_a)
      .def(
          "submit",
          [](const PyEngine& self, nb::handle job, bool listens) {
            std::string input;
            Job plain = job_of(job, input);
            return new Run(self.state, self.state->submit(std::move(plain), std::move(input), listens));
          },
          "job"_a, "listens"_a)
      .def("close", [](const PyEngine& self) { self.state->close(); })
      .def("closed", [](const PyEngine& self) { return self.state->closed(); });
}

}  // namespace

NB_MODULE(_casemate, module) {
  nb::set_leak_warnings(false);  // who ends with an engine open is told nothing: close_all() ended it
  register_errors();
  prepare_gil();
  find_host_arguments();
  module.attr("version") = CASEMATE_VERSION;
  module.attr("default_path") = std::string(kDefaultPath).c_str();
  define_engine(module);
  define_runtime(module);
  // Before the interpreter is torn down: cells end, and what was made for them goes.
  module.def("close_all", &Closable::close_all);
  nb::module_::import_("atexit").attr("register")(module.attr("close_all"));
  module.def("outcome_words", &words_of_outcome, "outcome"_a);
  module.def("default_limits", [] { return object_of(default_limits()); });
  module.def("default_host_paths", [] { return default_host_paths(); });
  module.def("active_python", &active_python, "wanted"_a);
  module.def("plain", [](nb::handle value, const std::string& place) { return object_of(json_of(value, place)); }, "value"_a, "place"_a);
}

}  // namespace casemate::python
