#include "testplan/first_plan.h"

#include <map>

#include <gtest/gtest.h>

#include "testplan/document.h"
#include "testplan/help_text.h"
#include "testplan/plan_reading.h"

namespace casemate {
namespace {

using Strings = std::vector<std::string>;

Strings command_names(const HelpText& help) {
  Strings names;
  for (const HelpCommand& each : help.commands) names.push_back(each.name);
  return names;
}
Strings option_names(const HelpText& help) {
  Strings names;
  for (const HelpOption& each : help.options)
    names.push_back(each.name + (each.takes_value ? "=" : "") +
                    (each.short_name.empty() || each.short_name == each.name ? "" : each.short_name));
  return names;
}

TEST(HelpTexts, of_gnu_programs) {
  const HelpText help = read_help(R"(Usage: paint [OPTION]... [FILE]...
Paint each FILE to standard output.

Mandatory arguments to long options are mandatory for short options too.
  -a, --all                  paint hidden things too
  -c, --colour=WHEN          when to use colour: always,
                               never or auto
  -x                         no long name
      --block-size=SIZE      as it says
      --tab[=N]              stops
      --help        display this help and exit
      --version     output version information and exit

The WHEN argument may be:
  always   each time
  never    not once
)",
                                  "paint");
  EXPECT_TRUE(help.usage);
  EXPECT_EQ(command_names(help), Strings());
  EXPECT_EQ(option_names(help), (Strings{"--all-a", "--colour=-c", "-x", "--block-size=", "--tab=", "--help", "--version"}));
  EXPECT_EQ(help.options[5].description, "display this help and exit");
}

TEST(HelpTexts, of_argparse) {
  const HelpText help = read_help(R"(usage: shop [-h] [--verbose] [--store STORE] {add,remove,list-all} ...

Keeps a shop.

positional arguments:
  {add,remove,list-all}
    add                 put a thing on a shelf
    remove              take it away,
                        for good
    list-all            what there is

options:
  -h, --help            show this help message and exit
  --verbose, -v         say more
  --store STORE         which one
)",
                                  "shop");
  EXPECT_EQ(command_names(help), (Strings{"add", "remove", "list-all"}));
  EXPECT_EQ(help.commands[0].description, "put a thing on a shelf");
  EXPECT_EQ(option_names(help), (Strings{"--help-h", "--verbose-v", "--store="}));
  const HelpText plain = read_help(
      "usage: cat [-h] file [other]\n\npositional arguments:\n  file        what to read\n  other       more of it\n\noptional "
      "arguments:\n  -h, --help  show\n",
      "cat");
  EXPECT_EQ(command_names(plain), Strings());
}

TEST(HelpTexts, of_click) {
  const HelpText help = read_help(R"(Usage: bank [OPTIONS] COMMAND [ARGS]...

  Keeps money.

Options:
  --shout / --no-shout  Say it loud.
  -n, --name TEXT       Whose.  [required]
  --help                Show this message and exit.

Commands:
  balance   How much there is
  transfer  Moves it
)",
                                  "bank");
  EXPECT_EQ(command_names(help), (Strings{"balance", "transfer"}));
  EXPECT_EQ(option_names(help), (Strings{"--shout", "--name=-n", "--help"}));
}

TEST(HelpTexts, of_cobra) {
  const HelpText help = read_help(R"(Ship sends ships.

Usage:
  ship [flags]
  ship [command]

Examples:
  ship send --to port

Available Commands:
  completion  Generate the autocompletion script for the specified shell
  send        Send a ship
  help        Help about any command

Flags:
  -h, --help            help for ship
      --to string       where to (default "port")
      --dry-run         do nothing
  -v, --version         version for ship

Use "ship [command] --help" for more information about a command.
)",
                                  "ship");
  EXPECT_EQ(command_names(help), (Strings{"completion", "send", "help"}));
  EXPECT_EQ(option_names(help), (Strings{"--help-h", "--to=", "--dry-run", "--version-v"}));
}

