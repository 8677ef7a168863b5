// Any bytes as a lock file: refused in one line, or read, and then a pin can be added which is there when it is read again, with all
// others.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <unistd.h>

#include "image/image_lock.h"
#include "sys/fd.h"

namespace {

// A file of this process alone; its name outlives what atexit() calls.
const std::string& path() {
  static const std::string& made = *new std::string([] {
    char name[] = "/dev/shm/casemate_fuzz.XXXXXX";
    if (!::mkdtemp(name)) std::abort();
    std::atexit([] {
      ::unlink(path().c_str());
      ::rmdir(path().substr(0, path().rfind('/')).c_str());
    });
    return std::string(name) + "/lock";
  }());
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  {
    const auto file = open_file(path(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!file || !write_all(file->get(), std::string_view(reinterpret_cast<const char*>(data), size))) std::abort();
  }
  auto lock = ImageLock::read(path());
  if (!lock) {
    if (lock.error().code != ErrorCode::invalid_input || lock.error().what.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const ImageReference pinned{.kind = ImageReference::Kind::registry, .name = "docker.io/library/python", .tag = "3.10"};
  const ImageReference other{.kind = ImageReference::Kind::registry, .name = "docker.io/library/python", .tag = "3.11"};
  const auto before = lock->digest(other);
  const std::string digest = "sha256:" + std::string(64, 'a');
  if (!lock->pin(pinned, digest) && lock->digest(pinned) != digest) std::abort();
  if (!lock->save()) std::abort();
  const auto again = ImageLock::read(path());
  if (!again || again->digest(pinned) != digest || again->digest(other) != before) std::abort();
  return 0;
}
