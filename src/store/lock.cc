#include "store/lock.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

namespace casemate {
namespace {

// One byte of the (empty) file for each lock.
struct ::flock range(LockFile::Part part, short type) {
  struct ::flock range{};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = part == LockFile::Part::make ? 1 : 0;
  range.l_len = part == LockFile::Part::both ? 2 : 1;
  return range;
}

short type_of(LockFile::Mode mode) { return mode == LockFile::Mode::shared ? F_RDLCK : F_WRLCK; }

}  // namespace

Result<LockFile> LockFile::open(const std::string& path, bool create) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (create ? O_CREAT : 0), 0600);
  if (fd < 0) return fail_errno("open the lock " + path);
  return LockFile(path, UniqueFd(fd));
}

Result<bool> LockFile::try_lock(Part part, Mode mode) {
  struct ::flock wanted = range(part, type_of(mode));
  if (::fcntl(fd_.get(), F_OFD_SETLK, &wanted) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return fail_errno("lock " + path_);
}

Result<void> LockFile::lock(Part part, Mode mode) {
  struct ::flock wanted = range(part, type_of(mode));
  while (::fcntl(fd_.get(), F_OFD_SETLKW, &wanted) < 0) {
    if (errno != EINTR) return fail_errno("lock " + path_);
  }
  return {};
}

void LockFile::unlock(Part part) {
  struct ::flock wanted = range(part, F_UNLCK);
  ::fcntl(fd_.get(), F_OFD_SETLK, &wanted);
}

bool LockFile::held_by_others(Part part, Mode mode) const {
  struct ::flock wanted = range(part, type_of(mode));
  return ::fcntl(fd_.get(), F_OFD_GETLK, &wanted) == 0 && wanted.l_type != F_UNLCK;
}

bool LockFile::current() const {
  struct stat ours{}, named{};
  return ::fstat(fd_.get(), &ours) == 0 && ::lstat(path_.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

void LockFile::remove() { ::unlink(path_.c_str()); }

}  // namespace casemate
