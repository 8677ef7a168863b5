// A Tree message that an engine sent: what is read of it is a tree of names that a file system takes, and written again it is the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <google/protobuf/stubs/logging.h>

#include "action/messages.h"
#include "remote/action_result.h"
#include "remote/engine.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

void check(const InputDirectory& directory, std::size_t depth) {
  require(depth <= kDeepestInput);
  require(digest_of(directory.message) == directory.digest);
  for (const auto& [name, file] : directory.files) require(is_path_part(name) && file.blob.digest.hash.size() == 64);
  for (const auto& [name, target] : directory.symlinks) require(is_path_part(name) && is_link_target(target));
  for (const auto& [name, child] : directory.directories) {
    require(is_path_part(name) && child);
    check(*child, depth + 1);
  }
}

}  // namespace

// What it says of each text that is no UTF-8 would be most of the time.
extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*words*/) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = RemoteEngine::read_tree(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!read) return 0;
  check(**read, 0);
  const auto again = RemoteEngine::read_tree(tree_message(**read));
  require(again && (*again)->digest == (*read)->digest);
  return 0;
}
