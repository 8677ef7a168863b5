// layers_once STORE PROJECT GLOB: makes the layers of one glob over the host as a program's start would, and prints the seconds from
// opening the store until a job could begin, and the number of layers. What the store does afterwards in a thread of its own is not in it.
#include <chrono>
#include <cstdlib>

#include <fmt/format.h>

#include "image/project_layers.h"

int main(int argc, char** argv) {
  using namespace casemate;
  if (argc != 4) return 2;
  const auto start = std::chrono::steady_clock::now();
  auto store = Store::open({.directory = argv[1]});
  Root root;
  const auto made = store ? add_layers(root, {GlobLayer{.glob = argv[3]}}, {*store, argv[2], {}, {}}) : std::unexpected(store.error());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  if (!made) {
    fmt::print(stderr, "layers_once: {}\n", made.error().what);
    return 1;
  }
  fmt::print("{:.6f} {}\n", took.count(), root.layers.size());
  return 0;
}
