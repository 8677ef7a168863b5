// DiskWatch on a small tmpfs of its own, with files that are really written.
#include "engine/disk_watch.h"

#include <poll.h>
#include <sys/mount.h>

#include <gtest/gtest.h>

#include "scratch.h"

namespace casemate {
namespace {

class DiskWatchTest : public Scratch {
 protected:
  // `body` runs with a tmpfs of 64 MiB at `small()`.
  template <class Body>
  void on_a_small_disk(Body body) {
    fs::create_directory(small());
    in_mount_namespace([&] {
      ASSERT_EQ(::mount("tmpfs", small().c_str(), "tmpfs", 0, "size=64m"), 0) << std::strerror(errno);
      body();
    });
  }
  [[nodiscard]] fs::path small() const { return top_ / "small"; }
  [[nodiscard]] Job job(std::uint64_t bytes, bool writable = true) const {
    Job job;
    job.mounts.push_back({.kind = Mount::Kind::bind, .source = small(), .target = "/work", .writable = writable, .bytes = bytes});
    return job;
  }
  static UniqueFd file_of(const fs::path& path, int mebibytes) {
    UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (mebibytes > 0) EXPECT_EQ(::posix_fallocate(file.get(), 0, static_cast<off_t>(mebibytes) << 20), 0);
    return file;
  }
  static bool speaks(const DiskWatch& watch, int milliseconds) {
    pollfd ready{watch.fd(), POLLIN, 0};
    return ::poll(&ready, 1, milliseconds) == 1;
  }
};

TEST_F(DiskWatchTest, SaysThatTooMuchWasWrittenHoweverDeepAndScattered) {
  on_a_small_disk([&] {
    const auto watch = DiskWatch::begin(job(8u << 20));
    ASSERT_TRUE(watch) << watch.error().what;
    fs::path place = small();
    for (int i = 0; i < 12; ++i) {
      place /= "deeper";
      fs::create_directory(place);
      file_of(place / "file", 1);
    }
    ASSERT_TRUE(speaks(**watch, 60'000));
    EXPECT_NE((*watch)->problem().text.find("more than 8.0 MiB were written below"), std::string::npos) << (*watch)->problem().text;
    EXPECT_EQ((*watch)->problem().step, kManyBytes);
  });
}

TEST_F(DiskWatchTest, NamesOfOneFileCountOnceAndOtherFilesNot) {
  on_a_small_disk([&] {
    fs::create_directory(small() / "work");
    Job job = this->job(8u << 20);
    job.mounts[0].source = small() / "work";
    const auto watch = DiskWatch::begin(job);
    ASSERT_TRUE(watch) << watch.error().what;
    file_of(small() / "work/file", 6);
    for (const char* name : {"one", "two", "three"}) fs::create_hard_link(small() / "work/file", small() / "work" / name);
    file_of(small() / "of-somebody-else", 20);
    EXPECT_FALSE(speaks(**watch, 500)) << (*watch)->problem().text;
    file_of(small() / "work/more", 3);
    EXPECT_TRUE(speaks(**watch, 60'000));
  });
}

TEST_F(DiskWatchTest, SaysThatThereAreTooManyFiles) {
  on_a_small_disk([&] {
    fs::create_directories(small() / "work/deeper");
    Job job = this->job(100u * 4096);
    job.mounts[0].source = small() / "work";
    const auto watch = DiskWatch::begin(job);
    ASSERT_TRUE(watch) << watch.error().what;
    for (int i = 0; i < 90; ++i) file_of(small() / "work/deeper" / std::to_string(i), 0);
    for (int i = 0; i < 200; ++i) file_of(small() / std::to_string(i), 0);
    EXPECT_FALSE(speaks(**watch, 500)) << (*watch)->problem().text;
    for (int i = 0; i < 20; ++i) fs::create_directory(small() / "work" / std::to_string(i));
    ASSERT_TRUE(speaks(**watch, 60'000));
    EXPECT_NE((*watch)->problem().text.find("more than 100 files were made below"), std::string::npos) << (*watch)->problem().text;
    EXPECT_EQ((*watch)->problem().step, kManyFiles);
  });
}

TEST_F(DiskWatchTest, SeesAFullDiskThoughNoFileHasAName) {
  on_a_small_disk([&] {
    const auto watch = DiskWatch::begin(job(1u << 30));
    ASSERT_TRUE(watch) << watch.error().what;
    const UniqueFd hidden = file_of(small() / "file", 60);
    fs::remove(small() / "file");
    ASSERT_TRUE(speaks(**watch, 60'000));
    EXPECT_NE((*watch)->problem().text.find("nearly full"), std::string::npos) << (*watch)->problem().text;
    EXPECT_EQ((*watch)->problem().step, kDiskFull);
  });
}

TEST_F(DiskWatchTest, OnlyWritableBindsWithASizeAreWatched) {
  fs::create_directory(small());
  const auto watch = DiskWatch::begin(job(1u << 20, false));
  ASSERT_TRUE(watch);
  EXPECT_EQ(*watch, nullptr);
}

}  // namespace
}  // namespace casemate
