// The client against who is no Docker Engine, or a broken one: each trouble is one clear line, soon, and costs bounded memory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "daemon_scratch.h"
#include "hostile_server.h"

namespace casemate {
namespace {

using std::chrono::milliseconds;

constexpr const char* kVersion =
    R"({"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64","Components":[{"Name":"Engine"}]})";

class Hostile : public DaemonTest {
 protected:
  void serve(HostileServer::Script script, bool tcp = false) {
    server_ = std::make_unique<HostileServer>(std::move(script), tcp);
    use(server_->endpoint());
  }
  // Says the same to each request; closes where HTTP would not tell the end otherwise.
  void answer(const std::string& bytes) {
    serve([bytes](HostilePeer& peer) {
      while (!peer.read_head().empty() && peer.say(bytes) && bytes.find("Content-Length") != std::string::npos) {
      }
    });
  }
  void TearDown() override {
    api_.reset();
    server_.reset();
  }
  Error failure_of(DockerRequest request) {
    const auto reply = ask(std::move(request));
    EXPECT_FALSE(reply);
    if (reply) return {};
    EXPECT_EQ(reply.error().where, "docker daemon") << reply.error().what;
    EXPECT_EQ(reply.error().what.find('\n'), std::string::npos);
    return reply.error();
  }
  Error failure_of_version() {
    const auto version = negotiate();
    EXPECT_FALSE(version);
    return version ? Error{} : version.error();
  }
  Error failure_of_stream(milliseconds silence = std::chrono::seconds(30)) {
    DockerRequest request;
    request.method = "POST";
    request.path = "/containers/x/attach?stream=1";
    request.silence = silence;
    std::optional<Error> got;
    api_->open_stream(request, [&got](Result<std::unique_ptr<DockerStream>> opened) { got = opened ? Error{} : opened.error(); });
    turn_until([&got] { return got.has_value(); });
    return got.value_or(Error{});
  }
  static DockerRequest get(const std::string& path = "/info") {
    DockerRequest request;
    request.path = path;
    return request;
  }
  std::unique_ptr<HostileServer> server_;
};

#define EXPECT_SAYS(error, text) EXPECT_NE((error).what.find(text), std::string::npos) << (error).what

// ---- who is there

TEST_F(Hostile, no_socket_is_a_daemon_that_is_not_there) {
  use(*parse_docker_host("unix:///var/tmp/casemate-no-such-socket", false, ""));
  const Error error = failure_of_version();
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_EQ(error.where, "docker daemon");
  EXPECT_SAYS(error,
              "nobody answers as docker daemon at unix:///var/tmp/casemate-no-such-socket (DOCKER_HOST) (there is no such socket): start");
}

TEST_F(Hostile, a_socket_or_port_where_nobody_listens_is_a_daemon_that_is_not_there) {
  for (const bool tcp : {false, true}) {
    const DockerEndpoint endpoint = HostileServer([](HostilePeer&) {}, tcp).endpoint();
    if (!tcp) {
      fs::create_directory(fs::path(endpoint.path).parent_path());
      const HostileServer other([](HostilePeer&) {});
      fs::create_hard_link(other.endpoint().path, endpoint.path);
    }
    use(endpoint);
    const Error error = failure_of_version();
    EXPECT_EQ(error.code, ErrorCode::not_found);
    EXPECT_SAYS(error, "(Connection refused)");
    if (!tcp) fs::remove_all(fs::path(endpoint.path).parent_path());
  }
}

TEST_F(Hostile, a_socket_of_others_says_which_group_may) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  serve([](HostilePeer& peer) { peer.hang(); });
  const std::string path = server_->endpoint().path;
  fs::permissions(fs::path(path).parent_path(), fs::perms(0755));
  ASSERT_EQ(::chown(path.c_str(), 0, 1), 0);  // daemon, everywhere
  fs::permissions(path, fs::perms(0660));
  ASSERT_EQ(::seteuid(65534), 0);
  const Error error = failure_of_version();
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(error.code, ErrorCode::refused);
  EXPECT_EQ(error.where, "docker daemon");
  EXPECT_SAYS(error, "no permission to use the docker daemon at unix://");
  EXPECT_SAYS(error, "join its group (sudo usermod -aG daemon $USER)");
}

TEST_F(Hostile, a_daemon_that_hangs_is_given_up_after_five_seconds) {
  serve([](HostilePeer& peer) { peer.hang(); });
  const Error error = failure_of_version();
  EXPECT_EQ(error.code, ErrorCode::system);
  EXPECT_SAYS(error, "hangs: not a byte in 5.00 s for GET /_ping");
}

TEST_F(Hostile, a_daemon_that_dribbles_is_given_up_as_well) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (peer.say(" ")) std::this_thread::sleep_for(milliseconds(50));
  });
  EXPECT_SAYS(failure_of_version(), "hangs");
}

