// What a login or a refresh gives, read.
#include "apps/agent/bearer.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "json_web_token.h"

namespace casemate {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

TEST(Bearer, HowLongATokenLives) {
  const auto at = std::chrono::system_clock::time_point(1'000'000s);
  const auto lifetime = [&](const std::string& access) { return read_tokens(Json{{"accessToken", access}}.dump(), at)->lifetime; };
  EXPECT_EQ(lifetime(jwt({{"exp", 1'000'100}})), 100s);
  EXPECT_EQ(lifetime(jwt({{"exp", 1'000'100.5}})), 100'500ms);
  EXPECT_EQ(lifetime(jwt({{"iat", 5'000}, {"exp", 5'030}})), 30s);  // its clock is not ours
  for (const Json& claims :
       {Json{{"exp", 999'999}}, Json{{"exp", "soon"}}, Json{{"iat", 7}}, Json::object(), Json{{"exp", nullptr}}, Json{{"exp", -1e308}}})
    EXPECT_EQ(lifetime(jwt(claims)), 15min) << claims;
  EXPECT_EQ(lifetime(jwt({{"exp", 1e308}})), 24h * 365);
  for (const char* access : {"opaque", "a.b.c", "..", "a..c", "a.!!!!.c", "a.e30.c", "a.W10.c", "a.e.c"})
    EXPECT_EQ(lifetime(access), 15min) << access;
}

TEST(Bearer, WhatIsATokenAndWhatIsNot) {
  const auto read = read_tokens(R"({"type":"Bearer","accessToken":"abc","refreshToken":"def"})");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->access, "abc");
  EXPECT_EQ(read->refresh, "def");
  for (const char* body : {"", "[]", "{}", R"({"accessToken":""})", R"({"accessToken":"a b"})", R"({"accessToken":"a\n"})",
                           R"({"accessToken":"\u00e4"})", R"({"accessToken":["a"]})", R"({"refreshToken":"a"})"})
    EXPECT_FALSE(read_tokens(body)) << body;
  EXPECT_FALSE(read_tokens(Json{{"accessToken", std::string(17u << 10, 'x')}}.dump()));
  EXPECT_EQ(read_tokens(R"({"accessToken":"abc","refreshToken":"d\n"})")->refresh, "");
}

}  // namespace
}  // namespace casemate
