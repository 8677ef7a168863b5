// A file is CBOR (RFC 8949): an array of arrays [test, duration in us, made, [[category, message, path, line] ...], [[name, value] ...]].
#include "session/kept_passes.h"

#include <optional>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "sys/fd.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

Json binary(const std::string& bytes) { return Json::binary({bytes.begin(), bytes.end()}); }

std::string text_of(const Json& value) {
  const auto& bytes = value.get_binary();
  return {bytes.begin(), bytes.end()};
}

std::string encode(const PassesByTest& passes) {
  Json list = Json::array();
  for (const auto& [test, pass] : passes) {
    Json warnings = Json::array();
    for (const TestWarning& one : pass.warnings)
      warnings.push_back({binary(one.category), binary(one.message), binary(one.path), one.line});
    Json properties = Json::array();
    for (const auto& [name, value] : pass.properties) properties.push_back({binary(name), binary(value)});
    list.push_back({binary(test), pass.duration.count(), pass.made, std::move(warnings), std::move(properties)});
  }
  std::string bytes;
  Json::to_cbor(list, bytes);
  return bytes;
}

// The bytes are ours: their sum is right. nullopt: of another version.
std::optional<PassesByTest> decode(const std::string& bytes) try {
  PassesByTest passes;
  for (const Json& entry : Json::from_cbor(bytes)) {
    KeptPass& pass = passes[text_of(entry.at(0))];
    pass.duration = std::chrono::microseconds(entry.at(1).get<std::int64_t>());
    pass.made = entry.at(2).get<std::int64_t>();
    for (const Json& one : entry.at(3))
      pass.warnings.push_back({text_of(one.at(0)), text_of(one.at(1)), text_of(one.at(2)), one.at(3).get<std::uint32_t>()});
    for (const Json& one : entry.at(4)) pass.properties.emplace_back(text_of(one.at(0)), text_of(one.at(1)));
  }
  return passes;
} catch (const Json::exception&) {
  return std::nullopt;
}

}  // namespace

KeptPasses::Found KeptPasses::find(const std::string& inputs) const {
  const auto bytes = files_.read(inputs);
  auto passes = bytes ? decode(*bytes) : std::nullopt;
  if (!passes) return {.damaged = files_.touch(inputs)};
  return {.passes = std::move(*passes)};
}

void KeptPasses::add(const std::string& inputs, PassesByTest passes) const {
  if (passes.empty()) return;
  // Who adds at the same time waits, and finds these.
  ::mkdir(directory_.c_str(), 0700);
  const UniqueFd lock(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!lock || ::flock(lock.get(), LOCK_EX) < 0) return;
  passes.merge(find(inputs).passes);
  files_.write(inputs, encode(passes));
}

}  // namespace casemate
