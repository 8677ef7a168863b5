#include "cell/command.h"

#include <cstring>
#include <string_view>

namespace casemate {
namespace {

std::vector<std::string> paths_to_try(const Job& job) {
  const std::string& name = job.argv[0];
  if (name.find('/') != std::string::npos) return {name};
  const auto found = job.env.find("PATH");
  std::string_view rest = found == job.env.end() ? "/usr/local/bin:/usr/bin:/bin" : std::string_view(found->second);
  std::vector<std::string> paths;
  for (;;) {
    const auto colon = rest.find(':');
    const std::string_view directory = rest.substr(0, colon);
    paths.push_back(directory.empty() ? "./" + name : std::string(directory) + "/" + name);
    if (colon == std::string_view::npos) return paths;
    rest.remove_prefix(colon + 1);
  }
}

}  // namespace

void CommandBlock::relocate() {
  char* base = reinterpret_cast<char*>(this);
  for (const std::uint64_t offset : {argv, envp, candidates}) {
    for (auto* slot = reinterpret_cast<std::uint64_t*>(base + offset); *slot != 0; ++slot) *slot += reinterpret_cast<std::uint64_t>(base);
  }
}

char* const* CommandBlock::array(std::uint64_t offset) const {
  return reinterpret_cast<char* const*>(reinterpret_cast<const char*>(this) + offset);
}

std::vector<std::uint64_t> pack_command(const Job& job) {
  std::vector<std::string> env;
  env.reserve(job.env.size());
  for (const auto& [name, value] : job.env) env.push_back(name + "=" + value);
  const std::vector<std::string> candidates = paths_to_try(job);
  const std::vector<std::string>* lists[3] = {&job.argv, &env, &candidates};

  std::size_t words = sizeof(CommandBlock) / 8;
  std::size_t text = 0;
  for (const auto* list : lists) {
    words += list->size() + 1;
    for (const std::string& item : *list) text += item.size() + 1;
  }
  text += job.cwd.size() + 1;
  std::vector<std::uint64_t> block(words + (text + 7) / 8);
  auto* header = reinterpret_cast<CommandBlock*>(block.data());
  char* base = reinterpret_cast<char*>(block.data());
  std::uint64_t slot = sizeof(CommandBlock);
  std::uint64_t string = words * 8;
  std::uint64_t* offsets[3] = {&header->argv, &header->envp, &header->candidates};
  for (int i = 0; i < 3; ++i) {
    *offsets[i] = slot;
    for (const std::string& item : *lists[i]) {
      std::memcpy(base + slot, &string, 8);
      std::memcpy(base + string, item.c_str(), item.size() + 1);
      slot += 8;
      string += item.size() + 1;
    }
    slot += 8;  // the array's end: 0
  }
  header->cwd = string;
  std::memcpy(base + string, job.cwd.c_str(), job.cwd.size() + 1);
  header->bytes = block.size() * 8;
  return block;
}

}  // namespace casemate
