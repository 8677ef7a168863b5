// Where a job's mounts go when a tree that it was given has symlinks in it.
#include "casemate/engine.h"
#include "scratch.h"

namespace casemate {
namespace {

// A project with a link to a directory of the host that its caller may write, outside of what a cell's new root covers while it is made.
class MountPlaces : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(project_);
    fs::create_directories(host_);
    fs::permissions(host_, fs::perms::all);
    fs::create_directory_symlink(host_, project_ / "absolute");
    fs::create_directory_symlink("/etc", project_ / "etc");
    fs::create_directory_symlink("../../../etc", project_ / "above");
    fs::create_directory_symlink(fs::path("../../../../../../..") / host_.relative_path(), project_ / "relative");
  }
  void TearDown() override { fs::remove_all(top_); }

  JobResult run(const std::vector<Mount>& mounts, const std::string& script) {
    Job job;
    job.argv = {"sh", "-c", script};
    job.limits = default_limits();
    job.mounts = {{.kind = Mount::Kind::overlay, .target = "/app", .lower = {project_.string()}, .owned = true}};
    job.mounts.insert(job.mounts.end(), mounts.begin(), mounts.end());
    auto engine = Engine::create({});
    EXPECT_TRUE(engine) << engine.error().what;
    auto result = (*engine)->run(job);
    EXPECT_TRUE(result) << result.error().what;
    return result ? *result : JobResult{};
  }

  const fs::path top_ = fs::path("/var/tmp") / ("casemate-places-" + std::to_string(::getpid()));
  const fs::path project_ = top_ / "project";
  const fs::path host_ = top_ / "host";
};

TEST_F(MountPlaces, below_a_link_make_nothing_on_the_host) {
  for (const char* link : {"absolute", "relative"}) {
    const std::string target = std::string("/app/") + link + "/made";
    run({{.kind = Mount::Kind::tmpfs, .target = target}}, "true");
    EXPECT_TRUE(fs::is_empty(host_)) << target;
    run({{.source = "/etc/passwd", .target = target}}, "true");
    EXPECT_TRUE(fs::is_empty(host_)) << target;
  }
}

TEST_F(MountPlaces, at_a_link_lie_where_it_leads_in_the_cell) {
  for (const char* link : {"etc", "above"}) {
    const std::string place = std::string("/app/") + link;
    const JobResult result =
        run({{.kind = Mount::Kind::tmpfs, .target = place}}, "touch " + place + "/made && test \"$(ls -A /etc)\" = made");
    EXPECT_TRUE(result.outcome.succeeded()) << link << ": " << words(result.outcome);
  }
}

}  // namespace
}  // namespace casemate
