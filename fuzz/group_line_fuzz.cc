// What the interpreter of a group of tests tells, line by line: bounded, its words fit a screen, and no unit ends well that does not say
// so.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <sys/wait.h>

#include "base/terminal.h"
#include "session/verdict.h"
#include "warm/group.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

// The tests of every unit that the lines speak of.
struct Told {
  UnitReport unit;
  std::vector<TestCase> tests{2};
  Told() {
    tests[0].id = "a";
    tests[1].id = "b";
    for (const TestCase& test : tests) unit.expect(test.id);
  }
};

void end(Told& told, GroupOver over) {
  require(over.leftovers.size() <= 64 && over.problem >= 0 && over.problem < 4096);
  require(over.failed == printable_line(over.failed));
  for (const Leftover& left : over.leftovers) require(left.pid >= 0 && left.name == printable_line(left.name));
  require(over.resources.wall.count() >= 0 && over.resources.user_cpu.count() >= 0 && over.resources.system_cpu.count() >= 0);
  require(over.output.out_total >= over.output.out.size() && over.output.err_total >= over.output.err.size());
  const bool well =
      over.wait_status == 0 && over.failed.empty() && !over.died && over.limit != "wall" && over.limit != "memory" && over.limit != "pids";
  JobResult result = result_of(std::move(over), {});
  require(result.outcome.succeeded() <= well);
  const auto judged = told.unit.judge(told.tests, std::move(result));
  require(judged.results.size() + judged.not_begun.size() == told.tests.size());
  for (const TestResult& test : judged.results) require(well || is_bad(test.verdict) || !test.reports.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  Told told;
  for (int lines = 0; !rest.empty() && lines < 64; ++lines) {
    const std::size_t newline = std::min(rest.find('\n'), rest.size());
    GroupLine line = read_group_line(rest.substr(0, newline));
    rest.remove_prefix(std::min(newline + 1, rest.size()));
    if (const auto* piece = std::get_if<GroupPiece>(&line)) told.unit.add(piece->bytes);
    if (auto* over = std::get_if<GroupOver>(&line)) {
      end(told, std::move(*over));
      told = Told();
    }
    if (const auto* apart = std::get_if<GroupApart>(&line)) require(apart->note.size() <= 1000);
    if (const auto* tied = std::get_if<GroupTied>(&line)) require(tied->left.size() <= 1000);
  }
  return 0;
}
