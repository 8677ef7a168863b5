// endpoint: where a remote execution engine is, who we are there, and how calls to it behave.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// An engine's address, and what proves who we are.
struct RemoteEndpoint {
  std::string address;                                       ///< "host:port", "[::1]:port", "unix:/path"
  bool tls = false;                                          ///< grpcs://
  std::string instance;                                      ///< REAPI instance_name; may be empty
  std::string ca;                                            ///< PEM file; "": the system's
  std::string certificate, key;                              ///< PEM files, for mutual TLS
  std::vector<std::pair<std::string, std::string>> headers;  ///< with each call, names in lower case: authorization and the like
  std::string cache;                                         ///< address of CAS and action cache, where that is another ("": the same)
};

/// How calls behave.
struct RemotePolicy {
  std::chrono::milliseconds call{std::chrono::seconds(60)};      ///< one call that moves no more than one batch
  std::chrono::milliseconds silence{std::chrono::seconds(60)};   ///< a stream that brings nothing for this long is dead
  std::chrono::milliseconds patience{std::chrono::seconds(60)};  ///< how long one thing is tried again
};

/// An address as --remote has it: grpc://HOST:PORT, grpcs://HOST:PORT, unix:/PATH, HOST:PORT (plain, as grpc://). invalid_input says what.
Result<RemoteEndpoint> parse_remote(const std::string& address);

}  // namespace casemate
