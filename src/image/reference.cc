#include "image/reference.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/digest.h"
#include "base/terminal.h"

namespace casemate {
namespace {

using Kind = ImageReference::Kind;

constexpr std::size_t kLongestText = 8192;
constexpr std::size_t kLongestName = 255;  // with the registry: what older readers of the grammar count, the stricter way
constexpr std::size_t kLongestTag = 128;
constexpr std::size_t kLongestOciName = 512;  // the specification has no bound
constexpr std::size_t kQuoted = 120;
constexpr std::string_view kDefaultRegistry = "docker.io";
constexpr std::string_view kTransports =
    "host, docker://NAME[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], docker-daemon:NAME[:TAG], "
    "dir:ROOTFS";

struct Transport {
  std::string_view prefix;
  Kind kind;
};
constexpr std::array<Transport, 6> kPrefixes = {{
    {"docker://", Kind::registry},
    {"oci:", Kind::oci_layout},
    {"oci-archive:", Kind::oci_archive},
    {"docker-archive:", Kind::docker_archive},
    {"docker-daemon:", Kind::docker_daemon},
    {"dir:", Kind::root_directory},
}};

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter_or_digit(char c) { return is_lower(c) || is_upper(c) || is_digit(c); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](char c) { return static_cast<char>(is_upper(c) ? c + 32 : c); });
  return result;
}

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

Result<void> check_tag(std::string_view tag) {
  if (tag.empty()) return wrong("the tag after ':' is empty");
  if (tag.size() > kLongestTag) return wrong(fmt::format("the tag has {} characters; at most {} are allowed", tag.size(), kLongestTag));
  for (std::size_t i = 0; i < tag.size(); ++i) {
    if (is_letter_or_digit(tag[i]) || tag[i] == '_' || (i > 0 && (tag[i] == '.' || tag[i] == '-'))) continue;
    return wrong(fmt::format("{} can't stand {}in a tag: letters, digits, '_', '.' and '-' can, and the first is none of '.' and '-'",
                             in_quotes(tag.substr(i, 1)), i == 0 ? "first " : ""));
  }
  return {};
}

// host := domain-name | IPv4address | "[" IPv6address "]"; domain := host [":" port-number]
Result<void> check_registry(std::string_view domain) {
  std::string_view host = domain;
  if (domain.starts_with('[')) {
    const std::size_t end = domain.find(']');
    if (end == std::string_view::npos || end == 1 || (end + 1 < domain.size() && domain[end + 1] != ':')) {
      return wrong(fmt::format("the registry {} is no [IPv6 address] with an optional :PORT", in_quotes(domain)));
    }
    const std::string_view address = domain.substr(1, end - 1);
    if (!std::all_of(address.begin(), address.end(), [](char c) { return is_hex(c) || is_upper(c) || c == ':'; })) {
      return wrong(fmt::format("the registry {} is no IPv6 address", in_quotes(domain)));
    }
    host = domain.substr(0, end + 1);
  } else {
    host = domain.substr(0, domain.find(':'));
    char before = '.';
    for (const char c : host) {
      const bool edge = before == '.';
      if (!(is_letter_or_digit(c) || (!edge && (c == '-' || (c == '.' && before != '-'))))) {
        return wrong(fmt::format("the registry {} is no host name", in_quotes(domain)));
      }
      before = c;
    }
    if (before == '.' || before == '-') return wrong(fmt::format("the registry {} is no host name", in_quotes(domain)));
  }
  if (host.size() == domain.size()) return {};
  const std::string_view port = domain.substr(host.size() + 1);
  unsigned number = 0;
  for (const char c : port) number = is_digit(c) && number < 65536 ? number * 10 + static_cast<unsigned>(c - '0') : 65536;
  if (number == 0 || number > 65535)
    return wrong(fmt::format("the registry {} has no port from 1 to 65535 after its ':'", in_quotes(domain)));
  return {};
}

// path-component := alpha-numeric [separator alpha-numeric]*; separator := "." | "_" | "__" | "-"*
Result<void> check_component(std::string_view component) {
  if (component.empty()) return wrong("a part of the repository name is empty: '/' stands between two parts");
  if (std::any_of(component.begin(), component.end(), is_upper)) {
    return wrong(
        fmt::format("{} has upper case, which repository names have not: write {}", in_quotes(component), in_quotes(lower(component))));
  }
  std::size_t separator = 0;  // where the run of separators that we are in began
  for (std::size_t i = 0; i <= component.size(); ++i) {
    if (i < component.size() && !(is_lower(component[i]) || is_digit(component[i]))) {
      if (component[i] == '.' || component[i] == '_' || component[i] == '-') continue;
      return wrong(fmt::format("{} can't stand in a repository name: a-z, 0-9 and between them '.', '_', '-' can",
                               in_quotes(component.substr(i, 1))));
    }
    const std::string_view run = component.substr(separator, i - separator);
    const bool inside = separator > 0 && i < component.size();
    if (!run.empty() && !(inside && (run == "." || run == "_" || run == "__" || run.find_first_not_of('-') == std::string_view::npos))) {
      return wrong(fmt::format("{} is no part of a repository name: '.', '_', '__' or dashes stand singly between letters or digits",
                               in_quotes(component)));
    }
    separator = i + 1;
  }
  return {};
}

