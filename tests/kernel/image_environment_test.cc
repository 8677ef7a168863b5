// Environments of an image's Python: a Debian made by tests/images/make, real installers, packages made here and a few from PyPI.
#include <atomic>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "casemate/engine.h"
#include "engine/run_job.h"
#include "image/environment.h"
#include "image/image_interpreter.h"
#include "image/project_layers.h"
#include "scratch.h"
#include "sys/process.h"

namespace casemate {
namespace {

// A wheel with a module, a program and, in `requires`, what it needs.
constexpr const char* kWheel = R"(
import sys, zipfile
top, name, version, body = sys.argv[1:5]
info = '%s-%s.dist-info' % (name, version)
files = {name + '/__init__.py': body, info + '/METADATA': 'Metadata-Version: 2.1\nName: %s\nVersion: %s\n' % (name, version),
         info + '/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
         info + '/entry_points.txt': '[console_scripts]\n%s-say = %s:say\n' % (name, name)}
record = ''.join('%s,,\n' % f for f in list(files) + [info + '/RECORD'])
with zipfile.ZipFile('%s/%s-%s-py3-none-any.whl' % (top, name, version), 'w') as z:
    for path, text in list(files.items()) + [(info + '/RECORD', record)]: z.writestr(path, text)
)";

using Made = std::expected<Environment, EnvironmentFailure>;

// The image is unpacked once for all tests: into a store that they share.
class ImageEnvironments : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* named = std::getenv("CASEMATE_IMAGES");
    const fs::path layout = fs::path(named ? named : CASEMATE_SOURCE_DIR "/build/images") / "python3.11";
    if (::access((layout / "index.json").c_str(), R_OK) != 0) {
      missing_ = fmt::format("no image {}: tests/images/make makes it", layout.string());
      return;
    }
    std::string name = "/var/tmp/casemate_test.XXXXXX";  // too much for a tmpfs
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    shared_ = name;
    auto store = Store::open({.directory = shared_ / "cache"});
    ASSERT_TRUE(store) << store.error().what;
    const auto reference = parse_image_reference("oci:" + layout.string());
    ASSERT_TRUE(reference) << reference.error().what;
    auto root = open_root(*store, *reference, {});
    ASSERT_TRUE(root) << root.error().what;
    root_ = std::move(*root);
    links_ = shared_ / "links";
    fs::create_directory(links_);
    for (const char* version : {"1.0", "1.1"}) {
      const std::string body = fmt::format("VALUE = '{}'\ndef say(): print('said', VALUE)\n", version);
      const auto made = run_program({"/usr/bin/python3", "-c", kWheel, links_, "casefour", version, body}, std::chrono::seconds(30));
      ASSERT_TRUE(made && made->end.code == 0) << made->err;
    }
  }
  static void TearDownTestSuite() {
    root_ = Root();
    if (shared_.empty()) return;
    const UniqueFd parent(::open(shared_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto removed = remove_tree_at(parent.get(), shared_.filename());
    EXPECT_TRUE(removed) << removed.error().what;
  }

  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << missing_;
    set("CASEMATE_CACHE_DIR", shared_ / "cache");
    auto engine = Engine::create();
    if (!engine) GTEST_SKIP() << engine.error().what;
    engine_ = std::move(*engine);
    run_ = [this](Job job, std::function<void(Stream, std::string_view)> say) {
      ++jobs_;
      return run_jobs_on(*engine_)(std::move(job), std::move(say));
    };
    std::error_code ignored;
    fs::remove_all(shared_ / "layers-of-test", ignored);
  }
  void TearDown() override {
    engine_.reset();
    for (auto it = saved_.rbegin(); it != saved_.rend(); ++it)
      it->second ? ::setenv(it->first.c_str(), it->second->c_str(), 1) : ::unsetenv(it->first.c_str());
  }
  void set(const std::string& name, const std::string& value) {
    const char* old = std::getenv(name.c_str());
    saved_.emplace_back(name, old ? std::optional<std::string>(old) : std::nullopt);
    ::setenv(name.c_str(), value.c_str(), 1);
  }

  // The image with a program over it; a root of its own each time.
  static Root with_program(const std::string& path, const std::string& text) {
    static int serial = 0;
    const fs::path layer = shared_ / "layers-of-test" / std::to_string(serial++);
    fs::create_directories((layer / path).parent_path());
    write(layer / path, text);
    fs::permissions(layer / path, static_cast<fs::perms>(0755));
    Root root = root_;
    root.layers.insert(root.layers.begin(), layer);
    root.identity += fmt::format(" {}", layer.string());
    return root;
  }

  std::string from_links(const std::string& packages) {
    return fmt::format("--no-index\n--find-links {}\n{}\n", links_.string(), packages);
  }
  Made make(const Root& root, const std::string& requirements) {
    auto interpreter = find_interpreter(root, "", run_);
    if (!interpreter) return std::unexpected(EnvironmentFailure{interpreter.error(), ""});
    interpreter_ = *interpreter;
    write(shared_ / "requirements.txt", requirements);
    return make_environment({.interpreter = interpreter_, .requirements_path = shared_ / "requirements.txt", .root = root}, run_,
                            [](std::string_view) {});
  }
  std::string output(const Root& root, const std::vector<Mount>& mounts, const std::vector<std::string>& command) {
    Job job;
    job.argv = command;
    job.mounts = mounts;
    job.limits = default_limits();
    EXPECT_TRUE(put_root(job, root));
    take_environment(job, root);
    const auto result = engine_->run(std::move(job));
    EXPECT_TRUE(result) << result.error().what;
    return result ? result->output.merged : "";
  }

  static inline std::string missing_;
  static inline fs::path shared_;
  static inline fs::path links_;
  static inline Root root_;
  std::unique_ptr<Engine> engine_;
  RunJob run_;
  Interpreter interpreter_;
  std::atomic<int> jobs_{0};
  std::vector<std::pair<std::string, std::optional<std::string>>> saved_;
};