TEST_F(Hostile, versions_that_cannot_be_spoken_with_say_which_is_needed) {
  answer(http_answer(200, R"({"Version":"1.9.1","ApiVersion":"1.21","Os":"linux"})"));
  Error error = failure_of_version();
  EXPECT_EQ(error.code, ErrorCode::not_supported);
  EXPECT_SAYS(error, "(docker 1.9.1) is too old: it speaks version 1.21 of the API, needed is 1.24 (Docker 1.12): update it");
  answer(http_answer(200, R"({"Version":"40","ApiVersion":"1.90","MinAPIVersion":"1.60","Os":"linux"})"));
  error = failure_of_version();
  EXPECT_EQ(error.code, ErrorCode::not_supported);
  EXPECT_SAYS(error, "is too new");
  answer(http_answer(200, R"({"Version":"20","ApiVersion":"1.41","Os":"windows"})"));
  EXPECT_SAYS(failure_of_version(), "runs Windows containers: switch it to Linux containers");
}

TEST_F(Hostile, the_lower_version_of_both_is_spoken) {
  answer(http_answer(200, R"({"Version":"29","ApiVersion":"1.52","MinAPIVersion":"1.44","Os":"linux","Arch":"arm64"})"));
  auto version = negotiate();
  ASSERT_TRUE(version) << version.error().what;
  EXPECT_EQ(version->api, "1.47");
  EXPECT_EQ(version->arch, "arm64");
  std::string asked;
  serve([&asked](HostilePeer& peer) {
    asked += peer.read_head();
    peer.say(http_answer(200, "OK"));
    asked += peer.read_head();
    peer.say(http_answer(200, kVersion));
    asked += peer.read_head();
    peer.say(http_answer(200, "{}"));
    peer.hang();
  });
  version = negotiate();
  ASSERT_TRUE(version) << version.error().what;
  ASSERT_TRUE(ask(get()));
  EXPECT_EQ(server_->connections(), 1);
  server_.reset();
  EXPECT_NE(asked.find("GET /version HTTP/1.1\r\nHost: docker\r\n"), std::string::npos) << asked;
  EXPECT_NE(asked.find("GET /v1.41/info HTTP/1.1\r\n"), std::string::npos) << asked;
}

TEST_F(Hostile, who_is_no_docker_engine_is_asked_whether_it_is) {
  const std::string says = "what listens at unix://";
  for (const std::string& bytes :
       {http_answer(200, "<html>nginx</html>"), http_answer(404, "not here"), http_answer(200, "{}"), http_answer(200, "[1,2]"),
        http_answer(200, R"({"ApiVersion":"one"})"), http_answer(200, R"({"ApiVersion":7})"), http_answer(200, std::string(100000, '[')),
        http_answer(301, "", "Location: http://127.0.0.1:1/\r\n"), std::string("SSH-2.0-OpenSSH_9.2p1\r\n"),
        std::string("220 mail ESMTP\r\n"), http_answer(200, std::string(300u << 10, ' '))}) {
    answer(bytes);
    const Error error = failure_of_version();
    EXPECT_EQ(error.code, ErrorCode::corrupt) << bytes.substr(0, 60) << error.what;
    EXPECT_EQ(error.where, "docker daemon");
    EXPECT_SAYS(error, says);
  }
  answer(http_answer(400, "Client sent an HTTP request to an HTTPS server.\n"));
  EXPECT_SAYS(failure_of_version(), "speaks TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH");
}

