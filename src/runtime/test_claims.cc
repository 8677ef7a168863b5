#include "runtime/test_claims.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>

#include "base/digest.h"
#include "base/directories.h"
#include "base/terminal.h"

namespace casemate::runtime {
namespace {

using std::chrono::milliseconds;

constexpr auto kLook = milliseconds(50);  // at others' locks: a wait of the kernel's would hear of no interruption

struct ::flock one_byte(std::int64_t at, short type) {
  struct ::flock range{};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = at;
  range.l_len = 1;
  return range;
}

// Any byte but the last one, whose end would be no offset.
std::int64_t key_of(const std::string& path) {
  return static_cast<std::int64_t>(std::stoull(sha256_hex(path).substr(0, 16), nullptr, 16) % std::numeric_limits<std::int64_t>::max());
}

std::string real_path(const std::string& directory) {
  char real[PATH_MAX];
  return ::realpath(directory.c_str(), real) ? real : directory;
}

}  // namespace

TestClaim& TestClaim::operator=(TestClaim&& other) noexcept {
  if (this == &other) return *this;
  release();
  claims_ = std::exchange(other.claims_, nullptr);
  keys_ = std::move(other.keys_);
  return *this;
}

void TestClaim::release() {
  if (claims_) {
    for (const std::int64_t key : keys_) claims_->give_back(key);
  }
  claims_ = nullptr;
  keys_.clear();
}

std::string TestClaims::open() {
  const std::string file = path_.empty() ? state_directory() + "/runtime.lock" : path_;
  std::error_code problem;
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), problem);
  auto opened = open_file(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (!opened) return opened.error().what;
  file_ = std::move(*opened);
  return "";
}

Result<TestClaims::Taken> TestClaims::take(std::int64_t key) {
  const std::lock_guard lock(mutex_);
  if (ours_.contains(key)) return Taken::no;
  if (file_) {
    struct ::flock wanted = one_byte(key, F_WRLCK);
    if (::fcntl(file_.get(), F_OFD_SETLK, &wanted) < 0) {
      if (errno == EAGAIN || errno == EACCES) return Taken::no;
      return fail_errno("lock the directory of a test");
    }
  }
  ours_.insert(key);
  return Taken::yes;
}

void TestClaims::give_back(std::int64_t key) {
  const std::lock_guard lock(mutex_);
  if (file_) {
    struct ::flock wanted = one_byte(key, F_UNLCK);
    ::fcntl(file_.get(), F_OFD_SETLK, &wanted);
  }
  ours_.erase(key);
  freed_.notify_all();
}

Result<TestClaim> TestClaims::claim(const std::string& workspace, const std::vector<std::string>& names, const ClaimPatience& patience) {
  std::call_once(opened_, [&] {
    const std::string trouble = open();
    if (!trouble.empty() && patience.tell) patience.tell("tests of other processes in this workspace can't be seen: " + trouble);
  });
  const std::string real = real_path(workspace);
  std::vector<std::pair<std::int64_t, const std::string*>> wanted;
  for (const std::string& name : names) wanted.emplace_back(key_of(real + "/" + name), &name);
  std::ranges::sort(wanted, {}, [](const auto& one) { return one.first; });
  const auto again = std::ranges::unique(wanted, {}, [](const auto& one) { return one.first; });
  wanted.erase(again.begin(), again.end());
  TestClaim claim(*this);
  claim.keys_.reserve(wanted.size());
  const auto until = std::chrono::steady_clock::now() + patience.most;
  bool told = false;
  for (const auto& [key, name] : wanted) {
    for (;;) {
      TRY_ASSIGN(const Taken taken, take(key));
      if (taken == Taken::yes) break;
      const std::string said =
          fmt::format("another test of that name is running in this workspace: {}/{}", printable_name(workspace), printable_name(*name));
      if (patience.interrupted && patience.interrupted()) return fail(ErrorCode::cancelled, "interrupted");
      if (std::chrono::steady_clock::now() >= until)
        return fail(ErrorCode::refused, said + ": wait for its end, or name another --workspace-dir (workspace_dir)");
      if (!std::exchange(told, true) && patience.tell)
        patience.tell(fmt::format("{}: waits up to {} s for it", said, std::chrono::ceil<std::chrono::seconds>(patience.most).count()));
      std::unique_lock lock(mutex_);
      freed_.wait_for(lock, kLook);
    }
    claim.keys_.push_back(key);
  }
  return claim;
}

}  // namespace casemate::runtime
