// What ChangeHistory calls a change between two walks of a writable layer.
#include <chrono>
#include <random>
#include <thread>

#include "base/digest.h"
#include "engine/change_history.h"
#include "tree_scan.h"

namespace casemate {
namespace {

class History : public CollectScratch {
 protected:
  CollectedFiles next(ChangeHistory& history) {
    const UniqueFd upper(::open(upper_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    auto found = history.next(upper.get(), {});
    EXPECT_TRUE(found) << found.error().what;
    return found ? std::move(*found) : CollectedFiles{};
  }
  Lines changes(ChangeHistory& history) { return lines(next(history)); }
};

TEST_F(History, agrees_with_full_scans_whatever_is_done) {
  in_mount_namespace([&] {
    std::mt19937 random(20261122);
    std::map<Change::Kind, std::size_t> kinds;
    for (int round = 0; round < 60; ++round) {
      const UniqueFd top(::open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      for (const char* name : {"upper", "lower", "work"}) {
        ASSERT_TRUE(remove_tree_at(top.get(), name));
        fs::create_directory(top_ / name);
      }
      for (int i = 0; i < 25; ++i) do_something(lower_, random);
      mount_overlay(lower_);
      if (IsSkipped()) return;
      ChangeHistory history({lower_}, "");
      for (int batch = 0; batch < 8; ++batch) {
        // A look that has been the same for longer than a clock's tick is believed.
        if (batch % 4 == 3) std::this_thread::sleep_for(std::chrono::milliseconds(25));
        const auto before = snapshot(merged_);
        for (int i = batch; i < 8; ++i) do_something(merged_, random);
        const auto after = snapshot(merged_);
        const CollectedFiles found = next(history);
        ASSERT_EQ(lines(found), difference(before, after)) << "round " << round << " batch " << batch;
        ASSERT_FALSE(found.truncated);
        for (const Change& change : found.changes) {
          ++kinds[change.kind];
          if (change.kind != Change::Kind::deleted && change.type == Change::Type::file)
            ASSERT_EQ(change.digest, "sha256:" + sha256_hex(read(upper_ / change.path)));
        }
      }
      ASSERT_EQ(::umount(merged_.c_str()), 0);
    }
    for (const auto kind : {Change::Kind::created, Change::Kind::modified, Change::Kind::deleted})
      EXPECT_GT(kinds[kind], 50u) << "the rounds do too little";
  });
}

TEST_F(History, what_is_touched_is_no_change) {
  ChangeHistory history({lower_}, "");
  write(lower_ / "same", "text");
  write(upper_ / "same", "text");
  write(upper_ / "new", "text");
  EXPECT_EQ(changes(history), Lines{"created file new"});
  for (const char* name : {"same", "new"}) fs::last_write_time(upper_ / name, fs::file_time_type::clock::now());
  EXPECT_EQ(changes(history), Lines{});
  write(upper_ / "same", "TEXT");
  EXPECT_EQ(changes(history), Lines{"modified file same"});
  write(upper_ / "same", "text");
  EXPECT_EQ(changes(history), Lines{"modified file same"}) << "back to what it was at first, but not before";
}

TEST_F(History, names_have_the_prefix) {
  ChangeHistory history({lower_}, "work/");
  write(upper_ / "new", "text");
  EXPECT_EQ(changes(history), Lines{"created file work/new"});
  fs::remove(upper_ / "new");
  EXPECT_EQ(changes(history), Lines{"deleted file work/new"});
}

TEST_F(History, an_unfinished_walk_names_no_removals) {
  ChangeHistory history({lower_}, "");
  for (int i = 0; i < 20; ++i) write(upper_ / std::to_string(i), "text");
  EXPECT_EQ(next(history).changes.size(), 20u);
  const UniqueFd upper(::open(upper_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::stop_source stopped;
  stopped.request_stop();
  const auto none = history.next(upper.get(), stopped.get_token());
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->truncated);
  EXPECT_EQ(none->changes.size(), 0u);
  fs::remove(upper_ / "7");
  const CollectedFiles after = next(history);
  EXPECT_TRUE(after.truncated) << "it can't be told what happened before";
  EXPECT_EQ(after.changes.size(), 0u);
  write(upper_ / "8", "more");
  fs::remove(upper_ / "9");
  EXPECT_EQ(changes(history), (Lines{"modified file 8", "deleted file 9"}));
}

}  // namespace
}  // namespace casemate