TEST_F(Hostile, what_a_daemon_calls_itself_is_made_safe_for_a_screen) {
  answer(http_answer(200, R"({"Version":"\u001b]0;pwned\u0007\n","ApiVersion":"1.41","Os":"linux"})"));
  const auto version = negotiate();
  ASSERT_TRUE(version);
  EXPECT_EQ(version->engine, "\\x1b]0;pwned\\x07\\n");
}

// ---- calls

TEST_F(Hostile, a_call_ends_when_the_daemon_is_silent_for_too_long) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{");
    peer.hang();
  });
  DockerRequest request = get();
  request.silence = milliseconds(100);
  const Error error = failure_of(request);
  EXPECT_EQ(error.code, ErrorCode::system);
  EXPECT_SAYS(error, "hangs: not a byte in 100 ms for GET /info");
}

TEST_F(Hostile, a_call_that_goes_on_is_not_silent) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(milliseconds(50));
      peer.say("x");
    }
    peer.hang();
  });
  DockerRequest request = get();
  request.silence = milliseconds(600);
  const auto reply = ask(request);
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->body, std::string(20, 'x'));
}

TEST_F(Hostile, an_answer_that_dribbles_is_a_daemon_that_hangs) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    std::this_thread::sleep_for(milliseconds(400));  // the lap begins with the answer
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (peer.say(" ")) std::this_thread::sleep_for(milliseconds(20));
  });
  DockerRequest request = get();
  request.lap = milliseconds(200);
  const Error error = failure_of(request);
  EXPECT_EQ(error.code, ErrorCode::system);
  EXPECT_SAYS(error, "hangs: less than 1 KiB in 200 ms for GET /info");
}

TEST_F(Hostile, an_answer_may_take_many_laps) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n");
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(milliseconds(100));
      peer.say(std::string(1000, 'x'));
    }
    peer.hang();
  });
  DockerRequest request = get();
  request.lap = milliseconds(800);
  const auto reply = ask(request);
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->body.size(), 20000u);
}

TEST_F(Hostile, a_call_without_a_limit_on_silence_waits) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    std::this_thread::sleep_for(milliseconds(300));
    peer.say(http_answer(200, "{}"));
  });
  DockerRequest request = get();
  request.silence = milliseconds(0);
  EXPECT_TRUE(ask(request));
}

TEST_F(Hostile, an_answer_that_breaks_off_is_a_daemon_that_went_away) {
  for (const char* bytes :
       {"", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"}) {
    serve([bytes](HostilePeer& peer) {
      peer.read_head();
      peer.say(bytes);
    });
    const Error error = failure_of(get());
    EXPECT_EQ(error.code, ErrorCode::system);
    EXPECT_SAYS(error, "went away during GET /info");
  }
}

TEST_F(Hostile, endless_answers_and_headers_are_cut_off) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\n\r\n[");
    while (peer.say(std::string(64 << 10, '1'))) {
    }
  });
  DockerRequest request = get();
  request.most_bytes = 1 << 20;
  Error error = failure_of(request);
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_SAYS(error, "answers with more than 1.0 MiB (GET /info)");
  for (const bool one_line : {false, true}) {
    serve([one_line](HostilePeer& peer) {
      peer.read_head();
      peer.say("HTTP/1.1 200 OK\r\nX: ");
      const std::string line(1000, 'a');
      for (std::uint64_t said = 0; said < 1ull << 30 && peer.say(one_line ? line : line + "\r\nX: "); said += line.size()) {
      }
    });
    error = failure_of(get());
    EXPECT_NE(error.code, ErrorCode::not_found) << error.what;
  }
}

