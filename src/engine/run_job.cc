#include "engine/run_job.h"

#include <utility>

namespace casemate {
namespace {

class OutputTo final : public JobListener {
 public:
  explicit OutputTo(std::function<void(Stream, std::string_view)> function) : function_(std::move(function)) {}
  void output(Stream stream, std::string_view bytes) override {
    if (function_) function_(stream, bytes);
  }

 private:
  std::function<void(Stream, std::string_view)> function_;
};

}  // namespace

RunJob run_jobs_on(Engine& engine) {
  return [&engine](Job job, std::function<void(Stream, std::string_view)> on_output) {
    OutputTo listener(std::move(on_output));
    return engine.run(std::move(job), &listener);
  };
}

}  // namespace casemate
