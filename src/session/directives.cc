#include "session/directives.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "image/container_reader.h"
#include "session/bounds.h"
#include "session/filter.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr const char* kFile = "maelstrom-pytest.toml";
constexpr const char* kProject = "pyproject.toml";
constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::size_t kMostDirectives = 10'000;
constexpr std::uint32_t kMostRetries = 100;
constexpr std::size_t kMostParents = 32;  // of a container, its parent's and so on

struct Directive {
  std::optional<TestFilter> filter;
  ContainerPatch container;
  std::optional<ContainerSpec> parent;
  std::optional<bool> ignore;
  std::optional<Isolation> isolation;
  std::optional<bool> cache;
  std::optional<std::uint32_t> retries;
};

std::string directory_of(const std::string& file) {
  const std::size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, std::max<std::size_t>(slash, 1));
}

bool is_project_file(std::string_view file) { return file.substr(file.rfind('/') + 1) == kProject; }

// Reads one file.
class DirectivesReader {
 public:
  explicit DirectivesReader(const std::string& file) : reader_(TomlFields(file, true), directory_of(file)) {}

  [[nodiscard]] const TomlFields& toml() const { return reader_.toml(); }

  Result<std::vector<Directive>> directives(const toml::table& table) {
    TRY(read_containers(table));
    std::vector<Directive> all;
    TRY(toml().each_table(table, "directives", [&](const toml::table& entry) -> Result<void> {
      if (all.size() == kMostDirectives) return toml().problem(entry, fmt::format("more than {} directives", kMostDirectives));
      TRY_ASSIGN(Directive made, directive(entry));
      all.push_back(std::move(made));
      return {};
    }));
    return all;
  }

 private:
  Result<void> read_containers(const toml::table& table) {
    const toml::node* node = table.get("containers");
    if (!node) return {};
    const toml::table* entries = node->as_table();
    if (!entries) return toml().problem(*node, "containers must be tables: [containers.NAME]");
    ContainerReader::Names known = ContainerReader::field_names();
    known.push_back("parent");
    for (const auto& [key, value] : *entries) {
      if (!value.is_table()) return toml().problem(key, "a container must be a table: [containers.NAME]");
      TRY(toml().known_fields(*value.as_table(), known, "a container"));
      TRY_ASSIGN(patches_[std::string(key.str())], reader_.patch(*value.as_table()));
    }
    for (const auto& [name, patch] : patches_) {
      std::vector<std::string> path;
      TRY(resolve(name, patch.line, path));
    }
    return {};
  }

  // The container of a name, with its parents; `path` are those that are being made of it.
  Result<ContainerSpec> resolve(const std::string& name, std::size_t line, std::vector<std::string>& path) {
    if (const auto known = containers_.find(name); known != containers_.end()) return known->second;
    const auto found = patches_.find(name);
    if (found == patches_.end()) {
      ContainerReader::Names names;
      for (const auto& [other, patch] : patches_) names.push_back(other);
      return toml().problem(line, fmt::format("there is no container '{}'{}", printable_line(name),
                                              names.empty() ? ": write [containers.NAME]" : did_you_mean(name, names)));
    }
    const bool in_a_circle = std::find(path.begin(), path.end(), name) != path.end();
    path.push_back(name);
    if (in_a_circle) return toml().problem(line, fmt::format("a container is its own parent: {}", fmt::join(path, " -> ")));
    if (path.size() > kMostParents) return toml().problem(line, fmt::format("more than {} parents of a container", kMostParents));
    const ContainerPatch& patch = found->second;
    std::optional<ContainerSpec> parent;
    if (patch.parent) {
      TRY_ASSIGN(parent, resolve(*patch.parent, patch.line, path));
    }
    ContainerSpec made;
    apply(patch, parent ? &*parent : nullptr, made);
    return containers_[name] = std::move(made);
  }

