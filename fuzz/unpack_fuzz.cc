// Any bytes as a layer: refused in one line or unpacked inside its directory, with nothing special in it and the canary beside it
// unchanged. Checksums are set right first, or hardly any mutation would get past them.
#include "image/unpack.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/path.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

constexpr std::size_t kBlock = 512;

void seal(char* block) {
  std::memset(block + 148, ' ', 8);
  unsigned sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += static_cast<unsigned char>(block[i]);
  for (int i = 5; i >= 0; --i, sum >>= 3) block[148 + i] = static_cast<char>('0' + (sum & 7));
  block[154] = '\0';
}

// The headers as a reader would meet them, each with its checksum.
std::string sealed(std::string tar) {
  for (std::size_t at = 0; at + kBlock <= tar.size();) {
    if (std::all_of(tar.begin() + static_cast<std::ptrdiff_t>(at), tar.begin() + static_cast<std::ptrdiff_t>(at + kBlock),
                    [](char c) { return c == '\0'; }))
      break;
    seal(tar.data() + at);
    const std::size_t size = std::strtoul(tar.substr(at + 124, 11).c_str(), nullptr, 8);
    at += kBlock + (std::min(size, tar.size()) + kBlock - 1) / kBlock * kBlock;
  }
  return tar;
}

// Two directories, made once: `out`, emptied after each run, and the canary.
struct Place {
  UniqueFd top;
  Place() {
    std::string name = "/dev/shm/casemate_fuzz.XXXXXX";
    require(::mkdtemp(name.data()) != nullptr);
    top = UniqueFd(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    path = name;
    require(::mkdirat(top.get(), "canary", 0755) == 0);
    const UniqueFd secret(::openat(top.get(), "canary/secret", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    require(static_cast<bool>(write_all(secret.get(), "canary")));
    before = state();
  }
  ~Place() {
    const UniqueFd shm(::open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    (void)remove_tree_at(shm.get(), path.substr(path.rfind('/') + 1));
  }
  // What an escape would change.
  [[nodiscard]] std::string state() const {
    std::string text;
    for (const char* name : {"canary", "canary/secret"}) {
      struct stat info{};
      require(::fstatat(top.get(), name, &info, AT_SYMLINK_NOFOLLOW) == 0);
      for (const std::uint64_t number : {static_cast<std::uint64_t>(info.st_mode), static_cast<std::uint64_t>(info.st_nlink),
                                         static_cast<std::uint64_t>(info.st_ctim.tv_sec), static_cast<std::uint64_t>(info.st_ctim.tv_nsec)})
        text += std::to_string(number) + " ";
    }
    return text;
  }
  std::string path;
  std::string before;
};

void check_tree(TreePosition& position) {
  std::vector<std::string> directories;
  DirectoryReader reader(position.fd());
  for (;;) {
    auto entry = reader.next();
    require(entry.has_value());
    if (!*entry) break;
    const std::string name((*entry)->name);
    const auto info = stat_beneath(position.fd(), name);
    require(info.has_value());
    require(S_ISREG(info->st_mode) || S_ISDIR(info->st_mode) || S_ISLNK(info->st_mode) || (S_ISCHR(info->st_mode) && info->st_rdev == 0));
    require((info->st_mode & 06000) == 0);
    if (S_ISDIR(info->st_mode)) directories.push_back(name);
  }
  for (const std::string& name : directories) {
    require(position.enter(name).has_value());
    check_tree(position);
    require(position.leave().has_value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Place place;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (!bytes.starts_with("\x1f\x8b") && !bytes.starts_with("\x28\xb5")) bytes = sealed(std::move(bytes));
  const UniqueFd blob(::memfd_create("layer", MFD_CLOEXEC));
  require(static_cast<bool>(write_all(blob.get(), bytes)));
  ::lseek(blob.get(), 0, SEEK_SET);
  require(::mkdirat(place.top.get(), "out", 0755) == 0);
  {
    const UniqueFd out(::openat(place.top.get(), "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    require(::symlinkat("../canary", out.get(), "planted") == 0);
    const auto result = unpack_layer(blob.get(), out.get(), {.limits = {.bytes = 1 << 20, .entries = 200, .depth = 20}});
    if (!result)
      require(!result.error().what.empty() && result.error().what.find('\n') == std::string::npos &&
              result.error().code != ErrorCode::internal);
    auto position = TreePosition::start(out.get(), 0700);
    require(position.has_value());
    check_tree(*position);
  }
  require(place.state() == place.before);
  require(static_cast<bool>(remove_tree_at(place.top.get(), "out")));
  return 0;
}
