# The seccomp programs are compiled at build time: a job's start then costs one system call and no library.
find_path(SECCOMP_INCLUDE seccomp.h REQUIRED)
find_library(SECCOMP_LIBRARY seccomp REQUIRED)

add_executable(seccomp_generate ${CMAKE_CURRENT_LIST_DIR}/seccomp_generate.cc)
target_include_directories(seccomp_generate PRIVATE ${CMAKE_SOURCE_DIR}/src ${SECCOMP_INCLUDE})
target_link_libraries(seccomp_generate PRIVATE ${SECCOMP_LIBRARY})
set_target_properties(seccomp_generate PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/generated)

set(SECCOMP_PROFILES ${CMAKE_BINARY_DIR}/generated/seccomp_profiles.inc)
add_custom_command(
  OUTPUT ${SECCOMP_PROFILES}
  COMMAND seccomp_generate ${CMAKE_SYSTEM_PROCESSOR} ${SECCOMP_PROFILES}
  DEPENDS seccomp_generate
  COMMENT "Compiling the seccomp profiles for ${CMAKE_SYSTEM_PROCESSOR}"
  VERBATIM)
add_custom_target(seccomp_profiles DEPENDS ${SECCOMP_PROFILES})
add_dependencies(casemate_sys seccomp_profiles)