  Result<Directive> directive(const toml::table& table) {
    ContainerReader::Names known = {"filter", "parent", "ignore", "isolation", "retries", "cache"};
    const auto fields = ContainerReader::field_names();
    known.insert(known.end(), fields.begin(), fields.end());
    TRY(toml().known_fields(table, known, "a directive"));
    Directive made;
    TRY_ASSIGN(const auto filter, toml().text(table, "filter"));
    if (filter) {
      auto parsed = TestFilter::parse(*filter);
      if (!parsed) return toml().problem(*table.get("filter"), fmt::format("filter: {}", parsed.error().what));
      made.filter = std::move(*parsed);
    }
    TRY_ASSIGN(made.container, reader_.patch(table));
    if (made.container.parent) {
      std::vector<std::string> path;
      TRY_ASSIGN(made.parent, resolve(*made.container.parent, table.get("parent")->source().begin.line, path));
    }
    TRY_ASSIGN(made.ignore, toml().flag(table, "ignore"));
    TRY_ASSIGN(made.cache, toml().flag(table, "cache"));
    TRY_ASSIGN(made.retries, toml().number(table, "retries", 0, kMostRetries));
    TRY_ASSIGN(const auto isolation, toml().text(table, "isolation"));
    if (!isolation) return made;
    made.isolation = isolation_of(*isolation);
    if (!made.isolation)
      return toml().problem(*table.get("isolation"), fmt::format("there is no isolation '{}'; there are {}", *isolation, kIsolations));
    return made;
  }

  ContainerReader reader_;
  std::map<std::string, ContainerPatch> patches_;
  std::map<std::string, ContainerSpec> containers_;
};

void apply(const Directive& directive, TestContainer& made) {
  apply(directive.container, directive.parent ? &*directive.parent : nullptr, made.container);
  if (directive.container.include_shared_libraries) made.include_shared_libraries = *directive.container.include_shared_libraries;
  if (directive.ignore) made.ignore = *directive.ignore;
  if (directive.cache) made.cache = directive.cache;
  if (directive.isolation) made.isolation = directive.isolation;
  if (directive.retries) made.retries = directive.retries;
}

// A command line's words, over all directives.
struct Override {
  std::optional<std::string> image;
  ContainerPatch patch;
  std::optional<Isolation> isolation;
  std::optional<std::uint32_t> retries;
};

void apply(const Override& asked, TestContainer& made) {
  const ContainerSpec nothing;
  if (asked.image && made.container.image != asked.image) {
    made.container.image = asked.image;
    made.container.use = nothing.use;
    made.container.use_layers = true;
  }
  apply(asked.patch, nullptr, made.container);
  if (asked.isolation) made.isolation = asked.isolation;
  if (asked.retries) made.retries = asked.retries;
}

void finish(TestContainer& made) {
  if (made.container.image == "host") made.container.image.reset();
  made.requirements = take_requirements(made.container);
  made.requirements_implied = !made.requirements && made.container.image && is_python_image(*made.container.image);
  if (made.requirements_implied) made.requirements = kImpliedRequirements;
}

// The table that holds directives; nullptr: there is none.
Result<const toml::table*> table_of(const toml::table& document, const TomlFields& fields, bool is_project) {
  if (!is_project) {
    TRY(fields.known_fields(document, {"directives", "containers"}, "this file"));
    return &document;
  }
  const toml::node* tool = document.get("tool");
  const toml::node* own = tool && tool->is_table() ? tool->as_table()->get("casemate") : nullptr;
  if (!own) return nullptr;
  if (!own->is_table()) return fields.problem(*own, "tool.casemate must be a table: [tool.casemate]");
  return own->as_table();
}

}  // namespace

struct Directives::Parts {
  std::vector<Directive> directives;
  Override over;
  std::string file;
  std::string directory;
  std::vector<std::string> notes;
  std::deque<TestContainer> containers;                    // all different; their addresses stay
  std::map<std::vector<std::uint32_t>, std::size_t> seen;  // which directives take a test -> its container

