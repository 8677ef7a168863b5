// The store on a file system that is full.
#include "store/store.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/history.h"
#include "store/tree.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

constexpr int kSkip = 77;
const std::string kKey(64, 'a');

// Runs `body` in a child with a mount namespace of its own, where `directory` is a tmpfs of 1 MiB. The body gives a line for each thing
// that is wrong.
template <class Body>
void on_a_small_disk(const Body& body) {
  char name[] = "/tmp/casemate-full-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    if (::unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) < 0) ::_exit(kSkip);
    if (uid != 0) {
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << uid << ' ' << uid << " 1\n";
      std::ofstream("/proc/self/gid_map") << gid << ' ' << gid << " 1\n";
    }
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0 || ::mount("tmpfs", name, "tmpfs", 0, "size=1m,mode=700") < 0)
      ::_exit(kSkip);
    const std::string wrong = body(std::string(name));
    if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
    ::_exit(wrong.empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ::rmdir(name);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kSkip) GTEST_SKIP() << "no mount namespace may be made here";
  EXPECT_EQ(status, 0);
}

TEST(StoreOnAFullDisk, says_so_and_leaves_nothing) {
  on_a_small_disk([](const std::string& directory) -> std::string {
    auto store = Store::open({directory + "/cache"});
    if (!store) return store.error().what;
    const auto kept = store->put_blob(std::string(300'000, 'k'));
    if (!kept) return kept.error().what;
    const auto blob = store->put_blob(std::string(2'000'000, 'x'));
    if (blob || blob.error().code != ErrorCode::exhausted) return "a blob larger than the disk was not refused";
    if (blob.error().what.find(directory) == std::string::npos) return "the directory is not named: " + blob.error().what;
    const auto layer = store->make_layer(kKey, "too large", [](const std::string& tree) -> Result<void> {
      const UniqueFd fd(::open((tree + "/file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      return write_all(fd.get(), std::string(2'000'000, 'y'));
    });
    if (layer || layer.error().code != ErrorCode::exhausted) return "a layer larger than the disk was not refused";
    for (const char* part : {"/cache/tmp", "/cache/locks", "/cache/layers"}) {
      std::error_code missing;
      if (fs::directory_iterator(directory + part, missing) != fs::directory_iterator()) return std::string(part) + " is not empty";
    }
    // Full to the last block: what is there can still be evicted.
    {
      const UniqueFd fd(::open((directory + "/ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      while (write_all(fd.get(), std::string(4096, 'z'))) continue;
    }
    const auto freed = store->prune(0);
    if (!freed || *freed != 300'000) return "nothing was evicted from a full disk" + (freed ? "" : ": " + freed.error().what);
    return store->put_blob("fits again") ? "" : "no space after eviction";
  });
}

TEST(HistoryOnAFullDisk, says_so_and_loses_nothing_older) {
  on_a_small_disk([](const std::string& directory) -> std::string {
    ::setenv("CASEMATE_STATE_DIR", directory.c_str(), 1);
    RunRecord record;
    record.name = "kept";
    if (!spool_run(record)) return "can't spool";
    {
      auto history = History::open();
      if (!history || history->find({})->size() != 1) return "the first run is missing";
    }
    const std::string ballast = directory + "/ballast";
    {
      const UniqueFd fd(::open(ballast.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      while (write_all(fd.get(), std::string(4096, 'z'))) continue;
    }
    const auto refused = spool_run(record);
    if (refused || refused.error().code != ErrorCode::exhausted) return "a full disk was not told";
    ::unlink(ballast.c_str());
    if (!spool_run(record)) return "can't spool again";
    auto history = History::open();
    if (!history) return history.error().what;
    return history->find({})->size() == 2 ? "" : "runs are missing";
  });
}

// Runs `body` in a child that is an unprivileged user.
template <class Body>
int as_nobody(const Body& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setresgid(65534, 65534, 65534) < 0 || ::setresuid(65534, 65534, 65534) < 0) ::_exit(kSkip);
    const std::string wrong = body();
    if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
    ::_exit(wrong.empty() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

TEST(StoreOfAUser, tells_of_files_it_may_not_remove_and_goes_on) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make files of another owner";
  char name[] = "/tmp/casemate-owner-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  ASSERT_EQ(::chown(name, 65534, 65534), 0);
  const std::string directory = name;
  EXPECT_EQ(as_nobody([&]() -> std::string {
              auto store = Store::open({directory});
              if (!store) return store.error().what;
              const auto fill = [](const std::string& tree) -> Result<void> {
                fs::create_directory(tree + "/theirs");
                std::ofstream(tree + "/theirs/file") << "x";
                return {};
              };
              return store->make_layer(kKey, "shifted", fill) && store->put_blob("mine") ? "" : "nothing was made";
            }),
            0);
  // As a builder whose ids are shifted leaves it.
  ASSERT_EQ(::chown((directory + "/layers/" + kKey + "/tree/theirs").c_str(), 1, 1), 0);
  EXPECT_EQ(as_nobody([&]() -> std::string {
              auto store = Store::open({directory});
              if (!store) return store.error().what;
              std::vector<Error> problems;
              const auto freed = store->prune(0, &problems);
              if (!freed || *freed != 4) return "the rest was not removed";
              if (problems.empty() || problems[0].what.find("theirs") == std::string::npos) return "the path was not named";
              if (!store->entries()->empty()) return "it is still in the cache";
              problems.clear();
              if (!Store::open({directory}) || !store->prune(0, &problems) || problems.size() != 1)
                return "the next prune does not say so again";
              return "";
            }),
            0);
  auto store = Store::open({directory});  // as root, who may
  ASSERT_FALSE(store) << "another user's directory is refused";
  ASSERT_EQ(::chown(name, 0, 0), 0);
  store = Store::open({directory});
  ASSERT_TRUE(store);
  EXPECT_TRUE(store->prune(0));
  EXPECT_TRUE(fs::is_empty(directory + "/tmp"));
  EXPECT_TRUE(remove_tree(directory));
}

}  // namespace
}  // namespace casemate
