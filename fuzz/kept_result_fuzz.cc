// An entry of the result cache, with any content behind a right sum: it is a result, or it is none and goes.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "action/messages.h"
#include "action/result_cache.h"
#include "base/digest.h"
#include "sys/fd.h"

namespace {

using namespace casemate;
namespace fs = std::filesystem;

void require(bool truth) {
  if (!truth) std::abort();
}

// A store with one entry.
struct Place {
  std::string top = fs::exists("/dev/shm") ? "/dev/shm" : "/var/tmp";
  std::optional<Store> store;
  BlobDigest action = digest_of("action");

  Place() {
    top += fmt::format("/casemate-fuzz-result.{}", ::getpid());
    fs::create_directories(top + "/to");
    auto opened = Store::open({.directory = top + "/store"});
    require(opened.has_value());
    store.emplace(std::move(*opened));
  }
  ~Place() {
    store.reset();
    fs::remove_all(top);
  }

  // The file that holds the result; made again where the last one was removed.
  std::string result() {
    ResultCache cache(*store);
    if (!cache.has(action)) {
      JobResult result;
      result.outcome = {Outcome::Kind::exited};
      result.exit_status = 0;
      require(cache.keep(action, result, "", "fuzz").has_value());
    }
    for (const auto& entry : fs::recursive_directory_iterator(top + "/store")) {
      if (entry.path().filename() == "result") return entry.path();
    }
    std::abort();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Place place;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  {
    const UniqueFd file(::open(place.result().c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    require(file && write_all(file.get(), bytes + sha256_hex(bytes)).has_value());
  }
  ResultCache cache(*place.store);
  const auto found = cache.find(place.action, size % 2 == 0 ? "" : place.top + "/to");
  require(found.has_value() && found->has_value() == cache.has(place.action));
  if (*found) require(why_not_kept((*found)->result).empty());
  return 0;
}
