#include "warm/payload.h"

// cmake/warm.cmake makes both files and names their directory on the assembler's path.
__asm__(
    ".pushsection .rodata\n"
    ".balign 16\n"
    "casemate_warm_python: .incbin \"" CASEMATE_WARM_DIR
    "/warm.py\"\n"
    "casemate_warm_python_end: .byte 0\n"
    ".balign 16\n"
    "casemate_warm_plain: .incbin \"" CASEMATE_WARM_DIR
    "/plain.py\"\n"
    "casemate_warm_plain_end: .byte 0\n"
    ".balign 16\n"
    "casemate_warm_native: .incbin \"" CASEMATE_WARM_DIR
    "/casemate_cells.so\"\n"
    "casemate_warm_native_end: .byte 0\n"
    ".popsection\n");

extern "C" {
extern const char casemate_warm_python[];
extern const char casemate_warm_python_end[];
extern const char casemate_warm_plain[];
extern const char casemate_warm_plain_end[];
extern const char casemate_warm_native[];
extern const char casemate_warm_native_end[];
}

namespace casemate {

std::string_view warm_python() { return {casemate_warm_python, static_cast<std::size_t>(casemate_warm_python_end - casemate_warm_python)}; }

std::string_view warm_plain() { return {casemate_warm_plain, static_cast<std::size_t>(casemate_warm_plain_end - casemate_warm_plain)}; }

std::string_view warm_native() { return {casemate_warm_native, static_cast<std::size_t>(casemate_warm_native_end - casemate_warm_native)}; }

}  // namespace casemate
