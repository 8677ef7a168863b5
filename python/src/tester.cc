#include "tester.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "closable.h"
#include "errors.h"
#include "gil.h"
#include "json.h"
#include "runtime/models.h"
#include "runtime/sample_data.h"
#include "runtime/spec_builder.h"
#include "runtime/spec_file.h"
#include "runtime/tester.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace casemate::python {
namespace {

using runtime::Json;
using runtime::RuntimeTester;

// A tester and its calls. Who closes it waits for these, which end as cancelled; they need no GIL for that.
class Calls {
 public:
  explicit Calls(std::unique_ptr<RuntimeTester> tester) : tester_(std::move(tester)) {}

  template <class Operation>
  auto run(Operation operation) -> decltype(operation(std::declval<RuntimeTester&>())) {
    if (!begin()) return closed();
    auto result = operation(*tester_);
    if (end() && !result && result.error().code == ErrorCode::cancelled) return closed();
    return result;
  }

  // Called once. A thread that is in a call itself (a signal's handler, a logger) can't wait for it: then the last call ends the tester.
  void close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    tester_->cancel();
    calls_end_it_ = std::find(callers_.begin(), callers_.end(), std::this_thread::get_id()) != callers_.end();
    if (calls_end_it_) return;
    none_.wait(lock, [this] { return callers_.empty(); });
    lock.unlock();
    tester_.reset();
  }

  static std::unexpected<Error> closed() { return fail(ErrorCode::cancelled, "the tester is closed"); }

 private:
  bool begin() {
    const std::lock_guard lock(mutex_);
    if (!closed_) callers_.push_back(std::this_thread::get_id());
    return !closed_;
  }
  // True: it was closed meanwhile.
  bool end() {
    std::unique_ptr<RuntimeTester> last;  // outlives the lock
    const std::lock_guard lock(mutex_);
    callers_.erase(std::find(callers_.begin(), callers_.end(), std::this_thread::get_id()));
    if (callers_.empty() && calls_end_it_) last = std::move(tester_);
    if (callers_.empty()) none_.notify_all();
    return closed_;
  }

  std::mutex mutex_;
  std::condition_variable none_;
  std::vector<std::thread::id> callers_;
  bool closed_ = false;
  bool calls_end_it_ = false;
  std::unique_ptr<RuntimeTester> tester_;
};

// A tester as Python has it, with what it says, which waits here until a thread that holds the GIL comes by.
class TesterState final : public Closable {
 public:
  TesterState(nb::handle configuration, nb::object tell) : Closable("tester"), tell_(std::move(tell)) {
    auto plain = value_or_throw(runtime::configuration_from(json_of(configuration, "RuntimeTestingConfiguration")));
    calls_ = std::make_shared<Calls>(value_or_throw(without_gil([&] {
      return RuntimeTester::create(
          std::move(plain), [said = said_](const char* level, const std::string& line) { said->add(level, line); },
          [this] { return look(); });
    })));
    opened();
  }
  ~TesterState() override { close(); }

  // One operation, without the GIL.
  template <class Operation>
  auto call(Operation operation) {
    check_process();
    const std::shared_ptr<Calls> calls = calls_;
    if (!calls) throw Failure{Calls::closed().error()};
    auto result = without_gil([&] {
      return calls->run([&](RuntimeTester& tester) {
        auto came_to = operation(tester);
        if (const GilTaken taken; taken) say();  // as part of the call: who closes it, at the interpreter's end, waits for this
        return came_to;
      });
    });
    if (PyErr_Occurred()) throw nb::python_error();  // a signal's handler raised; all that ran was ended for it
    return value_or_throw(std::move(result));
  }

 private:
  struct Said {
    std::mutex mutex;
    std::deque<std::pair<std::string, std::string>> lines;

    void add(const char* level, const std::string& line) {
      const std::lock_guard lock(mutex);
      lines.emplace_back(level, line);
    }
    std::deque<std::pair<std::string, std::string>> take() {
      const std::lock_guard lock(mutex);
      return std::exchange(lines, {});
    }
  };

  std::function<void()> take_end() override {
    if (!calls_) return {};
    return [calls = std::move(calls_)] { calls->close(); };
  }

  // Called a few times a second in the thread that waits. True: it shall not wait any longer.
  bool look() {
    const GilTaken taken;
    if (!taken || PyErr_Occurred() || PyErr_CheckSignals() != 0) return true;
    say();
    return PyErr_Occurred() != nullptr;
  }

  // With the GIL.
  void say() {
    if (PyErr_Occurred()) return;
    const auto lines = said_->take();
    if (tell_.is_none()) return;
    for (const auto& [level, line] : lines) {
      try {
        tell_(text_object(level), text_object(line));
      } catch (nb::python_error& error) {
        error.restore();
        return;
      }
    }
  }

