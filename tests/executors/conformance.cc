#include "conformance.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "sys/process.h"

namespace casemate {
namespace {

constexpr const char* kBusybox = "/bin/busybox";

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

const std::string& small_root_tar() {
  static const std::string tar = [] {
    std::string name = fs::temp_directory_path() / "casemate_root.XXXXXX";
    if (!::mkdtemp(name.data())) return std::string();
    const std::string line = fmt::format(
        "cd {0} && mkdir -p r/bin r/etc r/tmp r/proc r/sys r/dev && cp {1} r/bin/busybox && for a in sh cat echo sleep id true false ls "
        "stat "
        "head tail wc kill mkdir touch rm ln env dd tr yes seq stty tty; do ln -s busybox r/bin/$a; done && echo "
        "root:x:0:0:root:/root:/bin/sh > r/etc/passwd && echo root:x:0: > r/etc/group && chmod 1777 r/tmp && tar -C r --owner=0 --group=0 "
        "--sort=name -cf t .",
        name, kBusybox);
    const auto ran = run_program({"/bin/sh", "-c", line}, std::chrono::seconds(60));
    std::string bytes = ran && ran->end.code == 0 ? contents(fs::path(name) / "t") : "";
    std::error_code problem;
    fs::remove_all(name, problem);
    return bytes;
  }();
  return tar;
}

const fs::path& small_root() {
  static const Scratch scratch;
  static const fs::path root = [] {
    std::ofstream(scratch.path() / "t", std::ios::binary) << small_root_tar();
    fs::create_directory(scratch.path() / "r");
    (void)run_program({"/bin/tar", "-C", scratch.path() / "r", "-xf", scratch.path() / "t"}, std::chrono::seconds(60));
    return scratch.path() / "r";
  }();
  return root;
}

void shell(Job& job, const std::string& line) { job.argv = {"sh", "-c", line}; }

Mount overlay(const std::string& target, std::vector<std::string> lower) {
  Mount mount;
  mount.kind = Mount::Kind::overlay;
  mount.target = target;
  mount.lower = std::move(lower);
  mount.owned = true;
  return mount;
}

std::vector<Case> outcome_cases() {
  return {
      {"exits 0", [](Job& job) { shell(job, "echo out; echo err >&2"); }},
      {"exits 3", [](Job& job) { shell(job, "exit 3"); }},
      {"exits 139, which is no signal", [](Job& job) { shell(job, "exit 139"); }},
      {"killed by its own signal", [](Job& job) { shell(job, "kill -SEGV $$"); }},
      {"kills itself with SIGTERM", [](Job& job) { shell(job, "kill -TERM $$; sleep 5"); }},
      {"no such program", [](Job& job) { job.argv = {"no-such-program"}; }},
      {"not a program", [](Job& job) { job.argv = {"/etc/passwd"}; }},
      {"wall time",
       [](Job& job) {
         shell(job, "echo begun; sleep 100");
         job.limits.wall = std::chrono::seconds(2);
       }},
      {"CPU time",
       [](Job& job) {
         shell(job, "while :; do :; done");
         job.limits.cpu_time = std::chrono::milliseconds(700);
       }},
      {"out of memory", [](Job& job) { job.argv = {"dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"}; }},
      {"output limit",
       [](Job& job) {
         shell(job, "yes");
         job.limits.output_bytes = 100'000;
         job.capture_bytes = 1000;
       }},
      {"too many processes", [](Job& job) { shell(job, "i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done"); }},
      {"leaves a process behind", [](Job& job) { shell(job, "sleep 100 & sleep 0.3; exit 0"); }},
      {"binary output", [](Job& job) { shell(job, "head -c 100 /dev/zero; head -c 5 /dev/zero >&2"); }},
      {"a lot of output",
       [](Job& job) {
         shell(job, "yes | head -c 3000000; echo last");
         job.capture_bytes = 10'000;
       }},
      {"user",
       [](Job& job) {
         shell(job, "id -u; id -g; touch /tmp/mine && echo written; touch /bin/mine 2>/dev/null || echo refused");
         job.user = {1234, 1235};
       }},
      {"environment",
       [](Job& job) {
         shell(job, "env");
         job.env = {{"PATH", "/bin"}, {"HOME", "/x"}, {"A", "1 2\n3"}};
       }},
      {"directory",
       [](Job& job) {
         shell(job, "pwd > /tmp/x; cat /tmp/x; touch here && ls");
         job.cwd = "/work/deep";
       }},
      {"host name",
       [](Job& job) {
         shell(job, "cat /proc/sys/kernel/hostname");
         job.hostname = "some-name";
       }},
      {"read-only root",
       [](Job& job) {
         shell(job, "touch /x 2>/dev/null || echo refused; touch /tmp/x /dev/shm/x && echo written");
         job.read_only = true;
       }},
      {"tmpfs",
       [](Job& job) {
         shell(job, "head -c 2000000 /dev/zero > /t/x; echo $?");
         Mount mount;
         mount.kind = Mount::Kind::tmpfs;
         mount.target = "/t";
         mount.bytes = 1u << 20;
         job.mounts = {mount};
       }},
      {"open files",
       [](Job& job) {
         shell(job, "ulimit -n; ulimit -c");
         job.limits.open_files = 77;
       }},
      {"no network", [](Job& job) { shell(job, "cat /proc/net/dev | grep -c :"); }},
      {"no stdin", [](Job& job) { shell(job, "cat; echo end"); }},
      {"strict",
       [](Job& job) {
         shell(job, "echo fine");
         job.profile = Profile::strict;
       }},
  };
}

GivenFiles::GivenFiles() {
  std::ofstream(path() / "same") << "same";
  std::ofstream(path() / "changed") << "before";
  std::ofstream(path() / "gone") << "gone";
  std::ofstream(path() / "touched") << "touched";
  fs::create_directories(path() / "dir/sub");
  std::ofstream(path() / "dir/sub/deep") << "deep";
  fs::create_directories(path() / "whole");
  std::ofstream(path() / "whole/x") << "x";
  fs::create_symlink("same", path() / "link");
}

std::vector<Case> captured_cases(const GivenFiles& given) {
  std::vector<Case> cases;
  const std::string changing =
      "echo after > changed; rm gone; echo new > new; mkdir -p made/deep; echo x > made/deep/x; ln -s /etc/passwd made/out; rm -r whole; "
      "touch touched; ln -sf changed link; env mkfifo pipe 2>/dev/null; echo deeper >> dir/sub/deep; echo exe > exe; chmod 755 exe "
      "2>/dev/null; "
      "echo '#' > 'a name with spaces'; mkdir empty; touch -d @1000000000 new empty made";
  const auto in_app = [&](const std::string& line, bool copies) {
    return [&given, line, copies](Job& job) {
      shell(job, line);
      job.cwd = "/app";
      job.mounts = {overlay("/app", {given.path()})};
      job.collect = {"/app"};
      if (copies) job.collect_to = "yes";
    };
  };
  cases.push_back({"listed", in_app(changing, false)});
  cases.push_back({"copied", in_app(changing, true)});
  cases.push_back({"nothing changed", in_app("cat same; ls > /dev/null", true)});
  cases.push_back({"of a job that failed", in_app("echo x > y; exit 4", true)});
  cases.push_back(
      {"sparse and too large", [in_app](Job& job) {
         in_app("mkdir d; dd if=/dev/zero of=d/big bs=1 count=1 seek=6000000000 2>/dev/null; echo x > d/a; echo y > d/z; echo x > z",
                true)(job);
         job.limits.disk_bytes.reset();       // docker counts what a file seems to have
         job.mounts = {overlay("/app", {})};  // podman follows a link that is asked for by its name
       }});
  cases.push_back({"links out of the tree", in_app("ln -s ../../../../../../etc evil; ln -s / root; mkdir d; ln -s /tmp d/e", true)});
  cases.push_back({"two places", [&given](Job& job) {
                     shell(job, "echo 1 > /app/new; echo 2 > /b/new");
                     job.mounts = {overlay("/app", {given.path()}), overlay("/b", {})};
                     job.collect = {"/app", "/b"};
                     job.collect_to = "yes";
                   }});
  return cases;
}

std::vector<Case> whole_root_cases() {
  std::vector<Case> cases;
  const auto whole = [](const std::string& line) {
    return [line](Job& job) {
      shell(job, line);
      job.collect = {"/"};
      job.collect_to = "yes";
    };
  };
  cases.push_back({"added", whole("mkdir -p /tmp/x/y; echo 1 > /tmp/x/y/z; echo 2 > /tmp/new; ln -s new /tmp/x/link")});
  cases.push_back({"changed", whole("echo more >> /etc/passwd; touch /bin/busybox")});
  cases.push_back({"removed", whole("rm /bin/tty /etc/passwd; echo end")});
  cases.push_back({"nothing", whole("true")});
  return cases;
}

std::string summary(const JobResult& result) {
  std::string text = fmt::format("outcome: {} {} step: {} detail: {}\n", word(result.outcome.kind), result.outcome.code,
                                 result.outcome.step, result.outcome.detail);
  text += fmt::format("exit status: {}\n", result.exit_status ? std::to_string(*result.exit_status) : "none");
  text += fmt::format("out: {} {}\nerr: {} {}\ntruncated: {}\n", result.output.out_total, result.output.out, result.output.err_total,
                      result.output.err, result.output.truncated);
  constexpr const char* kKinds[] = {"created", "modified", "deleted"};
  constexpr const char* kTypes[] = {"file", "directory", "symlink", "skipped"};
  for (const Change& change : result.changes) {
    text += fmt::format("{} {} {} {} {:o} {} {} {}\n", kKinds[static_cast<int>(change.kind)], kTypes[static_cast<int>(change.type)],
                        change.path, change.type == Change::Type::skipped ? 0 : change.size, change.mode, change.digest, change.link_target,
                        change.reason);
  }
  text += fmt::format("collect: {} {}\n", result.changes_truncated, result.collect_error);
  text += fmt::format("left: {}\n", result.leftovers.size());
  return text;
}

std::string tree(const fs::path& top) {
  std::vector<std::string> lines;
  std::error_code problem;
  for (const auto& entry : fs::recursive_directory_iterator(top, problem)) {
    struct stat info{};
    ::lstat(entry.path().c_str(), &info);
    std::string line = fmt::format("{} {:o}", entry.path().lexically_relative(top).string(), info.st_mode);
    if (S_ISREG(info.st_mode)) line += fmt::format(" {}", info.st_size);
    if (info.st_mtime < 1'500'000'000) line += fmt::format(" of {}", info.st_mtime);  // not of now
    if (S_ISLNK(info.st_mode)) line += " -> " + fs::read_symlink(entry.path()).string();
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}\n", fmt::join(lines, "\n"));
}

}  // namespace casemate
