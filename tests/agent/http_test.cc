// HttpClient against real servers on loopback: such as behave, and such as do not.
#include "net/http.h"

#include <array>
#include <chrono>
#include <csignal>
#include <set>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/time.h>

#include "loopback.h"

namespace casemate {
namespace {

using namespace std::chrono_literals;

std::set<int> without_cloexec() {
  std::set<int> all;
  for (int fd = 0; fd < 1024; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0) all.insert(fd);
  }
  return all;
}

HttpClient client_of(HttpOptions options = {}) {
  auto client = HttpClient::create(std::move(options));
  EXPECT_TRUE(client) << client.error().what;
  return std::move(*client);
}

HttpRequest post_of(const std::string& url, std::string body) { return {.method = "POST", .url = url, .body = std::move(body)}; }

class Http : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::signal(SIGPIPE, SIG_IGN);
    for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
  }
  // The failure of one request to a server that serves so.
  static HttpFailure failure_at(const RawServer::Serve& serve, HttpOptions options = {}, const std::string& body = "{\"a\": 1}") {
    const RawServer server(serve);
    auto client = client_of(std::move(options));
    auto answer = client.send(post_of(server.url(), body));
    EXPECT_FALSE(answer) << answer->status << " " << answer->body;
    if (answer) return {};
    EXPECT_NE(answer.error().what.find("127.0.0.1:" + std::to_string(server.port())), std::string::npos) << answer.error().what;
    EXPECT_EQ(answer.error().what.find('\n'), std::string::npos);
    return answer.error();
  }
};

TEST_F(Http, ARequestArrivesAsItWasMadeAndItsAnswerIsWhole) {
  Listening<httplib::Server> server;
  server.server.Post("/there", [](const httplib::Request& request, httplib::Response& response) {
    response.status = 418;
    response.set_content(request.method + " " + request.get_header_value("X-Word") + " " + request.body, "text/plain");
  });
  server.start();
  auto client = client_of();
  HttpRequest request = post_of("http://127.0.0.1:" + std::to_string(server.port) + "/there", std::string("a\0b", 3));
  request.headers = {"X-Word: hello", "Content-Type: application/octet-stream"};
  const auto answer = client.send(request);
  ASSERT_TRUE(answer) << answer.error().what;
  EXPECT_EQ(answer->status, 418);
  EXPECT_EQ(answer->content_type, "text/plain");
  EXPECT_EQ(answer->body, std::string("POST hello a\0b", 14));
  EXPECT_GT(answer->took, 0us);
}

TEST_F(Http, AnyMethodAndAnEmptyBody) {
  const RawServer server([](Peer& peer, int) { peer.answer(200, peer.read_request()); });
  auto client = client_of();
  const auto put = client.send({.method = "PUT", .url = server.url("/x?y=1"), .body = "abc"});
  ASSERT_TRUE(put) << put.error().what;
  EXPECT_TRUE(put->body.starts_with("PUT /x?y=1 HTTP/1.1\r\n") && put->body.ends_with("\r\n\r\nabc")) << put->body;
  const auto post = client.send(post_of(server.url(), ""));
  ASSERT_TRUE(post) << post.error().what;
  EXPECT_NE(post->body.find("Content-Length: 0\r\n"), std::string::npos) << post->body;
}

