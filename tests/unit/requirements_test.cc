#include "image/requirements.h"

#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace casemate {
namespace {

using Files = std::map<std::string, std::string>;

Result<Requirements> parse(const Files& files, const std::map<std::string, std::string>& variables = {}) {
  return read_requirements(
      "/p/requirements.txt",
      [&](const std::string& path) -> Result<std::string> {
        const auto found = files.find(path);
        if (found == files.end()) return fail(ErrorCode::not_found, "can't open " + path + ": No such file or directory");
        return found->second;
      },
      [&](const std::string& name) -> const char* {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
      });
}

Result<Requirements> parse(std::string text) { return parse(Files{{"/p/requirements.txt", std::move(text)}}); }

std::vector<std::string> packages(std::string text) {
  const auto all = parse(std::move(text));
  return all ? all->packages : std::vector<std::string>{"error: " + all.error().what};
}

std::string problem(std::string text) {
  const auto all = parse(std::move(text));
  if (all) return fmt::format("accepted: {}", fmt::join(all->packages, "|"));
  EXPECT_EQ(all.error().what.find('\n'), std::string::npos) << all.error().what;
  return all.error().what;
}

using Lines = std::vector<std::string>;

TEST(Requirements, brings_the_same_packages_into_the_same_form) {
  const Lines wanted{"numpy<3,>=2", "typing-extensions"};
  EXPECT_EQ(packages("numpy>=2,<3\ntyping_extensions\n"), wanted);
  EXPECT_EQ(packages("# all we need\n\nTyping.Extensions   # for 3.9\r\nNumPy ( < 3 , >= 2 )\r\nnumpy <3, >=2,\n"), wanted);
  EXPECT_EQ(packages("\xEF\xBB\xBFnumpy \\\n  >=2, \\\n  <3\ntyping--extensions"), wanted);
}

TEST(Requirements, reads_what_powershell_writes) {
  std::string text = "\xFF\xFE";
  for (const char c : std::string("six==1.16.0\r\n")) text += {c, '\0'};
  EXPECT_EQ(packages(text), Lines{"six==1.16.0"});
  EXPECT_EQ(problem("\xFF\xFEs"), "requirements.txt:1: is damaged UTF-16: save the file as UTF-8");
}

TEST(Requirements, an_empty_file_asks_for_nothing) {
  for (const char* text : {"", "\n\n", "# nothing\n", "  \t # x", "\\\n", "\xEF\xBB\xBF"}) EXPECT_EQ(packages(text), Lines{}) << text;
}

TEST(Requirements, keeps_extras_markers_and_hashes) {
  EXPECT_EQ(packages("Requests[Socks , security]==2.31.0;python_version  <  '3.13'  and os_name=='a  b'"),
            Lines{"requests[security,socks]==2.31.0 ; python_version < '3.13' and os_name=='a  b'"});
  const std::string a(64, 'a');
  const auto all = parse(fmt::format("six==1.16.0 --hash=sha256:{} \\\n    --hash sha256:{}\n", std::string(64, 'B'), a));
  ASSERT_TRUE(all);
  EXPECT_TRUE(all->hashes);
  EXPECT_EQ(all->packages, Lines{fmt::format("six==1.16.0 --hash=sha256:{} --hash=sha256:{}", a, std::string(64, 'b'))});
  EXPECT_EQ(all->names, Lines{"six"});
}

TEST(Requirements, joins_lines_as_pip_does) {
  EXPECT_EQ(packages("six \\\n# a comment ends it\nidna"), (Lines{"idna", "six"}));
  EXPECT_EQ(packages("# a comment that ends in a backslash \\\nsix"), Lines{"six"});
  EXPECT_EQ(problem("six==\\\n\n"), "requirements.txt:1: 'six==' is not a requirement: a version is missing after '=='");
}

TEST(Requirements, takes_urls_and_repositories) {
  EXPECT_EQ(packages("name @ https://example.org/a-1.0.whl#sha256=00 ; os_name=='posix'"),
            Lines{"name @ https://example.org/a-1.0.whl#sha256=00 ; os_name=='posix'"});
  EXPECT_EQ(packages("git+https://example.org/a.git@v1#egg=a"), Lines{"git+https://example.org/a.git@v1#egg=a"});
  EXPECT_TRUE(problem("name @ javascript://x").find("can't install from 'javascript:'") != std::string::npos);
}

TEST(Requirements, local_archives_are_named_for_the_key) {
  const auto all =
      parse("./dist/a-1.0-py3-none-any.whl\nb @ file:///srv/b-2.0.tar.gz\n../c.zip ; os_name == 'posix'\n./dist/a-1.0-py3-none-any.whl");
  ASSERT_TRUE(all) << all.error().what;
  ASSERT_EQ(all->archives.size(), 3u);
  EXPECT_EQ(all->archives[0].path, "/p/dist/a-1.0-py3-none-any.whl");
  EXPECT_EQ(all->archives[1].path, "/srv/b-2.0.tar.gz");
  EXPECT_EQ(all->archives[2].where, "requirements.txt:3");
  EXPECT_EQ(all->packages[0], "b @ file:///casemate/requirements/archives/1/b-2.0.tar.gz");
}

TEST(Requirements, refuses_what_would_depend_on_a_source_tree) {
  EXPECT_EQ(problem("six\n-e ./lib\n").find("requirements.txt:2: '-e ./lib' can't be kept in an environment"), 0u);
  EXPECT_NE(problem("-e git+https://example.org/a.git#egg=a").find("write 'name @ URL'"), std::string::npos);
  for (const char* text : {".", "./lib", "/srv/lib", "lib/sub", "~/x"})
    EXPECT_NE(problem(text).find("build a wheel"), std::string::npos) << text;
}

TEST(Requirements, reads_nested_files_beside_the_file) {
  const auto all = parse(Files{{"/p/requirements.txt", "-r sub/base.txt\n-c limits.txt\nsix"},
                               {"/p/sub/base.txt", "-r more.txt\nidna"},
                               {"/p/sub/more.txt", "Flask"},
                               {"/p/limits.txt", "flask<4"}});
  ASSERT_TRUE(all) << all.error().what;
  EXPECT_EQ(all->packages, (Lines{"flask", "idna", "six"}));
  EXPECT_EQ(all->constraints, Lines{"flask<4"});
}

TEST(Requirements, names_file_and_line_of_a_nested_problem) {
  EXPECT_EQ(parse(Files{{"/p/requirements.txt", "\n-r base.txt"}}).error().what,
            "requirements.txt:2: can't open /p/base.txt: No such file or directory");
  EXPECT_EQ(parse(Files{{"/p/requirements.txt", "-r base.txt"}, {"/p/base.txt", "\n\nsix=1"}}).error().what,
            "base.txt:3: 'six=1' is not a requirement: '=1' is unexpected");
  EXPECT_EQ(parse(Files{{"/p/requirements.txt", "-r a.txt"}, {"/p/a.txt", "-r requirements.txt"}}).error().what,
            "a.txt:1: '/p/requirements.txt' includes itself");
  Files deep;
  for (int i = 0; i < 40; ++i) deep[i ? fmt::format("/p/{}.txt", i) : "/p/requirements.txt"] = fmt::format("-r {}.txt", i + 1);
  EXPECT_EQ(parse(deep).error().what, "15.txt:1: files are nested more than 16 deep");
  // A cycle that never names the same path twice must end too.
  EXPECT_NE(parse(Files{{"/p/requirements.txt", "-r ./requirements.txt"}, {"/p/./requirements.txt", "-r ./requirements.txt"}})
                .error()
                .what.find("includes itself"),
            std::string::npos);
}

TEST(Requirements, keeps_index_options_in_order) {
  const auto all = parse(
      "-i https://a/simple --extra-index-url=https://b/simple\n--find-links wheels\n--pre\n--no-binary :all:\n--trusted-host "
      "a\n-fhttps://c/\n--no-index");
  ASSERT_TRUE(all) << all.error().what;
  const std::vector<std::pair<std::string, std::string>> wanted{{"index-url", "https://a/simple"},
                                                                {"extra-index-url", "https://b/simple"},
                                                                {"find-links", "/p/wheels"},
                                                                {"pre", ""},
                                                                {"no-binary", ":all:"},
                                                                {"trusted-host", "a"},
                                                                {"find-links", "https://c/"},
                                                                {"no-index", ""}};
  EXPECT_EQ(all->options, wanted);
  EXPECT_NE(parse("--prefer-binary")->pip_only, "");
}

TEST(Requirements, fills_in_variables_and_does_not_repeat_secrets) {
  const auto all = parse(Files{{"/p/requirements.txt", "-i https://${USER_1}:${TOKEN}@a/simple ${unset} # ${TOKEN}"}},
                         {{"USER_1", "me"}, {"TOKEN", "s3cret"}});
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().what, "requirements.txt:1: '${unset}' stands after an option and is none; write one thing a line");
  const auto bad = parse(Files{{"/p/requirements.txt", "x @@ https://me:${TOKEN}@a/"}}, {{"TOKEN", "s3cret"}});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().what.find("s3cret"), std::string::npos) << bad.error().what;
  EXPECT_EQ(redacted("get https://a:b@c@host/x, http://tok@h and git+ssh://git@h/x https://h/a@b"),
            "get https://***@host/x, http://***@h and git+ssh://git@h/x https://h/a@b");
}

