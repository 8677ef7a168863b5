// interpreter: the Python programs of the host and of images: which there are, and what a cell must see to run one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// A Python interpreter on the host, or in the root that an image is.
struct Interpreter {
  std::string path;           ///< the real executable, absolute ("/usr/bin/python3.11", ".../versions/3.12.1/bin/python3.12")
  std::string version;        ///< "3.11.7"
  std::string prefix;         ///< sys.base_prefix: what a cell must see to run it
  std::string identity;       ///< version, build, ABI tag, path, size and mtime; of an image also the root's: part of an environment's key
  std::string site_packages;  ///< where a virtual environment of it keeps packages, relative ("lib/python3.11/site-packages")
  /// An image's: where the program that was looked up finds packages of its own first ("/usr/local/lib/python3.11/site-packages"); "": on
  /// the host.
  std::string site_directory;

  [[nodiscard]] bool in_image() const { return !site_directory.empty(); }
};

/// Finds the interpreter for `--python-version` ("3.11", "3.11.7", "/path/to/python", "" = the python3 first on PATH). Follows pyenv shims
/// to the real program, and virtual environments to the interpreter they were made of. not_found says which versions there are;
/// not_supported is Python before 3.7. What an interpreter says of itself is asked once and kept in `cache_directory()/interpreters` by
/// path, mtime and size: later calls run no program.
Result<Interpreter> find_interpreter(std::string_view wanted);

/// The read-only binds that a cell needs beyond `visible` host paths to run this interpreter at the same path.
std::vector<Mount> interpreter_mounts(const Interpreter& interpreter, const std::vector<std::string>& visible);

/// What an interpreter is asked, as text for -c, and its answer read: lines of text, hostile where the interpreter is an image's, so each
/// is bounded and checked. One line may follow the answer: `site_directory`. `program` names the interpreter in errors, `identity` becomes
/// part of its own. invalid_input: no such answer; not_supported: Python before 3.7.
extern const char* const kInterpreterProbe;
Result<Interpreter> read_interpreter_answer(std::string_view answer, std::string_view program, std::string_view identity);

/// What an image's interpreters said, kept where the host's are. `image` is of the root and its programs' state, `program` as asked.
std::optional<Interpreter> recall_interpreter(std::string_view image, std::string_view program);
void remember_interpreter(std::string_view image, std::string_view program, const Interpreter& interpreter);

/// "3.11.7" as numbers, at most three; empty if it is no version.
[[nodiscard]] std::vector<int> version_numbers(std::string_view text);
/// Whether `version` begins with the numbers wanted.
[[nodiscard]] bool version_fits(const std::vector<int>& wanted, std::string_view version);

/// True if `path` is one of `directories` or lies below one.
[[nodiscard]] bool lies_below(std::string_view path, const std::vector<std::string>& directories);

}  // namespace casemate
