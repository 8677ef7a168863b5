// test_claims: who tests what at present, so that no two tests share a directory of a workspace: threads, testers and processes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate::runtime {

class TestClaims;

/// Directories that are its owner's alone as long as it lives. It must not outlive its TestClaims.
class TestClaim {
 public:
  TestClaim() = default;
  TestClaim(TestClaim&& other) noexcept : claims_(std::exchange(other.claims_, nullptr)), keys_(std::move(other.keys_)) {}
  TestClaim& operator=(TestClaim&& other) noexcept;
  TestClaim(const TestClaim&) = delete;
  TestClaim& operator=(const TestClaim&) = delete;
  ~TestClaim() { release(); }

 private:
  friend class TestClaims;
  explicit TestClaim(TestClaims& claims) : claims_(&claims) {}
  void release();

  TestClaims* claims_ = nullptr;
  std::vector<std::int64_t> keys_;
};

/// How long somebody waits for another's test, and who is told.
struct ClaimPatience {
  std::chrono::milliseconds most{60'000};
  std::function<void(const std::string& line)> tell;  ///< called once, before it waits; and if other processes can't be seen
  std::function<bool()> interrupted;                  ///< asked while it waits
};

/// One tester's claims: bytes of one empty file that all testers of this user lock (fcntl(2), F_OFD_SETLK, Linux 3.15), at the hash of a
/// directory's real path, so one descriptor holds any number and nothing is left in a workspace. Another claim of the same object waits
/// like another process. Safe from several threads.
class TestClaims {
 public:
  /// `file` "": runtime.lock in state_directory(). It is made when the first claim is; where it can't be, claims hold within this object
  /// alone.
  explicit TestClaims(std::string file = "") : path_(std::move(file)) {}
  TestClaims(const TestClaims&) = delete;
  TestClaims& operator=(const TestClaims&) = delete;

  /// Claims the entries `names` of the directory `workspace`, all or none; in one order, so that no two wait for each other. refused: one
  /// is somebody else's for longer than `patience`; cancelled: interrupted.
  [[nodiscard]] Result<TestClaim> claim(const std::string& workspace, const std::vector<std::string>& names, const ClaimPatience& patience);

 private:
  friend class TestClaim;
  enum class Taken { yes, no };
  Result<Taken> take(std::int64_t key);
  void give_back(std::int64_t key);

  std::string open();  // why other processes will not see these claims; "": they will

  std::string path_;
  UniqueFd file_;
  std::once_flag opened_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::set<std::int64_t> ours_;
};

}  // namespace casemate::runtime
