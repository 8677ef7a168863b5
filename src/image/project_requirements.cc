#include "image/project_requirements.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "image/requirements.h"
#include "image/toml_fields.h"

namespace casemate {
namespace {

constexpr std::string_view kName = "pyproject.toml";
constexpr std::size_t kMostLines = 100'000;

// Items between commas, without blanks around them.
std::vector<std::string> items(std::string_view text) {
  std::vector<std::string> all;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (!item.empty()) all.emplace_back(item);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return all;
}

// Collects the lines of one file.
class ProjectReader {
 public:
  ProjectReader(const toml::table& document, const TomlFields& fields) : document_(document), fields_(fields) {
    if (const auto* own = document["project"]["name"].as_string()) name_ = normalised_name(own->get());
  }

  Result<void> dependencies() {
    if (const toml::array* dynamic = document_["project"]["dynamic"].as_array()) {
      for (const toml::node& one : *dynamic) {
        if (one.value_or<std::string_view>("") == "dependencies")
          return fields_.problem(one,
                                 "the project's dependencies are dynamic: only its build knows them; name a requirements file or a group");
      }
    }
    const toml::node* list = document_["project"]["dependencies"].node();
    return list ? each(*list, "dependencies") : Result<void>{};
  }

  Result<void> extra(const std::string& wanted) {
    if (!seen_extras_.insert(normalised_name(wanted)).second) return {};
    TRY_ASSIGN(const toml::node* list, find(document_["project"]["optional-dependencies"].as_table(), wanted, "extra"));
    return each(*list, wanted);
  }

  // `path`: the groups that include each other down to here.
  Result<void> group(const std::string& wanted, std::vector<std::string> path = {}) {
    const std::string name = normalised_name(wanted);
    const bool in_a_circle = std::find(path.begin(), path.end(), name) != path.end();
    path.push_back(name);
    if (in_a_circle) return fields_.problem(1, fmt::format("a dependency group includes itself: {}", fmt::join(path, " -> ")));
    if (!seen_groups_.insert(name).second) return {};
    TRY_ASSIGN(const toml::node* list, find(document_["dependency-groups"].as_table(), wanted, "dependency group"));
    const toml::array* entries = list->as_array();
    if (!entries) return fields_.problem(*list, fmt::format("the dependency group '{}' must be a list", printable_line(wanted)));
    for (const toml::node& entry : *entries) {
      const toml::table* table = entry.as_table();
      if (!table) {
        TRY(add(entry, wanted));
        continue;
      }
      TRY(fields_.known_fields(*table, {"include-group"}, "an entry of a dependency group"));
      TRY_ASSIGN(const std::string included, fields_.needed_text(*table, "include-group"));
      TRY(group(included, path));
    }
    return {};
  }

  [[nodiscard]] std::string text() const {
    std::string all;
    std::size_t line = 1;
    for (const auto& [number, requirement] : lines_) {
      for (; line < number; ++line) all += '\n';
      all += requirement;
    }
    return all + "\n";
  }

 private:
  Result<const toml::node*> find(const toml::table* table, const std::string& wanted, std::string_view what) const {
    TomlFields::Names names;
    if (table) {
      for (const auto& [key, value] : *table) {
        if (normalised_name(key.str()) == normalised_name(wanted)) return &value;
        names.push_back(key.str());
      }
    }
    return fields_.problem(table ? table->source().begin.line : 1, fmt::format("there is no {} '{}'{}", what, printable_line(wanted),
                                                                               names.empty() ? "" : did_you_mean(wanted, names)));
  }

  Result<void> each(const toml::node& list, std::string_view what) {
    const toml::array* entries = list.as_array();
    if (!entries) return fields_.problem(list, fmt::format("{} must be a list of strings: [\"...\"]", printable_line(what)));
    for (const toml::node& entry : *entries) TRY(add(entry, what));
    return {};
  }

  Result<void> add(const toml::node& entry, std::string_view what) {
    TRY_ASSIGN(const std::string requirement, fields_.string_of(entry, fmt::format("each of {}", printable_line(what))));
    const bool is_odd = std::any_of(requirement.begin(), requirement.end(), [](unsigned char byte) { return byte < 0x20 || byte == '\\'; });
    if (requirement.empty() || requirement.starts_with('-') || requirement.starts_with('#') || is_odd)
      return fields_.problem(entry, fmt::format("'{}' is no requirement", printable_line(requirement)));
    // "name[other]" of the project itself.
    const std::size_t open = requirement.find('[');
    const std::size_t close = requirement.find(']');
    if (!name_.empty() && open != std::string::npos && close != std::string::npos && close > open &&
        normalised_name(requirement.substr(0, open)) == name_) {
      for (const std::string& other : items(std::string_view(requirement).substr(open + 1, close - open - 1))) TRY(extra(other));
      return {};
    }
    std::size_t line = entry.source().begin.line;
    while (lines_.contains(line)) ++line;
    if (lines_.size() == kMostLines) return fields_.problem(entry, fmt::format("more than {} requirements", kMostLines));
    lines_[line] = requirement;
    return {};
  }

  const toml::table& document_;
  const TomlFields& fields_;
  std::string name_;
  std::set<std::string> seen_extras_;
  std::set<std::string> seen_groups_;
  std::map<std::size_t, std::string> lines_;
};

}  // namespace

std::string ProjectSelection::spelled() const {
  std::string text(kName);
  if (!extras.empty()) text += fmt::format("[{}]", fmt::join(extras, ","));
  if (!groups.empty()) text += fmt::format(":{}", fmt::join(groups, ","));
  return text;
}

std::optional<ProjectSelection> project_selection(std::string_view path) {
  // A '/' in an extra's or group's name is none.
  const std::size_t name = path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1;
  std::string_view rest = path.substr(name);
  if (!rest.starts_with(kName)) return std::nullopt;
  ProjectSelection made{.file = std::string(path.substr(0, name + kName.size()))};
  rest.remove_prefix(kName.size());
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    made.extras = items(rest.substr(1, close - 1));
    rest.remove_prefix(close + 1);
  }
  if (rest.starts_with(':')) {
    made.groups = items(rest.substr(1));
  } else if (!rest.empty()) {
    return std::nullopt;
  }
  return made;
}

Result<std::string> project_requirements(std::string_view toml, const ProjectSelection& selection) {
  const TomlFields fields(selection.file, true);
  TRY_ASSIGN(const toml::table document, fields.parse(toml));
  ProjectReader reader(document, fields);
  if (selection.groups.empty() || !selection.extras.empty()) TRY(reader.dependencies());
  for (const std::string& extra : selection.extras) TRY(reader.extra(extra));
  for (const std::string& group : selection.groups) TRY(reader.group(group));
  return reader.text();
}

}  // namespace casemate
