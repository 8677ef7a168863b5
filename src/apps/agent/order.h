// order: what a worker is told (order.json) and what it says of its steps (steps.json), as plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "apps/agent/settings.h"
#include "apps/agent/task.h"
#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// DIR/order.json: all that a worker is told. No secret is in it but what an URL has.
struct WorkOrder {
  Task task;                                   ///< `asks_only`: not looked at
  bool asks_only = false;                      ///< only whether the tests can be had is asked: nothing is run
  bool tells_ready = false;                    ///< kReadyFile is made before the tests begin
  std::chrono::milliseconds timeout{0};        ///< of the tests' run; 0: none
  std::chrono::milliseconds proxy_timeout{0};  ///< 0: not given to the tests' command
  std::string tests_repo;
  std::string tests_revision;
  std::vector<std::string> tests_command;
  std::string image;  ///< "": the host
  Limits limits;      ///< of the tests' cell; its wall time is not looked at
  std::uint32_t slots = 1;
  std::string isolation = "run";  ///< one of kAgentIsolations
  bool allow_file_urls = false;
  Network clone_network = Network::outbound;
  std::string clone_credentials;  ///< the path of a file, never what is in it; "": none
};
[[nodiscard]] std::string order_json(const WorkOrder& order);
/// Fails with corrupt for what order_json() did not write.
Result<WorkOrder> order_from_json(std::string_view text);

/// One step of the pipeline as steps.json has it.
struct StepReport {
  std::string name;  ///< "clone", "tests", "environment", "run", "report"
  std::chrono::microseconds took{0};
  bool cached = false;
  std::string commit;              ///< of "clone" and "tests": what they got, the whole hash; "" where they got none
  std::string problem;             ///< "" where it succeeded
  std::vector<std::string> notes;  ///< for people, one line each: processes left behind, limits that can't be held here
};
[[nodiscard]] std::string steps_json(const std::vector<StepReport>& steps);
/// Fails with corrupt.
Result<std::vector<StepReport>> steps_from_json(std::string_view text);

}  // namespace casemate
