// What a worker says of itself: what is read of it is safe for a screen, and written again it is the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/terminal.h"
#include "witness/worker_facts.h"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  auto read = read_facts(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!read) return 0;
  for (std::string* words : {&read->kernel, &read->machine, &read->python}) {
    require(*words == printable_line(*words) && !words->contains('\n'));
    words->resize(std::min<std::size_t>(words->size(), 200));  // escaped they may be longer than is read of them
    *words = printable_line(*words);
  }
  const auto again = read_facts(facts_text(*read));
  require(again && again->uid == read->uid && again->cpus == read->cpus && again->user_namespace_problem == read->user_namespace_problem);
  require(again->fresh_proc == read->fresh_proc && again->at_root == read->at_root && again->has_network == read->has_network);
  return 0;
}
