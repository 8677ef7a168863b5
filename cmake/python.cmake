# casemate._casemate: the engine as a module of Python; with the program it is what of the wheel is compiled (pyproject.toml).
#
# Everything but libc is in it: Debian's archives are no position-independent code for names that others could replace, but nobody can
# replace these, for nothing of them is exported (--exclude-libs). Bound at load (-z now): a cell's init is a copy of this process with one
# thread, in which nobody may look symbols up.
find_package(Python 3.9 REQUIRED COMPONENTS Interpreter Development.Module OPTIONAL_COMPONENTS Development.SABIModule)
find_package(nanobind CONFIG REQUIRED)
find_package(Threads REQUIRED)
file(GLOB sources CONFIGURE_DEPENDS python/src/*.cc)
nanobind_add_module(casemate_python STABLE_ABI NB_STATIC NB_SUPPRESS_WARNINGS ${sources})
set_target_properties(casemate_python PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/python_exports.map OUTPUT_NAME _casemate LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/python)
target_link_libraries(casemate_python PRIVATE ${previous} Threads::Threads)
target_link_options(casemate_python PRIVATE -static-libstdc++ -static-libgcc
  -Wl,--exclude-libs,ALL -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/python_exports.map -Wl,--gc-sections -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed $<$<BOOL:${CASEMATE_LLD}>:-fuse-ld=lld>)
install(TARGETS casemate_python LIBRARY DESTINATION casemate COMPONENT python)
# The program too: `pip install` puts it beside the interpreter. Stripped, as all of the wheel (scikit-build-core's install.strip).
if(SKBUILD_SCRIPTS_DIR)
  install(TARGETS casemate RUNTIME DESTINATION ${SKBUILD_SCRIPTS_DIR} COMPONENT python)
endif()
