#include "apps/agent/metrics.h"

#include <map>
#include <regex>
#include <sstream>

#include <gtest/gtest.h>
#include <httplib.h>

namespace casemate {
namespace {

using std::chrono::milliseconds;

std::map<std::string, double> values_of(const std::string& text) {
  static const std::regex line_of(R"re(([a-z_]+(\{[a-z_]+="[^"\\]*"\})?) (-?[0-9.e+-]+))re");
  std::map<std::string, double> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP casemate_agent_") || line.starts_with("# TYPE casemate_agent_")) continue;
    std::smatch match;
    EXPECT_TRUE(std::regex_match(line, match, line_of)) << line;
    EXPECT_TRUE(values.emplace(match[1], std::stod(match[3])).second) << line;
  }
  return values;
}

TEST(AgentMetrics, count_what_happened) {
  Metrics metrics;
  auto values = values_of(metrics.text());
  EXPECT_EQ(values.at("casemate_agent_tasks_total{result=\"passed\"}"), 0);
  EXPECT_EQ(values.at("casemate_agent_task_duration_seconds_count"), 0);
  EXPECT_EQ(values.at("casemate_agent_build_info{version=\"" CASEMATE_VERSION "\"}"), 1);
  EXPECT_GT(values.at("casemate_agent_start_time_seconds"), 1.7e9);

  metrics.task_ended("passed", milliseconds(250));
  metrics.task_ended("passed", milliseconds(900));
  metrics.task_ended("error", milliseconds(-5));
  metrics.task_ended("failed", milliseconds(10'000'000));
  metrics.result_posted();
  metrics.result_given_up();
  metrics.duplicate_dropped();
  metrics.backend_failed("unreachable");
  metrics.backend_failed("post_later");
  metrics.backend_failed("post_later");
  metrics.set_gauges(2, 3, 4, true);
  metrics.task_held("tests");
  values = values_of(metrics.text());
  EXPECT_EQ(values.at("casemate_agent_tasks_total{result=\"passed\"}"), 2);
  EXPECT_EQ(values.at("casemate_agent_tasks_total{result=\"error\"}"), 1);
  EXPECT_EQ(values.at("casemate_agent_tasks_total{result=\"failed\"}"), 1);
  EXPECT_EQ(values.at("casemate_agent_tasks_running"), 2);
  EXPECT_EQ(values.at("casemate_agent_results_waiting"), 3);
  EXPECT_EQ(values.at("casemate_agent_tasks_waiting"), 4);
  EXPECT_EQ(values.at("casemate_agent_hindered"), 1);
  EXPECT_EQ(values.at("casemate_agent_tasks_held_total{fault=\"tests\"}"), 1);
  EXPECT_EQ(values.at("casemate_agent_tasks_held_total{fault=\"host\"}"), 0);
  EXPECT_EQ(values.at("casemate_agent_results_posted_total"), 1);
  EXPECT_EQ(values.at("casemate_agent_results_given_up_total"), 1);
  EXPECT_EQ(values.at("casemate_agent_duplicates_total"), 1);
  EXPECT_EQ(values.at("casemate_agent_backend_errors_total{kind=\"unreachable\"}"), 1);
  EXPECT_EQ(values.at("casemate_agent_backend_errors_total{kind=\"post_later\"}"), 2);
}

TEST(AgentMetrics, a_histogram_adds_up) {
  Metrics metrics;
  for (const int milli : {0, 250, 251, 1000, 1'800'000, 1'800'001}) metrics.task_ended("passed", milliseconds(milli));
  const auto values = values_of(metrics.text());
  const auto bucket = [&](const std::string& bound) {
    return values.at("casemate_agent_task_duration_seconds_bucket{le=\"" + bound + "\"}");
  };
  EXPECT_EQ(bucket("0.25"), 2);
  EXPECT_EQ(bucket("0.5"), 3);
  EXPECT_EQ(bucket("1"), 4);
  EXPECT_EQ(bucket("600"), 4);
  EXPECT_EQ(bucket("1800"), 5);
  EXPECT_EQ(bucket("+Inf"), 6);
  EXPECT_EQ(values.at("casemate_agent_task_duration_seconds_count"), 6);
  EXPECT_NEAR(values.at("casemate_agent_task_duration_seconds_sum"), 3601.502, 0.01);
}

TEST(AgentMetrics, are_served_on_loopback) {
  Metrics metrics;
  metrics.result_posted();
  auto server = MetricsServer::start("127.0.0.1:0", metrics);
  ASSERT_TRUE(server) << server.error().what;
  httplib::Client client("127.0.0.1", server->port());
  const auto answer = client.Get("/metrics");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_TRUE(answer->get_header_value("Content-Type").starts_with("text/plain; version=0.0.4"));
  EXPECT_EQ(values_of(answer->body).at("casemate_agent_results_posted_total"), 1);
  EXPECT_EQ(client.Get("/")->status, 404);
  EXPECT_EQ(client.Post("/metrics", std::string(100'000, 'x'), "text/plain")->status / 100, 4);
  metrics.result_posted();
  EXPECT_EQ(values_of(client.Get("/metrics")->body).at("casemate_agent_results_posted_total"), 2);
}

TEST(AgentMetrics, a_port_that_is_taken_is_named) {
  Metrics metrics;
  auto first = MetricsServer::start("127.0.0.1:0", metrics);
  ASSERT_TRUE(first);
  const auto second = MetricsServer::start("127.0.0.1:" + std::to_string(first->port()), metrics);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::refused);
  EXPECT_NE(second.error().what.find(std::to_string(first->port())), std::string::npos) << second.error().what;
}

}  // namespace
}  // namespace casemate
