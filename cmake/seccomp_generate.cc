// seccomp_generate ARCH FILE: compiles src/sys/seccomp_policy.h into filter programs, run once a build.
//
// libseccomp resolves the names. The programs are laid out here rather than by seccomp_export_bpf: numbers that lie side by side mostly
// share a verdict, so a binary search over runs of numbers needs a third of the instructions that libseccomp's tree over single numbers
// needs, and the kernel checks, translates and JITs them at each start of a job: half the time (docs/design/seccomp.md). After the layout
// every number is run through the program and compared with the policy, so a mistake here fails the build.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/personality.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "sys/seccomp_policy.h"

namespace {

using casemate::SyscallClass;
using casemate::CallVerdict;

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kAbsent = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::uint32_t kNoFamily = SECCOMP_RET_ERRNO | EAFNOSUPPORT;
constexpr std::uint32_t kKill = SECCOMP_RET_KILL_PROCESS;
// Numbers up to here are compared with the policy after the layout; x32's begin at 2^30.
constexpr std::uint32_t kChecked = 1024;

// From the kernel's interface; the generic values that x86 and ARM share.
constexpr std::uint32_t kNamespaceFlags =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr std::uint32_t kNewTime = 0x80;
constexpr std::uint32_t kSetIdBits = S_ISUID | S_ISGID;
constexpr std::uint32_t kCreates = 0100 | 020000000;  // O_CREAT, __O_TMPFILE
constexpr std::uint32_t kSocketTypeMask = 0xf;
constexpr std::uint32_t kPersonalityQuery = 0xffffffff;

struct Architecture {
  std::string_view name;
  std::uint32_t libseccomp;
  std::uint32_t audit;
};
constexpr Architecture kArchitectures[] = {
    {"x86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64},
    {"aarch64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64},
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "seccomp_generate: %s\n", what.c_str());
  std::exit(1);
}

/// A filter program under construction: instructions whose jumps go to labels, which are resolved at the end.
class Program {
 public:
  using Label = std::size_t;

  Label new_label() {
    positions_.push_back(kNowhere);
    return positions_.size() - 1;
  }
  void place(Label label) { positions_[label] = code_.size(); }

  void load(std::size_t offset) { code_.push_back({BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset), 0, 0}); }
  /// The low half of an argument: the kernel takes these arguments as 32 bits, so the high half must not be looked at (CVE-2023-1523).
  void load_argument(int index) { load(offsetof(seccomp_data, args) + 8u * static_cast<unsigned>(index)); }
  void mask(std::uint32_t bits) { code_.push_back({BPF_ALU | BPF_AND | BPF_K, bits, 0, 0}); }
  void jump(std::uint16_t test, std::uint32_t value, Label if_true, Label if_false) {
    code_.push_back({static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), value, if_true, if_false});
  }
  /// A jump whose other way is the next instruction.
  void jump_if(std::uint16_t test, std::uint32_t value, Label if_true) {
    const Label next = new_label();
    jump(test, value, if_true, next);
    place(next);
  }
  void finish(std::uint32_t action) { code_.push_back({BPF_RET | BPF_K, action, 0, 0}); }

  std::vector<sock_filter> resolve() const {
    std::vector<sock_filter> out;
    for (std::size_t at = 0; at < code_.size(); ++at) {
      const Instruction& from = code_[at];
      sock_filter to = {from.code, 0, 0, from.value};
      if (BPF_CLASS(from.code) == BPF_JMP) {
        to.jt = distance(at, from.if_true);
        to.jf = distance(at, from.if_false);
      }
      out.push_back(to);
    }
    return out;
  }

 private:
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);
  struct Instruction {
    std::uint16_t code;
    std::uint32_t value;
    Label if_true;
    Label if_false;
  };

  std::uint8_t distance(std::size_t from, Label label) const {
    const std::size_t to = positions_[label];
    if (to == kNowhere || to <= from || to - from - 1 > 255) die("a jump goes backwards or further than 255 instructions");
    return static_cast<std::uint8_t>(to - from - 1);
  }

  std::vector<Instruction> code_;
  std::vector<std::size_t> positions_;
};

/// Which verdict each number has; what is not in it is absent.
using Policy = std::map<std::uint32_t, CallVerdict>;