  std::size_t of(const TestCase* test) {
    std::vector<std::uint32_t> taken;
    for (std::uint32_t at = 0; at < directives.size(); ++at) {
      const auto& filter = directives[at].filter;
      if (!filter || (test && filter->takes(*test))) taken.push_back(at);
    }
    const auto [entry, is_new] = seen.try_emplace(taken, 0);
    if (!is_new) return entry->second;
    TestContainer made;
    for (const std::uint32_t at : taken) apply(directives[at], made);
    apply(over, made);
    finish(made);
    const auto same = std::find(containers.begin(), containers.end(), made);
    entry->second = static_cast<std::size_t>(same - containers.begin());
    if (same == containers.end()) containers.push_back(std::move(made));
    return entry->second;
  }
};

bool can_share_parents(const TestContainer& one, const TestContainer& other) {
  TestContainer treated = one;
  treated.ignore = other.ignore;
  treated.isolation = other.isolation;
  treated.retries = other.retries;
  treated.cache = other.cache;
  treated.container.limits.wall = other.container.limits.wall;
  return treated == other;
}

bool is_python_image(std::string_view image) {
  constexpr std::string_view kDocker = "docker://";
  if (!image.starts_with(kDocker)) return false;
  image.remove_prefix(kDocker.size());
  image = image.substr(0, image.find('@'));
  image = image.substr(image.rfind('/') + 1);
  return image.substr(0, image.find(':')) == "python";
}

Directives::Directives() : parts_(std::make_shared<Parts>()) {}

Result<Directives> Directives::parse(std::string_view toml, const std::string& file) {
  DirectivesReader reader(file);
  TRY_ASSIGN(const toml::table document, reader.toml().parse(toml));
  TRY_ASSIGN(const toml::table* table, table_of(document, reader.toml(), is_project_file(file)));
  auto parts = std::make_shared<Parts>();
  if (!table) return Directives(std::move(parts));
  TRY_ASSIGN(parts->directives, reader.directives(*table));
  parts->file = file;
  parts->directory = directory_of(file);
  return Directives(std::move(parts));
}

Result<Directives> Directives::of_project(const std::string& directory) {
  const std::string own = fmt::format("{}/{}", directory, kFile);
  const std::string project = fmt::format("{}/{}", directory, kProject);
  const bool has_own = ::access(own.c_str(), F_OK) == 0;
  const bool has_project = ::access(project.c_str(), F_OK) == 0;
  if (!has_own && !has_project) return Directives();
  const std::string& file = has_own ? own : project;
  TRY_ASSIGN(const std::string text, read_file(file, kMostBytes));
  TRY_ASSIGN(Directives made, parse(text, file));
  if (!has_own || !has_project) return made;
  // What it says is not looked at, so it need not be right.
  const auto other = read_file(project, kMostBytes);
  const auto second = other ? parse(*other, project) : std::unexpected(other.error());
  if (second && !second->parts_->directives.empty())
    made.parts_->notes.push_back(fmt::format("the directives of {} are not looked at: {} has its own", kProject, kFile));
  return made;
}

Result<Directives> Directives::around(const PytestRequest& request) {
  TRY_ASSIGN(Directives own, of_project(request.directory));
  return own.file().empty() ? of_project(pytest_root(request.directory, request.pytest_arguments)) : std::move(own);
}

void Directives::override_with(const PytestRequest& request) {
  Override& over = parts_->over;
  over.image = request.image;
  over.patch.requirements = request.requirements;
  over.patch.limits = request.limits;
  over.patch.timeout = request.timeout;
  over.patch.network = request.network;
  over.isolation = request.isolation;
  over.retries = request.retries;
}

std::size_t Directives::of(const TestCase& test) { return parts_->of(&test); }

std::size_t Directives::of_all() { return parts_->of(nullptr); }

const TestContainer& Directives::container(std::size_t index) const { return parts_->containers[index]; }

const std::string& Directives::file() const { return parts_->file; }

const std::string& Directives::directory() const { return parts_->directory; }

const std::vector<std::string>& Directives::notes() const { return parts_->notes; }

}  // namespace casemate
