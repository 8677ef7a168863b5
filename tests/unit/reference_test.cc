#include "image/reference.h"

#include <string>

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Kind = ImageReference::Kind;

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

ImageReference parsed(std::string_view text) {
  auto reference = parse_image_reference(text);
  EXPECT_TRUE(reference) << reference.error().what;
  return reference.value_or(ImageReference());
}

std::string canonical(std::string_view text) { return to_text(parsed(text)); }

// The error of a text that must not parse: always one line that a terminal can show.
std::string mistake(std::string_view text, ErrorCode code = ErrorCode::invalid_input) {
  const auto reference = parse_image_reference(text);
  if (reference) {
    ADD_FAILURE() << "parses: " << text;
    return "";
  }
  EXPECT_EQ(reference.error().code, code);
  EXPECT_EQ(reference.error().what.find_first_of(std::string_view("\n\x1b\0", 3)), std::string::npos);
  EXPECT_LT(reference.error().what.size(), 900u);
  return reference.error().what;
}

#define EXPECT_MISTAKE(text, words) EXPECT_NE(mistake(text).find(words), std::string::npos) << mistake(text)

TEST(Reference, host_is_the_host) {
  EXPECT_EQ(parsed("host"), ImageReference());
  EXPECT_EQ(canonical("host"), "host");
  EXPECT_MISTAKE("host:x", "host takes nothing after it");
  EXPECT_MISTAKE("Host", "no transport");
}

TEST(Reference, names_of_registries_are_completed_as_docker_does) {
  const ImageReference python = parsed("docker://python:3.10-slim");
  EXPECT_EQ(python.kind, Kind::registry);
  EXPECT_EQ(python.name, "docker.io/library/python");
  EXPECT_EQ(python.tag, "3.10-slim");
  EXPECT_EQ(python.digest, "");
  EXPECT_EQ(python.path, "");
  EXPECT_EQ(to_text(python), "docker://docker.io/library/python:3.10-slim");

  EXPECT_EQ(canonical("docker://python"), "docker://docker.io/library/python:latest");
  EXPECT_EQ(canonical("docker://library/python"), "docker://docker.io/library/python:latest");
  EXPECT_EQ(canonical("docker://docker.io/python"), "docker://docker.io/library/python:latest");
  EXPECT_EQ(canonical("docker://index.docker.io/python"), "docker://docker.io/library/python:latest");
  EXPECT_EQ(canonical("docker://me/tool:1"), "docker://docker.io/me/tool:1");
  EXPECT_EQ(canonical("docker://ghcr.io/me/tool"), "docker://ghcr.io/me/tool:latest");
  EXPECT_EQ(canonical("docker://quay.io/tool"), "docker://quay.io/tool:latest");
  EXPECT_EQ(canonical("docker://localhost/tool"), "docker://localhost/tool:latest");
  EXPECT_EQ(canonical("docker://localhost:5000/a/b/c:1"), "docker://localhost:5000/a/b/c:1");
  EXPECT_EQ(canonical("docker://127.0.0.1:5000/a"), "docker://127.0.0.1:5000/a:latest");
  EXPECT_EQ(canonical("docker://[::1]:5000/a"), "docker://[::1]:5000/a:latest");
  EXPECT_EQ(canonical("docker://[2001:db8::1]/a:x"), "docker://[2001:db8::1]/a:x");
  // Without a slash there is no registry: 5000 is a tag.
  EXPECT_EQ(canonical("docker://localhost:5000"), "docker://docker.io/library/localhost:5000");
  // A first part with upper case can only be a host name.
  EXPECT_EQ(parsed("docker://BUILD/tool").name, "BUILD/tool");
}

TEST(Reference, a_digest_pins_and_a_tag_does_not) {
  const ImageReference pinned = parsed("docker://python@" + kDigest);
  EXPECT_EQ(pinned.digest, kDigest);
  EXPECT_EQ(pinned.tag, "");
  EXPECT_TRUE(is_pinned(pinned));
  EXPECT_EQ(to_text(pinned), "docker://docker.io/library/python@" + kDigest);
  EXPECT_EQ(parsed("docker://python:3.10@" + kDigest), pinned) << "the digest decides, the tag says nothing";
  for (const char* loose :
       {"host", "docker://python:3.10", "oci:/d:t", "oci-archive:/f", "docker-archive:/f", "docker-daemon:x:1", "dir:/"})
    EXPECT_FALSE(is_pinned(parsed(loose))) << loose;
}

