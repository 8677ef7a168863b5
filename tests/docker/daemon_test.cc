// The client against real daemons: dockerd and podman.
#include <csignal>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "daemon_scratch.h"
#include "docker/frames.h"

namespace casemate {
namespace {

INSTANTIATE_TEST_SUITE_P(Real, EachDaemon, each_kind(), name_of_kind);

// What came over a stream until its end.
struct Heard {
  std::string bytes, out, err;
  std::optional<Result<void>> end;
};

class Streams : public EachDaemon {
 protected:
  std::unique_ptr<DockerStream> open(const std::string& path, const std::string& body = "") {
    DockerRequest request;
    request.method = "POST";
    request.path = path;
    request.body = body;
    std::unique_ptr<DockerStream> stream;
    bool answered = false;
    api_->open_stream(std::move(request), [&](Result<std::unique_ptr<DockerStream>> opened) {
      answered = true;
      if (opened) {
        stream = std::move(*opened);
      } else {
        refusal_ = opened.error();
      }
    });
    turn_until([&answered] { return answered; });
    return stream;
  }
  // With the frames taken apart, but of a terminal.
  void hear(DockerStream& stream, Heard& heard, bool framed = true) {
    auto frames = std::make_shared<FrameReader>(
        [&heard](Stream which, std::string_view bytes) { (which == Stream::err ? heard.err : heard.out) += bytes; });
    stream.listen(
        [&heard, frames, framed](std::string_view bytes) {
          heard.bytes += bytes;
          if (framed) EXPECT_TRUE(frames->feed(bytes));
        },
        [&heard, frames](Result<void> end) {
          heard.end = std::move(end);
          EXPECT_TRUE(frames->end());
        });
  }
  // A container with a stdin that runs this line, attached to, not started; "": it can't be.
  std::string begin(const std::string& line, std::unique_ptr<DockerStream>& stream, Heard& heard) {
    const std::string id = create(line, R"("AttachStdin":true,"OpenStdin":true,"StdinOnce":true,)");
    stream = open("/containers/" + id + "/attach?stream=1&stdin=1&stdout=1&stderr=1");
    if (!stream) {
      ADD_FAILURE() << refusal_.what;
      remove(id);
      return "";
    }
    hear(*stream, heard);
    return id;
  }
  void until_end(Heard& heard) {
    turn_until([&heard] { return heard.end.has_value(); });
    if (heard.end) EXPECT_TRUE(*heard.end) << heard.end->error().what;
  }
  int exit_code(const std::string& id) {
    const auto waited = ask("POST", "/containers/" + id + "/wait");
    EXPECT_TRUE(waited) << waited.error().what;
    return waited ? nlohmann::json::parse(waited->body, nullptr, false).value("StatusCode", -1) : -1;
  }
  Error refusal_;
};
INSTANTIATE_TEST_SUITE_P(Real, Streams, each_kind(), name_of_kind);

TEST_P(EachDaemon, says_what_it_is) {
  EXPECT_EQ(api_->version().name, is_podman() ? "podman" : "docker");
  EXPECT_EQ(api_->version().os, "linux");
  EXPECT_FALSE(api_->version().engine.empty());
  EXPECT_EQ(api_->version().api, is_podman() ? "1.41" : "1.41");
}

TEST_P(EachDaemon, refusals_are_answers_with_the_daemons_words) {
  const auto reply = ask("GET", "/containers/casemate-no-such/json");
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->status, 404);
  const Error error = docker_failure(*reply, "look at container");
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_NE(error.what.find("can't look at container: the docker daemon says: "), std::string::npos) << error.what;
  EXPECT_NE(error.what.find("casemate-no-such"), std::string::npos) << error.what;
}

TEST_P(EachDaemon, many_calls_at_a_time_share_a_few_connections) {
  int answered = 0;
  for (int i = 0; i < 40; ++i) {
    DockerRequest request;
    request.path = "/_ping";
    api_->call(request, [&answered](Result<DockerReply> reply) { answered += reply && reply->status == 200 ? 1 : 0; });
  }
  turn_until([&answered] { return answered == 40; });
  const auto sockets = [] {
    int count = 0;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code problem;
      count += fs::read_symlink(entry.path(), problem).string().starts_with("socket:") ? 1 : 0;
    }
    return count;
  };
  EXPECT_LE(sockets(), 24);
  const int before = sockets();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(ask("GET", "/_ping"));
  EXPECT_EQ(sockets(), before);
}

TEST_P(EachDaemon, a_path_stat_comes_with_its_header) {
  const std::string id = create("true");
  DockerRequest request;
  request.method = "HEAD";
  request.path = "/containers/" + id + "/archive?" + docker_query({{"path", "/etc/passwd"}});
  auto reply = ask(request);
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->status, 200);
  EXPECT_FALSE(reply->path_stat.empty());
  remove(id);
}

