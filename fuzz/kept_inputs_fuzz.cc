// What is kept beside a store of trees, digests and inputs, with any content behind a right sum: what is read of it is sound or nothing.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "action/digest_cache.h"
#include "action/input_history.h"
#include "action/kept_tree.h"
#include "action/messages.h"
#include "base/digest.h"
#include "sys/fd.h"

namespace {

using namespace casemate;
namespace fs = std::filesystem;

void require(bool truth) {
  if (!truth) std::abort();
}

const std::vector<std::string> kArgv = {"true"};

JobInputs inputs() {
  InputDirectory directory;
  directory.files["a"] = input_file("x");
  directory.symlinks["b"] = "a";
  JobInputs made{.words = {{"variable A", "1"}, {"word", "w"}}, .trees = {{"/app", seal(std::move(directory))}}};
  made.action = digest_of("action");
  return made;
}

// A store's directory, and which of its files have which kind of content.
struct Place {
  std::string store = fs::exists("/dev/shm") ? "/dev/shm" : "/var/tmp";
  std::string layer, tree, digests, listing;

  Place() {
    store += fmt::format("/casemate-fuzz-kept.{}", ::getpid());
    layer = store + "/layers/one";
    fs::create_directories(layer);
    keep_tree(store, std::vector{layer}, *empty_input());
    tree = fs::directory_iterator(store + "/digests")->path();
    digests = fmt::format("{}/digests/{}", store, sha256_hex("files\nfuzz"));
    InputHistory(store).record("/", kArgv, inputs());
    listing = fmt::format("{}/inputs/{}", store, inputs().trees[0].tree->digest.hash);
  }
  ~Place() { fs::remove_all(store); }
};

void put(const std::string& path, std::string_view bytes) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  require(file && write_all(file.get(), std::string(bytes) + sha256_hex(bytes)).has_value());
}

void check(const InputDirectory& tree, std::size_t depth) {
  require(depth <= kDeepestInput && digest_of(tree.message) == tree.digest);
  for (const auto& [name, file] : tree.files) require(!name.empty() && !name.contains('/') && is_sha256_hex(file.blob.digest.hash));
  for (const auto& [name, child] : tree.directories) {
    require(!name.empty() && !name.contains('/') && child != nullptr);
    check(*child, depth + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Place place;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const JobInputs now = inputs();
  const InputHistory history(place.store);
  std::size_t all = 0;
  switch (data[0] % 4) {
    case 0: {
      put(place.tree, bytes);
      if (const auto tree = kept_tree(place.store, std::vector{place.layer})) check(*tree, 0);
      break;
    }
    case 1: {
      put(place.digests, bytes);
      DigestCache cache(place.store, "fuzz");
      if (const auto known = cache.known({})) require(is_sha256_hex(known->hash));
      break;
    }
    case 2: {
      // Of the command, and of its program whatever its arguments are.
      for (const auto& entry : fs::directory_iterator(place.store + "/inputs")) {
        if (entry.path() != place.listing) put(entry.path(), bytes);
      }
      const auto last = history.last("/", kArgv);
      if (last) require(history.differences(*last, now, 20, all).size() <= 20);
      break;
    }
    default: {
      put(place.listing, bytes);
      RecordedInputs before{.words = now.words,
                            .trees = {{"/app", now.trees[0].tree->digest.hash}, {"/other", now.trees[0].tree->digest.hash}}};
      require(history.differences(before, now, 20, all).size() <= all);
    }
  }
  return 0;
}
