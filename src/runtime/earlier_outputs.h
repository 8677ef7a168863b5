// earlier_outputs: which files in an output directory are of earlier tests, and may go, and which are somebody else's, and stay. Each file
// that a script's test delivers gets an extended attribute of ours. Where a file system keeps none, everything counts as somebody else's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include "sys/path.h"

namespace casemate::runtime {

/// The extended attribute: of files, and of directories that scripts have made.
constexpr const char* kOutputMark = "user.casemate.output";

/// A word for one test, pipeline or comparison: all that its scripts write is kept beside each other.
[[nodiscard]] std::string new_run_mark();

/// Marks `name`, an entry of `directory` with this lstat(2): a regular file as delivered in the run `mark`; others are passed over. Its
/// mode stays. What can't be marked is kept by later runs.
void mark_output(int directory, const std::string& name, const struct stat& info, const std::string& mark);
/// The same for an open directory: symlinks in it are of scripts.
void mark_output_directory(int directory, const std::string& mark);

/// What lies below an open directory that a run `mark` delivers into, entries that begin with `ours` left out.
struct EarlierOutputs {
  std::size_t others = 0;       ///< files that nobody has marked, or that can't be looked at: they stay
  std::size_t same_run = 0;     ///< of scripts of the same run: they stay too
  std::size_t directories = 0;  ///< that nobody has marked, empty ones too: they stay
};
[[nodiscard]] EarlierOutputs look_for_earlier(int directory, const std::string& mark, std::string_view ours);
/// Removes the file `name` if another run has left it; false: it is not, and stays.
bool remove_if_earlier(int directory, const std::string& name, const std::string& mark);
/// Removes what other runs have left below it, and directories of theirs that become empty.
void remove_earlier(int directory, const std::string& mark, std::string_view ours);

/// Renames the entry `name` of the open directory `from` to the same name in `to`, on the same mount. What is there is no directory, and is
/// in `from` then, or gone. No symlink is followed.
[[nodiscard]] Attempt<void> put_in_place(int from, int to, const std::string& name);

/// What merge_outputs() has to tell.
struct MergedOutputs {
  std::vector<std::string> notes;
  std::vector<std::string> overwritten;  ///< names of files that no run had marked, at most 20
  std::size_t overwritten_count = 0;
};

/// Moves all below the open directory `from` into the open directory `to`, on the same mount: a file replaces a file of its name,
/// directories become one, and no symlink is followed. Notes say what was replaced that another script of the same run wrote, and what did
/// not come.
[[nodiscard]] MergedOutputs merge_outputs(int from, int to, const std::string& mark);

}  // namespace casemate::runtime
