// Tree messages: how directories that an action made come back.
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "remote/action_result.h"
#include "remote/engine.h"

namespace casemate {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr std::size_t kMostMessageBytes = 64u << 20;
constexpr std::size_t kMostDirectories = 200'000;
constexpr std::uint64_t kMostEntries = 1'000'000;  // of a message's own; and of paths when it is a tree again

std::unexpected<Error> wrong(const std::string& what) { return fail(ErrorCode::corrupt, "a Tree message: " + what); }

// Calls `take` with number and bytes of each field that has a length; false: these bytes are no message. Nothing is allocated, so it may
// be asked how much there is before there is much.
template <class Take>
bool for_each_field(std::string_view bytes, Take take) {
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  while (const std::uint32_t tag = in.ReadTag()) {
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
      continue;
    }
    std::uint32_t size = 0;
    if (!in.ReadVarint32(&size)) return false;
    const auto at = static_cast<std::size_t>(in.CurrentPosition());
    if (size > bytes.size() - at || !in.Skip(static_cast<int>(size))) return false;
    if (!take(WireFormatLite::GetTagFieldNumber(tag), bytes.substr(at, size))) return false;
  }
  return in.ConsumedEntireMessage();
}

class TreeReading {
 public:
  Result<InputDirectoryPtr> read(std::string_view message) {
    if (message.size() > kMostMessageBytes) return wrong(fmt::format("more than {} bytes", kMostMessageBytes));
    std::optional<std::string_view> root;
    const bool whole = for_each_field(message, [&](int field, std::string_view bytes) {
      if (field == protocol::Tree::kRootFieldNumber) {
        if (root) return false;
        root = bytes;
      } else if (field == protocol::Tree::kChildrenFieldNumber) {
        if (children_.size() >= kMostDirectories) return false;
        children_.try_emplace(sha256_hex(bytes), Child{bytes});
      }
      return true;
    });
    if (!whole) return wrong("it can't be read, or has too many directories");
    std::uint64_t paths = 0;
    std::size_t height = 0;
    return directory(root.value_or(""), 0, paths, height);
  }

 private:
  struct Child {
    std::string_view bytes;
    InputDirectoryPtr made = nullptr;
    std::uint64_t paths = 0;  // below it, each as often as it is reached
    std::size_t height = 0;   // directories below each other, itself included
  };

  // `paths`, `height`: as Child has them.
  Result<InputDirectoryPtr> directory(std::string_view bytes, std::size_t depth, std::uint64_t& paths, std::size_t& height) {
    if (depth > kDeepestInput) return wrong(fmt::format("more than {} directories below each other", kDeepestInput));
    std::uint64_t fields = 0;
    const bool read_all = for_each_field(bytes, [&](int, std::string_view) {
      ++fields;
      return fields <= kMostEntries;
    });
    entries_ += fields;
    if (!read_all || entries_ > kMostEntries)
      return wrong(fmt::format("a directory that can't be read, or more than {} entries", kMostEntries));
    protocol::Directory read;
    if (!read.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return wrong("a directory that can't be read");
    InputDirectory made;
    std::set<std::string_view> names;
    const auto check = [&](const std::string& name) -> Result<void> {
      if (!is_path_part(name)) return wrong(fmt::format("'{}' is no name of a file", printable_line(name)));
      if (!names.insert(name).second) return wrong(fmt::format("'{}' is there twice in one directory", printable_line(name)));
      return {};
    };
    for (const auto& file : read.files()) {
      TRY(check(file.name()));
      const auto digest = checked_digest(file.digest());
      if (!digest) return wrong(fmt::format("file '{}' has a digest that is none", printable_line(file.name())));
      made.files.emplace(file.name(), InputDirectory::File{Blob{*digest, "", ""}, file.is_executable()});
    }
    for (const auto& link : read.symlinks()) {
      TRY(check(link.name()));
      if (!is_link_target(link.target())) return wrong(fmt::format("symlink '{}' points at nothing", printable_line(link.name())));
      made.symlinks.emplace(link.name(), link.target());
    }
    paths = made.files.size() + made.symlinks.size();
    height = 1;
    for (const auto& node : read.directories()) {
      TRY(check(node.name()));
      TRY_ASSIGN(const Child* below, child(node, depth));
      made.directories.emplace(node.name(), below->made);
      paths += 1 + below->paths;  // each at most kMostEntries, so it can't wrap
      height = std::max(height, 1 + below->height);
      // A few directories in each other, each several times, would be more paths than there are atoms.
      if (paths > kMostEntries) return wrong(fmt::format("more than {} paths", kMostEntries));
    }
    return seal(std::move(made));
  }

  Result<const Child*> child(const protocol::DirectoryNode& node, std::size_t depth) {
    const auto digest = checked_digest(node.digest());
    const auto found = digest ? children_.find(digest->hash) : children_.end();
    if (found == children_.end() || found->second.bytes.size() != digest->size)
      return wrong(fmt::format("directory '{}' is not in it", printable_line(node.name())));
    Child& child = found->second;
    if (!child.made) {
      TRY_ASSIGN(child.made, directory(child.bytes, depth + 1, child.paths, child.height));
    } else if (depth + child.height > kDeepestInput) {
      return wrong(fmt::format("more than {} directories below each other", kDeepestInput));
    }
    return &child;
  }

  std::unordered_map<std::string, Child> children_;
  std::uint64_t entries_ = 0;
};

}  // namespace

Result<InputDirectoryPtr> RemoteEngine::read_tree(std::string_view message) { return TreeReading().read(message); }

}  // namespace casemate
