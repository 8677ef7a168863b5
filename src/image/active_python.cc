#include "image/active_python.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"
#include "image/interpreter.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {
namespace {

constexpr std::chrono::seconds kProbeTime{20};
constexpr std::size_t kMostDirectories = 500;

// -c puts "" first on sys.path: the working directory is none of the interpreter's. Editable installs that are no line of a .pth file are
// finders with a table: setuptools' MAPPING, scikit-build-core's known_source_files.
constexpr const char* kProbe =
    "import os,sys\n"
    "print('casemate-active 1')\n"
    "print('%d.%d.%d'%sys.version_info[:3])\n"
    "print(sys.executable)\n"
    "tables=[getattr(m,'MAPPING',0) for n,m in list(sys.modules.items()) if n.startswith('__editable__')]\n"
    "tables+=[getattr(f,'known_source_files',0) for f in sys.meta_path]\n"
    "more=[p if os.path.isdir(p) else os.path.dirname(p) for t in tables if isinstance(t,dict) for p in t.values() if isinstance(p,str)]\n"
    "for p in [sys.prefix,sys.base_prefix,sys.exec_prefix,sys.base_exec_prefix]+sys.path[1:]+more:\n"
    "    if p: print(p); print(os.path.realpath(p))\n";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// casemate itself may have been installed into a virtual environment, by pip, and be called by its path.
std::string python_of_own_environment() {
  std::error_code problem;
  const std::filesystem::path directory = std::filesystem::read_symlink("/proc/self/exe", problem).parent_path();
  if (problem || !std::filesystem::exists(directory.parent_path() / "pyvenv.cfg", problem)) return "";
  const std::string program = directory / "python";
  return is_program(program) ? program : "";
}

Result<std::string> program_of(const std::string& wanted) {
  if (wanted.find('/') != std::string::npos) {
    if (is_program(wanted)) return wanted;
    return fail(ErrorCode::not_found, fmt::format("{}: no such program", printable_name(wanted)));
  }
  if (!wanted.empty()) {
    const std::string name = wanted.find_first_not_of("0123456789.") == std::string::npos ? "python" + wanted : wanted;
    if (std::string found = program_on_path(name); !found.empty()) return found;
    TRY_ASSIGN(const Interpreter known, find_interpreter(wanted));
    return known.path;
  }
  for (const char* prefix : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const std::string program = variable(prefix) + "/bin/python";
    if (program[0] != '/' || program == "/bin/python") continue;
    if (is_program(program)) return program;
    // One that has gone is passed over, as by a shell; one that this user may not look into was meant.
    if (::access(program.c_str(), X_OK) < 0 && errno == EACCES)
      return fail(ErrorCode::invalid_input, fmt::format("{} is {}, but you may not run its python (Permission denied): unset it, or choose "
                                                        "another environment",
                                                        prefix, printable_name(variable(prefix))));
  }
  if (std::string found = python_of_own_environment(); !found.empty()) return found;
  for (const char* name : {"python3", "python"}) {
    if (std::string found = program_on_path(name); !found.empty()) return found;
  }
  return fail(ErrorCode::not_found, "there is no python3 on PATH; activate an environment, or choose with --python-version or --image");
}

bool is_directory(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

Result<ActivePython> find_active_python(const std::string& wanted) {
  TRY_ASSIGN(const std::string program, program_of(wanted));
  TRY_ASSIGN(const ProgramResult ran, run_program({program, "-B", "-c", kProbe}, kProbeTime));
  const std::vector<std::string> lines = lines_of(ran.out);
  const bool failed = !ran.end.reaped_elsewhere && (ran.end.signaled || ran.end.code != 0);
  if (failed || lines.size() < 5 || lines[0] != "casemate-active 1" || !lines[2].starts_with('/'))
    return fail(ErrorCode::invalid_input, fmt::format("{} is no Python interpreter that runs", printable_name(program)));
  ActivePython python{.program = lines[2], .version = lines[1]};
  const auto version = version_numbers(python.version);
  if (version.size() < 2 || version < std::vector<int>{3, 8})
    return fail(ErrorCode::not_supported, fmt::format("{} is Python {}; tests need 3.8 or later", printable_name(program), python.version));
  std::vector<std::string> directories;
  for (std::size_t i = 3; i < lines.size() && directories.size() < kMostDirectories; ++i) {
    if (lines[i].starts_with('/') && lines[i] != "/" && is_directory(lines[i])) directories.push_back(lines[i]);
  }
  std::sort(directories.begin(), directories.end());
  for (std::string& directory : directories) {
    if (!lies_below(directory, python.directories)) python.directories.push_back(std::move(directory));
  }
  return python;
}

std::vector<Mount> active_python_mounts(const ActivePython& python, const std::vector<std::string>& shown) {
  std::vector<Mount> mounts;
  for (const std::string& directory : python.directories) {
    if (!lies_below(directory, shown)) mounts.push_back({.source = directory, .target = directory});
  }
  return mounts;
}

}  // namespace casemate
