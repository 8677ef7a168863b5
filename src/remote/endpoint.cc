#include "remote/endpoint.h"

#include <charconv>
#include <string_view>

#include <fmt/format.h>
#include <sys/un.h>

#include "base/ascii.h"
#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostHost = 253;  // RFC 1035, 2.3.4
constexpr std::string_view kForms = "expected grpc://HOST:PORT, grpcs://HOST:PORT, unix:/PATH or HOST:PORT";

// A password that somebody put into it is in no message.
std::unexpected<Error> bad_address(std::string_view address, std::string_view why) {
  const std::size_t at = address.rfind('@');
  const std::string shown = at == std::string_view::npos ? std::string(address) : "..." + std::string(address.substr(at));
  return fail(ErrorCode::invalid_input, fmt::format("remote engine '{}': {}", printable_line(shown), why));
}

Result<RemoteEndpoint> unix_endpoint(std::string_view address, std::string_view path) {
  while (path.starts_with("//")) path.remove_prefix(1);  // unix:///PATH
  if (!path.starts_with('/')) return bad_address(address, "the socket's path must be absolute (unix:/run/engine.sock)");
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return bad_address(address, fmt::format("a socket's path has at most {} bytes (unix(7))", sizeof(sockaddr_un::sun_path) - 1));
  RemoteEndpoint endpoint;
  endpoint.address = fmt::format("unix:{}", path);
  return endpoint;
}

bool is_host(std::string_view host, bool v6) {
  if (host.empty() || host.size() > kMostHost) return false;
  for (const char byte : host) {
    const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
    if (!letter && byte != '.' && (v6 ? byte != ':' && byte != '%' : byte != '-' && byte != '_')) return false;
  }
  return v6 || host.front() != '-';
}

}  // namespace

Result<RemoteEndpoint> parse_remote(const std::string& address) {
  std::string_view rest = address;
  if (rest.empty()) return bad_address(address, kForms);
  for (const char byte : rest) {
    if (static_cast<unsigned char>(byte) <= ' ' || byte == 0x7f)
      return bad_address(address, "an address has no blanks and no control characters");
  }
  if (rest.starts_with("unix:")) return unix_endpoint(address, rest.substr(5));
  RemoteEndpoint endpoint;
  if (const std::size_t scheme = rest.find("://"); scheme != std::string_view::npos) {
    const std::string name = ascii_lower(rest.substr(0, scheme));
    if (name != "grpc" && name != "grpcs")
      return bad_address(address, name == "http" || name == "https"
                                      ? fmt::format("engines are spoken to as grpc{}://HOST:PORT", name == "https" ? "s" : "")
                                      : std::string(kForms));
    endpoint.tls = name == "grpcs";
    rest.remove_prefix(scheme + 3);
  }
  if (rest.find('@') != std::string_view::npos)
    return bad_address(address, "no names and passwords in an address: give them as a header (authorization=...)");
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#") != std::string_view::npos)
    return bad_address(address, "nothing may follow the port; an instance name is a setting of its own");
  std::string_view host = rest.substr(0, rest.find(':'));
  std::string_view port = rest.substr(host.size());
  const bool v6 = rest.starts_with('[');
  if (v6) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return bad_address(address, "'[' without ']'");
    host = rest.substr(1, end - 1);
    port = rest.substr(end + 1);
  } else if (port.find(':', 1) != std::string_view::npos) {
    return bad_address(address, "an IPv6 address is written in brackets: [::1]:8980");
  }
  if (!is_host(host, v6)) return bad_address(address, host.empty() ? kForms : "that is no name and no address of a host");
  if (port.empty() && endpoint.tls) port = ":443";  // what engines that are services listen on
  if (port.empty()) return bad_address(address, "there is no port (grpc://HOST:PORT)");
  if (port.front() != ':') return bad_address(address, kForms);
  port.remove_prefix(1);
  unsigned number = 0;
  const auto [end, problem] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (problem != std::errc{} || end != port.data() + port.size() || number == 0 || number > 65535)
    return bad_address(address, fmt::format("'{}' is no port (1 to 65535)", printable_line(port)));
  endpoint.address = v6 ? fmt::format("[{}]:{}", host, number) : fmt::format("{}:{}", host, number);
  return endpoint;
}

}  // namespace casemate
