// registry_scratch: registries on the loopback, which live as long as the test: Debian's docker-registry, and one that lies.
#pragma once

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../program.h"
#include "pull_scratch.h"
#include "sys/process.h"
#include "sys/watched_program.h"

namespace casemate {

/// A program that says at which port it listens.
class Server {
 public:
  Server(std::vector<std::string> argv, const fs::path& log) : log_((write(log, ""), log)), program_(std::move(argv), log) {}
  // What follows `mark` in its output, up to a character that is no digit: a port. 0: it ended, or said nothing for half a minute.
  [[nodiscard]] int port_after(const std::string& mark) {
    for (int i = 0; i < 3000; ++i) {
      const std::string text = read(log_);
      const std::size_t at = text.find(mark);
      if (at != std::string::npos && text.find_first_not_of("0123456789", at + mark.size()) != std::string::npos)
        return std::atoi(text.c_str() + at + mark.size());
      if (program_.ended()) return 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return 0;
  }
  [[nodiscard]] std::string log() const { return read(log_); }

 private:
  fs::path log_;
  Program program_;
};

class RegistryScratch : public PullScratch {
 protected:
  void SetUp() override {
    PullScratch::SetUp();
    for (const char* program : {"skopeo", "docker-registry"}) {
      if (program_on_path(program).empty()) GTEST_SKIP() << program << " is not installed";
    }
  }
  void TearDown() override {
    server_.reset();
    PullScratch::TearDown();
  }

  static int sh(const std::string& line) {
    const auto ran = run_program({"/bin/sh", "-c", line}, std::chrono::seconds(60));
    EXPECT_TRUE(ran) << ran.error().what;
    if (ran && ran->end.code != 0) ADD_FAILURE() << line << "\n" << ran->err;
    return ran ? ran->end.code : -1;
  }
  // Starts docker-registry on a port of its own; `more` goes into its configuration's http and top level.
  void serve(const std::string& http = "", const std::string& top = "") {
    write(top_ / "registry.yml", fmt::format("version: 0.1\n"
                                             "log: {{level: info, accesslog: {{disabled: false}}}}\n"
                                             "storage: {{filesystem: {{rootdirectory: {}/registry}}}}\n"
                                             "http:\n  addr: 127.0.0.1:0\n{}{}",
                                             top_.string(), http, top));
    server_.emplace(std::vector<std::string>{program_on_path("docker-registry"), "serve", top_ / "registry.yml"}, top_ / "registry.log");
    port_ = server_->port_after("listening on 127.0.0.1:");
    ASSERT_GT(port_, 0) << server_->log();
  }
  [[nodiscard]] std::string name(const std::string& rest = "x/y:v1") const { return fmt::format("docker://127.0.0.1:{}/{}", port_, rest); }
  void push(const std::string& source, const std::string& rest = "x/y:v1", const std::string& options = "") const {
    sh(fmt::format("skopeo --insecure-policy copy -q --dest-tls-verify=false {} {} {}", options, source, name(rest)));
  }
  static PullOptions plain(PullOptions::Policy policy = PullOptions::Policy::missing) {
    PullOptions options;
    options.policy = policy;
    options.access.verify_tls = false;
    return options;
  }
  // How often the registry gave this path out.
  [[nodiscard]] std::size_t gets(const std::string& path) const {
    std::size_t found = 0;
    const std::string log = server_->log();
    for (std::size_t at = log.find("\"GET " + path); at != std::string::npos; at = log.find("\"GET " + path, at + 1)) ++found;
    return found;
  }
  [[nodiscard]] std::size_t fetches(const std::string& digest) const { return gets("/v2/x/y/blobs/" + digest); }

  std::optional<Server> server_;
  int port_ = 0;
};

}  // namespace casemate