TEST(Reference, layouts_and_archives_have_a_path_and_perhaps_a_tag) {
  const ImageReference layout = parsed("oci:/images/base:v1");
  EXPECT_EQ(layout.kind, Kind::oci_layout);
  EXPECT_EQ(layout.path, "/images/base");
  EXPECT_EQ(layout.tag, "v1");
  EXPECT_EQ(layout.name, "");
  EXPECT_EQ(parsed("oci:images").path, "images");
  EXPECT_EQ(parsed("oci:images").tag, "");
  EXPECT_EQ(parsed("oci:d:docker.io/library/python:3.10").tag, "docker.io/library/python:3.10");
  EXPECT_EQ(parsed("oci:d:a--b+c@d").tag, "a--b+c@d");

  EXPECT_EQ(parsed("oci-archive:a.tar:t").kind, Kind::oci_archive);
  EXPECT_EQ(parsed("oci-archive:a.tar:t").path, "a.tar");
  EXPECT_EQ(parsed("oci:d:@" + kDigest).digest, kDigest);
  EXPECT_TRUE(is_pinned(parsed("oci-archive:d:@" + kDigest)));

  const ImageReference saved = parsed("docker-archive:/tmp/x.tar:python:3.10");
  EXPECT_EQ(saved.kind, Kind::docker_archive);
  EXPECT_EQ(saved.path, "/tmp/x.tar");
  EXPECT_EQ(saved.name, "docker.io/library/python");
  EXPECT_EQ(saved.tag, "3.10");
  EXPECT_EQ(parsed("docker-archive:x.tar").name, "");
  EXPECT_EQ(parsed("docker-archive:x.tar").tag, "");
  EXPECT_EQ(canonical("docker-archive:x.tar:me/tool"), "docker-archive:x.tar:docker.io/me/tool:latest");
}

TEST(Reference, daemons_and_directories) {
  EXPECT_EQ(canonical("docker-daemon:tool"), "docker-daemon:docker.io/library/tool:latest");
  EXPECT_EQ(parsed("docker-daemon:tool:1").kind, Kind::docker_daemon);
  const ImageReference id = parsed("docker-daemon:" + kDigest);
  EXPECT_EQ(id.name, "");
  EXPECT_TRUE(is_pinned(id));
  EXPECT_EQ(to_text(id), "docker-daemon:" + kDigest);

  const ImageReference root = parsed("dir:/srv/root:with:colons");
  EXPECT_EQ(root.kind, Kind::root_directory);
  EXPECT_EQ(root.path, "/srv/root:with:colons");
  EXPECT_EQ(to_text(root), "dir:/srv/root:with:colons");
}

TEST(Reference, the_canonical_text_parses_to_the_same_value) {
  for (const std::string& text : {std::string("host"), std::string("docker://python:3.10"), "docker://a.b:1/c/d@" + kDigest,
                                  std::string("oci:d"), std::string("oci:d:t"), "oci:d:@" + kDigest, std::string("oci-archive:f:t/u:v"),
                                  std::string("docker-archive:f"), std::string("docker-archive:f:n:t"), std::string("docker-daemon:n"),
                                  "docker-daemon:n@" + kDigest, "docker-daemon:" + kDigest, std::string("dir:../x")}) {
    const ImageReference once = parsed(text);
    EXPECT_EQ(parsed(to_text(once)), once) << text;
  }
}

