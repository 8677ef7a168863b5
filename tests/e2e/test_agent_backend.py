"""`casemate agent` and its backend: nothing is lost, nothing is posted twice, whatever either of them does."""

import json
import random
import signal
import time

import pytest
from agents import FIRST
from grading_backend import UNTIL_POSTED

pytestmark = pytest.mark.once

NO_TASK = {"b": [200, '{"status":"UNAVAILABLE"}'], "204": [204, ""], "404": [404, "{}"], "null": [200, "null"], "empty-object": [200, "{}"]}


def accepted(world, key):
    """How many results of a task the backend said yes to."""
    posts = [one for one in world.backend.requests("post") if one["status"] == 200]
    return sum(key in (f"attempt {body.get('attempt')}", f"id {body.get('id')}") for body in (json.loads(one["body"]) for one in posts))


def once(world, *keys):
    """Each of these has a result, posted once."""
    for key in keys:
        assert world.backend.result(key) not in (None, "deleted"), key
        assert accepted(world, key) == 1, key


# --- answers


@pytest.mark.parametrize("none", NO_TASK.values(), ids=NO_TASK)
def test_every_way_to_say_that_there_is_no_task(world, none):
    world.start_backend(none=none)
    world.start()
    world.backend.wait(lambda state: len(state["record"]) > 2)
    assert world.grade("good", **FIRST).passed is True


@pytest.mark.parametrize("do", ["bad-json", "reset", "reset-at-once", "huge"])
def test_a_poll_that_goes_wrong_is_made_again(world, do):
    world.start_backend()
    world.backend.fault("get", do, times=2)
    world.start()
    keys = [world.task("good", **FIRST) for _ in range(3)]
    world.backend.wait_for(keys[-1])  # what was handed out and lost on the way is not ours to know
    once(world, keys[-1])
    if do == "huge":
        world.backend.wait_for(*keys)
        once(world, *keys)


@pytest.mark.parametrize("status", [500, 502, 429, 404, 301])
def test_a_status_that_is_no_answer_is_waited_for(world, status):
    world.start_backend()
    world.backend.fault("get", "status", status=status, times=2)
    assert world.grade("good", **FIRST).passed is True


def test_polls_are_made_one_at_a_time_and_a_task_is_run_once(world):
    world.start_backend()
    world.backend.fault("get", "delay", seconds=0.3, times=50)
    key = world.task("good", repeat=6, **FIRST)
    other = world.task("good", form="b", repeat=6, **FIRST)
    world.start("--concurrent", "4")
    world.backend.wait_for(key, other)
    world.backend.wait(lambda state: state["left"] == 0)
    time.sleep(1)
    once(world, key, other)
    assert len(world.backend.posts(key)) == 1 and world.backend.state()["most_polls"] == 1
    assert len(world.task_directories) == 2


# --- results


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_result_that_the_server_did_not_take_is_posted_again(world, status):
    world.start_backend()
    world.backend.fault("post", "status", status=status, times=2)
    key = world.task("good", **FIRST)
    world.start()
    world.backend.wait_for(key)
    once(world, key)
    assert len(world.backend.posts(key)) == 3


def test_a_result_that_is_refused_is_given_up_and_the_agent_goes_on(world):
    world.start_backend()
    world.backend.raw_task({"attempt": 5000, "repositoryUrl": world.lab("good"), "branch": "main"})  # with a result of which 400 is said
    key = world.task("good", **FIRST)
    world.backend.fault("post", "status", status=400)
    world.start("--concurrent", "1")
    world.backend.wait_for(key)
    time.sleep(1.5)
    assert len(world.backend.posts("attempt 5000")) == 1
    once(world, key)


@pytest.mark.parametrize("do", ["vanish", "reset"])
@pytest.mark.parametrize("form", ["a", "b"])
def test_a_post_whose_answer_was_lost_is_asked_after_and_not_repeated(world, do, form):
    world.start_backend()
    world.backend.fault("post", do)
    key = world.task("good", form=form, **FIRST)
    world.start()
    world.backend.wait(lambda state: any(one["what"] == "ask" for one in state["record"]))
    after = world.task("good", **FIRST)
    world.backend.wait_for(after)
    time.sleep(1.5)
    once(world, key, after)


