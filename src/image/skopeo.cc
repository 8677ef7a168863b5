#include "image/skopeo.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/units.h"
#include "image/document.h"
#include "image/requirements.h"
#include "store/place.h"
#include "sys/fd.h"
#include "sys/watched_program.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kLongestError = 400;

// The variables that skopeo gets, by name or by the start of it.
constexpr std::array<std::string_view, 6> kVariables{"HOME",          "PATH",          "REGISTRY_AUTH_FILE",
                                                     "DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"};
constexpr std::array<std::string_view, 2> kVariablesBeginning{"XDG_", "CONTAINERS_"};
constexpr std::array<std::string_view, 4> kProxies{"http_proxy", "https_proxy", "no_proxy", "all_proxy"};

std::string lower(std::string_view text) {
  std::string all(text);
  std::transform(all.begin(), all.end(), all.begin(), [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return all;
}

bool is_wanted(std::string_view variable) {
  const std::string_view name = variable.substr(0, variable.find('='));
  const auto begins = [&](std::string_view start) { return name.starts_with(start); };
  return std::find(kVariables.begin(), kVariables.end(), name) != kVariables.end() ||
         std::any_of(kVariablesBeginning.begin(), kVariablesBeginning.end(), begins) ||
         std::find(kProxies.begin(), kProxies.end(), lower(name)) != kProxies.end();
}

// The text of msg="..." in the last line of logrus's that ends the program; else the last line there is.
std::string fatal_message(std::string_view text) {
  constexpr std::string_view kMark = "level=fatal msg=";
  const std::size_t at = text.rfind(kMark);
  if (at == std::string_view::npos) {
    while (text.ends_with('\n')) text.remove_suffix(1);
    const std::size_t line = text.rfind('\n');
    return std::string(line == std::string_view::npos ? text : text.substr(line + 1));
  }
  text.remove_prefix(at + kMark.size());
  if (!text.starts_with('"')) return std::string(text.substr(0, text.find('\n')));
  std::string message;
  for (std::size_t i = 1; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      message += text[i] == 'n' || text[i] == 't' ? ' ' : text[i];
    } else {
      message += text[i];
    }
  }
  return message;
}

// Without what only says again which image it was.
std::string without_names(std::string message) {
  for (const std::string_view start : {"Error parsing image name ", "Error initializing source ", "initializing source "}) {
    if (!message.starts_with(start)) continue;
    // The name may be in quotes, and has colons itself: what follows it begins at ": ".
    if (const std::size_t end = message.find(": ", start.size()); end != std::string::npos) message.erase(0, end + 2);
  }
  if (message.size() > kLongestError) message = message.substr(0, kLongestError) + "...";
  return printable_line(redacted(message));
}

// What is in skopeo's words, what it means, and what to do; the first that fits counts.
struct Meaning {
  std::string_view words;  // lower case
  ErrorCode code;
  const char* advice;
};
// Not a bare `skopeo login`: without /run/user it writes to /run/containers, where a user may not, and which root's login closes for users.
#define CASEMATE_LOG_IN                                                                                               \
  "log in with `skopeo login --authfile FILE REGISTRY` and name that file (--authfile FILE or $REGISTRY_AUTH_FILE), " \
  "or with `docker login`"
constexpr const char* kLogIn = CASEMATE_LOG_IN;
constexpr const char* kTrust = "name a directory with its CA's certificate (--cert-dir), or go without verification (--tls-verify=false)";
constexpr std::array<Meaning, 40> kMeanings{{
    {"no space left on device", ErrorCode::exhausted, "the disk is full: make room, or set CASEMATE_CACHE_DIR"},
    {"disk quota exceeded", ErrorCode::exhausted, "the quota is used up: make room, or set CASEMATE_CACHE_DIR"},
    {"toomanyrequests", ErrorCode::refused, kLogIn},
    {"too many requests", ErrorCode::refused, kLogIn},
    {"server gave http response to https client", ErrorCode::refused, "the registry speaks plain http: allow that with --tls-verify=false"},
    {"x509:", ErrorCode::refused, kTrust},
    {"certificate", ErrorCode::refused, kTrust},
    {"tls:", ErrorCode::refused, kTrust},
    {"docker-credential", ErrorCode::refused,
     "the program that keeps credentials failed: look at credHelpers in auth.json, or log in anew"},
    {"error getting credentials", ErrorCode::refused, "the program that keeps credentials failed: log in anew"},
    {"permission denied", ErrorCode::refused, "look at who may read it"},
    {"invalid username/password", ErrorCode::refused,
     "the registry does not take this user name and password, if it got any: " CASEMATE_LOG_IN},
    {"unauthorized", ErrorCode::refused, kLogIn},
    {"authentication required", ErrorCode::refused, kLogIn},
    {"requested access to the resource is denied", ErrorCode::refused, "there is no such image, or it is private: " CASEMATE_LOG_IN},
    {"denied:", ErrorCode::refused, kLogIn},
    {"403 (forbidden)", ErrorCode::refused, kLogIn},
    {"stopped after 10 redirects", ErrorCode::refused, "the registry sends in a circle"},
    {"does not match provided manifest digest", ErrorCode::refused, "the registry sends another manifest than was asked for"},
    {"digest did not match", ErrorCode::refused, "the registry sends other bytes than the manifest names"},
    {"digest mismatch", ErrorCode::refused, "the registry sends other bytes than the manifest names"},
    {"rejected by policy", ErrorCode::refused, "containers-policy.json(5) on this machine forbids it"},
    {"source image rejected", ErrorCode::refused, "containers-policy.json(5) on this machine forbids it"},
    {"manifest unknown", ErrorCode::not_found, "there is no such image: look at its name and tag"},
    {"name unknown", ErrorCode::not_found, "there is no such image: look at its name and tag"},
    {"blob unknown", ErrorCode::refused, "the registry has not all of the image"},
    {"cannot connect to the docker daemon", ErrorCode::not_supported, "start the Docker Engine, or set DOCKER_HOST"},
    {"no such image", ErrorCode::not_found, "`docker images` lists what there is"},
    {"reference does not exist", ErrorCode::not_found, "`docker images` lists what there is"},
    {"connection refused", ErrorCode::refused, "nothing listens there: look at the registry's name and port"},
    {"i/o timeout", ErrorCode::exhausted, "the registry does not answer"},
    {"timeout exceeded", ErrorCode::exhausted, "the registry does not answer"},
    {"handshake timeout", ErrorCode::exhausted, "the registry does not answer"},
    {"network is unreachable", ErrorCode::refused, "this machine has no way there"},
    {"no route to host", ErrorCode::refused, "this machine has no way there"},
    {"connection reset", ErrorCode::refused, "the connection broke: try again"},
    {"unexpected eof", ErrorCode::refused, "the connection broke, or less came than was announced: try again"},
    {"404 (not found)", ErrorCode::not_found, "there is no such image: look at its name and tag"},
    {"no such file or directory", ErrorCode::not_found, "look at the path"},
    {"not found", ErrorCode::not_found, "there is no such image: look at its name and tag"},
}};

// The same for archives, where skopeo reads a file and no registry.
constexpr const char* kDamagedArchive = "the file is damaged, or not all of it is there, or it is no archive: make or fetch it again";
constexpr std::array<Meaning, 8> kArchiveMeanings{{
    {"index.json: no such file", ErrorCode::refused, "it is no OCI archive: what `docker save` writes is named docker-archive:FILE"},
    {"manifest.json: file does not exist", ErrorCode::refused,
     "it is no archive of docker's: an OCI archive is named oci-archive:FILE, a tar of a root file system is imported by docker"},
    {"unexpected eof", ErrorCode::refused, kDamagedArchive},
    {"invalid tar header", ErrorCode::refused, kDamagedArchive},
    {"operation not permitted", ErrorCode::refused,  // it unpacks owners too, as a plain user
     "its files have other owners, which only root can unpack: if `docker save` wrote it, it is named docker-archive:FILE; else unpack it "
     "(tar -xf) and name the directory, oci:DIR"},
    {"gzip: ", ErrorCode::refused, kDamagedArchive},
    {"flate: ", ErrorCode::refused, kDamagedArchive},
    {"is a directory", ErrorCode::refused, "it is a directory, and no archive: a layout is named oci:DIR"},
}};

// "example.com" of "dial tcp: lookup example.com on 10.0.0.1:53: no such host"; "" if it is not that.
std::string unknown_host(std::string_view message) {
  constexpr std::string_view kLookup = "dial tcp: lookup ";
  const std::size_t at = message.find(kLookup);
  if (at == std::string_view::npos) return "";
  message.remove_prefix(at + kLookup.size());
  return std::string(message.substr(0, message.find_first_of(": ")));
}

template <class Table>
const Meaning* find_meaning(const Table& table, const std::string& words) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Meaning& meaning) { return words.find(meaning.words) != std::string::npos; });
  return found == table.end() ? nullptr : &*found;
}

