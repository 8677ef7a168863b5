# The half of a warm parent that lives inside the interpreter: one Python text, and a module of CPython's stable ABI which runs under any libc,
# so it may need none: nothing of the compiler's runtime, no library, nothing but raw system calls and what the interpreter itself exports.
find_path(CASEMATE_PYTHON_INCLUDE Python.h PATHS /usr/include PATH_SUFFIXES python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 REQUIRED)
set(WARM_DIR ${CMAKE_BINARY_DIR}/generated/warm)
set(WARM_TEXT ${WARM_DIR}/warm.py)
set(WARM_PLAIN ${WARM_DIR}/plain.py)
set(WARM_NATIVE ${WARM_DIR}/casemate_cells.so)
file(MAKE_DIRECTORY ${WARM_DIR})

# Each text is these files, in the order in which they run.
function(warm_text text)
  list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/src/warm/python/)
  list(TRANSFORM ARGN APPEND .py)
  add_custom_command(OUTPUT ${text} COMMAND cat ${ARGN} > ${text} DEPENDS ${ARGN} VERBATIM)
endfunction()
warm_text(${WARM_TEXT} lines reports coverage ties writes alone start confine keeper group rewritten boot forking warm)
warm_text(${WARM_PLAIN} lines alone start forking plain)

file(GLOB native_sources CONFIGURE_DEPENDS src/warm/native/*.cc)
file(GLOB native_headers CONFIGURE_DEPENDS src/warm/native/*.h)
add_custom_command(
  OUTPUT ${WARM_NATIVE}
  COMMAND
    ${CMAKE_CXX_COMPILER} -std=c++23 -O2 -fPIC -shared -nostdlib -ffreestanding -fvisibility=hidden -fno-exceptions -fno-rtti -fno-stack-protector
    -fno-threadsafe-statics -fno-asynchronous-unwind-tables -U_FORTIFY_SOURCE -Wall -Wextra -Wno-missing-field-initializers -D_GNU_SOURCE
    -iquote ${CMAKE_SOURCE_DIR}/src -isystem ${CASEMATE_PYTHON_INCLUDE} -Wl,--hash-style=both -Wl,-z,now -Wl,-z,noexecstack -Wl,-s
    -o ${WARM_NATIVE} ${native_sources}
  DEPENDS ${native_sources} ${native_headers} ${CMAKE_SOURCE_DIR}/src/warm/protocol.h
  COMMENT "Compiling the native half of warm parents"
  VERBATIM)
add_custom_target(warm_payload DEPENDS ${WARM_TEXT} ${WARM_PLAIN} ${WARM_NATIVE})
if(TARGET casemate_warm)
  add_dependencies(casemate_warm warm_payload)
  set_source_files_properties(src/warm/payload.cc PROPERTIES
    OBJECT_DEPENDS "${WARM_TEXT};${WARM_PLAIN};${WARM_NATIVE}" COMPILE_DEFINITIONS "CASEMATE_WARM_DIR=\"${WARM_DIR}\"")
endif()
