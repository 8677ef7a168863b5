// Any bytes as maelstrom-pytest.toml and as pyproject.toml: no crash, errors are one line with a place, equal containers have one index.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "session/directives.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

void look(const std::string& bytes, const std::string& file) {
  auto directives = Directives::parse(bytes, file);
  if (!directives) {
    require(directives.error().what.starts_with(file + ":") && directives.error().what.find('\n') == std::string::npos);
    return;
  }
  const std::size_t all = directives->of_all();
  const std::size_t one = directives->of({.id = "t.py::a", .file = "t.py", .name = "a", .markers = {"slow"}});
  const std::size_t two = directives->of({.id = "t.py::b", .file = "t.py", .name = "b"});
  for (const std::size_t left : {all, one, two}) {
    for (const std::size_t right : {all, one, two})
      require((left == right) == (directives->container(left) == directives->container(right)));
    const TestContainer& container = directives->container(left);
    require(!container.container.limits.wall || container.container.limits.wall->count() > 0);
    for (const Mount& mount : container.container.mounts) require(mount.target.starts_with('/'));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  look(bytes, "/p/maelstrom-pytest.toml");
  look(bytes, "/p/pyproject.toml");
  return 0;
}