TEST(Requirements, says_what_is_wrong_and_where) {
  EXPECT_EQ(problem("six\nflask=>2"), "requirements.txt:2: 'flask=>2' is not a requirement: '=>2' is unexpected");
  EXPECT_EQ(problem("numpy=="), "requirements.txt:1: 'numpy==' is not a requirement: a version is missing after '=='");
  EXPECT_EQ(problem("import pandas as pd"), "requirements.txt:1: 'import pandas as pd' is not a requirement: 'pandas as pd' is unexpected");
  EXPECT_EQ(problem("a[b"), "requirements.txt:1: 'a[b' is not a requirement: ']' is missing");
  EXPECT_EQ(problem("--frobnicate x"), "requirements.txt:1: pip has no option '--frobnicate' for requirements files");
  EXPECT_EQ(problem("-r"), "requirements.txt:1: --requirement needs a value");
  EXPECT_EQ(problem("six --hash=md5:00"), "requirements.txt:1: '--hash=md5:00' is not sha256:, sha384: or sha512: and hexadecimal digits");
  EXPECT_EQ(problem("id,name\n1,x"), "requirements.txt:1: 'id,name' is not a requirement: ',name' is unexpected");
}

TEST(Requirements, refuses_what_is_no_text) {
  EXPECT_EQ(problem(std::string("six\n\x7f\x45LF\0\0", 10)), "requirements.txt:2: has the control character 0x7f: not a requirements file");
  EXPECT_EQ(problem(std::string("PK\0\1", 4)), "requirements.txt:1: has a NUL byte: this is a binary file, not a requirements file");
  EXPECT_EQ(problem("# fine\ncaf\xe9"), "requirements.txt:2: is not UTF-8 (byte 0xe9): save the file as UTF-8");
  EXPECT_EQ(problem("\x1b[31msix"), "requirements.txt:1: has the control character 0x1b: not a requirements file");
  EXPECT_EQ(problem(std::string(70'000, 'a')), "requirements.txt:1: the line is longer than 64 KiB: not a requirements file");
  EXPECT_TRUE(read_requirements("/dev/null")->packages.empty());
  EXPECT_NE(read_requirements("/dev/zero").error().what.find("not a regular file"), std::string::npos);
  EXPECT_EQ(read_requirements("/nonexistent/r.txt").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace casemate
