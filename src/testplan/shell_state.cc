// Theory of operation. The state of a session is a file of commands for the shell that wrote it: what `export -p` says, with the directory
// in a variable among them. It is written beside and renamed, so that a full disk or a kill leaves the old one, and only if something
// changed: most commands change neither, and mv is a program. Names that begin with casemate_ are ours. A command may write that file
// itself, as it may write all else of its context: commands of one context trust each other (docs/design/limits.md). What is no file is not
// waited for.
#include "testplan/shell_state.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>

#include "base/shell_words.h"
#include "base/terminal.h"
#include "testplan/plan_table.h"

namespace casemate {
namespace {

std::string quoted(const std::string& word) { return join_shell_words({word}); }

// Remembers what each variable was and sets it; the reverse, for a shell that then says what is exported. Values come by `env`, under names
// of ours: one word of a command line has room for less (MAX_ARG_STRLEN, execve(2)).
struct Borrowed {
  std::string take, give_back;
  std::map<std::string, std::string> env;
};

Borrowed borrow(const std::map<std::string, std::string>& environment) {
  Borrowed made;
  std::size_t number = 0;
  for (const auto& [name, value] : environment) {
    if (!is_variable_name(name)) {  // no shell takes it: it gets there by itself, if at all
      made.env[name] = value;
      continue;
    }
    const std::string old = fmt::format("casemate_old{}", number), fresh = fmt::format("casemate_new{}", number++);
    made.env[fresh] = value;
    made.take += fmt::format("{0}_had=${{{1}+x}}; {0}=${{{1}-}}; export {1}=\"${{{2}-}}\"; unset {2}\n", old, name, fresh);
    made.give_back += fmt::format("if [ -n \"${{{0}_had-}}\" ]; then export {1}=\"${{{0}-}}\"; else unset {1}; fi\n", old, name);
  }
  return made;
}

struct Address {
  std::optional<std::string> ip;  // as /proc/net/tcp has it; nullopt: any
  std::string port;
};

// nullopt: no [HOST:]PORT.
std::optional<Address> parse_address(std::string_view what) {
  const auto colon = what.rfind(':');
  const std::string_view digits = colon == std::string_view::npos ? what : what.substr(colon + 1);
  std::string host(colon == std::string_view::npos ? "" : what.substr(0, colon));
  std::uint16_t port = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (problem != std::errc{} || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  Address made{{}, fmt::format("{:04X}", port)};
  in_addr ip{};
  if (host == "localhost") host = "127.0.0.1";
  if (::inet_pton(AF_INET, host.c_str(), &ip) == 1 && ip.s_addr != 0) made.ip = fmt::format("{:08X}", ip.s_addr);
  return made;
}

// Functions of the shell that all of our checks share. What listens is read from the kernel's own table: no client is needed in the image,
// and the service sees no connection. State 0A is LISTEN (include/net/tcp_states.h); loopback and any of IPv6 take IPv4 too.
constexpr std::string_view kListens = R"(casemate_listens() {
for casemate_table in /proc/self/net/tcp /proc/self/net/tcp6; do
[ -r "$casemate_table" ] || continue
while read -r casemate_line casemate_local casemate_peer casemate_kind casemate_rest; do
case $casemate_kind:$casemate_local in
0A:*:"$2") case ${casemate_local%:*} in
"$1"|00000000|00000000000000000000000000000000|00000000000000000000000001000000) return 0;;
*) [ -n "$1" ] || return 0;; esac;; esac
done <"$casemate_table"
done
return 1
}
casemate_nap() { sleep 0.1 2>/dev/null || sleep 1; }
)";

std::string listens_call(const std::string& what) {
  const auto address = parse_address(what);
  return address ? fmt::format("casemate_listens '{}' {}", address->ip.value_or(""), address->port) : "false";
}

