#include "remote/action_result.h"

#include <map>

#include <fmt/format.h>

#include "base/digest.h"
#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostOutputs = 100'000;
constexpr std::size_t kMostPath = 4095;  // PATH_MAX without its NUL
constexpr std::size_t kMostWorker = 256;

std::unexpected<Error> wrong(const std::string& what) { return fail(ErrorCode::corrupt, "the engine's result of an action: " + what); }

bool is_output_path(std::string_view path) {
  if (path.empty() || path.size() > kMostPath) return false;
  for (;;) {
    const std::size_t slash = path.find('/');
    if (!is_path_part(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

ActionTimes::Time time_of(bool has, const google::protobuf::Timestamp& stamp) {
  constexpr std::int64_t kYear9999 = 253'402'300'799;  // timestamp.proto's own bound
  if (!has || stamp.seconds() <= 0 || stamp.seconds() > kYear9999 || stamp.nanos() < 0 || stamp.nanos() > 999'999'999) return std::nullopt;
  using std::chrono::system_clock;
  // system_clock counts nanoseconds in 63 bits: up to the year 2262.
  if (stamp.seconds() > INT64_MAX / 1'000'000'000 - 1) return std::nullopt;
  return system_clock::time_point(
      std::chrono::duration_cast<system_clock::duration>(std::chrono::seconds(stamp.seconds()) + std::chrono::nanoseconds(stamp.nanos())));
}

ActionTimes times_of(const protocol::ExecutedActionMetadata& said) {
  ActionTimes times;
  times.queued = time_of(said.has_queued_timestamp(), said.queued_timestamp());
  times.worker_began = time_of(said.has_worker_start_timestamp(), said.worker_start_timestamp());
  times.worker_ended = time_of(said.has_worker_completed_timestamp(), said.worker_completed_timestamp());
  times.fetch_began = time_of(said.has_input_fetch_start_timestamp(), said.input_fetch_start_timestamp());
  times.fetch_ended = time_of(said.has_input_fetch_completed_timestamp(), said.input_fetch_completed_timestamp());
  times.ran = time_of(said.has_execution_start_timestamp(), said.execution_start_timestamp());
  times.ran_to_end = time_of(said.has_execution_completed_timestamp(), said.execution_completed_timestamp());
  times.upload_began = time_of(said.has_output_upload_start_timestamp(), said.output_upload_start_timestamp());
  times.upload_ended = time_of(said.has_output_upload_completed_timestamp(), said.output_upload_completed_timestamp());
  return times;
}

// Outputs by path: an engine may tell of a symlink in an old field and a new one.
class Outputs {
 public:
  Result<void> add(ActionOutput output) {
    if (!is_output_path(output.path)) return wrong(fmt::format("'{}' is no path of an output", printable_line(output.path)));
    if (by_path_.size() >= kMostOutputs) return wrong(fmt::format("more than {} outputs", kMostOutputs));
    const auto [place, fresh] = by_path_.emplace(output.path, output);
    const bool same_link =
        output.kind == ActionOutput::Kind::symlink && place->second.kind == output.kind && place->second.target == output.target;
    if (!fresh && !same_link) return wrong(fmt::format("'{}' is there twice", printable_line(output.path)));
    return {};
  }

  Result<void> add(ActionOutput::Kind kind, const std::string& path, const protocol::Digest& digest, bool executable) {
    const auto checked = checked_digest(digest);
    if (!checked) return wrong(fmt::format("'{}' has a digest that is none", printable_line(path)));
    ActionOutput output;
    output.kind = kind;
    output.path = path;
    output.digest = *checked;
    output.executable = executable;
    return add(std::move(output));
  }

  template <class Links>
  Result<void> add_links(const Links& links) {
    for (const auto& link : links) {
      if (!is_link_target(link.target())) return wrong(fmt::format("symlink '{}' points at nothing", printable_line(link.path())));
      ActionOutput output;
      output.kind = ActionOutput::Kind::symlink;
      output.path = link.path();
      output.target = link.target();
      TRY(add(std::move(output)));
    }
    return {};
  }

  std::vector<ActionOutput> taken() {
    std::vector<ActionOutput> all;
    all.reserve(by_path_.size());
    for (auto& [path, output] : by_path_) all.push_back(std::move(output));
    return all;
  }

 private:
  std::map<std::string, ActionOutput> by_path_;
};

// stdout or stderr: inlined, or a digest.
Result<void> read_stream(std::string_view name, const std::string& raw, bool has_digest, const protocol::Digest& message,
                         std::string& inlined, std::optional<BlobDigest>& digest) {
  if (has_digest && !(message.hash().empty() && message.size_bytes() == 0)) {
    digest = checked_digest(message);
    if (!digest) return wrong(fmt::format("{} has a digest that is none", name));
  }
  if (!raw.empty() && digest && *digest != BlobDigest{sha256_hex(raw), raw.size()})
    return wrong(fmt::format("the inlined {} is not what its digest says", name));
  inlined = raw;
  if (!raw.empty() || (digest && digest->size == 0)) digest.reset();
  return {};
}

}  // namespace

bool is_path_part(std::string_view name) {
  constexpr std::size_t kNameMax = 255;  // NAME_MAX
  return !name.empty() && name.size() <= kNameMax && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

bool is_link_target(std::string_view target) {
  return !target.empty() && target.size() <= kMostPath && target.find('\0') == std::string_view::npos;
}

Result<ActionResultView> view_of(const protocol::ActionResult& result) {
  ActionResultView view;
  view.exit_code = result.exit_code();
  Outputs outputs;
  for (const auto& file : result.output_files())
    TRY(outputs.add(ActionOutput::Kind::file, file.path(), file.digest(), file.is_executable()));
  for (const auto& directory : result.output_directories())
    TRY(outputs.add(ActionOutput::Kind::directory, directory.path(), directory.tree_digest(), false));
  TRY(outputs.add_links(result.output_symlinks()));
  TRY(outputs.add_links(result.output_file_symlinks()));
  TRY(outputs.add_links(result.output_directory_symlinks()));
  view.outputs = outputs.taken();
  TRY(read_stream("stdout", result.stdout_raw(), result.has_stdout_digest(), result.stdout_digest(), view.out, view.out_digest));
  TRY(read_stream("stderr", result.stderr_raw(), result.has_stderr_digest(), result.stderr_digest(), view.err, view.err_digest));
  view.times = times_of(result.execution_metadata());
  view.worker = printable_name(std::string_view(result.execution_metadata().worker()).substr(0, kMostWorker));
  return view;
}

protocol::ActionResult result_of(const ActionResultView& view) {
  protocol::ActionResult result;
  result.set_exit_code(view.exit_code);
  for (const ActionOutput& output : view.outputs) {
    switch (output.kind) {
      case ActionOutput::Kind::file: {
        auto& file = *result.add_output_files();
        file.set_path(output.path);
        *file.mutable_digest() = message_of(output.digest);
        file.set_is_executable(output.executable);
        break;
      }
      case ActionOutput::Kind::directory: {
        auto& directory = *result.add_output_directories();
        directory.set_path(output.path);
        *directory.mutable_tree_digest() = message_of(output.digest);
        break;
      }
      case ActionOutput::Kind::symlink: {
        auto& link = *result.add_output_symlinks();
        link.set_path(output.path);
        link.set_target(output.target);
        break;
      }
    }
  }
  result.set_stdout_raw(view.out);
  result.set_stderr_raw(view.err);
  if (view.out_digest) *result.mutable_stdout_digest() = message_of(*view.out_digest);
  if (view.err_digest) *result.mutable_stderr_digest() = message_of(*view.err_digest);
  result.mutable_execution_metadata()->set_worker(view.worker);
  return result;
}

}  // namespace casemate
