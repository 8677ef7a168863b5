# casemate-remote is the same program with the remote executor in it (src/remote): gRPC's start-up alone would cost every `casemate run` more
# than its budget. Front ends that are asked for `--remote` exec it. gRPC is linked dynamically, as libcurl is (cmake/agent.cmake).
find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_program(CASEMATE_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)
# The protocol, compiled once for program and tests. The warnings of what protoc writes are no business of ours.
file(GLOB protocol CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/src src/remote/protocol/*.proto)
set(protocol_directory ${CMAKE_BINARY_DIR}/generated-protocol)
file(MAKE_DIRECTORY ${protocol_directory})
set(protocol_sources)
foreach(file IN LISTS protocol)
  string(REGEX REPLACE "\\.proto$" "" stem ${protocol_directory}/${file})
  set(written ${stem}.pb.cc ${stem}.pb.h ${stem}.grpc.pb.cc ${stem}.grpc.pb.h)
  list(TRANSFORM protocol PREPEND ${CMAKE_SOURCE_DIR}/src/ OUTPUT_VARIABLE protocol_files)
  add_custom_command(OUTPUT ${written}
    COMMAND protobuf::protoc -I ${CMAKE_SOURCE_DIR}/src --cpp_out=${protocol_directory} --grpc_out=${protocol_directory}
            --plugin=protoc-gen-grpc=${CASEMATE_GRPC_PLUGIN} ${CMAKE_SOURCE_DIR}/src/${file}
    DEPENDS ${protocol_files} VERBATIM)
  list(APPEND protocol_sources ${written})
endforeach()
add_library(casemate_protocol STATIC ${protocol_sources})
target_include_directories(casemate_protocol SYSTEM PUBLIC ${protocol_directory})
target_compile_options(casemate_protocol PRIVATE -w)
target_link_libraries(casemate_protocol PUBLIC gRPC::grpc++ protobuf::libprotobuf Threads::Threads)

file(GLOB sources CONFIGURE_DEPENDS src/remote/*.cc)
add_library(casemate_remote STATIC ${sources})
target_link_libraries(casemate_remote PUBLIC ${previous} casemate_protocol)
# OpenSSL's reader of certificates comes with its loader of modules: the dlopen that it gets (src/store/database.cc) has to be in every program.
target_link_options(casemate_remote INTERFACE $<$<BOOL:${CASEMATE_STATIC}>:-Wl,--exclude-libs,ALL,--undefined=__wrap_dlopen>)
add_executable(casemate-remote src/apps/main.cc src/apps/remote/remote.cc)
target_compile_definitions(casemate-remote PRIVATE CASEMATE_REMOTE)
target_link_libraries(casemate-remote PRIVATE casemate_remote ${previous})
if(TARGET casemate-witness)
  add_dependencies(casemate-remote casemate-witness)
endif()
