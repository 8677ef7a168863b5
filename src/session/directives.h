// directives: which container each test runs in: maelstrom-pytest.toml, or [tool.casemate] in pyproject.toml, applied in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "engine/events.h"
#include "image/container.h"
#include "session/request.h"

namespace casemate {

/// What the directives that take a test say together.
struct TestContainer {
  /// limits.wall is the timeout; image unset: host (never "host"); relative paths of layers (and of an image) are of
  /// Directives::directory().
  ContainerSpec container;
  bool ignore = false;
  bool include_shared_libraries = false;
  std::optional<Isolation> isolation;
  std::optional<std::uint32_t> retries;
  std::optional<bool> cache;  ///< false: --cache keeps no result
  /// A file of packages, not among container.layers, below which it belongs. Of an image whose last part is "python" that says none:
  /// kImpliedRequirements.
  std::optional<std::string> requirements;
  bool requirements_implied = false;  ///< nobody named the file: it may be missing, and then the environment must have pytest

  /// Of its image: "host", "docker://...".
  [[nodiscard]] std::string name() const { return container.image.value_or("host"); }
  bool operator==(const TestContainer&) const = default;
};

/// Whether tests of both may be forks of the same parents: all that differs is how a run treats them (ignore, isolation, retries, cache,
/// timeout).
[[nodiscard]] bool can_share_parents(const TestContainer& one, const TestContainer& other);

/// What maelstrom installs into an image called python.
inline constexpr std::string_view kImpliedRequirements = "test-requirements.txt";
/// Whether an image's name, as typed, is a docker:// one whose last part is "python": "docker://ghcr.io/me/python:3.12".
[[nodiscard]] bool is_python_image(std::string_view image);

/// The directives of one project. Copies share what they know.
class Directives {
 public:
  /// None: every test runs on host, as it is.
  Directives();
  /// Reads a whole file as maelstrom-pytest.toml has it: `[[directives]]` and `[containers.NAME]`; of a file called pyproject.toml the
  /// same below [tool.casemate], whose other keys are looked over. `file` is for messages and, its directory, what relative paths are of.
  /// invalid_input: "FILE:LINE: ..." in one line; an unknown field is told with the nearest known name.
  static Result<Directives> parse(std::string_view toml, const std::string& file);
  /// Those of the project in this directory: maelstrom-pytest.toml, else [tool.casemate] of pyproject.toml, else none.
  static Result<Directives> of_project(const std::string& directory);

  /// Those of the directory where casemate was started, else of pytest's rootdir.
  static Result<Directives> around(const PytestRequest& request);

  /// Lays what a command line says (image, requirements, limits, timeout, network, isolation, retries) over every container. An image of
  /// the command line takes the place of the directives', whose layers stay. To be called before of().
  void override_with(const PytestRequest& request);

  /// The index of the container that this test gets: equal numbers are equal containers. container() gives it.
  [[nodiscard]] std::size_t of(const TestCase& test);
  /// Valid as long as this object (or a copy) is.
  [[nodiscard]] const TestContainer& container(std::size_t index) const;
  /// The container of a test that only directives without a filter take: where collection happens.
  [[nodiscard]] std::size_t of_all();

  /// The file they were read from; "": none.
  [[nodiscard]] const std::string& file() const;
  /// What relative paths are of; "" without a file.
  [[nodiscard]] const std::string& directory() const;
  /// Lines for people: a second file that is not looked at.
  [[nodiscard]] const std::vector<std::string>& notes() const;

 private:
  struct Parts;
  explicit Directives(std::shared_ptr<Parts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<Parts> parts_;
};

}  // namespace casemate
