// What a container changed, told by a walk of its layer and by the daemon: the same.
#include <fmt/format.h>
#include <sys/xattr.h>
#include <nlohmann/json.hpp>

#include "daemon_scratch.h"
#include "docker/upper_layer.h"

namespace casemate {
namespace {

class UpperLayers : public EachDaemon {
 protected:
  void SetUp() override {
    EachDaemon::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    id_ = create("while :; do sleep 1000; done");
    layer_ = search();
  }
  void TearDown() override {
    if (!id_.empty()) remove(id_);
  }
  // The container's, before it starts.
  std::shared_ptr<const UpperLayer> search() { return search(*api_); }
  std::shared_ptr<const UpperLayer> search(DockerApi& api) {
    std::optional<std::shared_ptr<const UpperLayer>> found;
    UpperLayerSearch search(api, id_, [&](std::shared_ptr<const UpperLayer> layer) { found = std::move(layer); });
    search.begin();
    turn_until([&] { return found.has_value(); });
    return found.value_or(nullptr);
  }
  void run(const std::string& line) {
    const nlohmann::json body = {{"Cmd", {"/bin/sh", "-c", line}}, {"AttachStdout", true}};
    const auto made = ask("POST", "/containers/" + id_ + "/exec", body.dump());
    ASSERT_EQ(made->status, 201) << made->body;
    const std::string exec = nlohmann::json::parse(made->body)["Id"];
    ASSERT_EQ(ask("POST", "/exec/" + exec + "/start", R"({"Detach":true})")->status, 200);
    turn_until([&] { return !nlohmann::json::parse(ask("GET", "/exec/" + exec + "/json")->body).value("Running", true); });
  }
  LayerSnapshot take(const std::shared_ptr<const UpperLayer>& layer) {
    std::optional<Result<LayerSnapshot>> taken;
    SnapshotTaking taking(*api_, id_, layer, [&](Result<LayerSnapshot> snapshot) { taken = std::move(snapshot); });
    taking.begin();
    turn_until([&] { return taken.has_value(); });
    if (!taken || !*taken) ADD_FAILURE() << (taken ? taken->error().what : "");
    return taken && *taken ? **taken : LayerSnapshot{};
  }
  static std::string listed(const std::map<std::string, LayerStep>& steps) {
    constexpr const char* kKinds[] = {"created", "modified", "deleted"};
    constexpr const char* kTypes[] = {"file", "directory", "symlink", "skipped"};
    std::string text;
    for (const auto& [path, step] : steps) {
      // The daemon does not say what was there.
      const char* type = step.kind == Change::Kind::deleted ? "" : kTypes[static_cast<int>(step.type)];
      text += fmt::format("{} {} {}\n", kKinds[static_cast<int>(step.kind)], type, path);
    }
    return text;
  }

