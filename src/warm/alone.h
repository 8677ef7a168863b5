// alone: runs tests in fresh interpreters, each in a container of another executor: there are no parents, and nothing forks.
#pragma once

#include <memory>
#include <string>

#include "engine/executor.h"
#include "warm/executor.h"

namespace casemate {

/// An executor of WarmExecutor's kinds of jobs but "test", and of {"group", UNITS, REWRITTEN} (warm/group.h), whose stream is that of order
/// G, by jobs of `others`. Of the request parent and fork count: what one that collects or reports coverage, and what one that runs tests,
/// is to see and may use; the parent's argv is the interpreter, then pytest's arguments. `directory` (of the host, ours alone; must outlive
/// it) gets the files that all of them see. Outcomes are those of the containers, but where `elsewhere` (workers of other machines) no
/// interpreter with pytest has ever begun: that is `lost`, with kExecutorGone as its step; python(), pytest() and notes() are empty: the
/// stream of the one that collects says so (StreamAbout). keep() is that of `others`, whose image all jobs that follow have.
Result<std::unique_ptr<WarmExecutor>> make_alone_executor(std::unique_ptr<Executor> others, WarmRequest request,
                                                          const std::string& directory, bool elsewhere = false);

}  // namespace casemate