// What was said to use must be there: skopeo goes on without, and the registry's refusal would be all that is seen.
Result<void> must_exist(std::string_view option, const std::string& path, bool directory) {
  struct stat info{};
  if (path.empty()) return {};
  if (::stat(path.c_str(), &info) < 0) {
    const int number = errno;
    const std::string why = number == ENOENT ? (directory ? "no such directory" : "no such file") : std::strerror(number);
    return fail(number == ENOENT ? ErrorCode::not_found : ErrorCode::refused, fmt::format("{} {}: {}", option, in_quotes(path), why),
                number);
  }
  if (S_ISDIR(info.st_mode) == directory) return {};
  return fail(ErrorCode::invalid_input,
              fmt::format("{} {}: {}", option, in_quotes(path), directory ? "is no directory" : "is a directory"));
}

Result<std::string> absolute_or_empty(const std::string& path) { return path.empty() ? Result<std::string>("") : absolute_path(path); }

}  // namespace

Error read_skopeo_error(std::string_view text, ImageReference::Kind source) {
  const std::string message = without_names(fatal_message(text));
  const std::string words = lower(message);
  const bool archive = source == ImageReference::Kind::oci_archive || source == ImageReference::Kind::docker_archive;
  if (const std::string host = archive ? "" : unknown_host(message); !host.empty())
    return {ErrorCode::not_found, fmt::format("can't find {}: no network or no DNS, or the name is wrong (skopeo: {})", host, message)};
  if (words.find("/run/containers/") != std::string::npos && words.find("permission denied") != std::string::npos)
    return {ErrorCode::refused, fmt::format("/run/containers is closed to this user, as `skopeo login` by root leaves it: name a file of "
                                            "credentials (--authfile FILE or $REGISTRY_AUTH_FILE), or have root remove it (skopeo: {})",
                                            message)};
  const Meaning* meaning = archive ? find_meaning(kArchiveMeanings, words) : nullptr;
  if (!meaning) meaning = find_meaning(kMeanings, words);
  if (meaning) return {meaning->code, fmt::format("{} (skopeo: {})", meaning->advice, message)};
  return {ErrorCode::refused, message.empty() ? "skopeo failed without a word" : fmt::format("skopeo failed: {}", message)};
}