  nb::object tell_;
  std::shared_ptr<Said> said_ = std::make_shared<Said>();
  std::shared_ptr<Calls> calls_;  // only touched with the GIL
};

runtime::ScriptExecutionSpec spec_of(nb::handle spec) {
  return value_or_throw(runtime::script_spec_from(json_of(spec, "ScriptExecutionSpec")));
}
runtime::PipelineTestingSpec pipeline_of(nb::handle spec) {
  return value_or_throw(runtime::pipeline_spec_from(json_of(spec, "PipelineTestingSpec")));
}
// None: what the spec says.
runtime::MainParameters parameters_of(nb::handle parameters, const runtime::ScriptExecutionSpec& spec) {
  if (parameters.is_none()) return runtime::main_parameters(spec);
  return value_or_throw(runtime::main_parameters_from(json_of(parameters, "main_params")));
}

nb::object to_plain(const std::string& model, nb::handle value) {
  const Json json = json_of(value, model);
  if (model == "ScriptExecutionSpec") return object_of(runtime::to_json(value_or_throw(runtime::script_spec_from(json))));
  if (model == "PipelineTestingSpec") return object_of(runtime::to_json(value_or_throw(runtime::pipeline_spec_from(json))));
  if (model == "RuntimeTestingConfiguration") return object_of(runtime::to_json(value_or_throw(runtime::configuration_from(json))));
  if (model == "ScriptTestResult") return object_of(runtime::to_json(value_or_throw(runtime::script_result_from(json))));
  return object_of(runtime::to_json(value_or_throw(runtime::compatibility_result_from(json))));
}

std::string text_of(const std::string& model, nb::handle value) {
  const Json json = json_of(value, model);
  if (model == "ScriptTestResult") return runtime::script_text(value_or_throw(runtime::script_result_from(json)));
  const auto result = value_or_throw(runtime::compatibility_result_from(json));
  return model == "explanation" ? runtime::explanation(result) : runtime::compatibility_text(result);
}

nb::tuple save(const std::string& model, nb::handle value, const std::string& directory) {
  if (model == "PipelineTestingSpec") {
    auto spec = pipeline_of(value);
    const std::string path = value_or_throw(runtime::save(spec, directory));
    return nb::make_tuple(text_object(path), object_of(runtime::to_json(spec)));
  }
  auto spec = spec_of(value);
  const std::string path = value_or_throw(runtime::save(spec, directory));
  return nb::make_tuple(text_object(path), object_of(runtime::to_json(spec)));
}

nb::object load(const std::string& model, const std::string& name, const std::string& directory) {
  if (model == "PipelineTestingSpec") return object_of(runtime::to_json(value_or_throw(runtime::load_pipeline_spec(name, directory))));
  return object_of(runtime::to_json(value_or_throw(runtime::load_script_spec(name, directory))));
}

nb::object specs_from_dag(nb::handle dag, const std::string& specs_directory, const std::string& test_data_dir) {
  Json all = Json::array();
  for (const auto& spec : value_or_throw(runtime::specs_from_dag(json_of(dag, "dag_config"), specs_directory, test_data_dir)))
    all.push_back(runtime::to_json(spec));
  return object_of(all);
}

nb::object pipeline_from_dag(const std::string& name, nb::handle dag, const std::string& specs_directory,
                             const std::string& test_data_dir) {
  return object_of(
      runtime::to_json(value_or_throw(runtime::pipeline_from_dag(name, json_of(dag, "dag_config"), specs_directory, test_data_dir))));
}

nb::object match_step(const std::string& step, const std::vector<std::string>& names) {
  std::vector<runtime::ScriptExecutionSpec> specs(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) specs[i].script_name = names[i];
  const auto* found = runtime::match_step(step, specs);
  return found ? text_object(found->script_name) : nb::none();
}

// What can't even be a spec has that as its one problem.
std::vector<std::string> problems_of(nb::handle spec) {
  try {
    return runtime::problems_of(spec_of(spec), {});
  } catch (const Failure& failure) {
    if (failure.error.code != ErrorCode::invalid_input) throw;
    return {failure.error.what};
  }
}

