#include "runtime/spec_file.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/report_file.h"
#include "runtime/json_text.h"
#include "runtime/known_keys.h"
#include "runtime/spec_fields.h"
#include "sys/fd.h"

namespace casemate::runtime {
namespace {

constexpr std::size_t kMostSpecBytes = 16u << 20;
constexpr std::size_t kMostDocumentBytes = 64u << 20;
constexpr std::size_t kLongestFileName = 255;  // NAME_MAX
constexpr std::string_view kScriptSuffix = "_runtime_test_spec.json";
constexpr std::string_view kPipelineSuffix = "_pipeline_test_spec.json";

Result<std::string> path_of(const std::string& name, const std::string& directory, std::string_view suffix) {
  const auto wrong = [&](std::string_view problem) {
    return fail(ErrorCode::invalid_input, fmt::format("a spec's file can't be named after '{}': {}", named(name), problem));
  };
  if (name.empty()) return wrong("the name is empty");
  if (name.find('/') != std::string::npos) return wrong("the name has a slash in it");
  if (name.find('\0') != std::string::npos) return wrong("the name has a NUL byte in it");
  if (name.size() + suffix.size() > kLongestFileName) return wrong("the name is too long");
  if (directory.find('\0') != std::string::npos) return fail(ErrorCode::invalid_input, "a directory's name can't have a NUL byte in it");
  const std::string_view slash = directory.ends_with('/') ? "" : "/";
  return fmt::format("{}{}{}{}", directory.empty() ? "." : directory, slash, name, suffix);
}

// "2026-11-22T06:02:12+00:00", as Python's datetime.isoformat() writes it.
std::string now() {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm broken{};
  ::gmtime_r(&seconds, &broken);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+00:00", broken.tm_year + 1900, broken.tm_mon + 1, broken.tm_mday, broken.tm_hour,
                     broken.tm_min, broken.tm_sec);
}

void add_texts(std::string& all, const NamedTexts& texts) {
  for (const auto& [name, text] : texts) all.append(name).append("\n").append(text).append("\n");
}

// All texts of a spec, to be looked at for what JSON can't hold.
std::string texts_of(const ScriptExecutionSpec& spec) {
  std::string all =
      fmt::format("{}\n{}\n{}\n{}\n", spec.script_name, spec.step_name, spec.script_path.value_or(""), spec.user_notes.value_or(""));
  for (const NamedTexts* texts : {&spec.input_paths, &spec.output_paths, &spec.environ_vars}) add_texts(all, *texts);
  return all;
}

std::string texts_of(const PipelineTestingSpec& spec) {
  std::string all = fmt::format("{}\n{}\n", spec.pipeline_name, spec.test_workspace_root.value_or(""));
  for (const ScriptExecutionSpec& script : spec.script_specs) all += texts_of(script);
  for (const std::string& node : spec.nodes) all.append(node).append("\n");
  for (const DataFlowSpec& flow : spec.data_flow_specs) {
    for (const auto& text :
         {flow.from_step, flow.to_step, flow.data_path.value_or(""), flow.from_output.value_or(""), flow.to_input.value_or("")})
      all.append(text).append("\n");
  }
  return all;
}

// Only what can be read back is written. Fails with a line that says which key is wrong.
template <class Spec>
Result<std::string> written(const Spec& spec, Result<Spec> (*read)(const Json&)) {
  if (const std::string problem = problem_of_text(texts_of(spec)); !problem.empty())
    return fail(ErrorCode::invalid_input, "each text " + problem);
  const Json json = to_json(spec);
  TRY(read(json));
  return json.dump(2) + "\n";
}

template <class Spec>
Result<std::string> save_to(Spec& spec, const std::string& path, Result<Spec> (*read)(const Json&)) {
  Spec copy = spec;
  copy.last_updated = now();
  const auto text = written(copy, read);
  if (!text) return fail(text.error().code, fmt::format("can't write {}: {}", printable_name(path), text.error().what));
  if (text->size() > kMostSpecBytes) {
    return fail(ErrorCode::invalid_input, fmt::format("can't write {}: it would have {} bytes, and at most {} are read back",
                                                      printable_name(path), text->size(), kMostSpecBytes));
  }
  TRY_ASSIGN(ReportFile file, ReportFile::begin(path));
  TRY(file.add(*text));
  TRY(file.publish());
  spec.last_updated = std::move(copy.last_updated);
  return path;
}

Result<Json> document_at(const std::string& path, std::size_t most) {
  if (path.find('\0') != std::string::npos) return fail(ErrorCode::invalid_input, "a file's name can't have a NUL byte in it");
  TRY_ASSIGN(const std::string bytes, read_file(path, most));
  return json_from(bytes, path);
}

template <class Spec>
Result<Spec> load_from(const std::string& path, std::string_view kind, Result<Spec> (*read)(const Json&), UnknownKeys* unknown = nullptr) {
  auto json = document_at(path, kMostSpecBytes);
  if (!json && json.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found, fmt::format("{} file not found: {}", kind, printable_name(path)));
  if (!json) return std::unexpected(std::move(json).error());
  auto spec = read(*json);
  if (!spec) return std::unexpected(in_file(path, std::move(spec).error()));
  if (unknown) {
    for (const std::string& line : misspelled_spec_keys(*json)) unknown->push_back(fmt::format("{}: {}", printable_name(path), line));
  }
  return spec;
}

}  // namespace

