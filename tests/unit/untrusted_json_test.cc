// JSON from others: bounds held before it is parsed, members read without trust.
#include "base/untrusted_json.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Json = nlohmann::json;
using Texts = std::vector<std::string>;

TEST(UntrustedJson, brackets_in_texts_do_not_count) {
  EXPECT_TRUE(is_within("[\"" + std::string(100, '[') + "\\\"" + std::string(100, '[') + "\\\\\", 1]", {}));
  EXPECT_FALSE(is_within("[\"\\\\\"" + std::string(100, '['), {}));
  EXPECT_FALSE(is_within("[" + std::string(600'000, ',') + "]", {}));
}

TEST(UntrustedJson, bounds_are_held_to_the_last_level_and_value) {
  const JsonBounds bounds{.depth = 3, .values = 2};
  EXPECT_EQ(untrusted_object(R"({"a":[[1,2,3]]})", bounds).value().at("a").at(0).size(), 3u);
  EXPECT_FALSE(untrusted_object(R"({"a":[[[1]]]})", bounds));
  EXPECT_FALSE(untrusted_object(R"({"a":[1,2,3,4]})", bounds));
  EXPECT_TRUE(untrusted_object(R"({"a":[[1]],"b":[[2]],"c":[[3]]})", bounds));
}

TEST(UntrustedJson, what_is_no_object_is_refused) {
  for (const char* text : {"", "{", "[]", "null", "1", "]", "]]][[[[", "{} {}", "{\"a\":\"}", "\"", "\"\\\"", "{\"a\":\"\xff\"}"})
    EXPECT_FALSE(untrusted_object(text)) << text;
  EXPECT_FALSE(untrusted_object(std::string(1'000'000, '{')));
  EXPECT_TRUE(untrusted_object("{}"));
}

TEST(UntrustedJson, members_of_another_type_are_as_missing_ones) {
  const Json object = {{"text", "abc"}, {"number", 7u}, {"negative", -7}, {"half", 0.5}, {"yes", true}, {"list", {"ab", 1, "cd", "ef"}}};
  EXPECT_EQ(text_at(object, "text"), "abc");
  EXPECT_EQ(text_at(object, "text", 2), "ab");
  EXPECT_EQ(text_at(object, "number"), "");
  EXPECT_EQ(text_at(object, "nothing"), "");
  EXPECT_EQ(number_at(object, "number"), 7u);
  for (const char* key : {"negative", "half", "text", "nothing"}) EXPECT_EQ(number_at(object, key), 0u) << key;
  EXPECT_TRUE(true_at(object, "yes"));
  EXPECT_FALSE(true_at(object, "number"));
  EXPECT_EQ(texts_at(object, "list", 10), (Texts{"ab", "cd", "ef"}));
  EXPECT_EQ(texts_at(object, "list", 2, 1), (Texts{"a", "c"}));
  EXPECT_EQ(texts_at(object, "text", 10), Texts{});
  EXPECT_EQ(member_if(object, "list", &Json::is_object), nullptr);
  EXPECT_EQ(member_if(Json::array({1}), "list", &Json::is_array), nullptr);
}

}  // namespace
}  // namespace casemate