// The repository with its registry: "python" is docker.io/library/python, "me/tool" docker.io/me/tool. A first part is a registry if it
// has a '.' or ':', is "localhost", or has upper case, as docker has it.
Result<std::string> full_name(std::string_view name) {
  if (name.empty()) return wrong("the repository name is empty");
  if (is_sha256_hex(name)) {
    return wrong("64 hex digits are the id of an image, not its name");
  }
  std::string_view registry = kDefaultRegistry;
  std::string_view path = name;
  if (const std::size_t slash = name.find('/'); slash != std::string_view::npos) {
    const std::string_view first = name.substr(0, slash);
    if (first.find_first_of(".:") != std::string_view::npos || first == "localhost" || std::any_of(first.begin(), first.end(), is_upper)) {
      registry = first == "index.docker.io" ? kDefaultRegistry : first;
      path = name.substr(slash + 1);
    }
  }
  TRY(check_registry(registry));
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    TRY(check_component(path.substr(start, end - start)));
    start = end + 1;
  }
  const bool official = registry == kDefaultRegistry && path.find('/') == std::string_view::npos;
  std::string full = fmt::format("{}/{}{}", registry, official ? "library/" : "", path);
  if (full.size() > kLongestName) {
    return wrong(fmt::format("the repository name has {} characters with its registry; at most {} are allowed", full.size(), kLongestName));
  }
  return full;
}

// NAME[:TAG][@DIGEST]
Result<void> read_named(std::string_view text, ImageReference& reference) {
  std::string_view name = text;
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    name = text.substr(0, at);
    TRY(check_digest(text.substr(at + 1)));
    reference.digest = text.substr(at + 1);
  }
  const std::size_t slash = name.rfind('/');
  const std::size_t colon = name.find_last_of(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    TRY(check_tag(name.substr(colon + 1)));
    reference.tag = name.substr(colon + 1);
    name = name.substr(0, colon);
  }
  TRY_ASSIGN(reference.name, full_name(name));
  if (!reference.digest.empty()) {
    reference.tag.clear();
  } else if (reference.tag.empty()) {
    reference.tag = "latest";
  }
  return {};
}

// ref := component ("/" component)*, component := alphanum (separator alphanum)*, separator := [-._:@+] | "--" (image-spec 1.1,
// annotations.md, org.opencontainers.image.ref.name).
Result<void> check_oci_name(std::string_view tag) {
  if (tag.empty()) return wrong("the tag after ':' is empty");
  if (tag.size() > kLongestOciName) {
    return wrong(fmt::format("the tag has {} characters; at most {} are allowed", tag.size(), kLongestOciName));
  }
  constexpr std::string_view kSeparators = "-._:@+/";
  char before = '/';
  bool doubled = false;
  for (const char c : tag) {
    const bool after_separator = kSeparators.find(before) != std::string_view::npos;
    const bool dashes = c == '-' && before == '-' && !doubled;
    if (!is_letter_or_digit(c) && (kSeparators.find(c) == std::string_view::npos || (after_separator && !dashes))) {
      return wrong(
          fmt::format("{} is no tag of an OCI layout: letters and digits with one of '-._:@+/' or '--' between them", in_quotes(tag)));
    }
    doubled = dashes;
    before = c;
  }
  if (!is_letter_or_digit(before)) {
    return wrong(fmt::format("{} is no tag of an OCI layout: it ends with {}", in_quotes(tag), in_quotes({&before, 1})));
  }
  return {};
}

// PATH[:TAG] or PATH:@DIGEST of an OCI layout, PATH[:NAME:TAG] of docker's archive.
Result<void> read_path(std::string_view text, ImageReference& reference) {
  const std::size_t colon = reference.kind == Kind::root_directory ? std::string_view::npos : text.find(':');
  reference.path = text.substr(0, colon);
  if (reference.path.empty()) {
    return wrong(fmt::format("the path of the {} is empty",
                             reference.kind == Kind::root_directory || reference.kind == Kind::oci_layout ? "directory" : "archive"));
  }
  if (colon == std::string_view::npos) return {};
  const std::string_view rest = text.substr(colon + 1);
  if (reference.kind == Kind::docker_archive) {
    if (rest.find('@') != std::string_view::npos) return wrong("an image in a docker-archive is picked by NAME:TAG, it has no digest");
    return read_named(rest, reference);
  }
  if (!rest.starts_with('@')) {
    TRY(check_oci_name(rest));
    reference.tag = rest;
    return {};
  }
  TRY(check_digest(rest.substr(1)));
  reference.digest = rest.substr(1);
  return {};
}