TEST_F(Hostile, redirects_are_answers_and_not_followed) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say(http_answer(307, "", "Location: http://127.0.0.1:1/elsewhere\r\n"));
    peer.hang();
  });
  const auto reply = ask(get());
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->status, 307);
  EXPECT_EQ(docker_failure(*reply, "x").what, "can't x: the docker daemon says: HTTP status 307");
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(Hostile, a_stream_hears_answers_in_pieces_but_refusals_as_a_whole) {
  for (const int status : {200, 500}) {
    answer(http_answer(status, "{\"message\":\"no\"}"));
    std::string heard;
    DockerRequest request = get();
    request.stream = [&heard](std::string_view bytes) {
      heard += bytes;
      return Result<void>();
    };
    const auto reply = ask(request);
    ASSERT_TRUE(reply);
    EXPECT_EQ(heard.empty(), status == 500);
    EXPECT_EQ(reply->body.empty(), status == 200);
  }
}

TEST_F(Hostile, who_hears_or_makes_a_body_may_end_the_call_with_an_error) {
  answer(http_answer(200, "abc"));
  DockerRequest request = get();
  request.stream = [](std::string_view) -> Result<void> { return fail(ErrorCode::exhausted, "the disk is full"); };
  auto reply = ask(request);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().what, "the disk is full");
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.hang();
  });
  request = get("/build");
  request.method = "POST";
  request.produce = []() -> Result<std::string> { return fail(ErrorCode::not_found, "the file has gone"); };
  reply = ask(request);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().what, "the file has gone");
}

TEST_F(Hostile, a_body_made_in_pieces_arrives_in_chunks) {
  std::string came;
  serve([&came](HostilePeer& peer) {
    came = peer.read_head();
    while (!came.ends_with("\r\n0\r\n\r\n")) came += peer.read_head();
    peer.say(http_answer(200, "{}"));
  });
  DockerRequest request = get("/containers/x/archive?path=/");
  request.method = "PUT";
  request.content_type = "application/x-tar";
  request.produce = [left = 3]() mutable -> Result<std::string> { return left-- > 0 ? std::string("piece") : std::string(); };
  ASSERT_TRUE(ask(request));
  server_.reset();
  EXPECT_NE(came.find("PUT /containers/x/archive?path=/ HTTP/1.1"), std::string::npos) << came;
  EXPECT_NE(came.find("Transfer-Encoding: chunked"), std::string::npos) << came;
  EXPECT_NE(came.find("Content-Type: application/x-tar"), std::string::npos) << came;
  EXPECT_EQ(came.find("Expect"), std::string::npos) << came;
}

TEST_F(Hostile, a_refusal_before_all_of_a_body_was_sent_is_heard) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say(http_answer(404, R"({"message":"no such container"})"));
    peer.hang();
  });
  DockerRequest request = get("/containers/x/archive?path=/");
  request.method = "PUT";
  request.produce = [pieces = 0]() mutable -> Result<std::string> { return pieces++ < 10000 ? std::string(10000, 'x') : std::string(); };
  const auto reply = ask(request);
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->status, 404);
}

TEST_F(Hostile, what_is_forgotten_is_not_heard_of) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say(http_answer(200, "{}"));
    peer.hang();
  });
  int heard = 0;
  const auto count = [&heard](Result<DockerReply>) { ++heard; };
  DockerRequest request = get();
  request.stream = [&heard](std::string_view) {
    ++heard;
    return Result<void>();
  };
  const DockerCallId call = api_->call(request, count);
  const DockerCallId bad = api_->call(get("no slash"), count);
  const DockerCallId stream = api_->open_stream(get(), [&heard](auto) { ++heard; });
  api_->forget(call);
  api_->forget(bad);
  api_->forget(stream);
  api_->forget(12345);
  ASSERT_TRUE(ask(get()));
  EXPECT_EQ(heard, 0);
}

