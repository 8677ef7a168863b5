// What happens to a directory into which a script's outputs come: whose files go and whose stay.
#include "runtime/output_places.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "runtime/earlier_outputs.h"
#include "runtime/workspace.h"
#include "runtime/written_path.h"

namespace casemate::runtime {
namespace {

namespace fs = std::filesystem;

class OutputPlacesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::path(std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/var/tmp") / "casemate_outputs_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    out_ = dir_ / "out";
    keeps_marks_ = ::setxattr(name.c_str(), kOutputMark, "x", 1, 0) == 0 && ::removexattr(name.c_str(), kOutputMark) == 0;
  }
  void TearDown() override {
    for (const auto& entry : fs::recursive_directory_iterator(dir_))
      EXPECT_FALSE(entry.path().filename().string().starts_with(kOutputPrefix));
    fs::remove_all(dir_);
  }

  static void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // A script's run: `script` writes into the directory that its cell would show; gives notes.
  template <class Script>
  std::vector<std::string> run(const fs::path& output, Script script, const std::string& mark = new_run_mark()) {
    auto places = OutputPlaces::create({{output, lexical_path(output, "/")}}, {}, filled_, mark);
    if (!places) {
      ADD_FAILURE() << places.error().what;
      return {};
    }
    script(fs::path(places->mounts()[0].source));
    auto delivered = places->deliver(filled_);
    files_ = delivered.files;
    return delivered.notes;
  }
  // One that writes these files.
  std::vector<std::string> writes(const std::vector<std::string>& names, const std::string& text,
                                  const std::string& mark = new_run_mark()) {
    return run(
        out_,
        [&](const fs::path& in) {
          for (const auto& name : names) write(in / name, text);
        },
        mark);
  }
  [[nodiscard]] std::vector<std::string> there() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(out_)) {
      if (!entry.is_directory() || entry.is_symlink()) found.push_back(entry.path().lexically_relative(out_));
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  using Names = std::vector<std::string>;

  fs::path dir_, out_;
  FilledPlaces filled_;
  std::vector<std::string> files_;
  bool keeps_marks_ = false;
};

#define NEEDS_MARKS() \
  if (!keeps_marks_) GTEST_SKIP() << "this file system keeps no extended attributes (TMPDIR names another)"

TEST(FilledPlaces, ThoseThatAreGoneAreForgotten) {
  FilledPlaces filled;
  filled.add("/tmp");
  for (int at = 0; at < 1000; ++at) filled.add("/tmp/casemate-nothing/" + std::to_string(at));
  EXPECT_LT(filled.size(), 100u);
  filled.add("/tmp");
  EXPECT_GE(filled.size(), 1u);
}

TEST_F(OutputPlacesTest, AnEarlierRunsOutputsGo) {
  NEEDS_MARKS();
  EXPECT_EQ(writes({"old.csv", "deep/old.csv", "both.csv"}, "1"), Names());
  EXPECT_EQ(writes({"new.csv", "both.csv"}, "2"), Names());
  EXPECT_EQ(there(), (Names{"both.csv", "new.csv"}));
  EXPECT_EQ(read(out_ / "both.csv"), "2");
  EXPECT_EQ(files_, (Names{out_ / "both.csv", out_ / "new.csv"}));
}

TEST_F(OutputPlacesTest, AUsersFilesStayAndEarlierRunsGoBesideThem) {
  NEEDS_MARKS();
  write(out_ / "mine.txt", "mine");
  write(out_ / "deep/mine.txt", "mine");
  write(out_ / "data.csv", "mine");
  const std::string said = "'" + out_.string() + "' holds ";
  EXPECT_EQ(writes({"data.csv", "deep/one.csv", "fresh/one.csv"}, "1"),
            (Names{"'" + out_.string() + "' held 'data.csv' that no test wrote and this script wrote too: overwritten",
                   said + "2 files that no test wrote: they stay beside what this script wrote"}));
  EXPECT_EQ(there(), (Names{"data.csv", "deep/mine.txt", "deep/one.csv", "fresh/one.csv", "mine.txt"}));
  EXPECT_EQ(read(out_ / "data.csv"), "1") << "what it is called to write";
  EXPECT_EQ(writes({"deep/two.csv"}, "2"), Names{said + "2 files that no test wrote: they stay beside what this script wrote"});
  EXPECT_EQ(there(), (Names{"deep/mine.txt", "deep/two.csv", "mine.txt"}));
  EXPECT_FALSE(fs::exists(out_ / "fresh"));
  // Into a directory of a test's a user puts a file.
  fs::remove_all(out_);
  EXPECT_EQ(writes({"a", "b"}, "1"), Names());
  write(out_ / "notes.md", "mine");
  EXPECT_EQ(writes({"c"}, "2"), Names{said + "1 file that no test wrote: it stays beside what this script wrote"});
  EXPECT_EQ(there(), (Names{"c", "notes.md"}));
}

TEST_F(OutputPlacesTest, WhatOfAUsersIsOverwrittenIsNamed) {
  NEEDS_MARKS();
  Names names;
  for (const char* name : {"a", "b", "c", "d", "deep/e", "f", "g"}) {
    names.emplace_back(name);
    write(out_ / name, "mine");
  }
  const auto notes = writes(names, "1");
  ASSERT_EQ(notes.size(), 1u) << "nothing stays";
  EXPECT_TRUE(notes[0].starts_with("'" + out_.string() + "' held ")) << notes[0];
  EXPECT_TRUE(notes[0].ends_with(" and 2 more that no test wrote and this script wrote too: overwritten")) << notes[0];
  const auto links = [](const fs::path& in) { fs::create_symlink("a", in / "link"); };
  const std::string mark = new_run_mark();
  EXPECT_EQ(run(out_, links, mark), Names());
  EXPECT_EQ(run(out_, links, mark), Names()) << "a link of the same run's is no user's";
}

TEST_F(OutputPlacesTest, ScriptsOfOneRunWriteBesideEachOther) {
  NEEDS_MARKS();
  EXPECT_EQ(writes({"old"}, "0"), Names());
  const std::string mark = new_run_mark();
  EXPECT_EQ(writes({"a", "deep/a", "both"}, "1", mark), Names());
  EXPECT_EQ(writes({"b", "deep/b", "both"}, "2", mark),
            Names{"'both' was written by another script of this run too: this one's is there now"});
  EXPECT_EQ(there(), (Names{"a", "b", "both", "deep/a", "deep/b"}));
  EXPECT_EQ(read(out_ / "both"), "2");
  EXPECT_EQ(writes({"c"}, "3"), Names());
  EXPECT_EQ(there(), Names{"c"}) << "and the next run finds nothing of them";
}

TEST_F(OutputPlacesTest, AUsersDirectoriesStayEmptyOnesToo) {
  NEEDS_MARKS();
  fs::create_directories(out_ / "made/before");
  ::chmod(out_.c_str(), 0750);
  EXPECT_EQ(run(out_, [](const fs::path& in) { write(in / "deep/a", "1"); }), Names());
  EXPECT_EQ(there(), Names{"deep/a"});
  EXPECT_TRUE(fs::is_directory(out_ / "made/before"));
  EXPECT_EQ(fs::status(out_).permissions(), fs::perms(0750));
  EXPECT_EQ(writes({"b"}, "2"), Names());
  EXPECT_TRUE(fs::is_directory(out_ / "made/before"));
  EXPECT_FALSE(fs::exists(out_ / "deep")) << "a script's directories go";
}

TEST_F(OutputPlacesTest, AnOutputDirectoryKeepsWhoseItIsAndItsAttributes) {
  NEEDS_MARKS();
  fs::create_directory(out_);
  ASSERT_EQ(::setxattr(out_.c_str(), "user.mine", "x", 1, 0), 0);
  if (::geteuid() == 0) ASSERT_EQ(::chown(out_.c_str(), 12345, 12346), 0);
  ASSERT_EQ(::chmod(out_.c_str(), 02750), 0);
  struct stat before{}, now{};
  ASSERT_EQ(::stat(out_.c_str(), &before), 0);
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(writes({name}, "1"), Names());
    EXPECT_EQ(there(), Names{name});
    ASSERT_EQ(::stat(out_.c_str(), &now), 0);
    EXPECT_EQ(now.st_mode, before.st_mode);
    EXPECT_EQ(now.st_uid, before.st_uid);
    EXPECT_EQ(now.st_gid, before.st_gid);
    char value[8];
    EXPECT_EQ(::getxattr(out_.c_str(), "user.mine", value, sizeof value), 1);
  }
}