TEST_F(ImageEnvironments, asks_the_images_python_once) {
  const auto found = find_interpreter(root_, "", run_);
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_EQ(found->path, "/usr/bin/python3.11");
  EXPECT_TRUE(found->version.starts_with("3.11."));
  EXPECT_EQ(found->prefix, "/usr");
  EXPECT_EQ(found->site_packages, "lib/python3.11/site-packages");
  EXPECT_EQ(found->site_directory, "/usr/local/lib/python3.11/dist-packages");
  for (const char* wanted : {"3.11", "/usr/bin/python3"}) EXPECT_TRUE(find_interpreter(root_, wanted, run_)) << wanted;
  jobs_ = 0;
  for (const char* wanted : {"", "3", "3.11", "/usr/bin/python3"}) {
    const auto again = find_interpreter(root_, wanted, run_);
    ASSERT_TRUE(again) << wanted << ": " << again.error().what;
    EXPECT_EQ(again->identity, found->identity);
    EXPECT_EQ(again->site_directory, found->site_directory);
  }
  EXPECT_EQ(jobs_, 0);
  Root other = root_;
  other.identity += " and more";
  const auto elsewhere = find_interpreter(other, "", run_);
  ASSERT_TRUE(elsewhere) << elsewhere.error().what;
  EXPECT_EQ(jobs_, 1);
  EXPECT_NE(elsewhere->identity, found->identity);
}

TEST_F(ImageEnvironments, says_which_python_the_image_has) {
  const std::string image = in_quotes(root_.image);
  const std::string version = find_interpreter(root_, "", run_)->version;
  const auto missing = find_interpreter(root_, "3.10", run_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_EQ(missing.error().what, fmt::format("image {} has no Python 3.10; it has Python {}", image, version));
  const auto nowhere = find_interpreter(root_, "/opt/python", run_);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().what, fmt::format("image {} has no /opt/python", image));
  EXPECT_EQ(find_interpreter(root_, "bin/python", run_).error().code, ErrorCode::invalid_input);
  EXPECT_EQ(find_interpreter(root_, "three", run_).error().code, ErrorCode::invalid_input);
  EXPECT_EQ(find_interpreter(root_, "/bin/false", run_).error().code, ErrorCode::invalid_input);
  Root bare = root_;
  bare.identity += " elsewhere";
  bare.config.env = {"PATH=/srv"};
  const auto none = find_interpreter(bare, "", run_);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().what, fmt::format("image {} has no Python (neither python3 nor python on its PATH)", image));
}

