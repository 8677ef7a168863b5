#include "command/executors.h"

#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/process.h"

namespace casemate {
namespace {

// Executors that other programs of ours have: casemate-NAME.
constexpr std::string_view kElsewhere[] = {"docker", "remote"};

std::map<std::string, MakeExecutor>& known() {
  static std::map<std::string, MakeExecutor> makers;
  return makers;
}

char** arguments = nullptr;
AskEngine inquiry;

Result<void> become(const std::string& program) {
  const std::string path = program_beside(program);
  ::execv(path.c_str(), arguments);
  const int problem = errno;
  return fail(
      ErrorCode::not_supported,
      fmt::format("can't start {}, which comes with casemate and belongs beside it: {}", printable_name(path), std::strerror(problem)),
      problem);
}

}  // namespace

void know_executor(std::string name, MakeExecutor make) { known()[std::move(name)] = std::move(make); }

void know_arguments(int /*argc*/, char** argv) { arguments = argv; }

Result<void> need_executor(const std::string& name) {
  if (name == "native" || known().contains(name)) return {};
  for (const std::string_view elsewhere : kElsewhere) {
    if (name == elsewhere && arguments) return become(fmt::format("casemate-{}", name));
  }
  return fail(ErrorCode::invalid_input, fmt::format("there is no executor '{}': native, docker or remote", printable_name(name)));
}

Result<std::unique_ptr<Executor>> make_executor(Reactor& reactor, const ExecutorChoice& choice) {
  const auto maker = known().find(choice.name);
  if (maker == known().end()) return fail(ErrorCode::internal, fmt::format("need_executor(\"{}\") comes before", choice.name));
  return maker->second(reactor, choice);
}

void know_engine_inquiry(AskEngine ask) { inquiry = std::move(ask); }

Result<std::vector<HostFeature>> ask_engine(const RemoteChoice& choice) {
  if (!inquiry) return fail(ErrorCode::internal, "need_executor(\"remote\") comes before");
  return inquiry(choice);
}

Result<void> add_executor(Engine& engine, const ExecutorChoice& choice, Executor** added) {
  if (choice.name == "native") return {};
  return engine.add_executor(choice.name, [&](Reactor& reactor) {
    auto made = make_executor(reactor, choice);
    if (made && added) *added = made->get();
    return made;
  });
}

}  // namespace casemate