/// "name" or "name:number" on `architecture`; -1 where it has no such call.
std::int64_t number_of(std::string_view word, const Architecture& architecture) {
  const std::size_t colon = word.find(':');
  const std::string name(word.substr(0, colon));
  const int known = seccomp_syscall_resolve_name_arch(architecture.libseccomp, name.c_str());
  if (known >= 0) return known;
  if (colon != std::string_view::npos) return std::atoi(std::string(word.substr(colon + 1)).c_str());
  if (known == __NR_SCMP_ERROR) die("libseccomp knows no call '" + name + "': misspelt, or add its number as name:number");
  return -1;
}

template <class Choose>
Policy make_policy(const Architecture& architecture, Choose choose) {
  Policy policy;
  for (const SyscallClass& kind : casemate::kSyscallClasses) {
    std::string_view rest = kind.calls;
    while (!rest.empty()) {
      const std::size_t blank = rest.find(' ');
      const std::string_view word = rest.substr(0, blank);
      rest = blank == std::string_view::npos ? std::string_view() : rest.substr(blank + 1);
      if (word.empty()) continue;
      const std::int64_t number = number_of(word, architecture);
      if (number < 0) continue;
      if (!policy.emplace(static_cast<std::uint32_t>(number), choose(kind)).second) die("'" + std::string(word) + "' is in two classes");
    }
  }
  return policy;
}

/// Numbers from `first` to before the next run's, all of one verdict.
struct Run {
  std::uint32_t first;
  CallVerdict verdict;
};

std::vector<Run> runs_of(const Policy& policy) {
  std::vector<Run> runs;
  for (std::uint32_t number = 0; number < kChecked; ++number) {
    const auto entry = policy.find(number);
    const CallVerdict verdict = entry == policy.end() ? CallVerdict::absent : entry->second;
    if (runs.empty() || runs.back().verdict != verdict) runs.push_back({number, verdict});
  }
  if (runs.back().verdict != CallVerdict::absent) die("the numbers past the last known one must be absent");
  return runs;
}

using Labels = std::map<CallVerdict, Program::Label>;

/// A binary search for the run of the number in the accumulator, among runs[begin, end); each leaf is a jump to its verdict's code.
void emit_search(Program& program, const std::vector<Run>& runs, std::size_t begin, std::size_t end, const Labels& labels) {
  const std::size_t middle = begin + (end - begin) / 2;
  const bool left_leaf = middle - begin == 1;
  const bool right_leaf = end - middle == 1;
  const Program::Label left = left_leaf ? labels.at(runs[begin].verdict) : program.new_label();
  const Program::Label right = right_leaf ? labels.at(runs[middle].verdict) : program.new_label();
  program.jump(BPF_JGE, runs[middle].first, right, left);
  if (!left_leaf) {
    program.place(left);
    emit_search(program, runs, begin, middle, labels);
  }
  if (!right_leaf) {
    program.place(right);
    emit_search(program, runs, middle, end, labels);
  }
}

/// Where a check ends.
struct Ends {
  Program::Label allow;
  Program::Label refuse;
  Program::Label absent;
  Program::Label no_family;
};

void emit_refused_bits(Program& program, int argument, std::uint32_t bits, const Ends& ends) {
  program.load_argument(argument);
  program.jump(BPF_JSET, bits, ends.refuse, ends.allow);
}

/// A file's mode counts only when the call creates one: otherwise the register holds whatever was there.
void emit_created_mode(Program& program, int flags, const Ends& ends) {
  const Program::Label creates = program.new_label();
  program.load_argument(flags);
  program.jump(BPF_JSET, kCreates, creates, ends.allow);
  program.place(creates);
  emit_refused_bits(program, flags + 1, kSetIdBits, ends);
}

void emit_not_init(Program& program, const Ends& ends) {
  program.load_argument(0);
  program.jump(BPF_JEQ, 1, ends.refuse, ends.allow);
}

void emit_not_init_priority(Program& program, const Ends& ends) {
  const Program::Label process = program.new_label();
  program.load_argument(0);
  program.jump_if(BPF_JEQ, PRIO_USER, ends.refuse);
  program.jump(BPF_JEQ, PRIO_PROCESS, process, ends.allow);
  program.place(process);
  program.load_argument(1);
  program.jump(BPF_JEQ, 1, ends.refuse, ends.allow);
}

