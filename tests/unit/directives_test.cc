#include "session/directives.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace casemate {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

Directives parsed(std::string_view toml, const std::string& file = "/srv/project/maelstrom-pytest.toml") {
  auto directives = Directives::parse(toml, file);
  EXPECT_TRUE(directives) << directives.error().what;
  return directives ? std::move(*directives) : Directives{};
}

std::string problem(std::string_view toml, const std::string& file = "m.toml") {
  const auto directives = Directives::parse(toml, file);
  if (directives) return "it worked";
  EXPECT_EQ(directives.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(directives.error().what.find('\n'), std::string::npos);
  return directives.error().what;
}

TestCase named(const std::string& name, std::vector<std::string> markers = {}) {
  return {.id = "t.py::" + name, .file = "t.py", .name = name, .markers = std::move(markers)};
}

// What the directives say of a test.
TestContainer of(std::string_view toml, const std::string& name = "test") {
  Directives directives = parsed(toml);
  return directives.container(directives.of(named(name)));
}

std::vector<std::string> globs(const ContainerSpec& spec) {
  std::vector<std::string> all;
  for (const LayerSpec& layer : spec.layers) all.push_back(std::get<GlobLayer>(layer).glob);
  return all;
}

TEST(Directives, without_any_a_test_runs_on_host) {
  Directives none;
  const TestContainer container = none.container(none.of(named("test")));
  EXPECT_EQ(container, TestContainer{});
  EXPECT_FALSE(container.container.image);
  EXPECT_EQ(none.of_all(), none.of(named("other")));
  EXPECT_EQ(of(""), TestContainer{});
  EXPECT_EQ(none.file(), "");
}

TEST(Directives, of_those_that_take_a_test_later_ones_win) {
  const std::string toml = R"toml(
[[directives]]
image = "docker://python:3.11-slim"
timeout = 10
memory = "64M"
[[directives]]
filter = "name.contains(slow)"
timeout = 100
[[directives]]
filter = "name.equals(slow_one)"
ignore = true
retries = 2
isolation = "class"
timeout = 0
)toml";
  EXPECT_EQ(of(toml).container.limits.wall, 10s);
  EXPECT_EQ(of(toml, "slow").container.limits.wall, 100s);
  EXPECT_EQ(of(toml, "slow").container.limits.memory_bytes, 64u << 20);
  const TestContainer last = of(toml, "slow_one");
  EXPECT_FALSE(last.container.limits.wall);
  EXPECT_TRUE(last.ignore);
  EXPECT_EQ(last.retries, 2u);
  EXPECT_EQ(last.isolation, Isolation::klass);
  EXPECT_FALSE(of(toml, "slow").ignore);
  EXPECT_EQ(last.container.image, "docker://python:3.11-slim");
}

TEST(Directives, equal_containers_have_one_index) {
  Directives directives = parsed(R"toml(
[[directives]]
memory = "64M"
[[directives]]
filter = "name.equals(a)"
timeout = 5
[[directives]]
filter = "name.equals(b)"
timeout = 5
[[directives]]
filter = "name.equals(c)"
memory = "64M"
)toml");
  const std::size_t all = directives.of_all();
  EXPECT_EQ(directives.of(named("a")), directives.of(named("b"))) << "other directives, the same container";
  EXPECT_EQ(directives.of(named("c")), all);
  EXPECT_NE(directives.of(named("a")), all);
  const TestContainer* const before = &directives.container(all);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(directives.of(named("other" + std::to_string(i))), all);
  EXPECT_EQ(&directives.container(all), before) << "it stays where it is";
}

TEST(Directives, lists_are_replaced_or_added_to) {
  const std::string toml = R"toml(
[[directives]]
image = "docker://debian"
layers = [{ glob = "a" }]
environment = { A = "1", B = "1" }
mounts = [{ type = "tmp", mount_point = "/a" }]
[[directives]]
added_layers = [{ glob = "b" }]
added_environment = { B = "2", P = "$prev{A}:$prev{PATH}:$prev{NO:-x}" }
added_mounts = [{ type = "tmp", mount_point = "/b" }]
[[directives]]
filter = "name.equals(anew)"
layers = [{ glob = "c" }]
environment = { C = "3" }
mounts = []
)toml";
  const ContainerSpec added = of(toml).container;
  EXPECT_EQ(globs(added), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(added.environment, (std::map<std::string, std::string>{{"A", "1"}, {"B", "2"}, {"P", "1:$prev{PATH}:$prev{NO:-x}"}}));
  EXPECT_EQ(added.mounts.size(), 2u);
  const ContainerSpec anew = of(toml, "anew").container;
  EXPECT_EQ(globs(anew), std::vector<std::string>{"c"});
  EXPECT_EQ(anew.environment, (std::map<std::string, std::string>{{"C", "3"}}));
  EXPECT_TRUE(anew.mounts.empty());
  EXPECT_EQ(anew.image, "docker://debian");
}

