#include "action/input_directory.h"

#include <string_view>
#include <unordered_set>
#include <utility>

#include "action/messages.h"

namespace casemate {
namespace {

struct BlobWalk {
  const std::function<void(const Blob&)>& take;
  const std::function<bool(const InputDirectory&)>& enter;
  std::unordered_set<std::string_view> seen;

  void directory(const InputDirectory& here) {
    if (!seen.insert(here.digest.hash).second || (enter && !enter(here))) return;
    take(Blob{here.digest, "", here.message});
    for (const auto& [name, file] : here.files) take(file.blob);
    for (const auto& [name, below] : here.directories) directory(*below);
  }
};

}  // namespace

InputDirectoryPtr seal(InputDirectory directory) {
  directory.message = directory_message(directory);
  directory.digest = digest_of(directory.message);
  return std::make_shared<const InputDirectory>(std::move(directory));
}

const InputDirectoryPtr& empty_input() {
  static const InputDirectoryPtr empty = seal({});
  return empty;
}

InputDirectory::File input_file(std::string bytes, bool executable) { return {blob_of(std::move(bytes)), executable}; }

void for_each_blob(const InputDirectory& top, const std::function<void(const Blob&)>& take,
                   const std::function<bool(const InputDirectory&)>& enter) {
  BlobWalk{take, enter, {}}.directory(top);
}

}  // namespace casemate
