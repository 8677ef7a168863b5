// Images, networks and events of real daemons.
#include <csignal>
#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "daemon_scratch.h"
#include "docker/credentials.h"
#include "docker/events.h"
#include "docker/images.h"
#include "docker/networks.h"
#include "docker/tar.h"

namespace casemate {
namespace {

class Images : public EachDaemon {
 protected:
  void SetUp() override {
    EachDaemon::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    images_ = std::make_unique<DockerImages>(*api_);
    scratch_ = daemon_->top() / "scratch";
    fs::remove_all(scratch_);
    fs::create_directories(scratch_ / "docker");
    ::setenv("DOCKER_CONFIG", (scratch_ / "docker").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("DOCKER_CONFIG");
    images_.reset();
  }
  TellDocker tell() {
    return [this](std::string_view line) { said_ += std::string(line) + "\n"; };
  }
  Result<DockerImage> get(const std::string& reference, DockerPull policy = DockerPull::missing) {
    std::optional<Result<DockerImage>> got;
    images_->get(reference, policy, tell(), [&got](Result<DockerImage> image) { got = std::move(image); });
    turn_until([&got] { return got.has_value(); });
    return std::move(*got);
  }
  Result<DockerImage> build(const std::string& tag, const std::string& dockerfile = "Dockerfile") {
    std::optional<Result<DockerImage>> got;
    images_->build(scratch_ / "context", dockerfile, tag, tell(), [&got](Result<DockerImage> image) { got = std::move(image); });
    turn_until([&got] { return got.has_value(); });
    return std::move(*got);
  }
  Result<std::uint64_t> prune(std::uint64_t keep) {
    std::optional<Result<std::uint64_t>> got;
    images_->prune(keep, [&got](Result<std::uint64_t> freed) { got = std::move(freed); });
    turn_until([&got] { return got.has_value(); });
    return std::move(*got);
  }
  void write(const std::string& path, const std::string& text) {
    const fs::path file = scratch_ / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }
  // What a container of the image prints.
  std::string output_of(const std::string& image, const std::string& line) {
    const auto made =
        ask("POST", "/containers/create",
            nlohmann::json{{"Image", image}, {"Cmd", {"/bin/sh", "-c", line}}, {"HostConfig", {{"NetworkMode", "none"}}}}.dump());
    EXPECT_EQ(made->status, 201) << made->body;
    const std::string id = nlohmann::json::parse(made->body).value("Id", "");
    EXPECT_EQ(ask("POST", "/containers/" + id + "/start")->status, 204);
    EXPECT_EQ(ask("POST", "/containers/" + id + "/wait")->status, 200);
    std::string logs = ask("GET", "/containers/" + id + "/logs?stdout=1&stderr=1")->body;
    remove(id);
    return logs;
  }
  // docker-registry on the daemon's own loopback; its port.
  int serve(const std::string& more = "") {
    if (program_on_path("docker-registry").empty()) return 0;
    static int next = kFirstRegistryPort;  // nobody else is on that loopback
    const int port = next++;
    write("registry.yml", fmt::format("version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}/registry}}}}\n"
                                      "http:\n  addr: 127.0.0.1:{}\n{}",
                                      scratch_.string(), port, more));
    registry_.emplace(std::vector<std::string>{"/usr/bin/nsenter", "-t", std::to_string(daemon_->inside()), "-n", "--",
                                               program_on_path("docker-registry"), "serve", scratch_ / "registry.yml"},
                      scratch_ / "registry.log");
    const auto listening = [this] {
      std::ostringstream log;
      log << std::ifstream(scratch_ / "registry.log").rdbuf();
      return log.str().find("listening on") != std::string::npos;
    };
    turn_until(listening);
    return port;
  }
  // Sends an image with a file of 3 MB that no image had before to its registry; the daemon itself does not keep it.
  void push(const std::string& name, const std::string& auth = "e30=") {
    std::string noise(3'000'000, '\0');
    std::ifstream("/dev/urandom", std::ios::binary).read(noise.data(), static_cast<std::streamsize>(noise.size()));
    const TarEntry entry{.path = "noise", .size = noise.size(), .mode = 0644};
    DockerRequest import{.method = "POST", .path = "/images/create?" + docker_query({{"fromSrc", "-"}, {"repo", name}})};
    import.content_type = "application/x-tar";
    import.produce = [tar = tar_head(entry) + noise + tar_padding(noise.size()) + tar_end()]() mutable -> Result<std::string> {
      return std::exchange(tar, {});
    };
    const auto imported = ask(std::move(import));
    ASSERT_EQ(imported->status, 200) << imported->body;
    const std::size_t colon = name.rfind(':');
    DockerRequest request{.method = "POST"};
    request.path = "/images/" + name.substr(0, colon) + "/push?" + docker_query({{"tag", name.substr(colon + 1)}, {"tlsVerify", "false"}});
    request.headers = {"X-Registry-Auth: " + auth};
    const auto pushed = ask(request);
    ASSERT_TRUE(pushed) << pushed.error().what;
    ASSERT_EQ(pushed->status, 200) << pushed->body;
    ASSERT_EQ(pushed->body.find("\"error\""), std::string::npos) << pushed->body;
    drop(name);
  }
  void drop(const std::string& name) { ask("DELETE", "/images/" + name + "?force=1"); }

  std::unique_ptr<DockerImages> images_;
  fs::path scratch_;
  std::string said_;
  std::optional<Program> registry_;
};
INSTANTIATE_TEST_SUITE_P(Real, Images, each_kind(), name_of_kind);

TEST_P(Images, that_are_there_are_described_and_not_pulled) {
  const auto image = get(kSmallImage);
  ASSERT_TRUE(image) << image.error().what;
  EXPECT_NE(image->id.find("sha256:"), std::string::npos);
  EXPECT_NE(std::find(image->env.begin(), image->env.end(), "PATH=/bin"), image->env.end());
  EXPECT_GT(image->bytes, 500'000u);
  EXPECT_EQ(said_, "");
  EXPECT_EQ(get(image->id)->id, image->id);
}

TEST_P(Images, that_are_not_there_and_may_not_be_pulled_are_not_found) {
  const auto image = get("casemate-test/none:1", DockerPull::never);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::not_found);
  EXPECT_EQ(image.error().what, "the docker daemon has no image 'casemate-test/none:1', and may not pull it (--pull never)");
  for (const char* name : {"", "../x", "a b", "x?y=1", "a\nb", "/x"}) {
    const auto bad = get(name);
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code, ErrorCode::invalid_input);
  }
}

TEST_P(Images, are_pulled_once_for_all_who_ask_at_a_time) {
  const int port = serve();
  if (port == 0) GTEST_SKIP() << "docker-registry is not installed";
  const std::string name = fmt::format("127.0.0.1:{}/x/small:v1", port);
  push(name);
  int got = 0;
  for (int i = 0; i < 3; ++i)
    images_->get(name, DockerPull::always, tell(), [&got](Result<DockerImage> image) {
      EXPECT_TRUE(image) << image.error().what;
      if (image) EXPECT_EQ(image->digest.find("sha256:"), 0u);
      ++got;
    });
  turn_until([&got] { return got == 3; });
  EXPECT_NE(said_.find("pulling " + name + (is_podman() ? ": 2 of 2 layers" : ": 1 of 1 layers, 3 of 3 MB")), std::string::npos) << said_;
  said_.clear();
  EXPECT_TRUE(get(name));
  EXPECT_EQ(said_, "");
  drop(name);
}

TEST_P(Images, that_no_registry_has_or_gives_say_so) {
  const int port = serve();
  if (port == 0) GTEST_SKIP() << "docker-registry is not installed";
  auto image = get(fmt::format("127.0.0.1:{}/x/none:v1", port));
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::not_found) << image.error().what;
  EXPECT_NE(image.error().what.find(fmt::format("can't pull image '127.0.0.1:{}/x/none:v1': the docker daemon says: ", port)),
            std::string::npos)
      << image.error().what;
  image = get("127.0.0.1:1/x/none:v1");
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::system) << image.error().what;
  EXPECT_NE(image.error().what.find("connection refused"), std::string::npos) << image.error().what;
}