TEST(Directives, an_image_resets_the_container_but_not_the_limits) {
  const ContainerSpec spec = of(R"toml(
[[directives]]
image = "docker://python:3"
requirements = "r.txt"
layers = [{ glob = "a" }]
environment = { A = "1" }
working_directory = "/a"
enable_writable_file_system = true
mounts = [{ type = "tmp", mount_point = "/a" }]
network = "local"
user = 1
group = 2
timeout = 3
pids = 4
[[directives]]
image = { name = "docker://alpine", use = ["layers"] }
cpus = 1.5
)toml")
                                 .container;
  ContainerSpec expected;
  expected.image = "docker://alpine";
  expected.use = {.env = false, .working_directory = false, .entrypoint = false, .user = false};
  expected.limits.wall = 3s;
  expected.limits.pids = 4;
  expected.limits.cpus = 1.5;
  EXPECT_EQ(spec, expected);
}

TEST(Directives, an_environment_may_begin_anew) {
  const ContainerSpec spec = of(R"toml(
[[directives]]
image = "docker://debian"
environment = [{ vars = { A = "1" }, extend = true }, { vars = { B = "$prev{A}2" }, extend = false }]
)toml")
                                 .container;
  EXPECT_EQ(spec.environment, (std::map<std::string, std::string>{{"B", "12"}}));
  EXPECT_FALSE(spec.use.env) << "nor the image's";
  EXPECT_NE(problem("[[directives]]\nenvironment = [{ vars = { A = \"1\" } }]").find("m.toml:2: 'extend' is missing"), std::string::npos);
}

TEST(Directives, containers_are_parents) {
  const std::string toml = R"toml(
[containers.child]
parent = { name = "base", use = ["layers", "user"] }
added_layers = [{ glob = "child" }]
[containers.base]
image = "docker://python:3.12"
layers = [{ glob = "base" }]
environment = { A = "1" }
user = 7
memory = "1M"
[[directives]]
user = 9
timeout = 5
[[directives]]
filter = "name.equals(child)"
parent = "child"
[[directives]]
filter = "name.equals(base)"
parent = "base"
user = 8
)toml";
  const ContainerSpec child = of(toml, "child").container;
  EXPECT_EQ(child.image, "docker://python:3.12");
  EXPECT_EQ(globs(child), (std::vector<std::string>{"base", "child"}));
  EXPECT_TRUE(child.environment.empty());
  EXPECT_FALSE(child.use.env);
  EXPECT_TRUE(child.use_layers);
  EXPECT_EQ(child.user, "7");
  EXPECT_EQ(child.limits.memory_bytes, 1u << 20);
  EXPECT_EQ(child.limits.wall, 5s);
  const ContainerSpec base = of(toml, "base").container;
  EXPECT_EQ(base.user, "8");
  EXPECT_EQ(base.environment.size(), 1u);
  EXPECT_EQ(problem("[containers.a]\nparent = \"b\"\n[containers.b]\nparent = \"a\""),
            "m.toml:3: a container is its own parent: a -> b -> a");
  EXPECT_EQ(problem("[containers.base]\n[[directives]]\n\nparent = \"bose\""),
            "m.toml:4: there is no container 'bose', did you mean 'base'?");
  EXPECT_EQ(problem("[[directives]]\nparent = \"x\""), "m.toml:2: there is no container 'x': write [containers.NAME]");
  EXPECT_EQ(problem("[[directives]]\nparent = \"x\"\nimage = \"y\""), "m.toml:2: either 'image' or 'parent', not both");
  EXPECT_EQ(problem("[containers.a]\nparent = { name = \"b\", use = [\"layer\"] }"),
            "m.toml:2: of a parent nothing is called 'layer', did you mean 'layers'?");
}

