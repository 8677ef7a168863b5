#include "image/container.h"

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace casemate {
namespace {

using namespace std::chrono_literals;

ContainerSpec parsed(std::string_view toml) {
  auto spec = parse_container(toml, "/srv/project/container.toml");
  EXPECT_TRUE(spec) << spec.error().what;
  return spec ? std::move(*spec) : ContainerSpec{};
}

std::string problem(std::string_view toml) {
  const auto spec = parse_container(toml, "c.toml");
  if (spec) return "it worked";
  EXPECT_EQ(spec.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(spec.error().what.find('\n'), std::string::npos);
  return spec.error().what;
}

LayerSpec layer(std::string_view toml) {
  auto made = parse_layer(toml);
  EXPECT_TRUE(made) << made.error().what;
  return made ? std::move(*made) : LayerSpec{};
}

std::vector<Mount> mounts(std::string_view toml) {
  auto made = parse_mount_table(toml, "/srv/project");
  EXPECT_TRUE(made) << made.error().what;
  return made ? std::move(*made) : std::vector<Mount>{};
}

TEST(Container, reads_all_fields) {
  const ContainerSpec spec = parsed(R"(
image = "docker://python:3.11-slim"
requirements = "test-requirements.txt"
layers = [{ stubs = ["/{proc,sys,tmp}/"] }, { tar = "data.tar.zst" }]
added_layers = [{ glob = "**.py", exclude = ["build"], strip_prefix = "src" }]
environment = { USER = "bob", HOME = "/root" }
added_environment = { HOME = "$env{HOME}" }
working_directory = "/app"
enable_writable_file_system = true
mounts = [{ type = "tmp", mount_point = "/tmp" }]
added_mounts = [{ type = "bind", mount_point = "/data", local_path = "/usr", read_only = true }]
network = "loopback"
user = 1000
group = "staff"
timeout = 30
memory = "512M"
pids = 64
cpus = 1.5
disk = 1048576
)");
  EXPECT_EQ(spec.image, "docker://python:3.11-slim");
  EXPECT_TRUE(spec.use_layers && spec.use.env && spec.use.working_directory && !spec.use.entrypoint && !spec.use.user);
  ASSERT_EQ(spec.layers.size(), 4u);
  EXPECT_EQ(spec.layers[0], LayerSpec(EnvironmentLayer{"test-requirements.txt", true}))
      << "below the project: an edit does not make it anew";
  EXPECT_EQ(spec.layers[1], LayerSpec(StubsLayer{{"/{proc,sys,tmp}/"}}));
  EXPECT_EQ(spec.layers[2], LayerSpec(TarLayer{"data.tar.zst"}));
  EXPECT_EQ(spec.layers[3], LayerSpec(GlobLayer{"**.py", {"build"}, {.strip_prefix = "src"}}));
  EXPECT_EQ(spec.environment, (std::map<std::string, std::string>{{"HOME", "$env{HOME}"}, {"USER", "bob"}}));
  EXPECT_EQ(spec.working_directory, "/app");
  EXPECT_TRUE(spec.enable_writable_file_system);
  ASSERT_EQ(spec.mounts.size(), 2u);
  EXPECT_EQ(spec.mounts[1].source, "/usr");
  EXPECT_EQ(spec.network, Network::none);
  EXPECT_EQ(spec.user, "1000");
  EXPECT_EQ(spec.group, "staff");
  EXPECT_EQ(spec.limits.wall, 30'000ms);
  EXPECT_EQ(spec.limits.memory_bytes, 512u << 20);
  EXPECT_EQ(spec.limits.pids, 64u);
  EXPECT_EQ(spec.limits.cpus, 1.5);
  EXPECT_EQ(spec.limits.disk_bytes, 1u << 20);
}

TEST(Container, what_is_not_said_is_unset) {
  const ContainerSpec spec = parsed("");
  EXPECT_FALSE(spec.image || spec.working_directory || spec.network || spec.user || spec.group);
  EXPECT_EQ(spec.limits, Limits());
  EXPECT_FALSE(parsed("timeout = 0").limits.wall);
  EXPECT_EQ(parsed("timeout = 1.5").limits.wall, 1'500ms);
  EXPECT_EQ(parsed("timeout = \"2m\"").limits.wall, 120'000ms);
  EXPECT_EQ(parsed("network = \"local\"").network, Network::host);
  EXPECT_EQ(parsed("network = \"outbound\"").network, Network::outbound);
  EXPECT_EQ(parsed("network = \"none\"").network, Network::none);
  EXPECT_EQ(parsed("network = \"host\"").network, Network::host);
  EXPECT_EQ(parsed("cpus = 2").limits.cpus, 2.0);
  EXPECT_EQ(parsed("include_shared_libraries = true").notes.size(), 1u);
}

TEST(Container, an_image_s_parts_are_used_by_name) {
  const ContainerSpec spec = parsed(R"(image = { name = "oci:image", use = ["layers", "user"] })");
  EXPECT_EQ(spec.image, "oci:image");
  EXPECT_TRUE(spec.use_layers && spec.use.user);
  EXPECT_FALSE(spec.use.env || spec.use.working_directory || spec.use.entrypoint);
  EXPECT_TRUE(parsed(R"(image = { name = "oci:image" })").use.env);
  EXPECT_EQ(problem("image = { name = \"x\", use = [\"layer\"] }"),
            "c.toml:1: of an image nothing is called 'layer', did you mean 'layers'?");
  EXPECT_EQ(problem("image = { use = [\"layers\"] }"), "c.toml:1: 'name' is missing");
}

TEST(Container, errors_have_a_line_and_a_hint) {
  EXPECT_EQ(problem("\n\nnetwrok = \"local\""), "c.toml:3: a container has no field 'netwrok', did you mean 'network'?");
  EXPECT_EQ(problem("network = \"loopbak\""), "c.toml:1: there is no network 'loopbak', did you mean 'loopback'?");
  EXPECT_EQ(problem("image = \"a\"\ntimeout = \"soon\""), "c.toml:2: timeout must be seconds, 0 for none: 30, 1.5 or \"2m\"");
  EXPECT_EQ(problem("layers = [\n  { glob = \"a\" },\n  { glob = 3 },\n]"), "c.toml:3: glob must be a string, in quotes");
  EXPECT_EQ(problem("layers = [{ globs = \"a\" }]"), "c.toml:1: a layer has no field 'globs', did you mean 'glob'?");
  EXPECT_EQ(problem("layers = [{ glob = \"a\", tar = \"b\" }]"), "c.toml:1: a layer is either 'tar' or 'glob', not both");
  EXPECT_EQ(problem("layers = [{ tar = \"a\", strip_prefix = \"b\" }]"),
            "c.toml:1: a layer of 'tar' has no field 'strip_prefix'; known are tar");
  EXPECT_EQ(problem("mounts = [{ type = \"ramfs\", mount_point = \"/a\" }]"),
            "c.toml:1: no mount has the type 'ramfs'; known are tmp, proc, sys, dev, devices, mqueue, devpts, bind");
  EXPECT_NE(problem("pids = 3\nmemory = 512M").find("a size with a unit is written in quotes: \"512M\""), std::string::npos);
  EXPECT_NE(problem("mounts = [{ type = \"tmp\", mount_point = \"/a\", size = 1G }]").find("in quotes"), std::string::npos);
  EXPECT_NE(problem("timeout = 2m\n").find("in quotes: \"2m\""), std::string::npos);
  EXPECT_EQ(problem("memory = 512\npids = 3M").find("in quotes"), std::string::npos);
  EXPECT_EQ(problem("mounts = [{ type = \"tmp\" }]"), "c.toml:1: 'mount_point' is missing");
  EXPECT_NE(problem("mounts = [{ type = \"tmp\", mount_point = \"/a/../b\" }]").find("'..'"), std::string::npos);
  EXPECT_EQ(problem("environment = { A = 1 }"), "c.toml:1: A of environment must be a string, in quotes");
  EXPECT_NE(problem("image = \"a\"\nimage = \"b\"").find("c.toml:2: "), std::string::npos);
  EXPECT_NE(problem("memory = -1").find("c.toml:1: memory must be a size"), std::string::npos);
  EXPECT_NE(problem("cpus = true").find("cpus must be"), std::string::npos);
  EXPECT_NE(problem("cpus = nan").find("cpus must be"), std::string::npos);
  EXPECT_NE(problem("timeout = true").find("timeout must be"), std::string::npos);
  EXPECT_NE(problem("user = -1").find("user must be"), std::string::npos);
  EXPECT_NE(problem("network = \"local\"\nmounts = [{ type = \"sys\", mount_point = \"/sys\" }]").find("don't go together"),
            std::string::npos);
}

TEST(Container, layers_of_each_kind) {
  EXPECT_EQ(layer(R"({ paths = ["a", "b"], prepend_prefix = "/x", canonicalize = true, follow_symlinks = true })"),
            LayerSpec(PathsLayer{{"a", "b"}, {"", "/x", true, true}}));
  EXPECT_EQ(layer(R"({ symlinks = [{ link = "/dev/fd", target = "/proc/self/fd" }] })"),
            LayerSpec(SymlinksLayer{{{"/dev/fd", "/proc/self/fd"}}}));
  EXPECT_EQ(layer(R"({ command = ["apt-get", "update"] })"), LayerSpec(CommandLayer{{"apt-get", "update"}}));
  EXPECT_EQ(layer(R"({ command = "apt-get", arguments = ["update"] })"), LayerSpec(CommandLayer{{"apt-get", "update"}}));
  EXPECT_EQ(layer(R"({ requirements = "r.txt" })"), LayerSpec(EnvironmentLayer{"r.txt"}));
  EXPECT_NE(parse_layer("{ shared_library_dependencies = [\"/bin/sh\"] }").error().what.find("not supported"), std::string::npos);
  EXPECT_EQ(parse_layer("{ glbo = \"a\" }").error().what, "layer: a layer has no field 'glbo', did you mean 'glob'?");
  EXPECT_FALSE(parse_layer("{ glob = \"a\" }\nx = 1"));
  EXPECT_FALSE(parse_layer("1"));
  EXPECT_FALSE(parse_layer(""));
  EXPECT_FALSE(parse_layer("{ command = [] }"));
}

TEST(Container, mounts_of_each_type) {
  EXPECT_EQ(mounts(R"({ type = "tmp", mount_point = "/tmp", size = "1M" })"),
            (std::vector<Mount>{{.kind = Mount::Kind::tmpfs, .target = "/tmp", .bytes = 1 << 20, .mode = 01777}}));
  EXPECT_EQ(mounts(R"({ type = "proc", mount_point = "/proc" })"), (std::vector<Mount>{{.kind = Mount::Kind::proc, .target = "/proc"}}));
  EXPECT_EQ(mounts(R"({ type = "sys", mount_point = "/sys" })")[0].kind, Mount::Kind::sysfs);
  EXPECT_EQ(mounts(R"({ type = "mqueue", mount_point = "/dev/mqueue" })")[0].kind, Mount::Kind::mqueue);
  EXPECT_EQ(mounts(R"({ type = "devpts", mount_point = "/dev/pts" })")[0].kind, Mount::Kind::devpts);
  const auto bind = mounts(R"({ type = "bind", mount_point = "/x", local_path = "/host" })");
  EXPECT_EQ(bind[0].source, "/host");
  EXPECT_TRUE(bind[0].writable && bind[0].owned);
  const auto devices = mounts(R"({ type = "devices", devices = ["null", "shm", "fuse"] })");
  ASSERT_EQ(devices.size(), 3u);
  EXPECT_EQ(devices[0], (Mount{.kind = Mount::Kind::device, .source = "null", .target = "/dev/null"}));
  EXPECT_EQ(devices[1], (Mount{.kind = Mount::Kind::tmpfs, .target = "/dev/shm", .mode = 01777}));
  EXPECT_EQ(devices[2].source, "fuse");
  EXPECT_EQ(mounts(R"({ type = "dev", mount_point = "/other/dev" })").size(), 6u);
  EXPECT_EQ(parse_mount_table(R"({ type = "devices", devices = ["nul"] })", "/").error().what,
            "mount: there is no device 'nul' for cells, did you mean 'null'?");
}

TEST(Container, a_bind_of_what_every_cell_has_means_the_cell_s_own) {
  EXPECT_EQ(mounts(R"({ type = "bind", mount_point = "/sys", local_path = "/sys/" })"),
            (std::vector<Mount>{{.kind = Mount::Kind::sysfs, .target = "/sys"}}));
  EXPECT_EQ(mounts(R"({ type = "bind", mount_point = "/dev/null", local_path = "/dev/null" })"),
            (std::vector<Mount>{{.kind = Mount::Kind::device, .source = "null", .target = "/dev/null"}}));
  EXPECT_EQ(mounts(R"({ type = "bind", mount_point = "/x", local_path = "/sys" })")[0].kind, Mount::Kind::bind);
  EXPECT_EQ(mounts(R"({ type = "bind", mount_point = "/dev/sda", local_path = "/dev/sda" })")[0].kind, Mount::Kind::bind);
  EXPECT_EQ(mounts(R"({ type = "tmpfs", mount_point = "/x" })")[0].kind, Mount::Kind::tmpfs);
}

TEST(Container, a_local_path_is_of_the_file_s_directory_and_must_be_there) {
  const auto missing =
      parse_container("pids = 1\nmounts = [{ type = \"bind\", mount_point = \"/x\", local_path = \"./no\\u001bpe\" }]", "c.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_TRUE(missing.error().what.starts_with("c.toml:2: local_path './no")) << missing.error().what;
  EXPECT_NE(missing.error().what.find("no such file"), std::string::npos) << missing.error().what;
  EXPECT_EQ(missing.error().what.find('\x1b'), std::string::npos);
  const auto here = parse_container("mounts = [{ type = \"bind\", mount_point = \"/x\", local_path = \".\" }]", "c.toml");
  ASSERT_TRUE(here) << here.error().what;
  EXPECT_TRUE(here->mounts[0].source.starts_with('/')) << here->mounts[0].source;
}

TEST(Container, hostile_files_get_a_line) {
  EXPECT_NE(problem("a = " + std::string(100'000, '[')).find("c.toml:1: "), std::string::npos);
  std::string braces = "a = ";
  for (int i = 0; i < 100'000; ++i) braces += "{a=";
  EXPECT_NE(problem(braces).find("c.toml:1: "), std::string::npos);
  std::string dots = "\n\na";
  for (int i = 0; i < 300'000; ++i) dots += ".a";
  EXPECT_EQ(problem(dots + " = 1"), "c.toml:3: a key of more than 32 parts");
  EXPECT_EQ(problem("[" + dots.substr(2) + "]"), "c.toml:1: a key of more than 32 parts");
  EXPECT_NE(problem("a = {" + dots.substr(2) + " = 1}").find("32 parts"), std::string::npos);
  EXPECT_NE(problem("\"x\"" + dots.substr(3) + " = 1").find("32 parts"), std::string::npos);
  EXPECT_EQ(problem(std::string((1 << 20) + 1, '#')), "c.toml:1: is larger than 1 MiB");
  EXPECT_NE(problem(std::string("image = \"a\0b\"", 13)).find("c.toml:1: "), std::string::npos);
  EXPECT_NE(problem("image = \"a\\u0000b\"").find("NUL"), std::string::npos);
  EXPECT_NE(problem("image = \"\xff\"").find("c.toml:1: "), std::string::npos);
  EXPECT_NE(problem("\"a\\nb\\u001b\" = 1").find("c.toml:1: "), std::string::npos);
  for (const char* text : {"[", "=", "a", "a=", "\"", "'''", "\"\"\"\\", "[[x]]\n[x]", "a=1979-05-27T07:32:00Z", "\xef\xbb\xbf="})
    EXPECT_NE(problem(text).find("c.toml:"), std::string::npos) << text;
  // U+0252 outside of quotes: toml++ 3.3.0 itself has no answer to whether that is white space.
  EXPECT_NE(problem("{ co\xc9\x92 = 1").find("c.toml:1: "), std::string::npos);
  EXPECT_NE(problem("co\xc9\x92 = 1").find("c.toml:1: "), std::string::npos);
  EXPECT_NE(problem("a = \xc2\xa1").find("c.toml:1: "), std::string::npos);
  EXPECT_EQ(parsed("environment = { \"\xc9\x92\" = \"\xc9\x92\" } # \xc9\x92").environment.size(), 1u);
  const std::string dotted =
      "environment = { A = \"" + std::string(100, '.') + "\", B = '''" + std::string(100, '.') + "''' } # " + std::string(100, '.') + "\n";
  EXPECT_EQ(parsed(dotted).environment.size(), 2u);
}

// Everything in backquotes and braces of one section of the guide.
std::vector<std::string> examples(const std::string& guide, const std::string& section) {
  const std::size_t start = guide.find("## " + section + "\n");
  EXPECT_NE(start, std::string::npos);
  const std::string text = guide.substr(start, guide.find("\n## ", start) - start);
  std::vector<std::string> found;
  for (std::size_t at = text.find("`{ "); at != std::string::npos; at = text.find("`{ ", at + 1))
    found.push_back(text.substr(at + 1, text.find('`', at + 1) - at - 1));
  return found;
}

TEST(Container, the_guide_s_examples_are_right) {
  std::ostringstream text;
  text << std::ifstream(CASEMATE_SOURCE_DIR "/docs/guide/containers.md").rdbuf();
  const std::string guide = text.str();
  const std::size_t start = guide.find("```toml\n") + 8;
  EXPECT_EQ(parsed(guide.substr(start, guide.find("```", start) - start)).layers.size(), 2u);
  EXPECT_EQ(examples(guide, "Layers").size(), 7u);
  for (const std::string& example : examples(guide, "Layers")) layer(example);
  EXPECT_EQ(examples(guide, "Mounts").size(), 5u);
  for (const std::string& example : examples(guide, "Mounts")) EXPECT_FALSE(mounts(example).empty());
}

}  // namespace
}  // namespace casemate
