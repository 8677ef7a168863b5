// git_cell: the git program in a cell of its own. The repository that it talks to is hostile, and so is what it leaves behind.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

/// A repository as somebody named it, looked at before git is.
struct GitSource {
  std::string name;       ///< as it was named, without user and password, for messages; printable
  std::string url;        ///< what git is told
  std::string host_path;  ///< of this machine: a directory or bundle, shown to the cell at the path in `url`; "": a remote one
  bool secret = false;    ///< the URL has a user or a password
};

/// Reads a repository's URL, or path, as git does (git-clone(1), "GIT URLS"). invalid_input: nothing, an option, control characters;
/// refused: a file: URL or a path unless `allow_file_urls`; not_found: such a one that is not there. Whether git knows its transport, git
/// says.
Result<GitSource> read_git_source(std::string_view url, bool allow_file_urls);

/// "digit" for "https://host/digit.git/": the last part, of which ".git" is taken off as a suffix alone; "repository" where nothing is
/// left.
[[nodiscard]] std::string repository_name(std::string_view url);

/// A branch, tag or commit that can be given to git: invalid_input for what begins with '-' or has control characters, spaces or "..".
Result<void> check_revision(std::string_view what, std::string_view revision);

/// Where a directory that git fills is in its cell.
inline constexpr const char* kGitTree = "/work/tree";

/// A job that runs `script` by sh with `arguments` as $1, $2, ... and git's URL as $URL. It has the host's programs, no configuration, no
/// home, no hooks, transports http, https, git and ssh alone (file for a repository of this machine), and these bounds: five minutes, 1 GiB
/// of memory, 1 GiB written to `tree` (a host directory, "": none; it is the working directory, at kGitTree), 64 MiB of output.
[[nodiscard]] Job git_job(const GitSource& source, Network network, const std::string& script, const std::vector<std::string>& arguments,
                          const std::string& tree);

/// Whether a job was ended because this machine's disk was nearly full (Mount::bytes), not by a bound of its own. The detail of such an
/// outcome has a path of this machine, which is none of a student's business.
[[nodiscard]] bool is_full_disk(const Outcome& outcome);

/// How a job of git's failed: one paragraph, git's own last words first of all. nullopt: it succeeded.
[[nodiscard]] std::optional<std::string> git_failure(const GitSource& source, const JobResult& result);

}  // namespace casemate
