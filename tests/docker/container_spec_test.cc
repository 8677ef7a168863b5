// A job as the Engine API's body, without any daemon.
#include "docker/container_spec.h"

#include <gtest/gtest.h>

#include "docker/api.h"

namespace casemate {
namespace {

Job job() {
  Job made;
  made.argv = {"true"};
  made.image = "x:1";
  return made;
}

ContainerSetting setting() { return {.label_value = "1-2-3-4", .witness = "/w", .token = "t", .image = "sha256:1"}; }

ErrorCode refusal(const Job& wrong, const ContainerSetting& given = setting()) {
  const auto spec = container_spec(wrong, given);
  return spec ? ErrorCode::internal : spec.error().code;
}

TEST(ContainerSpec, walls_are_always_there) {
  const auto spec = container_spec(job(), setting());
  ASSERT_TRUE(spec) << spec.error().what;
  const auto& host = spec->body["HostConfig"];
  EXPECT_EQ(host["CapDrop"], nlohmann::json({"ALL"}));
  EXPECT_EQ(host["SecurityOpt"], nlohmann::json({"no-new-privileges"}));
  EXPECT_EQ(host["NetworkMode"], "none");
  EXPECT_EQ(host["Privileged"], false);
  EXPECT_EQ(host["IpcMode"], "private");
  EXPECT_FALSE(host.contains("CapAdd"));
  EXPECT_EQ(spec->body["Labels"][std::string(kDockerLabel)], "1-2-3-4");
  EXPECT_EQ(spec->body["Image"], "sha256:1");
  EXPECT_EQ(spec->body["User"], "0:0");
  EXPECT_EQ(spec->body["OpenStdin"], false);
  EXPECT_FALSE(spec->watch_disk);
  EXPECT_FALSE(spec->watch_cpu);
}

TEST(ContainerSpec, limits) {
  Job given = job();
  given.limits = {.memory_bytes = 64u << 20, .pids = 10, .cpus = 1.5, .cpu_time = std::chrono::milliseconds(1500), .disk_bytes = 1u << 20};
  const auto spec = container_spec(given, setting());
  ASSERT_TRUE(spec) << spec.error().what;
  const auto& host = spec->body["HostConfig"];
  EXPECT_EQ(host["Memory"], 64u << 20);
  EXPECT_EQ(host["MemorySwap"], 64u << 20);
  EXPECT_EQ(host["PidsLimit"], 11);  // the witness is one
  EXPECT_EQ(host["NanoCpus"], 1'500'000'000);
  EXPECT_TRUE(spec->watch_disk);
  EXPECT_TRUE(spec->watch_cpu);
  bool cpu = false;
  for (const auto& limit : host["Ulimits"]) cpu |= limit["Name"] == "cpu" && limit["Hard"] == 2;
  EXPECT_TRUE(cpu);
}

TEST(ContainerSpec, a_job_inherits_nothing_of_the_images_environment) {
  Job given = job();
  given.env = {{"A", "1"}, {"PATH", "/bin"}};
  ContainerSetting with = setting();
  with.image_env = {"PATH=/usr/bin", "LANG=C", "A=2"};
  const auto spec = container_spec(given, with);
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->body["Env"], nlohmann::json({"A=1", "PATH=/bin", "HOSTNAME", "LANG"}));
  with.podman = true;
  EXPECT_EQ(container_spec(given, with)->body["Env"], nlohmann::json({"A=1", "PATH=/bin"}));
}

TEST(ContainerSpec, mounts) {
  Job given = job();
  given.mounts = {{.kind = Mount::Kind::bind, .source = "/etc", .target = "/e"},
                  {.kind = Mount::Kind::tmpfs, .target = "/t", .bytes = 4096, .mode = 01777},
                  {.kind = Mount::Kind::overlay, .target = "/o", .lower = {"/a", "/b"}}};
  given.collect = {"/o"};
  const auto spec = container_spec(given, setting());
  ASSERT_TRUE(spec) << spec.error().what;
  const auto& mounts = spec->body["HostConfig"]["Mounts"];
  EXPECT_EQ(mounts[0]["Target"], std::string(kWitnessPlace));
  EXPECT_EQ(mounts[1]["Source"], "/etc");
  EXPECT_EQ(mounts[1]["ReadOnly"], true);
  EXPECT_EQ(spec->body["HostConfig"]["Tmpfs"]["/t"], "rw,nosuid,nodev,exec,mode=1777,size=4096");
  ASSERT_EQ(spec->uploads.size(), 1u);
  EXPECT_EQ(spec->uploads[0].lower, (std::vector<std::string>{"/a", "/b"}));
}

TEST(ContainerSpec, a_daemon_elsewhere_gets_copies) {
  Job given = job();
  given.mounts = {{.kind = Mount::Kind::bind, .source = "/etc", .target = "/e"}};
  ContainerSetting far = setting();
  far.endpoint.kind = DockerEndpoint::Kind::tcp;
  const auto spec = container_spec(given, far);
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->uploads.size(), 1u);
  EXPECT_FALSE(spec->notes.empty());
  given.mounts[0].writable = true;
  EXPECT_EQ(refusal(given, far), ErrorCode::not_supported);
}

TEST(ContainerSpec, what_cannot_be_held_is_refused) {
  Job wrong = job();
  wrong.image = "host";
  EXPECT_EQ(refusal(wrong), ErrorCode::not_supported);
  wrong = job();
  wrong.argv = {"a\xff"};
  EXPECT_EQ(refusal(wrong), ErrorCode::not_supported);
  wrong = job();
  wrong.root = {"/x"};
  EXPECT_EQ(refusal(wrong), ErrorCode::invalid_input);
  wrong = job();
  wrong.capabilities = {"NONSENSE"};
  EXPECT_EQ(refusal(wrong), ErrorCode::invalid_input);
  wrong = job();
  wrong.limits.memory_bytes = 1u << 20;
  EXPECT_EQ(refusal(wrong), ErrorCode::not_supported);
  wrong = job();
  wrong.read_only = true;
  wrong.limits.disk_bytes = 1u << 20;
  wrong.mounts = {{.kind = Mount::Kind::overlay, .target = "/o"}};
  EXPECT_EQ(refusal(wrong), ErrorCode::not_supported);
  wrong = job();
  wrong.collect = {"/nowhere"};
  EXPECT_EQ(refusal(wrong), ErrorCode::invalid_input);
  wrong = job();
  wrong.mounts = {{.kind = Mount::Kind::tmpfs, .target = "/proc/x"}};
  EXPECT_EQ(refusal(wrong), ErrorCode::invalid_input);
  wrong = job();
  wrong.mounts = {{.kind = Mount::Kind::bind, .source = "/no/such/place", .target = "/x"}};
  EXPECT_EQ(refusal(wrong), ErrorCode::not_found);
}

}  // namespace
}  // namespace casemate
