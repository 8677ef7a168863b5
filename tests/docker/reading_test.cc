// What daemons and docker's files say, read without any of them: frames, answers, progress, credentials, .dockerignore.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "docker/api.h"
#include "docker/changes.h"
#include "docker/context_ignore.h"
#include "docker/credentials.h"
#include "docker/frames.h"
#include "docker/http_answer.h"
#include "docker/json_lines.h"
#include "docker/pull_lines.h"
#include "engine/reactor.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

// ---- frames

std::string frame(char type, const std::string& bytes) {
  std::string text{type, 0, 0, 0};
  for (const int shift : {24, 16, 8, 0}) text += static_cast<char>(bytes.size() >> shift & 0xff);
  return text + bytes;
}

TEST(Frames, come_apart_however_they_arrive) {
  const std::string stream = frame(1, "out") + frame(2, "err") + frame(1, "") + frame(0, "in") + frame(2, std::string(70000, 'e'));
  for (const std::size_t piece : {1ul, 3ul, 8ul, 4096ul, stream.size()}) {
    std::string out, err;
    FrameReader reader([&](Stream which, std::string_view bytes) { (which == Stream::err ? err : out) += bytes; });
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      ASSERT_TRUE(reader.feed(std::string_view(stream).substr(at, piece)));
      if (at + piece == 3) EXPECT_FALSE(reader.end());
    }
    EXPECT_TRUE(reader.end());
    EXPECT_EQ(out, "outin");
    EXPECT_EQ(err, "err" + std::string(70000, 'e'));
  }
}

TEST(Frames, that_the_api_does_not_know_are_errors) {
  const auto ignore = [](Stream, std::string_view) {};
  for (const std::string& bytes : {frame(4, "x"), std::string("\x01\x01\0\0\0\0\0\1", 8), std::string("HTTP/1.1 200")}) {
    const auto read = FrameReader(ignore).feed(bytes);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::corrupt);
  }
  const auto error = FrameReader(ignore).feed(frame(3, "no \x1b[31mspace"));
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().what, "the daemon says: no \\x1b[31mspace");
}

// ---- answers

