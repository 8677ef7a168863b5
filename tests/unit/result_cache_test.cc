// Results kept and given again.
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "action/messages.h"
#include "action/result_cache.h"
#include "base/digest.h"
#include "store_scratch.h"

namespace casemate {
namespace {

class ResultCacheTest : public StoreScratch {
 protected:
  std::string out(const std::string& name) { return directory_ + "/out" + name; }
  // A result that changed three things, which have been delivered to out("").
  JobResult delivered() {
    fs::create_directories(out("") + "/d");
    spill(out("") + "/d/run", "#!");
    ::chmod((out("") + "/d/run").c_str(), 0755);
    set_age(out("") + "/d/run", 1000);
    fs::create_symlink("/etc/passwd", out("") + "/link");
    JobResult result = plain();
    result.changes = {{.type = Change::Type::directory, .path = "d", .mode = 0755},
                      {.type = Change::Type::file, .path = "d/run", .size = 2, .mode = 0711, .digest = "sha256:" + sha256_hex("#!")},
                      {.kind = Change::Kind::deleted, .path = "gone"},
                      {.type = Change::Type::symlink, .path = "link", .size = 11, .link_target = "/etc/passwd"},
                      {.type = Change::Type::skipped, .path = "pipe", .reason = "fifo"}};
    return result;
  }
  static JobResult plain() {
    JobResult result;
    result.outcome = {.kind = Outcome::Kind::exited};
    result.exit_status = 0;
    result.resources.wall = std::chrono::microseconds(1234);
    result.resources.peak_memory_bytes = 5;
    result.output = {.out = std::string("\0\xff", 2), .err = "e", .merged = std::string("e\0\xff", 3), .out_total = 2, .err_total = 1};
    result.notes = {"a note"};
    return result;
  }
  const BlobDigest action_ = digest_of("an action");
};

TEST_F(ResultCacheTest, gives_what_was_kept) {
  Store store = open();
  ResultCache cache(store);
  EXPECT_FALSE(*cache.find(action_, ""));
  ASSERT_TRUE(cache.keep(action_, plain(), "", "result: x"));
  EXPECT_TRUE(cache.has(action_));
  EXPECT_FALSE(*cache.find(digest_of("another action"), ""));
  const auto kept = cache.find(action_, "");
  ASSERT_TRUE(kept && *kept);
  const JobResult& result = (*kept)->result;
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.resources.wall.count(), 1234);
  EXPECT_EQ(result.resources.peak_memory_bytes, 5u);
  EXPECT_EQ(result.resources.peak_pids, std::nullopt);
  EXPECT_EQ(result.output.out, plain().output.out);
  EXPECT_EQ(result.output.err, "e");
  EXPECT_EQ(result.output.merged, plain().output.merged);
  EXPECT_EQ(result.notes, plain().notes);
}

TEST_F(ResultCacheTest, keeps_only_what_ended_well_and_whole) {
  Store store = open();
  ResultCache cache(store);
  const auto refused = [&](auto change) {
    JobResult result = plain();
    change(result);
    const auto kept = cache.keep(action_, result, "", "");
    return !kept && kept.error().code == ErrorCode::invalid_input && !cache.has(action_);
  };
  EXPECT_TRUE(refused([](JobResult& result) { result.outcome.code = 1; }));
  for (const auto kind :
       {Outcome::Kind::signaled, Outcome::Kind::timed_out, Outcome::Kind::out_of_memory, Outcome::Kind::too_many_processes,
        Outcome::Kind::output_limit, Outcome::Kind::disk_limit, Outcome::Kind::setup_failed, Outcome::Kind::cancelled, Outcome::Kind::lost})
    EXPECT_TRUE(refused([kind](JobResult& result) { result.outcome = {.kind = kind}; })) << word(kind);
  EXPECT_TRUE(refused([](JobResult& result) { result.leftovers.push_back({2, "sleep"}); }));
  EXPECT_TRUE(refused([](JobResult& result) { result.output.truncated = true; }));
  EXPECT_TRUE(refused([](JobResult& result) { result.changes_truncated = true; }));
  EXPECT_TRUE(refused([](JobResult& result) { result.collect_error = "full"; }));
  EXPECT_TRUE(refused([](JobResult& result) { result.changes.push_back({.path = "f", .reason = "not copied: File exists"}); }));
  EXPECT_FALSE(refused([](JobResult&) {}));
}

TEST_F(ResultCacheTest, delivers_its_files_as_they_came) {
  Store store = open();
  ResultCache cache(store);
  const JobResult result = delivered();
  ASSERT_TRUE(cache.keep(action_, result, out(""), "result: x"));
  const auto kept = cache.find(action_, out("2"));
  ASSERT_TRUE(kept && *kept);
  EXPECT_EQ((*kept)->result.collect_error, "");
  ASSERT_EQ((*kept)->result.changes.size(), result.changes.size());
  EXPECT_EQ((*kept)->result.changes[1].mode, 0711u);
  EXPECT_EQ((*kept)->result.changes[1].digest, result.changes[1].digest);
  EXPECT_EQ((*kept)->result.changes[2].kind, Change::Kind::deleted);
  EXPECT_EQ((*kept)->result.changes[4].reason, "fifo");
  EXPECT_EQ(slurp(out("2") + "/d/run"), "#!");
  EXPECT_EQ(fs::read_symlink(out("2") + "/link"), "/etc/passwd");
  struct stat before{};
  struct stat after{};
  ASSERT_EQ(::stat((out("") + "/d/run").c_str(), &before), 0);
  ASSERT_EQ(::stat((out("2") + "/d/run").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode & 0111, before.st_mode & 0111);
  EXPECT_EQ(after.st_mtime, before.st_mtime);
  EXPECT_EQ(count(out("2")), 2u);
}

TEST_F(ResultCacheTest, writes_over_nothing_and_follows_no_link) {
  Store store = open();
  ResultCache cache(store);
  ASSERT_TRUE(cache.keep(action_, delivered(), out(""), ""));
  fs::create_directories(out("2"));
  fs::create_directories(out("elsewhere"));
  fs::create_symlink(out("elsewhere"), out("2") + "/d");
  spill(out("2") + "/link", "mine");
  const auto kept = cache.find(action_, out("2"));
  ASSERT_TRUE(kept && *kept);
  EXPECT_NE((*kept)->result.collect_error, "");
  EXPECT_NE((*kept)->result.changes[1].reason, "");
  EXPECT_NE((*kept)->result.changes[3].reason, "");
  EXPECT_EQ(slurp(out("2") + "/link"), "mine");
  EXPECT_EQ(count(out("elsewhere")), 0u);
  EXPECT_TRUE(cache.has(action_)) << "it is not to blame";
}

TEST_F(ResultCacheTest, files_changed_since_they_came_out_are_not_kept) {
  Store store = open();
  ResultCache cache(store);
  const JobResult result = delivered();
  spill(out("") + "/d/run", "??");
  const auto kept = cache.keep(action_, result, out(""), "");
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::corrupt);
  EXPECT_FALSE(cache.has(action_));
  fs::remove(out("") + "/d/run");
  EXPECT_FALSE(cache.keep(action_, result, out(""), ""));
  EXPECT_FALSE(cache.has(action_));
}

TEST_F(ResultCacheTest, a_damaged_one_is_none) {
  for (const std::string file : {"/result", "/files/d/run"}) {
    Store store = open();
    ResultCache cache(store);
    const JobResult result = delivered();
    ASSERT_TRUE(cache.keep(action_, result, out(""), ""));
    std::string path;
    for (const auto& layer : fs::directory_iterator(directory_ + "/layers")) path = layer.path().string() + "/tree" + file;
    std::string bytes = slurp(path);
    bytes[bytes.size() / 2] ^= 1;
    ::chmod(path.c_str(), 0700);
    spill(path, bytes);
    EXPECT_FALSE(*cache.find(action_, out("2"))) << file;
    EXPECT_FALSE(fs::exists(out("2")));
    EXPECT_FALSE(cache.has(action_));
    fs::remove_all(out(""));
  }
}

TEST_F(ResultCacheTest, one_that_would_fill_the_store_is_not_kept_and_others_are_evicted) {
  Store store = open(1 << 20);
  ResultCache cache(store);
  JobResult result = plain();
  result.output.out = std::string(300'000, 'x');
  const auto kept = cache.keep(action_, result, "", "");
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::exhausted);
  ASSERT_TRUE(cache.keep(action_, plain(), "", ""));
  ASSERT_TRUE(store.prune(0));
  EXPECT_FALSE(*cache.find(action_, ""));
}

}  // namespace
}  // namespace casemate