TEST_P(Streams, an_attached_container_gives_its_output_and_takes_its_input_to_the_end) {
  std::unique_ptr<DockerStream> stream;
  Heard heard;
  const std::string id = begin("echo begin; echo aside >&2; cat; echo end", stream, heard);
  ASSERT_FALSE(id.empty());
  ASSERT_EQ(ask("POST", "/containers/" + id + "/start")->status, 204);
  std::string lines;
  for (int i = 0; i < 20000; ++i) lines += fmt::format("line {}\n", i);
  stream->write(lines.substr(0, 1000), false);
  stream->write(lines.substr(1000), true);
  EXPECT_TRUE(stream->can_close_writing());
  until_end(heard);
  EXPECT_EQ(heard.out, "begin\n" + lines + "end\n");
  EXPECT_EQ(heard.err, "aside\n");
  EXPECT_EQ(stream->queued(), 0u);
  EXPECT_EQ(exit_code(id), 0);
  remove(id);
}

TEST_P(Streams, what_a_container_does_not_read_is_dropped_at_its_end) {
  std::unique_ptr<DockerStream> stream;
  Heard heard;
  const std::string id = begin("exec >&2; echo done; exit 3", stream, heard);
  ASSERT_FALSE(id.empty());
  stream->write(std::string(8u << 20, 'x'), true);
  ASSERT_EQ(ask("POST", "/containers/" + id + "/start")->status, 204);
  until_end(heard);
  EXPECT_EQ(heard.err.substr(0, 5), "done\n");  // podman has more to say
  EXPECT_EQ(exit_code(id), 3);
  remove(id);
}

TEST_P(Streams, a_paused_stream_holds_the_container_back) {
  const std::string id = create("dd if=/dev/zero bs=100000 count=200 2>/dev/null");
  auto stream = open("/containers/" + id + "/attach?stream=1&stdout=1&stderr=1");
  ASSERT_TRUE(stream) << refusal_.what;
  Heard heard;
  hear(*stream, heard);
  ASSERT_EQ(ask("POST", "/containers/" + id + "/start")->status, 204);
  turn_until([&heard] { return !heard.out.empty(); });
  stream->pause(true);
  const std::size_t so_far = heard.bytes.size();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(10)));
  EXPECT_EQ(heard.bytes.size(), so_far);
  EXPECT_LT(so_far, 20000000u);
  stream->pause(false);
  until_end(heard);
  EXPECT_EQ(heard.out.size(), 20000000u);
  remove(id);
}

TEST_P(Streams, an_exec_with_a_terminal_is_plain_bytes) {
  const std::string id = create("sleep 1000");
  ASSERT_EQ(ask("POST", "/containers/" + id + "/start")->status, 204);
  const auto made = ask(
      "POST", "/containers/" + id + "/exec",
      R"({"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"Tty":true,"Cmd":["/bin/sh","-c","tty; read a; echo got $a; exit 5"]})");
  ASSERT_EQ(made->status, 201) << made->body;
  const std::string exec = nlohmann::json::parse(made->body)["Id"];
  auto stream = open("/exec/" + exec + "/start", R"({"Detach":false,"Tty":true})");
  ASSERT_TRUE(stream) << refusal_.what;
  Heard heard;
  hear(*stream, heard, false);
  stream->write("typed\n", false);
  until_end(heard);
  EXPECT_NE(heard.bytes.find("got typed\r\n"), std::string::npos) << heard.bytes;
  EXPECT_EQ(nlohmann::json::parse(ask("GET", "/exec/" + exec + "/json")->body)["ExitCode"], 5);
  remove(id);
}

TEST_P(Streams, a_refused_stream_has_the_daemons_words) {
  EXPECT_FALSE(open("/containers/casemate-no-such/attach?stream=1&stdout=1"));
  EXPECT_EQ(refusal_.code, ErrorCode::not_found) << refusal_.what;
  EXPECT_NE(refusal_.what.find("casemate-no-such"), std::string::npos) << refusal_.what;
}

TEST_P(Streams, a_daemon_that_dies_ends_its_streams_and_calls) {
  std::string why_not;
  auto own = Daemon::start({.kind = GetParam()}, why_not);
  ASSERT_TRUE(own) << why_not;
  use(own->endpoint());
  ASSERT_TRUE(negotiate());
  std::optional<Result<DockerReply>> ended;
  DockerRequest events;
  events.path = "/events";
  events.silence = std::chrono::milliseconds(0);
  events.stream = [](std::string_view) { return Result<void>(); };
  api_->call(events, [&ended](Result<DockerReply> reply) { ended = std::move(reply); });
  ASSERT_EQ(ask("GET", "/_ping")->status, 200);
  own->stop();
  turn_until([&ended] { return ended.has_value(); });
  auto reply = ask("GET", "/_ping");
  for (int i = 0; i < 500 && (reply || reply.error().code == ErrorCode::system); ++i) {  // it takes its kept connections down one by one
    ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(10)));
    reply = ask("GET", "/_ping");
  }
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().where, "docker daemon");
  EXPECT_EQ(reply.error().code, ErrorCode::not_found) << reply.error().what;
  EXPECT_NE(reply.error().what.find("nobody answers as docker daemon at unix://"), std::string::npos) << reply.error().what;
}

}  // namespace
}  // namespace casemate
