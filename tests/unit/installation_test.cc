#include "testplan/installation.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "testplan/registries.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

using Strings = std::vector<std::string>;

std::string script_of(const std::string& word, const std::string& tool = "tool") {
  const auto request = parse_install({word});
  EXPECT_TRUE(request) << request.error().what;
  const auto script = install_script(*request, tool);
  EXPECT_TRUE(script) << script.error().what;
  return script ? script->text : "";
}

std::string problem_of(const Strings& words, const std::string& tool = "tool") {
  const auto parsed = parse_install(words);
  if (!parsed) return parsed.error().what;
  const auto request = with_files(*parsed, "");
  if (!request) return request.error().what;
  const auto script = install_script(*request, tool);
  return script ? "" : script.error().what;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(InstallRequests, are_a_strategy_and_packages) {
  EXPECT_EQ(*parse_install({"apt:jq"}), (InstallRequest{.strategy = "apt", .packages = {"jq"}}));
  EXPECT_EQ(*parse_install({"apt:jq", "apt-get:curl"}), (InstallRequest{.strategy = "apt", .packages = {"jq", "curl"}}));
  EXPECT_EQ(*parse_install({"pip:httpie==3.2.2"}), (InstallRequest{.strategy = "pip", .packages = {"httpie==3.2.2"}}));
  EXPECT_EQ(*parse_install({"npm:@scope/name@1"}), (InstallRequest{.strategy = "npm", .packages = {"@scope/name@1"}}));
  EXPECT_EQ(*parse_install({"none"}), (InstallRequest{.strategy = "none"}));
  EXPECT_EQ(*parse_install({"archive:http://host/x.tar.gz#sha256=ab"}),
            (InstallRequest{.strategy = "archive", .source = "http://host/x.tar.gz", .digest = "sha256:ab"}));
  EXPECT_EQ(*parse_install({}), InstallRequest());
}

TEST(InstallRequests, that_make_no_sense_are_told_what_would) {
  EXPECT_EQ(problem_of({"brew:jq"}),
            "--install 'brew:jq': give STRATEGY:PACKAGE, the strategy one of apt, pip, npm, cargo, go, gem, archive, script, none, or "
            "'none' alone");
  EXPECT_TRUE(has(problem_of({"apt"}), "give STRATEGY:PACKAGE"));
  EXPECT_TRUE(has(problem_of({"none:x"}), "give STRATEGY:PACKAGE"));
  EXPECT_TRUE(has(problem_of({"apt:jq", "pip:x"}), "one strategy is all a tool can have"));
  EXPECT_TRUE(has(problem_of({"archive:a.zip", "archive:b.zip"}), "one archive is all"));
  EXPECT_TRUE(has(problem_of({"script:/no/such/file"}), "/no/such/file"));
  EXPECT_EQ(problem_of({"archive:http://host/x.tar.gz"}),
            "an archive from a URL needs its digest: archive:http://host/x.tar.gz#sha256=HEX");
  EXPECT_TRUE(has(problem_of({"archive:x.rpm"}), "no archive that can be told by its name"));
  EXPECT_TRUE(has(problem_of({"archive:ftp://host/x.zip#sha256=" + std::string(64, 'a')}), "no http:// or https:// URL"));
  EXPECT_TRUE(has(problem_of({"archive:http://host/x.zip#sha256=zz"}), "no digest"));
  EXPECT_TRUE(has(problem_of({"archive:/no/such/file.zip"}), "/no/such/file.zip"));
  EXPECT_TRUE(has(problem_of({"apt:jq"}, "a/b"), "'a/b' is no name of a program"));
  EXPECT_TRUE(has(problem_of({"apt:jq"}, "$(x)"), "no name of a program"));
  EXPECT_EQ(install_script({.strategy = "brew"}, "tool").error().what,
            "there is no installation strategy 'brew': give one of apt, pip, npm, cargo, go, gem, archive, script, none");
  EXPECT_TRUE(has(install_script({.strategy = "apt"}, "tool").error().what, "strategy apt needs a package ('apt:tool')"));
  EXPECT_TRUE(has(install_script({.strategy = "none", .needs = {"-y"}}, "tool").error().what, "'-y' is no package"));
}

TEST(InstallRequests, have_files_below_a_directory) {
  const fs::path directory = fs::temp_directory_path() / ("casemate-with-files-" + std::to_string(::getpid()));
  fs::create_directory(directory);
  std::ofstream(directory / "get.sh") << "make install";
  EXPECT_EQ(*with_files(*parse_install({"script:get.sh"}), directory.string()),
            (InstallRequest{.strategy = "script", .source = "make install"}));
  EXPECT_EQ(with_files(*parse_install({"archive:x.tgz"}), "/plans")->source, "/plans/x.tgz");
  EXPECT_EQ(with_files(*parse_install({"archive:/x.tgz"}), "/plans")->source, "/x.tgz");
  EXPECT_EQ(with_files(*parse_install({"archive:x.tgz"}), "")->source, "x.tgz");
  EXPECT_EQ(with_files(*parse_install({"archive:https://h/x.tgz"}), "/plans")->source, "https://h/x.tgz");
  EXPECT_EQ(*with_files({.source = "make"}, "/plans"), InstallRequest{.source = "make"});
  fs::remove_all(directory);
}

TEST(InstallRequests, names_are_never_options_or_shell) {
  for (const char* strategy : {"apt", "pip", "npm", "cargo", "go", "gem"}) {
    for (const char* name : {"-o", "--index-url=x", "a b", "$(x)", "`x`", "a;b", "a'b", "a\nb", "../x", "a|b", "a&b", "http://x/y"})
      EXPECT_TRUE(has(problem_of({std::string(strategy) + ":" + name}), "is no package as")) << strategy << " " << name;
  }
}

TEST(InstallScripts, say_what_each_strategy_does) {
  EXPECT_TRUE(has(script_of("apt:jq=1.6-2.1"), "\napt_install jq=1.6-2.1\n"));
  EXPECT_TRUE(has(script_of("pip:httpie[x]>=3,<4", "http"), "\npip_there install -- 'httpie[x]>=3,<4'\n"));
  EXPECT_TRUE(has(script_of("pip:httpie", "http"), "\nhome=/opt/casemate/http\n"));
  EXPECT_EQ(install_script(*parse_install({"pip:a"}), "a")->path, Strings{"/opt/casemate/a/bin"});
  EXPECT_TRUE(has(script_of("npm:prettier@3"), "npm install -g --prefix /usr/local --no-progress -- prettier@3\n"));
  EXPECT_TRUE(has(script_of("cargo:ripgrep@14.1.0"), "cargo install --root /usr/local --locked --version 14.1.0 ripgrep\n"));
  EXPECT_TRUE(has(script_of("cargo:ripgrep"), "cargo install --root /usr/local --locked ripgrep\n"));
  EXPECT_TRUE(has(script_of("go:mvdan.cc/sh/v3/cmd/shfmt@v3.6.0"), "GOBIN=/usr/local/bin go install mvdan.cc/sh/v3/cmd/shfmt@v3.6.0\n"));
  EXPECT_TRUE(has(script_of("go:mvdan.cc/gofumpt"), "go install mvdan.cc/gofumpt@latest\n"));
  EXPECT_TRUE(has(script_of("gem:rake:13.0.6"), "gem install --no-document --version 13.0.6 rake\n"));
  EXPECT_EQ(script_of("none"), "");
  EXPECT_TRUE(has(install_script({.strategy = "none", .needs = {"libfoo1"}}, "tool")->text, "\napt_install libfoo1\n"));
  const std::string url = script_of("archive:https://host/t.tar.gz?x=1#sha256=" + std::string(64, 'a'));
  EXPECT_TRUE(has(url, "curl -fsSL --proto =https,http -o \"$archive\" -- 'https://host/t.tar.gz?x=1'\n")) << url;
  EXPECT_LT(url.find("curl -fsSL"), url.find("sha256sum -c"));
  EXPECT_LT(url.find("sha256sum -c"), url.find("tar --no-same-owner"));
  const std::string script = install_script({.strategy = "script", .source = "echo a\necho b"}, "tool")->text;
  EXPECT_TRUE(has(script, "\necho a\necho b\ncasemate_end_of_")) << script;
  EXPECT_TRUE(has(script, "/bin/sh -e \"$place/script\""));
  EXPECT_FALSE(has(install_script({.strategy = "script", .source = "#!/usr/bin/perl\n"}, "tool")->text, "/bin/sh -e"));
  EXPECT_EQ(install_script({.strategy = "none", .verify = "x -v"}, "tool")->verify, "x -v");
  EXPECT_TRUE(install_script({.strategy = "none"}, "tool")->verify.starts_with("tool=tool\n"));
}

TEST(InstallScripts, are_shell) {
  for (const char* word : {"apt:jq", "pip:a==1", "npm:@a/b@1", "cargo:x@1", "go:a.b/c@v1", "gem:x:1"}) {
    const fs::path file = fs::temp_directory_path() / ("casemate-script-" + std::to_string(::getpid()));
    std::ofstream(file) << script_of(word);
    EXPECT_EQ(std::system(("sh -n " + file.string()).c_str()), 0) << word;
    fs::remove(file);
  }
}

TEST(InstallCommands, of_plans_are_read) {
  const auto is = [](const char* text, const char* strategy, const Strings& packages) {
    const InstallRequest request = parse_install_command(text);
    EXPECT_EQ(request.strategy, strategy) << text;
    EXPECT_EQ(request.packages, packages) << text;
    EXPECT_EQ(request.source, "") << text;
  };
  is("pip install httpie", "pip", {"httpie"});
  is("pip3 install --user -U httpie==3.2.2 csvkit", "pip", {"httpie==3.2.2", "csvkit"});
  is("python3 -m pip install httpie\n", "pip", {"httpie"});
  is("pipx install httpie", "pip", {"httpie"});
  is("sudo apt-get update && sudo apt-get install -y jq", "apt", {"jq"});
  is("apt-get -y install --no-install-recommends jq curl", "apt", {"jq", "curl"});
  is("DEBIAN_FRONTEND=noninteractive apt-get install -y jq", "apt", {"jq"});
  is("npm i -g prettier@3", "npm", {"prettier@3"});
  is("npm install --global @scope/x", "npm", {"@scope/x"});
  is("cargo install ripgrep --version 14.1.0 --locked", "cargo", {"ripgrep@14.1.0"});
  is("go install mvdan.cc/sh/v3/cmd/shfmt@v3.6.0", "go", {"mvdan.cc/sh/v3/cmd/shfmt@v3.6.0"});
  is("gem install rake -v 13.0.6", "gem", {"rake:13.0.6"});
  is("", "", {});
}

TEST(InstallCommands, of_another_kind_are_scripts) {
  for (const char* text : {"curl -L x | sh", "pip install -r requirements.txt", "npm install prettier", "make install", "pip install 'a b'",
                           "apt-get install jq; rm x", "pip install a && npm i -g b", "apt-get update", "pip install $(cat x)",
                           "pip install ./x", "pip install \"unclosed"}) {
    const InstallRequest request = parse_install_command(text);
    EXPECT_EQ(request.strategy, "script") << text;
    EXPECT_EQ(request.source, text);
  }
}

TEST(InstallStrategies, have_other_names_in_plans) {
  EXPECT_EQ(install_strategy("APT-GET"), "apt");
  EXPECT_EQ(install_strategy("pypi"), "pip");
  EXPECT_EQ(install_strategy("crates.io"), "cargo");
  EXPECT_EQ(install_strategy("none"), "none");
  EXPECT_EQ(install_strategy("preinstalled"), "none");
  EXPECT_EQ(install_strategy("Tarball"), "archive");
  EXPECT_EQ(install_strategy("brew"), "");
}

TEST(InstallLogs, of_a_network_that_was_away_ask_for_another_try) {
  for (const char* log : {
           "W: Failed to fetch http://mirror/x  Temporary failure resolving 'mirror'\nE: Some index files failed to download.\n",
           "E: Failed to fetch http://mirror/jq.deb  Connection failed [IP: 10.0.0.1 80]\n",
           "E: Failed to fetch http://mirror/Packages  Hash Sum mismatch\n",
           "WARNING: Retrying after connection broken by 'NewConnectionError(...)': /simple/x/\nERROR: No matching distribution found for "
           "x\n",
           "urllib3.exceptions.ReadTimeoutError: Read timed out.\n",
           "npm error code ECONNRESET\nnpm error network aborted\n",
           "npm ERR! code E503\n",
           "error: failed to get `x` as a dependency\nCaused by:\n  [6] Couldn't resolve host name\n",
           "curl: (18) transfer closed with 50000 bytes remaining to read\n",
           "curl: (22) The requested URL returned error: 503\n",
           "go: a.b/c@v1: Get \"https://proxy/\": dial tcp: lookup proxy: no such host\n",
           "go: a.b/c@v1: reading https://proxy/x: 502 Bad Gateway\n",
           "Server returned 503: Service Unavailable\n",
       })
    EXPECT_TRUE(may_be_retried(log)) << log;
}

TEST(InstallLogs, of_what_is_so_do_not) {
  for (const char* log : {
           "",
           "E: Unable to locate package foo\n",
           "E: Version '9' for 'jq' was not found\n",
           "ERROR: Could not find a version that satisfies the requirement x==99\nERROR: No matching distribution found for x==99\n",
           "npm error code E404\nnpm error 404 Not Found\n",
           "npm ERR! code ETARGET\nnpm ERR! notarget No matching version found for x@99.\n",
           "error: could not find `nosuch` in registry `crates-io` with version `*`\n",
           "error[E0308]: mismatched types\n",
           "go: a.b/c@v99: invalid version: unknown revision v99\n",
           "verifying a.b/c@v1: checksum mismatch\nSECURITY ERROR\ndial tcp: i/o timeout\n",
           "casemate: the archive has the digest sha256:1, and sha256:2 was asked for\ncurl: (18) x\n",
           "Connection reset by peer\nwrite: No space left on device\n",
           "curl: (22) The requested URL returned error: 404\n",
       })
    EXPECT_FALSE(may_be_retried(log)) << log;
}

TEST(InstallLogs, have_one_line_that_says_most) {
  EXPECT_EQ(telling_install_line("Reading package lists...\nE: Unable to locate package foo\n"), "E: Unable to locate package foo");
  EXPECT_EQ(telling_install_line("ERROR: Could not find a version that satisfies the requirement x==99 (from versions: 1)\nERROR: No "
                                 "matching distribution found for x==99\n"),
            "ERROR: No matching distribution found for x==99");
  EXPECT_EQ(telling_install_line(
                "npm error code E404\nnpm error 404 Not Found - GET x\nnpm error A complete log of this run can be found in: y\n"),
            "npm error 404 Not Found - GET x");
  EXPECT_EQ(telling_install_line("  Compiling x\nerror: could not compile `x`\n\nmore\n"), "error: could not compile `x`");
  EXPECT_EQ(telling_install_line("casemate: there is no x on PATH\nE: other\n"), "there is no x on PATH");
  EXPECT_EQ(telling_install_line("one\ntwo\n\n"), "two");
  EXPECT_EQ(telling_install_line(""), "");
  EXPECT_EQ(telling_install_line("E: \x1b[31mred at http://user:word@host/\n"), "E: \\x1b[31mred at http://***@host/");
  EXPECT_LT(telling_install_line("E: " + std::string(5000, 'x')).size(), 500u);
  EXPECT_EQ(telling_install_line("ERROR: no x==9 (from versions: 0.1, 0.2rc1, 0.2, 1.0, 1.1)"),
            "ERROR: no x==9 (from versions: ..., 0.2, 1.0, 1.1)");
  EXPECT_EQ(with_few_versions("no x (from versions: 1, 2, 3) but (from versions: none)"),
            "no x (from versions: 1, 2, 3) but (from versions: none)");
}

TEST(InstallLogs, are_shown_by_their_end) {
  EXPECT_EQ(end_of_log("", "x"), "");
  EXPECT_EQ(end_of_log("one\ntwo \x1b\n\n", "x"), "one\ntwo \\x1b\n");
  std::string log;
  for (int line = 1; line <= 21; ++line) log += std::to_string(line) + "\n";
  const std::string shown = end_of_log(log, "out/install.log");
  EXPECT_TRUE(shown.starts_with("the last 20 of 21 lines of the installer; all: out/install.log:\n2\n3\n")) << shown;
  EXPECT_TRUE(shown.ends_with("\n21\n")) << shown;
}

// Settings of the person who runs the tests are not there.
class RegistrySettings : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "casemate-registries-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    home_ = name;
    for (const char* variable :
         {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "PIP_FIND_LINKS",
          "PIP_INDEX_URL", "CARGO_HOME", "GOENV", "GOPROXY", "GEMRC", "NPM_CONFIG_USERCONFIG", "XDG_CONFIG_HOME", "NETRC"})
      set(variable, nullptr);
    set("HOME", home_.c_str());
    set("PIP_CONFIG_FILE", "/dev/null");
  }
  void TearDown() override {
    for (const auto& [name, value] : saved_) value.empty() ? ::unsetenv(name.c_str()) : ::setenv(name.c_str(), value.c_str(), 1);
    fs::remove_all(home_);
  }
  void set(const std::string& name, const char* value) {
    const char* old = std::getenv(name.c_str());
    saved_.try_emplace(name, old ? old : "");
    value ? ::setenv(name.c_str(), value, 1) : ::unsetenv(name.c_str());
  }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((home_ / name).parent_path());
    std::ofstream(home_ / name) << text;
  }
  fs::path home_;
  std::map<std::string, std::string> saved_;
};