TEST(Reference, an_unknown_transport_is_told_which_there_are) {
  for (const char* transport : {"host", "docker://", "oci:DIR", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:"}) {
    EXPECT_MISTAKE("containers-storage:x", transport);
    EXPECT_MISTAKE("", transport);
  }
  EXPECT_MISTAKE("python:3.10", "docker://python:3.10");
  EXPECT_MISTAKE("python", "docker://python");
  EXPECT_MISTAKE("docker:python", "two slashes");
  EXPECT_MISTAKE("Docker://python", "no transport");
}

TEST(Reference, mistakes_in_names_are_one_clear_line) {
  EXPECT_MISTAKE("docker://Python:3.10", "upper case, which repository names have not: write 'python'");
  EXPECT_MISTAKE("docker://ghcr.io/Me/tool", "upper case");
  EXPECT_MISTAKE("docker://", "repository name is empty");
  EXPECT_MISTAKE("docker-daemon:", "repository name is empty");
  EXPECT_MISTAKE("docker://:x", "repository name is empty");
  EXPECT_MISTAKE("docker://a//b", "part of the repository name is empty");
  EXPECT_MISTAKE("docker://ghcr.io/", "part of the repository name is empty");
  EXPECT_MISTAKE("docker:///a", "part of the repository name is empty");
  EXPECT_MISTAKE("docker://a b", "' ' can't stand in a repository name");
  EXPECT_MISTAKE("docker://a\nb", "'\\n' can't stand");
  for (const char* name : {"-a", "a-", "a..b", "a___b", "a._b", ".a", "a_", "a_-b"})
    EXPECT_MISTAKE(std::string("docker://") + name, "is no part of a repository name");
  for (const char* name : {"a-b", "a---b", "a.b.c", "a_b", "a__b", "0"}) parsed(std::string("docker://") + name);
  EXPECT_MISTAKE("docker://" + kHex, "id of an image");
  parsed("docker://" + std::string(255 - 18, 'a'));
  EXPECT_MISTAKE("docker://" + std::string(256 - 18, 'a'), "at most 255");
  EXPECT_MISTAKE("docker://" + std::string(9000, 'a'), "at most 8192");
}

TEST(Reference, mistakes_in_registries_are_one_clear_line) {
  for (const char* name :
       {"-a.b/c", "a-.b/c", "a..b/c", ".a/c", "a./c", "a_b.c/d", "https://x/y", "[::1/x", "[]:1/x", "[::1]x/y", "[::g]:1/y"})
    EXPECT_MISTAKE(std::string("docker://") + name, "the registry");
  for (const char* name : {"a.b:/c", "a.b:0/c", "a.b:65536/c", "a.b:99999999999999999999/c", "a.b:1x/c"})
    EXPECT_MISTAKE(std::string("docker://") + name, "no port from 1 to 65535");
  parsed("docker://a.b:65535/c");
}

TEST(Reference, mistakes_in_tags_are_one_clear_line) {
  parsed("docker://python:" + std::string(128, 'x'));
  EXPECT_MISTAKE("docker://python:" + std::string(129, 'x'), "129 characters; at most 128");
  EXPECT_MISTAKE("docker://python:", "the tag after ':' is empty");
  EXPECT_MISTAKE("docker://python:.x", "'.' can't stand first in a tag");
  EXPECT_MISTAKE("docker://python:-x", "'-' can't stand first in a tag");
  EXPECT_MISTAKE("docker://python:a+b", "'+' can't stand in a tag");
  parsed("docker://python:_A.b-");
  EXPECT_MISTAKE("oci:d:", "the tag after ':' is empty");
  for (const char* tag : {"-a", "a-", "a..b", "a---b", "a b", "a//b", "/a", "a/", "a\x1b", "a.-b"})
    EXPECT_MISTAKE(std::string("oci:d:") + tag, "is no tag of an OCI layout");
  EXPECT_MISTAKE("oci:d:" + std::string(513, 'a'), "at most 512");
}

TEST(Reference, mistakes_in_digests_are_one_clear_line) {
  EXPECT_MISTAKE("docker://python@sha256:" + kHex.substr(1), "63 hex digits instead of 64");
  EXPECT_MISTAKE("docker://python@" + kDigest + "a", "65 hex digits instead of 64");
  EXPECT_MISTAKE("docker://python@sha256:" + std::string(64, 'A'), "none of 0-9 and a-f");
  EXPECT_MISTAKE("docker://python@" + kHex, "is no digest");
  EXPECT_MISTAKE("docker://python@", "is no digest");
  EXPECT_MISTAKE("docker://python@md5:" + kHex, "'md5' is no algorithm");
  EXPECT_MISTAKE("docker://@" + kDigest, "repository name is empty");
  EXPECT_NE(mistake("docker://python@sha512:" + kHex + kHex, ErrorCode::not_supported).find("not SHA-256"), std::string::npos);
  EXPECT_MISTAKE("docker-archive:f:n@" + kDigest, "has no digest");
  EXPECT_MISTAKE("oci:d:@sha256:0", "1 hex digits instead of 64");
  EXPECT_MISTAKE("docker-daemon:sha256:0", "1 hex digits instead of 64");
}

TEST(Reference, paths_are_not_empty_and_nothing_has_nul_bytes) {
  EXPECT_MISTAKE("dir:", "path of the directory is empty");
  EXPECT_MISTAKE("oci:", "path of the directory is empty");
  EXPECT_MISTAKE("oci::tag", "path of the directory is empty");
  EXPECT_MISTAKE("oci-archive:", "path of the archive is empty");
  EXPECT_MISTAKE("docker-archive::a:b", "path of the archive is empty");
  EXPECT_MISTAKE(std::string_view("dir:/a\0b", 8), "NUL byte");
  EXPECT_MISTAKE(std::string_view("docker://a\0", 11), "NUL byte");
}

TEST(Reference, quotes_are_short_and_safe) {
  EXPECT_EQ(in_quotes("a"), "'a'");
  EXPECT_EQ(in_quotes("a\n\x1b[31m"), "'a\\n\\x1b[31m'");
  EXPECT_EQ(in_quotes(std::string(200, 'a')), "'" + std::string(120, 'a') + "...'");
  EXPECT_EQ(in_quotes(std::string(119, 'a') + "\xc3\xa4\xc3\xa4"), "'" + std::string(119, 'a') + "...'");
}

}  // namespace
}  // namespace casemate
