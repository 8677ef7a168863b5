"""Private repositories: a real git server that wants a password, and --clone-credentials."""

import os

import pytest
from agents import files_with
from labs import git

SECRET = "sesame-4f1c"
SPY = """
all: proxy
proxy: proxy.c
\t-find / -xdev -name 'credential*' -path '/work/*'
\t-cat /work/credentials
\t-env
\t-cat .git/config
\tcc -o proxy proxy.c
clean:
\trm -f proxy
"""


def credentials(world, password=SECRET, mode=0o600):
    server = world.git.url("").removeprefix("http://").rstrip("/")
    file = world.directory / "git-credentials"
    file.write_text(f"http://grader:{password}@{server}\n")
    file.chmod(mode)
    return file


def private(world, repository):
    world.git.private[repository.name] = f"grader:{SECRET}"
    return repository


def assert_secret_stays(world, *more):
    """Nowhere but in its own file, of all that the agent says, posts and leaves."""
    places = [world.state, world.environment["CASEMATE_CACHE_DIR"], world.environment["CASEMATE_STATE_DIR"], *more]
    assert files_with(SECRET, *places) == []
    assert all(SECRET not in agent.said for agent in world.agents)
    assert SECRET not in str(world.backend.requests())


def test_private_repositories_are_cloned_with_the_files_password(world):
    world.tests = private(world, world.labs.tests())
    private(world, world.labs.lab("good", files={"Makefile": SPY}))
    graded = world.grade("good", "--clone-credentials", credentials(world), "--logger-level", "debug", connectedTests=["test_greets"])
    assert graded.passed is True, graded.details
    output = world.artifact("output.txt").decode(errors="replace")
    assert "cat: /work/credentials: No such file" in output
    assert "url = http" in output  # .git is there, without a password
    assert_secret_stays(world)


def test_without_the_right_password_git_says_so_and_nobody_waits(world):
    private(world, world.labs.lab("good"))
    refused = world.grade("good")
    assert refused.error and "Authentication failed" in refused.details
    world.agents[0].stop()
    private(world, world.labs.lab("good", name="second.git"))
    wrong = world.grade("second", "--clone-credentials", credentials(world, "wrong-" + SECRET))
    assert wrong.error and "Authentication failed" in wrong.details
    assert_secret_stays(world)


def test_a_submodule_gets_no_password_and_one_for_everybody_comes_along(world):
    """Else a student could name another student's repository, and hand it in."""
    other = private(world, world.labs.repository("other-student.git", {"proxy.c": "int main(void) { return 0; }\n"}))
    public = world.labs.repository("public.git", {"part.h": "#define PART 1\n"})

    def with_part(name, part, url):
        lab = private(world, world.labs.lab("good", name=name))
        lab.commit({".gitmodules": f'[submodule "part"]\n\tpath = part\n\turl = {url}\n'})
        git("update-index", "--add", "--cacheinfo", f"160000,{part.commit()},part", cwd=lab.work)
        git("commit", "--quiet", "--message", "part", cwd=lab.work)
        git("push", "--quiet", "origin", "main", cwd=lab.work)

    with_part("thief.git", other, world.git.url(other))
    with_part("near.git", other, "../other-student.git")
    with_part("honest.git", public, world.git.url(public))
    file = credentials(world)
    for name in ("thief", "near"):
        stolen = world.grade(name, "--clone-credentials", file)
        assert stolen.error and "could not be cloned" in stolen.details and "Authentication failed" in stolen.details, stolen.details
        assert stolen.cases == []
    assert world.grade("honest", "--clone-credentials", file, connectedTests=["test_greets"]).passed is True


def test_a_server_that_sends_git_elsewhere_gets_it_no_password_there(world):
    private(world, world.labs.lab("good"))
    world.start_backend()
    world.start("--clone-credentials", credentials(world))
    url = world.git.url("good.git", "elsewhere/").replace("127.0.0.1", "localhost")
    sent = world.backend.wait_for(world.backend.task(url, laboratoryNumber=1))
    assert sent.error and "Authentication failed" in sent.details
    public = world.labs.lab("good", name="public.git")
    url = world.git.url(public, "elsewhere/").replace("127.0.0.1", "localhost")
    assert world.backend.wait_for(world.backend.task(url, laboratoryNumber=1)).passed is True


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        ("https://grader:secret@git.example.org\n", 0o644, "is open to other users (mode 0644): chmod 600 it"),
        ("https://grader:secret@git.example.org\n", 0o640, "is open to other users (mode 0640): chmod 600 it"),
        ("https://grader:secret@git.example.org\nsecret\n", 0o600, "line 2 of"),
        ("https://git.example.org/secret\n", 0o600, "is no URL with a user and a password"),
        ("", 0o600, "is empty"),
        (None, 0, "No such file"),
    ],
)
def test_a_file_that_will_not_do_ends_the_agent_before_it_takes_anything(world, content, mode, told):
    file = world.directory / "git-credentials"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    done = world.run("--clone-credentials", file)
    assert done.returncode == 2
    assert "argument --clone-credentials: " in done.stderr and told in done.stderr and "secret" not in done.stderr.replace(str(file), "")
    assert world.backend.requests() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_of_another_user_is_refused(world):
    file = credentials(world)
    os.chown(file, 65534, 65534)
    done = world.run("--clone-credentials", file)
    assert (done.returncode, "belongs to user 65534" in done.stderr) == (2, True)