Result<std::string> script_spec_path(const std::string& name, const std::string& directory) {
  return path_of(name, directory, kScriptSuffix);
}

Result<std::string> pipeline_spec_path(const std::string& name, const std::string& directory) {
  return path_of(name, directory, kPipelineSuffix);
}

Result<std::string> save(ScriptExecutionSpec& spec, const std::string& directory) {
  TRY_ASSIGN(const std::string path, script_spec_path(spec.script_name, directory));
  return save_to(spec, path, script_spec_from);
}

Result<std::string> save(PipelineTestingSpec& spec, const std::string& directory) {
  TRY_ASSIGN(const std::string path, pipeline_spec_path(spec.pipeline_name, directory));
  return save_to(spec, path, pipeline_spec_from);
}

Result<ScriptExecutionSpec> read_script_spec(const std::string& path, UnknownKeys* unknown) {
  return load_from(path, "ScriptExecutionSpec", script_spec_from, unknown);
}

Result<ScriptExecutionSpec> load_script_spec(const std::string& name, const std::string& directory, UnknownKeys* unknown) {
  TRY_ASSIGN(const std::string path, script_spec_path(name, directory));
  return read_script_spec(path, unknown);
}

Result<PipelineTestingSpec> load_pipeline_spec(const std::string& name, const std::string& directory) {
  TRY_ASSIGN(const std::string path, pipeline_spec_path(name, directory));
  return load_from(path, "PipelineTestingSpec", pipeline_spec_from);
}

Result<std::vector<std::string>> saved_script_specs(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code problem;
  std::filesystem::directory_iterator entry(directory.empty() ? "." : directory, problem);
  if (problem == std::errc::no_such_file_or_directory) return names;
  const auto failure = [&] { return fail_errno(fmt::format("read {}", printable_name(directory)), problem.value()); };
  if (problem) return failure();
  for (; entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
    if (problem) return failure();
    std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (name.size() <= kScriptSuffix.size() || !name.ends_with(kScriptSuffix) || !entry->is_regular_file(ignored)) continue;
    name.resize(name.size() - kScriptSuffix.size());
    names.push_back(std::move(name));
  }
  if (problem) return failure();
  std::ranges::sort(names);
  return names;
}

Error in_file(const std::string& path, Error problem) {
  problem.what = fmt::format("{}: {}", printable_name(path), problem.what);
  return problem;
}

Result<Json> read_document(const std::string& path) { return document_at(path, kMostDocumentBytes); }

}  // namespace casemate::runtime
