"""Engines: running, threads, event loops, forks, signals, and what is left."""

import asyncio
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import casemate
from cases import cells, processes, program, raises, until


def sh(text, **more):
    return casemate.job(["sh", "-c", text], python=False, **more)


def case_a_job_runs():
    with casemate.Engine() as engine:
        result = engine.run(sh("echo out; echo err >&2; exit 3", name="first"))
        assert (result.outcome.kind, result.outcome.code, result.exit_status) == ("exited", 3, 3)
        assert (result.stdout, result.stderr) == ("out\n", "err\n")
        assert result.output.out_total == 4 and not result.succeeded
        assert result.resources.wall_seconds > 0
        assert str(result.outcome) == "exited 3"
        assert pickle.loads(pickle.dumps(result)) == result
        assert casemate.JobResult.from_dict(result.to_dict()) == result
        assert engine.run(sh("true")).succeeded


def case_the_active_interpreter_and_its_packages_are_shown():
    with casemate.Engine() as engine:
        result = engine.run(casemate.job(["python", "-c", "import sys, casemate; print(sys.version_info[:3], casemate.__version__)"]))
        assert result.stdout == f"{sys.version_info[:3]} {casemate.__version__}\n", result
        result = engine.run(casemate.job(["sh", "-c", "python3 -c 'import sys; print(sys.prefix)'"]))
        assert result.stdout == sys.prefix + "\n", result


def case_nothing_else_is_shown(directory):
    (directory / "secret").write_text("s")
    os.environ["CASEMATE_TEST_SECRET"] = "s"
    with casemate.Engine() as engine:
        result = engine.run(sh(f"cat {directory}/secret; env; tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/environ"))
        assert "No such file" in result.stderr
        assert "CASEMATE_TEST_SECRET" not in result.stdout and "cases" not in result.stdout, result.stdout
        assert engine.run(sh("cat secret", show=[directory], cwd=directory)).stdout == "s"
        result = engine.run(sh("echo more >>secret; echo new >made", writable=[directory], cwd=directory))
        assert result.succeeded, result
        assert (directory / "secret").read_text() == "smore\n" and (directory / "made").read_text() == "new\n"


def case_stdin_environment_limits_and_a_timeout():
    with casemate.Engine() as engine:
        assert engine.run(sh("cat", stdin="hällo")).stdout == "hällo"
        assert engine.run(sh("cat; printf x", stdin=b"")).stdout == "x"
        assert engine.run(sh('printf %s "$A"', env={"A": "\udcff"})).output.out == b"\xff"
        assert engine.run(sh("sleep 60", timeout=0.2)).outcome.kind == casemate.OutcomeKind.timed_out
        limits = casemate.default_limits()
        limits.output_bytes = 1000
        assert engine.run(sh("yes", limits=limits)).outcome.kind == casemate.OutcomeKind.output_limit
        assert engine.run(sh("sleep 60 & exit 0")).leftovers[0].name in ("sleep", "sh")  # as far as it came


def case_changed_files_come_back(directory):
    (directory / "lower").mkdir()
    (directory / "lower" / "old").write_text("x")
    job = sh("rm old; echo hello >new; ln -s /etc link", cwd="/work")
    job.mounts.append(casemate.Mount(kind=casemate.MountKind.overlay, target="/work", lower=[str(directory / "lower")], owned=True))
    job.collect = ["/work"]
    job.collect_to = str(directory / "out")
    with casemate.Engine() as engine:
        result = engine.run(job)
    assert result.succeeded, result
    found = {change.path: (change.kind, change.type) for change in result.changes}
    assert found == {"old": ("deleted", "file"), "new": ("created", "file"), "link": ("created", "symlink")}, result.changes
    assert (directory / "out" / "new").read_text() == "hello\n"
    assert (directory / "lower" / "old").exists()