TEST_F(Hostile, calls_can_be_made_and_forgotten_while_another_is_heard) {
  serve([](HostilePeer& peer) {
    for (;;) {
      if (peer.read_head().empty()) return;
      peer.say(http_answer(200, "abc"));
    }
  });
  bool answered = false;
  int others = 0;
  DockerCallId first = 0;
  DockerRequest request = get();
  request.stream = [&](std::string_view) {
    api_->call(get(), [&answered](Result<DockerReply> reply) { answered = reply.has_value(); });
    api_->forget(api_->call(get(), [&others](Result<DockerReply>) { ++others; }));
    api_->forget(first);
    return Result<void>();
  };
  first = api_->call(request, [&others](Result<DockerReply>) { ++others; });
  turn_until([&answered] { return answered; });
  EXPECT_EQ(others, 0);
}

TEST_F(Hostile, a_client_may_go_with_calls_under_way) {
  serve([](HostilePeer& peer) { peer.hang(); });
  int heard = 0;
  api_->call(get(), [&heard](Result<DockerReply>) { ++heard; });
  api_->open_stream(get(), [&heard](auto) { ++heard; });
  api_->negotiate([&heard](Result<DockerVersion>) { ++heard; });
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(reactor_->turn(milliseconds(10)));
  api_.reset();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(reactor_->turn(milliseconds(10)));
  EXPECT_EQ(heard, 0);
}

TEST_F(Hostile, requests_that_would_say_something_else_are_refused) {
  answer(http_answer(200, "{}"));
  DockerRequest header = get();
  header.headers = {"X: y\r\nHost: other"};
  for (const DockerRequest& request : {get("/a b"), get("/a\r\nX: y"), get("/a#b"), get("http://x/"), header}) {
    const auto reply = ask(request);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::invalid_input);
  }
  EXPECT_EQ(server_->connections(), 0);
}

TEST_F(Hostile, waiting_ends_when_somebody_says_stop) {
  serve([](HostilePeer& peer) { peer.hang(); });
  const Pipe pipe = *make_pipe();
  ASSERT_EQ(::write(pipe.write.get(), "x", 1), 1);
  const auto reply = call_and_wait(*api_, *reactor_, get(), pipe.read.get());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::cancelled);
}

TEST_F(Hostile, its_sockets_are_closed_on_exec) {
  serve([](HostilePeer& peer) { peer.hang(); });
  api_->call(get(), [](Result<DockerReply>) {});
  api_->open_stream(get(), [](auto) {});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(reactor_->turn(milliseconds(10)));
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    const int fd = std::atoi(entry.path().filename().c_str());
    std::error_code problem;
    if (fd > 2 && fs::read_symlink(entry.path(), problem).string().starts_with("socket:"))
      EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
  }
}

// ---- streams

TEST_F(Hostile, a_stream_that_is_no_stream_is_an_error) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "closes the connection without an answer"},
      {"HTTP/1.1 101 UPGR", "breaks off its answer"},
      {"SSH-2.0\r\n", "answers with what is no HTTP: 'SSH-2.0"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "does not give up HTTP on the connection"},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "does not give up HTTP on the connection"},
      {"HTTP/1.1 101 X\r\nX: " + std::string(70000, 'a'), "answers with more than 64 KiB of headers"},
      {"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "answers with what is no HTTP: 'zz'"},
  };
  for (const auto& [bytes, says] : cases) {
    answer(bytes);
    const Error error = failure_of_stream();
    EXPECT_EQ(error.code, ErrorCode::corrupt);
    EXPECT_SAYS(error, says);
  }
}

