"""casemate pytest on the host's programs: the active interpreter wherever it lives, the project wherever it lies, from wherever it is started."""

import os
import pathlib
import site
import subprocess
import sys
import sysconfig

import pytest

PACKAGES = sysconfig.get_paths()["purelib"]  # where pytest is
PLAIN = "def test_it(tmp_path):\n    (tmp_path / 'x').write_text('x')\n"


def environment_at(path, *options, packages=True):
    """A virtual environment; it has pytest by a line of a .pth file, as editable installs are."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, str(path)], check=True, timeout=60)
    (found,) = path.glob("lib/python3*/site-packages")
    if packages:
        (found / "elsewhere.pth").write_text(PACKAGES + "\n")
    return found


def passes(suite, *words, **options):
    tests = suite.tests(*words, **options)
    assert tests
    assert {test["verdict"] for test in tests.values()} == {"passed"}
    return tests


@pytest.mark.parametrize("name", [".venv", "env", "../env of mine"])
def test_an_environment_in_the_project_or_elsewhere(suite, name):
    path = suite.directory / name
    environment_at(path)
    suite.environment["VIRTUAL_ENV"] = str(path)
    suite.write("test_it.py", f"import sys\ndef test_it():\n    assert sys.prefix == {os.path.abspath(path)!r}\n")
    assert list(passes(suite)) == ["test_it.py::test_it"]


def test_an_environment_with_the_systems_packages(suite, tmp_path):
    environment_at(tmp_path / "env", "--system-site-packages", packages=sys.prefix != sys.base_prefix)
    suite.environment["VIRTUAL_ENV"] = str(tmp_path / "env")
    suite.write("test_it.py", PLAIN)
    passes(suite)


def test_an_environment_of_somebody_else(suite, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may look into everybody's")
    (tmp_path / "env").mkdir(mode=0)
    suite.environment["VIRTUAL_ENV"] = str(tmp_path / "env")
    suite.write("test_it.py", PLAIN)
    ended = suite()
    assert ended.status == 2 and f"VIRTUAL_ENV is {tmp_path}/env, but you may not run its python" in ended.out, str(ended)


def test_the_first_python_on_the_path(suite, tmp_path):
    """As pyenv does it: a program that finds out which interpreter is meant."""
    shim = tmp_path / "shims" / "python3"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    shim.chmod(0o755)
    del suite.environment["VIRTUAL_ENV"]
    suite.environment["PATH"] = f"{shim.parent}:/usr/bin:/bin"
    suite.write("test_it.py", f"import sys\ndef test_it():\n    assert sys.executable == {sys.executable!r}\n")
    passes(suite)


def test_packages_of_the_user(suite, tmp_path):
    python = os.path.realpath(sys.executable)
    del suite.environment["VIRTUAL_ENV"]
    suite.environment |= {"HOME": str(tmp_path / "home"), "PATH": f"{os.path.dirname(python)}:/usr/bin:/bin"}
    place = subprocess.run([python, "-m", "site", "--user-site"], env=suite.environment, capture_output=True, text=True, check=False, timeout=60).stdout.strip()
    if not site.ENABLE_USER_SITE and not place:
        pytest.skip("this interpreter has no user site")
    pathlib.Path(place).mkdir(parents=True)
    pathlib.Path(place, "elsewhere.pth").write_text(PACKAGES + "\n")
    pathlib.Path(place, "of_the_user.py").touch()
    suite.write("test_it.py", "import of_the_user, os\ndef test_it():\n    assert not os.path.exists(os.environ['HOME'] + '/.local')\n")
    passes(suite, "--python", python)


def test_editable_installs(suite, tmp_path):
    found = environment_at(tmp_path / "env")
    (tmp_path / "one" / "src" / "first").mkdir(parents=True)
    (tmp_path / "one" / "src" / "first" / "__init__.py").write_text("V = 1\n")
    (found / "__editable__.first.pth").write_text(f"{tmp_path / 'one' / 'src'}\n")
    # setuptools' way for projects that are laid out otherwise.
    (tmp_path / "two" / "flat").mkdir(parents=True)
    (tmp_path / "two" / "flat" / "__init__.py").write_text("V = 2\n")
    (found / "__editable___second_finder.py").write_text(
        "import importlib.util, sys\n"
        f"MAPPING = {{'second': {str(tmp_path / 'two' / 'flat')!r}}}\n"
        "class Finder:\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        if name in MAPPING: return importlib.util.spec_from_file_location(name, MAPPING[name] + '/__init__.py')\n"
        "def install(): sys.meta_path.append(Finder)\n"
    )
    (found / "__editable__.second.pth").write_text("import __editable___second_finder; __editable___second_finder.install()\n")
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "third.py").write_text("V = 3\n")
    suite.environment |= {"VIRTUAL_ENV": str(tmp_path / "env"), "PYTHONPATH": "../three"}
    suite.write("test_it.py", "import first, second, third\ndef test_it():\n    assert (first.V, second.V, third.V) == (1, 2, 3)\n")
    passes(suite)


def test_spaces_unicode_and_symlinks_in_paths(suite, tmp_path):
    real = tmp_path / "a dir ü 'quoted'" / "project"
    real.mkdir(parents=True)
    (real / "test_it.py").write_text(f"import os\ndef test_it():\n    assert os.getcwd() == {str(real)!r}\n    open('made', 'w').close()\n")
    (tmp_path / "link").symlink_to(real)
    passes(suite, cwd=real)
    passes(suite, cwd=tmp_path / "link")
    assert not (real / "made").exists()


@pytest.fixture
def large(suite):
    """A repository with settings and a conftest at its top."""
    (suite.directory / ".git").mkdir()
    suite.write("lib/pyproject.toml", "[tool.pytest.ini_options]\npythonpath = ['src']\nmarkers = ['special']\naddopts = '--strict-markers'\n")
    suite.write("lib/src/of_lib.py", "V = 1\n")
    suite.write("lib/conftest.py", "import pytest\n@pytest.fixture\ndef up():\n    return 5\n")
    suite.write("data.txt", "data")
    suite.write(
        "lib/tests/unit/test_it.py",
        "import pathlib, of_lib, pytest\n@pytest.mark.special\ndef test_it(up, pytestconfig):\n"
        "    assert up == 5 and pytestconfig.rootpath.name == 'lib'\n    assert (pytestconfig.rootpath / '../data.txt').read_text() == 'data'\n",
    )
    suite.write("lib/tests/test_other.py", PLAIN)
    return suite


@pytest.mark.parametrize(
    ("start", "words", "wanted"),
    [
        ("lib", [], ["tests/test_other.py::test_it", "tests/unit/test_it.py::test_it"]),
        ("lib/tests/unit", [], ["tests/unit/test_it.py::test_it"]),
        ("lib/tests/unit", ["test_it.py::test_it"], ["tests/unit/test_it.py::test_it"]),
        ("lib/src", ["../tests"], ["tests/test_other.py::test_it", "tests/unit/test_it.py::test_it"]),
        (".", ["lib/tests/unit"], ["tests/unit/test_it.py::test_it"]),
    ],
)
def test_it_is_pytests_own_root_from_anywhere(large, start, words, wanted):
    plain = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words], cwd=large.directory / start, env=large.environment, capture_output=True, text=True, timeout=60)
    assert sorted(line for line in plain.stdout.splitlines() if "::" in line) == wanted, plain.stdout
    assert sorted(passes(large, *words, cwd=large.directory / start)) == wanted


def test_nothing_of_home_is_shown_for_a_file_that_lies_there(suite, tmp_path):
    suite.environment["HOME"] = str(tmp_path)
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\n")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / ".git").mkdir()
    suite.write("test_it.py", f"import os\ndef test_it():\n    assert not os.path.exists({str(tmp_path / 'secret')!r})\n")
    passes(suite)
