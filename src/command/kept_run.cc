#include "command/kept_run.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "action/input_history.h"
#include "base/ascii.h"
#include "base/shell_words.h"
#include "store/place.h"

namespace casemate {
namespace {

// The same engine has the same name here, however its address is written (parse_remote()).
std::string one_form(const std::string& address) {
  std::string_view rest = address;
  if (const std::size_t scheme = rest.find("://"); scheme != std::string_view::npos && ascii_lower(rest.substr(0, scheme)) == "grpc")
    rest.remove_prefix(scheme + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (!rest.starts_with("unix:")) return std::string(rest);
  rest.remove_prefix(5);
  while (rest.starts_with("//")) rest.remove_prefix(1);  // unix:///PATH
  return fmt::format("unix:{}", rest);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> engine_words(const RemoteChoice& engine) {
  std::vector<std::pair<std::string, std::string>> words = {{"engine", one_form(engine.address)}};
  if (!engine.instance.empty()) words.emplace_back("engine's instance", engine.instance);
  for (const auto& [name, value] : engine.properties) words.emplace_back("property " + name, value);
  return words;
}

Result<KeptRun> KeptRun::look(const Job& job, Store& store, const RemoteChoice* engine, InputFilter without) {
  InputTrees trees(store.directory(), std::move(without));
  TRY_ASSIGN(JobInputs inputs, inputs_of(job, trees, engine ? engine_words(*engine) : std::vector<std::pair<std::string, std::string>>()));
  TRY_ASSIGN(const std::string here, absolute_path("."));
  InputHistory(store.directory()).record(here, job.argv, inputs);
  return KeptRun(job, store, std::move(inputs));
}

Result<std::optional<KeptResult>> KeptRun::find() { return results_.find(inputs_.action, job_->collect_to); }

std::string KeptRun::keep(const JobResult& result) {
  if (std::string why = why_not_kept(result); !why.empty()) return result.outcome.succeeded() ? why : "";
  const auto kept = results_.keep(inputs_.action, result, job_->collect_to, fmt::format("result: {}", join_shell_words(job_->argv)));
  return kept ? "" : kept.error().what;
}

void pass_on(const Output& output, JobListener& listener) {
  struct stat out{};
  struct stat err{};
  const bool one_place =
      ::fstat(STDOUT_FILENO, &out) == 0 && ::fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev && out.st_ino == err.st_ino;
  if (one_place && output.merged.size() == output.out.size() + output.err.size()) {
    listener.output(Stream::out, output.merged);
  } else {
    listener.output(Stream::out, output.out);
    listener.output(Stream::err, output.err);
  }
}

}  // namespace casemate
