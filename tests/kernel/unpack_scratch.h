// unpack_scratch: a directory to unpack one layer into, with a canary beside it that nothing may touch.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <gtest/gtest.h>

#include "image/unpack.h"
#include "layer_tar.h"
#include "scratch.h"

namespace casemate {

class UnpackScratch : public Scratch {
 protected:
  void SetUp() override {
    Scratch::SetUp();
    canary_ = top_ / "canary";
    out_ = top_ / "out";
    fs::create_directories(canary_ / "directory");
    write(canary_ / "secret", "canary");
    fs::create_directory(out_);
  }

  // The layer `bytes`, unpacked into out_.
  Result<Unpacked> unpack(const std::string& bytes, const UnpackOptions& options = {}) const {
    const UniqueFd blob(::memfd_create("layer", MFD_CLOEXEC));
    EXPECT_TRUE(write_all(blob.get(), bytes));
    ::lseek(blob.get(), 0, SEEK_SET);
    const UniqueFd directory(::open(out_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return unpack_layer(blob.get(), directory.get(), options);
  }
  // The same, which must work.
  Unpacked unpacked(const std::string& bytes, const UnpackOptions& options = {}) const {
    auto result = unpack(bytes, options);
    EXPECT_TRUE(result) << result.error().what;
    return result ? *result : Unpacked{};
  }
  // The same, which must fail: the error's words, one line.
  std::string refusal(const std::string& bytes, ErrorCode code, const UnpackOptions& options = {}) const {
    const auto result = unpack(bytes, options);
    if (result) return "it worked";
    EXPECT_EQ(result.error().code, code) << result.error().what;
    EXPECT_EQ(result.error().what.find('\n'), std::string::npos) << result.error().what;
    return result.error().what;
  }

  [[nodiscard]] struct stat info(const std::string& path) const {
    struct stat found{};
    EXPECT_EQ(::lstat((out_ / path).c_str(), &found), 0) << path << ": " << std::strerror(errno);
    return found;
  }
  [[nodiscard]] bool exists(const std::string& path) const {
    struct stat found{};
    return ::lstat((out_ / path).c_str(), &found) == 0;
  }
  [[nodiscard]] bool is_whiteout(const std::string& path) const {
    const struct stat found = info(path);
    return S_ISCHR(found.st_mode) && found.st_rdev == 0;
  }
  [[nodiscard]] bool is_opaque(const std::string& path) const {
    const UniqueFd fd(::open((out_ / path).c_str(), O_RDONLY | O_CLOEXEC));
    return extended_attribute(fd.get(), "user.overlay.opaque") == "y";
  }
  [[nodiscard]] bool takes_user_xattrs() const {
    return ::setxattr(canary_.c_str(), "user.test", "x", 1, 0) == 0 && ::removexattr(canary_.c_str(), "user.test") == 0;
  }

  fs::path canary_;
  fs::path out_;
};

}  // namespace casemate
