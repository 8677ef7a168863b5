// A registry that lies: each lie is one line that names the image, and leaves nothing in the store but whole, verified blobs.
#include <algorithm>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "registry_scratch.h"

namespace casemate {
namespace {

struct Lie {
  const char* name;
  ErrorCode code;
  const char* words;
};

class LyingRegistry : public RegistryScratch {
 protected:
  // Starts the registry that lies about an image layout.
  void serve_lies(const std::string& layout, const std::string& lie) {
    server_.emplace(std::vector<std::string>{"/usr/bin/python3", "-B", CASEMATE_SOURCE_DIR "/tests/kernel/lying_registry.py", layout, lie},
                    top_ / "registry.log");
    port_ = server_->port_after("port ");
    ASSERT_GT(port_, 0) << server_->log();
  }
};

class PullLies : public LyingRegistry, public testing::WithParamInterface<Lie> {};
class PullCut : public LyingRegistry {};

TEST_P(PullLies, is_told_in_one_line_and_leaves_nothing) {
  const Lie& lie = GetParam();
  const std::string image =
      image_of("image", {LayerTar().file("one", std::string(300'000, 'x')).bytes(), LayerTar().file("two", "2").bytes()});
  ASSERT_NO_FATAL_FAILURE(serve_lies(top_ / "image", lie.name));
  Store kept = store();
  PullOptions options = plain();
  options.stall = std::chrono::milliseconds(1500);
  std::string wanted = name();
  if (lie.name == std::string("other-manifest")) {
    wanted = name("x/y@" + ImageLayout::open(top_ / "image")->image(reference(image))->manifest_digest);
  }
  const std::string why = refusal(kept, wanted, lie.code, options);
  EXPECT_NE(why.find(lie.words), std::string::npos) << why;
  EXPECT_NE(why.find(wanted), std::string::npos) << why;
  EXPECT_TRUE(list_images(kept)->empty());
  expect_tidy(kept);
  // Told the truth afterwards, it comes.
  ASSERT_NO_FATAL_FAILURE(serve_lies(top_ / "image", "none"));
  EXPECT_EQ(file_of(pulled(kept, name(), plain()), "two"), "2");
  expect_tidy(kept);
}

INSTANTIATE_TEST_SUITE_P(
    Of, PullLies,
    testing::Values(Lie{"wrong-digest", ErrorCode::refused, "other bytes"},
                    Lie{"wrong-size", ErrorCode::refused, "bytes, but the manifest says"},
                    Lie{"wrong-config", ErrorCode::refused, "config"}, Lie{"other-manifest", ErrorCode::refused, "registry lies"},
                    Lie{"redirects", ErrorCode::refused, "circle"}, Lie{"endless", ErrorCode::refused, "more is sent than was announced"},
                    Lie{"silent", ErrorCode::exhausted, "no byte"}, Lie{"silent-manifest", ErrorCode::exhausted, "no answer"},
                    Lie{"short", ErrorCode::refused, "less came"}, Lie{"index-names-itself", ErrorCode::refused, "registry lies"}),
    [](const auto& lie) {
      std::string name = lie.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// Whether a skopeo runs that has this text on its command line.
bool skopeo_runs_for(const std::string& text) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/proc", none)) {
    const auto line = read_file(entry.path() / "cmdline", 64 << 10);
    if (line && line->find("skopeo") != std::string::npos && line->find(text) != std::string::npos) return true;
  }
  return false;
}

// Waits up to half a minute.
template <class Condition>
bool becomes(const Condition& condition) {
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST_F(PullCut, by_sigkill_it_takes_skopeo_along_and_the_next_pull_fetches_only_the_rest) {
  const std::string image = image_of("image", {LayerTar().file("one", "1").bytes(), LayerTar().file("two", "2").bytes()});
  const Image parts = ImageLayout::open(top_ / "image")->image(reference(image)).value();
  ASSERT_NO_FATAL_FAILURE(serve_lies(top_ / "image", "stuck"));
  const fs::path place = top_ / "store/pulls" / parts.manifest_digest.substr(7);
  const fs::path first = place / "layout/blobs/sha256" / parts.layers[0].digest.substr(7);
  const pid_t child = ::fork();
  if (child == 0) {
    Store kept = store();
    ::_exit(pull(kept, name(), plain()) ? 0 : 1);
  }
  EXPECT_TRUE(becomes([&] { return fs::exists(first) && fetches(parts.layers[1].digest) == 1; })) << server_->log();
  EXPECT_TRUE(skopeo_runs_for(fmt::format("127.0.0.1:{}/", port_)));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(becomes([&] { return !skopeo_runs_for(fmt::format("127.0.0.1:{}/", port_)); }));
  EXPECT_TRUE(fs::exists(first));
  Store kept = store();
  EXPECT_TRUE(list_images(kept)->empty());

  ASSERT_NO_FATAL_FAILURE(serve_lies(top_ / "image", "none"));
  EXPECT_EQ(file_of(pulled(kept, name(), plain()), "two"), "2");
  EXPECT_EQ(fetches(parts.layers[0].digest), 0u) << server_->log();
  EXPECT_EQ(fetches(parts.layers[1].digest), 1u) << server_->log();
  expect_tidy(kept);
}

TEST_F(PullCut, what_nobody_went_on_with_is_removed_after_a_day) {
  const fs::path place = top_ / "store/pulls" / std::string(64, 'a');
  Store kept = store();
  fs::create_directories(place / "layout/blobs");
  write(place.string() + ".lock", "");
  const std::string image = image_of("image", {LayerTar().file("one", "1").bytes()});
  ASSERT_NO_FATAL_FAILURE(serve_lies(top_ / "image", "none"));
  pulled(kept, name("x/y:v1"), plain());
  EXPECT_TRUE(fs::exists(place));
  fs::last_write_time(place.string() + ".lock", fs::file_time_type::clock::now() - std::chrono::hours(25));
  ASSERT_TRUE(remove_images(kept, [](const StoredImage&) { return true; }));
  EXPECT_FALSE(fs::exists(place));
  expect_tidy(kept);
}

}  // namespace
}  // namespace casemate
