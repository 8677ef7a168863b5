#include "runtime/data_paths.h"

#include <algorithm>
#include <unordered_map>

#include "runtime/written_path.h"

namespace casemate::runtime {
namespace {

constexpr std::size_t kMostParts = 64;  // directories above a path that are looked at

// A step and which of its paths.
struct Place {
  std::size_t step;
  const std::string* name;
};

using Places = std::unordered_map<std::string, std::vector<Place>>;

Places places_of(const std::vector<const ScriptExecutionSpec*>& specs, NamedTexts ScriptExecutionSpec::* paths) {
  Places places;
  for (std::size_t step = 0; step < specs.size(); ++step) {
    for (const auto& [name, path] : specs[step]->*paths) {
      if (!path.empty()) places[plain_path(path)].push_back({step, &name});
    }
  }
  return places;
}

// Who of `writers` made what `reader` finds; null: nobody. They are in the list's order.
const Place* writer_for(const std::vector<Place>& writers, std::size_t reader) {
  const auto from = std::ranges::lower_bound(writers, reader, {}, &Place::step);
  if (from != writers.begin()) return &*(from - 1);
  const bool writes_itself = from != writers.end() && from->step == reader;
  return writes_itself || from == writers.end() ? nullptr : &*from;
}

}  // namespace

std::string name_at(const NamedTexts& paths, std::string_view path) {
  const std::string wanted = plain_path(path);
  const std::string* over = nullptr;
  std::vector<const std::string*> under;
  for (const auto& [name, one] : paths) {
    const std::string plain = plain_path(one);
    if (plain == wanted) return name;
    if (!over && is_at_or_below(wanted, plain)) over = &name;
    if (is_at_or_below(plain, wanted)) under.push_back(&name);
  }
  return over ? *over : under.size() == 1 ? *under.front() : "";
}

std::vector<PipelineEdge> edges_by_path(const std::vector<const ScriptExecutionSpec*>& specs, std::size_t most) {
  std::vector<PipelineEdge> edges;
  const Places writers = places_of(specs, &ScriptExecutionSpec::output_paths);
  const Places readers = places_of(specs, &ScriptExecutionSpec::input_paths);
  // A reader of the path itself, or of something in a directory that was written: the nearest directory counts.
  for (std::size_t step = 0; step < specs.size(); ++step) {
    for (const auto& [name, path] : specs[step]->input_paths) {
      std::string at = path.empty() ? "" : plain_path(path);
      for (std::size_t parts = 0; !at.empty() && parts < kMostParts; ++parts, at = directory_of(at)) {
        const auto found = writers.find(at);
        if (found == writers.end()) continue;
        if (const Place* writer = writer_for(found->second, step))
          edges.push_back({.from = writer->step, .to = step, .from_output = *writer->name, .to_input = name});
        break;
      }
    }
  }
  // A reader of a directory in which others wrote: those before it.
  for (std::size_t step = 0; step < specs.size(); ++step) {
    for (const auto& [name, path] : specs[step]->output_paths) {
      std::string at = path.empty() ? "" : directory_of(plain_path(path));
      for (std::size_t parts = 0; !at.empty() && parts < kMostParts; ++parts, at = directory_of(at)) {
        const auto found = readers.find(at);
        if (found == readers.end()) continue;
        for (const Place& reader : found->second) {
          if (edges.size() > most) return edges;
          if (reader.step > step) edges.push_back({.from = step, .to = reader.step, .from_output = name, .to_input = *reader.name});
        }
      }
    }
  }
  return edges;
}

}  // namespace casemate::runtime