void emit_terminal_command(Program& program, const Ends& ends) {
  program.load_argument(1);
  program.jump_if(BPF_JEQ, TIOCSTI, ends.refuse);
  program.jump_if(BPF_JEQ, TIOCLINUX, ends.refuse);
  program.jump_if(BPF_JEQ, TIOCCONS, ends.refuse);
  program.jump(BPF_JEQ, TIOCSETD, ends.refuse, ends.allow);
}

void emit_socket_family(Program& program, bool strict, const Ends& ends) {
  const Program::Label internet = program.new_label();
  const Program::Label netlink = strict ? program.new_label() : ends.allow;
  program.load_argument(0);
  program.jump_if(BPF_JEQ, AF_UNIX, ends.allow);
  program.jump_if(BPF_JEQ, AF_INET, internet);
  program.jump_if(BPF_JEQ, AF_INET6, internet);
  program.jump(BPF_JEQ, AF_NETLINK, netlink, ends.no_family);
  program.place(internet);
  program.load_argument(1);
  program.mask(kSocketTypeMask);
  if (strict) program.jump_if(BPF_JEQ, SOCK_RAW, ends.refuse);
  program.jump(BPF_JEQ, SOCK_PACKET, ends.refuse, ends.allow);
  if (strict) {
    program.place(netlink);
    program.load_argument(2);
    program.jump(BPF_JEQ, NETLINK_ROUTE, ends.allow, ends.refuse);
  }
}

void emit_personality(Program& program, bool strict, const Ends& ends) {
  program.load_argument(0);
  program.jump_if(BPF_JEQ, PER_LINUX, ends.allow);
  if (!strict) program.jump_if(BPF_JEQ, ADDR_NO_RANDOMIZE, ends.allow);
  program.jump(BPF_JEQ, kPersonalityQuery, ends.allow, ends.refuse);
}

void emit_check(Program& program, CallVerdict verdict, const Ends& ends) {
  switch (verdict) {
    case CallVerdict::allow:
    case CallVerdict::refuse:
    case CallVerdict::absent:
      return;
    case CallVerdict::clone_flags:
      return emit_refused_bits(program, 0, kNamespaceFlags, ends);
    case CallVerdict::unshare_flags:
      return emit_refused_bits(program, 0, kNamespaceFlags | kNewTime, ends);
    case CallVerdict::terminal_command:
      return emit_terminal_command(program, ends);
    case CallVerdict::socket_family:
      return emit_socket_family(program, false, ends);
    case CallVerdict::socket_family_strict:
      return emit_socket_family(program, true, ends);
    case CallVerdict::mode_second:
      return emit_refused_bits(program, 1, kSetIdBits, ends);
    case CallVerdict::mode_third:
      return emit_refused_bits(program, 2, kSetIdBits, ends);
    case CallVerdict::open_mode:
      return emit_created_mode(program, 1, ends);
    case CallVerdict::openat_mode:
      return emit_created_mode(program, 2, ends);
    case CallVerdict::personality:
      return emit_personality(program, false, ends);
    case CallVerdict::personality_strict:
      return emit_personality(program, true, ends);
    case CallVerdict::not_init:
      return emit_not_init(program, ends);
    case CallVerdict::not_init_priority:
      return emit_not_init_priority(program, ends);
  }
}

std::vector<sock_filter> compile(const Policy& policy, const Architecture& architecture) {
  Program program;
  const Ends ends = {program.new_label(), program.new_label(), program.new_label(), program.new_label()};
  Labels labels = {{CallVerdict::allow, ends.allow}, {CallVerdict::refuse, ends.refuse}, {CallVerdict::absent, ends.absent}};
  const std::vector<Run> runs = runs_of(policy);
  for (const Run& run : runs) {
    if (!labels.contains(run.verdict)) labels[run.verdict] = program.new_label();
  }

  const Program::Label native = program.new_label();
  const Program::Label foreign = program.new_label();
  program.load(offsetof(seccomp_data, arch));
  program.jump(BPF_JEQ, architecture.audit, native, foreign);
  program.place(foreign);
  program.finish(kKill);
  program.place(native);
  program.load(offsetof(seccomp_data, nr));
  emit_search(program, runs, 0, runs.size(), labels);
  for (const auto& [verdict, label] : labels) {
    if (verdict == CallVerdict::allow || verdict == CallVerdict::refuse || verdict == CallVerdict::absent) continue;
    program.place(label);
    emit_check(program, verdict, ends);
  }
  program.place(ends.allow);
  program.finish(kAllow);
  program.place(ends.refuse);
  program.finish(kRefuse);
  program.place(ends.absent);
  program.finish(kAbsent);
  program.place(ends.no_family);
  program.finish(kNoFamily);
  return program.resolve();
}