TEST(HelpTexts, of_clap) {
  const HelpText help = read_help(R"(A mill

Usage: mill [OPTIONS] <COMMAND>

Commands:
  grind  Grinds corn
  sieve  Sieves flour
  help   Print this message or the help of the given subcommand(s)

Options:
  -s, --speed <SPEED>
          How fast it turns

          [default: 3]
      --list-mills
          Print the mills and exit
  -h, --help
          Print help
)",
                                  "mill");
  EXPECT_EQ(command_names(help), (Strings{"grind", "sieve", "help"}));
  EXPECT_EQ(option_names(help), (Strings{"--speed=-s", "--list-mills", "--help-h"}));
  EXPECT_EQ(help.options[1].description, "Print the mills and exit");
}

TEST(HelpTexts, of_docopt) {
  const HelpText help = read_help(R"(Fleet.

Usage:
  fleet ship new <name>...
  fleet ship <name> move <x> <y> [--speed=<kn>]
  fleet mine (set|remove) <x> <y>
  fleet -h | --help

Options:
  -h --help     Show this screen.
  --speed=<kn>  Speed in knots [default: 10].
)",
                                  "fleet");
  EXPECT_EQ(command_names(help), (Strings{"ship", "mine"}));
  EXPECT_EQ(option_names(help), (Strings{"--help-h", "--speed="}));
}

TEST(HelpTexts, with_headings_of_their_own) {
  const HelpText vcs = read_help(R"(usage: vcs [--version] [--help] <command> [<args>]

These are common commands used in various situations:

start a working area (see also: vcs help tutorial)
   clone     Clone a place into a new directory
   init      Create an empty one

examine the history
   log       Show what was

'vcs help -a' lists more.
)",
                                 "vcs");
  EXPECT_EQ(command_names(vcs), (Strings{"clone", "init", "log"}));
  const HelpText lang = read_help(
      "Lang is a tool.\n\nUsage:\n\n\tlang <command> [arguments]\n\nThe commands are:\n\n\tbug         start a report\n\tbuild       "
      "compile\n\nAdditional help topics:\n\n\tbuildmode   modes\n",
      "lang");
  EXPECT_EQ(command_names(lang), (Strings{"bug", "build"}));
  const HelpText pack = read_help(
      "pack <command>\n\nUsage:\n\npack install        install all\npack test           run tests\n\nAll commands:\n\n    access, adduser, "
      "audit,\n    bugs, cache\n\nSpecify configs\n",
      "pack");
  EXPECT_EQ(command_names(pack), (Strings{"install", "test", "access", "adduser", "audit", "bugs", "cache"}));
  const HelpText man = read_help(
      "N\bNA\bAM\bME\bE\n       tool - a tool\n\nSYNOPSIS\n       tool [-q] COMMAND\n\nCOMMANDS\n       start   begins\n       stop    "
      "ends\n\nOPTIONS\n       -q, --quiet\n              say less\n",
      "tool");
  EXPECT_EQ(command_names(man), (Strings{"start", "stop"}));
  EXPECT_EQ(option_names(man), Strings{"--quiet-q"});
}