TEST_F(Http, OneConnectionServesManyRequests) {
  const RawServer server([](Peer& peer, int) {
    while (!peer.read_request().empty()) peer.answer(200, "ok");
  });
  auto client = client_of();
  for (int i = 0; i < 20; ++i) {
    const auto answer = client.send({.url = server.url()});
    ASSERT_TRUE(answer) << answer.error().what;
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(Http, AKeptConnectionThatHasDiedIsReplaced) {
  const RawServer server([](Peer& peer, int) {
    if (!peer.read_request().empty()) peer.answer(200, "ok");
  });
  auto client = client_of();
  for (int i = 0; i < 5; ++i) {
    const auto answer = client.send({.url = server.url()});
    ASSERT_TRUE(answer) << answer.error().what;
  }
  EXPECT_EQ(server.connections(), 5);
}

// libcurl by itself would send it again where the connection had served before.
TEST_F(Http, APostIsNeverSentTwice) {
  std::atomic<int> posts = 0;
  const RawServer server([&](Peer& peer, int) {
    for (std::string request; !(request = peer.read_request()).empty();) {
      if (request.starts_with("POST")) {
        ++posts;
        return;  // it was taken, and nobody is told
      }
      peer.answer(200, "ok");
    }
  });
  auto client = client_of();
  ASSERT_TRUE(client.send({.url = server.url()}));
  const auto answer = client.send(post_of(server.url(), "{}"));
  ASSERT_FALSE(answer);
  EXPECT_TRUE(answer.error().sent);
  EXPECT_FALSE(answer.error().unanswerable);
  EXPECT_EQ(posts, 1);
  EXPECT_TRUE(client.send({.url = server.url()}));
}

TEST_F(Http, ChunksAreJoined) {
  const RawServer server([](Peer& peer, int) {
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n");
    peer.send("5\r\n: 12}\r\n0\r\n\r\n");
  });
  const auto answer = client_of().send({.url = server.url()});
  ASSERT_TRUE(answer) << answer.error().what;
  EXPECT_EQ(answer->body, "{\"a\": 12}");
}

TEST_F(Http, ALargeAnswerIsTakenATooLargeOneIsNot) {
  const std::string large(10u << 20, 'x');
  const auto serve = [&](Peer& peer, int) {
    while (!peer.read_request().empty()) peer.answer(200, large);
  };
  const RawServer server(serve);
  const auto answer = client_of().send({.url = server.url()});
  ASSERT_TRUE(answer) << answer.error().what;
  EXPECT_EQ(answer->body, large);
  const HttpFailure failure = failure_at(serve, {.most_bytes = large.size() - 1});
  EXPECT_TRUE(failure.unanswerable && failure.sent) << failure.what;
  EXPECT_NE(failure.what.find("larger than 10.0 MiB"), std::string::npos) << failure.what;
}

TEST_F(Http, AnAnswerThatDoesNotSayHowLargeItIsIsBoundedToo) {
  const HttpFailure chunks = failure_at(
      [](Peer& peer, int) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while (peer.send("3e8\r\n" + std::string(1000, 'x') + "\r\n")) continue;
      },
      {.most_bytes = 50'000});
  EXPECT_TRUE(chunks.unanswerable && chunks.sent) << chunks.what;
  const HttpFailure headers = failure_at([](Peer& peer, int) {
    peer.read_request();
    while (peer.send("HTTP/1.1 100 Continue\r\nX-Padding: " + std::string(1000, 'x') + "\r\n\r\n")) continue;
  });
  EXPECT_TRUE(headers.unanswerable && headers.sent) << headers.what;
}

TEST_F(Http, ACompressedAnswerIsNotAskedFor) {
  const RawServer server([](Peer& peer, int) { peer.answer(200, peer.read_request()); });
  const auto answer = client_of().send({.url = server.url()});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body.find("Accept-Encoding"), std::string::npos) << answer->body;
}

TEST_F(Http, ARedirectIsAnAnswer) {
  const RawServer server([](Peer& peer, int) {
    peer.read_request();
    peer.send("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
  });
  const auto answer = client_of().send({.url = server.url()});
  ASSERT_TRUE(answer) << answer.error().what;
  EXPECT_EQ(answer->status, 302);
  EXPECT_EQ(server.connections(), 1);
}

// --- what was sent when it failed

TEST_F(Http, NobodyListens) {
  const DeafPort port;
  const auto answer = client_of().send(post_of("http://" + port.origin(), "{}"));
  ASSERT_FALSE(answer);
  EXPECT_FALSE(answer.error().sent || answer.error().unanswerable || answer.error().interrupted);
  EXPECT_EQ(answer.error().what, "could not connect to " + port.origin() + ": Connection refused");
}

TEST_F(Http, ANameThatDoesNotExist) {
  const std::string name(64, 'x');  // one byte more than a label may have: no name server is asked
  const auto answer = client_of({.connect_timeout = 5s}).send(post_of("http://" + name + ":99/", "{}"));
  ASSERT_FALSE(answer);
  EXPECT_FALSE(answer.error().sent || answer.error().unanswerable);
  EXPECT_TRUE(answer.error().what.starts_with("could not connect to " + name + ":99: ")) << answer.error().what;
}

TEST_F(Http, AServerThatHangsTimesOut) {
  const HttpFailure failure = failure_at([](Peer& peer, int) { peer.hang(); }, {.timeout = 200ms});
  EXPECT_TRUE(failure.sent) << failure.what;
  EXPECT_FALSE(failure.interrupted || failure.unanswerable);
  EXPECT_TRUE(failure.what.starts_with("no whole answer from 127.0.0.1:")) << failure.what;
}

TEST_F(Http, AServerThatTalksForEverTimesOut) {
  const HttpFailure failure = failure_at(
      [](Peer& peer, int) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        while (peer.send("x")) std::this_thread::sleep_for(1ms);
      },
      {.timeout = 200ms});
  EXPECT_TRUE(failure.sent) << failure.what;
}

TEST_F(Http, ARequestThatIsNotTakenWholeWasNotSent) {
  const std::string body(64u << 20, 'x');  // more than any socket's buffers
  const auto hang = [](Peer& peer, int) { peer.wait_for_stop(); };
  const HttpFailure timeout = failure_at(hang, {.timeout = 300ms}, body);
  EXPECT_FALSE(timeout.sent) << timeout.what;
  EXPECT_TRUE(timeout.what.starts_with("could not send to 127.0.0.1:")) << timeout.what;
  const HttpFailure reset = failure_at([](Peer& peer, int) { peer.reset(); }, {}, body);
  EXPECT_FALSE(reset.sent) << reset.what;
}

TEST_F(Http, ClosedOrResetBeforeAnAnswer) {
  for (const bool reset : {false, true}) {
    const HttpFailure failure = failure_at([&](Peer& peer, int) {
      peer.read_request();
      if (reset) peer.reset();
    });
    EXPECT_TRUE(failure.sent) << failure.what;
    EXPECT_FALSE(failure.unanswerable);
  }
}

TEST_F(Http, ClosedOrResetWithinTheAnswer) {
  for (const char* head : {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf", "HTTP/1.1 200 O"}) {
    for (const bool reset : {false, true}) {
      const HttpFailure failure = failure_at([&](Peer& peer, int) {
        peer.read_request();
        peer.send(head);
        std::this_thread::sleep_for(20ms);
        if (reset) peer.reset();
      });
      EXPECT_TRUE(failure.sent) << failure.what;
    }
  }
}

TEST_F(Http, WhatIsNoHttpIsNoAnswer) {
  for (const char* text :
       {"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "\x1b[2J\n\n\n", "HTTP/1.1 abc\r\n\r\n"}) {
    const HttpFailure failure = failure_at([&](Peer& peer, int) {
      peer.read_request();
      peer.send(text);
    });
    EXPECT_EQ(failure.what.find('\x1b'), std::string::npos);
  }
}

// --- TLS

class Tls : public Http {
 protected:
  static void SetUpTestSuite() {
    Http::SetUpTestSuite();
    certificates_ = std::make_unique<Certificates>();
  }
  static void TearDownTestSuite() { certificates_.reset(); }
  // What a client that trusts `ca` gets from a server with the certificate `name`.
  static std::expected<HttpResponse, HttpFailure> ask(const std::string& name, const std::string& ca, const std::string& host = "127.0.0.1",
                                                      int* requests = nullptr) {
    Listening<httplib::SSLServer> server(certificates_->path(name + ".pem").c_str(), certificates_->path(name + ".key").c_str());
    server.server.Post(
        "/", [](const httplib::Request& request, httplib::Response& response) { response.set_content(request.body, "text/plain"); });
    server.start();
    auto client = client_of({.ca_file = ca.empty() ? "" : certificates_->path(ca)});
    auto answer = client.send(post_of("https://" + host + ":" + std::to_string(server.port) + "/", "secret"));
    if (requests) *requests = server.requests;
    return answer;
  }
  static inline std::unique_ptr<Certificates> certificates_;
};

TEST_F(Tls, AnAuthorityOfOnesOwn) {
  for (const char* host : {"127.0.0.1", "localhost"}) {
    const auto answer = ask("right", "ca.pem", host);
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_EQ(answer->body, "secret");
  }
}

TEST_F(Tls, WhatIsNotSignedByItIsRefused) {
  for (const auto& [name, ca] : {std::pair("self", "ca.pem"), {"self", ""}, {"right", ""}, {"right", "self.pem"}, {"other", "ca.pem"}}) {
    int requests = 0;
    const auto answer = ask(name, ca, "127.0.0.1", &requests);
    ASSERT_FALSE(answer) << name << " " << ca;
    EXPECT_TRUE(answer.error().unanswerable && !answer.error().sent) << answer.error().what;
    EXPECT_TRUE(answer.error().what.starts_with("could not connect to 127.0.0.1:")) << answer.error().what;
    EXPECT_NE(answer.error().what.find(std::string(name) == "other" ? "subject name" : "certificate"), std::string::npos)
        << answer.error().what;
    EXPECT_EQ(requests, 0);
  }
}

TEST_F(Tls, TheAuthorityIsInsteadOfTheSystems) {
  // One that is trusted only because it is in the file: were the system's read too, this file alone would not tell.
  const auto answer = ask("self", "self.pem");
  EXPECT_TRUE(answer) << answer.error().what;
}

TEST_F(Tls, AServerThatSpeaksNoTls) {
  const RawServer server([](Peer& peer, int) {
    peer.send("HTTP/1.1 200 OK\r\n\r\n");
    peer.hang();
  });
  const auto answer = client_of().send(post_of("https://127.0.0.1:" + std::to_string(server.port()), "{}"));
  ASSERT_FALSE(answer);
  EXPECT_FALSE(answer.error().sent) << answer.error().what;
}

TEST_F(Tls, AHandshakeThatHangs) {
  const RawServer server([](Peer& peer, int) { peer.hang(); });
  const auto answer = client_of({.connect_timeout = 200ms}).send(post_of("https://127.0.0.1:" + std::to_string(server.port()), "{}"));
  ASSERT_FALSE(answer);
  EXPECT_FALSE(answer.error().sent) << answer.error().what;
}

TEST_F(Tls, FilesThatHoldNoCertificate) {
  for (const std::string& path : {certificates_->path("missing"), certificates_->path("ca.key"), certificates_->path("")}) {
    const auto client = HttpClient::create({.ca_file = path});
    ASSERT_FALSE(client) << path;
    EXPECT_EQ(client.error().code, ErrorCode::invalid_input);
    EXPECT_FALSE(client.error().what.empty());
  }
}

// --- stopping

TEST_F(Http, StopEndsARequestThatHangs) {
  for (const bool by_closing : {false, true}) {
    Pipe stop = *make_pipe();
    std::atomic<bool> asked = false;
    const RawServer server([&](Peer& peer, int) {
      peer.read_request();
      asked = true;
      peer.hang();
    });
    auto client = client_of({.timeout = 10min, .stop_fd = stop.read.get()});
    std::thread stopper([&] {
      while (!asked) std::this_thread::sleep_for(1ms);
      if (by_closing) {
        stop.write.reset();
      } else {
        ASSERT_TRUE(write_all(stop.write.get(), "x"));
      }
    });
    const auto answer = client.send(post_of(server.url(), "{}"));
    stopper.join();
    ASSERT_FALSE(answer);
    EXPECT_TRUE(answer.error().interrupted && answer.error().sent) << answer.error().what;
    const auto next = client.send(post_of(server.url(), "{}"));
    ASSERT_FALSE(next);
    EXPECT_TRUE(next.error().interrupted && !next.error().sent) << next.error().what;
    EXPECT_EQ(server.connections(), 1);
  }
}

TEST_F(Http, ASignalThatStopsNothingIsNoFailure) {
  struct sigaction heard{};
  heard.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGALRM, &heard, nullptr), 0);  // for good: one may still be on its way when the timer ends
  const itimerval often{{0, 15'000}, {0, 15'000}};
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  const Pipe stop = *make_pipe();
  const RawServer server([](Peer& peer, int) {
    while (!peer.read_request().empty()) {
      std::this_thread::sleep_for(50ms);
      peer.answer(200, "ok");
    }
  });
  const auto answer = client_of({.stop_fd = stop.read.get()}).send({.url = server.url()});
  ::setitimer(ITIMER_REAL, &never, nullptr);
  EXPECT_TRUE(answer) << answer.error().what;
}

// --- what must not be

TEST_F(Http, OnlyHttpAndHttps) {
  auto client = client_of();
  for (const char* url : {"file:///etc/passwd", "ftp://localhost/x", "localhost:5000", "", "http://", "gopher://u:s3cret@h/", "/x",
                          "http://a b/", "http://u:s3cret@ho st/"}) {
    const auto answer = client.send({.url = url});
    ASSERT_FALSE(answer) << url;
    EXPECT_TRUE(answer.error().unanswerable && !answer.error().sent) << url;
    EXPECT_EQ(answer.error().what.find("s3cret"), std::string::npos) << answer.error().what;
    EXPECT_FALSE(http_origin(url)) << url;
  }
  EXPECT_EQ(http_origin("https://u:p@example.org/x?y#z").value_or(""), "example.org:443");
  EXPECT_EQ(http_origin("http://[::1]:81").value_or(""), "[::1]:81");
  EXPECT_FALSE(http_origin(std::string_view("http://a\0b", 10)));
}

TEST_F(Http, NoHeaderIsTwo) {
  const auto answer = client_of().send({.url = "http://127.0.0.1:1/", .headers = {"Authorization: Bearer s3cret\r\nX-Evil: 1"}});
  ASSERT_FALSE(answer);
  EXPECT_TRUE(answer.error().unanswerable);
  EXPECT_EQ(answer.error().what.find("s3cret"), std::string::npos) << answer.error().what;
}

TEST_F(Http, NoSecretIsInAText) {
  const auto ask = [](const RawServer::Serve& serve) {
    const RawServer server(serve);
    HttpRequest request = post_of("http://user:s3cret-a@127.0.0.1:" + std::to_string(server.port()) + "/s3cret-b?s3cret-c", "s3cret-d");
    request.headers = {"X-Token: s3cret-e"};
    return client_of({.timeout = 200ms, .most_bytes = 10}).send(request);
  };
  const std::array<RawServer::Serve, 6> all = {
      [](Peer& peer, int) { peer.reset(); },
      [](Peer& peer, int) { peer.hang(); },
      [](Peer& peer, int) { peer.read_request(); },
      [](Peer& peer, int) { peer.send(peer.read_request()); },
      [](Peer& peer, int) { peer.answer(200, peer.read_request()); },
      [](Peer& peer, int) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx");
      },
  };
  for (const RawServer::Serve& serve : all) {
    const auto answer = ask(serve);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().what.find("s3cret"), std::string::npos) << answer.error().what;
    EXPECT_EQ(answer.error().what.find("user"), std::string::npos) << answer.error().what;
  }
}

// The environment's proxy for one test.
class Proxy {
 public:
  explicit Proxy(const std::string& url) {
    ::setenv("http_proxy", url.c_str(), 1);
    ::setenv("https_proxy", url.c_str(), 1);
  }
  ~Proxy() {
    ::unsetenv("http_proxy");
    ::unsetenv("https_proxy");
  }
};

TEST_F(Http, AProxyOfTheEnvironmentIsUsedAndNamedWhereItFailsWithoutItsPassword) {
  const RawServer server([](Peer& peer, int) {
    while (true) {
      const std::string request = peer.read_request();
      if (request.empty()) return;
      if (request.starts_with("CONNECT")) return peer.answer(403, "no");
      peer.answer(200, request.substr(0, request.find('\r')));
    }
  });
  {
    const Proxy proxy("http://user:s3cret@127.0.0.1:" + std::to_string(server.port()));
    const auto answer = client_of().send(post_of("http://there.example/x", "{}"));
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_EQ(answer->body, "POST http://there.example/x HTTP/1.1");
    const auto tunnel = client_of().send(post_of("https://there.example/x", "{}"));
    ASSERT_FALSE(tunnel);
    EXPECT_FALSE(tunnel.error().sent) << tunnel.error().what;
    EXPECT_NE(tunnel.error().what.find("CONNECT"), std::string::npos) << tunnel.error().what;
  }
  const DeafPort port;
  const std::string deaf = port.origin();
  const Proxy proxy("http://user:s3cret@" + deaf);
  const auto nobody = client_of().send(post_of("http://there.example/x", "{}"));
  ASSERT_FALSE(nobody);
  EXPECT_FALSE(nobody.error().sent);
  EXPECT_NE(nobody.error().what.find(deaf.substr(deaf.find(':') + 1)), std::string::npos) << nobody.error().what;
  EXPECT_EQ(nobody.error().what.find("s3cret"), std::string::npos) << nobody.error().what;
  for (const char* bad : {"http://user:s3cret@[bad", "nonsense://user:s3cret@h", "user:s3cret@", "http://user:s3cret@h:99999999"}) {
    const Proxy broken(bad);
    const auto answer = client_of().send(post_of("http://there.example/x", "{}"));
    ASSERT_FALSE(answer) << bad;
    EXPECT_EQ(answer.error().what.find("s3cret"), std::string::npos) << answer.error().what;
    EXPECT_FALSE(answer.error().sent);
  }
}

TEST_F(Http, NoDescriptorSurvivesAnExec) {
  const std::set<int> before = without_cloexec();
  const RawServer server([](Peer& peer, int) {
    while (!peer.read_request().empty()) peer.answer(200, "ok");
  });
  auto client = client_of();
  ASSERT_TRUE(client.send({.url = server.url()}));
  EXPECT_EQ(without_cloexec(), before);
}

}  // namespace
}  // namespace casemate
