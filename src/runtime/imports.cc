#include "runtime/imports.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <unistd.h>

namespace casemate::runtime {
namespace {

constexpr std::size_t kMostModules = 32;

// Of the standard library, sorted: what is imported by everybody or in no time.
constexpr std::string_view kQuick[] = {"__future__",  "abc",        "argparse",
                                       "array",       "ast",        "atexit",
                                       "base64",      "bisect",     "calendar",
                                       "collections", "concurrent", "configparser",
                                       "contextlib",  "copy",       "csv",
                                       "dataclasses", "datetime",   "decimal",
                                       "enum",        "errno",      "fnmatch",
                                       "fractions",   "functools",  "gc",
                                       "getpass",     "glob",       "gzip",
                                       "hashlib",     "heapq",      "hmac",
                                       "importlib",   "inspect",    "io",
                                       "itertools",   "json",       "locale",
                                       "logging",     "math",       "multiprocessing",
                                       "numbers",     "operator",   "os",
                                       "pathlib",     "pickle",     "platform",
                                       "pprint",      "queue",      "random",
                                       "re",          "secrets",    "shutil",
                                       "signal",      "socket",     "sqlite3",
                                       "stat",        "statistics", "string",
                                       "struct",      "subprocess", "sys",
                                       "tarfile",     "tempfile",   "textwrap",
                                       "threading",   "time",       "traceback",
                                       "types",       "typing",     "unittest",
                                       "urllib",      "uuid",       "warnings",
                                       "weakref",     "xml",        "zipfile",
                                       "zlib"};

bool is_quick(std::string_view name) { return std::find(std::begin(kQuick), std::end(kQuick), name) != std::end(kQuick); }

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// "numpy" of "numpy.linalg as la"; "" if it is no name.
std::string_view first_name(std::string_view text) {
  text = trimmed(text);
  std::size_t end = 0;
  while (end < text.size() && is_word(text[end])) ++end;
  const bool named = end > 0 && std::isdigit(static_cast<unsigned char>(text[0])) == 0;
  const bool ends_well = end == text.size() || text[end] == '.' || text[end] == ' ' || text[end] == '\t';
  return named && ends_well ? text.substr(0, end) : std::string_view();
}

bool lies_in(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  return ::access(path.c_str(), F_OK) == 0 || ::access((path + ".py").c_str(), F_OK) == 0;
}

class Scanner {
 public:
  void line(std::string_view line) {
    const bool outermost = !line.empty() && line[0] != ' ' && line[0] != '\t';
    const std::string_view text = trimmed(line.substr(0, line.find('#')));
    if (text.empty()) return;
    if (outermost) in_try_ = text == "try:";
    if (!outermost && !in_try_) return;
    if (text.starts_with("import ")) {
      std::string_view rest = text.substr(7);
      for (;;) {
        const auto comma = rest.find(',');
        add(first_name(rest.substr(0, comma)));
        if (comma == std::string_view::npos) break;
        rest.remove_prefix(comma + 1);
      }
    } else if (text.starts_with("from ") && text.find(" import ") != std::string_view::npos) {
      add(first_name(text.substr(5)));
    }
  }
  [[nodiscard]] const std::set<std::string>& names() const { return names_; }

 private:
  void add(std::string_view name) {
    if (!name.empty() && !is_quick(name) && names_.size() < kMostModules) names_.emplace(name);
  }

  std::set<std::string> names_;
  bool in_try_ = false;
};

}  // namespace

std::string imported_modules(std::string_view text, const std::string& directory) {
  Scanner scanner;
  while (!text.empty()) {
    const auto end = text.find('\n');
    scanner.line(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  std::string all;
  for (const std::string& name : scanner.names()) {
    if (!lies_in(directory, name)) all += (all.empty() ? "" : ",") + name;
  }
  return all;
}

}  // namespace casemate::runtime