TEST_F(ImageEnvironments, believes_no_interpreter_that_answers_strangely) {
  const std::string good = "python\\n/usr/bin/python3.11\\n3.11.2\\n/usr\\nlib/python3.11/site-packages\\nfake\\n/usr/lib\\n";
  const auto answer = [&](const std::string& what, const std::string& instead) {
    std::string text = good;
    text.replace(text.find(what), what.size(), instead);
    return find_interpreter(with_program("usr/local/bin/python3", fmt::format("#!/bin/sh\nprintf '{}'\n", text)), "", run_);
  };
  ASSERT_TRUE(answer("fake", "fake"));
  for (const auto& [what, instead] : std::vector<std::pair<std::string, std::string>>{
           {"/usr/bin/python3.11", "usr/bin/python3.11"},
           {"/usr/bin/python3.11", "/usr/../../etc/python"},
           {"/usr/bin/python3.11", "/usr/bin\\tx"},
           {"/usr/bin/python3.11", "/usr/bin\\rx"},
           {"/usr/bin/python3.11", "/" + std::string(5000, 'x')},
           {"3.11.2", "3.11.2;x"},
           {"3.11.2", "3.11"},
           {"lib/python3.11/site-packages", "/lib"},
           {"lib/python3.11/site-packages", "lib/../../.."},
           {"lib/python3.11/site-packages", "bin/python/x"},
           {"fake", "fake\\nfake\\nfake"},
           {"/usr/lib", "lib"},
           {"fake", std::string(3000, 'x')},
           {good, ""},
       }) {
    const auto found = answer(what, instead);
    ASSERT_FALSE(found) << what << " as " << instead;
    EXPECT_TRUE(found.error().code == ErrorCode::invalid_input || found.error().code == ErrorCode::not_supported) << found.error().what;
    EXPECT_LT(found.error().what.size(), 400u);
    EXPECT_EQ(found.error().what.find_first_of("\n\t\r"), std::string::npos) << found.error().what;
  }
  const auto flood = find_interpreter(with_program("usr/local/bin/python3", "#!/bin/sh\nyes | head -c 10000000\n"), "", run_);
  ASSERT_FALSE(flood);
  const auto old = find_interpreter(with_program("usr/local/bin/python3", "#!/bin/sh\nprintf 'old\\n3.6.1\\n'\n"), "", run_);
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code, ErrorCode::not_supported);
}

class WithInstaller : public ImageEnvironments, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    ImageEnvironments::SetUp();
    if (IsSkipped()) return;
    if (std::string(GetParam()) == "pip") set("CASEMATE_UV", "none");
    if (std::string(GetParam()) == "uv" && find_uv().empty()) GTEST_SKIP() << "no uv on this host";
    // Not what the other installer has made.
    Root root = root_;
    root.identity += fmt::format(" for {}", GetParam());
    mine_ = root;
  }
  Root mine_;
};

