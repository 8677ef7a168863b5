#include "command/container_packages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/digest.h"
#include "image/requirements.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr const char* kRequirementsPlace = "/casemate-requirements";
constexpr std::size_t kMostArchive = 1u << 30;  // bytes

}  // namespace

bool wants_packages(std::string_view requirements) {
  while (!requirements.empty()) {
    const auto end = requirements.find('\n');
    const std::string_view line = requirements.substr(0, end);
    requirements.remove_prefix(end == std::string_view::npos ? requirements.size() : end + 1);
    const auto first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#') return true;
  }
  return false;
}

Job packages_job(Job base, const std::string& python, const std::string& file) {
  const auto slash = file.rfind('/');
  Job job = std::move(base);
  job.name = "install packages";
  job.network = Network::host;
  job.limits.wall.reset();
  job.limits.output_bytes.reset();
  job.cwd = kRequirementsPlace;
  job.mounts = {{.kind = Mount::Kind::bind, .source = slash == 0 ? "/" : file.substr(0, slash), .target = kRequirementsPlace}};
  job.argv = {python,
              "-m",
              "pip",
              "install",
              "--no-cache-dir",
              "--disable-pip-version-check",
              "--no-input",
              "-r",
              fmt::format("{}/{}", kRequirementsPlace, file.substr(slash + 1))};
  job.env = {{"PIP_ROOT_USER_ACTION", "ignore"}, {"PIP_BREAK_SYSTEM_PACKAGES", "1"}};  // the system is the container's own
  return job;
}

Result<std::string> packages_key(const std::string& file) {
  TRY_ASSIGN(const Requirements wanted, read_requirements(file));
  std::string text = fmt::format("pip 2\n{}\n-c {}\n", fmt::join(wanted.packages, "\n"), fmt::join(wanted.constraints, "\n-c "));
  for (const auto& [name, value] : wanted.options) text += fmt::format("--{} {}\n", name, value);
  for (const LocalArchive& archive : wanted.archives) {
    TRY_ASSIGN(const std::string bytes, read_file(archive.path, kMostArchive));
    text += sha256_hex(bytes) + "\n";
  }
  return sha256_hex(text);
}

}  // namespace casemate