TEST_F(OutputPlacesTest, DirectoriesThatAScriptClosedAreDelivered) {
  NEEDS_MARKS();
  const auto closes = [](const fs::path& in) {
    write(in / "closed/a", "1");
    write(in / "read_only/a", "1");
    ::chmod((in / "closed").c_str(), 0);
    ::chmod((in / "read_only").c_str(), 0555);
    ::chmod(in.c_str(), 0);
  };
  EXPECT_EQ(run(out_, closes), Names());
  ::chmod((out_ / "closed").c_str(), 0700);
  EXPECT_EQ(there(), (Names{"closed/a", "read_only/a"}));
  write(out_ / "mine", "mine");
  EXPECT_EQ(run(out_, closes).size(), 1u) << "that mine stays";
  EXPECT_EQ(fs::status(out_ / "closed").permissions(), fs::perms(0));
  EXPECT_EQ(fs::status(out_ / "read_only").permissions(), fs::perms(0555));
  ::chmod((out_ / "closed").c_str(), 0700);
  ::chmod((out_ / "read_only").c_str(), 0755);
  EXPECT_EQ(there(), (Names{"closed/a", "mine", "read_only/a"}));
}

TEST_F(OutputPlacesTest, LinksThatLeadOutOfTheirOutputAreLeftOut) {
  const std::vector<std::string> out = {"/etc/passwd",       "..", "a/../..", "deep/up/../../x", "./../../x", out_.string() + "/../x",
                                        out_.string() + "er"};
  const auto notes = run(out_, [&](const fs::path& in) {
    for (std::size_t at = 0; at < out.size(); ++at) fs::create_symlink(out[at], in / ("out" + std::to_string(at)));
    fs::create_directories(in / "deep/er");
    fs::create_symlink("../..", in / "deep/out");
    fs::create_symlink("..", in / "deep/up");
    fs::create_symlink("../../out.csv", in / "deep/er/fine");
    fs::create_symlink(out_, in / "deep/er/all");
    fs::create_symlink(out_ / "deep//./x", in / "deep/er/x");
    fs::create_symlink(out_, in / "self");
  });
  EXPECT_EQ(notes.size(), out.size() + 1);
  EXPECT_NE(std::find(notes.begin(), notes.end(), "'deep/out' is a symlink that leads out of its output: it was left out"), notes.end());
  EXPECT_EQ(there(), (Names{"deep/er/all", "deep/er/fine", "deep/er/x", "deep/up", "self"}));
  EXPECT_EQ(fs::read_symlink(out_ / "deep/er/fine"), "../../out.csv");
  EXPECT_EQ(fs::read_symlink(out_ / "deep/er/all"), "../..");
  EXPECT_EQ(fs::read_symlink(out_ / "deep/er/x"), "../../deep/x");
  EXPECT_EQ(fs::read_symlink(out_ / "self"), ".");
  EXPECT_EQ(files_.size(), 5u);
}

