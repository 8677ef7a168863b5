// workspace: the directory below which a tester's tests take place, one directory each.
#pragma once

#include <string>

#include "casemate/result.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// Where a script's test takes place.
struct TestEnvironment {
  std::string test_dir;  ///< `{workspace}/test_{name}`
  MainParameters parameters;
};

/// One workspace. Plain data and calls of the kernel: safe from several threads and processes as long as they test different names, which
/// TestClaims sees to.
class Workspace {
 public:
  /// Makes the directory. invalid_input: it is no directory and can't be one.
  static Result<Workspace> open(const std::string& directory);

  /// `test_{name}`: where a test of that name takes place. Slashes become underscores.
  [[nodiscard]] static std::string directory_name(const std::string& name);
  /// The directory, as it was named.
  [[nodiscard]] const std::string& directory() const { return directory_; }

  /// Makes `test_{name}` anew: `input` with `sample` as data.csv (none where that is null), and an empty `output`; what was in
  /// those two goes. refused: something of that name is there that holds more than those two, so it is no test's.
  [[nodiscard]] Result<TestEnvironment> make_test(const std::string& name, const Json& sample) const;
  /// Removes a directory of a test, or all of it but `output`. refused: it does not lie in the workspace or is no test's.
  [[nodiscard]] Result<void> remove_test(const std::string& test_dir, bool keep_output = false) const;

 private:
  explicit Workspace(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;  // as it was named
};

}  // namespace casemate::runtime
