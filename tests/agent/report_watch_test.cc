#include "apps/agent/report_watch.h"

#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "scratch_directory.h"
#include "sys/fd.h"

namespace casemate {
namespace {

class ReportWatchTest : public ScratchDirectory {
 protected:
  void write(const std::string& name) const {
    const UniqueFd file(::open((directory_ + "/" + name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(file);
  }
  ReportWatch watch() const {
    auto begun = ReportWatch::begin(directory_);
    EXPECT_TRUE(begun) << begun.error().what;
    return std::move(*begun);
  }
};

TEST_F(ReportWatchTest, CountsHowOftenAFileWasWritten) {
  ReportWatch watching = watch();
  write("other.xml");
  EXPECT_EQ(watching.writes("report.xml"), 0u);
  write("report.xml");
  EXPECT_EQ(watching.writes("report.xml"), 1u);
  write("report.xml");
  ASSERT_EQ(::rename((directory_ + "/other.xml").c_str(), (directory_ + "/report.xml").c_str()), 0);
  EXPECT_EQ(watching.writes("report.xml"), 2u);
}

// Who hides a second write behind more events than the kernel keeps (fs.inotify.max_queued_events) has written twice as far as we know.
TEST_F(ReportWatchTest, TakesWhatItCouldNotSeeForMoreThanOneWrite) {
  ReportWatch watching = watch();
  std::size_t kept = 16'384;
  if (const auto text = read_file("/proc/sys/fs/inotify/max_queued_events", 64)) kept = std::stoul(*text);
  if (kept > 1'000'000) GTEST_SKIP() << "this host keeps " << kept << " events";
  for (std::size_t i = 0; i <= kept; i += 2) {
    write("a");
    write("b");
  }
  write("report.xml");
  EXPECT_GT(watching.writes("report.xml"), 1u);
}

}  // namespace
}  // namespace casemate
