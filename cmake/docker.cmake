# casemate-docker is the same program with the Docker executor in it: libcurl would cost every `casemate run` milliseconds at its start, and
# can't be linked whole (cmake/agent.cmake). Front ends that are asked for `--executor docker` exec it (src/command/executors.h).
file(GLOB_RECURSE sources CONFIGURE_DEPENDS src/docker/*.cc)
list(APPEND sources ${CMAKE_SOURCE_DIR}/src/net/curl_handles.cc)
add_library(casemate_docker STATIC ${sources})
target_link_libraries(casemate_docker PUBLIC ${previous} CURL::libcurl Threads::Threads)
target_link_options(casemate_docker INTERFACE $<$<BOOL:${CASEMATE_STATIC}>:-Wl,--exclude-libs,ALL>)
add_executable(casemate-docker src/apps/main.cc)
target_compile_definitions(casemate-docker PRIVATE CASEMATE_DOCKER)
target_link_libraries(casemate-docker PRIVATE casemate_docker ${previous})
add_dependencies(casemate-docker casemate-witness)