TEST_F(RegistrySettings, come_from_the_environment_and_from_files) {
  write("ca.pem", "x");
  write(".npmrc",
        "registry=http://npm.test/\n; comment\n//npm.test/:_authToken=${TOKEN_FOR_TEST}\nprefix=/elsewhere\n@a:registry = http://a.test\n");
  write(".cargo/config.toml",
        "[build]\njobs = 2\n[source.crates-io]\nreplace-with = 'near'\n[source.near]\nregistry = 'sparse+http://crates.test/'\n");
  write(".config/go/env", "GOPROXY=http://go.test\nGOFLAGS=-mod=vendor\n");
  write(".gemrc", "---\n:verbose: true\n:sources:\n- http://gems.test/\n:update_sources: true\n");
  set("TOKEN_FOR_TEST", "hidden-1");
  set("SSL_CERT_FILE", (home_ / "ca.pem").c_str());
  set("PIP_INDEX_URL", "http://pip.test/simple");
  set("CARGO_REGISTRIES_NEAR_TOKEN", "hidden-2");
  const auto found = read_registries();
  ASSERT_TRUE(found) << found.error().what;
  auto environment = found->environment;
  EXPECT_TRUE(has(environment["CASEMATE_NPMRC"], "registry=http://npm.test/\n//npm.test/:_authToken=hidden-1\n@a:registry=http://a.test\n"))
      << environment["CASEMATE_NPMRC"];
  EXPECT_FALSE(has(environment["CASEMATE_NPMRC"], "prefix"));
  EXPECT_EQ(environment["npm_config_userconfig"], "/casemate/installation/npmrc");
  EXPECT_TRUE(has(environment["CASEMATE_CARGO_CONFIG"], "crates.test")) << environment["CASEMATE_CARGO_CONFIG"];
  EXPECT_FALSE(has(environment["CASEMATE_CARGO_CONFIG"], "jobs"));
  EXPECT_EQ(environment["GOPROXY"], "http://go.test");
  EXPECT_FALSE(environment.contains("GOFLAGS"));
  EXPECT_EQ(environment["CASEMATE_GEMRC"], ":sources:\n- http://gems.test/\n");
  EXPECT_EQ(environment["PIP_INDEX_URL"], "http://pip.test/simple");
  EXPECT_EQ(environment["PIP_CONFIG_FILE"], "/dev/null");
  EXPECT_EQ(environment["SSL_CERT_FILE"], "/casemate/installation/certificates0.pem");
  EXPECT_EQ(environment["CURL_CA_BUNDLE"], environment["SSL_CERT_FILE"]);
  EXPECT_EQ(std::count_if(found->mounts.begin(), found->mounts.end(), [&](const Mount& mount) { return mount.source == home_ / "ca.pem"; }),
            1);
  for (const char* secret : {"hidden-1", "hidden-2"})
    EXPECT_NE(std::find(found->secrets.begin(), found->secrets.end(), secret), found->secrets.end()) << secret;
  write(".cargo/config.toml", "[source\n");
  const auto broken = read_registries();
  ASSERT_FALSE(broken);
  EXPECT_TRUE(has(broken.error().what, "/.cargo/config.toml:1: ")) << broken.error().what;
}

TEST(RegistryLines, of_apt_say_how_to_reach_and_nothing_else) {
  EXPECT_EQ(
      registry_lines_of_apt(
          "// x\nAcquire::http::Proxy \"http://proxy.test:3128/\";\nAPT::Install-Recommends \"true\";\n"
          "Acquire::Check-Date \"false\";\nDpkg::Post-Invoke { \"rm -rf /\"; };\nAcquire::http::Proxy::near.test \"DIRECT\";\n"),
      "Acquire::http::Proxy \"http://proxy.test:3128/\";\nAcquire::Check-Date \"false\";\nAcquire::http::Proxy::near.test \"DIRECT\";\n");
}

}  // namespace
}  // namespace casemate
