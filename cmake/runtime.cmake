# What runs in a cell for the runtime tester: one text, which comes after warm parents' plain one (cmake/warm.cmake).
set(RUNTIME_TEXT ${CMAKE_BINARY_DIR}/generated/runtime.py)
set(runtime_python)
foreach(name IN ITEMS schema inspect script)  # in the order in which they run; the last line of the last one begins it all
  if(EXISTS ${CMAKE_SOURCE_DIR}/src/runtime/python/${name}.py)
    list(APPEND runtime_python ${CMAKE_SOURCE_DIR}/src/runtime/python/${name}.py)
  endif()
endforeach()
add_custom_command(OUTPUT ${RUNTIME_TEXT} COMMAND cat ${runtime_python} > ${RUNTIME_TEXT} DEPENDS ${runtime_python} VERBATIM)
casemate_embed(casemate_runtime runtime_python.inc kRuntimePython ${RUNTIME_TEXT})
