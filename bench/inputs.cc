// What an action's inputs cost: a layer of 300 MB and a project of 500 files, for the first time (all is read), by the next run (a new
// process would read what the store keeps of them), and memory an entry.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <system_error>

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include "action/input_trees.h"
#include "store/store.h"
#include "store/tree.h"

namespace {

using namespace casemate;
namespace fs = std::filesystem;

constexpr std::uint64_t kLayerBytes = 300u << 20;

double milliseconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// Files of this host's /usr, to that many bytes.
Result<void> fill(const std::string& directory) {
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (const char* part : {"/usr/lib/python3", "/usr/share", "/usr/lib"}) {
    for (auto entry = fs::recursive_directory_iterator(part, fs::directory_options::skip_permission_denied, ignored);
         entry != fs::recursive_directory_iterator() && bytes < kLayerBytes; entry.increment(ignored)) {
      if (!entry->is_regular_file(ignored) || entry->is_symlink(ignored) || entry->file_size(ignored) > (20u << 20)) continue;
      const std::string target = directory + entry->path().string();
      fs::create_directories(fs::path(target).parent_path(), ignored);
      if (fs::copy_file(entry->path(), target, ignored)) bytes += entry->file_size(ignored);
    }
  }
  return {};
}

struct Measured {
  double ms = 0;
  std::size_t entries = 0;
  std::uint64_t bytes = 0;
  std::size_t memory = 0;
};

Measured measure(const std::string& store, const std::string& path, bool layer) {
  Measured measured;
  const std::size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  InputTrees trees(store);
  Result<InputTree> tree;
  measured.ms = milliseconds_of([&] { tree = layer ? trees.layers({path}) : trees.directory(path); });
  if (!tree) {
    fmt::print(stderr, "{}\n", tree.error().what);
    std::exit(1);
  }
  measured.memory = ::mallinfo2().uordblks + ::mallinfo2().hblkhd - before;
  for_each_blob(*tree->top, [&](const Blob& blob) {
    ++measured.entries;
    measured.bytes += blob.path.empty() ? 0 : blob.digest.size;
  });
  return measured;
}

void tell(std::string_view what, const std::string& store, const std::string& path, bool layer) {
  const Measured first = measure(store, path, layer);
  Measured next = measure(store, path, layer);
  for (int i = 0; i < 9; ++i) next.ms = std::min(next.ms, measure(store, path, layer).ms);
  fmt::print("{:<10} {:>6} blobs {:>4} MB   first {:8.1f} ms   next {:6.1f} ms   {:.3f}x   {} B an entry\n", what, first.entries,
             first.bytes >> 20, first.ms, next.ms, next.ms / first.ms, next.memory / next.entries);
}

}  // namespace

int main() {
  char name[] = "/var/tmp/casemate-bench-inputs-XXXXXX";
  if (!::mkdtemp(name)) return 1;
  const std::string directory = name;
  {
    auto store = Store::open({.directory = directory + "/cache"});
    if (!store) return 1;
    const auto layer = store->make_layer(std::string(64, 'a'), "bench", fill);
    if (!layer) return 1;
    std::mt19937 random(1);
    for (int i = 0; i < 500; ++i) {
      const std::string file = fmt::format("{}/project/package{}/module{}.py", directory, i / 20, i);
      fs::create_directories(fs::path(file).parent_path());
      std::ofstream out(file);
      for (int line = 0; line < 200; ++line) out << "value = " << random() << '\n';
    }
    ::usleep(300'000);  // files as young as the look are not remembered
    tell("layer", directory + "/cache", layer->path(), true);
    tell("project", directory + "/cache", directory + "/project", false);
  }
  return remove_tree(directory) ? 0 : 1;
}