bool is_closed_to_us(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  return !file && errno == EACCES;
}

namespace {

// A directory that is always there and where nobody can put a containers/auth.json: for skopeo, which takes no "none".
constexpr const char* kNoCredentials = "XDG_RUNTIME_DIR=/proc";

ImageReference::Kind kind_of(std::string_view source) {
  if (source.starts_with("oci-archive:")) return ImageReference::Kind::oci_archive;
  return source.starts_with("docker-archive:") ? ImageReference::Kind::docker_archive : ImageReference::Kind::registry;
}

Result<void> unless_cancelled(const RegistryAccess& access) {
  if (!access.cancelled || !access.cancelled()) return {};
  return fail(ErrorCode::cancelled, "getting the image was cancelled");
}

}  // namespace

Result<Skopeo> Skopeo::find(const RegistryAccess& access, std::chrono::milliseconds stall) {
  Skopeo found;
  found.program_ = program_on_path("skopeo");
  if (found.program_.empty())
    return fail(ErrorCode::not_supported, "the program skopeo is needed to get images: install it (Debian's package is `skopeo`)");
  found.access_ = access;
  TRY_ASSIGN(found.access_.authfile, absolute_or_empty(access.authfile));
  TRY_ASSIGN(found.access_.cert_directory, absolute_or_empty(access.cert_directory));
  TRY(must_exist("--authfile", found.access_.authfile, false));
  TRY(must_exist("--cert-dir", found.access_.cert_directory, true));
  found.stall_ = stall;
  const char* home = std::getenv("HOME");
  const bool own = home && ::access(fmt::format("{}/.config/containers/policy.json", home).c_str(), F_OK) == 0;
  found.insecure_policy_ = !own && ::access("/etc/containers/policy.json", F_OK) < 0;
  return found;
}