TEST(Answers, have_a_head_that_ends) {
  auto head = parse_http_head("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nraw");
  ASSERT_TRUE(head && *head);
  EXPECT_TRUE((*head)->is_raw());
  EXPECT_EQ((*head)->bytes, 39u);
  head = parse_http_head("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\ncontent-LENGTH: 5\n\n");
  ASSERT_TRUE(head && *head);
  EXPECT_EQ((*head)->content_length, 5u);
  EXPECT_FALSE((*head)->is_raw());
  for (const char* some :
       {"", "HTT", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHT"}) {
    head = parse_http_head(some);
    EXPECT_TRUE(head && !*head) << some;
  }
}

TEST(Answers, that_are_no_http_are_errors) {
  for (const std::string& bytes :
       {std::string("HTTP/2 200\r\n"), std::string("HTTP/1.1 99 X\r\n"), std::string("HTTP/1.1 2000 X\r\n"),
        std::string("HTTP/1.1 200 X\r\nno field\r\n"), std::string("HTTP/1.1 200 X\r\nContent-Length: -1\r\n"),
        std::string("HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n"),
        std::string("HTTP/1.1 200 X\r\nTransfer-Encoding: gzip, chunked\r\n"), std::string("HTTP/1.1 100 X\r\n\r\nXTTP/"),
        std::string("{}"), "HTTP/1.1 200 X\r\nA: " + std::string(70000, 'a')}) {
    const auto head = parse_http_head(bytes);
    ASSERT_FALSE(head) << bytes.substr(0, 100);
    EXPECT_EQ(head.error().code, ErrorCode::corrupt);
  }
  std::string interim;
  for (int i = 0; i < 4000; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_FALSE(parse_http_head(interim));
}

TEST(Answers, have_bodies_of_a_length_or_in_chunks_or_to_the_end) {
  HttpHead head;
  head.content_length = 3;
  EXPECT_EQ(*parse_http_body(head, "ab", false), std::nullopt);
  EXPECT_EQ(*parse_http_body(head, "abcd", false), "abc");
  EXPECT_EQ(*parse_http_body(head, "ab", true), "ab");
  head = HttpHead{};
  EXPECT_EQ(*parse_http_body(head, "ab", false), std::nullopt);
  EXPECT_EQ(parse_http_body(head, std::string(100000, 'x'), false)->value().size(), kMostRefusal);
  head.chunked = true;
  EXPECT_EQ(*parse_http_body(head, "2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n", false), "abcde");
  for (const char* some : {"", "2", "2\r\na", "2\r\nab\r\n", "2\r\nab\r"})
    EXPECT_EQ(*parse_http_body(head, some, false), std::nullopt) << some;
  EXPECT_EQ(parse_http_body(head, "fffffffffffffff0\r\n" + std::string(100000, 'x'), false)->value().size(), kMostRefusal);
  EXPECT_FALSE(parse_http_body(head, "2\r\nabc\r\n", false));
  EXPECT_FALSE(parse_http_body(head, std::string(300, '1'), false));
}

TEST(Answers, that_refuse_become_errors_with_a_code) {
  const auto code = [](int status, const std::string& body) {
    DockerReply reply;
    reply.status = status;
    reply.body = body;
    return docker_failure(reply, "start it");
  };
  EXPECT_EQ(code(404, R"({"message":"No such container: x\n"})").what, "can't start it: the docker daemon says: No such container: x");
  EXPECT_EQ(code(400, "{}").code, ErrorCode::invalid_input);
  EXPECT_EQ(code(409, "{}").code, ErrorCode::refused);
  EXPECT_EQ(code(403, "{}").code, ErrorCode::refused);
  EXPECT_EQ(code(503, "{}").code, ErrorCode::system);
  EXPECT_EQ(code(500, R"({"message":"write /x: no space left on device"})").code, ErrorCode::exhausted);
  EXPECT_EQ(code(500, "plain\nwords\x1b").what, "can't start it: the docker daemon says: plain\\nwords\\x1b");
  EXPECT_EQ(code(500, "").what, "can't start it: the docker daemon says: HTTP status 500");
}

TEST(PathStats, have_gos_modes_and_times) {
  auto entry = parse_path_stat(
      "eyJuYW1lIjogIngiLCAic2l6ZSI6IDUsICJtb2RlIjogODM4OTEwMSwgIm10aW1lIjogIjIwMjYtMTEtMjJUMTM6MTA6MDIuMTIzNDU2Nzg5WiIsICJsaW5rVGFyZ2V0Ijog"
      "IiJ9");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->size, 5u);
  EXPECT_EQ(entry->mode, 04755u);
  EXPECT_EQ(entry->modified.tv_sec, 1795353002);
  EXPECT_EQ(entry->modified.tv_nsec, 123'456'789);
  entry = parse_path_stat(
      "eyJuYW1lIjogIngiLCAic2l6ZSI6IDUsICJtb2RlIjogMjE1MjcyNzAzOSwgIm10aW1lIjogIjIwMjYtMTEtMjJUMTQ6NDA6MDIuNSswMTozMCIsICJsaW5rVGFyZ2V0Ijog"
      "IiJ9");  // of a daemon with a time zone
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->mode, 03777u);
  EXPECT_EQ(entry->type, TarEntry::Type::directory);
  EXPECT_EQ(entry->modified.tv_sec, 1795353002);
  EXPECT_EQ(entry->modified.tv_nsec, 500'000'000);
  EXPECT_EQ(parse_path_stat(
                "eyJuYW1lIjogIngiLCAic2l6ZSI6IDUsICJtb2RlIjogNDIwLCAibXRpbWUiOiAiMTk2OS0xMi0zMVQyMzo1OTo1OVoiLCAibGlua1RhcmdldCI6ICIifQ==")
                ->modified.tv_sec,
            -1);
  EXPECT_EQ(parse_path_stat("eyJuYW1lIjogIngiLCAic2l6ZSI6IDUsICJtb2RlIjogNDIwLCAibXRpbWUiOiAiMjAyNi0wMi0yOXgiLCAibGlua1RhcmdldCI6ICIifQ==")
                ->modified.tv_sec,
            0);
  EXPECT_FALSE(parse_path_stat(""));
}

TEST(Queries, are_percent_encoded) {
  EXPECT_EQ(docker_query({{"a", "1"}, {"filters", R"({"label":["x=y"]})"}, {"ü", " &#%"}}),
            "a=1&filters=%7B%22label%22%3A%5B%22x%3Dy%22%5D%7D&%C3%BC=%20%26%23%25");
  EXPECT_EQ(docker_query({}), "");
}

