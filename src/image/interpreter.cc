#include "image/interpreter.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/directories.h"
#include "base/terminal.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {
namespace {

constexpr std::chrono::seconds kProbeTime{20};
constexpr std::string_view kCacheHeader = "casemate interpreters 2";
constexpr std::string_view kNone = "-";  // an empty field of the cache
constexpr std::size_t kLongestPath = 1024;
constexpr std::size_t kLongestField = 2048;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::optional<std::string> real_path(const std::string& path) {
  char* found = ::realpath(path.c_str(), nullptr);
  if (!found) return std::nullopt;
  std::string real(found);
  std::free(found);
  return real;
}

// Changes whenever the program is replaced.
std::string file_stamp(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) < 0) return "";
  return fmt::format("{}.{:09} {} {}", info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_size, info.st_ino);
}

std::vector<std::string> entries_of(const std::string& directory) {
  std::vector<std::string> names;
  if (DIR* open = ::opendir(directory.c_str())) {
    while (const dirent* entry = ::readdir(open)) {
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    ::closedir(open);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// One line of the cache: digest, stamp of the asked program, its path, stamp of the found program, then the fields of Interpreter. Tabs
// between.
struct Known {
  std::string asked;
  std::string asked_stamp;
  std::string found_stamp;
  Interpreter interpreter;
};

std::string line_of(const Known& known) {
  const Interpreter& it = known.interpreter;
  const std::string body = fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}", known.asked, known.asked_stamp, known.found_stamp, it.path,
                                       it.version, it.prefix, it.site_packages, it.identity, it.in_image() ? it.site_directory : kNone);
  return body.find('\n') == std::string::npos ? fmt::format("{}\t{}\n", sha256_hex(body).substr(0, 16), body) : "";
}

std::optional<Known> known_of(std::string_view line) {
  const std::size_t tab = line.find('\t');
  if (tab != 16 || sha256_hex(line.substr(17)).substr(0, 16) != line.substr(0, 16)) return std::nullopt;
  const auto fields = split(line.substr(17), '\t');
  if (fields.size() != 9) return std::nullopt;
  return Known{
      fields[0], fields[1], fields[2], {fields[3], fields[4], fields[5], fields[7], fields[6], fields[8] == kNone ? "" : fields[8]}};
}

std::string cache_path() { return cache_directory() + "/interpreters"; }

std::vector<Known> load_cache() {
  std::vector<Known> all;
  const auto text = read_file(cache_path(), 1 << 20);
  if (!text || !text->starts_with(kCacheHeader)) return all;
  for (const std::string& line : split(*text, '\n')) {
    if (auto known = known_of(line)) all.push_back(std::move(*known));
  }
  return all;
}

// Losing a race or the whole file costs one probe, so failures are nobody's business.
void save_cache(const std::vector<Known>& all) {
  std::string text = std::string(kCacheHeader) + "\n";
  for (std::size_t i = all.size() > 64 ? all.size() - 64 : 0; i < all.size(); ++i) text += line_of(all[i]);
  const std::string path = cache_path();
  const std::string temp = fmt::format("{}.{}", path, ::getpid());
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    ::mkdir(path.substr(0, slash).c_str(), 0700);
  auto file = open_file(temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  if (!file) return;
  if (!write_all(file->get(), text) || ::rename(temp.c_str(), path.c_str()) < 0) ::unlink(temp.c_str());
}

Result<Interpreter> probe(const std::string& program) {
  TRY_ASSIGN(const ProgramResult ran, run_program({program, "-E", "-s", "-S", "-B", "-c", kInterpreterProbe}, kProbeTime));
  if (!ran.end.reaped_elsewhere && (ran.end.signaled || ran.end.code != 0))
    return fail(ErrorCode::invalid_input, fmt::format("{} is no Python interpreter that runs", printable_name(program)));
  TRY_ASSIGN(Interpreter found, read_interpreter_answer(ran.out, program, ""));
  found.identity += " " + file_stamp(found.path);
  found.site_directory.clear();
  return found;
}

void keep(Known known) {
  std::vector<Known> all = load_cache();
  std::erase_if(all, [&](const Known& other) { return other.asked == known.asked; });
  all.push_back(std::move(known));
  save_cache(all);
}

// An absolute path as the kernel gives them, and nothing that could be taken for another line, field or statement.
bool plain_path(std::string_view path) {
  if (!path.starts_with('/') || path.size() > kLongestPath) return false;
  if (std::any_of(path.begin(), path.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) return false;
  const std::vector<std::string> parts = split(path, '/');
  return std::none_of(parts.begin(), parts.end(), [](const std::string& part) { return part == "." || part == ".."; });
}

// The interpreter behind one program, from the cache where it has not changed.
Result<Interpreter> interpreter_at(const std::string& path) {
  const auto real = real_path(path);
  if (!real) return fail(ErrorCode::not_found, fmt::format("there is no Python interpreter {}", printable_name(path)));
  if (!is_program(*real)) return fail(ErrorCode::invalid_input, fmt::format("{} is not a program", printable_name(path)));
  const std::string stamp = file_stamp(*real);
  for (const Known& known : load_cache()) {
    if (known.asked == *real && known.asked_stamp == stamp && known.found_stamp == file_stamp(known.interpreter.path))
      return known.interpreter;
  }
  TRY_ASSIGN(Interpreter found, probe(*real));
  keep({*real, stamp, file_stamp(found.path), found});
  return found;
}

std::string pyenv_root() {
  if (std::string root = variable("PYENV_ROOT"); !root.empty()) return root;
  const std::string home = variable("HOME");
  return home.empty() ? "" : home + "/.pyenv";
}

// The versions a pyenv shim would choose, as pyenv does: $PYENV_VERSION, the nearest .python-version above the current directory, the
// global file.
std::vector<std::string> pyenv_selection(const std::string& root) {
  if (const std::string chosen = variable("PYENV_VERSION"); !chosen.empty()) return split(chosen, ':');
  std::string text;
  std::error_code gone;
  std::string directory = std::filesystem::current_path(gone);
  while (!directory.empty() && text.empty()) {
    if (auto file = read_file(directory + "/.python-version", 4096)) text = *file;
    directory.resize(directory.rfind('/') == std::string::npos ? 0 : directory.rfind('/'));
  }
  if (text.empty()) {
    if (auto file = read_file(root + "/version", 4096)) text = *file;
  }
  std::replace_if(text.begin(), text.end(), [](char c) { return c == ' ' || c == '\r' || c == '\t'; }, '\n');
  return split(text, '\n');
}

// `name` on PATH, through pyenv's shims; "" if it isn't there.
std::string on_path(const std::string& name) {
  const std::string root = pyenv_root();
  for (const std::string& directory : split(variable("PATH"), ':')) {
    std::string path = directory + "/" + name;
    if (directory[0] != '/' || !is_program(path)) continue;
    if (root.empty() || (directory != root + "/shims" && directory != root + "/shims/")) return path;
    for (const std::string& version : pyenv_selection(root)) {
      const std::string real = fmt::format("{}/versions/{}/bin/{}", root, version, name);
      if (version.find('/') == std::string::npos && is_program(real)) return real;
    }
  }
  return "";
}

// All places a Python of the given "3.11" may be, best first; names give the version, so no program is run to look.
std::vector<std::string> candidates(const std::vector<int>& wanted) {
  std::vector<std::string> paths;
  const auto add = [&](const std::string& path) {
    if (!path.empty() && std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  };
  const std::string short_name = wanted.size() >= 2 ? fmt::format("python{}.{}", wanted[0], wanted[1]) : fmt::format("python{}", wanted[0]);
  add(on_path(short_name));
  std::vector<std::pair<std::vector<int>, std::string>> versions;
  const std::string home = variable("HOME");
  for (const std::string& root : {pyenv_root() + "/versions", home + "/.local/share/uv/python"}) {
    for (const std::string& name : entries_of(root)) {
      const std::string number = name.starts_with("cpython-") ? name.substr(8, name.find('-', 8) - 8) : name;
      const std::string program = fmt::format("{}/{}/bin/python3", root, name);
      if (!version_numbers(number).empty() && version_fits(wanted, number) && is_program(program))
        versions.emplace_back(version_numbers(number), program);
    }
  }
  std::sort(versions.rbegin(), versions.rend());
  for (const auto& [number, path] : versions) add(path);
  for (const char* directory : {"/usr/local/bin/", "/usr/bin/"}) {
    if (is_program(directory + short_name)) add(directory + short_name);
  }
  add(on_path("python3"));
  return paths;
}

std::string versions_there_are() {
  std::vector<std::vector<int>> found;
  for (const std::string& root : {pyenv_root() + "/versions", variable("HOME") + "/.local/share/uv/python"}) {
    for (const std::string& name : entries_of(root)) {
      const auto number = version_numbers(name.starts_with("cpython-") ? name.substr(8, name.find('-', 8) - 8) : name);
      if (number.size() == 3 && (number[0] > 3 || (number[0] == 3 && number[1] >= 7))) found.push_back(number);
    }
  }
  for (std::string directory : {"/usr/local/bin", "/usr/bin"}) {
    for (const std::string& name : entries_of(directory)) {
      const auto number = name.starts_with("python3.") ? version_numbers(name.substr(6)) : std::vector<int>{};
      if (number.size() == 2 && number[1] >= 7) found.push_back(number);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::string text;
  for (const auto& number : found) text += fmt::format("{}{}", text.empty() ? "" : ", ", fmt::join(number, "."));
  return text.empty() ? "none" : text;
}

}  // namespace

// Runs in any Python since 2.6. Fields end in newlines; the first says what follows. The current directory leaves sys.path: nothing of it
// may be imported.
const char* const kInterpreterProbe = R"(
import sys
sys.path = [path for path in sys.path if path]
if sys.version_info < (3, 7):
    print('old\n%d.%d.%d' % sys.version_info[:3])
    sys.exit(0)
import os, sysconfig
scheme = 'venv' if 'venv' in sysconfig.get_scheme_names() else 'posix_prefix'
base = {k: '/@' for k in ('base', 'platbase', 'installed_base', 'installed_platbase')}
site = sysconfig.get_path('purelib', scheme, vars=base)
program = os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable)
abi = sysconfig.get_config_var('SOABI') or sysconfig.get_config_var('EXT_SUFFIX') or ''
print('\n'.join(['python', program, '%d.%d.%d' % sys.version_info[:3], sys.base_prefix, os.path.relpath(site, '/@'),
                 ' '.join((sys.implementation.name + ' ' + sys.version + ' ' + abi).split())]))
)";

// "3.11.7" as numbers; empty if it is none.
std::vector<int> version_numbers(std::string_view text) {
  std::vector<int> numbers;
  for (const std::string& part : split(text, '.')) {
    if (part.size() > 4 || part.find_first_not_of("0123456789") != std::string::npos) return {};
    numbers.push_back(std::atoi(part.c_str()));
  }
  return text.ends_with('.') || text.starts_with('.') || text.find("..") != std::string_view::npos || numbers.size() > 3
             ? std::vector<int>{}
             : numbers;
}

bool version_fits(const std::vector<int>& wanted, std::string_view version) {
  const std::vector<int> have = version_numbers(version);
  return have.size() >= wanted.size() && std::equal(wanted.begin(), wanted.end(), have.begin());
}

Result<Interpreter> read_interpreter_answer(std::string_view answer, std::string_view program, std::string_view identity) {
  const std::vector<std::string> fields = split(answer.substr(0, 8 * kLongestField), '\n');
  if (fields.size() == 2 && fields[0] == "old")
    return fail(ErrorCode::not_supported, fmt::format("{} is Python {}; casemate needs 3.7 or later", printable_name(program),
                                                      printable_name(fields[1].substr(0, 40))));
  const auto wrong = [&] {
    return fail(ErrorCode::invalid_input, fmt::format("{} does not answer as a Python interpreter does", printable_name(program)));
  };
  if (fields.size() < 6 || fields.size() > 7 || fields[0] != "python" || version_numbers(fields[2]).size() != 3) return wrong();
  for (const std::string& field : fields) {
    if (field.size() > kLongestField) return wrong();
    if (field.find('\t') != std::string::npos)
      return fail(ErrorCode::not_supported, fmt::format("{}: a path with a tab in it", printable_name(program)));
  }
  const std::string site = fields.size() == 7 ? fields[6] : "/usr";
  for (const std::string& path : {fields[1], fields[3], "/" + fields[4], site}) {
    if (!plain_path(path)) return wrong();
  }
  if (!fields[4].starts_with("lib")) return wrong();
  const std::string about = fmt::format("{}{}{} {}", identity, identity.empty() ? "" : " ", fields[5], fields[1]);
  return Interpreter{fields[1], fields[2], fields[3], about, fields[4], site};
}

std::optional<Interpreter> recall_interpreter(std::string_view image, std::string_view program) {
  const std::string asked = fmt::format("image {} {}", sha256_hex(program).substr(0, 16), image);
  for (Known& known : load_cache()) {
    if (known.asked == asked && known.interpreter.in_image()) return std::move(known.interpreter);
  }
  return std::nullopt;
}

void remember_interpreter(std::string_view image, std::string_view program, const Interpreter& interpreter) {
  keep({fmt::format("image {} {}", sha256_hex(program).substr(0, 16), image), std::string(kNone), std::string(kNone), interpreter});
}

Result<Interpreter> find_interpreter(std::string_view wanted) {
  if (wanted.find('/') != std::string_view::npos) return interpreter_at(std::string(wanted));
  if (wanted.empty()) {
    const std::string path = on_path("python3");
    if (path.empty())
      return fail(ErrorCode::not_found,
                  fmt::format("no python3 on PATH (interpreters on this host: {}); install one or name it with --python-version",
                              versions_there_are()));
    return interpreter_at(path);
  }
  const std::vector<int> numbers = version_numbers(wanted);
  if (numbers.empty())
    return fail(ErrorCode::invalid_input,
                fmt::format("'{}' is neither a Python version (3.11, 3.11.7) nor the path of an interpreter", printable_name(wanted)));
  std::optional<Error> refused;
  for (const std::string& path : candidates(numbers)) {
    auto found = interpreter_at(path);
    if (found && version_fits(numbers, found->version)) return found;
    if (!found && found.error().code == ErrorCode::not_supported && !refused) refused = found.error();
  }
  if (refused) return std::unexpected(*refused);
  return fail(ErrorCode::not_found,
              fmt::format("there is no Python {} on this host; there are: {}", printable_name(wanted), versions_there_are()));
}

bool lies_below(std::string_view path, const std::vector<std::string>& directories) {
  return std::any_of(directories.begin(), directories.end(), [&](const std::string& directory) {
    return path == directory || directory == "/" || (path.starts_with(directory) && path[directory.size()] == '/');
  });
}

std::vector<Mount> interpreter_mounts(const Interpreter& interpreter, const std::vector<std::string>& visible) {
  std::vector<Mount> mounts;
  if (!lies_below(interpreter.prefix, visible))
    mounts.push_back({.kind = Mount::Kind::bind, .source = interpreter.prefix, .target = interpreter.prefix});
  std::vector<std::string> seen = visible;
  seen.push_back(interpreter.prefix);
  if (!lies_below(interpreter.path, seen))
    mounts.push_back({.kind = Mount::Kind::bind, .source = interpreter.path, .target = interpreter.path});
  return mounts;
}

}  // namespace casemate
