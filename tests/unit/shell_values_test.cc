#include "testplan/shell_values.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

namespace casemate {
namespace {

const char* const kHostile = R"x(it's "$(echo RUN)" `echo RUN` ${HOME} \ ; exit 9 # *)x";

// What a real shell makes of the command.
std::string said(const std::string& command, const PlanValues& values) {
  for (const auto& [name, value] : values) ::setenv(name.c_str(), value.c_str(), 1);
  FILE* const pipe = ::popen(with_references(command, values).c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), count);
  ::pclose(pipe);
  for (const auto& [name, value] : values) ::unsetenv(name.c_str());
  return out;
}

TEST(ShellValues, are_text_wherever_they_stand) {
  const PlanValues values = {{"X", kHostile}};
  const std::string value = kHostile;
  const std::pair<const char*, std::string> places[] = {
      {"printf '%s|' {{X}} end", value + "|end|"},
      {"printf %s \"<{{ X }}>\"", "<" + value + ">"},
      {"printf %s '<{{X}}>'", "<" + value + ">"},
      {"printf %s a{{X}}b\"c{{X}}d\"'e{{X}}f'", "a" + value + "bc" + value + "de" + value + "f"},
      {"printf %s \\\"{{X}}\\'{{X}}", "\"" + value + "'" + value},
      {"printf %s \"$(printf %s {{X}})\"", value},
      {"printf %s \"$(printf %s \"<{{X}}>\")>{{X}}\"", "<" + value + ">>" + value},
      {"printf %s \"`printf %s '{{X}}'`\" {{X}}", value + value},
      {"Y={{X}}; printf %s \"$Y\"", value},
      {"printf %s \"${NOBODY:-{{X}}}\"", value},
      {"case {{X}} in it*) printf %s {{X}};; esac", value},
      {"# don't {{X}}\nprintf %s {{X}}", value},
      {"printf %s it#s\\'{{X}}", "it#s'" + value},
      {"cat <<E\n{{X}} don't\nE\nprintf %s {{X}}", value + " don't\n" + value},
      {"cat <<'EOD'\n{{X}} $HOME don't\nEOD\nprintf %s {{X}}", value + " $HOME don't\n" + value},
      {"cat <<-E; cat <<\"F G\"\n\t{{X}}\n\tE\n{{X}}\nF G\nprintf %s {{X}}", value + "\n" + value + "\n" + value},
      {"(printf %s {{X}}; (printf %s \"{{X}}\"))", value + value},
  };
  for (const auto& [command, expected] : places) EXPECT_EQ(said(command, values), expected) << with_references(command, values);
}

TEST(ShellValues, are_numbers_in_arithmetic) { EXPECT_EQ(said("echo $(({{N}} * (2 + {{N}}))) {{N}}", {{"N", "5"}}), "35 5\n"); }

TEST(ShellValues, do_not_end_a_literal_here_document) {
  const PlanValues values = {{"X", "a\nE\necho RUN"}};
  EXPECT_EQ(said("cat <<'E'\n{{X}}\nE\necho end", values), "{{X}}\nend\n");
  EXPECT_EQ(said("cat <<E\n{{X}}\nE\necho end", values), "a\nE\necho RUN\nend\n");
}

TEST(ShellValues, leave_the_rest_as_it_stands) {
  const PlanValues values = {{"X", "v"}};
  for (const std::string text :
       {"", "{{Y}} {{", "echo '", "echo \"$(", "cat <<", "cat <<E", "cat <<E\n", "a `b", "\\", "$((", "{{X", "{{}}", "))", "#"})
    EXPECT_EQ(with_references(text, values), text);
  EXPECT_EQ(with_references("{{{X}}}", values), "{\"${X}\"}");
  const std::string braces(1 << 16, '{');
  EXPECT_EQ(with_references(braces, values), braces);
}

}  // namespace
}  // namespace casemate
