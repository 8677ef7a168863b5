#include "runtime/known_keys.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

#include "base/nearest.h"
#include "runtime/spec_fields.h"

namespace casemate::runtime {
namespace {

using Keys = std::vector<std::string_view>;

constexpr std::size_t kMostLines = 20;
const Keys kPipeline{"steps",       "nodes", "edges", "dag", "pipeline_name", "script_specs", "data_flow_specs", "test_workspace_root",
                     "last_updated"};
const Keys kDag{"steps", "nodes", "edges"};
const Keys kStep{"name",    "step_name",    "script",       "script_name", "script_path", "inputs",     "input_paths",
                 "outputs", "output_paths", "environ_vars", "environment", "job_args",    "depends_on", "dependencies"};
const Keys kSpec{"script_name",  "step_name", "script_path",  "input_paths", "output_paths",
                 "environ_vars", "job_args",  "last_updated", "user_notes"};
// Words of people's own that are one letter from a key.
const Keys kOwnWords{"notes", "tag"};

bool holds(const Keys& keys, std::string_view key) { return std::ranges::find(keys, key) != keys.end(); }

class Look {
 public:
  std::vector<std::string> lines;

  void at(const Json& object, const Keys& known, const std::string& place) {
    if (!object.is_object()) return;
    Keys missing;  // what is there is not what somebody meant who wrote another key
    std::ranges::copy_if(known, std::back_inserter(missing), [&](std::string_view key) { return !object.contains(key); });
    for (const auto& [key, value] : object.get_ref<const Json::object_t&>()) {
      if (lines.size() == kMostLines) return;
      if (holds(known, key) || holds(kOwnWords, key)) continue;
      const std::string meant = nearest(key, missing);
      if (meant.empty()) continue;
      lines.push_back(fmt::format("{}{}unknown key '{}', did you mean '{}'?", place, place.empty() ? "" : ": ", named(key), meant));
    }
  }

  // Of an object of objects by name, or of a list of them.
  void each_at(const Json& holder, const char* key, const Keys& known, const std::string& above) {
    if (!holder.is_object() || !holder.contains(key)) return;
    const Json& all = holder[key];
    for (std::size_t index = 0; all.is_array() && index < all.size(); ++index)
      at(all[index], known, fmt::format("{}{}[{}]", above, key, index));
    if (!all.is_object()) return;
    for (const auto& [name, one] : all.get_ref<const Json::object_t&>()) at(one, known, fmt::format("{}{}.{}", above, key, named(name)));
  }
};

}  // namespace

std::vector<std::string> misspelled_pipeline_keys(const Json& configuration) {
  Look look;
  if (!configuration.is_object()) return {};
  look.at(configuration, kPipeline, "");
  look.each_at(configuration, "script_specs", kSpec, "");
  for (const char* key : {"steps", "nodes"}) look.each_at(configuration, key, kStep, "");
  if (configuration.contains("dag")) {
    look.at(configuration["dag"], kDag, "dag");
    for (const char* key : {"steps", "nodes"}) look.each_at(configuration["dag"], key, kStep, "dag.");
  }
  return std::move(look.lines);
}

std::vector<std::string> misspelled_spec_keys(const Json& spec) {
  Look look;
  look.at(spec, kSpec, "");
  return std::move(look.lines);
}

}  // namespace casemate::runtime