TEST(Objects, come_line_by_line_and_what_is_none_is_passed_over) {
  std::vector<std::string> heard;
  JsonLines lines([&heard](const nlohmann::json& object) { heard.push_back(object.dump()); });
  const std::string stream = "{\"a\":1}\r\n\n[1]\nnonsense\n" + std::string(100000, '[') + "\n{\"b\":2}";
  for (const char byte : stream) ASSERT_TRUE(lines.feed(std::string_view(&byte, 1)));
  EXPECT_EQ(heard.size(), 1u);
  lines.end();
  EXPECT_EQ(heard, (std::vector<std::string>{"{\"a\":1}", "{\"b\":2}"}));
  const auto endless = lines.feed(std::string(2 << 20, ' '));
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().code, ErrorCode::corrupt);
}

// ---- progress

TEST(PullProgress, adds_up_the_layers) {
  PullLines lines("python:3.11-slim");
  const auto take = [&lines](const std::string& text) { return lines.take(nlohmann::json::parse(text)); };
  EXPECT_EQ(lines.line(), "pulling python:3.11-slim");
  EXPECT_FALSE(take(R"({"status":"Pulling from library/python","id":"3.11-slim"})"));
  EXPECT_TRUE(take(R"({"status":"Pulling fs layer","progressDetail":{},"id":"a"})"));
  take(R"({"status":"Already exists","id":"b"})");
  take(R"({"status":"Pulling fs layer","id":"c"})");
  EXPECT_EQ(lines.line(), "pulling python:3.11-slim: 1 of 3 layers");
  take(R"({"status":"Downloading","progressDetail":{"current":41000000,"total":100000000},"id":"a"})");
  take(R"({"status":"Downloading","progressDetail":{"current":1000,"total":20000000},"id":"c"})");
  EXPECT_EQ(lines.line(), "pulling python:3.11-slim: 1 of 3 layers, 41 of 120 MB");
  take(R"({"status":"Download complete","id":"c"})");
  take(R"({"status":"Pull complete","id":"a"})");
  EXPECT_EQ(lines.line(), "pulling python:3.11-slim: 2 of 3 layers, 120 of 120 MB");
  take(R"({"status":"Downloading","progressDetail":{"current":-5,"total":"many"},"id":"d"})");
  take(R"({"status":"Downloading","progressDetail":{"current":9223372036854775807,"total":9223372036854775807},"id":"e"})");
  lines.finish();
  EXPECT_NE(lines.line().find(": 5 of 5 layers, "), std::string::npos) << lines.line();
  EXPECT_EQ(lines.error(), "");
  take(R"({"errorDetail":{"message":"m"},"error":"manifest unknown"})");
  EXPECT_EQ(lines.error(), "manifest unknown");
}

// ---- credentials

TEST(Credentials, stand_in_dockers_config) {
  const auto config = DockerConfig::parse(R"({"auths":{
      "https://index.docker.io/v1/":{"auth":"dXNlcjpwOnc="},
      "reg.example:5000":{"username":"u","password":"p"},
      "https://token.example/v2/":{"identitytoken":"t"},
      "empty.example":{},"bad.example":{"auth":"%%%"},"odd.example":7},
      "credHelpers":{"ecr.example":"ecr-login","evil.example":"../../bin/sh"}})");
  EXPECT_EQ(config.stored("docker.io"), (RegistryCredentials{"user", "p:w", ""}));
  EXPECT_EQ(config.stored("reg.example:5000"), (RegistryCredentials{"u", "p", ""}));
  EXPECT_EQ(config.stored("token.example"), (RegistryCredentials{"", "", "t"}));
  for (const char* none : {"empty.example", "bad.example", "odd.example", "other", ""})
    EXPECT_EQ(config.stored(none), std::nullopt) << none;
  EXPECT_EQ(config.helper("ecr.example"), "ecr-login");
  EXPECT_EQ(config.helper("evil.example"), "");
  EXPECT_EQ(config.helper("docker.io"), "");
  EXPECT_EQ(DockerConfig::parse(R"({"credsStore":"pass"})").helper("docker.io"), "pass");
  EXPECT_EQ(auth_header({"user", "p\xff>?", ""}, "docker.io").find_first_of("+/"), std::string::npos);
  EXPECT_EQ(auth_header({"u", "p", ""}, "r:1"), "eyJwYXNzd29yZCI6InAiLCJzZXJ2ZXJhZGRyZXNzIjoicjoxIiwidXNlcm5hbWUiOiJ1In0=");
  EXPECT_FALSE(config.all().empty());
  for (const char* nothing : {"", "[]", "{", R"({"auths":[]})"}) {
    EXPECT_EQ(DockerConfig::parse(nothing).stored("docker.io"), std::nullopt);
    EXPECT_EQ(DockerConfig::parse(nothing).all(), "");
  }
}

