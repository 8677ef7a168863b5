// Fields go in the order of their numbers, and what has its default value is left out: the form that protobuf's own serialisation of
// proto3 has where it is deterministic.
#include "action/messages.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <unordered_set>

#include "base/digest.h"

namespace casemate {
namespace {

// A message as it grows. https://protobuf.dev/programming-guides/encoding/
class WireBytes {
 public:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void number(std::uint32_t field, std::uint64_t value) {
    if (value == 0) return;
    varint(field << 3);
    varint(value);
  }
  // An element of a repeated field, or a message: there also when it is empty.
  void element(std::uint32_t field, std::string_view bytes) {
    varint(field << 3 | 2);
    varint(bytes.size());
    bytes_ += bytes;
  }
  void text(std::uint32_t field, std::string_view bytes) {
    if (!bytes.empty()) element(field, bytes);
  }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

std::string pair_message(std::string_view first, std::string_view second) {
  WireBytes message;
  message.text(1, first);
  message.text(2, second);
  return message.take();
}

std::string digest_message(const BlobDigest& digest) {
  WireBytes message;
  message.text(1, digest.hash);
  message.number(2, digest.size);
  return message.take();
}

std::string platform_message(PlatformProperties properties) {
  std::sort(properties.begin(), properties.end());
  WireBytes message;
  for (const auto& [name, value] : properties) message.element(1, pair_message(name, value));
  return message.take();
}

std::string duration_message(std::chrono::milliseconds time) {
  WireBytes message;
  message.number(1, static_cast<std::uint64_t>(time.count() / 1000));
  message.number(2, static_cast<std::uint64_t>(time.count() % 1000 * 1'000'000));
  return message.take();
}

void add_children(const InputDirectory& directory, std::unordered_set<std::string_view>& seen, WireBytes& tree) {
  for (const auto& [name, below] : directory.directories) {
    if (!seen.insert(below->digest.hash).second) continue;
    tree.element(2, below->message);
    add_children(*below, seen, tree);
  }
}

}  // namespace

BlobDigest digest_of(std::string_view bytes) { return {sha256_hex(bytes), bytes.size()}; }

Blob blob_of(std::string bytes) {
  Blob blob{.digest = digest_of(bytes)};
  blob.bytes = std::move(bytes);
  return blob;
}

std::string directory_message(const InputDirectory& directory) {
  WireBytes message;
  for (const auto& [name, file] : directory.files) {
    WireBytes node;
    node.text(1, name);
    node.element(2, digest_message(file.blob.digest));
    node.number(4, file.executable ? 1 : 0);
    message.element(1, node.take());
  }
  for (const auto& [name, below] : directory.directories) {
    WireBytes node;
    node.text(1, name);
    node.element(2, digest_message(below->digest));
    message.element(2, node.take());
  }
  for (const auto& [name, target] : directory.symlinks) message.element(3, pair_message(name, target));
  return message.take();
}

std::string command_message(const ActionCommand& command) {
  WireBytes message;
  for (const std::string& argument : command.arguments) message.element(1, argument);
  for (const auto& [name, value] : command.environment) message.element(2, pair_message(name, value));
  const auto add_paths = [&](std::uint32_t field, std::vector<std::string> paths) {
    std::sort(paths.begin(), paths.end());
    paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
    for (const std::string& path : paths) message.element(field, path);
  };
  add_paths(3, command.output_files);
  add_paths(4, command.output_directories);
  if (!command.platform.empty()) message.element(5, platform_message(command.platform));
  message.text(6, command.working_directory);
  add_paths(7, command.output_paths);
  return message.take();
}

std::string action_message(const ActionContent& action) {
  WireBytes message;
  message.element(1, digest_message(action.command));
  message.element(2, digest_message(action.input_root));
  if (action.timeout) message.element(6, duration_message(std::max(*action.timeout, std::chrono::milliseconds(0))));
  message.number(7, action.do_not_cache ? 1 : 0);
  message.text(9, action.salt);
  if (!action.platform.empty()) message.element(10, platform_message(action.platform));
  return message.take();
}

std::string tree_message(const InputDirectory& top) {
  WireBytes tree;
  tree.element(1, top.message);
  std::unordered_set<std::string_view> seen{top.digest.hash};
  add_children(top, seen, tree);
  return tree.take();
}

}  // namespace casemate
