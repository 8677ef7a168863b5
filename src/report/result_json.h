// result_json: a finished job as JSON: the same keys in every front end.
#pragma once

#include <chrono>
#include <string>

#include <nlohmann/json.hpp>

#include "casemate/outcome.h"

namespace casemate {

using Json = nlohmann::ordered_json;  // keys in the order they were put: documents of the front ends name an order

/// Durations in JSON that other programs read: 1.25.
[[nodiscard]] double milliseconds(std::chrono::microseconds duration);

/// Puts a name that a job chose: readable under `key`, and exact, in hexadecimal, under `key`_bytes if it is not UTF-8.
void put_name(Json& object, const std::string& key, const std::string& name);

/// wall_ms, user_cpu_ms and so on; null where the host can't tell.
[[nodiscard]] Json resources_json(const Resources& used);

/// worker, queue_ms, fetch_ms, run_ms, upload_ms (null: the engine did not tell), sent_bytes, attempts, cached.
[[nodiscard]] Json remote_json(const RemoteTimes& times);

/// Puts outcome, resources, stdout, stderr, output_truncated, captured, deleted, skipped and leftovers, and `remote` where there was an
/// engine. All strings are valid UTF-8.
void put_result(Json& details, const JobResult& result);

}  // namespace casemate
