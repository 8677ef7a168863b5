"""`casemate pytest --remote --cache`: tests that passed on an engine, apart from each other, are not run there again."""

from engines import casd, start_casd  # noqa: F401
from suites import suite  # noqa: F401
from test_pytest_cache import ALL, kept, ran  # noqa: F401
from test_pytest_remote import CELLS

NOT_APART = "--cache: of tests that shared a worker without namespaces, or fell back on this machine, nothing is kept"


def test_what_passed_in_namespaces_is_not_run_again(kept, casd):  # noqa: F811
    words = ("--remote", casd.target, *CELLS, "--cache")
    first, second = kept(*words), kept(*words)
    assert (first.status, ran(first), second.status, ran(second)) == (0, ALL, 0, set()), str(second)
    assert "4 passed (4 cached)" in second.out
    assert ran(kept("--cache")) == ALL  # a cell is another place
    assert ran(kept(*words, "--remote-property", "pool=other")) == ALL
    kept.write("test_it.py", "def test_a(): pass\n")
    assert ran(kept(*words)) == {"test_a"}


def test_what_shared_a_worker_is_not_kept(kept, casd):  # noqa: F811
    words = ("--remote", casd.target, "--cache")
    first, second = kept(*words), kept(*words)
    assert (ran(first), ran(second)) == (ALL, ALL)
    assert NOT_APART in first.notes


def test_what_fell_back_is_not_kept(kept):  # noqa: F811
    words = ("--remote", "grpc://127.0.0.1:1", "--remote-fallback", "--cache")
    first, second = kept(*words), kept(*words)
    assert (first.status, ran(first), ran(second)) == (0, ALL, ALL), str(second)
    assert NOT_APART in first.notes
