#include "image/requirements.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include "base/terminal.h"
#include "image/project_requirements.h"
#include "image/requirement_lines.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMaxFileBytes = 4 << 20;
constexpr std::size_t kMaxFiles = 256;
constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kMaxPackages = 20'000;

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\f'; }
bool is_name_char(char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; }
bool is_version_char(char c) { return is_name_char(c) || c == '*' || c == '+' || c == '!'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string lowered(std::string_view text) {
  std::string all(text);
  std::transform(all.begin(), all.end(), all.begin(), lower);
  return all;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string base_name(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

// `path` against `directory`, without "." parts. ".." stays: a symlink may lie before it (a cycle through it ends at kMaxDepth).
std::string joined(const std::string& directory, std::string_view path) {
  while (path.starts_with("./")) path.remove_prefix(2);
  return path.starts_with('/') || directory == "." ? std::string(path) : directory + (directory == "/" ? "" : "/") + std::string(path);
}

// RFC 3986: scheme of "https://...", "git+ssh://...", "file:///..."; "" if the text is no URL.
std::string url_scheme(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon < 2 || !is_alnum(text[0])) return "";
  for (const char c : text.substr(0, colon)) {
    if (!is_alnum(c) && c != '+' && c != '-' && c != '.') return "";
  }
  const bool slashes = text.substr(colon, 3) == "://";
  const std::string scheme = lowered(text.substr(0, colon));
  return slashes || scheme == "file" ? scheme : "";
}

bool is_version_control(std::string_view scheme) {
  return scheme.starts_with("git+") || scheme.starts_with("hg+") || scheme.starts_with("svn+") || scheme.starts_with("bzr+") ||
         scheme == "git" || scheme == "ssh";
}

bool is_archive(std::string_view path) {
  const std::string name = lowered(path);
  for (const char* ending :
       {".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz", ".tar.lzma"}) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

// Runs of space outside quotes as one blank: markers are otherwise left to the installer.
std::string with_single_spaces(std::string_view text) {
  std::string tidy;
  char quote = 0;
  for (const char c : stripped(text)) {
    if (quote ? c == quote : c == '\'' || c == '"') quote = quote ? 0 : c;
    if (!quote && is_space(c)) {
      if (!tidy.ends_with(' ')) tidy += ' ';
    } else {
      tidy += c;
    }
  }
  return tidy;
}

struct OptionName {
  std::string_view name;
  std::string_view short_name;
  bool takes_value;
};

// What pip takes on a line of its own (pip's reference, "Requirements File Format", "Supported options").
constexpr OptionName kOptions[] = {
    {"requirement", "r", true},
    {"constraint", "c", true},
    {"editable", "e", true},
    {"index-url", "i", true},
    {"pypi-url", "", true},
    {"extra-index-url", "", true},
    {"find-links", "f", true},
    {"no-index", "", false},
    {"trusted-host", "", true},
    {"pre", "", false},
    {"only-binary", "", true},
    {"no-binary", "", true},
    {"prefer-binary", "", false},
    {"require-hashes", "", false},
    {"use-feature", "", true},
    {"use-wheel", "", false},
    {"no-use-wheel", "", false},
    {"always-unzip", "Z", false},
    {"process-dependency-links", "", false},
};

struct Option {
  std::string name;
  std::string value;
};

std::unexpected<Error> fail_at(const std::string& where, const std::string& what) {
  return fail(ErrorCode::invalid_input, fmt::format("{}: {}", where, redacted(printable_name(what))));
}

// The options of a line: "-i URL", "-iURL", "--index-url=URL", several after one another.
Result<std::vector<Option>> parse_options(const std::string& line, const std::string& where) {
  auto words = shell_words(line);
  if (!words) return fail_at(where, words.error().what);
  std::vector<Option> options;
  for (std::size_t i = 0; i < words->size(); ++i) {
    const std::string& word = (*words)[i];
    const OptionName* found = nullptr;
    std::optional<std::string> value;
    if (word.starts_with("--")) {
      const std::size_t equals = word.find('=');
      const std::string_view name = std::string_view(word).substr(2, equals == std::string::npos ? equals : equals - 2);
      for (const OptionName& option : kOptions) {
        if (option.name == name) found = &option;
      }
      if (equals != std::string::npos) value = word.substr(equals + 1);
    } else if (word.size() >= 2 && word[0] == '-') {
      for (const OptionName& option : kOptions) {
        if (!option.short_name.empty() && option.short_name[0] == word[1]) found = &option;
      }
      if (word.size() > 2) value = word.substr(word[2] == '=' ? 3 : 2);
    } else {
      return fail_at(where, fmt::format("'{}' stands after an option and is none; write one thing a line", word));
    }
    if (!found) return fail_at(where, fmt::format("pip has no option '{}' for requirements files", word));
    if (found->takes_value && !value && i + 1 < words->size()) value = (*words)[++i];
    if (found->takes_value && (!value || value->empty())) return fail_at(where, fmt::format("--{} needs a value", found->name));
    if (!found->takes_value && value) return fail_at(where, fmt::format("--{} takes no value", found->name));
    options.push_back({std::string(found->name), value.value_or("")});
  }
  return options;
}

class Reader {
 public:
  Reader(const ReadRequirementsFile& read, const LookUpVariable& variable) : read_(read), variable_(variable) {}

  Result<void> file(const std::string& path, bool constraint);
  Result<Requirements> done();

 private:
  Result<void> line(const std::string& text, bool constraint);
  Result<void> option(const Option& option);
  Result<void> nested(const Option& option);
  Result<void> requirement(const std::string& text, bool constraint);
  Result<std::string> named(std::string_view text);
  Result<std::string> address(std::string_view text);
  Result<std::string> archive(std::string_view path);
  Result<std::string> per_requirement(const std::string& text);

  const ReadRequirementsFile& read_;
  const LookUpVariable& variable_;
  Requirements all_;
  std::vector<std::string> open_;  // the files being read, outermost first
  std::vector<std::pair<std::string, bool>> read_already_;
  std::size_t files_ = 0;
  std::string where_;
};

Result<void> Reader::file(const std::string& path, bool constraint) {
  const std::string asked_by = where_.empty() ? "" : where_ + ": ";
  if (std::find(open_.begin(), open_.end(), path) != open_.end()) return fail_at(where_, fmt::format("'{}' includes itself", path));
  if (open_.size() >= kMaxDepth) return fail_at(where_, fmt::format("files are nested more than {} deep", kMaxDepth));
  if (std::find(read_already_.begin(), read_already_.end(), std::pair(path, constraint)) != read_already_.end()) return {};
  if (++files_ > kMaxFiles) return fail_at(where_, fmt::format("more than {} files are included", kMaxFiles));
  const std::string name = printable_name(base_name(path));
  auto bytes = read_(path);
  if (!bytes) {
    Error error = bytes.error();
    if (error.code == ErrorCode::exhausted)
      error = {ErrorCode::invalid_input,
               fmt::format("{}:1: the file is larger than {} MiB: not a requirements file", name, kMaxFileBytes >> 20)};
    error.what = asked_by + error.what;
    return std::unexpected(std::move(error));
  }
  auto lines = requirement_lines(*bytes, name, variable_);
  if (!lines) return std::unexpected(lines.error());
  open_.push_back(path);
  const std::string outer = where_;
  for (const RequirementLine& text : *lines) {
    where_ = fmt::format("{}:{}", name, text.number);
    TRY(line(text.text, constraint));
    if (all_.packages.size() + all_.constraints.size() > kMaxPackages)
      return fail_at(where_, fmt::format("more than {} requirements", kMaxPackages));
  }
  where_ = outer;
  open_.pop_back();
  read_already_.emplace_back(path, constraint);
  return {};
}

Result<void> Reader::line(const std::string& text, bool constraint) {
  if (!text.starts_with('-')) return requirement(text, constraint);
  TRY_ASSIGN(const std::vector<Option> options, parse_options(text, where_));
  for (const Option& one : options) TRY(option(one));
  return {};
}

Result<void> Reader::option(const Option& option) {
  if (option.name == "requirement" || option.name == "constraint") return nested(option);
  if (option.name == "editable") {
    return fail_at(
        where_,
        fmt::format("'-e {}' can't be kept in an environment, which must not change when a source tree does: {}", option.value,
                    is_version_control(url_scheme(option.value)) ? "write 'name @ URL' instead"
                                                                 : "build a wheel ('pip wheel --no-deps DIRECTORY') and name that file"));
  }
  if (option.name == "use-wheel" || option.name == "no-use-wheel" || option.name == "always-unzip" ||
      option.name == "process-dependency-links")
    return {};
  std::string value = option.value;
  if (option.name == "find-links" && url_scheme(value).empty()) value = joined(directory_of(open_.back()), value);
  if (option.name == "prefer-binary" || option.name == "use-feature") {
    if (all_.pip_only.empty()) all_.pip_only = fmt::format("{}: --{}", where_, option.name);
  }
  if (option.name == "require-hashes") {
    all_.hashes = true;
    return {};
  }
  all_.options.emplace_back(option.name == "pypi-url" ? "index-url" : option.name, value);
  return {};
}

Result<void> Reader::nested(const Option& option) {
  const std::string scheme = url_scheme(option.value);
  if (scheme == "http" || scheme == "https") {
    all_.options.emplace_back(option.name, option.value);
    return {};
  }
  std::string_view path = option.value;
  if (scheme == "file" && path.substr(5).starts_with("///"))
    path.remove_prefix(7);
  else if (!scheme.empty())
    return fail_at(where_, fmt::format("can't read requirements from '{}'", option.value));
  return file(joined(directory_of(open_.back()), path), option.name == "constraint");
}

// pip: options of one requirement begin at the first word with a dash.
Result<void> Reader::requirement(const std::string& text, bool constraint) {
  std::size_t options = std::string::npos;
  for (std::size_t i = 1; i < text.size() && options == std::string::npos; ++i) {
    if (text[i] == '-' && is_space(text[i - 1])) options = i;
  }
  const std::string_view body = stripped(std::string_view(text).substr(0, options));
  std::string normal;
  const std::string scheme = url_scheme(body);
  const std::string_view target = body.substr(0, body.find(" ;"));
  if (!scheme.empty()) {
    TRY_ASSIGN(normal, address(body));
  } else if (target.find('@') == std::string_view::npos && target.find('[') == std::string_view::npos &&
             (target.starts_with('.') || target.starts_with('/') || target.starts_with('~') || is_archive(target) ||
              (target.find('/') != std::string_view::npos && target.find_first_of(";<>=!~") == std::string_view::npos))) {
    TRY_ASSIGN(normal, archive(target));
    if (target.size() < body.size()) normal += " ; " + with_single_spaces(body.substr(target.size() + 2));
  } else {
    TRY_ASSIGN(normal, named(body));
  }
  if (options != std::string::npos) {
    TRY_ASSIGN(const std::string more, per_requirement(text.substr(options)));
    normal += more;
  }
  all_.origins.try_emplace(normal, where_);
  (constraint ? all_.constraints : all_.packages).push_back(normal);
  if (!constraint) {
    const std::size_t end = normal.find_first_of("[<>=!~ ;@");
    all_.names.push_back(scheme.empty() && !normal.starts_with('/') ? normal.substr(0, end)
                                                                    : base_name(std::string_view(normal).substr(0, normal.find(' '))));
  }
  return {};
}

// --hash and its like after a requirement, as " --hash=sha256:... --hash=...", hashes sorted.
Result<std::string> Reader::per_requirement(const std::string& text) {
  auto words = shell_words(text);
  if (!words) return fail_at(where_, words.error().what);
  std::vector<std::string> hashes;
  std::string others;
  for (std::size_t i = 0; i < words->size(); ++i) {
    std::string name = (*words)[i];
    std::string value;
    const std::size_t equals = name.find('=');
    if (equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < words->size()) {
      value = (*words)[++i];
    }
    if (name == "--hash") {
      const std::size_t colon = value.find(':');
      const std::string algorithm = value.substr(0, colon);
      const bool known = algorithm == "sha256" || algorithm == "sha384" || algorithm == "sha512";
      const std::string digits = colon == std::string::npos ? "" : lowered(value.substr(colon + 1));
      if (!known || digits.empty() || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
        return fail_at(where_, fmt::format("'--hash={}' is not sha256:, sha384: or sha512: and hexadecimal digits", value));
      hashes.push_back(fmt::format(" --hash={}:{}", algorithm, digits));
    } else if ((name == "--global-option" || name == "--config-settings" || name == "--config-setting" || name == "-C") && !value.empty()) {
      if (all_.pip_only.empty()) all_.pip_only = fmt::format("{}: {}", where_, name);
      if (value.find('"') != std::string::npos)
        return fail_at(where_, fmt::format("{} with a quotation mark in it is not supported", name));
      others += fmt::format(" {}=\"{}\"", name == "-C" ? "--config-settings" : name, value);
    } else {
      return fail_at(where_, fmt::format("pip has no option '{}' for one requirement", name));
    }
  }
  std::sort(hashes.begin(), hashes.end());
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  all_.hashes = all_.hashes || !hashes.empty();
  std::string joined_hashes;
  for (const std::string& hash : hashes) joined_hashes += hash;
  return joined_hashes + others;
}

// "name[extra] >=1,<2 ; marker" or "name @ url" (PEP 508, PEP 440).
Result<std::string> Reader::named(std::string_view text) {
  const auto complain = [&](std::string_view why) { return fail_at(where_, fmt::format("'{}' is not a requirement: {}", text, why)); };
  std::string_view rest = text;
  const auto skip = [&] { rest = stripped(rest); };
  std::size_t length = 0;
  while (length < rest.size() && is_name_char(rest[length])) ++length;
  if (length == 0 || !is_alnum(rest[0]) || !is_alnum(rest[length - 1])) return complain("it must begin with a package's name");
  std::string normal = normalised_name(rest.substr(0, length));
  rest.remove_prefix(length);
  skip();
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return complain("']' is missing");
    std::vector<std::string> extras;
    for (std::string_view list = rest.substr(1, end - 1); !stripped(list).empty();) {
      const std::size_t comma = std::min(list.find(','), list.size());
      const std::string_view extra = stripped(list.substr(0, comma));
      if (extra.empty() || !std::all_of(extra.begin(), extra.end(), is_name_char) || !is_alnum(extra.front()) || !is_alnum(extra.back()))
        return complain("an extra in [] is not a name");
      extras.push_back(normalised_name(extra));
      list.remove_prefix(std::min(comma + 1, list.size()));
    }
    std::sort(extras.begin(), extras.end());
    extras.erase(std::unique(extras.begin(), extras.end()), extras.end());
    if (!extras.empty()) normal += fmt::format("[{}]", fmt::join(extras, ","));
    rest.remove_prefix(end + 1);
    skip();
  }
  if (rest.starts_with('@')) {
    rest.remove_prefix(1);
    skip();
    // PEP 508: a URL ends at space; only then a marker can follow.
    const std::size_t end = std::min(rest.find_first_of(" \t\f"), rest.size());
    if (url_scheme(rest.substr(0, end)).empty()) return complain("after '@' comes a URL");
    TRY_ASSIGN(const std::string target, address(rest.substr(0, end)));
    normal += " @ " + target;
    rest.remove_prefix(end);
    skip();
  } else {
    const bool parentheses = rest.starts_with('(');
    if (parentheses) rest.remove_prefix(1);
    std::vector<std::string> clauses;
    for (;;) {
      skip();
      std::size_t operator_length = 0;
      for (const char* sign : {"===", "~=", "==", "!=", "<=", ">=", "<", ">"}) {
        if (operator_length == 0 && rest.starts_with(sign)) operator_length = std::string_view(sign).size();
      }
      if (operator_length == 0) {
        if (!clauses.empty() && !rest.empty() && rest[0] != ';' && rest[0] != ')')
          return complain("a version clause begins with ==, ~=, !=, <=, >=, < or >");
        break;
      }
      std::string clause(rest.substr(0, operator_length));
      rest.remove_prefix(operator_length);
      skip();
      length = 0;
      while (length < rest.size() && is_version_char(rest[length])) ++length;
      if (length == 0) return complain(fmt::format("a version is missing after '{}'", clause));
      clause += rest.substr(0, length);
      clauses.push_back(clause);
      rest.remove_prefix(length);
      skip();
      if (!rest.starts_with(',')) break;
      rest.remove_prefix(1);
    }
    if (parentheses) {
      if (!rest.starts_with(')')) return complain("')' is missing");
      rest.remove_prefix(1);
      skip();
    }
    std::sort(clauses.begin(), clauses.end());
    clauses.erase(std::unique(clauses.begin(), clauses.end()), clauses.end());
    normal += fmt::format("{}", fmt::join(clauses, ","));
  }
  if (!rest.empty() && rest[0] != ';') return complain(fmt::format("'{}' is unexpected", rest.substr(0, 20)));
  if (!rest.empty()) {
    const std::string marker = with_single_spaces(rest.substr(1));
    if (marker.empty()) return complain("a marker is missing after ';'");
    normal += " ; " + marker;
  }
  return normal;
}

// A URL of an archive or a repository; "file:" is an archive on this machine.
Result<std::string> Reader::address(std::string_view text) {
  const std::string scheme = url_scheme(text);
  if (scheme == "file") {
    std::string_view path = text.substr(5);
    if (path.starts_with("//localhost/"))
      path.remove_prefix(11);
    else if (path.starts_with("///"))
      path.remove_prefix(2);
    const std::size_t end = std::min(path.find_first_of("#? \t"), path.size());
    if (!path.starts_with('/')) return fail_at(where_, fmt::format("'{}' is not file:///absolute/path", text));
    return archive(path.substr(0, end));
  }
  if (scheme != "http" && scheme != "https" && !is_version_control(scheme))
    return fail_at(where_, fmt::format("'{}': can't install from '{}:'", text, scheme));
  return with_single_spaces(text);
}

Result<std::string> Reader::archive(std::string_view path) {
  if (!is_archive(path))
    return fail_at(where_, fmt::format("'{}' is a directory or no package: an environment must not change when a source tree does: build a "
                                       "wheel ('pip wheel --no-deps "
                                       "DIRECTORY') and name that file",
                                       path));
  if (path.starts_with('~')) return fail_at(where_, fmt::format("'{}': '~' is not expanded here: write the whole path", path));
  // The name becomes part of a line and of a path in the cell.
  const std::string name = base_name(path);
  if (name.find_first_of(" \t\"'\\$#;") != std::string::npos)
    return fail_at(where_, fmt::format("'{}': the archive's name has a character that pip can't take here", path));
  const std::string host = joined(directory_of(open_.back()), path);
  auto found = std::find_if(all_.archives.begin(), all_.archives.end(), [&](const LocalArchive& one) { return one.path == host; });
  if (found == all_.archives.end()) found = all_.archives.insert(found, {host, where_});
  return fmt::format("file://{}{}/{}", kLocalPrefix, found - all_.archives.begin(), name);
}

Result<Requirements> Reader::done() {
  for (auto* list : {&all_.packages, &all_.constraints}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  return std::move(all_);
}

// /dev/null is how people say "no file".
Result<std::string> read_from_disk(const std::string& path) {
  return path == "/dev/null" ? Result<std::string>("") : read_file(path, kMaxFileBytes);
}
const char* variable_of_process(const std::string& name) { return std::getenv(name.c_str()); }

}  // namespace

std::string normalised_name(std::string_view name) {
  std::string normal;
  for (const char c : name) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (!separator)
      normal += lower(c);
    else if (!normal.ends_with('-'))
      normal += '-';
  }
  return normal;
}

std::string redacted(std::string_view text) {
  std::string safe;
  for (;;) {
    const std::size_t slashes = text.find("://");
    if (slashes == std::string_view::npos) return safe += text;
    safe += text.substr(0, slashes + 3);
    text.remove_prefix(slashes + 3);
    // The authority ends at '/', '?', '#' or what ends a URL in a text; the last '@' in it ends the user's part (RFC 3986, 3.2).
    const std::string_view authority = text.substr(0, text.find_first_of("/?# \t\n\r\"'<>`"));
    const std::size_t at = authority.rfind('@');
    if (at == std::string_view::npos) continue;
    // "git" alone, as in git+ssh://git@host, is no secret.
    const std::string_view user = authority.substr(0, at);
    safe += user == "git" ? "git" : "***";
    text.remove_prefix(at);
  }
}

Result<Requirements> read_requirements(const std::string& path, const ReadRequirementsFile& read, const LookUpVariable& variable) {
  Reader reader(read, variable);
  TRY(reader.file(path, false));
  return reader.done();
}

Result<Requirements> read_requirements(const std::string& path) {
  const auto selection = project_selection(path);
  if (!selection) return read_requirements(path, read_from_disk, variable_of_process);
  const auto read = [&](const std::string& file) -> Result<std::string> {
    TRY_ASSIGN(const std::string toml, read_from_disk(file));
    return project_requirements(toml, *selection);
  };
  return read_requirements(selection->file, read, variable_of_process);
}

Result<Requirements> read_constraints(const std::string& path) {
  const ReadRequirementsFile read = read_from_disk;
  const LookUpVariable variable = variable_of_process;
  Reader reader(read, variable);
  TRY(reader.file(path, true));
  return reader.done();
}

}  // namespace casemate