TEST_F(OutputPlacesTest, ADirectoryInAFilesPlaceHasNoLinksToWhatLiesBesideIt) {
  write(dir_ / "secret", "secret");
  const auto notes = run(dir_ / "model.json", [&](const fs::path& in) {
    fs::create_directories(in / "model.json/deep");
    fs::create_symlink("../secret", in / "model.json/out");
    fs::create_symlink(dir_ / "secret", in / "model.json/deep/out");
    fs::create_symlink(dir_ / "model.json/part", in / "model.json/deep/fine");
  });
  EXPECT_EQ(notes.size(), 2u);
  EXPECT_FALSE(fs::is_symlink(dir_ / "model.json/out"));
  EXPECT_FALSE(fs::is_symlink(dir_ / "model.json/deep/out"));
  EXPECT_EQ(fs::read_symlink(dir_ / "model.json/deep/fine"), "../part");
}

TEST_F(OutputPlacesTest, FilesOfAnyModeAreMarkedAndLinksOfScriptsGo) {
  NEEDS_MARKS();
  EXPECT_EQ(run(out_,
                [](const fs::path& in) {
                  write(in / "read_only", "x");
                  write(in / "hidden", "x");
                  ::chmod((in / "read_only").c_str(), 0444);
                  ::chmod((in / "hidden").c_str(), 0200);
                  fs::create_symlink("hidden", in / "link");
                }),
            Names());
  EXPECT_EQ(fs::status(out_ / "read_only").permissions(), fs::perms(0444));
  EXPECT_EQ(fs::status(out_ / "hidden").permissions(), fs::perms(0200));
  EXPECT_TRUE(fs::is_symlink(out_ / "link"));
  fs::permissions(out_ / "hidden", fs::perms(0600));
  EXPECT_EQ(writes({"a"}, "1"), Names());
  EXPECT_EQ(there(), Names{"a"});
}

