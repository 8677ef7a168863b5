#include "command/run_arguments.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>
#include <unistd.h>

#include "command/mounts.h"
#include "command/root_options.h"

namespace casemate {
namespace {

using Words = std::vector<std::string>;
using Kind = ImageReference::Kind;

RunRequest parsed(const Words& arguments) {
  const ParsedRun run = parse_run(arguments, "casemate run");
  EXPECT_FALSE(run.stop) << run.text;
  return run.request;
}

std::string problem(const Words& arguments) {
  const ParsedRun run = parse_run(arguments, "casemate run");
  EXPECT_TRUE(run.stop);
  EXPECT_EQ(run.exit_status, 125);
  EXPECT_EQ(std::count(run.text.begin(), run.text.end(), '\n'), 0) << run.text;
  return run.text;
}

TEST(RunArguments, without_options_the_job_is_complete_and_of_the_host) {
  for (const Words& arguments : {Words{"true"}, Words{"--", "true"}, Words{"--memory", "64m", "true"}, Words{"--image", "host", "true"}}) {
    const RunRequest request = parsed(arguments);
    EXPECT_FALSE(request.root);
    EXPECT_EQ(request.job.image, "host");
    EXPECT_EQ(request.job.cwd, "/app");
    EXPECT_EQ(request.job.env.at("HOME"), "/root");
    EXPECT_TRUE(request.job.env.contains("PATH"));
  }
}

TEST(RunArguments, an_image_leaves_open_what_it_may_say) {
  const RunRequest request = parsed({"--image", "docker://python:3.11-slim", "-e", "A=b"});
  ASSERT_TRUE(request.root);
  EXPECT_EQ(request.root->image.kind, Kind::registry);
  EXPECT_EQ(request.root->image.tag, "3.11-slim");
  EXPECT_TRUE(request.job.argv.empty());
  EXPECT_EQ(request.job.cwd, "");
  EXPECT_EQ(request.job.env, (std::map<std::string, std::string>{{"A", "b"}}));
  EXPECT_EQ(request.root->pull.policy, PullOptions::Policy::missing);
  EXPECT_FALSE(request.root->policy_chosen);
  EXPECT_EQ(request.root->lock, "");
  const ConfigUse& use = request.root->use;
  EXPECT_TRUE(use.env && use.working_directory && use.entrypoint && use.user);
}

TEST(RunArguments, registries_are_reached_as_asked) {
  const RunRequest request = parsed({"--image", "docker://a", "--pull", "always", "--platform", "linux/arm64", "--tls-verify=false",
                                     "--authfile", "auth", "--cert-dir", "certs", "--lock", "true"});
  const PullOptions& pull = request.root->pull;
  EXPECT_EQ(pull.policy, PullOptions::Policy::always);
  EXPECT_TRUE(request.root->policy_chosen);
  EXPECT_EQ(pull.platform.architecture, "arm64");
  EXPECT_FALSE(pull.access.verify_tls);
  EXPECT_EQ(pull.access.authfile, "auth");
  EXPECT_EQ(pull.access.cert_directory, "certs");
  EXPECT_EQ(request.root->lock, "casemate.lock");
  EXPECT_EQ(request.job.argv, Words{"true"}) << "--lock takes a file after '=' only";
  EXPECT_EQ(parsed({"--image", "docker://a", "--lock=other", "true"}).root->lock, "other");
  EXPECT_TRUE(parsed({"--image", "docker://a", "--tls-verify=true", "true"}).root->pull.access.verify_tls);
  EXPECT_TRUE(parsed({"--image", "docker://a", "--tls-verify", "true"}).root->pull.access.verify_tls);
}

TEST(RunArguments, of_the_config_what_was_asked_for) {
  const auto use = [](const std::string& text) { return parsed({"--image", "docker://a", "--image-config", text, "x"}).root->use; };
  EXPECT_TRUE(use("all").user);
  EXPECT_FALSE(use("none").env || use("none").working_directory || use("none").entrypoint || use("none").user);
  EXPECT_TRUE(use("env,workdir").env && use("env,workdir").working_directory);
  EXPECT_FALSE(use("env,workdir").user || use("env,workdir").entrypoint);
  EXPECT_NE(problem({"--image", "docker://a", "--image-config", "env,", "x"}).find("env,workdir,entrypoint,user"), std::string::npos);
}

TEST(RunArguments, an_entrypoint_takes_the_place_of_the_images) {
  RunRequest request = parsed({"--image", "docker://a", "--entrypoint", "sh", "--", "-c", "x"});
  EXPECT_EQ(request.root->entrypoint, "sh");
  EXPECT_FALSE(request.root->use.entrypoint);
  EXPECT_EQ(request.job.argv, (Words{"-c", "x"}));
  EXPECT_EQ(parsed({"--image", "docker://a", "--entrypoint", "", "true"}).root->entrypoint, "");
  EXPECT_EQ(parsed({"--entrypoint", "true"}).root->entrypoint, "true") << "on the host as well";
}

TEST(RunArguments, users_by_name_are_the_images_matter) {
  EXPECT_EQ(parsed({"--image", "docker://a", "-u", "worker:crew", "true"}).user, "worker:crew");
  EXPECT_EQ(parsed({"-u", "1000:1001", "true"}).job.user, (User{1000, 1001}));
  EXPECT_NE(problem({"-u", "worker", "true"}).find("not a numeric user"), std::string::npos);
}

TEST(RunArguments, what_makes_no_sense_is_one_line) {
  EXPECT_EQ(problem({"--image", "python:3"}), "casemate run: image 'python:3': did you mean docker://python:3?");
  EXPECT_NE(problem({"--image", "host"}).find("no command"), std::string::npos);
  EXPECT_NE(problem({}).find("no command"), std::string::npos);
  EXPECT_NE(problem({"--image", "docker://a", "--pull", "maybe"}).find("missing, always or never"), std::string::npos);
  EXPECT_NE(problem({"--image", "docker://a", "--platform", "amd64"}).find("OS/ARCHITECTURE"), std::string::npos);
}

TEST(RunMounts, kinds_have_their_usual_places) {
  using M = Mount::Kind;
  for (const auto& [text, kind, target] :
       {std::tuple{"type=proc", M::proc, "/proc"}, std::tuple{"type=sysfs", M::sysfs, "/sys"},
        std::tuple{"type=mqueue", M::mqueue, "/dev/mqueue"}, std::tuple{"type=devpts", M::devpts, "/dev/pts"},
        std::tuple{"type=sysfs,target=/other", M::sysfs, "/other"}}) {
    const auto mount = parse_mount(text);
    ASSERT_TRUE(mount) << text;
    EXPECT_EQ(mount->kind, kind);
    EXPECT_EQ(mount->target, target);
  }
}

TEST(RunMounts, devices_go_by_their_names) {
  for (const char* text : {"type=device,source=null", "type=device,src=/dev/null,dst=/dev/null"}) {
    const auto mount = parse_mount(text);
    ASSERT_TRUE(mount) << text;
    EXPECT_EQ(mount->kind, Mount::Kind::device);
    EXPECT_EQ(mount->source, "null");
    EXPECT_EQ(mount->target, "/dev/null");
  }
}

TEST(RunMounts, what_a_kind_does_not_have_is_refused) {
  EXPECT_NE(parse_mount("type=proc,source=/x").error().what.find("a proc has no source"), std::string::npos);
  EXPECT_NE(parse_mount("type=device,target=/dev/x").error().what.find("has no source="), std::string::npos);
  EXPECT_NE(parse_mount("type=bind,target=/x").error().what.find("has no source="), std::string::npos);
  EXPECT_NE(parse_mount("type=tmpfs,target=/x,readonly").error().what.find("readonly is for binds"), std::string::npos);
  EXPECT_NE(parse_mount("type=overlay,source=/etc,target=/x,ro").error().what.find("readonly is for binds"), std::string::npos);
  EXPECT_NE(parse_mount("type=tmpfs").error().what.find("has no target="), std::string::npos);
  EXPECT_NE(parse_mount("type=volume,source=a,target=/x").error().what.find("volume"), std::string::npos);
}

TEST(RunMounts, binds_and_overlays_are_as_they_were) {
  const auto bind = parse_mount("type=bind,source=/etc,target=/x,readonly");
  ASSERT_TRUE(bind);
  EXPECT_EQ(*bind, (Mount{.kind = Mount::Kind::bind, .source = "/etc", .target = "/x"}));
  const auto overlay = parse_mount("type=overlay,source=/etc,target=/x");
  ASSERT_TRUE(overlay);
  EXPECT_EQ(overlay->lower, Words{"/etc"});
  EXPECT_TRUE(overlay->writable && overlay->owned);
}

// What a container's file says, and what of it the command line's words replace.
TEST(RunContainer, the_command_line_wins_over_the_file) {
  char name[] = "/tmp/casemate-container-XXXXXX";
  const int fd = ::mkstemp(name);
  ASSERT_GE(fd, 0);
  const std::string toml =
      "image = { name = \"oci:box\", use = [\"environment\"] }\n"
      "working_directory = \"/srv\"\nuser = \"worker\"\nnetwork = \"local\"\ntimeout = 5\n"
      "mounts = [{ type = \"tmp\", mount_point = \"/a\" }, { type = \"tmp\", mount_point = \"/b\" }]\n";
  ASSERT_EQ(::write(fd, toml.data(), toml.size()), static_cast<ssize_t>(toml.size()));
  ::close(fd);
  RunRequest request = parsed({"--container", name, "true"});
  ASSERT_TRUE(request.root);
  EXPECT_EQ(request.root->image.path, "/tmp/box") << "beside the file";
  EXPECT_EQ(request.root->lock, "/tmp/casemate.lock");
  EXPECT_FALSE(request.root->lock_grows);
  EXPECT_FALSE(request.root->image_layers);
  EXPECT_EQ(request.root->user, "worker");
  EXPECT_EQ(request.job.cwd, "/srv");
  EXPECT_EQ(request.job.network, Network::host);
  EXPECT_EQ(request.job.limits.wall, std::chrono::seconds(5));
  EXPECT_EQ(request.job.mounts.size(), 2u);
  EXPECT_TRUE(request.job.read_only);
  request = parsed(
      {"--container", name, "--image", "docker://a", "-w", "/", "--network", "none", "--timeout", "1", "--tmpfs", "/b:size=64k", "true"});
  EXPECT_EQ(request.root->image.kind, Kind::registry);
  EXPECT_TRUE(request.root->use.entrypoint) << "docker's, for an image of the command line";
  EXPECT_TRUE(request.root->image_layers);
  EXPECT_EQ(request.root->lock, "");
  EXPECT_EQ(request.job.cwd, "/");
  EXPECT_EQ(request.job.network, Network::none);
  EXPECT_EQ(request.job.limits.wall, std::chrono::seconds(1));
  ASSERT_EQ(request.job.mounts.size(), 2u);
  EXPECT_EQ(request.job.mounts[1].bytes, 64u << 10);
  EXPECT_NE(problem({"--container", "/no/such/file", "true"}).find("/no/such/file"), std::string::npos);
  ::unlink(name);
}

TEST(RunContainer, values_take_the_callers_and_the_images_variables_in) {
  ::setenv("CASEMATE_TEST_VALUE", "mine", 1);
  ::unsetenv("CASEMATE_TEST_NONE");
  const std::map<std::string, std::string> before = {{"PATH", "/bin"}};
  EXPECT_EQ(*expand_value("plain $x {y} $", before), "plain $x {y} $");
  EXPECT_EQ(*expand_value("$env{CASEMATE_TEST_VALUE}:$prev{PATH}", before), "mine:/bin");
  EXPECT_EQ(*expand_value("$env{CASEMATE_TEST_NONE:-else}$prev{NONE:-}", before), "else");
  EXPECT_NE(expand_value("$env{CASEMATE_TEST_NONE}", before).error().what.find("CASEMATE_TEST_NONE"), std::string::npos);
  EXPECT_NE(expand_value("$prev{NONE}", before).error().what.find("the image's environment"), std::string::npos);
  EXPECT_FALSE(expand_value("$env{open", before));
  ::unsetenv("CASEMATE_TEST_VALUE");
}

}  // namespace
}  // namespace casemate