/// What the kernel would answer.
std::uint32_t interpret(const std::vector<sock_filter>& program, const seccomp_data& data) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& one = program[at];
    bool taken = false;
    switch (one.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        accumulator = *reinterpret_cast<const std::uint32_t*>(reinterpret_cast<const char*>(&data) + one.k);
        continue;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= one.k;
        continue;
      case BPF_RET | BPF_K:
        return one.k;
      case BPF_JMP | BPF_JEQ | BPF_K:
        taken = accumulator == one.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        taken = accumulator >= one.k;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        taken = (accumulator & one.k) != 0;
        break;
      default:
        die("an instruction that nobody emits");
    }
    at += taken ? one.jt : one.jf;
  }
  die("a program that runs off its end");
}

/// Arguments that each check must let through, and arguments that it must not, with what it answers to them.
struct Example {
  std::uint64_t args[4];
  std::uint32_t answer;
};

std::vector<Example> examples_of(CallVerdict verdict) {
  constexpr std::uint64_t kHigh = 1ull << 40;  // bits that the kernel drops must change nothing
  switch (verdict) {
    case CallVerdict::allow:
      return {{{~0ull, ~0ull, ~0ull, ~0ull}, kAllow}};
    case CallVerdict::refuse:
      return {{{0, 0, 0, 0}, kRefuse}, {{~0ull, ~0ull, ~0ull, ~0ull}, kRefuse}};
    case CallVerdict::absent:
      return {{{0, 0, 0, 0}, kAbsent}, {{~0ull, ~0ull, ~0ull, ~0ull}, kAbsent}};
    case CallVerdict::clone_flags:
      return {{{CLONE_VM | CLONE_THREAD | 17}, kAllow}, {{CLONE_NEWUSER | 17}, kRefuse}, {{CLONE_NEWNS | kHigh}, kRefuse}};
    case CallVerdict::unshare_flags:
      return {{{CLONE_FS | CLONE_FILES}, kAllow}, {{kNewTime}, kRefuse}, {{CLONE_NEWNET | CLONE_FS}, kRefuse}};
    case CallVerdict::terminal_command:
      return {{{0, TCGETS}, kAllow},
              {{0, TIOCSTI}, kRefuse},
              {{0, TIOCSTI | kHigh}, kRefuse},
              {{0, TIOCLINUX}, kRefuse},
              {{0, TIOCSETD}, kRefuse}};
    case CallVerdict::socket_family:
      return {{{AF_INET, SOCK_RAW, 1}, kAllow},
              {{AF_PACKET, SOCK_RAW}, kNoFamily},
              {{AF_INET, SOCK_PACKET}, kRefuse},
              {{AF_NETLINK, SOCK_RAW, 12}, kAllow}};
    case CallVerdict::socket_family_strict:
      return {{{AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0}, kAllow},
              {{AF_INET6, SOCK_RAW | SOCK_NONBLOCK, 1}, kRefuse},
              {{AF_NETLINK, SOCK_RAW, 0}, kAllow},
              {{AF_NETLINK, SOCK_RAW, 12}, kRefuse},
              {{AF_VSOCK, SOCK_STREAM}, kNoFamily},
              {{AF_UNIX, SOCK_RAW}, kAllow}};
    case CallVerdict::mode_second:
      return {{{06755, 0755, 06755}, kAllow}, {{0, 04755}, kRefuse}, {{0, 02755 | kHigh}, kRefuse}};
    case CallVerdict::mode_third:
      return {{{06755, 06755, 0755}, kAllow}, {{0, 0, 04755}, kRefuse}, {{0, 0, 02755}, kRefuse}};
    case CallVerdict::open_mode:
      return {{{0, 0, ~0ull}, kAllow}, {{0, 0101, 0644}, kAllow}, {{0, 0101, 04755}, kRefuse}, {{0, 020200002, 02755}, kRefuse}};
    case CallVerdict::openat_mode:
      return {{{0, 0, 0, ~0ull}, kAllow}, {{0, 0, 0101, 0644}, kAllow}, {{0, 0, 0101, 04755}, kRefuse}};
    case CallVerdict::personality:
      return {{{0}, kAllow}, {{kPersonalityQuery}, kAllow}, {{ADDR_NO_RANDOMIZE}, kAllow}, {{READ_IMPLIES_EXEC}, kRefuse}};
    case CallVerdict::personality_strict:
      return {{{0}, kAllow}, {{kPersonalityQuery}, kAllow}, {{ADDR_NO_RANDOMIZE}, kRefuse}};
    case CallVerdict::not_init:
      return {{{0}, kAllow}, {{2}, kAllow}, {{1}, kRefuse}, {{1 | kHigh}, kRefuse}};
    case CallVerdict::not_init_priority:
      return {{{PRIO_PROCESS, 0, 5}, kAllow}, {{PRIO_PROCESS, 1, 5}, kRefuse}, {{PRIO_USER, 0, 5}, kRefuse}, {{PRIO_PGRP, 0, 5}, kAllow}};
  }
  return {};
}

