// credentials: who an engine has to be, and what proves to it who we are (TLS).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <grpcpp/security/credentials.h>
#include <grpcpp/support/status.h>

#include "casemate/result.h"
#include "remote/endpoint.h"

namespace casemate {

/// Reads the PEM files that `endpoint` names and checks what gRPC would refuse without a word: files without a certificate, a key that is
/// not of its certificate, a certificate of ours that is over. invalid_input names the file.
Result<std::shared_ptr<grpc::ChannelCredentials>> credentials_of(const RemoteEndpoint& endpoint);

/// What `status`, of a call that found no connection, says of TLS, in words of ours: "its certificate is of another host name: ...";
/// nullopt: nothing.
[[nodiscard]] std::optional<std::string> tls_trouble(const grpc::Status& status, const RemoteEndpoint& endpoint);

}  // namespace casemate