  std::string id_;
  std::shared_ptr<const UpperLayer> layer_;
};
INSTANTIATE_TEST_SUITE_P(Real, UpperLayers, testing::Values(Daemon::Kind::docker), name_of_kind);

TEST_P(UpperLayers, a_walk_finds_what_the_daemon_lists) {
  ASSERT_TRUE(layer_) << "no layer: " << ask("GET", "/containers/" + id_ + "/json")->body;
  ASSERT_EQ(ask("POST", "/containers/" + id_ + "/start")->status, 204);
  LayerSnapshot walked = take(layer_);
  LayerSnapshot told = take(nullptr);
  EXPECT_EQ(listed(steps_between({}, walked)), listed(steps_between({}, told)));
  const LayerSnapshot first = walked;
  std::string all;
  for (const std::string& line : std::vector<std::string>{
           "true",
           "mkdir -p /tmp/a/b/c; echo 1 > /tmp/a/f; ln -s f /tmp/a/l; ln /tmp/a/f /tmp/a/hard; echo x > '/tmp/a name'",
           "echo 2 >> /tmp/a/f; mkdir /tmp/only",
           "echo more >> /etc/passwd",
           "touch /etc/group",
           "cat < /etc/group; : >> /etc/group; cat <> /bin/busybox > /dev/null",
           "rm /tmp/a/l; ln -s other /tmp/a/l",
           "rm -r /etc",
           "mkdir /etc; echo new > /etc/new; echo root > /etc/passwd; mkdir /etc/sub; echo 1 > /etc/sub/x",
           "rm /bin/tty /bin/stty; mkdir /bin/tty; echo 1 > /bin/tty/in",
           "rm -r /tmp/a/b; echo file > /tmp/a/b",
           "rm -r /bin/tty; ln -s busybox /bin/tty",
           "mkdir /proc2; dd if=/dev/zero of=/proc2/sparse bs=1 count=1 seek=100000 2> /dev/null",
           "rm -r /tmp; mkdir /tmp; echo > /tmp/z",
           "mkdir -p /1/2/3/4/5; touch -d @1000000000 /1/2/3",
           "rm -r /1",
       }) {
    SCOPED_TRACE(line);
    run(line);
    const LayerSnapshot walked_now = take(layer_);
    const LayerSnapshot told_now = take(nullptr);
    const std::string by_walk = listed(steps_between(walked, walked_now));
    EXPECT_EQ(by_walk, listed(steps_between(told, told_now)));
    // Either goes on where the other was: a walk that can't tell all is followed by the daemon's list.
    EXPECT_EQ(by_walk, listed(steps_between(walked, told_now)));
    EXPECT_EQ(by_walk, listed(steps_between(told, walked_now)));
    walked = walked_now;
    told = told_now;
    all += by_walk;
  }
  EXPECT_EQ(listed(steps_between(first, walked)), listed(steps_between({}, told)));
  for (const char* step : {"created symlink tmp/a/l\n", "deleted  etc/group\n", "modified file etc/passwd\n", "modified symlink bin/tty\n"})
    EXPECT_NE(all.find(step), std::string::npos) << step << "is not in\n" << all;
}

TEST_P(UpperLayers, the_mark_is_not_seen_by_the_container) {
  ASSERT_TRUE(layer_);
  ASSERT_EQ(ask("POST", "/containers/" + id_ + "/start")->status, 204);
  run("for f in /dev/*; do case $f in *casemate*) echo $f;; esac; done > /tmp/marks");
  DockerRequest look{.method = "HEAD", .path = "/containers/" + id_ + "/archive?path=%2Ftmp%2Fmarks"};
  const auto stat = parse_path_stat(ask(look)->path_stat);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->size, 0u);
}

// The daemon, which names another directory of this host than its own: as one in another mount namespace does.
class Elsewhere final : public DockerApi {
 public:
  Elsewhere(DockerApi& api, std::string own, std::string said) : api_(api), own_(std::move(own)), said_(std::move(said)) {}
  void negotiate(std::function<void(Result<DockerVersion>)> done) override { api_.negotiate(std::move(done)); }
  [[nodiscard]] const DockerVersion& version() const override { return api_.version(); }
  [[nodiscard]] const DockerEndpoint& endpoint() const override { return api_.endpoint(); }
  [[nodiscard]] Reactor& reactor() const override { return api_.reactor(); }
  DockerCallId call(DockerRequest request, std::function<void(Result<DockerReply>)> done) override {
    return api_.call(std::move(request), [this, done = std::move(done)](Result<DockerReply> reply) {
      for (std::size_t at = 0; reply && (at = reply->body.find(own_, at)) != std::string::npos; at += said_.size())
        reply->body.replace(at, own_.size(), said_);
      done(std::move(reply));
    });
  }
  DockerCallId open_stream(DockerRequest request, std::function<void(Result<std::unique_ptr<DockerStream>>)> done) override {
    return api_.open_stream(std::move(request), std::move(done));
  }
  void forget(DockerCallId call) override { api_.forget(call); }