void define_functions(nb::module_& module) {
  module.def("runtime_to_plain", &to_plain, "model"_a, "value"_a);
  module.def("runtime_text", &text_of, "model"_a, "value"_a);
  module.def("runtime_save", &save, "model"_a, "value"_a, "directory"_a);
  module.def("runtime_load", &load, "model"_a, "name"_a, "directory"_a);
  module.def(
      "runtime_default_spec",
      [](const std::string& script, const std::string& step, const std::string& directory) {
        return object_of(runtime::to_json(runtime::default_spec(script, step, directory)));
      },
      "script_name"_a, "step_name"_a, "test_data_dir"_a);
  module.def("runtime_default_sample", [] { return object_of(runtime::default_sample()); });
  module.def("runtime_specs_from_dag", &specs_from_dag, "dag"_a, "specs_directory"_a, "test_data_dir"_a);
  module.def("runtime_pipeline_from_dag", &pipeline_from_dag, "name"_a, "dag"_a, "specs_directory"_a, "test_data_dir"_a);
  module.def(
      "runtime_main_parameters", [](nb::handle spec) { return object_of(runtime::to_json(runtime::main_parameters(spec_of(spec)))); },
      "spec"_a);
  module.def("runtime_problems", &problems_of, "spec"_a);
  module.def(
      "runtime_saved_specs", [](const std::string& directory) { return value_or_throw(runtime::saved_script_specs(directory)); },
      "directory"_a);
  module.def("runtime_match_step", &match_step, "step"_a, "names"_a);
}

}  // namespace

void define_runtime(nb::module_& module) {
  define_functions(module);
  nb::class_<TesterState>(module, "RuntimeTester")
      .def(nb::init<nb::handle, nb::object>(), "configuration"_a, "tell"_a.none())
      .def(
          "test_script",
          [](TesterState& self, const std::string& name, nb::handle sample) {
            const Json data = json_of(sample, "sample_data");
            return object_of(runtime::to_json(self.call([&](RuntimeTester& tester) { return tester.test_script(name, data); })));
          },
          "name"_a, "sample"_a)
      .def(
          "test_script_with_spec",
          [](TesterState& self, nb::handle spec, nb::handle parameters) {
            const auto plain = spec_of(spec);
            const auto given = parameters_of(parameters, plain);
            return object_of(
                runtime::to_json(self.call([&](RuntimeTester& tester) { return tester.test_script_with_spec(plain, given); })));
          },
          "spec"_a, "parameters"_a.none())
      .def(
          "test_data_compatibility",
          [](TesterState& self, const std::string& a, const std::string& b, nb::handle sample) {
            const Json data = json_of(sample, "sample_data");
            return object_of(
                runtime::to_json(self.call([&](RuntimeTester& tester) { return tester.test_data_compatibility(a, b, data); })));
          },
          "a"_a, "b"_a, "sample"_a)
      .def(
          "test_data_compatibility_with_specs",
          [](TesterState& self, nb::handle a, nb::handle b, nb::handle parameters_a, nb::handle parameters_b) {
            const auto plain_a = spec_of(a);
            const auto plain_b = spec_of(b);
            const auto given_a = parameters_of(parameters_a, plain_a);
            const auto given_b = parameters_of(parameters_b, plain_b);
            return object_of(runtime::to_json(self.call(
                [&](RuntimeTester& tester) { return tester.test_data_compatibility_with_specs(plain_a, plain_b, given_a, given_b); })));
          },
          "a"_a, "b"_a, "parameters_a"_a.none(), "parameters_b"_a.none())
      .def(
          "test_pipeline_flow",
          [](TesterState& self, nb::handle configuration) {
            const Json plain = json_of(configuration, "pipeline_config");
            return object_of(runtime::to_json(self.call([&](RuntimeTester& tester) { return tester.test_pipeline_flow(plain); })));
          },
          "configuration"_a)
      .def(
          "test_pipeline_flow_with_spec",
          [](TesterState& self, nb::handle spec) {
            const auto plain = pipeline_of(spec);
            return object_of(
                runtime::to_json(self.call([&](RuntimeTester& tester) { return tester.test_pipeline_flow_with_spec(plain); })));
          },
          "spec"_a)
      .def(
          "find_script_path",
          [](TesterState& self, const std::string& name) {
            return text_object(self.call([&](RuntimeTester& tester) { return tester.find_script_path(name); }));
          },
          "name"_a)
      .def(
          "setup_test_environment",
          [](TesterState& self, const std::string& name) {
            const auto made = self.call([&](RuntimeTester& tester) { return tester.setup_test_environment(name); });
            return object_of(Json{{"test_dir", made.test_dir}, {"parameters", runtime::to_json(made.parameters)}});
          },
          "name"_a)
      .def(
          "cleanup_test_environment",
          [](TesterState& self, const std::string& directory) {
            self.call([&](RuntimeTester& tester) { return tester.cleanup_test_environment(directory); });
          },
          "test_dir"_a)
      .def("close", [](TesterState& self) { self.close(); });
}

}  // namespace casemate::python