std::vector<std::string> Skopeo::command() const {
  std::vector<std::string> words{program_};
  if (insecure_policy_) words.emplace_back("--insecure-policy");
  return words;
}

std::vector<std::string> Skopeo::environment(const std::string& temporary) const {
  std::vector<std::string> variables;
  for (char** entry = ::environ; entry && *entry; ++entry) {
    if (is_wanted(*entry)) variables.emplace_back(*entry);
  }
  if (!temporary.empty()) variables.push_back("TMPDIR=" + temporary);
  const auto is_set = [](const char* name) {
    const char* value = std::getenv(name);
    return value && *value;
  };
  if (access_.authfile.empty() && !is_set("REGISTRY_AUTH_FILE") && !is_set("XDG_RUNTIME_DIR") &&
      is_closed_to_us(fmt::format("/run/containers/{}/auth.json", ::geteuid())))
    variables.emplace_back(kNoCredentials);
  return variables;
}

Result<std::string> Skopeo::inspect(const std::string& source, bool config) const {
  WatchedProgram program;
  program.argv = command();
  program.argv.insert(program.argv.end(), {"inspect", "--raw"});
  if (config) program.argv.emplace_back("--config");
  if (!access_.verify_tls) program.argv.emplace_back("--tls-verify=false");
  if (!access_.authfile.empty()) program.argv.push_back("--authfile=" + access_.authfile);
  if (!access_.cert_directory.empty()) program.argv.push_back("--cert-dir=" + access_.cert_directory);
  program.argv.push_back(source);
  program.env = environment("");
  program.out_limit = kDocumentLimit + 1;
  const auto deadline = Clock::now() + stall_;
  program.watch = [&]() -> Result<void> {
    TRY(unless_cancelled(access_));
    if (Clock::now() < deadline) return {};
    return fail(ErrorCode::exhausted, fmt::format("the registry gave no answer within {}", format_duration(stall_)));
  };
  TRY_ASSIGN(ProgramResult result, run_watched(program));
  if (!result.end.signaled && result.end.code == 0) return std::move(result.out);
  return std::unexpected(read_skopeo_error(result.err));
}

Result<std::string> Skopeo::manifest(const std::string& source) const { return inspect(source, false); }
Result<std::string> Skopeo::config(const std::string& source) const { return inspect(source, true); }

Result<void> Skopeo::copy(const Copy& copy) const {
  WatchedProgram program;
  program.argv = command();
  program.argv.push_back("--tmpdir=" + copy.directory + "/tmp");  // archives are unpacked in /var/tmp else, whatever TMPDIR says
  if (!copy.platform.os.empty()) {
    program.argv.push_back("--override-os=" + copy.platform.os);
    program.argv.push_back("--override-arch=" + copy.platform.architecture);
    if (!copy.platform.variant.empty()) program.argv.push_back("--override-variant=" + copy.platform.variant);
  }
  program.argv.insert(program.argv.end(), {"copy", "--quiet", "--remove-signatures", "--retry-times=2"});
  if (copy.target.starts_with("oci:")) program.argv.emplace_back("--dest-oci-accept-uncompressed-layers");
  if (copy.source.starts_with("docker://")) {
    if (!access_.verify_tls) program.argv.emplace_back("--src-tls-verify=false");
    if (!access_.authfile.empty()) program.argv.push_back("--src-authfile=" + access_.authfile);
    if (!access_.cert_directory.empty()) program.argv.push_back("--src-cert-dir=" + access_.cert_directory);
  }
  // skopeo does not look at DOCKER_HOST itself.
  if (const char* host = std::getenv("DOCKER_HOST"); host && *host && copy.source.starts_with("docker-daemon:"))
    program.argv.push_back(fmt::format("--src-daemon-host={}", host));
  program.argv.push_back(copy.source);
  program.argv.push_back(copy.target);
  program.env = environment(copy.directory + "/tmp");
  program.directory = copy.directory;
  program.watch = [&]() -> Result<void> {
    TRY(unless_cancelled(access_));
    return copy.watch ? copy.watch() : Result<void>();
  };
  TRY_ASSIGN(const ProgramResult result, run_watched(program));
  if (!result.end.signaled && result.end.code == 0) return {};
  return std::unexpected(read_skopeo_error(result.err, kind_of(copy.source)));
}

}  // namespace casemate
