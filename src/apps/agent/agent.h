// agent: the supervising process of `casemate agent`: polls, keeps, starts workers, posts. See docs/design/agent.md.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// Main of `casemate agent` and `ostest-runner`; `program` is what the user typed. Exit status: 0 stopped by one SIGINT or SIGTERM, or by
/// --once with a result that was posted; 1 --once without one; 2 a command line or a backend that can't be used (a bad password, a user
/// without the role); 3 trouble of its own; 130 stopped by a second signal.
int agent_main(const std::vector<std::string>& arguments, const std::string& program);

}  // namespace casemate
