# casemate-agent is a program of its own: libcurl and what it needs would cost every `casemate run` milliseconds at its start. Linked
# dynamically, for Debian has no libcurl that can be linked whole; what is in our own archives stays hidden from those libraries.
find_package(CURL REQUIRED)
find_package(Threads REQUIRED)
find_library(CASEMATE_HTTPLIB cpp-httplib REQUIRED)
file(GLOB_RECURSE sources CONFIGURE_DEPENDS src/net/*.cc src/apps/agent/*.cc)
list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
add_library(casemate_agent STATIC ${sources})
target_link_libraries(casemate_agent PUBLIC ${previous} CURL::libcurl ${CASEMATE_HTTPLIB} Threads::Threads)
# What Debian's library was made with: its header lays out classes by these.
target_compile_definitions(casemate_agent PUBLIC CPPHTTPLIB_OPENSSL_SUPPORT CPPHTTPLIB_ZLIB_SUPPORT CPPHTTPLIB_BROTLI_SUPPORT)
set(lab ${CMAKE_SOURCE_DIR}/examples/lab)
casemate_embed(casemate_agent example_lab.inc
  kLabMakefile ${lab}/project/Makefile
  kLabCount ${lab}/project/count.c
  kLabRunTests ${lab}/tests/run_tests.py
  kLabRequirements ${lab}/tests/requirements.txt
  kLabConftest ${lab}/tests/tests/conftest.py
  kLabTestBuild ${lab}/tests/tests/lab1/test_build.py
  kLabTestCount ${lab}/tests/tests/lab1/test_count.py)
casemate_embed(casemate_agent agent_asking.inc kAskingPlugin ${CMAKE_SOURCE_DIR}/src/apps/agent/python/casemate_asking.py)
casemate_embed(casemate_agent task_page.inc kTaskStyle ${CMAKE_SOURCE_DIR}/src/apps/agent/html/task.css)
# Not for sanitizers' builds: those libraries have to see the runtime that is linked in.
target_link_options(casemate_agent INTERFACE $<$<BOOL:${CASEMATE_STATIC}>:-Wl,--exclude-libs,ALL>)
add_executable(casemate-agent src/apps/agent/main.cc)
target_link_libraries(casemate-agent PRIVATE casemate_agent)
