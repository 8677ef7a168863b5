# What `cmake --install build` puts where. docs/man and completions are plain files: nothing generates them.
include(GNUInstallDirs)
install(TARGETS casemate casemate-agent RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(name IN LISTS CASEMATE_NAMES)
  install(CODE "
    file(CREATE_LINK casemate \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/${name}\" SYMBOLIC)
    message(STATUS \"Installing: \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/${name} -> casemate\")")
endforeach()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/casemate DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
install(FILES ${CMAKE_SOURCE_DIR}/completions/casemate.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME casemate)
install(FILES ${CMAKE_SOURCE_DIR}/completions/_casemate DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${CMAKE_SOURCE_DIR}/completions/casemate.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
