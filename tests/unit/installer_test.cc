#include "image/installer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace casemate {
namespace {

TEST(TellingLine, of_uv) {
  EXPECT_EQ(telling_line("Using Python 3.11.7 environment at: e1\nerror: No solution found when resolving dependencies\n"
                         "  cause: Because a==1 needs b\n         and you require a, no.\n\nhint: try harder\n"),
            "No solution found when resolving dependencies: Because a==1 needs b and you require a, no.");
  EXPECT_EQ(telling_line("  × No solution found when resolving dependencies:\n  ╰─▶ Because a was not found\n      in the registry, no.\n"),
            "No solution found when resolving dependencies: Because a was not found in the registry, no.");
  EXPECT_EQ(telling_line("error: Request failed after 2 retries in 2.0s\n  cause: Failed to fetch: http://h/\n  cause: tcp connect error\n "
                         " cause: Connection refused\n"),
            "Request failed after 2 retries in 2.0s: Failed to fetch: http://h/: Connection refused");
  EXPECT_EQ(telling_line(
                "error: Failed to build `b==1.0`\n  cause: The build backend returned an error\n  cause: Call failed (exit status: 1)\n\n"
                "         [stderr]\n         Traceback\n         ValueError: no\n\nhint: Build failures usually ...\n"),
            "Failed to build `b==1.0`: The build backend returned an error: ValueError: no");
}

TEST(TellingLine, of_pip) {
  EXPECT_EQ(telling_line("Looking in links\nERROR: Could not find a version that satisfies the requirement a (from versions: none)\nERROR: "
                         "No matching distribution found for a\n"),
            "Could not find a version that satisfies the requirement a (from versions: none)");
  EXPECT_EQ(telling_line("  error: subprocess-exited-with-error\n  \n  × Getting requirements to build wheel did not run successfully.\n  "
                         "│ exit code: 1\n  ╰─> [2 lines of output]\n"
                         "      warning\n      the build fell over\n      [end of output]\n  \n  note: not pip's\nerror: "
                         "subprocess-exited-with-error\n\n× Getting requirements failed.\n╰─> See above for output.\n"),
            "Getting requirements to build wheel did not run successfully: the build fell over");
  EXPECT_EQ(telling_line("something\nKilled\n\n"), "Killed");
  EXPECT_EQ(telling_line(""), "");
}

TEST(TellingLine, of_a_mistake_that_pip_dies_of) {
  EXPECT_EQ(telling_line(
                "ERROR: Exception:\nTraceback (most recent call last):\n  File \"/p/pip/_internal/cli/base_command.py\", line 180, in w\n"
                "    status = run_func(*args)\n             ^^^^^^^^^^^^^^^\n  File \"/p/markers.py\", line 280, in __init__\n"
                "    raise InvalidMarker(\n"
                "pip._vendor.packaging.markers.InvalidMarker: Invalid marker: 'bar', parse error at 'bar'\n"),
            "InvalidMarker: Invalid marker: 'bar', parse error at 'bar'");
  EXPECT_EQ(telling_line("ERROR: Exception:\nTraceback (most recent call last):\nKeyboardInterrupt\n"), "KeyboardInterrupt");
  EXPECT_EQ(telling_line("ERROR: Exception:\n"), "Exception:");
}

TEST(TellingLine, of_an_index_that_pip_could_not_reach) {
  const auto told = [](const char* why) {
    return telling_line(
        fmt::format("Looking in indexes: http://127.0.0.1:9/simple\nWARNING: Retrying (Retry(total=1, connect=None)) after "
                    "connection broken by '{}': /simple/six/\nERROR: Could not find a version that satisfies the requirement six "
                    "(from versions: none)\nERROR: No matching distribution found for six\n",
                    why));
  };
  const std::string said = "the package index http://127.0.0.1:9/simple could not be reached: ";
  EXPECT_EQ(
      told("NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f9dc>: Failed to establish a new connection: "
           "[Errno 111] Connection refused')"),
      said + "Connection refused");
  EXPECT_EQ(told("ReadTimeoutError(\"HTTPConnectionPool(host='h', port=9): Read timed out. (read timeout=1.0)\")"), said + "timed out");
  EXPECT_EQ(told("ProtocolError('Connection aborted.', RemoteDisconnected('Remote end closed connection'))"), said + "ProtocolError");
  EXPECT_EQ(told("x [Errno 1"), said + "x [Errno 1");
  EXPECT_EQ(telling_line(
                "Could not fetch URL http://h/six/: connection error: HTTPConnectionPool(host='h', port=9): Max retries exceeded with url: "
                "/six/ (Caused by NewConnectionError('<o>: Failed: [Errno -2] Name or service not known')) - skipping\nERROR: Could not "
                "find a version that satisfies the requirement six (from versions: none)\n"),
            "the package index could not be reached: Name or service not known");
  // One that answers at the second try is not what is amiss.
  EXPECT_EQ(
      telling_line("WARNING: Retrying (Retry(total=1)) after connection broken by 'ProtocolError('x')': /six/\nERROR: Could not find a "
                   "version that satisfies the requirement six==9 (from versions: 1.0, 1.1)\n"),
      "Could not find a version that satisfies the requirement six==9 (from versions: 1.0, 1.1)");
}

TEST(UsersWords, name_the_users_file_and_line) {
  const std::vector<std::string> origins = {"", "wanted.txt:7", "base.txt:1"};
  const auto said = [&](const char* log) { return in_users_words(log, "/bench/requirements.txt", origins); };
  EXPECT_EQ(said("Collecting a (from -r /bench/requirements.txt (line 2))\nb (from -r /bench/requirements.txt (line 3))"),
            "Collecting a (from -r wanted.txt (line 7))\nb (from -r base.txt (line 1))");
  EXPECT_EQ(said("Invalid requirement: 'a b' (from line 3 of /bench/requirements.txt)"),
            "Invalid requirement: 'a b' (from line 1 of base.txt)");
  EXPECT_EQ(said("error: at /bench/requirements.txt:2:5"), "error: at wanted.txt:7:5");
  EXPECT_EQ(said("Couldn't parse `/bench/requirements.txt` at 0"), "Couldn't parse `wanted.txt` at 0");
}

TEST(UsersWords, leave_out_lines_that_the_user_did_not_write) {
  const std::vector<std::string> origins = {"", "wanted.txt:7"};
  const auto said = [&](const char* log) { return in_users_words(log, "/bench/requirements.txt", origins); };
  EXPECT_EQ(said("(from -r /bench/requirements.txt (line 1))"), "(from -r wanted.txt)");
  EXPECT_EQ(said("/bench/requirements.txt:999999999999999999999999: x"), "wanted.txt:999999999999999999999999: x");
  EXPECT_EQ(said("/bench/requirements.txt (line 4"), "wanted.txt (line 4");
  EXPECT_EQ(said(" of /bench/requirements.txt"), " of wanted.txt");
  EXPECT_EQ(said("5 of /bench/requirements.txt:0"), "5 of wanted.txt");
  EXPECT_EQ(said(""), "");
  EXPECT_EQ(in_users_words("/bench/requirements.txt:1", "/bench/requirements.txt", {}), "requirements.txt");
}

TEST(TellingLine, is_bounded_and_stays_utf8) {
  std::string log = "error: ";
  for (int i = 0; i < 1000; ++i) log += "ä";
  const std::string told = telling_line(log);
  EXPECT_LE(told.size(), 403u);
  EXPECT_TRUE(told.ends_with("ä...") || told.ends_with("...")) << told;
  EXPECT_EQ((static_cast<unsigned char>(told[told.size() - 4]) & 0xC0), 0x80);
}

TEST(InstallerProgress, names_what_goes_on) {
  EXPECT_EQ(progress_of_line("Downloading numpy (16.1MiB)"), "downloading numpy (16.1MiB)");
  EXPECT_EQ(progress_of_line("  Building x==1"), "building x==1");
  EXPECT_EQ(progress_of_line("Collecting six"), "collecting six");
  EXPECT_EQ(progress_of_line(" + six==1.17"), "");
  EXPECT_EQ(progress_of_line("Downloadingsix"), "");
  EXPECT_EQ(progress_of_line(""), "");
}

}  // namespace
}  // namespace casemate
