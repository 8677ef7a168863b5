// All calls against a real engine.
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "action/messages.h"
#include "casd.h"
#include "remote/engine.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// What an execution told.
struct Heard : ExecutionListener {
  std::atomic<int> queues = 0, executions = 0;
  std::string out;
  void queued() override { ++queues; }
  void executing() override { ++executions; }
  void output(Stream, std::string_view bytes) override { out += bytes; }
};

class CasdTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!Casd::programs().empty()) casd_ = std::make_unique<Casd>();
  }
  static void TearDownTestSuite() { casd_.reset(); }

  void SetUp() override {
    if (!casd_) GTEST_SKIP() << "no buildbox-casd: CASEMATE_CASD does not say where its programs are";
    ASSERT_TRUE(casd_->listening()) << casd_->log();
    auto engine = RemoteEngine::connect(casd_->endpoint(), {}, {});
    ASSERT_TRUE(engine) << engine.error().what;
    engine_ = std::move(*engine);
  }

  // A shell command as an action, sent with what it needs.
  Result<BlobDigest> action(const std::string& script, std::vector<std::string> outputs = {}, std::optional<milliseconds> timeout = {}) {
    ActionCommand command;
    command.arguments = {"/bin/sh", "-c", script};
    command.environment = {{"PATH", "/usr/bin:/bin"}};
    command.output_paths = std::move(outputs);
    InputDirectory root;
    root.files["in.txt"] = input_file("input of " + script);
    const auto sealed = seal(std::move(root));
    ActionContent content;
    const Blob command_blob = blob_of(command_message(command));
    content.command = command_blob.digest;
    content.input_root = sealed->digest;
    content.timeout = timeout;
    content.do_not_cache = true;
    const Blob action_blob = blob_of(action_message(content));
    std::vector<Blob> all = {command_blob, action_blob};
    for_each_blob(*sealed, [&](const Blob& blob) { all.push_back(blob); });
    TRY(engine_->upload(all, {}));
    return action_blob.digest;
  }

  std::string out_of(const ActionResultView& result) {
    if (!result.out_digest) return result.out;
    const auto out = engine_->read(*result.out_digest, 1u << 20, {});
    return out ? *out : out.error().what;
  }

  static std::unique_ptr<Casd> casd_;
  std::unique_ptr<RemoteEngine> engine_;
};
std::unique_ptr<Casd> CasdTest::casd_;

