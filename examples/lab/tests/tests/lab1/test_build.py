"""make makes the program, and make clean takes it away."""


def test_make(project, make):
    built = make()
    assert built.returncode == 0, built.stderr
    assert (project / "count").exists()


def test_make_says_nothing_bad(make):
    make("clean")
    assert "warning" not in make().stderr


def test_make_clean(project, make):
    make()
    assert make("clean").returncode == 0
    assert not (project / "count").exists()
