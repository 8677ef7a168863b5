// job: casemate's plain data as the dataclasses of casemate/_data.py, and back.
#pragma once

#include <string>

#include <nanobind/nanobind.h>

#include "casemate/job.h"
#include "casemate/outcome.h"

namespace casemate::python {

/// What Python's Job says. Text is taken as os.fsencode() has it; bytes and paths are taken too. `input` is its `stdin`, which
/// forward_stdin says is there. A value of a wrong type or beyond its range is thrown as a Failure (invalid_input) that names it:
/// "Job.limits.pids: ...". Whether the job makes sense is the engine's to say.
Job job_of(nanobind::handle object, std::string& input);

/// The dataclasses.
nanobind::object object_of(const Limits& limits);
nanobind::object object_of(const Mount& mount);
nanobind::object object_of(const JobResult& result);

/// An Outcome of Python in words.
std::string words_of_outcome(nanobind::handle outcome);

/// A list of str, bytes or paths.
std::vector<std::string> names_of(nanobind::handle value, const std::string& place);
/// A str, bytes or path, as os.fsencode() has it.
std::string name_of(nanobind::handle value, const std::string& place);
/// The reverse (os.fsdecode).
nanobind::object name_object(std::string_view name);

}  // namespace casemate::python
