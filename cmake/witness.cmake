# What runs around a job where the executor is not ours, in containers and in actions: whatever they have or lack, so static always; but
# no sanitizer can be linked so.
add_executable(casemate-witness src/apps/witness/main.cc)
target_link_libraries(casemate-witness PRIVATE casemate_witness)
if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
  target_link_options(casemate-witness PRIVATE -static -s -Wl,--gc-sections)
endif()
# Objects of its own where lines are counted (cmake/coverage.cmake), that count none.
if(CASEMATE_COVERAGE)
  file(GLOB sources CONFIGURE_DEPENDS src/witness/*.cc)
  target_sources(casemate-witness PRIVATE ${sources})
endif()
