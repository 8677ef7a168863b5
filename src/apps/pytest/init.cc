#include "apps/pytest/init.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "session/directives.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr const char* kName = "maelstrom-pytest.toml";

constexpr const char* kHead =
    R"toml(# In which container each test runs. A directive takes the tests of its filter, or all tests if it has none;
# of those that take a test, later ones win. The guide of casemate tells the fields: pytest.md, containers.md.

[[directives]]
)toml";

constexpr const char* kImage = R"toml(
# The root of the tests. Choose the Python you want; "host" is this machine's own.
image = "docker://python:3.11-slim"

# An image whose name ends in "python" gets the packages of test-requirements.txt, pytest among them.
# Any other gets those of a file that is named here:
# requirements = "requirements.txt"

# What of the project the tests see, laid over the image.
added_layers = [
    { glob = "**.{py,pyi,pyc}" },
    { glob = "{pyproject.toml,setup.cfg,pytest.ini,tox.ini}" },
    { stubs = ["/{proc,sys,tmp}/", "/dev/{full,null,random,urandom,zero}"] },
]
)toml";

constexpr const char* kHost = R"toml(
# This machine's programs and the active interpreter, read-only, and the project, which may be written: each test's changes are thrown
# away. For a root that is the same everywhere choose an image; one whose name ends in "python" gets the packages of test-requirements.txt.
# image = "docker://python:3.11-slim"
# added_layers = [{ glob = "**.{py,pyi}" }, { glob = "pyproject.toml" }]

# Packages besides those of the active interpreter:
# requirements = "requirements.txt"
)toml";

constexpr const char* kMounts = R"toml(
# What programs expect to be there. Every cell has these anyway; other tools that read this file do not.
mounts = [
    { type = "tmp", mount_point = "/tmp" },
    { type = "proc", mount_point = "/proc" },
    { type = "sys", mount_point = "/sys" },
    { type = "devices", devices = ["full", "null", "random", "urandom", "zero"] },
]
)toml";

constexpr const char* kRest = R"toml(
# What follows are the defaults.

# "disabled" and "loopback": only the cell's own loopback. "local": this machine's network.
# network = "disabled"

# Whether tests may write anywhere in their cell; what they write is gone afterwards.
# enable_writable_file_system = false

# Seconds after which a test is ended; 0: never.
# timeout = 0

# casemate's own: limits of each test's cell, what shares a cell, how often a failed test is tried again.
# memory = "512M"
# pids = 256
# isolation = "test"
# retries = 0
)toml";

constexpr const char* kIdentity = R"toml(
# working_directory = "/"
# user = 0
# group = 0
)toml";

constexpr const char* kEnvironment = R"toml(
# Added to what the image says; `environment` would replace what earlier directives said.
[directives.added_environment]
# One test runs in a cell: nothing for pytest-xdist to spread.
PYTEST_XDIST_AUTO_NUM_WORKERS = "1"
)toml";

constexpr const char* kExamples = R"toml(
# More directives, for some of the tests:
#
# [[directives]]
# filter = "node_id.equals(tests/test_upload.py::test_large_file)"
# timeout = 60
# memory = "2G"
#
# [[directives]]
# filter = "markers.contains(network) || file.starts_with(tests/online/)"
# network = "local"
#
# [[directives]]
# filter = "name.matches(^test_old_) - markers.contains(keep)"
# ignore = true
)toml";

}  // namespace

std::string first_directives(bool as_maelstrom) {
  std::string text = kHead;
  text += as_maelstrom ? kImage : kHost;
  if (as_maelstrom) text += kMounts;
  text += kRest;
  if (as_maelstrom) text += fmt::format("{}{}", kIdentity, kEnvironment);
  return text + kExamples;
}

Result<std::string> write_first_directives(const std::string& directory, bool as_maelstrom) {
  const std::string path = fmt::format("{}/{}", directory, kName);
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file && errno == EEXIST)
    return fail(ErrorCode::refused, as_maelstrom ? fmt::format("Config already exists at {}. Doing nothing.", printable_line(path))
                                                 : fmt::format("{} is there already; it stays as it is", printable_line(path)));
  if (!file) return fail(ErrorCode::system, fmt::format("can't write {}: {}", printable_line(path), std::strerror(errno)), errno, "open");
  if (auto written = write_all(file.get(), first_directives(as_maelstrom)); !written) {
    ::unlink(path.c_str());
    return fail(ErrorCode::system, fmt::format("can't write {}: {}", printable_line(path), written.error().what),
                written.error().errno_value, "write");
  }
  if (!as_maelstrom) return fmt::format("Wrote {}. It changes nothing yet: say in it what tests need, then run: casemate pytest\n", kName);
  return fmt::format(
      "Wrote default config to {}.\nChoose the image in it, list the packages (pytest among them) in {}, then run: maelstrom-pytest\n",
      printable_line(path), kImpliedRequirements);
}

}  // namespace casemate
