#include "apps/agent/metrics.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <thread>

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr int kThreads = 2;
constexpr std::size_t kMostRequest = 4096;  // bytes of a body, which nobody needs

void head(std::string& text, std::string_view name, std::string_view type, std::string_view help) {
  text += fmt::format("# HELP casemate_agent_{0} {2}\n# TYPE casemate_agent_{0} {1}\n", name, type, help);
}

template <class Number>
void single(std::string& text, std::string_view name, std::string_view type, std::string_view help, Number value) {
  head(text, name, type, help);
  text += fmt::format("casemate_agent_{} {}\n", name, value);
}

}  // namespace

void Metrics::task_ended(std::string_view result, std::chrono::milliseconds took) {
  const double seconds = std::max(0.0, std::chrono::duration<double>(took).count());
  const std::lock_guard hold(mutex_);
  ++tasks_[std::string(result)];
  ++durations_[static_cast<std::size_t>(std::ranges::lower_bound(kBounds, seconds) - kBounds.begin())];
  seconds_ += seconds;
}

void Metrics::result_posted() {
  const std::lock_guard hold(mutex_);
  ++posted_;
}

void Metrics::result_given_up() {
  const std::lock_guard hold(mutex_);
  ++given_up_;
}

void Metrics::duplicate_dropped() {
  const std::lock_guard hold(mutex_);
  ++duplicates_;
}

void Metrics::backend_failed(std::string_view kind) {
  const std::lock_guard hold(mutex_);
  ++failures_[std::string(kind)];
}

void Metrics::task_held(std::string_view fault) {
  const std::lock_guard hold(mutex_);
  ++held_[std::string(fault)];
}

void Metrics::set_gauges(std::size_t running, std::size_t waiting_to_be_posted, std::size_t waiting_to_be_run, bool kept) {
  const std::lock_guard hold(mutex_);
  running_ = running;
  waiting_ = waiting_to_be_posted;
  queued_ = waiting_to_be_run;
  kept_ = kept;
}

std::string Metrics::text() const {
  const std::lock_guard hold(mutex_);
  std::string text;
  head(text, "build_info", "gauge", "Always 1; the version is a label.");
  text += "casemate_agent_build_info{version=\"" CASEMATE_VERSION "\"} 1\n";
  single(text, "start_time_seconds", "gauge", "When the agent started, in seconds since 1970.", started_);
  head(text, "tasks_total", "counter", "Tasks that have a grade, by result.");
  for (const auto& [result, number] : tasks_) text += fmt::format("casemate_agent_tasks_total{{result=\"{}\"}} {}\n", result, number);
  single(text, "tasks_running", "gauge", "Tasks that run just now.", running_);
  single(text, "tasks_waiting", "gauge", "Tasks that are taken and wait to be run.", queued_);
  single(text, "hindered", "gauge", "1 while no task can be run, though no student is to blame: tests or machine.", kept_ ? 1 : 0);
  head(text, "tasks_held_total", "counter", "Runs in vain of tasks that wait for it to be mended, by whose fault that is.");
  for (const auto& [fault, number] : held_) text += fmt::format("casemate_agent_tasks_held_total{{fault=\"{}\"}} {}\n", fault, number);
  single(text, "duplicates_total", "counter", "Tasks that were offered again and dropped.", duplicates_);
  single(text, "results_waiting", "gauge", "Results that wait to be posted.", waiting_);
  single(text, "results_posted_total", "counter", "Results that the backend has.", posted_);
  single(text, "results_given_up_total", "counter", "Results that the backend refused, or may or may not have.", given_up_);
  head(text, "backend_errors_total", "counter", "Requests to the backend that failed, by kind.");
  for (const auto& [kind, number] : failures_) text += fmt::format("casemate_agent_backend_errors_total{{kind=\"{}\"}} {}\n", kind, number);
  head(text, "task_duration_seconds", "histogram", "From a task's start to its grade.");
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < durations_.size(); ++i) {
    sum += durations_[i];
    const std::string bound = i < kBounds.size() ? fmt::format("{}", kBounds[i]) : "+Inf";
    text += fmt::format("casemate_agent_task_duration_seconds_bucket{{le=\"{}\"}} {}\n", bound, sum);
  }
  return text +
         fmt::format("casemate_agent_task_duration_seconds_sum {:.3f}\ncasemate_agent_task_duration_seconds_count {}\n", seconds_, sum);
}

struct MetricsServer::Parts {
  httplib::Server server;
  std::thread thread;
  int port = 0;
  ~Parts() {
    server.stop();
    if (thread.joinable()) thread.join();
  }
};

MetricsServer::MetricsServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
MetricsServer::MetricsServer(MetricsServer&&) noexcept = default;
MetricsServer& MetricsServer::operator=(MetricsServer&&) noexcept = default;
MetricsServer::~MetricsServer() = default;

int MetricsServer::port() const { return parts_->port; }

Result<MetricsServer> MetricsServer::start(const std::string& address, const Metrics& metrics) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  int port = 0;
  if (colon != std::string::npos) std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  try {
    auto parts = std::make_unique<Parts>();
    httplib::Server& server = parts->server;
    server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };  // the server deletes it
    server.set_read_timeout(5);
    server.set_write_timeout(5);
    server.set_payload_max_length(kMostRequest);
    // Not SO_REUSEPORT, which is httplib's default: a second agent on the port is to be told.
    server.set_socket_options([](int socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server.Get("/metrics", [&metrics](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics.text(), "text/plain; version=0.0.4; charset=utf-8");
    });
    parts->port = port == 0 ? server.bind_to_any_port(host) : server.bind_to_port(host, port) ? port : -1;
    if (parts->port < 0)
      return fail(ErrorCode::refused,
                  fmt::format("--metrics: can't listen on {}: the port is taken, or the address is none of this machine's",
                              printable_name(address)));
    parts->thread = std::thread([&server] { server.listen_after_bind(); });
    while (!server.is_running()) std::this_thread::yield();  // one that does not run yet can't be stopped
    return MetricsServer(std::move(parts));
  } catch (const std::exception& problem) {
    return fail(ErrorCode::system, fmt::format("--metrics: can't listen on {}: {}", printable_name(address), problem.what()));
  }
}

}  // namespace casemate
