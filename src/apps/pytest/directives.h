// directives: which container each test runs in: maelstrom-pytest.toml, or [tool.casemate] in pyproject.toml, applied in order.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/pytest/request.h"
#include "casemate/result.h"
#include "engine/events.h"
#include "image/container.h"

namespace casemate {

/// What the directives that take a test say together.
struct TestContainer {
  ContainerSpec container;  ///< container.limits.wall is the timeout; container.image unset: host
  bool ignore = false;
  bool include_shared_libraries = false;
  std::optional<Isolation> isolation;
  std::optional<std::uint32_t> retries;
  std::optional<std::string> requirements;  ///< a file; with an image whose last part is "python" and none said: ./test-requirements.txt
};

/// The directives of one project.
class Directives {
 public:
  /// None: every test runs on host, as it is.
  Directives() = default;
  /// Reads a whole file as maelstrom-pytest.toml has it: `[[directives]]` and `[containers.NAME]`. `file` is for messages and, its
  /// directory, what relative paths are of. invalid_input: "FILE:LINE: ..." in one line; an unknown field is told with the nearest known
  /// name.
  static Result<Directives> parse(std::string_view toml, const std::string& file);
  /// The index of the container that this test gets: equal numbers are the same container. container() gives it.
  [[nodiscard]] std::size_t of(const TestCase& test);
  [[nodiscard]] const TestContainer& container(std::size_t index) const;
  /// The container of a test that only directives without a filter take: where collection happens.
  [[nodiscard]] std::size_t of_all();

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

}  // namespace casemate
