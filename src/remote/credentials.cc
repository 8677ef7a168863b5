#include "remote/credentials.h"

#include <string_view>

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/terminal.h"
#include "remote/engine.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostPem = 1u << 20;

struct Free {
  void operator()(BIO* of) const { ::BIO_free(of); }
  void operator()(X509* of) const { ::X509_free(of); }
  void operator()(EVP_PKEY* of) const { ::EVP_PKEY_free(of); }
};
using Bytes = std::unique_ptr<BIO, Free>;

std::unexpected<Error> unusable(std::string what) {
  return fail(ErrorCode::invalid_input, std::move(what), 0, std::string(kRemoteUnusable));
}

Result<std::string> pem_of(const std::string& path, std::string_view what) {
  if (path.empty()) return "";
  auto text = read_file(path, kMostPem);
  if (!text) return unusable(fmt::format("{} of the remote engine: {}", what, text.error().what));
  if (text->find("-----BEGIN ") == std::string::npos)
    return unusable(fmt::format("{} of the remote engine: '{}' is no PEM file", what, printable_line(path)));
  return std::move(*text);
}

Bytes bytes_of(const std::string& pem) { return Bytes(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

// The first of the file: of a chain it is the one that the others vouch for. nullptr: there is none.
std::unique_ptr<X509, Free> first_certificate(const std::string& pem) {
  std::unique_ptr<X509, Free> found(::PEM_read_bio_X509(bytes_of(pem).get(), nullptr, nullptr, nullptr));
  ::ERR_clear_error();
  return found;
}

// The empty passphrase: without one OpenSSL would ask the terminal.
std::unique_ptr<EVP_PKEY, Free> private_key(const std::string& pem) {
  char none[] = "";
  std::unique_ptr<EVP_PKEY, Free> found(::PEM_read_bio_PrivateKey(bytes_of(pem).get(), nullptr, nullptr, none));
  ::ERR_clear_error();
  return found;
}

Result<void> check_own(const RemoteEndpoint& endpoint, const grpc::SslCredentialsOptions& read) {
  const auto certificate = first_certificate(read.pem_cert_chain);
  if (!certificate)
    return unusable(fmt::format("the certificate of ours for the remote engine: no certificate can be read from '{}'",
                                printable_line(endpoint.certificate)));
  if (::X509_cmp_current_time(::X509_get0_notAfter(certificate.get())) < 0)
    return unusable(fmt::format("the certificate of ours for the remote engine, '{}', has expired", printable_line(endpoint.certificate)));
  const auto key = private_key(read.pem_private_key);
  if (!key)
    return unusable(fmt::format("the key of ours for the remote engine: no key can be read from '{}' (one with a passphrase can't be used)",
                                printable_line(endpoint.key)));
  const bool pair = ::X509_check_private_key(certificate.get(), key.get()) == 1;
  ::ERR_clear_error();
  if (!pair)
    return unusable(fmt::format("the key '{}' is not that of the certificate '{}'", printable_line(endpoint.key),
                                printable_line(endpoint.certificate)));
  return {};
}

}  // namespace

Result<std::shared_ptr<grpc::ChannelCredentials>> credentials_of(const RemoteEndpoint& endpoint) {
  if (!endpoint.tls) {
    if (!endpoint.ca.empty() || !endpoint.certificate.empty() || !endpoint.key.empty())
      return unusable("certificates are given, but the remote engine's address is not grpcs://");
    return grpc::InsecureChannelCredentials();
  }
  if (endpoint.certificate.empty() != endpoint.key.empty())
    return unusable("mutual TLS with the remote engine wants a certificate and its key; one of them is missing");
  grpc::SslCredentialsOptions options;
  TRY_ASSIGN(options.pem_root_certs, pem_of(endpoint.ca, "the authority"));
  if (!endpoint.ca.empty() && !first_certificate(options.pem_root_certs))
    return unusable(fmt::format("the authority of the remote engine: no certificate can be read from '{}'", printable_line(endpoint.ca)));
  TRY_ASSIGN(options.pem_cert_chain, pem_of(endpoint.certificate, "the certificate"));
  TRY_ASSIGN(options.pem_private_key, pem_of(endpoint.key, "the key"));
  if (!endpoint.certificate.empty()) TRY(check_own(endpoint, options));
  return grpc::SslCredentials(options);
}

std::optional<std::string> tls_trouble(const grpc::Status& status, const RemoteEndpoint& endpoint) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return std::nullopt;
  const std::string& said = status.error_message();
  const auto says = [&](std::string_view words) { return said.find(words) != std::string::npos; };
  // OpenSSL knows more, but gRPC passes no more of it on.
  if (says("certificate verify failed"))
    return fmt::format(
        "its certificate is not to be trusted: it has expired, or was signed by none of the authorities {} (openssl s_client tells)",
        endpoint.ca.empty() ? "of this system (--remote-ca names others)" : fmt::format("in '{}'", printable_line(endpoint.ca)));
  if (says("is not in peer certificate")) return "its certificate is of another host name than that of the address";
  if (says("wrong version number") || says("packet length too long")) return "it speaks no TLS there: is it grpc:// and not grpcs://?";
  // A connection that has been up is another matter.
  if (!says("failed to connect") || !says("Socket closed")) return std::nullopt;
  if (!endpoint.tls) return "it closes the connection: is it grpcs:// and not grpc://?";
  return endpoint.certificate.empty() ? "it closes the connection: does it want a certificate of ours (--remote-cert, --remote-key)?"
                                      : "it closes the connection: does it know who signed the certificate of ours (--remote-cert)?";
}

}  // namespace casemate