Result<ImageReference> read_reference(std::string_view text) {
  ImageReference reference;
  if (text == "host") return reference;
  for (const Transport& transport : kPrefixes) {
    if (!text.starts_with(transport.prefix)) continue;
    const std::string_view rest = text.substr(transport.prefix.size());
    reference.kind = transport.kind;
    if (reference.kind == Kind::docker_daemon && rest.starts_with("sha256:")) {
      TRY(check_digest(rest));
      reference.digest = rest;
      return reference;
    }
    const bool named = reference.kind == Kind::registry || reference.kind == Kind::docker_daemon;
    TRY(named ? read_named(rest, reference) : read_path(rest, reference));
    return reference;
  }
  if (text.starts_with("docker:")) return wrong("write docker:// with two slashes");
  if (text.starts_with("host:")) return wrong("host takes nothing after it");
  ImageReference guess{Kind::registry};
  const std::string meant = text.size() <= kQuoted && read_named(text, guess) ? fmt::format("; from a registry: docker://{}", text) : "";
  return wrong(fmt::format("it begins with no transport that casemate knows: {}{}", kTransports, meant));
}

}  // namespace

std::string in_quotes(std::string_view text) {
  if (text.size() <= kQuoted) return fmt::format("'{}'", printable_name(text));
  std::size_t end = kQuoted;
  while (end > kQuoted - 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not in the middle of a character
  return fmt::format("'{}...'", printable_name(text.substr(0, end)));
}

Result<void> check_digest(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) {
    return wrong(fmt::format("{} is no digest: write sha256: and 64 hex digits", in_quotes(text)));
  }
  const std::string_view algorithm = text.substr(0, colon);
  const std::string_view hex = text.substr(colon + 1);
  if (algorithm != "sha256") {
    const bool known = algorithm == "sha512" || algorithm == "sha384" || algorithm == "blake3";
    if (known)
      return fail(ErrorCode::not_supported, fmt::format("the digest {} is not SHA-256, the only one casemate checks", in_quotes(text)));
    return wrong(fmt::format("{} is no algorithm of digests: write sha256: and 64 hex digits", in_quotes(algorithm)));
  }
  if (hex.size() != 64) return wrong(fmt::format("the digest {} has {} hex digits instead of 64", in_quotes(text), hex.size()));
  if (!std::all_of(hex.begin(), hex.end(), is_hex)) {
    return wrong(fmt::format("the digest {} has characters that are none of 0-9 and a-f", in_quotes(text)));
  }
  return {};
}

Result<ImageReference> parse_image_reference(std::string_view text) {
  if (text.empty()) return wrong(fmt::format("no image is named; there are {}", kTransports));
  if (text.size() > kLongestText) {
    return wrong(fmt::format("the name of an image has {} bytes; at most {} are allowed", text.size(), kLongestText));
  }
  if (text.find('\0') != std::string_view::npos) return wrong(fmt::format("image {} has a NUL byte in it", in_quotes(text)));
  auto reference = read_reference(text);
  if (!reference) return fail(reference.error().code, fmt::format("image {}: {}", in_quotes(text), reference.error().what));
  return reference;
}

std::string to_text(const ImageReference& reference) {
  if (reference.kind == Kind::host) return "host";
  std::string text;
  for (const Transport& transport : kPrefixes) {
    if (transport.kind == reference.kind) text = transport.prefix;
  }
  text += reference.path;
  if (!reference.path.empty() && !reference.name.empty()) text += ':';
  text += reference.name;
  if (!reference.digest.empty()) {
    const bool layout = reference.kind == Kind::oci_layout || reference.kind == Kind::oci_archive;
    text += layout ? ":@" : reference.name.empty() ? "" : "@";
    return text + reference.digest;
  }
  return reference.tag.empty() ? text : text + ':' + reference.tag;
}

bool is_pinned(const ImageReference& reference) { return !reference.digest.empty(); }

ImageReference with_digest(ImageReference reference, std::string digest) {
  reference.tag.clear();
  reference.digest = std::move(digest);
  return reference;
}

std::unexpected<Error> about(const ImageReference& reference, const Error& error) {
  const std::string name = error.what.starts_with("image ") ? "" : fmt::format("image {}: ", in_quotes(to_text(reference)));
  return fail(error.code, name + error.what, error.errno_value, error.where);
}

}  // namespace casemate