TEST_F(Hostile, refusals_of_streams_are_read_whatever_their_body) {
  const std::string body = R"({"message":"no such container: x"})";
  for (const std::string& bytes : {http_answer(404, body), "HTTP/1.1 404 X\r\n\r\n" + body,
                                   fmt::format("HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                                               body.substr(0, 5), body.size() - 5, body.substr(5)),
                                   "HTTP/1.1 100 Continue\r\n\r\n" + http_answer(404, body)}) {
    answer(bytes);
    const Error error = failure_of_stream();
    EXPECT_EQ(error.code, ErrorCode::not_found) << bytes;
    EXPECT_EQ(error.what, "can't POST /containers/x/attach: the docker daemon says: no such container: x");
  }
}

TEST_F(Hostile, a_stream_that_does_not_open_is_given_up) {
  for (const char* bytes : {"", "HTTP/1.1 101 UPGRADED\r\n", "HTTP/1.1 404 X\r\nContent-Length: 100\r\n\r\n{"}) {
    serve([bytes](HostilePeer& peer) {
      peer.read_head();
      peer.say(bytes);
      peer.hang();
    });
    EXPECT_SAYS(failure_of_stream(milliseconds(100)), "hangs: not a byte in 100 ms for POST /containers/x/attach");
  }
}

TEST_F(Hostile, a_stream_whose_head_dribbles_is_given_up) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say("HTTP/1.1 101 UPGRADED\r\n");
    while (peer.say("X: y\r\n")) std::this_thread::sleep_for(milliseconds(20));
  });
  EXPECT_SAYS(failure_of_stream(milliseconds(300)), "hangs: not a byte in 300 ms for POST /containers/x/attach");
}

TEST_F(Hostile, an_old_daemons_plain_200_is_a_stream_and_both_directions_end_for_themselves) {
  for (const bool tcp : {false, true}) {
    std::string came;
    serve(
        [&came](HostilePeer& peer) {
          const std::string head = peer.read_head();
          peer.say("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nfirst ");
          came = peer.read_all();
          peer.say("and last");
        },
        tcp);
    std::unique_ptr<DockerStream> stream;
    api_->open_stream(get(), [&stream](Result<std::unique_ptr<DockerStream>> opened) {
      ASSERT_TRUE(opened) << opened.error().what;
      stream = std::move(*opened);
    });
    turn_until([&stream] { return stream != nullptr; });
    std::string heard;
    std::optional<Result<void>> end;
    stream->write("to the end", true);
    stream->write("dropped", false);
    stream->listen([&heard](std::string_view bytes) { heard += bytes; }, [&end](Result<void> result) { end = std::move(result); });
    turn_until([&end] { return end.has_value(); });
    EXPECT_TRUE(*end);
    EXPECT_EQ(heard, "first and last");
    stream.reset();
    server_.reset();
    EXPECT_EQ(came, "to the end");
  }
}

TEST_F(Hostile, a_stream_may_outlive_its_client_and_go_while_it_is_heard) {
  serve([](HostilePeer& peer) {
    peer.read_head();
    peer.say("HTTP/1.1 101 UPGRADED\r\n\r\n");
    while (peer.say(std::string(1 << 20, 'x'))) {
    }
  });
  std::unique_ptr<DockerStream> stream;
  api_->open_stream(get(), [&stream](Result<std::unique_ptr<DockerStream>> opened) { stream = std::move(*opened); });
  turn_until([&stream] { return stream != nullptr; });
  api_.reset();
  std::size_t heard = 0;
  stream->listen(
      [&](std::string_view bytes) {
        heard += bytes.size();
        if (heard > 3000000) stream.reset();
      },
      [](Result<void>) { ADD_FAILURE() << "heard of its end"; });
  turn_until([&stream] { return stream == nullptr; });
  EXPECT_GT(heard, 3000000u);
}

}  // namespace
}  // namespace casemate
