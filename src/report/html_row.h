// html_row: one attempt at a test as the data of an HTML page has it; src/report/html/page.js reads it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "engine/events.h"

namespace casemate {

/// A node id as a page shows it, on one line, of at most 1,000 bytes.
[[nodiscard]] std::string page_name(std::string_view id);

/// [id, verdict, began, duration, slot (null: none), attempt, peak memory (null: unknown), flags, container ("": `same_container` as the
/// row before), details (null: nothing to tell)], times in microseconds. Each hostile text keeps at most about `limit` bytes.
[[nodiscard]] nlohmann::ordered_json html_row(const TestResult& result, bool in_slot, std::uint64_t limit, bool same_container);

}  // namespace casemate