TEST_P(WithInstaller, makes_an_environment_on_the_image_once) {
  const Made made = make(mine_, from_links("casefour"));
  ASSERT_TRUE(made) << made.error().error.what << made.error().log;
  EXPECT_FALSE(made->cached);
  EXPECT_TRUE(made->installer.starts_with(std::string(GetParam()) + " ")) << made->installer << made->log;
  EXPECT_EQ(
      output(mine_, made->mounts,
             {made->python, "-c",
              "import casefour, sys, platform\nprint(casefour.VALUE, sys.prefix, sys.version_info[:2], platform.freedesktop_os_release()"
              "['ID'])\ntry: import pip\nexcept ImportError: print('bare')"}),
      "1.1 /casemate/env (3, 11) debian\nbare\n")
      << made->log;
  EXPECT_EQ(output(mine_, made->mounts, {"/casemate/env/bin/casefour-say"}), "said 1.1\n");
  jobs_ = 0;
  const Made again = make(mine_, from_links("CASEFOUR"));
  ASSERT_TRUE(again) << again.error().error.what;
  EXPECT_TRUE(again->cached);
  EXPECT_EQ(again->key, made->key);
  EXPECT_EQ(jobs_, 0);
  // Nothing of it is another root's, though the interpreter's path is the same.
  Root other = mine_;
  other.identity += " changed";
  const Made elsewhere = make(other, from_links("casefour"));
  ASSERT_TRUE(elsewhere) << elsewhere.error().error.what << elsewhere.error().log;
  EXPECT_FALSE(elsewhere->cached);
  EXPECT_NE(elsewhere->key, made->key);
}

TEST_P(WithInstaller, compiles_modules_without_giving_the_image_the_layer) {
  const Made made = make(mine_, from_links("casefour<1.1"));
  ASSERT_TRUE(made) << made.error().error.what << made.error().log;
  const auto compiled = compile_environment(*made, {.interpreter = interpreter_, .requirements_path = "", .root = mine_}, run_);
  ASSERT_TRUE(compiled) << compiled.error().what;
  ASSERT_TRUE(*compiled);
  const Made again = make(mine_, from_links("casefour<1.1"));
  ASSERT_TRUE(again) << again.error().error.what;
  EXPECT_TRUE(again->bytecode);
  EXPECT_EQ(
      output(mine_, again->mounts, {made->python, "-c", "import casefour, os; print(casefour.VALUE, os.path.exists(casefour.__cached__))"}),
      "1.0 True\n");
}

TEST_P(WithInstaller, installs_from_pypi) {
  const Made made = make(mine_, "six\nattrs\nmarkupsafe\n");
  if (!made && made.error().log.find("onnect") != std::string::npos) GTEST_SKIP() << "PyPI can't be reached: " << made.error().error.what;
  ASSERT_TRUE(made) << made.error().error.what << made.error().log;
  EXPECT_EQ(output(mine_, made->mounts, {made->python, "-c", "import six, attrs, markupsafe._speedups; print('all')"}), "all\n");
}

