# Counters in the sources that CASEMATE_COVERAGE names. All others are compiled as in the release, so that ccache has them from there: what a
# coverage build costs is those sources, without optimisation, and the linker.
# Not casemate-witness: at its end it would write its counters into the container, where they are files that the job has made.
set(counters $<$<NOT:$<STREQUAL:$<TARGET_PROPERTY:NAME>,casemate-witness>>:-O0$<SEMICOLON>--coverage$<SEMICOLON>-fprofile-abs-path>)
foreach(library casemate_base casemate_sys casemate_store casemate_image casemate_cell casemate_witness casemate_engine casemate_action casemate_warm
                casemate_report casemate_command casemate_session casemate_runtime casemate_testplan casemate_apps casemate_agent casemate_docker
                casemate_remote)
  if(TARGET ${library})
    get_target_property(sources ${library} SOURCES)
    foreach(source IN LISTS sources)
      if(source MATCHES "^${CMAKE_SOURCE_DIR}/src/(${CASEMATE_COVERAGE})")
        set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS "${counters}")
        set(counted ON)
      endif()
    endforeach()
  endif()
endforeach()
if(NOT counted)
  message(FATAL_ERROR "CASEMATE_COVERAGE=${CASEMATE_COVERAGE} names no source below src/")
endif()
# Whatever links casemate_flags links some of them.
target_link_options(casemate_flags INTERFACE --coverage)
