#include "session/coverage.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

TEST(PytestCoverage, OnlyDataAndReportsAreWrittenIntoAProject) {
  for (const char* path : {".coverage", "coverage.xml", "htmlcov/index.html", "htmlcov/style_cb.css", "htmlcov/.gitignore",
                           "reports/unit/cov.json", "lcov.info", "build/.coverage.unit", "shop/cart.py,cover"})
    EXPECT_TRUE(is_coverage_file(path)) << path;
  for (const char* path : {"", "/etc/cron.d/coverage.xml", "../coverage.xml", "a/../../coverage.xml", "a//coverage.xml",
                           ".git/hooks/pre-commit", ".git/x.json", ".github/coverage.json", "setup.py", "conftest.py", "pyproject.toml",
                           "package.json", "a/package.json", "Makefile", "a/", ".bashrc", ".vscode/settings.json", "run.sh", ".gitignore"})
    EXPECT_FALSE(is_coverage_file(path)) << path;
}

}  // namespace
}  // namespace casemate
