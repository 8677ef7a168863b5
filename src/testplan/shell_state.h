// shell_state: what makes commands of one context one session: each is run by a shell that begins with the directory and the exported
// variables that the one before ended with. Kept in the context itself (/dev/shm, which every cell and container has), so that no executor
// has to know.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/context.h"
#include "testplan/models.h"

namespace casemate {

/// A command as the context's shell runs it: loads the state, adds `environment` (gone again afterwards), runs `command`, saves the state
/// when the shell ends, however it does but by a signal, by exec, or by `exit` under an EXIT trap of the command's own. The status is the
/// command's. `shell` is a path or name of one that takes POSIX's shell language. `session` (letters, digits, '-') names the state:
/// sequences of their own have their own. State that can't be kept (a full /dev/shm) is told in a line on the command's stderr. Variables
/// of the shell that are not exported are not kept. A directory that has gone is the context's own again.
[[nodiscard]] ContextCommand in_session(std::string command, const std::string& shell, const std::string& session,
                                        const std::map<std::string, std::string>& environment);

/// A command that starts `command` as a service: detached, without input, its output in a file of the context's (`name`, letters, digits,
/// '-': both streams, at least the first 4096 writes or 4 MiB of them). Ends well when all of `listens` ([HOST:]PORT) do, or where there
/// are none when it has begun; with the service's own status, and the file on stderr, if that ended before, unless it went to the
/// background by itself (status 0).
[[nodiscard]] std::string as_service(const std::string& command, const std::vector<std::string>& listens, const std::string& name);

/// A command that prints the exit status of the service `name`, "" while it runs, on a line, then what it has written, at most
/// kMostOfService bytes.
[[nodiscard]] std::string service_output(const std::string& name);
inline constexpr std::size_t kMostOfService = 1 << 20;

/// A command that looks for what `needs` ask of the context (not for results): status 0, or kFirstMissing + the index of the first that is
/// not there. Services are waited for, `patience` tenths of a second. At most kMostNeeds.
[[nodiscard]] std::string check_needs(const std::vector<PlanDependency>& needs, unsigned patience);
inline constexpr int kFirstMissing = 100;
inline constexpr std::size_t kMostNeeds = 100;

/// A command that prints a byte for each of `files`: '1' if it exists, seen from the session's directory or from where the command before
/// began, else '0'. Where none has just that name, '*' and '?' are a shell's.
[[nodiscard]] std::string check_files(const std::vector<std::string>& files);
/// A command that prints the first kMostOfFile bytes of the first regular file that check_files() would find.
[[nodiscard]] std::string file_content(const std::string& file);
inline constexpr std::size_t kMostOfFile = 1 << 20;

/// A need in words: "the file 'x'", "something that listens on 8080".
[[nodiscard]] std::string words(const PlanDependency& need);

}  // namespace casemate
