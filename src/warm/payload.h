// payload: the half of a warm parent that lives inside the interpreter, as casemate carries it: Python text and a native module. What they
// say to the engine is in warm/protocol.h.
#pragma once

#include <string_view>

namespace casemate {

/// Python's -c argument: runs the text on descriptor 4, and closes it. Any Python from 3.8. pread(2), for all interpreters share one file
/// position. `os` has been imported by `site`, or is now.
inline constexpr const char* kWarmBoot =
    "import os;s=os.pread(4,1<<24,0);os.close(4);exec(compile(s,'<casemate>','exec'),{'__name__':'casemate'})";

/// The same for an interpreter that is alone in a container, where the text is a file.
inline constexpr const char* kAlonePlace = "/.casemate-pytest";
inline constexpr const char* kAloneBoot =
    "import os\nwith open('/.casemate-pytest','rb') as s:s=s.read()\nexec(compile(s,'<casemate>','exec'),{'__name__':'casemate'})";
/// Where the first process of a group of tests finds what they are (warm/group.h).
inline constexpr const char* kGroupPlace = "/.casemate-group";
/// Where it finds what its collector made of plugins and test modules (lines {"rewritten"}), if it told any.
inline constexpr const char* kRewrittenPlace = "/.casemate-rewritten";
/// Where such a one finds what coverage measured.
inline constexpr const char* kCoveredPlace = "/.casemate-coverage";

/// The text for descriptor 4:
/// src/warm/python/{lines,reports,coverage,ties,writes,alone,start,confine,keeper,group,rewritten,boot,forking,warm}.py, one after the
/// other.
[[nodiscard]] std::string_view warm_python();

/// The beginning of a text for descriptor 4 that needs no pytest: {lines,alone,start,forking,plain}.py. What comes after it defines
/// run(ids, stream), and ends with a call of main().
[[nodiscard]] std::string_view warm_plain();

/// The bytes for descriptor 5: an ELF shared object (src/warm/native), a module of CPython's stable ABI (3.8) that needs no library. For
/// the architecture that casemate was built for.
[[nodiscard]] std::string_view warm_native();

}  // namespace casemate
