// What a job's result depends on, and what of it has changed.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "action/input_history.h"
#include "action/job_inputs.h"
#include "store_scratch.h"

namespace casemate {
namespace {

class JobInputsTest : public StoreScratch {
 protected:
  void SetUp() override {
    StoreScratch::SetUp();
    fs::create_directories(directory_ + "/image/usr/bin");
    fs::create_directories(directory_ + "/project/sub");
    spill(directory_ + "/image/usr/bin/tool", "tool");
    spill(directory_ + "/project/main.py", "main");
    spill(directory_ + "/project/sub/data", "data");
  }
  Job job() {
    Job job;
    job.argv = {"tool", "-x"};
    job.env = {{"LANG", "C"}, {"TOKEN", "secret"}};
    job.image = "docker://some/image:1";
    job.root = {directory_ + "/image"};
    job.mounts = {{.kind = Mount::Kind::overlay, .target = "/app", .lower = {directory_ + "/project"}}};
    return job;
  }
  JobInputs inputs(const Job& job) {
    InputTrees trees;
    auto inputs = inputs_of(job, trees);
    EXPECT_TRUE(inputs) << inputs.error().what;
    return inputs ? std::move(*inputs) : JobInputs{};
  }
  std::string action(const std::function<void(Job&)>& change) {
    Job changed = job();
    change(changed);
    return inputs(changed).action.hash;
  }
  // The names of what differs from `before`, with a sign.
  std::vector<std::string> differences(const JobInputs& before, const JobInputs& now) {
    InputHistory history(directory_);
    history.record("/here", {"tool"}, before);
    std::size_t all = 0;
    std::vector<std::string> names;
    for (const InputDifference& one : history.differences(*history.last("/here", {"tool"}), now, 100, all)) {
      names.push_back(std::string(1, "~+-"[static_cast<int>(one.kind)]) + one.name);
      EXPECT_EQ(one.before.find("secret"), std::string::npos);
    }
    EXPECT_EQ(all, names.size());
    return names;
  }
  using Names = std::vector<std::string>;
};

TEST_F(JobInputsTest, the_same_job_is_the_same_action) {
  const std::string plain = inputs(job()).action.hash;
  EXPECT_EQ(inputs(job()).action.hash, plain);
  EXPECT_EQ(action([](Job& job) { job.name = "another name"; }), plain);
  EXPECT_EQ(action([](Job& job) { job.image = "docker://some/image:2"; }), plain) << "its files count, not what they are called";
  EXPECT_EQ(action([](Job& job) { job.capture_bytes = 1; }), plain);
  fs::copy(directory_ + "/project", directory_ + "/copy", fs::copy_options::recursive);
  set_age(directory_ + "/copy/main.py", 5000);
  EXPECT_EQ(action([&](Job& job) { job.mounts[0].lower = {directory_ + "/copy"}; }), plain) << "nor where they lie";
}

TEST_F(JobInputsTest, what_counts_makes_another_action) {
  std::vector<std::string> seen = {inputs(job()).action.hash};
  const auto differs = [&](const std::function<void(Job&)>& change) {
    const std::string hash = action(change);
    const bool fresh = std::ranges::find(seen, hash) == seen.end();
    seen.push_back(hash);
    return fresh;
  };
  EXPECT_TRUE(differs([](Job& job) { job.argv.push_back("more"); }));
  EXPECT_TRUE(differs([](Job& job) { job.argv = {"tool -x"}; }));
  EXPECT_TRUE(differs([](Job& job) { job.env["LANG"] = "D"; }));
  EXPECT_TRUE(differs([](Job& job) { job.env["NEW"] = ""; }));
  EXPECT_TRUE(differs([](Job& job) { job.cwd = "/app"; }));
  EXPECT_TRUE(differs([](Job& job) { job.user.uid = 1; }));
  EXPECT_TRUE(differs([](Job& job) { job.hostname = "h"; }));
  EXPECT_TRUE(differs([](Job& job) { job.network = Network::host; }));
  EXPECT_TRUE(differs([](Job& job) { job.profile = Profile::strict; }));
  EXPECT_TRUE(differs([](Job& job) { job.capabilities = {"CHOWN"}; }));
  EXPECT_TRUE(differs([](Job& job) { job.read_only = true; }));
  EXPECT_TRUE(differs([](Job& job) { job.limits.memory_bytes = 1 << 30; }));
  EXPECT_TRUE(differs([](Job& job) { job.limits.wall = std::chrono::seconds(1); }));
  EXPECT_TRUE(differs([](Job& job) { job.collect = {"/app"}; }));
  EXPECT_TRUE(differs([](Job& job) { job.collect_to = "/somewhere"; }));
  EXPECT_TRUE(differs([](Job& job) { job.mounts[0].target = "/src"; }));
  EXPECT_TRUE(differs([](Job& job) { job.mounts.push_back({.kind = Mount::Kind::tmpfs, .target = "/t"}); }));
  EXPECT_TRUE(differs([](Job& job) { job.mounts[0].kind = Mount::Kind::bind, job.mounts[0].source = job.mounts[0].lower[0]; }));
  spill(directory_ + "/project/main.py", "other");
  EXPECT_TRUE(differs([](Job&) {}));
  spill(directory_ + "/image/usr/bin/tool", "newer");
  EXPECT_TRUE(differs([](Job&) {}));
}

TEST_F(JobInputsTest, the_host_counts_by_its_etc_packages_and_local_programs) {
  Job plain = job();
  plain.image = "host";
  plain.root.clear();
  plain.host_paths = {"/usr", "/etc", "/bin", "/not_there", directory_ + "/image"};
  const JobInputs first = inputs(plain);
  const auto has = [&](const std::string& place) {
    return std::ranges::any_of(first.trees, [&](const JobInputs::Placed& tree) { return tree.place == place; });
  };
  EXPECT_TRUE(has("/etc"));
  EXPECT_TRUE(has("/usr/local") || has("/usr"));
  EXPECT_TRUE(has(directory_ + "/image"));
  EXPECT_FALSE(has("/bin")) << "a link into /usr";
  spill(directory_ + "/image/usr/bin/tool", "newer");
  EXPECT_EQ(differences(first, inputs(plain)), (Names{"~" + directory_ + "/image/usr/bin/tool"}));
}

TEST_F(JobInputsTest, what_nobody_can_know_beforehand_is_refused_and_named) {
  InputTrees trees;
  Job reads = job();
  reads.forward_stdin = true;
  EXPECT_EQ(inputs_of(reads, trees).error().code, ErrorCode::not_supported);
  Job writes = job();
  writes.mounts.push_back({.kind = Mount::Kind::bind, .source = directory_ + "/project", .target = "/x", .writable = true});
  const auto refused = inputs_of(writes, trees);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_supported);
  EXPECT_NE(refused.error().what.find(directory_ + "/project"), std::string::npos);
  Job missing = job();
  missing.mounts.push_back({.kind = Mount::Kind::bind, .source = directory_ + "/none", .target = "/x"});
  EXPECT_FALSE(inputs_of(missing, trees));
}

TEST_F(JobInputsTest, differences_are_named) {
  const JobInputs before = inputs(job());
  EXPECT_EQ(differences(before, inputs(job())), Names{});
  Job changed = job();
  changed.argv = {"tool", "-y"};
  changed.env["TOKEN"] = "another secret";
  changed.env.erase("LANG");
  changed.limits.memory_bytes = 1 << 30;
  spill(directory_ + "/project/main.py", "other");
  spill(directory_ + "/project/sub/new", "");
  fs::remove(directory_ + "/project/sub/data");
  EXPECT_EQ(differences(before, inputs(changed)), (Names{"~argument 1", "-variable LANG", "~variable TOKEN", "+limit memory",
                                                         "~/app/main.py", "-/app/sub/data", "+/app/sub/new"}));
  spill(directory_ + "/image/usr/bin/tool", "newer");
  EXPECT_EQ(differences(before, inputs(job())).back(), "+/app/sub/new");
  EXPECT_EQ(differences(before, inputs(job())).front(), "~/usr/bin/tool");
}

TEST_F(JobInputsTest, most_differences_are_counted_only) {
  const JobInputs before = inputs(job());
  for (int i = 0; i < 30; ++i) spill(directory_ + "/project/f" + std::to_string(i), "");
  InputHistory history(directory_);
  history.record("/here", {"tool"}, before);
  std::size_t all = 0;
  EXPECT_EQ(history.differences(*history.last("/here", {"tool"}), inputs(job()), 5, all).size(), 5u);
  EXPECT_EQ(all, 30u);
}

TEST_F(JobInputsTest, records_are_of_a_command_and_a_directory) {
  InputHistory history(directory_);
  EXPECT_FALSE(history.last("/here", {"tool", "-x"}));
  const JobInputs now = inputs(job());
  history.record("/here", {"tool", "-x"}, now);
  EXPECT_FALSE(history.last("/elsewhere", {"tool", "-x"}));
  EXPECT_FALSE(history.last("/here", {"tools"}));
  const auto same = history.last("/here", {"tool", "-x"});
  ASSERT_TRUE(same);
  EXPECT_FALSE(same->other_arguments);
  EXPECT_EQ(same->action, now.action.hash);
  const auto other = history.last("/here", {"tool", "-y"});
  ASSERT_TRUE(other);
  EXPECT_TRUE(other->other_arguments);
  for (const auto& entry : fs::recursive_directory_iterator(directory_ + "/inputs"))
    EXPECT_EQ(slurp(entry.path()).find("secret"), std::string::npos) << "values of variables are not on disk";
}

TEST_F(JobInputsTest, a_tree_that_is_forgotten_is_named_as_a_whole) {
  const JobInputs before = inputs(job());
  InputHistory history(directory_);
  history.record("/here", {"tool"}, before);
  fs::remove(directory_ + "/inputs/" + before.trees[1].tree->digest.hash);
  spill(directory_ + "/project/main.py", "other");
  std::size_t all = 0;
  const auto found = history.differences(*history.last("/here", {"tool"}), inputs(job()), 5, all);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, "/app");
}

}  // namespace
}  // namespace casemate