TEST_P(Images, of_a_registry_with_passwords_are_pulled_with_the_users) {
  write("htpasswd", "user:$2b$04$zsTeFr.LWc5VdruRnB3MV.BbbjNpGmeAi33svzG1wNMRkUnqUpKd2\n");  // "secret", by bcrypt
  const int port = serve(fmt::format("auth: {{htpasswd: {{realm: test, path: {}/htpasswd}}}}\n", scratch_.string()));
  if (port == 0) GTEST_SKIP() << "docker-registry is not installed";
  const std::string host = fmt::format("127.0.0.1:{}", port);
  const std::string name = host + "/x/small:v1";
  push(name, auth_header({"user", "secret", ""}, host));
  auto image = get(name);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::refused) << image.error().what;
  write("docker/config.json", fmt::format(R"({{"auths":{{"{}":{{"username":"user","password":"wrong"}}}}}})", host));
  image = get(name);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::refused) << image.error().what;
  write("docker/config.json", fmt::format(R"({{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}})", host));
  image = get(name);
  EXPECT_TRUE(image) << image.error().what;
  drop(name);
  write("docker/config.json", R"({"credsStore":"test"})");
  write("bin/docker-credential-test", "#!/bin/sh\ncat >&2\nprintf '{\"Username\":\"user\",\"Secret\":\"secret\"}'\n");
  fs::permissions(scratch_ / "bin/docker-credential-test", fs::perms(0755));
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", ((scratch_ / "bin").string() + ":" + path).c_str(), 1);
  image = get(name);
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_TRUE(image) << image.error().what;
  drop(name);
  write("docker/config.json", R"({"credsStore":"not-there"})");
  said_.clear();
  EXPECT_FALSE(get(name));
  EXPECT_EQ(said_.find("no credentials for " + host + ": docker-credential-not-there (of docker's config.json) is not installed\n"), 0u)
      << said_;
}

