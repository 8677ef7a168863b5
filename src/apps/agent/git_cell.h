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
  bool loopback = false;  ///< its host is a name or an address of this machine's loopback
};

/// Reads a repository's URL, or path, as git does (git-clone(1), "GIT URLS"). invalid_input: nothing, an option, control characters;
/// refused: a file: URL or a path unless `allow_file_urls`; not_found: such a one that is not there. Whether git knows its transport, git
/// says.
Result<GitSource> read_git_source(std::string_view url, bool allow_file_urls);

/// "me:sesame@host:8443" of "https://me:sesame@host:8443/x?y#z" (RFC 3986, 3.2: it ends at '/', '?' or '#'); "" of what has no "://".
[[nodiscard]] std::string_view authority_of(std::string_view url);

/// "digit" for "https://host/digit.git/": the last part, of which ".git" is taken off as a suffix alone; "repository" where nothing is
/// left.
[[nodiscard]] std::string repository_name(std::string_view url);

/// A branch, tag or commit that can be given to git: invalid_input for what begins with '-' or has control characters, spaces or "..".
Result<void> check_revision(std::string_view what, std::string_view revision);

/// True for a full commit id (40 or 64 lower-case hex digits), which needs nobody to be asked.
[[nodiscard]] bool is_commit(std::string_view revision);

/// Where a directory that git fills is in its cell.
inline constexpr const char* kGitTree = "/work/tree";

/// A job that runs `script` by sh with `arguments` as $1, $2, ... and git's URL as $URL. It has the host's programs, no configuration, no
/// home, no hooks, transports http, https, git and ssh alone (file for a repository of this machine), and these bounds: five minutes, 1 GiB
/// of memory, 1 GiB and 262,144 files written to `tree` (a host directory, "": none; it is the working directory, at kGitTree), 64 MiB of
/// output.
[[nodiscard]] Job git_job(const GitSource& source, Network network, const std::string& script, const std::vector<std::string>& arguments,
                          const std::string& tree);

/// Lets a job of git's read the file of --clone-credentials ("": nothing happens), read-only, and has in $ASK the setting of git's that
/// makes it the credential helper for the source's own server: one to which that redirects gets nothing. Only a script's `asking`, which
/// stands for `git` where it begins with kAsking, has it, and what that starts for submodules by itself. http and https alone.
void show_credentials(Job& job, const GitSource& source, const std::string& file);
inline constexpr std::string_view kAsking = R"(asking() { git ${ASK:+-c "$ASK"} "$@"; }
)";

/// Whether a job was ended because this machine's disk was nearly full (Mount::bytes), not by a bound of its own. The detail of such an
/// outcome has a path of this machine, which is none of a student's business.
[[nodiscard]] bool is_full_disk(const Outcome& outcome);
/// Whether it was ended for the number of its files (engine/disk_watch.h). Of this detail the same is true.
[[nodiscard]] bool is_many_files(const Outcome& outcome);

/// How a job of git's failed: one paragraph, git's own last words first of all. nullopt: it succeeded. not_found: there is no such
/// repository or revision, or it is not for us, as the server says; system: the cell could not be made; exhausted: this machine has no
/// room, memory or processes; internal: git was ended by something that is no bound of its own; refused: all else, which is about the
/// repository or the way to its server.
[[nodiscard]] std::optional<Error> git_failure(const GitSource& source, const JobResult& result);
/// The same of a job that had `network`; before it stands what people must do who want to have repositories of this machine's loopback.
[[nodiscard]] std::optional<Error> git_failure(const GitSource& source, const JobResult& result, Network network);

/// Whether a job that has `network` can never reach `source`: it is on this machine's loopback.
[[nodiscard]] bool is_out_of_reach(const GitSource& source, Network network);

/// Whether git failed for it could not reach a server at all, or that was too busy (429, 5xx).
[[nodiscard]] bool is_unreached(const JobResult& result);

}  // namespace casemate
