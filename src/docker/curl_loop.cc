#include "docker/curl_loop.h"

#include <utility>

#include <sys/epoll.h>

namespace casemate {
namespace {

constexpr long kKeptConnections = 16;

}  // namespace

Result<std::unique_ptr<CurlLoop>> CurlLoop::create(Reactor& reactor, SocketEvents& sockets, Ended ended) {
  TRY(start_curl());
  std::unique_ptr<CurlLoop> loop(new CurlLoop(reactor, sockets, std::move(ended)));
  loop->multi_ = make_curl_multi();
  if (!loop->multi_) return fail(ErrorCode::exhausted, "libcurl can't start: out of memory");
  CURLM* const multi = loop->multi_.get();
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, loop.get());
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, loop.get());
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kKeptConnections);
  return loop;
}

CurlLoop::~CurlLoop() {
  *gone_ = true;
  multi_.reset();  // drops its sockets, so before the rest
  reactor_.cancel(timer_);
}

Result<void> CurlLoop::add(CURL* easy) {
  const CURLMcode code = curl_multi_add_handle(multi_.get(), easy);
  if (code != CURLM_OK) return fail(ErrorCode::internal, std::string("libcurl: ") + curl_multi_strerror(code));
  return {};
}

void CurlLoop::remove(CURL* easy) { curl_multi_remove_handle(multi_.get(), easy); }

int CurlLoop::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto& loop = *static_cast<CurlLoop*>(self);
  if (what == CURL_POLL_REMOVE) {
    loop.sockets_.drop(socket);
    return 0;
  }
  const std::uint32_t events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
  const auto ready = [&loop, socket](std::uint32_t is) {
    int mask = 0;
    if ((is & EPOLLIN) != 0) mask |= CURL_CSELECT_IN;
    if ((is & EPOLLOUT) != 0) mask |= CURL_CSELECT_OUT;
    if ((is & (EPOLLERR | EPOLLHUP)) != 0) mask |= CURL_CSELECT_ERR;
    loop.act(socket, mask);
  };
  return loop.sockets_.want(socket, events, ready) ? 0 : -1;
}

int CurlLoop::on_timer(CURLM*, long ms, void* self) {
  auto& loop = *static_cast<CurlLoop*>(self);
  loop.reactor_.cancel(std::exchange(loop.timer_, 0));
  if (ms >= 0 && !*loop.gone_)
    loop.timer_ = loop.reactor_.schedule(Reactor::Clock::now() + std::chrono::milliseconds(ms), [&loop] {
      loop.timer_ = 0;
      loop.act(CURL_SOCKET_TIMEOUT, 0);
    });
  return 0;
}

void CurlLoop::act(curl_socket_t socket, int events) {
  int running = 0;
  inside_ = true;
  curl_multi_socket_action(multi_.get(), socket, events, &running);
  inside_ = false;
  int left = 0;
  const auto gone = gone_;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    ended_(message->easy_handle, message->data.result);
    if (*gone) return;
  }
}

}  // namespace casemate