TEST_P(Images, are_built_from_what_is_not_ignored) {
  write("context/Dockerfile", fmt::format("FROM {}\nCOPY . /app\nENV A=b\nWORKDIR /app\nUSER 1000\n", kSmallImage));
  write("context/.dockerignore", "*.log\nsecret/\n!keep.log\nDockerfile\n");
  write("context/a/" + std::string(90, 'n') + "/" + std::string(90, 'm'), "long");
  write("context/x.log", "no");
  write("context/keep.log", "yes");
  write("context/secret/key", "no");
  write("context/run.sh", std::string(200'000, '#'));
  fs::permissions(scratch_ / "context/run.sh", fs::perms(0755));
  fs::create_symlink("/etc/passwd", scratch_ / "context/link");
  const auto image = build("casemate-test/built:1");
  ASSERT_TRUE(image) << image.error().what;
  EXPECT_EQ(image->working_directory, "/app");
  EXPECT_EQ(image->user, "1000");
  EXPECT_NE(said_.find("COPY . /app"), std::string::npos) << said_;
  const std::string listed = output_of("casemate-test/built:1", "ls -ln /app; wc -c run.sh; cat a/*/*; ls -a");
  EXPECT_NE(listed.find("link -> /etc/passwd"), std::string::npos) << listed;
  EXPECT_NE(listed.find("200000 run.sh"), std::string::npos) << listed;
  EXPECT_NE(listed.find("-rwxr-xr-x    1 0        0"), std::string::npos) << listed;
  EXPECT_NE(listed.find("long"), std::string::npos) << listed;
  EXPECT_NE(listed.find("keep.log"), std::string::npos) << listed;
  for (const char* ignored : {"x.log", "secret"}) EXPECT_EQ(listed.find(ignored), std::string::npos) << listed;
  drop("casemate-test/built:1");
}

TEST_P(Images, whose_build_fails_have_the_end_of_the_log_in_the_error) {
  write("context/sub/Other", fmt::format("FROM {}\nCOPY nothing /x\n", kSmallImage));
  auto image = build("casemate-test/failed:1", "sub/Other");
  ASSERT_FALSE(image);
  EXPECT_NE(image.error().what.find("can't build 'casemate-test/failed:1': "), std::string::npos) << image.error().what;
  EXPECT_NE(image.error().what.find("nothing"), std::string::npos) << image.error().what;
  EXPECT_EQ(image.error().what.find('\n'), std::string::npos);
  image = build("casemate-test/failed:1", "Dockerfile");
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::not_found);
  EXPECT_EQ(image.error().what, fmt::format("there is no '{}/context/Dockerfile' to build", scratch_.string()));
  EXPECT_EQ(build("casemate-test/failed:1", "../Dockerfile").error().code, ErrorCode::invalid_input);
  EXPECT_EQ(build("bad name", "sub/Other").error().code, ErrorCode::invalid_input);
}

TEST_P(Images, are_made_of_containers_and_pruned_oldest_first) {
  ASSERT_TRUE(prune(0));
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    const std::string container = create(fmt::format("dd if=/dev/urandom of=/file bs=100000 count=10 2>/dev/null; echo {} > /number", i));
    EXPECT_EQ(ask("POST", "/containers/" + container + "/start")->status, 204);
    EXPECT_EQ(ask("POST", "/containers/" + container + "/wait")->status, 200);
    std::optional<Result<DockerImage>> got;
    images_->commit(container, fmt::format("casemate-test/kept:{}", i), {{std::string(kDockerKept), "key {with} 'all' = that"}},
                    [&got](Result<DockerImage> image) { got = std::move(image); });
    turn_until([&got] { return got.has_value(); });
    ASSERT_TRUE(*got) << got->error().what;
    ids.push_back((*got)->id);
    remove(container);
    for (int turn = 0; turn < 110; ++turn) ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(10)));  // ages have whole seconds
  }
  const auto inspected = nlohmann::json::parse(ask("GET", "/images/" + ids[0] + "/json")->body);
  EXPECT_EQ(inspected["Config"]["Labels"][std::string(kDockerKept)], "key {with} 'all' = that");
  EXPECT_EQ(output_of("casemate-test/kept:1", "cat /number").find("1\n") == std::string::npos, false);
  const std::string user = create("true");
  const auto freed = prune(is_podman() ? 7'000'000 : 2'500'000);
  ASSERT_TRUE(freed) << freed.error().what;
  EXPECT_GE(*freed, 900'000u);
  EXPECT_LT(*freed, 5'000'000u);
  EXPECT_EQ(ask("GET", "/images/" + ids[0] + "/json")->status, 404);
  EXPECT_EQ(ask("GET", "/images/" + ids[2] + "/json")->status, 200);
  ASSERT_TRUE(prune(0));
  for (const std::string& id : ids) EXPECT_EQ(ask("GET", "/images/" + id + "/json")->status, 404);
  EXPECT_EQ(ask("GET", std::string("/images/") + kSmallImage + "/json")->status, 200);
  remove(user);
}