class Helpers : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "casemate_helpers.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top_ = name;
    path_ = std::getenv("PATH");
    ::setenv("PATH", (name + ":" + path_).c_str(), 1);
    reactor_ = std::move(*Reactor::create());
  }
  void TearDown() override {
    ::setenv("PATH", path_.c_str(), 1);
    fs::remove_all(top_);
  }
  void install(const std::string& name, const std::string& lines) {
    const fs::path path = top_ / ("docker-credential-" + name);
    std::ofstream(path) << "#!/bin/sh\n" << lines << "\n";
    fs::permissions(path, fs::perms(0755));
  }
  Result<std::optional<RegistryCredentials>> ask(const std::string& name, const std::string& registry = "docker.io") {
    std::optional<Result<std::optional<RegistryCredentials>>> answer;
    auto helper =
        CredentialHelper::ask(*reactor_, name, registry, [&](Result<std::optional<RegistryCredentials>> got) { answer = std::move(got); });
    EXPECT_FALSE(answer);
    while (!answer) EXPECT_TRUE(reactor_->turn(std::chrono::seconds(1)));
    return *answer;
  }
  fs::path top_;
  std::string path_;
  std::unique_ptr<Reactor> reactor_;
};

TEST_F(Helpers, are_asked_for_a_registry) {
  install("good", R"([ "$1" = get ] && read -r server; printf '{"ServerURL":"%s","Username":"for %s","Secret":"s"}' "$server" "$server")");
  auto got = ask("good");
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(**got, (RegistryCredentials{"for https://index.docker.io/v1/", "s", ""}));
  EXPECT_EQ((**ask("good", "r:5")).user, "for r:5");
  install("token", R"(echo '{"Username":"<token>","Secret":"t"}')");
  EXPECT_EQ(**ask("token"), (RegistryCredentials{"", "", "t"}));
  install("none", "echo credentials not found in native keychain; exit 1");
  got = ask("none");
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_FALSE(*got);
}

TEST_F(Helpers, that_fail_say_so_in_a_line) {
  install("broken", "printf 'the keychain is \\033[31mlocked'; exit 1");
  install("silent", "exit 0");
  install("endless", "yes");
  EXPECT_EQ(ask("broken").error().what, "docker-credential-broken failed: the keychain is \\x1b[31mlocked");
  EXPECT_EQ(ask("silent").error().what, "docker-credential-silent answers without a secret");
  EXPECT_FALSE(ask("endless"));
  EXPECT_EQ(ask("missing").error().what, "docker-credential-missing (of docker's config.json) is not installed");
  install("hangs", "exec sleep 1000");
  auto helper = CredentialHelper::ask(*reactor_, "hangs", "r", [](auto) { ADD_FAILURE(); });
  ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(50)));
  helper.reset();  // kills it
}

// ---- .dockerignore

TEST(Ignored, are_paths_by_the_last_line_that_matches) {
  const auto parsed = ContextIgnore::parse(
      "\xEF\xBB\xBF# comment\n\n*.pyc\n!keep.pyc\n**/node_modules\n/build/\n  docs/*.md  "
      "\n!docs/README.md\ntmp?\n[^a-c]x\nx{1,2}\n../out\n.\n");
  ASSERT_TRUE(parsed) << parsed.error().what;
  const ContextIgnore& ignore = *parsed;
  for (const char* path :
       {"a.pyc", "node_modules", "a/b/node_modules", "a/node_modules/c/d", "build", "build/x/y", "docs/a.md", "tmp1", "dx", "x{1,2}"})
    EXPECT_TRUE(ignore.ignores(path)) << path;
  for (const char* path :
       {"keep.pyc", "a/b.pyc", "builds", "src/build", "docs/README.md", "docs/a/b.md", "tmp", "ax", "x1", "# comment", "out"})
    EXPECT_FALSE(ignore.ignores(path)) << path;
  EXPECT_TRUE(ignore.may_keep_below());
  EXPECT_FALSE(ContextIgnore::parse("*.o\n")->may_keep_below());
  auto all = *ContextIgnore::parse("**\n");
  EXPECT_TRUE(all.ignores("Dockerfile"));
  all.keep("Dockerfile");
  EXPECT_FALSE(all.ignores("Dockerfile"));
  EXPECT_TRUE(all.ignores("a/Dockerfile"));
  const auto bad = ContextIgnore::parse("ok\n[a\n");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().what.find(".dockerignore, line 2: "), std::string::npos) << bad.error().what;
}

}  // namespace
}  // namespace casemate
