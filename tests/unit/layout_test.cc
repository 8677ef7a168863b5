// The rules of the house that a compiler does not check: which room may include which, sizes and names of files, a sentence above each
// public type.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Problems = std::vector<std::string>;

// Each room may include itself and the rooms before it. include/casemate comes first: everybody may include it, and it includes only
// itself.
constexpr std::array<std::string_view, 19> kRooms = {"casemate", "base",    "sys",     "net",      "store", "image",  "cell",
                                                     "witness",  "engine",  "action",  "docker",   "warm",  "remote", "report",
                                                     "command",  "session", "runtime", "testplan", "apps"};
constexpr std::size_t kMostLines = 620;
// Names that say nothing: what lies under them belongs to some noun of the domain.
constexpr std::array<std::string_view, 10> kEmptyNames = {"util",     "utils",  "helper", "helpers", "manager",
                                                          "managers", "common", "misc",   "stuff",   "tools"};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The place of a path's or an include's room in kRooms; kRooms.size() if it is none. "src/sys/fd.h" and "sys/fd.h" are both in room sys.
std::size_t room_of(std::string_view path) {
  for (std::string_view prefix : {"src/", "include/"}) {
    if (path.starts_with(prefix)) path.remove_prefix(prefix.size());
  }
  const std::string_view room = path.substr(0, path.find('/'));
  return static_cast<std::size_t>(std::find(kRooms.begin(), kRooms.end(), room) - kRooms.begin());
}

// "agent" for "src/apps/agent/log.cc" and "apps/agent/log.h"; "" for what lies in no front end's folder.
std::string_view front_end_of(std::string_view path) {
  if (path.starts_with("src/")) path.remove_prefix(4);
  if (!path.starts_with("apps/")) return "";
  path.remove_prefix(5);
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos ? "" : path.substr(0, slash);
}

