#include "remote/stream_queue.h"

namespace casemate {

StreamQueue::~StreamQueue() {
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

bool StreamQueue::wait_until(std::chrono::system_clock::time_point deadline) {
  void* tag = nullptr;
  bool ok = false;
  if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return false;
  static_cast<StreamEvents*>(tag)->proceed(ok);
  return true;
}

void StreamQueue::wait() {
  void* tag = nullptr;
  bool ok = false;
  if (queue_.Next(&tag, &ok)) static_cast<StreamEvents*>(tag)->proceed(ok);
}

}  // namespace casemate
