// A registry that lies: each lie is one line that names the image, and leaves nothing in the store but whole, verified blobs.
#include <gtest/gtest.h>

#include "registry_scratch.h"

namespace casemate {
namespace {

struct Lie {
  const char* name;
  ErrorCode code;
  const char* words;
};

class PullLies : public RegistryScratch, public testing::WithParamInterface<Lie> {
 protected:
  // Starts the registry that lies about an image layout.
  void serve_lies(const std::string& layout, const std::string& lie) {
    server_.emplace(std::vector<std::string>{"/usr/bin/python3", "-B", CASEMATE_SOURCE_DIR "/tests/kernel/lying_registry.py", layout, lie},
                    top_ / "registry.log");
    port_ = server_->port_after("port ");
    ASSERT_GT(port_, 0) << server_->log();
  }
};

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
                    Lie{"wrong-config", ErrorCode::refused, "config"}, Lie{"other-manifest", ErrorCode::refused, "manifest"},
                    Lie{"redirects", ErrorCode::refused, "circle"}, Lie{"endless", ErrorCode::refused, "more is sent than was announced"},
                    Lie{"silent", ErrorCode::exhausted, "no byte"}, Lie{"silent-manifest", ErrorCode::exhausted, "no answer"},
                    Lie{"short", ErrorCode::refused, "less came"}, Lie{"index-names-itself", ErrorCode::refused, "registry lies"}),
    [](const auto& lie) {
      std::string name = lie.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace casemate
