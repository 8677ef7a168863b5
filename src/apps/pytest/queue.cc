#include "apps/pytest/queue.h"

#include <map>

#include "warm/protocol.h"

namespace casemate {
namespace {

// Equal keys share a cell; "": a cell of its own.
std::string key_of(const SelectedTest& selected) {
  const TestCase& test = selected.test;
  switch (selected.isolation) {
    case Isolation::klass:
      return test.group.empty() ? "" : std::to_string(selected.container) + " " + test.file + "::" + test.group;
    case Isolation::module:
    case Isolation::file:
      return std::to_string(selected.container) + " " + test.file;
    default:
      return "";
  }
}

}  // namespace

std::deque<Unit> make_units(const std::vector<SelectedTest>& tests) {
  struct Open {
    std::size_t unit = 0;
    std::size_t bytes = 0;
  };
  std::deque<Unit> units;
  std::map<std::string, Open> open;
  for (std::size_t i = 0; i < tests.size(); ++i) {
    const bool cold = tests[i].isolation == Isolation::cold || tests[i].test.cold;
    const std::string key = cold ? "" : key_of(tests[i]);
    const std::size_t bytes = tests[i].test.id.size() + 1;
    const auto found = key.empty() ? open.end() : open.find(key);
    if (found != open.end() && found->second.bytes + bytes <= kMostIds) {
      units[found->second.unit].tests.push_back(i);
      found->second.bytes += bytes;
      continue;
    }
    if (!key.empty()) open[key] = {units.size(), bytes};
    units.push_back({.tests = {i}, .cold = cold});
  }
  return units;
}

}  // namespace casemate
