// What a daemon answers to a request for a raw stream, and .dockerignore and progress of pulls beside it: no crash, bounded, and a head
// stays what it is when more bytes come.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "docker/context_ignore.h"
#include "docker/credentials.h"
#include "docker/http_answer.h"
#include "docker/json_lines.h"
#include "docker/pull_lines.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto head = parse_http_head(bytes);
  if (head && *head) {
    const auto again = parse_http_head(bytes + "\r\nmore");
    if (!again || !*again || (*again)->bytes != (*head)->bytes || (*head)->bytes > bytes.size()) std::abort();
    for (const bool ended : {false, true}) {
      const auto body = parse_http_body(**head, std::string_view(bytes).substr((*head)->bytes), ended);
      if (body && *body && (*body)->size() > kMostRefusal) std::abort();
    }
  }
  if (const auto ignore = ContextIgnore::parse(bytes)) (void)ignore->ignores("a/b.txt");
  PullLines lines("x");
  JsonLines objects([&lines](const nlohmann::json& object) { lines.take(object); });
  (void)objects.feed(bytes);
  objects.end();
  (void)lines.line();
  const DockerConfig config = DockerConfig::parse(bytes);
  (void)config.helper("docker.io");
  (void)config.stored("docker.io");
  (void)config.all();
  return 0;
}