// The file as a word of the shell's in which only * and ? mean anything.
std::string glob_word(const std::string& file) {
  std::string word, plain;
  for (const char byte : file) {
    if (byte != '*' && byte != '?') {
      plain += byte;
      continue;
    }
    if (!plain.empty()) word += join_shell_words({plain});
    plain.clear();
    word += byte;
  }
  return plain.empty() ? word : word + join_shell_words({plain});
}

// Puts the first of what `file` may mean that exists into $casemate_file.
std::string find_file(const std::string& file) {
  const bool whole = file.starts_with('/');
  std::string places;
  // "-" at the start is no option after "./".
  for (const std::string& word : {quoted(file), glob_word(file)})
    places += whole ? " " + word : fmt::format(" ./{0} \"$casemate_last/\"{0}", word);
  return fmt::format("for casemate_file in{}; do [ -e \"$casemate_file\" ] && break; casemate_file=; done\n", places);
}

}  // namespace

ContextCommand in_session(std::string command, const std::string& shell, const std::string& session,
                          const std::map<std::string, std::string>& environment) {
  Borrowed borrowed = borrow(environment);
  const std::string file = "/dev/shm/.casemate-" + session;
  std::string script = fmt::format(R"(casemate_from=; casemate_cwd=; casemate_saved=; casemate_lost=
if [ -f {0} ] && [ -r {0} ]; then . {0} 2>/dev/null
elif [ -e {0} ] || [ -h {0} ]; then casemate_lost=1; fi
casemate_command=$1; shift
unset IFS; IFS={3}
casemate_stale=${{casemate_cwd:-$PWD}}
[ -z "$casemate_cwd" ] || cd -- "$casemate_cwd" 2>/dev/null || :
casemate_here=$PWD
casemate_last=${{casemate_from:-$PWD}}
unset casemate_from casemate_cwd
casemate_exports() {{
unset casemate_from casemate_cwd casemate_status casemate_now casemate_saved
{2}[ $# = 0 ] || export casemate_cwd="$1" casemate_from="$2"
export -p
}}
casemate_save() {{
[ -z "${{casemate_saved-}}" ] || return 0
casemate_saved=1
casemate_now=$(casemate_exports) || return 0
[ "$casemate_now" != "$casemate_before" ] || [ "$PWD" != "$casemate_stale" ] || [ "$casemate_here" != "$casemate_last" ] || return 0
casemate_now=$(casemate_exports "$PWD" "$casemate_here") || return 0
if [ -h {0}.new ] || {{ [ -e {0}.new ] && ! [ -f {0}.new ]; }}; then rm -rf {0}.new; fi
if [ -d {0} ] || ! printf '%s\n' "$casemate_now" >{0}.new || ! mv -f {0}.new {0}; then casemate_lost=1; fi
}}
casemate_tell() {{ [ -z "$casemate_lost" ] || echo 'casemate: the directory and exported variables of this session can not be kept in {0}' >&2; }}
{1}casemate_before=$(casemate_exports)
trap '{{ casemate_status=$?; set +xeufva; trap - EXIT; casemate_save; }} </dev/null >/dev/null 2>&1; casemate_tell; exit "$casemate_status"' EXIT
eval "$casemate_command"
{{ casemate_status=$?; set +xeufva; casemate_save; }} </dev/null >/dev/null 2>&1
casemate_tell
exit "$casemate_status"
)",
                                   file, borrowed.take, borrowed.give_back, quoted(" \t\n"));
  ContextCommand made;
  made.argv = {shell, "-c", std::move(script), shell, std::move(command)};
  made.env = std::move(borrowed.env);
  return made;
}

