"""What the program prints."""

import pytest


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "0 0 0"),
        ("one\n", "1 1 4"),
        ("one two\nthree\n", "2 3 14"),
        ("two  blanks\n", "1 2 12"),
    ],
    ids=["nothing", "one word", "two lines", "two blanks"],
)
def test_counts(count, tmp_path, text, expected):
    file = tmp_path / "text"
    file.write_text(text)
    assert count(file).stdout == expected + "\n"


def test_without_a_file(count):
    ended = count()
    assert ended.returncode == 2
    assert "usage" in ended.stderr


def test_a_file_that_is_missing(count, tmp_path):
    assert count(tmp_path / "missing").returncode == 1
