"""`casemate script --remote --cache`: as here."""

import pytest
from test_script_cache import (  # noqa: F401
    test_packages_that_are_compiled_behind_a_run_are_the_same,
    test_the_second_time_is_the_first,
    test_what_did_not_end_well_is_never_kept,
    test_what_is_not_kept_says_why,
)


@pytest.fixture
def script(runner, casd, tmp_path):
    runner.environment |= {"CASEMATE_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}  # the Python that the worker has too
    runner.write("data.csv", "a,b")
    return lambda source, *more, **options: runner.object(source, "--cache", "--inputs", "data.csv", "--remote", casd.address, *more, **options)


def test_here_and_there_are_two_places(runner, casd, tmp_path):
    runner.environment |= {"CASEMATE_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    source = "import uuid; print(uuid.uuid4())"
    here, _ = runner.object(source, "--cache")
    there, _ = runner.object(source, "--cache", "--remote", casd.address)
    assert not there["details"]["cached"] and there["details"]["stdout"] != here["details"]["stdout"]