def case_jobs_that_make_no_sense_are_exceptions():
    with casemate.Engine() as engine:
        for change, kind, words in [
            ({"argv": []}, casemate.InvalidInput, ""),
            ({"argv": "ls"}, casemate.InvalidInput, "Job.argv: a list is wanted, not str"),
            ({"argv": ["a", 1]}, casemate.InvalidInput, "Job.argv[1]: a str, bytes or a path is wanted, not int"),
            ({"argv": ["a\0b"]}, casemate.InvalidInput, ""),
            ({"cwd": "here"}, casemate.InvalidInput, ""),
            ({"env": {"A=B": "x"}}, casemate.InvalidInput, "Job.env['A=B']: not the name of a variable"),
            ({"network": "tunnel"}, casemate.InvalidInput, "Job.network: none of 'none', 'outbound', 'host'"),
            ({"uid": -1}, casemate.InvalidInput, "Job.uid: not between 0 and 4294967295"),
            ({"uid": True}, casemate.InvalidInput, "Job.uid: an int is wanted, not bool"),
            ({"mounts": ["/x"]}, casemate.InvalidInput, "Job.mounts[0]: a casemate.Mount is wanted, not str"),
            ({"limits": casemate.Limits(cpus=float("inf"))}, casemate.InvalidInput, "Job.limits.cpus: not a finite number"),
            ({"limits": casemate.Limits(wall_seconds="1")}, casemate.InvalidInput, "Job.limits.wall_seconds: a number is wanted, not str"),
            ({"stdin": "text"}, casemate.InvalidInput, "Job.stdin: bytes or None is wanted, not str"),
            ({"mounts": [casemate.Mount(source="/nowhere/at/all", target="/x")]}, casemate.Error, "/nowhere/at/all"),
        ]:
            job = sh("true")
            for name, value in change.items():
                setattr(job, name, value)
            with raises(kind, words):
                engine.run(job)
        with raises(casemate.InvalidInput, "a casemate.Job is wanted, not dict"):
            engine.run({"argv": ["true"]})
        with raises(casemate.InvalidInput, "argv is a list of words"):
            casemate.job("ls -l")
        with raises(casemate.InvalidInput, "a casemate.Job is wanted, not str: casemate.job(["):
            engine.run("echo hi")
        with raises(casemate.InvalidInput, "job: network is one of 'none', 'outbound', 'host', not 'yes'"):
            casemate.job(["true"], network="yes")
        with raises(ValueError, "job: profile is one of 'standard', 'strict', not None"):
            casemate.job(["true"], profile=None)
        assert casemate.job(["true"], network="host", profile="strict").network is casemate.Network.host
        assert engine.run(sh("true")).succeeded
    with raises(casemate.InvalidInput, "slots"):
        casemate.Engine(-1)


def case_output_is_heard_as_it_comes():
    heard = []
    with casemate.Engine() as engine:
        result = engine.run(sh("echo a; echo b >&2; sleep 0.1; echo c"), on_output=lambda stream, data: heard.append((stream, data)))
        assert b"".join(data for stream, data in heard if stream is casemate.Stream.out) == b"a\nc\n" == result.output.out
        assert b"".join(data for stream, data in heard if stream is casemate.Stream.err) == b"b\n"
        big = []
        assert engine.run(sh("head -c 5000000 /dev/zero"), on_output=lambda stream, data: big.append(len(data))).succeeded
        assert sum(big) == 5000000


def case_what_on_output_raises_ends_the_job():
    def refuse(stream, data):
        raise LookupError("enough")

    with casemate.Engine(slots=1) as engine:
        with raises(LookupError, "enough"):
            engine.run(sh("yes"), on_output=refuse)
        assert cells() == []
        assert engine.run(sh("true")).succeeded

        async def main():
            with raises(LookupError, "enough"):
                await engine.run_async(sh("yes"), on_output=refuse)

        asyncio.run(main())
        assert engine.run(sh("true")).succeeded


def case_an_unheard_writer_waits(directory):
    with casemate.Engine() as engine:
        handle = engine.submit(sh(f"head -c 8000000 /dev/zero; echo end >{directory}/end", writable=[directory]), on_output=lambda stream, data: None)
        time.sleep(0.3)
        assert not (directory / "end").exists()
        assert handle.result().succeeded
        assert (directory / "end").exists()


