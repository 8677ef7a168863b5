// plan_order: which case needs which, in which order they run, and which have to stay together. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "testplan/models.h"

namespace casemate {

/// By a case's place in the plan: the cases that must have passed before it, or whose output it takes a value from, without itself.
[[nodiscard]] std::vector<std::vector<std::size_t>> case_needs(const TestPlan& plan);

/// The names that steps of the plan take values for.
[[nodiscard]] std::set<std::string_view> extracted_variables(const TestPlan& plan);

/// The cases of `wanted` (a flag a case) as they run: by execution_order, those without one after those with, then as the document has
/// them; but none before what it needs. What is in a circle comes last.
[[nodiscard]] std::vector<std::size_t> case_order(const TestPlan& plan, const std::vector<bool>& wanted);

/// `order` in parts that can run side by side: cases that need each other, also by a variable that one takes from its output and the other
/// names ({{NAME}}, $NAME), are in one, in their order. Longest first, by `times` (a case's id, how long it took; not there: the mean of
/// those that are).
[[nodiscard]] std::vector<std::vector<std::size_t>> case_groups(const TestPlan& plan, const std::vector<std::size_t>& order,
                                                                const std::map<std::string, std::chrono::microseconds>& times);

}  // namespace casemate