 private:
  DockerApi& api_;
  std::string own_, said_;
};

TEST_P(UpperLayers, a_daemon_whose_files_are_elsewhere_is_asked) {
  ASSERT_TRUE(layer_);
  const std::string other = create("true");
  const auto upper = [&](const std::string& id) -> std::string {
    return nlohmann::json::parse(ask("GET", "/containers/" + id + "/json")->body)["GraphDriver"]["Data"]["UpperDir"];
  };
  Elsewhere names_another(*api_, upper(id_), upper(other));
  EXPECT_FALSE(search(names_another));
  Elsewhere names_none(*api_, upper(id_), (daemon_->top() / "none").string());
  EXPECT_FALSE(search(names_none));
  Elsewhere tells_the_truth(*api_, upper(id_), upper(id_));
  EXPECT_TRUE(search(tells_the_truth));
  remove(other);
}

// Its answer with something else in it.
std::optional<UpperLayer> claimed(nlohmann::json inspected, const std::string& upper, const std::string& lower = "") {
  if (!upper.empty()) inspected["GraphDriver"]["Data"]["UpperDir"] = upper;
  if (!lower.empty()) inspected["GraphDriver"]["Data"]["LowerDir"] = lower;
  return UpperLayer::open(inspected.dump());
}

TEST_P(UpperLayers, a_directory_that_is_not_the_containers_is_not_taken) {
  ASSERT_TRUE(layer_);
  const auto inspected = nlohmann::json::parse(ask("GET", "/containers/" + id_ + "/json")->body);
  const std::string upper = inspected["GraphDriver"]["Data"]["UpperDir"];
  const std::string lower = inspected["GraphDriver"]["Data"]["LowerDir"];
  std::string name;
  for (const auto& entry : fs::directory_iterator(upper + "/dev")) name = entry.path().filename();
  ASSERT_TRUE(name.starts_with("casemate-")) << name;
  ASSERT_TRUE(claimed(inspected, ""));
  EXPECT_TRUE(claimed(inspected, "")->is_marked(name));
  EXPECT_FALSE(claimed(inspected, "")->is_marked("casemate-0123456789abcdef"));

  // Another container's of the same daemon.
  const std::string other = create("true");
  const std::string its = nlohmann::json::parse(ask("GET", "/containers/" + other + "/json")->body)["GraphDriver"]["Data"]["UpperDir"];
  ASSERT_TRUE(claimed(inspected, its));
  EXPECT_FALSE(claimed(inspected, its)->is_marked(name));
  remove(other);

  // One of ours that has the name, and nothing that overlayfs noted.
  const fs::path forged = daemon_->top() / "overlay2";
  fs::create_directories(forged / "ab/diff/dev");
  fs::create_directories(forged / "cd/diff");
  std::ofstream(forged / "ab/diff/dev" / name).close();
  const auto ours = claimed(inspected, forged / "ab/diff", forged / "cd/diff");
  ASSERT_TRUE(ours);
  EXPECT_FALSE(ours->is_marked(name));

  // A link to the right one, places elsewhere, another driver.
  fs::create_directories(forged / "ef");
  fs::create_directory_symlink(upper, forged / "ef/diff");
  EXPECT_FALSE(claimed(inspected, forged / "ef/diff", forged / "cd/diff"));
  for (const std::string& wrong :
       std::vector<std::string>{"/", "/etc", "diff", "/diff", "//diff", "/../diff", upper + "/../diff", upper + "x"})
    EXPECT_FALSE(claimed(inspected, wrong)) << wrong;
  for (const std::string& wrong :
       std::vector<std::string>{"/etc", lower + ":/etc", lower + ":/", lower + ":" + upper + "/../../diff", (forged / "cd/diff").string()})
    EXPECT_FALSE(claimed(inspected, "", wrong)) << wrong;
  auto another = inspected;
  another["GraphDriver"]["Name"] = "btrfs";
  EXPECT_FALSE(UpperLayer::open(another.dump()));
  for (const char* nonsense : {"", "[]", "{}", R"({"GraphDriver":{"Name":"overlay2","Data":null}})", R"({"GraphDriver":"overlay2"})"})
    EXPECT_FALSE(UpperLayer::open(nonsense)) << nonsense;
}

TEST_P(UpperLayers, a_directory_that_was_renamed_is_left_to_the_daemon) {
  ASSERT_TRUE(layer_);
  const std::string upper = nlohmann::json::parse(ask("GET", "/containers/" + id_ + "/json")->body)["GraphDriver"]["Data"]["UpperDir"];
  // As the kernel does where redirect_dir is on (Documentation/filesystems/overlayfs.rst), which it is not here.
  fs::create_directory(upper + "/renamed");
  ASSERT_EQ(::setxattr((upper + "/renamed").c_str(), "trusted.overlay.redirect", "etc", 3, 0), 0);
  const auto looked = layer_->look({});
  ASSERT_FALSE(looked);
  EXPECT_EQ(looked.error().code, ErrorCode::not_supported) << looked.error().what;
}

TEST_P(UpperLayers, what_a_walk_can_not_tell_the_daemon_does) {
  ASSERT_TRUE(layer_);
  ASSERT_EQ(ask("POST", "/containers/" + id_ + "/start")->status, 204);
  run("p=/deep; i=1; while [ $i -lt 513 ]; do p=$p/d; i=$((i+1)); done; mkdir -p $p");
  const auto looked = layer_->look({});
  ASSERT_FALSE(looked);
  EXPECT_EQ(looked.error().code, ErrorCode::exhausted) << looked.error().what;
  EXPECT_EQ(take(layer_).entries.size(), 513u);
}

}  // namespace
}  // namespace casemate