def case_threads_run_side_by_side(directory):
    # Each of four waits for the file of its neighbour, so none ends unless all run at a time.
    text = 'touch {0}/{1}; until test -e {0}/{2}; do sleep 0.01; done; echo {1}'
    said = {}
    with casemate.Engine(slots=4) as engine:

        def one(number):
            said[number] = engine.run(sh(text.format(directory, number, (number + 1) % 4), writable=[directory])).stdout

        threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert said == {number: f"{number}\n" for number in range(4)}


def case_many_threads_one_engine():
    failures = []
    with casemate.Engine(slots=2) as engine:

        def several(number):
            for turn in range(5):
                word = f"{number}-{turn}"
                result = engine.run(sh(f"echo {word}"))
                if result.stdout != word + "\n":
                    failures.append(result)

        threads = [threading.Thread(target=several, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def case_a_wait_leaves_the_gil():
    turns = [0]
    with casemate.Engine() as engine:
        handle = engine.submit(sh("read line; echo over", timeout=60))
        waiter = threading.Thread(target=handle.result)
        waiter.start()
        for _ in range(1000):
            turns[0] += 1
        handle.cancel()
        waiter.join()
        assert handle.done()


def case_a_handle_waits_for_a_while():
    with casemate.Engine() as engine:
        handle = engine.submit(sh("sleep 60"))
        with raises(TimeoutError, "the job has not ended after 0.05 s"):
            handle.result(timeout=0.05)
        assert not handle.done()
        handle.cancel()
        result = handle.result()
        assert result.outcome.kind == casemate.OutcomeKind.cancelled
        assert handle.result() is result and handle.result(timeout=0) is result
        handle.cancel()
        assert handle.job.argv == ["sh", "-c", "sleep 60"]


def case_one_job_is_cancelled_and_no_other():
    with casemate.Engine(slots=1) as engine:
        first, second, third = (engine.submit(sh(text)) for text in ("sleep 0.3; echo 1", "echo 2", "echo 3"))
        second.cancel()
        assert second.result().outcome.kind == casemate.OutcomeKind.cancelled
        assert first.result().stdout == "1\n"
        assert third.result().stdout == "3\n"


def case_run_many_gives_results_as_they_end():
    with casemate.Engine(slots=2) as engine:
        jobs = [sh(f"sleep {delay}; echo {delay}", name=str(number)) for number, delay in enumerate(["0.5", "0", "0.1"])]
        ended = [(job.name, result.stdout) for job, result in engine.run_many(jobs)]
        assert sorted(ended) == [("0", "0.5\n"), ("1", "0\n"), ("2", "0.1\n")]
        assert ended[-1][0] == "0"

        def endless():
            while True:
                yield sh("sleep 0.01")

        for number, (_, result) in enumerate(engine.run_many(endless())):
            assert result.succeeded
            if number == 20:
                break
        gc.collect()
        assert list(engine.run_many([])) == []
        with raises(casemate.InvalidInput):
            list(engine.run_many([sh("true"), casemate.Job(argv=[])]))
        assert engine.run(sh("true")).succeeded


def case_jobs_are_awaited():
    async def main(engine):
        heard = []
        results = await asyncio.gather(*(engine.run_async(sh(f"echo {n}")) for n in range(20)))
        assert [result.stdout for result in results] == [f"{n}\n" for n in range(20)]
        result = await engine.run_async(sh("echo a; echo b"), on_output=lambda stream, data: heard.append(data))
        assert b"".join(heard) == b"a\nb\n" == result.output.out
        handle = engine.submit(sh("echo once"))
        assert (await handle) is (await handle)
        with raises(casemate.InvalidInput):
            await engine.submit(casemate.Job(argv=[]))

    with casemate.Engine(slots=4) as engine:
        for _ in range(2):  # loops come and go
            asyncio.run(main(engine))


def case_the_loop_goes_on_while_jobs_run():
    async def main(engine):
        job = asyncio.ensure_future(engine.run_async(sh("sleep 0.3")))
        turns = 0
        while not job.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 10
        assert job.result().succeeded

    with casemate.Engine() as engine:
        asyncio.run(main(engine))


def case_a_cancelled_task_cancels_its_job():
    async def main(engine):
        handle = engine.submit(sh("sleep 60"))
        with raises(asyncio.TimeoutError):
            await asyncio.wait_for(handle, 0.2)
        assert handle.done() and handle.result().outcome.kind == casemate.OutcomeKind.cancelled
        task = asyncio.ensure_future(engine.run_async(sh("sleep 60")))
        await asyncio.sleep(0.1)
        task.cancel()
        with raises(asyncio.CancelledError):
            await task
        assert cells() == []
        assert (await engine.run_async(sh("true"))).succeeded

    with casemate.Engine(slots=1) as engine:
        asyncio.run(main(engine))


def case_a_closed_engine_says_so():
    engine = casemate.Engine()
    running = engine.submit(sh("sleep 60"))
    waiter = []
    thread = threading.Thread(target=lambda: waiter.append(running.result()))
    thread.start()
    engine.close()
    engine.close()
    thread.join()
    assert waiter[0].outcome.kind == casemate.OutcomeKind.cancelled
    with raises(casemate.Cancelled, "the engine is closed"):
        engine.run(sh("true"))
    assert processes() == []


def case_an_engine_nobody_holds_ends():
    handle = casemate.Engine().submit(sh("echo kept"))
    gc.collect()
    assert handle.result().stdout == "kept\n"
    del handle
    casemate.Engine().submit(sh("sleep 60"))
    gc.collect()
    assert processes() == []


def case_a_fork_is_told_and_can_have_its_own():
    engine = casemate.Engine()
    handle = engine.submit(sh("sleep 0.3; echo parent"))
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = []
        for call in (
            lambda: engine.run(sh("true")),
            lambda: engine.submit(sh("true")),
            lambda: handle.result(),
            lambda: handle.cancel(),
            lambda: handle.done(),
            lambda: asyncio.run(engine.run_async(sh("true"))),
            lambda: list(engine.run_many([sh("true")])),
        ):
            try:
                call()
                said.append("no error")
            except casemate.NotSupported as error:
                said.append("fork" if "fork" in str(error) else str(error))
            except BaseException as error:
                said.append(repr(error))
        engine.close()
        with casemate.Engine() as own:
            said.append(own.run(sh("echo child")).stdout)
        del engine, handle
        gc.collect()
        os.write(write, repr(said).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        said = file.read()
    os.waitpid(pid, 0)
    assert said == repr(["fork"] * 7 + ["child\n"]), said
    assert handle.result().stdout == "parent\n"
    engine.close()


def case_a_fork_that_just_ends_leaves_the_parent_alone():
    text = """
import casemate, os, sys
engine = casemate.Engine()
handle = engine.submit(casemate.job(["sh", "-c", "sleep 0.3; echo parent"], python=False))
child = os.fork()
if child == 0: sys.exit(0)
os.waitpid(child, 0)
print(handle.result().stdout)
"""
    process = program(text)
    out, err = process.communicate(timeout=60)
    # From 3.12 on Python warns of any fork beside threads.
    assert (process.returncode, out) == (0, "parent\n\n") and "Traceback" not in err, (process.returncode, out, err)


PROGRAM = """
import casemate, sys, time, threading
engine = casemate.Engine()
job = casemate.job(["sh", "-c", "echo ready; sleep 60"], python=False)
"""


def interrupted(text, number=signal.SIGINT):
    process = program(PROGRAM + text)
    line = process.stdout.readline()
    assert line == "ready\n", (line, process.communicate())
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


RUN = "engine.run(job, on_output=lambda stream, data: print(data.decode(), end='', flush=True))"


def case_ctrl_c_ends_the_wait_and_the_job():
    status, out, err = interrupted(f"try: {RUN}\nexcept KeyboardInterrupt: print('stopped')\nprint(engine.run(casemate.job(['true'])).succeeded)")
    assert (status, out) == (0, "stopped\nTrue\n"), (status, out, err)
    status, out, err = interrupted(RUN)
    assert status == -signal.SIGINT and "KeyboardInterrupt" in err, (status, out, err)


def case_ctrl_c_in_an_event_loop():
    status, out, err = interrupted(f"import asyncio\nasyncio.run({RUN.replace('run', 'run_async', 1)})")
    assert status == -signal.SIGINT and "KeyboardInterrupt" in err, (status, out, err)


def case_handlers_of_signals_run_while_a_job_does():
    text = "import signal, os\nsignal.signal(signal.SIGUSR1, lambda *_: (os.write(1, b'heard\\n'), handle.cancel()))\n"
    text += "handle = engine.submit(job, on_output=lambda stream, data: print(data.decode(), end='', flush=True))\nprint(handle.result().outcome)"
    status, out, err = interrupted(text, signal.SIGUSR1)
    assert (status, out) == (0, "heard\ncancelled\n"), (status, out, err)


def case_the_end_of_the_program_ends_its_jobs():
    texts = {
        "import os; engine.submit(job); print('over')": 0,
        "threading.Thread(target=engine.run, args=(job,), daemon=True).start(); time.sleep(0.3); print('over')": 0,
        "held = [engine.submit(job) for _ in range(5)]; time.sleep(0.3); print('over'); sys.exit(4)": 4,
        "engine.submit(job); print('over'); raise LookupError": 1,
        "import asyncio\nasync def main(): asyncio.ensure_future(engine.run_async(job)); await asyncio.sleep(0.3); print('over')\nasyncio.run(main())": 0,
    }
    for text, status in texts.items():
        process = program(PROGRAM + text)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (status, "over\n"), (text, process.returncode, out, err)
        assert status or not err, err


def case_a_killed_program_leaves_no_process():
    process = program(PROGRAM + RUN)
    assert process.stdout.readline() == "ready\n"
    below = processes(process.pid)
    assert below
    process.kill()
    process.communicate()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in below), "all processes of the cell are gone")
    casemate.Engine().close()  # sweeps what it left


def case_programs_of_the_host_still_run_beside_an_engine():
    with casemate.Engine() as engine:
        handle = engine.submit(sh("sleep 0.2"))
        assert subprocess.run(["true"], check=False).returncode == 0
        assert handle.result().succeeded


def case_a_program_may_wait_for_any_child(directory):
    """Where an account has no privilege newuidmap is a child too; a tester asks an interpreter what it is."""
    text = """
import casemate, os, sys, threading
from casemate.runtime import RuntimeTester
def reap():
    while True:
        try: os.waitpid(-1, os.WNOHANG)
        except ChildProcessError: pass
threading.Thread(target=reap, daemon=True).start()
with casemate.Engine() as engine:
    print([engine.run(casemate.job(["true"], python=False)).succeeded for _ in range(5)])
open(sys.argv[1] + "/idle.py", "w").write("def main(input_paths, output_paths, environ_vars, job_args): pass")
with RuntimeTester(sys.argv[1] + "/work", script_directories=[sys.argv[1]]) as tester:
    print(tester.test_script("idle").success)
"""
    process = program(text, str(directory))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "[True, True, True, True, True]\nTrue\n"), (process.returncode, out, err)


def case_nothing_is_left():
    cgroups = []
    for root, names, _ in os.walk("/sys/fs/cgroup"):
        cgroups += [os.path.join(root, name) for name in names if name.startswith(f"casemate-{os.getpid()}-")]
    assert cgroups == [], cgroups
    assert processes() == []
    with open("/proc/self/mountinfo") as file:
        assert "casemate" not in file.read()
    descriptors = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]
    assert not [one for one in descriptors if "eventfd" in one or "casemate" in one or "pidfd" in one], descriptors