TEST(Directives, requirements_are_named_or_implied_by_an_image_called_python) {
  const TestContainer implied = of("[[directives]]\nimage = \"docker://python:3.11-slim\"");
  EXPECT_EQ(implied.requirements, "test-requirements.txt");
  EXPECT_TRUE(implied.requirements_implied);
  EXPECT_TRUE(implied.container.layers.empty());
  const TestContainer named =
      of("[[directives]]\nimage = \"docker://python\"\nrequirements = \"r.txt\"\nadded_layers = [{ glob = \"a\" }]");
  EXPECT_EQ(named.requirements, "r.txt");
  EXPECT_FALSE(named.requirements_implied);
  EXPECT_EQ(named.container.layers.size(), 1u);
  EXPECT_FALSE(of("[[directives]]\nimage = \"docker://alpine\"").requirements);
  EXPECT_EQ(of("[[directives]]\nrequirements = \"r.txt\"").requirements, "r.txt");
  for (const char* image : {"docker://python", "docker://python:3", "docker://library/python@sha256:0", "docker://h:5/x/python:3@sha256:0"})
    EXPECT_TRUE(is_python_image(image)) << image;
  for (const char* image : {"python", "docker://pythons", "oci:python", "docker://python/x", "docker://cpython:python", ""})
    EXPECT_FALSE(is_python_image(image)) << image;
}

TEST(Directives, the_host_s_network_goes_before_a_mount_of_sys) {
  const ContainerSpec spec = of(R"toml(
[[directives]]
mounts = [{ type = "sys", mount_point = "/sys" }, { type = "tmp", mount_point = "/tmp" }]
[[directives]]
network = "local"
)toml")
                                 .container;
  EXPECT_EQ(spec.mounts.size(), 1u);
  ASSERT_EQ(spec.notes.size(), 1u);
  EXPECT_NE(spec.notes[0].find("mount of sys is left out"), std::string::npos);
  EXPECT_NE(problem("[[directives]]\nnetwork = \"local\"\nmounts = [{ type = \"sys\", mount_point = \"/sys\" }]").find("don't go together"),
            std::string::npos);
}

TEST(Directives, shared_libraries_are_a_field_with_a_note) {
  const TestContainer made = of("[[directives]]\ninclude_shared_libraries = true\n[[directives]]\ninclude_shared_libraries = true");
  EXPECT_TRUE(made.include_shared_libraries);
  EXPECT_EQ(made.container.notes.size(), 1u);
}

TEST(Directives, the_command_line_goes_before_all_of_them) {
  const std::string toml =
      "[[directives]]\nimage = \"docker://python\"\ntimeout = 3\npids = 5\nmemory = \"1M\"\nretries = 1\n"
      "added_layers = [{ glob = \"a\" }]\nmounts = [{ type = \"sys\", mount_point = \"/sys\" }]";
  PytestRequest request;
  Directives same = parsed(toml);
  same.override_with(request);
  EXPECT_EQ(same.container(same.of_all()), of(toml)) << "which says nothing";
  request.image = "docker://alpine";
  request.timeout = 0ms;
  request.limits.pids = 6;
  request.network = Network::host;
  request.isolation = Isolation::cold;
  request.retries = 0;
  Directives directives = parsed(toml);
  directives.override_with(request);
  const TestContainer& made = directives.container(directives.of_all());
  EXPECT_EQ(made.container.image, "docker://alpine");
  EXPECT_FALSE(made.requirements) << "which an image called python implied";
  EXPECT_FALSE(made.container.limits.wall);
  EXPECT_EQ(made.container.limits.pids, 6u);
  EXPECT_EQ(made.container.limits.memory_bytes, 1u << 20);
  EXPECT_EQ(globs(made.container), Words{"a"});
  EXPECT_TRUE(made.container.mounts.empty()) << "sys would show the host's network";
  EXPECT_EQ(made.isolation, Isolation::cold);
  EXPECT_EQ(made.retries, 0u);
  request.image = "host";
  request.requirements = "r.txt";
  Directives none;
  none.override_with(request);
  EXPECT_FALSE(none.container(none.of_all()).container.image);
  EXPECT_EQ(none.container(none.of_all()).requirements, "r.txt");
  EXPECT_EQ(of("[[directives]]\nimage = \"host\""), TestContainer{});
}

