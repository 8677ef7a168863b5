#include "apps/script/interpreter_root.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/terminal.h"
#include "command/pulling.h"
#include "image/image_interpreter.h"

namespace casemate {
namespace {

Result<InterpreterRoot> in_image(const ImageReference& image, const ScriptRequest& request, Store& store, const RunJob& run,
                                 const TellPull& tell) {
  InterpreterRoot found;
  TRY_ASSIGN(PinnedRoot opened, open_pinned_root(store, image, request.pull, request.lock, true, tell));
  found.root = std::move(opened.root);
  if (!opened.note.empty()) found.notes.push_back(std::move(opened.note));
  TRY_ASSIGN(found.interpreter, find_interpreter(found.root, request.python_version, run));
  return found;
}

}  // namespace

std::string image_for_version(std::string_view version) {
  const std::vector<int> numbers = version_numbers(version);
  if (numbers.empty() || numbers[0] != 3 || (numbers.size() > 1 && numbers[1] < 7)) return "";
  return fmt::format("docker://docker.io/library/python:{}-slim", fmt::join(numbers, "."));
}

Result<InterpreterRoot> find_interpreter_root(const ScriptRequest& request, Store& store, const RunJob& run, const TellPull& tell) {
  if (request.image && request.image->kind != ImageReference::Kind::host) return in_image(*request.image, request, store, run, tell);
  auto interpreter = find_interpreter(request.python_version);
  if (interpreter) return InterpreterRoot{.interpreter = std::move(*interpreter)};
  const std::string image = request.image ? "" : image_for_version(request.python_version);
  if (interpreter.error().code != ErrorCode::not_found || image.empty()) return std::unexpected(interpreter.error());
  TRY_ASSIGN(const ImageReference reference, parse_image_reference(image));
  auto found = in_image(reference, request, store, run, tell);
  if (!found) {
    Error& error = found.error();
    if (error.code != ErrorCode::cancelled)
      error.what = fmt::format("{}; nor can it be had from an image: {}", interpreter.error().what, error.what);
    return found;
  }
  found->notes.push_back(fmt::format("{}; using {}", interpreter.error().what, image));
  return found;
}

}  // namespace casemate
