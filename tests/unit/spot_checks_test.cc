// Which files of an input root its witness looks at.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "action/spot_checks.h"

namespace casemate {
namespace {

InputDirectoryPtr directory_of(int files, const std::string& what) {
  InputDirectory directory;
  for (int i = 0; i < files; ++i) directory.files.emplace(fmt::format("{}{}", what, i), input_file(what + std::to_string(i)));
  return seal(std::move(directory));
}

InputDirectoryPtr image() {
  const auto bin = seal({.files = {{"python3.11", input_file(std::string(200'000, 'p'), true)}}, .symlinks = {{"python3", "python3.11"}}});
  const auto lib = seal({.files = {{"empty", input_file("")}}, .directories = {{"deep", directory_of(100, "d")}}});
  const auto usr = seal({.directories = {{"bin", bin}, {"lib", lib}, {"share", directory_of(2, "s")}}});
  return seal({.symlinks = {{"bin", "usr/bin"}},
               .directories = {{"usr", usr}, {"etc", directory_of(5, "e")}, {"tmp", directory_of(5, "t")}, {"srv", directory_of(1, "v")}}});
}

std::vector<std::string> paths(const Job& job) {
  std::vector<std::string> all;
  for (const SpotCheck& each : spot_checks(image(), job)) all.push_back(each.path);
  return all;
}

Job job(const std::string& program) { return {.argv = {program}, .env = {{"PATH", "/usr/local/bin:/bin"}}, .cwd = "/srv"}; }

TEST(SpotChecks, are_of_each_part_that_has_programs) {
  const auto chosen = paths(job("true"));
  const auto below = [&](const std::string& place) {
    return std::count_if(chosen.begin(), chosen.end(), [&](const std::string& path) { return path.starts_with(place); });
  };
  EXPECT_EQ(below("/usr/lib/deep/"), 3);
  EXPECT_EQ(below("/usr/share/"), 2);
  EXPECT_EQ(below("/usr/bin/"), 1);
  EXPECT_EQ(below("/srv/"), 1);
  EXPECT_EQ(chosen.size(), 7u) << "no empty file, nothing of /etc and /tmp";
  EXPECT_EQ(paths(job("true")), chosen);
}

TEST(SpotChecks, the_program_comes_first) {
  EXPECT_EQ(paths(job("python3"))[0], "/usr/bin/python3.11");
  EXPECT_EQ(paths(job("/bin/python3"))[0], "/usr/bin/python3.11");
  EXPECT_EQ(paths(job("./v0"))[0], "/srv/v0");
  EXPECT_NE(paths(job("/etc/none"))[0], "/etc/none");
}

TEST(SpotChecks, of_a_root_without_files_are_none) { EXPECT_TRUE(spot_checks(empty_input(), job("true")).empty()); }

}  // namespace
}  // namespace casemate