TEST(Directives, errors_have_a_line_and_a_hint) {
  EXPECT_EQ(problem("[[directive]]"), "m.toml:1: this file has no field 'directive', did you mean 'directives'?");
  EXPECT_EQ(problem("[directives]"), "m.toml:1: directives must be a list of tables: [{ ... }]");
  EXPECT_EQ(problem("[[directives]]\n\ntimout = 3"), "m.toml:3: a directive has no field 'timout', did you mean 'timeout'?");
  EXPECT_EQ(problem("[[directives]]\nfilter = \"all && nome\""),
            "m.toml:2: filter: column 8: there is no selector 'nome', did you mean 'none'?");
  EXPECT_EQ(problem("[[directives]]\nisolation = \"tests\""),
            "m.toml:2: there is no isolation 'tests'; there are test, class, module, file, cold");
  EXPECT_EQ(problem("[[directives]]\nretries = -1"), "m.toml:2: retries must be a number from 0 to 100");
  EXPECT_EQ(problem("[[directives]]\nignore = 1"), "m.toml:2: ignore must be true or false");
  EXPECT_EQ(problem("containers = 1"), "m.toml:1: containers must be tables: [containers.NAME]");
  EXPECT_EQ(problem("[containers]\na = 1"), "m.toml:2: a container must be a table: [containers.NAME]");
  EXPECT_EQ(problem("[containers.a]\nfilter = \"all\"").find("a container has no field 'filter'"), 10u);
  EXPECT_NE(problem("[[directives]\n").find("m.toml:1: "), std::string::npos);
}

TEST(Directives, a_project_file_has_them_below_tool_casemate) {
  const std::string toml = "[project]\nname = \"x\"\n[tool.casemate]\nslots = 3\n[[tool.casemate.directives]]\ntimeout = 7\n";
  Directives directives = parsed(toml, "/srv/pyproject.toml");
  EXPECT_EQ(directives.container(directives.of_all()).container.limits.wall, 7s);
  EXPECT_EQ(directives.directory(), "/srv");
  EXPECT_EQ(parsed("[tool.other]\nx = 1\n", "/srv/pyproject.toml").file(), "");
  EXPECT_EQ(parsed("tool = 3", "/srv/pyproject.toml").file(), "");
  EXPECT_EQ(problem("[tool]\ncasemate = 3", "pyproject.toml"), "pyproject.toml:2: tool.casemate must be a table: [tool.casemate]");
}

// A directory of the test's own.
class DirectivesOfProject : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/var/tmp/casemate-directives-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(directory_ + "/" + name) << text; }

  std::string directory_;
};

TEST_F(DirectivesOfProject, the_tool_s_own_file_goes_before_the_project_s) {
  auto none = Directives::of_project(directory_);
  ASSERT_TRUE(none);
  EXPECT_EQ(none->file(), "");
  write("pyproject.toml", "[[tool.casemate.directives]]\npids = 3\n");
  auto project = Directives::of_project(directory_);
  ASSERT_TRUE(project) << project.error().what;
  EXPECT_EQ(project->container(project->of_all()).container.limits.pids, 3u);
  EXPECT_TRUE(project->notes().empty());
  write("maelstrom-pytest.toml", "[[directives]]\npids = 4\n");
  auto own = Directives::of_project(directory_);
  ASSERT_TRUE(own);
  EXPECT_EQ(own->container(own->of_all()).container.limits.pids, 4u);
  EXPECT_EQ(own->file(), directory_ + "/maelstrom-pytest.toml");
  ASSERT_EQ(own->notes().size(), 1u);
  EXPECT_EQ(own->notes()[0], "the directives of pyproject.toml are not looked at: maelstrom-pytest.toml has its own");
  write("pyproject.toml", "[[[");
  EXPECT_TRUE(Directives::of_project(directory_)) << "nor need it be right";
}

TEST(Directives, parents_are_shared_where_only_the_treatment_of_tests_differs) {
  const TestContainer plain = of("[[directives]]\nimage = 'docker://python:3.12'");
  for (const char* treatment : {"ignore = true", "isolation = 'module'", "retries = 2", "timeout = 5"})
    EXPECT_TRUE(can_share_parents(plain, of(std::string("[[directives]]\nimage = 'docker://python:3.12'\n") + treatment))) << treatment;
  for (const char* other : {"memory = '1M'", "network = 'local'", "user = 1", "requirements = 'x'", "added_environment = { A = 'b' }"})
    EXPECT_FALSE(can_share_parents(plain, of(std::string("[[directives]]\nimage = 'docker://python:3.12'\n") + other))) << other;
  EXPECT_FALSE(can_share_parents(plain, TestContainer{}));
}

}  // namespace
}  // namespace casemate
