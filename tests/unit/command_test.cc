#include "cell/command.h"

#include <cstring>

#include <gtest/gtest.h>

namespace casemate {
namespace {

struct Unpacked {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::vector<std::string> candidates;
};

// Through a copy at another address, as the block travels in a memfd.
Unpacked unpacked(const Job& job) {
  const std::vector<std::uint64_t> packed = pack_command(job);
  std::vector<std::uint64_t> block(1);
  block.insert(block.end(), packed.begin(), packed.end());
  auto* command = reinterpret_cast<CommandBlock*>(block.data() + 1);
  EXPECT_EQ(command->bytes, packed.size() * 8);
  command->relocate();
  const auto* first = reinterpret_cast<const char*>(block.data() + 1);
  const auto list = [&](std::uint64_t offset) {
    std::vector<std::string> items;
    for (char* const* item = command->array(offset); *item; ++item) {
      EXPECT_GE(*item, first);
      EXPECT_LE(*item + std::strlen(*item), first + command->bytes - 1) << "with its NUL inside the block";
      items.emplace_back(*item);
    }
    return items;
  };
  return {list(command->argv), list(command->envp), list(command->candidates)};
}

Job job_of(std::vector<std::string> argv, std::map<std::string, std::string> env = {}) {
  Job job;
  job.argv = std::move(argv);
  job.env = std::move(env);
  return job;
}

using Words = std::vector<std::string>;

TEST(Command, IsLookedUpInThePathOfTheJob) {
  EXPECT_EQ(unpacked(job_of({"ls"}, {{"PATH", "/a:/b/c"}})).candidates, (Words{"/a/ls", "/b/c/ls"}));
}

TEST(Command, WithoutPathTheUsualPlacesAreTried) {
  EXPECT_EQ(unpacked(job_of({"ls"})).candidates, (Words{"/usr/local/bin/ls", "/usr/bin/ls", "/bin/ls"}));
}

TEST(Command, EmptyPartsOfPathMeanTheWorkingDirectory) {
  EXPECT_EQ(unpacked(job_of({"ls"}, {{"PATH", ":/a::/b:"}})).candidates, (Words{"./ls", "/a/ls", "./ls", "/b/ls", "./ls"}));
  EXPECT_EQ(unpacked(job_of({"ls"}, {{"PATH", ""}})).candidates, (Words{"./ls"}));
}

TEST(Command, ANameWithASlashIsNotLookedUp) {
  for (const char* name : {"/bin/ls", "./ls", "sub/ls", "ls/"})
    EXPECT_EQ(unpacked(job_of({name}, {{"PATH", "/a"}})).candidates, (Words{name}));
}

TEST(Command, EnvironmentIsExactlyWhatWasGiven) {
  EXPECT_EQ(unpacked(job_of({"x"})).env, Words{});
  EXPECT_EQ(unpacked(job_of({"x"}, {{"A", ""}, {"B", "=c=d"}, {"z", "\xff\n"}})).env, (Words{"A=", "B==c=d", "z=\xff\n"}));
}

TEST(Command, AnyBytesAndEmptyArguments) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  const Words argv = {"x", "", all, "", ""};
  EXPECT_EQ(unpacked(job_of(argv)).argv, argv);
}

TEST(Command, StringsOfEveryLengthModuloAWord) {
  Words argv;
  for (std::size_t length = 1; length <= 33; ++length) argv.emplace_back(length, 'a');
  EXPECT_EQ(unpacked(job_of(argv, {{"A", "b"}})).argv, argv);
}

TEST(Command, ManyAndLargeArguments) {
  Words argv(20'000, "argument");
  argv.emplace_back(1 << 20, 'b');
  const Unpacked got = unpacked(job_of(argv, {{"LAST", "one"}}));
  EXPECT_EQ(got.argv, argv);
  EXPECT_EQ(got.env, Words{"LAST=one"});
}

}  // namespace
}  // namespace casemate
