// bytecode: Python's cached bytecode as an action can use it. A cache file tells its source's time in its header (PEP 552, PEP 3147), and
// inputs have none: each interpreter there would compile all that it imports. Bytecode that belongs to the source beside it is sent as
// unchecked hash-based, whose header has no time: it is used, and its digest is the same everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sys/stat.h>

namespace casemate {

/// Bytes of a cache file before its code, since Python 3.7.
inline constexpr std::size_t kBytecodeHeader = 16;
/// The directory of cache files, beside their sources.
inline constexpr std::string_view kBytecodeDirectory = "__pycache__";

/// The source of an interpreter's cache file: "m.py" of "m.cpython-311.pyc" and "m.cpython-311.opt-1.pyc". nullopt for other names, also
/// for those of pytest's rewritten tests, which it reads by itself.
[[nodiscard]] std::optional<std::string> source_of_bytecode(std::string_view name);

/// What the header says of the source that it was compiled from: seconds of its time, and its size, 32 bits each.
[[nodiscard]] std::uint64_t source_word(const struct stat& source);

/// The header of unchecked hash-based bytecode, if `header` (of 16 bytes) is one with a time and belongs to a source of that word.
[[nodiscard]] std::optional<std::string> header_without_time(std::string_view header, std::uint64_t source);
/// The same whatever its source: what has been looked at already.
[[nodiscard]] std::optional<std::string> header_without_time(std::string_view header);

}  // namespace casemate