void verify(const std::vector<sock_filter>& program, const Policy& policy, const Architecture& architecture) {
  for (std::uint32_t number = 0; number < kChecked; ++number) {
    const auto entry = policy.find(number);
    const CallVerdict verdict = entry == policy.end() ? CallVerdict::absent : entry->second;
    for (const Example& example : examples_of(verdict)) {
      seccomp_data data = {
          static_cast<int>(number), architecture.audit, 0, {example.args[0], example.args[1], example.args[2], example.args[3]}};
      if (interpret(program, data) != example.answer)
        die("the program does not do what the policy says for call " + std::to_string(number));
      data.arch = AUDIT_ARCH_I386;
      if (interpret(program, data) != kKill) die("the program lets another architecture through");
    }
  }
  for (const std::uint32_t number : {0x40000000u, 0x40000027u, 0x7fffffffu, 0xffffffffu}) {
    const seccomp_data data = {static_cast<int>(number), architecture.audit, 0, {}};
    if (interpret(program, data) != kAbsent) die("the program lets x32 through");
  }
}

void write_program(std::FILE* out, const char* name, const Policy& policy, const Architecture& architecture) {
  const std::vector<sock_filter> program = compile(policy, architecture);
  verify(program, policy, architecture);
  std::fprintf(out, "inline constexpr sock_filter %s[] = {\n", name);
  for (const sock_filter& one : program) std::fprintf(out, "    {0x%02x, %u, %u, 0x%08x},\n", one.code, one.jt, one.jf, one.k);
  std::fprintf(out, "};  // %zu instructions\n", program.size());
}

/// A profile's program, and the one for jobs whose memory a watchdog holds.
template <class Choose>
void write_programs(std::FILE* out, const std::string& name, const Architecture& architecture, Choose choose) {
  const auto watched = [&](const SyscallClass& kind) { return kind.hides_memory ? CallVerdict::absent : choose(kind); };
  write_program(out, (name + "Program").c_str(), make_policy(architecture, choose), architecture);
  write_program(out, (name + "WatchedProgram").c_str(), make_policy(architecture, watched), architecture);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) die("usage: seccomp_generate ARCH FILE");
  const Architecture* architecture = nullptr;
  for (const Architecture& one : kArchitectures) {
    if (one.name == argv[1]) architecture = &one;
  }
  if (architecture == nullptr) die("no filters for '" + std::string(argv[1]) + "': x86_64 and aarch64 are known");
  std::FILE* out = std::fopen(argv[2], "w");
  if (out == nullptr) die("can't write " + std::string(argv[2]));
  std::fprintf(out, "// Made by seccomp_generate for %s. Included by src/sys/seccomp.cc alone.\n", argv[1]);
  const auto standard = [](const SyscallClass& kind) { return kind.standard; };
  const auto nesting = [](const SyscallClass& kind) { return kind.nesting ? CallVerdict::allow : kind.standard; };
  const auto strict = [](const SyscallClass& kind) { return kind.strict; };
  write_programs(out, "kStandard", *architecture, standard);
  write_programs(out, "kNesting", *architecture, nesting);
  const auto entering = [](const SyscallClass& kind) { return kind.entering ? CallVerdict::allow : kind.standard; };
  write_programs(out, "kEntering", *architecture, entering);
  write_programs(out, "kStrict", *architecture, strict);
  if (std::fclose(out) != 0) die("can't write " + std::string(argv[2]));
  return 0;
}