def test_a_post_whose_answer_was_lost_is_not_repeated_where_nobody_can_be_asked(world):
    world.start_backend(ask=False)
    world.backend.fault("post", "vanish")
    key = world.task("good", **FIRST)
    world.start()
    world.backend.wait_for(key)
    time.sleep(3)
    once(world, key)
    world.agents[0].stop()
    world.start()
    later = world.task("good", **FIRST)
    world.backend.wait_for(later)
    once(world, key, later)


def test_a_post_that_never_came_is_made_again_where_the_backend_says_so(world):
    world.start_backend()
    world.backend.fault("post", "reset-at-once")  # the request was sent; the backend has not taken it
    key = world.task("good", **FIRST)
    world.start()
    world.backend.wait_for(key)
    once(world, key)


@pytest.mark.parametrize("do", ["hang", "hang-after"])
def test_killed_while_it_posts(world, do):
    world.start_backend()
    world.backend.fault("post", do)
    key = world.task("good", form="b", **FIRST)
    agent = world.start()
    world.backend.wait(lambda state: any(one["what"] == "post" for one in state["record"]))
    time.sleep(0.3)
    agent.kill()
    world.backend.tell("clear")
    world.start()
    world.backend.wait_for(key)
    time.sleep(1.5)
    once(world, key)


# --- nothing lost, nothing twice


def test_killed_at_random_moments_each_task_is_posted_once(world):
    world.start_backend()
    world.backend.fault("post", "delay", seconds=0.15, times=1000)  # a wider window to be killed in
    seed = random.randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    # A task that was handed out and had not reached the disk is handed out again, or it would be the backend that loses it.
    kinds = enumerate(["good", "wrong"] * 5)
    keys = [world.task(kind, form="ab"[number % 2], repeat=UNTIL_POSTED, **FIRST) for number, kind in kinds]
    for _ in range(12):
        agent = world.start("--concurrent", "2")
        time.sleep(dice.uniform(0.1, 1.6))
        agent.kill()
    world.start("--concurrent", "2")
    world.backend.wait_for(*keys)
    time.sleep(1)
    once(world, *keys)
    for number, key in enumerate(keys):
        assert world.backend.result(key).passed is (number % 2 == 0)


def test_the_backend_goes_down_in_the_middle(world):
    world.start_backend()
    keys = [world.task("good", **FIRST) for _ in range(5)]
    world.start("--concurrent", "2")
    world.backend.wait(lambda state: state["left"] <= 3)
    world.backend.down()
    time.sleep(3)
    assert world.agents[0].process.poll() is None
    world.backend.up()
    world.backend.wait_for(*keys)
    once(world, *keys)