std::string noise(std::size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

TEST_F(CasdTest, says_what_it_offers) {
  EXPECT_TRUE(engine_->offer().executes);
  EXPECT_TRUE(engine_->offer().takes_results);
  EXPECT_GT(engine_->offer().most_batch, 1u << 20);
  EXPECT_LT(engine_->offer().most_batch, 4u << 20);
}

TEST_F(CasdTest, contents_go_there_and_come_back) {
  std::vector<Blob> blobs;
  for (unsigned i = 0; i < 300; ++i) blobs.push_back(blob_of(noise(i * 100, i)));
  blobs.push_back(blob_of(noise(3u << 20, 1)));
  blobs.push_back(blob_of(noise(20u << 20, 2)));
  std::vector<BlobDigest> digests;
  std::uint64_t sum = 0;
  for (const Blob& blob : blobs) {
    digests.push_back(blob.digest);
    sum += blob.digest.size;
  }
  const auto before = engine_->missing(digests, {});
  ASSERT_TRUE(before) << before.error().what;
  EXPECT_GE(before->size(), blobs.size() - 1);  // all but the empty one
  const auto sent = engine_->upload(blobs, {});
  ASSERT_TRUE(sent) << sent.error().what;
  EXPECT_EQ(*sent, sum);
  const auto after = engine_->missing(digests, {});
  ASSERT_TRUE(after) << after.error().what;
  EXPECT_TRUE(after->empty());
  for (const Blob& blob : blobs) {
    const auto read = engine_->read(blob.digest, 64u << 20, {});
    ASSERT_TRUE(read) << read.error().what;
    EXPECT_TRUE(*read == blob.bytes) << blob.digest.size;
  }
  EXPECT_EQ(engine_->read(blobs.back().digest, 1u << 20, {}).error().code, ErrorCode::exhausted);
  digests.push_back(digests.front());  // one that is asked for twice
  blobs.push_back(blobs.front());
  const auto all = engine_->read(digests, 64u << 20, {});
  ASSERT_TRUE(all) << all.error().what;
  ASSERT_EQ(all->size(), blobs.size());
  for (std::size_t i = 0; i < blobs.size(); ++i) EXPECT_TRUE((*all)[i] == blobs[i].bytes) << i;
  EXPECT_EQ(engine_->read(digests, 20u << 20, {}).error().code, ErrorCode::exhausted);
  digests.push_back(digest_of("never sent"));
  EXPECT_EQ(engine_->read(digests, 64u << 20, {}).error().where, kBlobMissing);
}

TEST_F(CasdTest, twenty_thousand_digests_are_asked_for_in_pieces) {
  std::vector<BlobDigest> digests;
  for (int i = 0; i < 20'000; ++i) digests.push_back(digest_of("never sent " + std::to_string(i)));
  const auto missing = engine_->missing(digests, {});
  ASSERT_TRUE(missing) << missing.error().what;
  EXPECT_EQ(missing->size(), digests.size());
}

TEST_F(CasdTest, files_are_sent_and_received_and_one_that_changed_is_corrupt) {
  const fs::path directory = fs::path("/var/tmp") / ("casemate-files." + std::to_string(::getpid()));
  fs::create_directories(directory);
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream(directory / name, std::ios::binary) << bytes;
    return Blob{digest_of(bytes), directory / name, ""};
  };
  const std::vector<Blob> files = {write("small", noise(1000, 7)), write("large", noise(9u << 20, 8))};
  const auto sent = engine_->upload(files, {});
  ASSERT_TRUE(sent) << sent.error().what;
  for (const Blob& file : files) {
    const int fd = ::open((directory / "back").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const auto read = engine_->read_to(fd, file.digest, {});
    EXPECT_TRUE(read) << read.error().what;
    EXPECT_EQ(fs::file_size(directory / "back"), file.digest.size);
    ::close(fd);
    std::ifstream back(directory / "back", std::ios::binary);
    EXPECT_EQ(digest_of(std::string(std::istreambuf_iterator<char>(back), {})), file.digest);
  }
  for (const char* name : {"changed", "longer", "shorter"}) {
    for (const std::size_t size : {std::size_t{1000}, std::size_t{9} << 20}) {
      Blob file = write(name, noise(size, static_cast<unsigned>(size) + static_cast<unsigned>(name[0])));
      std::string now = noise(size, 99);
      if (name[0] == 'l') now = noise(size, static_cast<unsigned>(size) + 'l') + "x";
      if (name[0] == 's') now.resize(size / 2);
      write(name, now);
      const auto refused = engine_->upload(std::vector<Blob>{file}, {});
      ASSERT_FALSE(refused) << name << size;
      EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
      EXPECT_NE(refused.error().what.find("changed while it was sent"), std::string::npos) << refused.error().what;
      const auto missing = engine_->missing(std::vector<BlobDigest>{file.digest}, {});
      ASSERT_TRUE(missing);
      EXPECT_EQ(missing->size(), 1u);
    }
  }
  fs::remove_all(directory);
}

TEST_F(CasdTest, a_blob_that_is_not_there_is_told_as_missing) {
  for (const std::size_t size : {std::size_t{10}, std::size_t{8} << 20}) {
    BlobDigest digest = digest_of("not there");
    digest.size = size;
    const auto read = engine_->read(digest, 16u << 20, {});
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().where, kBlobMissing) << read.error().what;
  }
}

TEST_F(CasdTest, an_action_runs_and_tells_what_it_came_to) {
  const auto digest =
      action("cat in.txt; echo problem >&2; mkdir d; echo 1 > d/a; ln -s a d/l; chmod +x d/a; echo 2 > f; exit 7", {"d", "f"});
  ASSERT_TRUE(digest) << digest.error().what;
  Heard heard;
  const auto execution = engine_->execute({.action = *digest, .deadline = {}}, heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(execution->status, 0) << execution->message;
  EXPECT_EQ(execution->attempts, 1u);
  EXPECT_FALSE(execution->cached);
  const ActionResultView& result = execution->result;
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_TRUE(out_of(result).starts_with("input of cat")) << out_of(result);
  ASSERT_TRUE(result.err_digest);  // casd inlines nothing
  EXPECT_EQ(*engine_->read(*result.err_digest, 100, {}), "problem\n");
  ASSERT_EQ(result.outputs.size(), 2u);
  EXPECT_EQ(result.outputs[0].path, "d");
  EXPECT_EQ(result.outputs[0].kind, ActionOutput::Kind::directory);
  EXPECT_EQ(result.outputs[1].path, "f");
  EXPECT_EQ(*engine_->read(result.outputs[1].digest, 100, {}), "2\n");
  const auto message = engine_->read(result.outputs[0].digest, 1u << 20, {});
  ASSERT_TRUE(message) << message.error().what;
  const auto tree = RemoteEngine::read_tree(*message);
  ASSERT_TRUE(tree) << tree.error().what;
  EXPECT_EQ((*tree)->symlinks, (std::map<std::string, std::string>{{"l", "a"}}));
  ASSERT_TRUE((*tree)->files.contains("a"));
  EXPECT_TRUE((*tree)->files.at("a").executable);
  EXPECT_EQ(*engine_->read((*tree)->files.at("a").blob.digest, 100, {}), "1\n");
  EXPECT_TRUE(result.times.ran && result.times.ran_to_end && *result.times.ran <= *result.times.ran_to_end);
  EXPECT_EQ(heard.queues, 1);
  EXPECT_LE(heard.executions, 1);
}

TEST_F(CasdTest, an_action_over_its_timeout_says_so) {
  const auto digest = action("sleep 60", {}, milliseconds(1000));
  ASSERT_TRUE(digest) << digest.error().what;
  Heard heard;
  const auto execution = engine_->execute({.action = *digest, .deadline = {}}, heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(execution->status, 4) << execution->message;
}

TEST_F(CasdTest, what_is_asked_to_stop_is_cancelled_there) {
  const auto digest = action("sleep 61.0625");
  ASSERT_TRUE(digest) << digest.error().what;
  Heard heard;
  std::stop_source stop;
  std::jthread later([&] {
    while (heard.queues == 0 && heard.executions == 0) std::this_thread::sleep_for(milliseconds(10));
    std::this_thread::sleep_for(milliseconds(300));
    stop.request_stop();
  });
  const auto execution = engine_->execute({.action = *digest, .deadline = {}}, heard, stop.get_token());
  ASSERT_FALSE(execution);
  EXPECT_EQ(execution.error().code, ErrorCode::cancelled);
  const auto sleeps = [] {
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream line(entry.path() / "cmdline");
      std::string words(std::istreambuf_iterator<char>(line), {});
      if (words.starts_with("sleep") && words.find("61.0625") != std::string::npos) return true;
    }
    return false;
  };
  for (int i = 0; i < 1000 && sleeps(); ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_FALSE(sleeps());
}

TEST_F(CasdTest, an_action_over_the_orders_deadline_is_cancelled) {
  const auto digest = action("sleep 62");
  ASSERT_TRUE(digest) << digest.error().what;
  Heard heard;
  const auto execution = engine_->execute({.action = *digest, .deadline = milliseconds(500)}, heard, {});
  ASSERT_FALSE(execution);
  EXPECT_NE(execution.error().what.find("was not done within 500 ms"), std::string::npos) << execution.error().what;
}

TEST_F(CasdTest, an_action_longer_than_the_silence_goes_on) {
  auto engine = RemoteEngine::connect(casd_->endpoint(), {.silence = milliseconds(300)}, {});
  ASSERT_TRUE(engine);
  const auto digest = action("sleep 2; echo done");
  ASSERT_TRUE(digest) << digest.error().what;
  Heard heard;
  const auto execution = (*engine)->execute({.action = *digest, .deadline = {}}, heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(out_of(execution->result), "done\n");
  EXPECT_EQ(heard.queues, 1);
}

TEST_F(CasdTest, an_action_whose_input_is_missing_says_so) {
  ActionCommand command;
  command.arguments = {"/bin/true"};
  const Blob command_blob = blob_of(command_message(command));
  InputDirectory root;
  root.files["in.txt"] = input_file("this is sent by nobody");
  const auto sealed = seal(std::move(root));
  ActionContent content;
  content.command = command_blob.digest;
  content.input_root = sealed->digest;
  const Blob action_blob = blob_of(action_message(content));
  Heard heard;
  const auto nothing = engine_->execute({.action = action_blob.digest, .deadline = {}}, heard, {});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().where, kBlobMissing) << nothing.error().what;
  ASSERT_TRUE(engine_->upload(std::vector<Blob>{action_blob, command_blob, blob_of(sealed->message)}, {}));
  const auto execution = engine_->execute({.action = action_blob.digest, .deadline = {}}, heard, {});
  // The specification wants FAILED_PRECONDITION with a violation; casd has an exception. What it must not be is an answer.
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(execution->status, 13) << execution->message;
  EXPECT_NE(execution->message.find("not completely available"), std::string::npos) << execution->message;
}

TEST_F(CasdTest, results_are_kept_and_found) {
  const BlobDigest unknown = digest_of("an action that nobody ran");
  const auto none = engine_->known_result(unknown, {});
  ASSERT_TRUE(none) << none.error().what;
  EXPECT_FALSE(none->has_value());
  const auto digest = action("echo kept");
  ASSERT_TRUE(digest);
  ActionResultView view;
  view.out = "kept\n";
  const auto told = engine_->tell_result(*digest, view, {});
  ASSERT_TRUE(told) << told.error().what;
  const auto known = engine_->known_result(*digest, {});
  ASSERT_TRUE(known) << known.error().what;
  ASSERT_TRUE(known->has_value());
  EXPECT_EQ(out_of(**known), "kept\n");
}

TEST_F(CasdTest, many_threads_at_once) {
  std::vector<std::jthread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto digest = action("echo " + std::to_string(i));
      Heard heard;
      const auto execution = digest ? engine_->execute({.action = *digest, .deadline = {}}, heard, {}) : std::unexpected(digest.error());
      if (execution && out_of(execution->result) == std::to_string(i) + "\n") ++right;
    });
  }
  threads.clear();
  EXPECT_EQ(right, 8);
}