TEST(HelpTexts, that_are_hostile_or_none) {
  EXPECT_TRUE(read_help("", "x").commands.empty());
  EXPECT_FALSE(read_help("", "x").usage);
  std::string many = "Commands:\n";
  for (int i = 0; i < 1000; ++i) many += "  c" + std::to_string(i) + "  text\n";
  EXPECT_EQ(read_help(many, "x").commands.size(), 200u);
  const HelpText evil = read_help(
      "Commands:\n  $(rm)  x\n  `a`  b\n  good  \x1b[31mred\x1b[0m \xff\n  ;x  y\n  ../a  b\nOptions:\n  --a;b  c\n  -\n  --\n", "x");
  EXPECT_EQ(command_names(evil), Strings{"good"});
  EXPECT_EQ(evil.commands[0].description, "red \xEF\xBF\xBD");
  for (const HelpOption& option : evil.options) EXPECT_EQ(option.name, "--a");
  (void)read_help(std::string(1 << 20, '-'), "x");
  (void)read_help(std::string(1 << 20, '\n'), "x");
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(i * 7919 >> 3);
  (void)read_help(bytes, "x");
  // What is done with each line must not grow with the lines before it, nor is a pattern compiled for each.
  std::string usages = "Usage:\n";
  for (int i = 0; i < 50'000; ++i) usages += "x c" + std::to_string(i % 1000) + "\n";
  EXPECT_EQ(read_help(usages, "x").commands.size(), 200u);
}

// A tool as a table of answers, recorded as they were written here.
class Tool {
 public:
  void says(const std::string& command, int code, const std::string& out, const std::string& err = "") {
    JobResult result;
    result.outcome = {Outcome::Kind::exited, code};
    result.output.out = out;
    result.output.err = err;
    answers_[command] = result;
  }
  [[nodiscard]] AskTool ask() {
    return [this](const std::string& command) -> Result<JobResult> {
      asked.push_back(command);
      if (const auto found = answers_.find(command); found != answers_.end()) return found->second;
      JobResult result;
      result.outcome = {Outcome::Kind::exited, 2};
      result.output.err = "error: " + command + "\n";
      return result;
    };
  }
  Strings asked;

 private:
  std::map<std::string, JobResult> answers_;
};

constexpr const char* kHelp =
    "Usage: mill <COMMAND>\n\nCommands:\n  grind  Grinds corn\n  sieve  Sieves flour\n  lost   Has no help\n  help   Print help\n\n"
    "Options:\n      --list-mills  Print the mills and exit\n      --show-dust   Not true\n      --wipe        Remove everything\n"
    "      --colours     List colours and exit\n  -V, --version     Print version\n";

Tool mill() {
  Tool tool;
  tool.says("mill --version", 0, "mill 2.10.1 (2024)\n");
  tool.says("mill --help", 0, kHelp);
  tool.says("mill grind --help", 0, "Usage: mill grind\n");
  tool.says("mill help sieve", 0, "", "usage of sieve\n");
  tool.says("mill --list-mills", 0, "one\ntwo\n");
  tool.says("mill --colours", 0, "red\n");
  tool.says("mill --wipe", 0, "gone\n");
  return tool;
}

TEST(FirstPlans, have_what_the_tool_says_of_itself) {
  Tool tool = mill();
  const FirstPlanRequest request{
      .tool = "mill", .install = {.strategy = "apt", .packages = {"mill"}}, .image = "docker://debian:12", .in_docker = true};
  const auto made = first_plan(request, tool.ask());
  ASSERT_TRUE(made) << made.error().what;
  Strings ids;
  std::map<std::string, nlohmann::ordered_json> cases;
  for (const auto& one : made->document["test_cases"]) {
    ids.push_back(one["id"]);
    cases[one["id"]] = one;
  }
  EXPECT_EQ(ids, (Strings{"version", "help", "help-grind", "help-sieve", "flag-list-mills", "flag-colours", "unknown-option"}));
  EXPECT_EQ(cases["version"]["expected_output_contains"], Strings{"2.10.1"});
  EXPECT_EQ(cases["help"]["expected_output_contains"], (Strings{"usage", "grind", "sieve", "lost"}));
  EXPECT_EQ(cases["help-grind"]["expected_output_contains"], (Strings{"usage", "mill grind"}));
  EXPECT_EQ(cases["help-sieve"]["command_line"], "mill help sieve");
  EXPECT_EQ(cases["help-sieve"]["expected_error_contains"], (Strings{"usage", "sieve"}));
  EXPECT_EQ(cases["unknown-option"]["expected_exit_code"], 2);
  EXPECT_EQ(cases["unknown-option"]["expected_error_contains"], Strings{"no-such-option-as-this"});
  EXPECT_EQ(made->document["execution"], (nlohmann::ordered_json{{"docker_image", "docker://debian:12"}, {"use_docker", true}}));
  EXPECT_EQ(made->notes, (Strings{"'mill lost' has no help of its own: no case",
                                  "'mill --show-dust' looked as if it only printed, but ended with 'exited 2': no case"}));
  EXPECT_EQ(std::count(tool.asked.begin(), tool.asked.end(), "mill --wipe"), 0) << "nothing is run that isn't known to be harmless";
  Tool again = mill();
  EXPECT_EQ(first_plan(request, again.ask())->document.dump(), made->document.dump());
}

TEST(FirstPlans, are_plans_in_json_and_yaml) {
  Tool tool = mill();
  const auto made =
      first_plan({.tool = "mill", .install = {.strategy = "pip", .packages = {"mill==2.10.1"}}, .image = "docker://debian:12"}, tool.ask());
  ASSERT_TRUE(made) << made.error().what;
  for (const DocumentFormat format : {DocumentFormat::json, DocumentFormat::yaml}) {
    const std::string text = to_text({made->document, format});
    const auto document = parse_document(text, "plan", format);
    ASSERT_TRUE(document) << document.error().what << "\n" << text;
    EXPECT_EQ(document->value, made->document);
    const auto plan = read_plan(*document, "plan");
    ASSERT_TRUE(plan) << plan.error().what << "\n" << text;
    EXPECT_EQ(plan->tool, "mill");
    EXPECT_EQ(plan->cases.size(), 7u);
    EXPECT_EQ(plan->install.strategy, "pip");
    EXPECT_EQ(plan->install.packages, Strings{"mill==2.10.1"});
    EXPECT_EQ(plan->execution.image, "docker://debian:12");
    EXPECT_EQ(plan->cases[6].steps.at(0).expected.exit_code, 2);
  }
}

TEST(FirstPlans, of_tools_that_say_little) {
  Tool small;
  small.says("small -h", 0, "", "Usage: small FILE\n  -q  be quiet\n");
  small.says("small --no-such-option-as-this", 0, "hello\n");
  const auto made = first_plan({.tool = "small"}, small.ask());
  ASSERT_TRUE(made) << made.error().what;
  EXPECT_EQ(made->document["test_cases"].size(), 1u);
  EXPECT_EQ(made->document["test_cases"][0]["command_line"], "small -h");
  EXPECT_EQ(made->document["test_cases"][0]["expected_error_contains"], (Strings{"usage", "-q"}));
  EXPECT_EQ(made->notes.size(), 2u);
  Tool mute;
  const auto none = first_plan({.tool = "mute"}, mute.ask());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::refused);
  EXPECT_TRUE(
      none.error().what.starts_with("mute has no help that could be read (--help, -h, help): 'mute --version' ended with 'exited 2': "))
      << none.error().what;
  Tool wordy;
  wordy.says("wordy --version", 1, "", "\nwordy: bad option\nUsage: wordy\n");
  EXPECT_TRUE(first_plan({.tool = "wordy"}, wordy.ask()).error().what.ends_with("ended with 'exited 1': wordy: bad option"));
  Tool many;
  std::string help = "Usage: many COMMAND\n\nCommands:\n";
  for (int i = 0; i < 9; ++i) {
    help += "  c" + std::to_string(i) + "  text\n";
    many.says("many c" + std::to_string(i) + " --help", 0, "x\n");
  }
  many.says("many --help", 0, help);
  const auto few = first_plan({.tool = "many", .commands = 4}, many.ask());
  ASSERT_TRUE(few);
  EXPECT_NE(std::find(few->notes.begin(), few->notes.end(), "many has 9 sub-commands: the first 4 have a case"), few->notes.end());
}

}  // namespace
}  // namespace casemate
