#include "remote/log_stream.h"

namespace casemate {
namespace {

constexpr unsigned kMostBreaks = 3;
constexpr std::size_t kMostName = 4096;

}  // namespace

void LogStream::begin(const std::string& name) {
  if (given_up_ || !name_.empty() || name.empty() || name.size() > kMostName) return;
  name_ = name;
  open();
}

void LogStream::open() {
  if (!stub_) stub_ = google::bytestream::ByteStream::NewStub(calls_.engine());
  google::bytestream::ReadRequest request;
  request.set_resource_name(name_);
  request.set_read_offset(static_cast<std::int64_t>(offset_));
  stream_ = std::make_unique<IncomingStream<google::bytestream::ReadResponse>>(
      queue_, calls_, stop_,
      [&](grpc::ClientContext& context, grpc::CompletionQueue& on) { return stub_->PrepareAsyncRead(&context, request, &on); });
}

void LogStream::pass_on(ExecutionListener& listener) {
  if (!stream_) return;
  if (stream_->has_message()) {
    offset_ += stream_->message().data().size();
    if (!stream_->message().data().empty()) listener.output(which_, stream_->message().data());
    stream_->next();
  }
  if (!stream_->over()) return;
  const bool again = !stream_->status().ok() && is_transient(stream_->status()) && ++breaks_ <= kMostBreaks && !stop_.stop_requested();
  stream_.reset();
  if (again) open();
}

void LogStream::give_up() {
  given_up_ = true;
  stream_.reset();
}

}  // namespace casemate