def test_a_result_is_kept_over_a_restart_while_the_backend_is_down(world):
    world.start_backend()
    key = world.task("good", **FIRST)
    world.start()
    world.backend.wait(lambda state: state["left"] == 0)
    world.backend.down()
    deadline = time.monotonic() + 60
    while not (world.task_directories and (world.task_directories[-1] / "grade.json").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    assert world.agents[0].stop() == 0
    again = world.start()
    time.sleep(0.5)
    assert again.process.poll() is None
    world.backend.up()
    assert world.backend.wait_for(key).passed is True
    once(world, key)
    assert len(world.task_directories) == 1  # it was not run again


def test_a_backend_that_is_not_there_at_the_start_is_waited_for(world):
    world.start_backend()
    world.backend.down()
    agent = world.start()
    time.sleep(1)
    assert agent.process.poll() is None
    world.backend.up()
    assert world.grade("good", **FIRST).passed is True


def test_a_second_agent_with_the_same_state_is_refused(world):
    world.start_backend()
    world.start()
    world.backend.wait(lambda state: state["record"])
    second = world.run()
    assert second.returncode not in (0, 1) and second.returncode < 128
    assert len(second.stderr.strip().splitlines()) == 1
    assert world.grade("good", **FIRST).passed is True


def test_stopping_does_not_wait_for_a_backend_that_hangs(world):
    world.start_backend()
    world.backend.fault("get", "hang")
    agent = world.start()
    world.backend.wait(lambda state: state["record"])
    assert agent.stop(signal.SIGTERM, seconds=10) == 0


# --- who we are


def test_log_in_and_a_token_on_each_request(world):
    world.start_backend(auth=True)
    assert world.grade("good", "--auth", **FIRST).passed is True
    record = world.backend.requests()
    assert record[0]["what"] == "login" and json.loads(record[0]["body"]) == {"username": "dora_explorer", "password": "dora_explorer"}
    assert all(one["headers"]["Authorization"].startswith("Bearer ") for one in record[1:])
    assert [one["what"] for one in record].count("login") == 1


def test_without_auth_nobody_logs_in(world):
    world.grade("good", **FIRST)
    assert not world.backend.requests("login") and not any("Authorization" in one["headers"] for one in world.backend.requests())


def test_the_way_the_flag_was_once_written(world):
    world.start_backend(auth=True)
    assert world.grade("good", "-auth", **FIRST).passed is True


@pytest.mark.parametrize("opaque", [False, True], ids=["jwt", "opaque"])
def test_tokens_that_live_for_two_seconds_are_refreshed_and_each_refresh_is_used_once(world, opaque):
    world.start_backend(auth=True, access_seconds=2, opaque_tokens=opaque)
    keys = [world.task("good", **FIRST) for _ in range(3)]
    world.start("--auth", "--concurrent", "1", "--refresh-time", "1")
    world.backend.wait_for(*keys)
    time.sleep(3)
    last = world.task("good", **FIRST)
    world.backend.wait_for(last)
    once(world, *keys, last)
    refreshes = world.backend.requests("refresh")
    assert refreshes and all(one["status"] == 200 for one in refreshes)
    bodies = [one["body"] for one in refreshes]
    assert len(set(bodies)) == len(bodies) and len(world.backend.requests("login")) == 1


def test_a_dead_refresh_token_means_to_log_in_again(world):
    world.start_backend(auth=True)
    world.start("--auth")
    world.backend.wait(lambda state: len(state["record"]) > 2)
    world.backend.tell("expire", refresh=True)
    assert world.grade("good", **FIRST).passed is True
    assert len(world.backend.requests("login")) == 2


def test_a_token_that_ends_between_run_and_post(world):
    world.start_backend(auth=True)
    key = world.task("good", **FIRST)
    world.start("--auth", "--check-interval", "600")
    world.backend.wait(lambda state: state["left"] == 0)
    world.backend.tell("expire")
    world.backend.wait_for(key)
    once(world, key)


WHO = {
    "bad-password": (["--login", "dora_explorer", "--password", "wrong-s3cret"], "password"),
    "unknown-user": (["--login", "nobody_here", "--password", "wrong-s3cret"], "nobody_here"),
    "no-role": (["--login", "student", "--password", "student"], "role"),
}


@pytest.mark.parametrize(("words", "said"), WHO.values(), ids=WHO)
def test_an_account_that_will_not_do_is_said_clearly_and_ends_the_agent(world, words, said):
    world.start_backend(auth=True)
    done = world.run("--auth", *words, timeout=60)
    assert done.returncode == 2
    text = done.stdout + done.stderr
    assert said in text.lower() and "wrong-s3cret" not in text
    assert len(world.backend.requests()) < 10


def test_the_paths_of_the_backend_are_options(world):
    world.start_backend(
        auth=True, access_seconds=2, paths={"/v2/next": "get", "/v2/done": "post", "/v2/in": "login", "/v2/again": "refresh"}
    )
    words = ["--auth", "--get-api", "/v2/next", "--post-api", "/v2/done", "--login-api", "/v2/in", "--token-refresh-api", "/v2/again"]
    world.start(*words)
    time.sleep(3)
    assert world.grade("good", **FIRST).passed is True
    assert {one["path"] for one in world.backend.requests()} >= {"/v2/next", "/v2/done", "/v2/in"}