std::string as_service(const std::string& command, const std::vector<std::string>& listens, const std::string& name) {
  const std::string file = "/dev/shm/.casemate-" + name;
  std::string ready;
  for (const std::string& what : listens) ready += listens_call(what) + " && ";
  // The collector is dd, which writes what it reads at once. It takes what comes after that as well, or a service that talks would wait for
  // ever.
  return fmt::format(R"({0}rm -f {1}.end {1}.whole
( trap '' HUP
{{ ( eval {2} ) 2>&1; echo $? >{1}.end; }} | {{ dd bs=1024 count=4096; cat >/dev/null; echo >{1}.whole; }} >{1}.out 2>/dev/null ) </dev/null >/dev/null 2>&1 &
while :; do
casemate_end=
if [ -s {1}.end ]; then read -r casemate_end <{1}.end; fi
if [ -n "$casemate_end" ] && [ "$casemate_end" != 0 ]; then
for casemate_try in 1 2 3 4 5 6 7 8 9; do [ -e {1}.whole ] && break; casemate_nap; done
cat {1}.out >&2; (exit "$casemate_end"); break; fi
{3}:  && {{ [ -n "$casemate_end" ] || [ -n "${{casemate_slept-}}" ] || [ -n "{4}" ]; }} && break
casemate_nap; casemate_slept=1
done
[ -z "$casemate_end" ] || [ "$casemate_end" = 0 ] || (exit "$casemate_end")
)",
                     kListens, file, quoted(command), ready, listens.empty() ? "" : "1");
}

std::string service_output(const std::string& name) {
  const std::string file = "/dev/shm/.casemate-" + name;
  return fmt::format(R"(casemate_end=
if [ -f {0}.end ]; then read -r casemate_end <{0}.end || :; fi
printf '%s\n' "$casemate_end"
if [ -f {0}.out ]; then head -c {1} {0}.out; fi
)",
                     file, kMostOfService);
}

std::string check_needs(const std::vector<PlanDependency>& needs, unsigned patience) {
  std::string script(kListens);
  for (std::size_t index = 0; index < std::min(needs.size(), kMostNeeds); ++index) {
    const PlanDependency& need = needs[index];
    const std::string missing = fmt::format("exit {}", static_cast<std::size_t>(kFirstMissing) + index);
    switch (need.kind) {
      case PlanDependency::Kind::result:
        break;
      case PlanDependency::Kind::file:
        script += fmt::format("[ -e {} ] || {}\n", quoted(need.what), missing);
        break;
      case PlanDependency::Kind::environment:
        script += is_variable_name(need.what) ? fmt::format("[ -n \"${{{}+x}}\" ] || {}\n", need.what, missing) : missing + "\n";
        break;
      case PlanDependency::Kind::command:
        script += fmt::format("command -v -- {} >/dev/null 2>&1 || {}\n", quoted(need.what), missing);
        break;
      case PlanDependency::Kind::service:
        script += fmt::format(
            "casemate_tries={}; until {}; do [ \"$casemate_tries\" -gt 0 ] || {}; casemate_tries=$((casemate_tries-1)); "
            "casemate_nap; done\n",
            patience, listens_call(need.what), missing);
        break;
    }
  }
  return script + ":\n";
}

std::string check_files(const std::vector<std::string>& files) {
  std::string script;
  for (const std::string& file : files) script += find_file(file) + "if [ -n \"$casemate_file\" ]; then printf 1; else printf 0; fi\n";
  return script;
}

std::string file_content(const std::string& file) {
  return find_file(file) + fmt::format("if [ -f \"$casemate_file\" ]; then head -c {} -- \"$casemate_file\"; fi\n", kMostOfFile);
}

std::string words(const PlanDependency& need) {
  const std::string what = printable_line(need.what);
  switch (need.kind) {
    case PlanDependency::Kind::result:
      return fmt::format("'{}'", printable_line(need.id));
    case PlanDependency::Kind::file:
      return fmt::format("the file '{}'", what);
    case PlanDependency::Kind::environment:
      return fmt::format("the variable {} in the environment", what);
    case PlanDependency::Kind::command:
      return fmt::format("the command '{}'", what);
    case PlanDependency::Kind::service:
      return fmt::format("something that listens on {}", what);
  }
  return what;
}

}  // namespace casemate
