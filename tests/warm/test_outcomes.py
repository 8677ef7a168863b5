"""Reports of forks are those of a plain pytest."""
import pytest

SUITE = """
    import pathlib, sys, unittest, warnings
    import pytest

    @pytest.fixture
    def broken_setup(): raise ValueError("no set-up")
    @pytest.fixture
    def broken_teardown():
        yield 1
        raise ValueError("no tear-down")
    @pytest.fixture(scope="module")
    def module_value():
        yield [1]
        print("module fixture over")
    @pytest.fixture(scope="session")
    def session_value(tmp_path_factory): return tmp_path_factory.mktemp("session")

    def setup_module(module): module.was_set_up = True
    def test_passes(): assert was_set_up
    def test_fails():
        value = {"a": [1, 2, 3]}
        assert value == {"a": [1, 2, 4]}, "not\\nequal"
    def test_error_in_setup(broken_setup): pass
    def test_error_in_teardown(broken_teardown): pass
    def test_fails_and_error_in_teardown(broken_teardown): assert False
    @pytest.mark.skip(reason="marked")
    def test_skipped_by_mark(): assert False
    @pytest.mark.skipif(sys.version_info > (3,), reason="conditional")
    def test_skipped_by_condition(): assert False
    def test_skips_at_run_time(): pytest.skip("when run")
    @pytest.mark.xfail(reason="known")
    def test_xfails(): assert False
    @pytest.mark.xfail(reason="known")
    def test_xpasses(): pass
    @pytest.mark.xfail(strict=True, reason="strictly")
    def test_xpasses_strict(): pass
    @pytest.mark.xfail(raises=ValueError)
    def test_xfail_of_another_kind(): raise KeyError("k")
    def test_xfails_at_run_time(): pytest.xfail("imperative")
    @pytest.mark.parametrize("value", ["\\u00fc", "a\\nb", "a::b", "[x]", "", "\\U0001f600"], ids=str)
    def test_parametrised(value): assert value
    def test_module_fixture(module_value): assert module_value == [1]
    def test_session_fixture(session_value, tmp_path): assert session_value.is_dir() and tmp_path.is_dir()

    class TestClass:
        @classmethod
        def setup_class(cls): cls.value = 3
        def test_method(self): assert self.value == 3
        class TestInner:
            @pytest.mark.parametrize("n", range(2))
            def test_inner(self, n): assert n == 0

    class Unit(unittest.TestCase):
        @classmethod
        def setUpClass(cls): cls.shared = 1
        def setUp(self): self.own = 2
        def test_unit(self): self.assertEqual(self.shared + self.own, 3)
        def test_unit_fails(self): self.assertEqual(self.own, 3)
        @unittest.skip("unit skip")
        def test_unit_skipped(self): pass
        @unittest.expectedFailure
        def test_unit_expected(self): self.fail()
        @unittest.expectedFailure
        def test_unit_unexpected(self): pass

    class BrokenUnit(unittest.TestCase):
        @classmethod
        def setUpClass(cls): raise RuntimeError("class")
        def test_never(self): pass

    def test_capsys(capsys):
        print("seen")
        assert capsys.readouterr().out == "seen\\n"
    def test_capfd(capfd):
        import os
        os.write(1, b"raw")
        assert capfd.readouterr().out == "raw"
    def test_caplog(caplog):
        import logging
        logging.getLogger("x").warning("logged")
        assert caplog.messages == ["logged"]
    def test_monkeypatch(monkeypatch): monkeypatch.setenv("A", "b")
    def test_recwarn(recwarn):
        warnings.warn("hm")
        assert len(recwarn) == 1
    def test_raises():
        with pytest.raises(ZeroDivisionError): 1 / 0
"""


@pytest.mark.parametrize("options", [(), ("-s",), ("--capture=sys",), ("--tb=native", "-vv")], ids=" ".join)
def test_outcomes_are_those_of_a_plain_pytest(project, options):
    project.write("test_it.py", SUITE)
    project.write("sub/conftest.py", "import pytest\n@pytest.fixture\ndef near(): return 1\n")
    project.write("sub/test_skipped_module.py", "import pytest\npytest.skip('all of it', allow_module_level=True)\n")
    project.write("sub/test_marks.py", "import pytest\npytestmark = pytest.mark.skip(reason='module')\ndef test_x(): assert 0\n")
    project.write("sub/test_near.py", "def test_near(near): assert near == 1\n")
    plain = [report for report in project.plain_reports(*options)]
    assert len(plain) > 90
    assert project.run_all(*options) == plain