TEST_P(WithInstaller, says_what_was_refused) {
  const Made missing = make(mine_, from_links("casefour==7"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().error.code, ErrorCode::refused);
  EXPECT_TRUE(missing.error().error.what.starts_with(fmt::format("{} could not install the requirements: ", GetParam())));
  EXPECT_NE(missing.error().error.what.find("casefour"), std::string::npos) << missing.error().error.what;
}

INSTANTIATE_TEST_SUITE_P(With, WithInstaller, testing::Values("uv", "pip"), [](const auto& info) { return std::string(info.param); });

TEST_F(ImageEnvironments, a_uv_that_does_not_run_on_the_image_gives_way_to_its_pip) {
  write(shared_ / "uv", std::string("\x7f") + "ELF, but no more");
  fs::permissions(shared_ / "uv", static_cast<fs::perms>(0755));
  set("CASEMATE_UV", shared_ / "uv");
  Root root = root_;
  root.identity += " without uv";
  const Made made = make(root, from_links("casefour"));
  ASSERT_TRUE(made) << made.error().error.what << made.error().log;
  EXPECT_TRUE(made->installer.starts_with("pip ")) << made->installer;
  EXPECT_NE(made->log.find("casemate: this uv does not run on the image"), std::string::npos) << made->log;
}

TEST_F(ImageEnvironments, an_image_cannot_write_what_others_install_from) {
  if (find_uv().empty()) GTEST_SKIP() << "no uv on this host";
  const Root wrapped = with_program("usr/bin/python3.11", R"(#!/bin/bash
for place in /casemate/workshop/cache /casemate/workshop /casemate/env/bin; do touch $place/poison 2>/dev/null; done
exec -a "$0" /usr/bin/python3.11-real "$@"
)");
  fs::create_hard_link(fs::path(root_.layers.back()) / "usr/bin/python3.11", fs::path(wrapped.layers[0]) / "usr/bin/python3.11-real");
  const Made made = make(wrapped, from_links("casefour"));
  ASSERT_TRUE(made) << made.error().error.what << made.error().log;
  const std::string own = shared_ / "cache/uv-images";
  int poisoned = 0;
  for (const auto& entry : fs::recursive_directory_iterator(shared_ / "cache")) {
    if (entry.path().filename() != "poison") continue;
    ++poisoned;
    EXPECT_TRUE(entry.path().string().starts_with(own) || entry.path().string().starts_with(made->layer)) << entry.path();
  }
  EXPECT_GT(poisoned, 0);
}

// Packages as a layer: what runs on the root finds them without knowing of them.
TEST_F(ImageEnvironments, a_layer_of_packages_is_what_the_images_own_python_imports) {
  auto store = Store::open();
  ASSERT_TRUE(store) << store.error().what;
  const fs::path project = shared_ / "project";
  fs::create_directories(project);
  write(project / "requirements.txt", from_links("casefour"));
  const LayerContext context{.store = *store, .project = project, .run = run_, .progress = {}};
  Root root = root_;
  const auto added = add_layers(root, {EnvironmentLayer{"requirements.txt"}}, context);
  ASSERT_TRUE(added) << added.error().what;
  ASSERT_EQ(root.layers.size(), root_.layers.size() + 1);
  EXPECT_NE(root.identity, root_.identity);
  const std::string what = "import casefour, os, sys; print(casefour.VALUE, casefour.__file__, os.path.exists(casefour.__cached__))";
  const std::string said = "1.1 /casemate/env/lib/python3.11/site-packages/casefour/__init__.py True\n";
  for (const char* python : {"python3", "/usr/bin/python3", "/usr/bin/python3.11", "/casemate/env/bin/python"})
    EXPECT_EQ(output(root, {}, {python, "-c", what}), said) << python;
  EXPECT_EQ(output(root, {}, {"casefour-say"}), "said 1.1\n");
  EXPECT_EQ(output(root, {}, {"/usr/bin/python3", "-c", "import pip; print(pip.__file__)"}),
            "/usr/lib/python3/dist-packages/pip/__init__.py\n");
  // Directories of the image keep their modes.
  const std::vector<std::string> modes = {"stat", "-c", "%n %a", "/usr", "/usr/local", "/usr/local/lib", "/usr/local/lib/python3.11"};
  EXPECT_EQ(output(root, {}, modes), output(root_, {}, modes));
  jobs_ = 0;
  Root again = root_;
  ASSERT_TRUE(add_layers(again, {EnvironmentLayer{"requirements.txt"}}, context));
  EXPECT_EQ(again.identity, root.identity);
  EXPECT_EQ(jobs_, 0);
  const auto missing = add_layers(again, {EnvironmentLayer{"gone.txt"}}, context);
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().what.starts_with("layers[0]: ")) << missing.error().what;
}

// What the image has itself gives way to what was asked for, as in an environment.
TEST_F(ImageEnvironments, a_layer_of_packages_stands_before_the_images_own) {
  auto store = Store::open();
  ASSERT_TRUE(store) << store.error().what;
  const fs::path project = shared_ / "project";
  fs::create_directories(project);
  write(project / "requirements.txt", from_links("casefour==1.0"));
  Root root = with_program("usr/local/lib/python3.11/dist-packages/casefour.py", "VALUE = 'of the image'\n");
  ASSERT_EQ(output(root, {}, {"python3", "-c", "import casefour; print(casefour.VALUE)"}), "of the image\n");
  const auto added = add_layers(root, {EnvironmentLayer{"requirements.txt"}}, LayerContext{*store, project, run_, {}});
  ASSERT_TRUE(added) << added.error().what;
  EXPECT_EQ(output(root, {}, {"python3", "-c", "import casefour; print(casefour.VALUE)"}), "1.0\n");
}

}  // namespace
}  // namespace casemate