TEST_F(OutputPlacesTest, AUsersDirectoryIsNotReplacedByAFileAndNoLinkOfTheirsIsFollowed) {
  write(out_ / "model/mine", "mine");
  write(dir_ / "elsewhere/mine", "mine");
  fs::create_symlink(dir_ / "elsewhere", out_ / "link");
  const auto notes = writes({"model", "link/mine"}, "1");
  EXPECT_EQ(read(out_ / "model/mine"), "mine");
  EXPECT_EQ(read(dir_ / "elsewhere/mine"), "mine");
  EXPECT_EQ(read(out_ / "link/mine"), "1") << "a directory in the link's place";
  ASSERT_EQ(notes.size(), 3u);
  EXPECT_EQ(notes[0], "'model' did not come to its place: a directory of its name is there, with files of others");
  EXPECT_EQ(notes[1], "'" + out_.string() + "' held 'link' that no test wrote and this script wrote too: overwritten");
}

TEST_F(OutputPlacesTest, ATreeOfAnyDepthIsDelivered) {
  const auto deep = [](const fs::path& in) {
    fs::path here = in;
    for (int i = 0; i < 300; ++i) here /= "d";
    write(here / "f", "x");
  };
  const std::string mark = new_run_mark();
  EXPECT_EQ(run(out_, deep, mark), Names());
  const auto notes = run(out_, deep, mark);
  ASSERT_EQ(notes.size(), keeps_marks_ ? 1u : 2u);
  EXPECT_NE(notes[0].find("too many directories deep"), std::string::npos) << notes[0];
}

TEST_F(OutputPlacesTest, AnOutputThatIsAFileAndNotWrittenIsOnlyRemovedIfATestWroteIt) {
  NEEDS_MARKS();
  const auto nothing = [](const fs::path&) {};
  const fs::path model = dir_ / "model.json";
  write(model, "mine");
  EXPECT_EQ(run(model, nothing), Names{"'" + model.string() + "' was there before and this script did not write it: it stays"});
  EXPECT_EQ(read(model), "mine");
  EXPECT_EQ(run(model, [](const fs::path& in) { write(in / "model.json", "made"); }), Names());
  EXPECT_EQ(read(model), "made");
  EXPECT_EQ(run(model, nothing), Names());
  EXPECT_FALSE(fs::exists(model)) << "nobody takes it for this run's";
}

TEST_F(OutputPlacesTest, WhereTheDirectoryAboveIsNotOursTheFreshOneLiesWithin) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  write(out_ / "mine", "mine");
  ::chmod(dir_.c_str(), 0555);
  const auto notes = writes({"a", "deep/b"}, "1");
  ::chmod(dir_.c_str(), 0755);
  EXPECT_EQ(notes.size(), 1u);
  EXPECT_EQ(there(), (Names{"a", "deep/b", "mine"}));
}

TEST_F(OutputPlacesTest, AWorkspacesTestTakesNobodysDirectory) {
  auto workspace = Workspace::open(dir_);
  ASSERT_TRUE(workspace) << workspace.error().what;
  write(dir_ / "test_data/mine.csv", "mine");
  const auto made = workspace->make_test("data", Json());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::refused);
  EXPECT_EQ(made.error().what,
            (dir_ / "test_data").string() +
                " is in the way of a test, and no test made it (it holds 'mine.csv'): remove it, or choose another workspace");
  EXPECT_FALSE(workspace->remove_test(dir_ / "test_data"));
  EXPECT_EQ(read(dir_ / "test_data/mine.csv"), "mine");
  ASSERT_TRUE(workspace->make_test("other", Json()));
  EXPECT_TRUE(workspace->make_test("other", Json())) << "anew";
}

}  // namespace
}  // namespace casemate::runtime