TEST_P(Images, may_go_while_they_are_asked_for) {
  images_->get("127.0.0.1:1/x/y:1", DockerPull::always, tell(), [](auto) { ADD_FAILURE(); });
  images_->get(kSmallImage, DockerPull::missing, tell(), [](auto) { ADD_FAILURE(); });
  images_->prune(1ull << 60, [](auto) { ADD_FAILURE(); });
  images_.reset();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(10)));
}

// ---- events

TEST_P(Images, and_containers_are_heard_of_when_they_die_or_are_removed) {
  std::vector<DockerEvent> heard;
  std::string why;
  DockerEvents events(
      *api_, "this-test",
      {.event = [&heard](const DockerEvent& event) { heard.push_back(event); }, .lost = [&why](const Error& error) { why = error.what; }});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(20)));  // the request is on its way
  const std::string other = create("true");
  const std::string id = create("exit 7", fmt::format(R"("Labels":{{"{}":"this-test"}},)", kDockerLabel));
  for (const std::string& each : {other, id}) {
    EXPECT_EQ(ask("POST", "/containers/" + each + "/start")->status, 204);
    EXPECT_EQ(ask("POST", "/containers/" + each + "/wait")->status, 200);
    remove(each);
  }
  const auto find = [&heard](const std::string& action) {
    return std::find_if(heard.begin(), heard.end(), [&action](const DockerEvent& event) { return event.action == action; });
  };
  turn_until([&] { return find("die") != heard.end() && find("destroy") != heard.end(); });
  ASSERT_NE(find("die"), heard.end());
  EXPECT_EQ(find("die")->container, id);
  EXPECT_EQ(find("die")->exit_code, 7);
  EXPECT_EQ(find("destroy")->container, id);
  for (const DockerEvent& event : heard) EXPECT_EQ(event.container, id);
  EXPECT_EQ(why, "");
}

TEST_P(Images, and_events_end_with_their_daemon) {
  std::string why_not;
  auto own = Daemon::start({.kind = GetParam()}, why_not);
  ASSERT_TRUE(own) << why_not;
  images_.reset();
  use(own->endpoint());
  ASSERT_TRUE(negotiate());
  std::string why;
  DockerEvents events(*api_, "x",
                      {.event = [](const DockerEvent&) {}, .lost = [&why](const Error& error) { why = error.where + ": " + error.what; }});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(20)));
  own->stop();
  turn_until([&why] { return !why.empty(); });
  EXPECT_EQ(why.find("docker daemon: the docker daemon at unix://"), 0u) << why;
}

// ---- networks

TEST_P(Images, and_networks_are_made_with_a_label_and_removed) {
  std::optional<Result<std::string>> made;
  const DockerNetworkOrder order{.name = "casemate-test-net", .label_value = "v"};
  make_docker_network(*api_, order, [&made](Result<std::string> id) { made = std::move(id); });
  turn_until([&made] { return made.has_value(); });
  ASSERT_TRUE(*made) << made->error().what;
  const std::string id = **made;
  const auto listed = ask("GET", "/networks?" + docker_query({{"filters", fmt::format(R"({{"label":["{}=v"]}})", kDockerLabel)}}));
  EXPECT_NE(listed->body.find("casemate-test-net"), std::string::npos) << listed->body;
  made.reset();
  make_docker_network(*api_, order, [&made](Result<std::string> again) { made = std::move(again); });
  turn_until([&made] { return made.has_value(); });
  ASSERT_FALSE(*made);
  EXPECT_NE(made->error().what.find("can't make a network: the docker daemon says: "), std::string::npos) << made->error().what;
  for (int i = 0; i < 2; ++i) {
    std::optional<Result<void>> removed;
    remove_docker_network(*api_, id, [&removed](Result<void> result) { removed = std::move(result); });
    turn_until([&removed] { return removed.has_value(); });
    EXPECT_TRUE(*removed) << removed->error().what;
  }
  EXPECT_EQ(ask("GET", "/networks/" + id)->status, 404);
}

}  // namespace
}  // namespace casemate
