// The bytes of an action's messages, compared with those that protoc (protobuf's own compiler) makes of the same messages as text.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "action/messages.h"
#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

class ActionMessages : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v protoc >/dev/null") != 0) GTEST_SKIP() << "protoc is not installed (apt install protobuf-compiler)";
    char name[] = "/tmp/casemate-messages-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }

  // What protobuf makes of a message in its text format.
  std::string encoded(const std::string& message, const std::string& text) {
    std::ofstream(directory_ + "/text") << text;
    const std::string source = std::string(CASEMATE_SOURCE_DIR) + "/src";
    const std::string command = "protoc --encode=build.bazel.remote.execution.v2." + message + " -I " + source + " " + source +
                                "/remote/protocol/remote_execution.proto < " + directory_ + "/text > " + directory_ + "/bytes";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return read_file(directory_ + "/bytes").value_or("?");
  }

  std::string directory_;
};

const std::string kHash(64, 'a');
const std::string kOther(64, 'b');

InputDirectory::File file_of(const std::string& hash, std::uint64_t size, bool executable) {
  InputDirectory::File file;
  file.blob.digest = {hash, size};
  file.executable = executable;
  return file;
}

TEST_F(ActionMessages, directory) {
  const InputDirectoryPtr below = seal({.symlinks = {{"l", "../x"}}});
  InputDirectory top;
  top.files["b"] = file_of(kHash, 300, true);
  top.files["a"] = file_of(kOther, 0, false);
  top.files["\xc3\xa9"] = file_of(kOther, 5'000'000'000, false);
  top.files["Z"] = file_of(kOther, 127, false);
  top.symlinks["s"] = "/usr/bin";
  top.directories["d"] = below;
  top.directories["e"] = empty_input();
  const std::string digest_below = "hash: '" + below->digest.hash + "' size_bytes: " + std::to_string(below->digest.size);
  EXPECT_EQ(directory_message(top),
            encoded("Directory", "files { name: 'Z' digest { hash: '" + kOther + "' size_bytes: 127 } }" +                         //
                                     "files { name: 'a' digest { hash: '" + kOther + "' } }" +                                     //
                                     "files { name: 'b' digest { hash: '" + kHash + "' size_bytes: 300 } is_executable: true }" +  //
                                     "files { name: '\\303\\251' digest { hash: '" + kOther + "' size_bytes: 5000000000 } }" +     //
                                     "directories { name: 'd' digest { " + digest_below + " } }" +                                 //
                                     "directories { name: 'e' digest { hash: '" + empty_input()->digest.hash + "' } }" +           //
                                     "symlinks { name: 's' target: '/usr/bin' }"));
  EXPECT_EQ(below->message, encoded("Directory", "symlinks { name: 'l' target: '../x' }"));
  EXPECT_EQ(empty_input()->message, "");
  EXPECT_EQ(empty_input()->digest.hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");  // sha256sum < /dev/null
}

TEST_F(ActionMessages, tree) {
  const InputDirectoryPtr leaf = seal({.files = {{"f", file_of(kHash, 1, false)}}});
  const InputDirectoryPtr middle = seal({.directories = {{"x", leaf}, {"y", leaf}}});
  const InputDirectoryPtr top = seal({.directories = {{"m", middle}, {"n", leaf}}});
  const auto digest = [](const InputDirectoryPtr& of) {
    return "digest { hash: '" + of->digest.hash + "' size_bytes: " + std::to_string(of->digest.size) + " }";
  };
  EXPECT_EQ(tree_message(*top),
            encoded("Tree", "root { directories { name: 'm' " + digest(middle) + " } directories { name: 'n' " + digest(leaf) + " } }" +
                                "children { directories { name: 'x' " + digest(leaf) + " } directories { name: 'y' " + digest(leaf) +
                                " } }" + "children { files { name: 'f' digest { hash: '" + kHash + "' size_bytes: 1 } } }"));
}

TEST_F(ActionMessages, command) {
  ActionCommand command;
  command.arguments = {"sh", "", "-c"};
  command.environment = {{"PATH", "/bin"}, {"EMPTY", ""}};
  command.output_paths = {"z", "a/b", "z"};
  command.working_directory = "app";
  command.platform = {{"os", "b"}, {"os", "a"}, {"arch", "x"}};
  EXPECT_EQ(
      command_message(command),
      encoded(
          "Command",
          "arguments: 'sh' arguments: '' arguments: '-c'"
          "environment_variables { name: 'EMPTY' } environment_variables { name: 'PATH' value: '/bin' }"
          "output_paths: 'a/b' output_paths: 'z' working_directory: 'app'"
          "platform { properties { name: 'arch' value: 'x' } properties { name: 'os' value: 'a' } properties { name: 'os' value: 'b' } }"));
  EXPECT_EQ(command_message({}), "");
  command = {.arguments = {"a"}, .output_paths = {"z"}, .output_files = {"y", "x"}, .output_directories = {"d"}};
  EXPECT_EQ(command_message(command),
            encoded("Command", "arguments: 'a' output_files: 'x' output_files: 'y' output_directories: 'd' output_paths: 'z'"));
}

TEST_F(ActionMessages, action) {
  ActionContent action;
  action.command = {kHash, 12};
  action.input_root = {kOther, 0};
  const std::string digests = "command_digest { hash: '" + kHash + "' size_bytes: 12 } input_root_digest { hash: '" + kOther + "' }";
  EXPECT_EQ(action_message(action), encoded("Action", digests));
  action.timeout = std::chrono::milliseconds(61'250);
  action.do_not_cache = true;
  action.salt = std::string("\0\xff", 2);
  action.platform = {{"b", ""}, {"a", "1"}};
  EXPECT_EQ(action_message(action),
            encoded("Action", digests + "timeout { seconds: 61 nanos: 250000000 } do_not_cache: true salt: '\\000\\377'" +
                                  "platform { properties { name: 'a' value: '1' } properties { name: 'b' } }"));
  action.timeout = std::chrono::milliseconds(0);
  EXPECT_NE(action_message(action).find(std::string("\x32\0", 2)), std::string::npos);  // there, and empty
}

}  // namespace
}  // namespace casemate
