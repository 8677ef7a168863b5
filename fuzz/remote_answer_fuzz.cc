// What an engine says it can do, what an action came to, and why something failed: checked values, or a line for people.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <google/protobuf/stubs/logging.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "remote/action_result.h"
#include "remote/capabilities.h"
#include "remote/channel.h"
#include "remote/inquiry.h"
#include "remote/patience.h"
#include "remote/protocol/status.pb.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

void check_line(const std::string& line) { require(line == printable_line(line) && !line.contains('\n') && line.size() < 100'000); }

void check_offer(std::string_view bytes) {
  protocol::ServerCapabilities said;
  if (!said.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto offer = offer_of(said, said);
  if (!offer) return check_line(offer.error().what);
  require(offer->most_batch > 0 && offer->most_batch <= kMostMessage && offer->least_priority.first <= offer->least_priority.second);
  for (const HostFeature& row : offer_features(*offer)) check_line(row.meaning);
}

void check_output(const ActionOutput& output) {
  require(!output.path.starts_with('/') && !("/" + output.path + "/").contains("/../") && !output.path.contains('\0'));
  if (output.kind == ActionOutput::Kind::symlink) {
    require(is_link_target(output.target));
  } else {
    require(is_sha256_hex(output.digest.hash));
  }
}

void check_result(std::string_view bytes) {
  protocol::ActionResult said;
  if (!said.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  auto view = view_of(said);
  if (!view) return check_line(view.error().what);
  require(view->worker == printable_name(view->worker));
  for (const ActionOutput& output : view->outputs) check_output(output);
  view->worker = "";  // escaped it may be longer than is read of it
  const auto again = view_of(result_of(*view));
  require(again && again->outputs.size() == view->outputs.size() && again->out == view->out && again->err == view->err);
  require(again->out_digest == view->out_digest && again->err_digest == view->err_digest && again->exit_code == view->exit_code);
}

void check_status(std::string_view bytes) {
  google::rpc::Status said;
  if (!said.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const grpc::Status status = status_of(said);
  require(status.ok() == (said.code() == 0));
  check_line(words_of(status));
  (void)says_missing(status);
  (void)is_transient(status);
}

}  // namespace

// What it says of each text that is no UTF-8 would be most of the time.
extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*words*/) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr void (*kChecks[])(std::string_view) = {check_offer, check_result, check_status};
  kChecks[data[0] % 3](bytes);
  return 0;
}