Problems check_includes(const std::string& path, const std::string& text) {
  static const std::regex include(R"re(^\s*#\s*include\s*"([^"]+)")re");
  Problems problems;
  const std::size_t own = room_of(path);
  if (own == kRooms.size()) return {path + ": lies in no room of the design"};
  for (const std::string& line : lines_of(text)) {
    std::smatch match;
    if (!std::regex_search(line, match, include)) continue;
    const std::string target = match[1];
    if (target.find('/') == std::string::npos && target.ends_with(".inc")) continue;  // generated when casemate is built
    const std::size_t other = target.find('/') == std::string::npos ? kRooms.size() : room_of(target);
    if (other == kRooms.size()) {
      problems.push_back(path + ": \"" + target + "\" is not written as room/file.h");
    } else if (other > own) {
      problems.push_back(path + ": room " + std::string(kRooms[own]) + " may not include \"" + target +
                         "\": " + std::string(kRooms[other]) + " comes after it");
    } else if (!front_end_of(path).empty() && front_end_of(target) != front_end_of(path) && !front_end_of(target).empty()) {
      problems.push_back(path + ": includes \"" + target + "\" of another front end: what both need belongs below both");
    }
  }
  return problems;
}

Problems check_name_and_size(const std::string& path, const std::string& text) {
  Problems problems;
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  if (lines >= kMostLines) problems.push_back(path + ": " + std::to_string(lines) + " lines: two ideas in one file");
  for (const fs::path& part : fs::path(path)) {
    if (std::find(kEmptyNames.begin(), kEmptyNames.end(), part.stem().string()) != kEmptyNames.end())
      problems.push_back(path + ": '" + part.string() + "' names nothing");
  }
  return problems;
}

// A type at namespace scope starts in the first column; a forward declaration is none.
const std::regex kType(R"re(^(class|struct|enum class|enum struct|union)\s+(\[\[\w+\]\]\s*)?(\w+)(?!\w|::)[^;]*$)re");

// Headers only.
Problems check_sentences(const std::string& path, const std::string& text) {
  Problems problems;
  std::string above;
  for (const std::string& line : lines_of(text)) {
    std::smatch match;
    if (std::regex_search(line, match, kType) && !above.starts_with("///")) problems.push_back(path + ": no /// above " + match[3].str());
    if (!line.starts_with("template")) above = line;
  }
  return problems;
}

// Headers only: `seen` has each type's header. Two of one name in our one namespace are one to the linker, which takes the constructors of
// either for both: [basic.def.odr].
Problems check_one_of_a_name(const std::string& path, const std::string& text, std::map<std::string, std::string>& seen) {
  Problems problems;
  for (const std::string& line : lines_of(text)) {
    std::smatch match;
    if (!std::regex_search(line, match, kType)) continue;
    const auto& [first, fresh] = seen.emplace(match[3], path);
    if (!fresh) problems.push_back(path + ": " + match[3].str() + " is a type of " + first->second + " too");
  }
  return problems;
}

// What lies beside the tree is not there for somebody who clones it. Spelled in two halves, so that this file does not match.
Problems check_stands_alone(const std::string& path, const std::string& text) {
  for (const std::string& outside : {std::string("../sha") + "red", std::string("/work/sha") + "red"}) {
    if (text.find(outside) != std::string::npos) return {path + ": mentions " + outside};
  }
  return {};
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// All files of the project: not what is built, nor what git keeps.
std::vector<fs::path> tree() {
  std::vector<fs::path> files;
  for (auto entry = fs::recursive_directory_iterator(CASEMATE_SOURCE_DIR); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename();
    const bool built =
        name == "build" || name.starts_with("build-") || name == ".git" || name == "__pycache__" || name == ".cache" || name == "results";
    if (built && entry->is_directory() && !entry->is_symlink()) {
      entry.disable_recursion_pending();
    } else if (!built && entry->is_regular_file() && !entry->is_symlink()) {
      files.push_back(entry->path());
    }
  }
  return files;
}

bool is_source(const std::string& path) { return path.starts_with("src/") || path.starts_with("include/"); }
bool is_cpp(const fs::path& path) { return path.extension() == ".cc" || path.extension() == ".h"; }

// Every problem that `check` finds in the files that `wanted` picks; fails too when it picks none.
template <class Wanted, class Check>
void expect_none(Wanted wanted, Check check) {
  std::size_t looked_at = 0;
  for (const fs::path& file : tree()) {
    const std::string path = fs::relative(file, CASEMATE_SOURCE_DIR);
    if (!wanted(path)) continue;
    ++looked_at;
    for (const std::string& problem : check(path, contents(file))) ADD_FAILURE() << problem;
  }
  EXPECT_GT(looked_at, 0u);
}

TEST(Layout, rooms_include_only_rooms_before_them_and_front_ends_not_one_another) {
  expect_none([](const std::string& path) { return is_source(path) && is_cpp(path); }, check_includes);
}

TEST(Layout, files_are_small_and_named_by_nouns_of_the_domain) {
  expect_none([](const std::string& path) { return is_source(path); }, check_name_and_size);
}

TEST(Layout, public_types_have_a_sentence) {
  expect_none([](const std::string& path) { return is_source(path) && path.ends_with(".h"); }, check_sentences);
}

TEST(Layout, public_types_have_a_name_of_their_own) {
  std::map<std::string, std::string> seen;
  expect_none([](const std::string& path) { return is_source(path) && path.ends_with(".h"); },
              [&seen](const std::string& path, const std::string& text) { return check_one_of_a_name(path, text, seen); });
}

TEST(Layout, the_tree_stands_alone) {
  expect_none([](const std::string&) { return true; }, check_stands_alone);
}

TEST(Layout, checks_see_what_they_are_for) {
  EXPECT_EQ(
      check_includes("src/sys/fd.cc", "#include \"sys/fd.h\"\n#include \"base/units.h\"\n#include \"casemate/job.h\"\n#include <string>\n")
          .size(),
      0u);
  EXPECT_EQ(check_includes("src/sys/fd.cc", "#include \"engine/collect.h\"\n").size(), 1u);
  EXPECT_EQ(check_includes("include/casemate/job.h", "  #  include \"base/units.h\"\n").size(), 1u);
  EXPECT_EQ(check_includes("src/apps/run/run.cc", "#include \"run.h\"\n").size(), 1u);
  EXPECT_EQ(check_includes("src/apps/run/run.cc", "#include \"../base/units.h\"\n").size(), 1u);
  EXPECT_EQ(check_includes("src/apps/agent/worker.cc", "#include \"apps/pytest/watch.h\"\n").size(), 1u);
  EXPECT_EQ(check_includes("src/apps/agent/worker.cc", "#include \"apps/agent/clone.h\"\n#include \"session/session.h\"\n").size(), 0u);
  EXPECT_EQ(check_includes("src/apps/main.cc", "#include \"apps/pytest/pytest.h\"\n").size(), 0u);
  EXPECT_EQ(check_includes("src/attic/old.cc", "").size(), 1u);
  EXPECT_EQ(check_name_and_size("src/sys/utils.cc", "").size(), 1u);
  EXPECT_EQ(check_name_and_size("src/common/fd.cc", "").size(), 1u);
  EXPECT_EQ(check_name_and_size("src/sys/fd.cc", std::string(kMostLines, '\n')).size(), 1u);
  EXPECT_EQ(check_sentences("a.h", "class A;\n/// An A.\nstruct A {\n};\n/// Of any T.\ntemplate <class T>\nclass B {\n").size(), 0u);
  EXPECT_EQ(check_sentences("a.h", "struct A::Parts {\n").size(), 0u);
  EXPECT_EQ(check_sentences("a.h", "struct A {\n").size(), 1u);
  EXPECT_EQ(check_sentences("a.h", "// plain\nenum class A : int {\n").size(), 1u);
  std::map<std::string, std::string> seen;
  EXPECT_EQ(check_one_of_a_name("a.h", "class A;\nclass A {\n", seen).size(), 0u);
  EXPECT_EQ(check_one_of_a_name("b.h", "class A;\nstruct B : A {\n", seen).size(), 0u);
  EXPECT_EQ(check_one_of_a_name("c.h", "enum class B {\n", seen).size(), 1u);
  EXPECT_EQ(check_stands_alone("README.md", std::string("see ../sha") + "red/x").size(), 1u);
}

}  // namespace
}  // namespace casemate
