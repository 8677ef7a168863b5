// Jobs of /bin/true on an image against the same on host, by turns, in one engine; the arguments are the image's layers, topmost first.
// Prints one line of JSON: medians of a job in ms, wall and CPU.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <sys/resource.h>

#include "job_batch.h"

namespace casemate {
namespace {

constexpr int kBatch = 50;
constexpr int kBatches = 15;

struct Cost {
  double wall = 0;
  double cpu = 0;  // ours and of all cells
};

double cpu_ms() {
  double sum = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage used{};
    ::getrusage(who, &used);
    for (const timeval& part : {used.ru_utime, used.ru_stime})
      sum += static_cast<double>(part.tv_sec) * 1e3 + static_cast<double>(part.tv_usec) / 1e3;
  }
  return sum;
}

Cost batch(Engine& engine, const std::vector<std::string>& layers) {
  Job job = trivial_job();
  if (!layers.empty()) {
    job.image = "bench";
    job.root = layers;
  }
  const double cpu = cpu_ms();
  const auto start = std::chrono::steady_clock::now();
  run_batch(engine, job, kBatch);
  return {std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / kBatch, (cpu_ms() - cpu) / kBatch};
}

double median(const std::vector<Cost>& costs, double Cost::* what) {
  std::vector<double> values;
  for (const Cost& cost : costs) values.push_back(cost.*what);
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace
}  // namespace casemate

int main(int argc, char** argv) {
  using namespace casemate;
  const std::vector<std::string> layers(argv + 1, argv + argc);
  if (layers.empty()) die("name the image's layers");
  auto engine = Engine::create({.slots = 1});
  if (!engine) die(engine.error().what);
  std::vector<Cost> host;
  std::vector<Cost> image;
  for (int i = 0; i <= kBatches; ++i) {
    const Cost on_host = batch(**engine, {});
    const Cost on_image = batch(**engine, layers);
    if (i == 0) continue;  // caches
    host.push_back(on_host);
    image.push_back(on_image);
  }
  fmt::print(R"({{"host_ms": {:.3f}, "image_ms": {:.3f}, "host_cpu_ms": {:.3f}, "image_cpu_ms": {:.3f}, "layers": {}}})"
             "\n",
             median(host, &Cost::wall), median(image, &Cost::wall), median(host, &Cost::cpu), median(image, &Cost::cpu), layers.size());
}