// An engine that hangs, and one that is gone and comes again.
TEST(CasdFault, one_that_hangs_is_noticed_and_one_that_goes_on_is_waited_for) {
  if (Casd::programs().empty()) GTEST_SKIP() << "no buildbox-casd: CASEMATE_CASD does not say where its programs are";
  const Casd casd;
  ASSERT_TRUE(casd.listening()) << casd.log();
  const RemotePolicy policy{.call = milliseconds(1000), .silence = milliseconds(1000), .patience = milliseconds(3000)};
  auto engine = RemoteEngine::connect(casd.endpoint(), policy, {});
  ASSERT_TRUE(engine) << engine.error().what;
  ::kill(casd.pid(), SIGSTOP);
  int stopped = 0;  // all of its threads are: until then one may answer
  ASSERT_EQ(::waitpid(casd.pid(), &stopped, WUNTRACED), casd.pid());
  ASSERT_TRUE(WIFSTOPPED(stopped));
  const Blob blob = blob_of("a blob");
  const auto hung = (*engine)->upload(std::vector<Blob>{blob}, {});
  ASSERT_FALSE(hung);
  EXPECT_EQ(hung.error().where, kRemoteUnusable) << hung.error().what;
  ::kill(casd.pid(), SIGCONT);
  auto patient = RemoteEngine::connect(casd.endpoint(), {}, {});
  ASSERT_TRUE(patient) << patient.error().what;
  const auto sent = (*patient)->upload(std::vector<Blob>{blob}, {});
  EXPECT_TRUE(sent) << sent.error().what;
}

}  // namespace
}  // namespace casemate
