"""What goes to a remote engine and what is told of it: with a buildbox-casd that executes."""

import pytest
from images import image_layout

HIDDEN = "/usr/bin/python3.11 is not what was sent: the engine's workers have something of their own there"


@pytest.mark.big
def test_an_image_that_the_workers_hide_is_not_run(run, suite, casd):
    """The interpreter of this host has the same version, and its package most of the same files."""
    image = image_layout("python3.11")
    done = run("--remote", casd.address, "--image", image, "--", "python3", "-c", "print('ran')", timeout=400)
    told = [line for line in done.stderr.decode().splitlines() if "setup failed" in line]
    assert (done.returncode, done.stdout) == (125, b"") and len(told) == 1 and HIDDEN in told[0], done.stderr
    assert "without --runner-arg=--ro-bind-mount" in told[0]
    suite.write("test_a.py", "def test_a(): pass\n")
    suite.write("requirements.txt", "")
    for where in (), ("--remote-slots", 1, "--remote-property", "unixUID=1000"):
        ended = suite("--remote", casd.address, "--image", image, *where, timeout=400)
        assert ended.status == 3 and HIDDEN in ended.out + ended.err, str(ended)
