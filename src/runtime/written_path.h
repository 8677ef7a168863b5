// written_path: paths as people write them, compared by their letters: nothing on disk is looked at.
#pragma once

#include <string>
#include <string_view>

namespace casemate::runtime {

/// Where relative paths begin; "/" where that is gone.
[[nodiscard]] std::string working_directory();

/// A path absolute and without ".", ".." or empty parts; `directory` is where relative ones begin.
[[nodiscard]] std::string lexical_path(const std::string& path, const std::string& directory);

/// `path` without ".", "x/.." and double slashes; a relative one stays that.
[[nodiscard]] std::string plain_path(std::string_view path);

/// The directory that a lexical or plain path lies in: "/" of "/a", "" of "/" and of a name alone.
[[nodiscard]] std::string directory_of(const std::string& path);

/// The last part of such a path; "" of "/".
[[nodiscard]] std::string last_part(const std::string& path);

/// `path` as messages have it: printable, between single quotes.
[[nodiscard]] std::string quoted(std::string_view path);

/// True if `path` is `directory` or lies below it, both lexical, or both plain.
[[nodiscard]] bool is_at_or_below(std::string_view path, std::string_view directory);

}  // namespace casemate::runtime
