// A record is a small text of its own; a tree is a list of its files in a file that is named by the tree's digest, so that what is the same
// for many commands is there once.
#include "action/input_history.h"

#include <algorithm>
#include <ctime>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "base/digest.h"

namespace casemate {
namespace {

constexpr std::string_view kMagic = "casemate inputs 1\n";
constexpr std::string_view kTreeMagic = "casemate input tree 1\n";
constexpr std::string_view kVariable = "variable ";

// Texts with their length in front, one after the other.
class TextList {
 public:
  explicit TextList(std::string_view bytes = {}) : rest_(bytes) {}
  void add(std::string_view text) { bytes_ += fmt::format("{}:{}", text.size(), text); }
  std::optional<std::string_view> next() {
    const std::size_t colon = rest_.find(':');
    if (colon > 12) return std::nullopt;  // none, or no length that we wrote
    std::size_t size = 0;
    for (const char digit : rest_.substr(0, colon)) {
      if (digit < '0' || digit > '9') return std::nullopt;
      size = size * 10 + static_cast<std::size_t>(digit - '0');
    }
    if (size > rest_.size() - colon - 1) return std::nullopt;
    const std::string_view text = rest_.substr(colon + 1, size);
    rest_.remove_prefix(colon + 1 + size);
    return text;
  }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
  std::string_view rest_;
};

using Words = std::vector<std::pair<std::string, std::string>>;

// Values of variables may be secrets.
Words recordable(const Words& words) {
  Words copy = words;
  for (auto& [name, value] : copy) {
    if (name.starts_with(kVariable)) value = sha256_hex(value);
  }
  return copy;
}

void list_tree(const InputDirectory& tree, const std::string& at, TextList& list) {
  for (const auto& [name, file] : tree.files) {
    list.add(at + name);
    list.add(fmt::format("{}{}", file.blob.digest.hash, file.executable ? " executable" : ""));
  }
  for (const auto& [name, target] : tree.symlinks) {
    list.add(at + name);
    list.add("-> " + target);
  }
  for (const auto& [name, below] : tree.directories) {
    list.add(at + name + "/");
    list.add("directory");
    list_tree(*below, at + name + "/", list);
  }
}

std::string listing(const InputDirectory& tree) {
  TextList list;
  list_tree(tree, "", list);
  return std::string(kTreeMagic) + list.take();
}

using Entries = std::map<std::string, std::string, std::less<>>;

Entries entries_of(std::string_view bytes) {
  Entries entries;
  if (!bytes.starts_with(kTreeMagic)) return entries;
  TextList list(bytes.substr(kTreeMagic.size()));
  for (;;) {
    const auto path = list.next();
    const auto what = path ? list.next() : std::nullopt;
    if (!what) return entries;
    entries.emplace(*path, *what);
  }
}

// Calls `tell` for each name of either.
template <class Map, class Tell>
void compare(const Map& before, const Map& now, const Tell& tell) {
  for (const auto& [name, value] : before) {
    const auto found = now.find(name);
    if (found == now.end()) {
      tell(InputDifference::Kind::removed, name);
    } else if (found->second != value) {
      tell(InputDifference::Kind::changed, name);
    }
  }
  for (const auto& [name, value] : now) {
    if (!before.contains(name)) tell(InputDifference::Kind::added, name);
  }
}

std::string name_of(const std::string& directory, std::span<const std::string> argv) {
  TextList list;
  list.add(directory);
  for (const std::string& word : argv) list.add(word);
  return sha256_hex("command " + list.take());
}

// Of a program whatever its arguments are.
std::string name_of_program(const std::string& directory, const std::vector<std::string>& argv) {
  return sha256_hex("program " + name_of(directory, std::span(argv).first(std::min<std::size_t>(1, argv.size()))));
}

}  // namespace

void InputHistory::record(const std::string& directory, const std::vector<std::string>& argv, const JobInputs& inputs) {
  write(name_of(directory, argv), inputs);
  write(name_of_program(directory, argv), inputs);
}

void InputHistory::write(const std::string& name, const JobInputs& inputs) const {
  TextList list;
  list.add(std::to_string(std::time(nullptr)));
  list.add(inputs.action.hash);
  list.add(std::to_string(inputs.words.size()));
  for (const auto& [name, value] : recordable(inputs.words)) list.add(name), list.add(value);
  for (const auto& [place, tree] : inputs.trees) {
    list.add(place);
    list.add(tree->digest.hash);
    if (!files_.touch(tree->digest.hash)) files_.write(tree->digest.hash, listing(*tree));
  }
  files_.write(name, std::string(kMagic) + list.take());
}

std::optional<RecordedInputs> InputHistory::last(const std::string& directory, const std::vector<std::string>& argv) const {
  if (auto same = read(name_of(directory, argv))) return same;
  auto other = read(name_of_program(directory, argv));
  if (other) other->other_arguments = true;
  return other;
}

std::optional<RecordedInputs> InputHistory::read(const std::string& name) const {
  const auto bytes = files_.read(name);
  if (!bytes || !bytes->starts_with(kMagic)) return std::nullopt;
  TextList list(std::string_view(*bytes).substr(kMagic.size()));
  const auto when = list.next();
  const auto action = list.next();
  const auto count = list.next();
  if (!count) return std::nullopt;
  RecordedInputs inputs{.when = std::strtoll(std::string(*when).c_str(), nullptr, 10), .action = std::string(*action)};
  const auto words = static_cast<std::size_t>(std::strtoull(std::string(*count).c_str(), nullptr, 10));
  for (;;) {
    const auto first = list.next();
    const auto second = first ? list.next() : std::nullopt;
    if (!second) break;
    (inputs.words.size() < words ? inputs.words : inputs.trees).emplace_back(*first, *second);
  }
  return inputs;
}

std::vector<InputDifference> InputHistory::differences(const RecordedInputs& before, const JobInputs& now, std::size_t most,
                                                       std::size_t& all) const {
  std::vector<InputDifference> found;
  all = 0;
  const auto tell = [&](InputDifference difference) {
    if (++all <= most) found.push_back(std::move(difference));
  };
  const Words words = recordable(now.words);
  const std::map<std::string, std::string> words_before(before.words.begin(), before.words.end());
  const std::map<std::string, std::string> words_now(words.begin(), words.end());
  compare(words_before, words_now, [&](InputDifference::Kind kind, const std::string& name) {
    InputDifference difference{.kind = kind, .name = name};
    if (!name.starts_with(kVariable)) {
      if (const auto old = words_before.find(name); old != words_before.end()) difference.before = old->second;
      if (const auto fresh = words_now.find(name); fresh != words_now.end()) difference.after = fresh->second;
    }
    tell(std::move(difference));
  });
  // A place may have several trees, in an order that is the job's.
  std::map<std::string, std::vector<std::string>> trees_before;
  for (const auto& [place, hash] : before.trees) trees_before[place].push_back(hash);
  std::map<std::string, std::vector<const InputDirectory*>> trees_now;
  for (const auto& [place, tree] : now.trees) trees_now[place].push_back(tree.get());
  for (const auto& [place, hash] : before.trees) trees_now.try_emplace(place);
  for (const auto& [place, trees] : trees_now) {
    const auto& hashes = trees_before[place];
    for (std::size_t i = 0; i < std::max(hashes.size(), trees.size()); ++i) {
      if (i < hashes.size() && i < trees.size() && hashes[i] == trees[i]->digest.hash) continue;
      const auto old = i < hashes.size() ? files_.read(hashes[i]) : std::nullopt;
      if (i < hashes.size() && !old) {  // nobody knows any more
        tell({.name = place.empty() ? "/" : place, .is_path = true});
        continue;
      }
      compare(
          entries_of(old ? *old : ""), i < trees.size() ? entries_of(listing(*trees[i])) : Entries(),
          [&](InputDifference::Kind kind, const std::string& path) { tell({.kind = kind, .name = place + "/" + path, .is_path = true}); });
    }
  }
  return found;
}

}  // namespace casemate