def test_selection_is_pytests(project):
    project.write("test_it.py", "import pytest\ndef test_one(): pass\n@pytest.mark.skip\ndef test_two(): pass\ndef test_three(): pass\n")
    project.write("test_other.py", "def test_one(): pass\ndef test_four(): pass\n")
    for options in (("-k", "one or two"), ("--deselect", "test_it.py::test_one"), ("test_other.py::test_four", "test_it.py::test_two"),
                    ("--ignore", "test_other.py"), ("-k", "three", "test_it.py")):
        base = project.base(*options)
        collected = base.collect()
        ids = [line["item"] for line in collected if "item" in line]
        plain = [report[0] for report in project.plain_reports(*options) if report[1] == "setup"]
        assert ids == plain
        for file in {line["file"] for line in collected if "item" in line}:
            parent = base.module(file)
            for line in collected:
                if line.get("file") == file and "item" in line:
                    assert parent.run(line["item"]).reports


def test_failures_say_what_and_where(project):
    project.write("test_it.py", SUITE)
    parent = project.module()
    failed = parent.run("test_it.py::test_fails")
    report = failed.reports[1]
    assert report["message"] == "AssertionError: not"
    assert report["path"].endswith("/test_it.py")
    assert report["line"] > 1
    assert "assert {'a': [1, 2, 3]} == {'a': [1, 2, 4]}" in report["text"]
    skipped = parent.run("test_it.py::test_skips_at_run_time").reports[1]
    assert (skipped["outcome"], skipped["text"], skipped["message"]) == ("skipped", "when run", "when run")
    assert skipped["path"].endswith("test_it.py")
    error = parent.run("test_it.py::test_error_in_setup").reports[0]
    assert (error["when"], error["outcome"], error["message"]) == ("setup", "failed", "ValueError: no set-up")
    strict = parent.run("test_it.py::test_xpasses_strict").reports[1]
    assert (strict["outcome"], strict["message"]) == ("failed", "[XPASS(strict)] strictly")
    known = parent.run("test_it.py::test_xfails").reports[1]
    assert (known["outcome"], known["xfail"]) == ("skipped", "known")
    imperative = parent.run("test_it.py::test_xfails_at_run_time").reports[1]
    assert imperative["xfail"] == "imperative"


def test_warnings_and_properties_come_with_the_reports(project):
    project.write("test_it.py", """
        import warnings
        def test_warns(record_property):
            record_property("a", 1)
            record_property("b", ["x"])
            record_property("c", "\\udc80 \\u00fc")
            warnings.warn(DeprecationWarning("old \\u00fc"))
    """)
    result = project.module().run("test_it.py::test_warns")
    warning = result.warnings[0]
    assert (warning["category"], warning["message"], warning["line"]) == ("DeprecationWarning", "old \u00fc", 7)
    assert warning["id"] == "test_it.py::test_warns"
    assert result.reports[-1]["properties"] == [["a", "1"], ["b", "['x']"], ["c", "\\udc80 \u00fc"]]


def test_subtests_report_each_for_itself(project):
    project.write("test_it.py", """
        import unittest
        class Unit(unittest.TestCase):
            def test_subtests(self):
                for i in range(3):
                    with self.subTest("part", i=i):
                        self.assertNotEqual(i, 1)
    """)
    result = project.module().run("test_it.py::Unit::test_subtests")
    subtests = [r["subtest"] for r in result.reports if r.get("subtest") and r["outcome"] == "failed"]
    if not subtests:
        pytest.skip("this pytest has no subtests")
    assert subtests == ["[part] (i=1)"]


def test_several_ids_share_fixtures_and_tear_down_once(project):
    project.write("test_it.py", """
        import pytest
        @pytest.fixture(scope="module")
        def shared():
            yield []
            print("over")
        def test_a(shared): shared.append(1)
        def test_b(shared): assert shared == [1]
        def test_c(shared): assert 0
        def test_d(shared): pass
    """)
    ids = ["test_it.py::test_" + letter for letter in "abcd"]
    result = project.module().run(ids)
    assert [(line["begin"]) for line in result.lines if "begin" in line] == ids
    assert [line["end"] for line in result.lines if "end" in line] == ids
    assert [r["outcome"] for r in result.reports if r["when"] == "call"] == ["passed", "passed", "failed", "passed"]
    torn_down = [r["id"] for r in result.reports if ["Captured stdout teardown", "over\n"] in r.get("sections", [])]
    assert torn_down == ids[-1:]
    assert result.lines[-1] == {"done": True}


def test_what_ends_a_session_is_said(project):
    project.write("test_it.py", """
        import pytest
        def test_exit(): pytest.exit("enough")
        def test_interrupt(): raise KeyboardInterrupt
        def test_system_exit(): raise SystemExit(3)
        def test_after(): pass
    """)
    parent = project.module()
    assert parent.run(["test_it.py::test_exit", "test_it.py::test_after"]).lines[-2]["stop"].endswith("enough")
    assert "KeyboardInterrupt" in parent.run("test_it.py::test_interrupt").lines[-2]["stop"]
    assert parent.run("test_it.py::test_system_exit").outcomes()["call"] == "failed"
    assert parent.run("test_it.py::test_nobody").lines[0] == {"missing": "test_it.py::test_nobody"}
