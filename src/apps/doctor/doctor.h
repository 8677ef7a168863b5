// doctor: `casemate doctor`, what this host offers, what falls back, and how to fix it.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// Runs `casemate doctor` with the arguments after "doctor" and prints to stdout: a table, or with --json one object
/// {"version", "can_run", "rows": [{"name", "state", "meaning", "fix", "required"}]}. 0 if jobs can run here, 1 if not, 125 for wrong
/// usage.
int doctor_main(const std::vector<std::string>& arguments);

}  // namespace casemate
