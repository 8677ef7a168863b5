#include "image/package_index.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include <fmt/format.h>
#include <gtest/gtest.h>

extern char** environ;

namespace casemate {
namespace {

namespace fs = std::filesystem;

// Starts without any setting of the person who runs the tests.
class PackageIndexes : public ::testing::Test {
 protected:
  PackageIndexes() {
    char name[] = "/tmp/casemate-index-XXXXXX";
    root_ = ::mkdtemp(name);
    std::vector<std::string> all;
    for (char** entry = environ; *entry; ++entry) all.emplace_back(*entry);
    for (const std::string& entry : all) {
      const std::string variable = entry.substr(0, entry.find('='));
      if (variable.starts_with("PIP_") || variable.starts_with("UV") || variable.find("CERT") != std::string::npos ||
          variable.starts_with("NETRC") || variable.starts_with("XDG_") || variable.find("proxy") != std::string::npos ||
          variable.find("PROXY") != std::string::npos || variable.find("CA_BUNDLE") != std::string::npos)
        set(variable, std::nullopt);
    }
    set("HOME", root_);
    set("XDG_CONFIG_DIRS", root_ + "/etc");
    interpreter_.prefix = root_ + "/prefix";
  }
  ~PackageIndexes() override {
    for (auto it = saved_.rbegin(); it != saved_.rend(); ++it)
      it->second ? ::setenv(it->first.c_str(), it->second->c_str(), 1) : ::unsetenv(it->first.c_str());
    fs::remove_all(root_);
  }
  void set(const std::string& name, std::optional<std::string> value) {
    const char* old = std::getenv(name.c_str());
    saved_.emplace_back(name, old ? std::optional<std::string>(old) : std::nullopt);
    value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  std::string write(const std::string& path, const std::string& text) {
    const fs::path whole = fs::path(root_) / path;
    fs::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
    return whole;
  }
  Installation plan(const std::string& text) {
    const auto requirements = read_requirements(write("requirements.txt", text));
    EXPECT_TRUE(requirements) << requirements.error().what;
    const auto index = read_package_index(interpreter_);
    EXPECT_TRUE(index) << index.error().what;
    auto plan = plan_installation(*requirements, *index, {"/usr", "/etc"});
    EXPECT_TRUE(plan) << plan.error().what;
    return *plan;
  }
  std::string root_;
  Interpreter interpreter_;
  std::vector<std::pair<std::string, std::optional<std::string>>> saved_;
};

TEST_F(PackageIndexes, without_settings_the_installer_decides) {
  const Installation plain = plan("six\n# nothing else\n");
  EXPECT_EQ(plain.requirements, "six\n");
  EXPECT_EQ(plain.constraints, "");
  EXPECT_TRUE(plain.mounts.empty());
  EXPECT_EQ(plain.key, plan("SIX").key);
  EXPECT_NE(plain.key, plan("six>=1").key);
}

TEST_F(PackageIndexes, reads_pips_files_in_pips_order) {
  write("etc/pip/pip.conf",
        "[global]\nindex-url = https://site/simple\nextra_index_url =\n    https://b/simple\n    https://c/simple\ntimeout=5\n");
  write(".config/pip/pip.conf", "; mine\n[install]\nno-deps = yes\n[global]\nindex-url: https://mine/simple\ntarget = /elsewhere\n");
  Installation it = plan("six");
  EXPECT_EQ(it.requirements,
            "--index-url https://mine/simple\n--extra-index-url https://b/simple\n--extra-index-url https://c/simple\nsix\n");
  EXPECT_EQ(it.uv_flags, std::vector<std::string>{"--no-deps"});
  EXPECT_EQ(it.uv_env["UV_HTTP_TIMEOUT"], "5");
  EXPECT_EQ(it.uv_env["UV_INDEX_STRATEGY"], "unsafe-best-match");
  EXPECT_FALSE(it.pip_env.contains("PIP_TARGET"));
  set("PIP_INDEX_URL", "https://env/simple");
  EXPECT_EQ(plan("--extra-index-url https://d/simple\nsix").requirements,
            "--index-url https://env/simple\n--extra-index-url https://b/simple\n--extra-index-url https://c/simple\n--extra-index-url "
            "https://d/simple\nsix\n");
  EXPECT_EQ(plan("-i https://file/simple\nsix").requirements, "--index-url https://file/simple\nsix\n");
  set("PIP_CONFIG_FILE", "/dev/null");
  EXPECT_EQ(plan("six").requirements, "--index-url https://env/simple\nsix\n");
}

TEST_F(PackageIndexes, of_an_images_interpreter_is_the_callers_all_the_same) {
  interpreter_.prefix = fs::path(write("prefix/pip.conf", "[global]\nindex-url = https://of-the-image/simple\n")).parent_path();
  write(".pip/pip.conf", "[global]\nextra-index-url = https://mine/simple\n");
  set("SSL_CERT_DIR", "/etc/ssl/certs");
  const auto here = read_package_index(interpreter_);
  ASSERT_TRUE(here);
  EXPECT_EQ(here->pip.at("index-url"), "https://of-the-image/simple");
  EXPECT_TRUE(here->environment.contains("SSL_CERT_DIR"));
  EXPECT_FALSE(here->uv.contains("UV_NO_CONFIG"));
  interpreter_.site_directory = "/usr/lib/python3/dist-packages";
  const auto there = read_package_index(interpreter_);
  ASSERT_TRUE(there);
  EXPECT_FALSE(there->pip.contains("index-url"));
  EXPECT_EQ(there->pip.at("extra-index-url"), "https://mine/simple");
  EXPECT_FALSE(there->environment.contains("SSL_CERT_DIR"));  // full of links to what the image lacks
  EXPECT_TRUE(there->uv.contains("UV_NO_CONFIG") || there->uv_configuration == "/etc/uv/uv.toml");
}

TEST_F(PackageIndexes, says_where_a_pip_conf_is_wrong) {
  const std::string path = write(".pip/pip.conf", "[global]\nindex-url = x\nrubbish\n");
  const auto index = read_package_index(interpreter_);
  ASSERT_FALSE(index);
  EXPECT_EQ(index.error().what, path + ":3: is neither [section] nor 'option = value'");
}

TEST_F(PackageIndexes, what_changes_the_packages_changes_the_key) {
  const std::string plain = plan("six").key;
  const std::string constraints = write("limits.txt", "six<2");
  const auto changes = [&](const std::string& name, const std::string& value) {
    set(name, value);
    const std::string key = plan("six").key;
    set(name, std::nullopt);
    return key != plain;
  };
  for (const auto& [name, value] : std::map<std::string, std::string>{{"PIP_INDEX_URL", "https://a/simple"},
                                                                      {"PIP_EXTRA_INDEX_URL", "https://a/simple"},
                                                                      {"PIP_FIND_LINKS", "/opt/w"},
                                                                      {"PIP_NO_INDEX", "1"},
                                                                      {"PIP_PRE", "1"},
                                                                      {"PIP_ONLY_BINARY", ":all:"},
                                                                      {"PIP_NO_DEPS", "1"},
                                                                      {"PIP_CONSTRAINT", constraints},
                                                                      {"UV_CONSTRAINT", constraints},
                                                                      {"UV_EXCLUDE_NEWER", "2024-01-01"},
                                                                      {"UV_INDEX_URL", "https://a/simple"},
                                                                      {"UV_RESOLUTION", "lowest"}})
    EXPECT_TRUE(changes(name, value)) << name;
  for (const auto& [name, value] : std::map<std::string, std::string>{{"PIP_CACHE_DIR", "/x"},
                                                                      {"PIP_TARGET", "/x"},
                                                                      {"PIP_DEFAULT_TIMEOUT", "7"},
                                                                      {"PIP_RETRIES", "0"},
                                                                      {"PIP_CERT", "/etc/passwd"},
                                                                      {"PIP_LOG", "/x"},
                                                                      {"UV_CACHE_DIR", "/x"},
                                                                      {"UV_HTTP_TIMEOUT", "9"},
                                                                      {"UV_PYTHON", "3.9"},
                                                                      {"https_proxy", "http://p"},
                                                                      {"UV_INDEX_X_PASSWORD", "p"}})
    EXPECT_FALSE(changes(name, value)) << name;
  set("PIP_CONSTRAINT", constraints);
  const std::string before = plan("six").key;
  write("limits.txt", "six<1.9");
  EXPECT_NE(plan("six").key, before);
  EXPECT_EQ(plan("six").constraints, "six<1.9\n");
}

TEST_F(PackageIndexes, shows_files_that_a_cell_would_not_see) {
  const std::string cert = write("certs/ca.pem", "x");
  const std::string netrc = write(".netrc", "machine a login b password c");
  fs::create_directories(root_ + "/wheels");
  set("PIP_CERT", cert);
  set("PIP_FIND_LINKS", "/usr/share " + root_ + "/wheels ~/nothing");
  Installation it = plan("six");
  std::map<std::string, std::string> targets;
  for (const Mount& mount : it.mounts) {
    EXPECT_FALSE(mount.writable);
    targets[mount.target] = mount.source;
  }
  const std::map<std::string, std::string> wanted{
      {cert, cert}, {root_ + "/wheels", root_ + "/wheels"}, {"/casemate/requirements/netrc", netrc}};
  EXPECT_EQ(targets, wanted);
  EXPECT_EQ(it.uv_env["SSL_CERT_FILE"], cert);
  EXPECT_EQ(it.pip_env["PIP_CERT"], cert);
}

TEST_F(PackageIndexes, the_content_of_local_archives_counts) {
  write("a-1.0-py3-none-any.whl", "one");
  const Installation one = plan("./a-1.0-py3-none-any.whl");
  EXPECT_FALSE(one.builds);
  ASSERT_EQ(one.mounts.size(), 1u);
  EXPECT_EQ(one.mounts[0].target, "/casemate/requirements/archives/0/a-1.0-py3-none-any.whl");
  write("a-1.0-py3-none-any.whl", "two");
  EXPECT_NE(plan("./a-1.0-py3-none-any.whl").key, one.key);
  const auto missing = plan_installation(*read_requirements(write("r.txt", "\n./no.whl")), PackageIndex(), {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().what.find("r.txt:2: can't open "), 0u) << missing.error().what;
}

TEST_F(PackageIndexes, knows_what_is_certainly_built) {
  EXPECT_FALSE(plan("six\nname @ https://h/name-1.0-py3-none-any.whl#sha256=0").builds);
  EXPECT_TRUE(plan("git+https://h/x.git").builds);
  EXPECT_TRUE(plan("name @ https://h/name-1.0.tar.gz").builds);
  EXPECT_TRUE(plan("--no-binary :all:\nsix").builds);
}

}  // namespace
}  // namespace casemate
