#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>

#include "base/digest.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "sys/fd.h"
#include "testplan/installation.h"

namespace casemate {
namespace {

// Linux takes no argument of more than 128 KiB.
constexpr std::size_t kMostScript = 120 << 10;

// Every script begins with it. Settings that may hold secrets come in a file of exported variables and go to files on a tmpfs: neither is
// in the script's text, in what `docker inspect` shows, nor in what is kept. apt runs as one user where a cell has few ids, waits for
// nobody's answer, and takes an index that is half there for none.
constexpr std::string_view kPrelude = R"(set -eu
umask 022
place=/casemate/installation
mkdir -p "$place/cargo"
[ ! -e "$place/environment" ] || . "$place/environment"
keep_setting() { [ -z "$1" ] || (umask 077; printf '%s' "$1" >"$place/$2"); }
keep_setting "${CASEMATE_APT_CONF:-}" apt.conf
keep_setting "${CASEMATE_NPMRC:-}" npmrc
keep_setting "${CASEMATE_CARGO_CONFIG:-}" cargo/config.toml
keep_setting "${CASEMATE_GEMRC:-}" gemrc
unset CASEMATE_APT_CONF CASEMATE_NPMRC CASEMATE_CARGO_CONFIG CASEMATE_GEMRC
export DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export npm_config_cache="$place/npm" npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
export CARGO_HOME="$place/cargo" CARGO_TERM_PROGRESS_WHEN=never GOPATH="$place/go" GOCACHE="$place/go-build" GOTOOLCHAIN="${GOTOOLCHAIN:-local}"
give_up() { printf 'casemate: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
updated=
apt_get() {
  apt-get -q -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any -o Acquire::Retries=1 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"
}
apt_update() {
  have apt-get || give_up "the image has no apt-get, which would install what is missing"
  [ -n "$updated" ] || apt_get update
  updated=1
}
apt_install() {
  apt_update
  apt_get install -y --no-install-recommends -- "$@"
}
need() {
  wanted=$1
  shift
  have "$wanted" || apt_install "$@"
}
certificates() { [ -n "${SSL_CERT_FILE:-}" ] || [ -s /etc/ssl/certs/ca-certificates.crt ] || apt_install ca-certificates; }
)";

constexpr std::string_view kFinish = R"(if [ -n "$updated" ]; then
  apt-get clean
  rm -rf /var/lib/apt/lists/*
fi
)";

// Debian keeps a younger cargo beside its own, for browsers; most crates need one of the last years.
constexpr std::string_view kCargo = R"(certificates
if ! have cargo; then
  apt_update
  best=cargo
  for other in cargo-web; do
    theirs=$(apt-cache show --no-all-versions "$other" 2>/dev/null | sed -n 's/^Version: //p')
    ours=$(apt-cache show --no-all-versions cargo 2>/dev/null | sed -n 's/^Version: //p')
    if [ -n "$theirs" ] && dpkg --compare-versions "$theirs" gt "${ours:-0}"; then best=$other; fi
  done
  apt_install "$best"
fi
need cc gcc libc6-dev
)";

// pip since 22.3 installs from outside, so the environment needs none of its own, which would take longer to make than most tools.
constexpr std::string_view kVenv =
    R"(reaches_out='import pip, sys, venv; sys.exit([int(n) for n in pip.__version__.split(".")[:2]] < [22, 3])'
if have python3 && python3 -c "$reaches_out" 2>/dev/null; then
  python3 -m venv --without-pip "$home"
  pip_there() { python3 -m pip --python "$home/bin/python" "$@"; }
else
  if ! have python3 || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then apt_install python3 python3-venv; fi
  python3 -m venv "$home"
  pip_there() { "$home/bin/python" -m pip "$@"; }
fi
)";

// The digest comes before anything looks into the archive; it is unpacked by the cell's root, as its own files. Programs are in bin/, of
// the archive or of its one directory, or lie beside each other.
constexpr std::string_view kUnpack = R"(printf '%s  %s\n' "$digest" "$archive" | sha256sum -c --status - || {
  said=$(sha256sum "$archive")
  give_up "the archive has the digest sha256:${said%% *}, and sha256:$digest was asked for"
}
case $kind in
  *.zip) need unzip unzip ;;
  *.tar.xz | *.txz) need xz xz-utils ;;
  *.tar.bz2 | *.tbz2) need bzip2 bzip2 ;;
  *.tar.zst) need zstd zstd ;;
esac
mkdir -p "$home"
case $kind in
  *.zip) unzip -q -o "$archive" -d "$home" ;;
  *) tar --no-same-owner -xf "$archive" -C "$home" ;;
esac
linked=
link_from() {
  for program in "$1"/*; do
    if [ -f "$program" ] && [ -x "$program" ]; then
      mkdir -p /usr/local/bin
      ln -sf -- "$program" "/usr/local/bin/${program##*/}"
      linked=1
    fi
  done
}
for directory in "$home/bin" "$home"/*/bin "$home" "$home"/*; do
  if [ -z "$linked" ] && [ -d "$directory" ]; then link_from "$directory"; fi
done
[ -n "$linked" ] || give_up "the archive has no executable file in bin/ or at its top"
)";

// The first option that a tool knows says its version; a tool that knows none of them but its help runs all the same.
constexpr std::string_view kVerify =
    R"(command -v "$tool" >/dev/null || { printf 'casemate: there is no %s on PATH\n' "$tool" >&2; exit 127; }
words= code=
for option in --version -V version --help -h; do
  if said=$("$tool" "$option" 2>&1 </dev/null); then
    printf '%s\n' "$said"
    exit 0
  else
    status=$?
    if [ -z "$code" ]; then code=$status words=$said; fi
  fi
done
printf '%s\n' "$words" >&2
exit "$code"
)";

// What the package names of a strategy look like, its version with them.
struct Names {
  std::string_view strategy;
  const char* pattern;
  std::string_view example;
};
constexpr std::array kNames = {
    Names{"apt", R"([a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+|/[a-z0-9-]+)?)", "jq=1.6-2.1"},
    Names{
        "pip",
        R"([A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,-]+\])?(([=~!]=|===|[<>]=?)[A-Za-z0-9.*+!_-]+(,([=~!]=|===|[<>]=?)[A-Za-z0-9.*+!_-]+)*)?)",
        "httpie==3.2.2"},
    Names{"npm", R"((@[A-Za-z0-9~][A-Za-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*(@[A-Za-z0-9^~<>=.*+-]+)?)", "prettier@3.3.3"},
    Names{"cargo", R"([A-Za-z][A-Za-z0-9_-]*(@[A-Za-z0-9.=^~*+-]+)?)", "ripgrep@14.1.0"},
    Names{"go", R"([A-Za-z0-9][A-Za-z0-9_~-]*(\.[A-Za-z0-9_~-]+)+(/[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*)*(@[A-Za-z0-9][A-Za-z0-9.+-]*)?)",
          "mvdan.cc/sh/v3/cmd/shfmt@v3.6.0"},
    Names{"gem", R"([A-Za-z0-9_][A-Za-z0-9._-]*(:[0-9][A-Za-z0-9.-]*)?)", "rake:13.0.6"},
};

Result<void> check_names(std::string_view strategy, const std::vector<std::string>& packages) {
  for (const Names& names : kNames) {
    if (names.strategy != strategy) continue;
    for (const std::string& package : packages) {
      if (package.size() > 300 || !RE2::FullMatch(package, names.pattern))
        return fail(ErrorCode::invalid_input,
                    fmt::format("'{}' is no package as {} names them ('{}')", printable_line(package), strategy, names.example));
    }
  }
  return {};
}

// A name and its version, parted by the last `joint` that isn't the first character.
std::pair<std::string, std::string> parted(const std::string& package, char joint) {
  const std::size_t at = package.rfind(joint);
  if (at == std::string::npos || at == 0) return {package, ""};
  return {package.substr(0, at), package.substr(at + 1)};
}

std::string for_each(const std::vector<std::string>& packages, char joint, std::string_view command, std::string_view version_option) {
  std::string text;
  for (const std::string& package : packages) {
    const auto [name, version] = parted(package, joint);
    text += fmt::format("{}{}{}{}{} {}\n", command, version.empty() ? "" : " ", version.empty() ? "" : version_option,
                        version.empty() ? "" : " ", version.empty() ? "" : join_shell_words({version}), join_shell_words({name}));
  }
  return text;
}

std::string suffix_of(const std::string& source) {
  std::string path = source.substr(0, source.find_first_of("?#"));
  for (const char* suffix : {".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst", ".tar", ".zip"}) {
    if (path.ends_with(suffix)) return suffix;
  }
  return "";
}

bool is_url(const std::string& source) { return source.find("://") != std::string::npos; }

class Writing {
 public:
  Writing(const InstallRequest& request, const std::string& tool) : request_(request), tool_(tool) {}

  Result<InstallScript> write() {
    if (tool_.size() > 100 || !RE2::FullMatch(tool_, R"([A-Za-z0-9_][A-Za-z0-9._+-]*)"))
      return fail(ErrorCode::invalid_input, fmt::format("'{}' is no name of a program", printable_line(tool_)));
    TRY(check_names(request_.strategy, request_.packages));
    TRY(check_names("apt", request_.needs));
    TRY_ASSIGN(const std::string body, body_of_strategy());
    if (!body.empty() || !request_.needs.empty()) {
      const std::string needs = request_.needs.empty() ? "" : fmt::format("apt_install {}\n", join_shell_words(request_.needs));
      script_.text = fmt::format("{}{}{}{}", kPrelude, needs, body, kFinish);
    }
    if (script_.text.size() > kMostScript)
      return fail(ErrorCode::invalid_input,
                  fmt::format("the installation's script has {} bytes; {} is the most", script_.text.size(), kMostScript));
    script_.verify = request_.verify.empty() ? fmt::format("tool={}\n{}", tool_, kVerify) : request_.verify;
    return std::move(script_);
  }

 private:
  Result<std::string> body_of_strategy() {
    const std::string& strategy = request_.strategy;
    if (strategy == "none") return "";
    if (strategy == "archive") return archive();
    if (strategy == "script") return script();
    if (install_strategy(strategy) != strategy || strategy.empty())
      return fail(ErrorCode::invalid_input, fmt::format("there is no installation strategy '{}': give one of {}", printable_line(strategy),
                                                        fmt::join(install_strategies(), ", ")));
    if (request_.packages.empty())
      return fail(ErrorCode::invalid_input, fmt::format("strategy {} needs a package ('{}:{}')", strategy, strategy, tool_));
    const std::string packages = join_shell_words(request_.packages);
    if (strategy == "apt") return fmt::format("apt_install {}\n", packages);
    if (strategy == "pip") {
      const std::string home = "/opt/casemate/" + tool_;
      script_.path = {home + "/bin"};
      return fmt::format("home={}\n{}pip_there install -- {}\n", home, kVenv, packages);
    }
    if (strategy == "npm")
      return fmt::format("certificates\nneed npm npm\nnpm install -g --prefix /usr/local --no-progress -- {}\n", packages);
    if (strategy == "cargo")
      return std::string(kCargo) + for_each(request_.packages, '@', "cargo install --root /usr/local --locked", "--version");
    if (strategy == "gem")
      return "certificates\nneed gem ruby\n" + for_each(request_.packages, ':', "gem install --no-document", "--version");
    std::string text = "certificates\nneed go golang-go\n";
    for (const std::string& package : request_.packages)
      text += fmt::format("GOBIN=/usr/local/bin go install {}{}\n", package, package.find('@') == std::string::npos ? "@latest" : "");
    return text;
  }

  Result<std::string> archive() {
    const std::string suffix = suffix_of(request_.source);
    if (suffix.empty())
      return fail(ErrorCode::invalid_input,
                  fmt::format("'{}' is no archive that can be told by its name (.tar.gz, .tar.xz, .tar.bz2, .tar.zst, "
                              ".tar, .zip)",
                              printable_line(request_.source)));
    std::string digest = request_.digest.starts_with("sha256:") ? request_.digest.substr(7) : request_.digest;
    if (!digest.empty() && !is_sha256_hex(digest))
      return fail(ErrorCode::invalid_input, fmt::format("'{}' is no digest: give sha256:<64 hex digits>", printable_line(request_.digest)));
    const std::string place = fmt::format("{}/archive{}", kInstallationPlace, suffix);
    std::string fetch;
    if (is_url(request_.source)) {
      if (!RE2::FullMatch(request_.source, R"(https?://[!-~]+)"))
        return fail(ErrorCode::invalid_input, fmt::format("'{}' is no http:// or https:// URL", printable_line(request_.source)));
      if (digest.empty())
        return fail(ErrorCode::invalid_input,
                    fmt::format("an archive from a URL needs its digest: archive:{}#sha256=HEX", printable_line(request_.source)));
      fetch = fmt::format("certificates\nneed curl curl\ncurl -fsSL --proto =https,http -o \"$archive\" -- {}\n",
                          join_shell_words({request_.source}));
    } else {
      TRY_ASSIGN(const std::string found, digest_of_file());
      if (digest.empty()) digest = found;
    }
    return fmt::format("archive={}\nkind={}\ndigest={}\nhome=/opt/{}\n{}{}", place, suffix, digest, tool_, fetch, kUnpack);
  }

  Result<std::string> digest_of_file() {
    std::error_code ignored;
    const std::string path = std::filesystem::absolute(request_.source, ignored);
    TRY_ASSIGN(const UniqueFd file, open_file(path, O_RDONLY | O_NONBLOCK));
    auto digest = sha256_hex_of_fd(file.get());
    if (!digest) return fail(ErrorCode::invalid_input, fmt::format("the archive {} can't be read as a file", printable_line(path)));
    script_.mounts.push_back(
        {.source = path, .target = fmt::format("{}/archive{}", kInstallationPlace, suffix_of(request_.source)), .owned = true});
    return digest;
  }

  // As a file of its own, so that "#!" counts, and what it does to the shell's settings ends with it.
  Result<std::string> script() {
    if (request_.source.empty()) return fail(ErrorCode::invalid_input, "strategy script needs a script");
    if (request_.source.find('\0') != std::string::npos) return fail(ErrorCode::invalid_input, "the installation's script has a NUL byte");
    const std::string end = "casemate_end_of_" + sha256_hex(request_.source).substr(0, 16);
    const bool own = request_.source.starts_with("#!");
    return fmt::format("cat >\"$place/script\" <<'{}'\n{}{}{}\ncd /\n{}\"$place/script\"\n", end, request_.source,
                       request_.source.ends_with('\n') ? "" : "\n", end, own ? "chmod 755 \"$place/script\"\n" : "/bin/sh -e ");
  }

  const InstallRequest& request_;
  const std::string& tool_;
  InstallScript script_;
};

}  // namespace

Result<InstallScript> install_script(const InstallRequest& request, const std::string& tool) { return Writing(request, tool).write(); }

}  // namespace casemate
