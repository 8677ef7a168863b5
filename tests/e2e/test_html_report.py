"""The HTML page of a run, in a real browser: from a run whose events are written by hand, through `casemate show --html`."""

import hashlib
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess

import pytest

import browser

TREE = pathlib.Path(__file__).resolve().parents[2]
CASEMATE = os.environ.get("CASEMATE", str(TREE / "build" / "bin" / "casemate"))
SHOTS = os.environ.get("CASEMATE_SCREENSHOTS")  # a directory to keep screenshots in, to look at
PROJECT = "/home/me/orchard"
HOSTILE = "tests/test_html.py::test_x[<img src=x onerror=document.title='owned'>]"
BREAKOUT = "tests/test_html.py::test_y[</script><script>document.title='owned'</script>]"
PROTO = "__proto__"
OURS = ("data:", "chrome:", "chrome-untrusted:")  # the browser's own first page asks for the last two

pytestmark = [pytest.mark.once, pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))]


def result(test_id, verdict="passed", **more):
    file, _, name = test_id.partition("::")
    event = {
        "event": "test_finished", "id": test_id, "file": file, "name": name, "line": 12, "verdict": verdict, "began_us": 0, "duration_us": 1500,
        "slot": 0, "container": "host", "outcome": {"kind": "exited"},
        "resources": {"wall_us": 1500, "user_cpu_us": 900, "system_cpu_us": 100, "peak_memory_bytes": 14 << 20},
    }  # fmt: skip
    return event | more


def failure(text="    def test():\n>       assert 1 == 2\nE       \x1b[31massert 1 == 2\x1b[0m", **more):
    report = {"when": "call", "outcome": "failed", "began_us": 1, "duration_us": 2, "text": text, "message": "assert 1 == 2"}
    report["sections"] = [["Captured stdout call", "apples: 3\n<b>not bold</b>\n"]]
    return {"reports": [report], "reason": "AssertionError: assert 1 == 2"} | more


def a_run(tests, **started):
    """Events of a run that began two minutes before 2026, and ended well."""
    counts = {}
    for test in tests:
        if not test.get("retried"):
            counts[test["verdict"]] = counts.get(test["verdict"], 0) + 1
    took = max((t["began_us"] + t["duration_us"] for t in tests), default=0) + 1000
    begin = {
        "event": "run_started", "format": 1, "front_end": "pytest", "name": "orchard", "directory": PROJECT, "arguments": ["-k", "not slow"],
        "began_unix_us": 1767225480000000, "slots": 4,
    }  # fmt: skip
    return [
        begin | started,
        {"event": "collected", "selected": len(tests), "deselected": 3, "took_us": 100, "python": "3.11.7", "pytest": "8.1.1"},
        *tests,
        {"event": "note", "line": "warm parent died; its 3 tests are run again"},
        {"event": "run_finished", "took_us": took, "counts": counts, "flaky": sum(bool(t.get("flaky")) for t in tests), "exit_status": 1},
    ]


def varied_tests(count=240):
    """Tests of all kinds that fill four slots."""
    dice = random.Random(7)
    ends = [0, 0, 0, 0]
    tests = []
    for number in range(count):
        slot = ends.index(min(ends))
        took = int(dice.lognormvariate(9.5, 1.1))
        file = dice.choice(["test_apples", "test_pears", "test_harvest", "test_weather"])
        test = result(f"tests/{file}.py::TestTree::test_case[{number}]", began_us=ends[slot], duration_us=took, slot=slot)
        test["resources"] = test["resources"] | {"peak_memory_bytes": int(dice.uniform(9, 60) * (1 << 20))}
        ends[slot] += took + 400
        tests.append(test)
    tests[7] |= {"verdict": "skipped", "reason": "needs a ladder"}
    tests[11] |= {"verdict": "xfailed", "reason": "known: pears are not apples"}
    tests[15] |= {"verdict": "failed", "id": HOSTILE} | failure()
    tests[16] |= {"verdict": "failed", "id": BREAKOUT} | failure("</script><!-- <script>\n\x1b]0;title\x07 \u202e and \x07")
    tests[19] |= {"verdict": "failed", "reason": "signaled 11 (SIGSEGV)", "outcome": {"kind": "signaled", "code": 11},
                  "output": {"stderr": "Fatal Python error: Segmentation fault\n"}}  # fmt: skip
    tests[23] |= {"verdict": "error", "id": "tests/test_pears.py::test_fixture", "reason": "fixture 'tree' not found"}
    tests[30] |= {"id": "tests/test_weather.py::test_flaky", "verdict": "failed", "retried": True} | failure()
    tests[31] |= {"id": "tests/test_weather.py::test_flaky", "flaky": True, "attempt": 2}
    tests[40] |= {"leftovers": [{"pid": 7, "name": "sleep"}], "warnings": [{"category": "DeprecationWarning", "message": "old <i>", "path": "a.py", "line": 3}],
                  "properties": [["seed", "42"]], "notes": ["cpu limit by rlimit"], "id": "tests/test_apples.py::test_everything"}  # fmt: skip
    tests[41] |= {"id": PROTO}
    return tests


class Page:
    """A page made by casemate, and the browser that shows it."""

    def __init__(self, window, directory):
        self.window = window
        self.directory = directory
        self.file = directory / "page.html"

    def write(self, events):
        logs = self.directory / "state" / "tests"
        logs.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory / "state", 0o700)
        name = hashlib.sha256(PROJECT.encode()).hexdigest()[:24] + ".jsonl"
        (logs / name).write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
        done = subprocess.run(
            [CASEMATE, "show", "--html", str(self.file), PROJECT],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
            env=os.environ | {"CASEMATE_STATE_DIR": str(self.directory / "state")},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        self.window.open(self.file.as_uri())
        return self

    def names(self):
        return self.window.run("return [...document.querySelectorAll('.name-button')].map(b => b.textContent)")

    def column(self, at):
        return self.window.run("return [...document.querySelectorAll('tr.test')].map(r => r.cells[arguments[0]].textContent)", at)

    def text(self, css):
        return self.window.run("return document.querySelector(arguments[0]).textContent", css)

    def filter(self, words, expected):
        self.window.run("const f = document.getElementById('filter'); f.value = ''; f.focus()")
        self.window.type("#filter", words)
        self.window.wait("return document.getElementById('shown').dataset.filter === arguments[0]", words.lower())
        assert self.text("#shown").startswith(expected)

    def shot(self, name):
        if SHOTS:
            self.window.screenshot(pathlib.Path(SHOTS) / f"{name}.png")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with browser.driver(tmp_path_factory.mktemp("driver")) as address:
        yield address


def opened(base, tmp_path, dark=False):
    profile = tmp_path / "profile"
    window = browser.Browser(base, dark, profile)
    return window


@pytest.fixture
def page(base, tmp_path):
    """What goes wrong in the page (a script error, something its policy refuses) fails the test, and so does any request but for itself."""
    window = opened(base, tmp_path)
    page = Page(window, tmp_path)
    try:
        yield page
        assert window.log() == []
        assert [url for url in window.requests() if not url.startswith(OURS + (page.file.as_uri(),))] == []
    finally:
        window.quit()
        shutil.rmtree(tmp_path / "profile", ignore_errors=True)


def test_summary_and_rows(page):
    page.write(a_run(varied_tests()))
    assert page.text("h1") == "orchard"
    assert page.text("#verdict") == "4 failed"
    assert page.text("#command") == "pytest -k 'not slow'"
    facts = page.window.run("return Object.fromEntries([...document.querySelectorAll('#facts div')].map(d => [...d.children].map(c => c.textContent)))")
    assert (facts["Tests"], facts["Slots"], facts["Python"], facts["pytest"], facts["Flaky"]) == ("239", "4", "3.11.7", "8.1.1", "1")
    assert "warm parent died" in page.text("#messages")
    assert page.text("#shown") == "239 tests"
    assert len(page.names()) == 100, "a page of the table"
    assert page.column(0)[:5] == ["failed", "failed", "failed", "error", "xfailed"] or page.column(0)[:4] == ["failed"] * 3 + ["error"]
    page.shot("summary")
    page.window.click("#last-page")
    assert len(page.names()) == 39
    assert page.text("#page") == "page 3 of 3"


def test_hostile_names_and_texts_are_only_text(page):
    page.write(a_run(varied_tests()))
    assert HOSTILE in page.names()
    assert BREAKOUT in page.names()
    for _ in range(2):
        page.window.click("tr.test .name-button[aria-expanded=false]")
    assert page.window.run("return document.title") == "orchard: tests"
    assert page.window.run("return document.querySelectorAll('img, b:not(#verdicts b), i, iframe').length") == 0
    shown = page.text("#rows")
    assert "</script><!-- <script>" in shown
    assert "<b>not bold</b>" in shown
    assert "E       assert 1 == 2" in shown, "without its colours"
    assert "\\u{202e}" in shown and "\u202e" not in shown
    assert "\x1b" not in shown
    raw = page.file.read_text(encoding="utf-8")
    assert "<img" not in raw
    assert "onerror=document" in raw, "it is there, as text"
    page.filter(PROTO, "1 of")
    assert page.names() == [PROTO]


def test_filter_and_verdicts(page):
    page.write(a_run(varied_tests()))
    page.filter("weather flaky", "1 of")
    assert page.names() == ["tests/test_weather.py::test_flaky"]
    page.filter("LADDER", "1 of")
    assert page.column(0) == ["skipped"]
    page.filter("no such test", "0 of")
    assert page.text("#rows") == "No test fits the filter."
    page.window.run("const f = document.getElementById('filter'); f.value = ''; f.dispatchEvent(new Event('input'))")
    page.window.wait("return document.getElementById('shown').textContent === '239 tests'")
    for word in ("passed", "failed", "xfailed"):
        page.window.click(f"#show-{word}")
    assert sorted(page.column(0)) == ["error", "skipped"]
    page.window.click("#show-failed")
    assert sorted(page.column(0)) == ["error", "failed", "failed", "failed", "skipped"]


def test_sorting(page):
    page.write(a_run(varied_tests(60)))
    for column, cell in (("duration", 2), ("memory", 3), ("attempts", 4), ("name", 1), ("verdict", 0)):
        page.window.click(f"th[data-column={column}] button")
        first = page.window.run("return document.querySelector('th[aria-sort]').dataset.column + ' ' + document.querySelector('th[aria-sort]').ariaSort")
        down = column not in ("name", "verdict")
        assert first == f"{column} {'descending' if down else 'ascending'}"
        values = page.column(cell) if column != "name" else page.names()
        if column == "name":
            assert values == sorted(values)
        if column in ("duration", "memory"):
            units = {"µs": 1, "ms": 1e3, "s": 1e6, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
            numbers = [float(text.split()[0]) * units[text.split()[1]] for text in values]
            assert numbers == sorted(numbers, reverse=True)
        if column == "attempts":
            assert values[0] == "2"
    page.window.click("th[data-column=duration] button")
    page.window.click("th[data-column=duration] button")
    assert page.window.run("return document.querySelector('th[aria-sort]').ariaSort") == "ascending"


def test_details_unfold(page):
    page.write(a_run(varied_tests()))
    page.filter("test_everything", "1 of")
    page.window.click(".name-button")
    shown = page.text("tr.more")
    for text in (".py:12", "sleep (7)", "DeprecationWarning: old <i> (a.py:3)", "seed = 42", "cpu limit by rlimit", "host"):
        assert text in shown
    page.window.click(".name-button")
    assert page.window.run("return document.querySelector('tr.more')") is None
    page.filter("test_flaky", "1 of")
    page.window.click("tr.test td.verdict")
    shown = page.text("tr.more")
    assert "Attempt 1: failed" in shown
    assert "E       assert 1 == 2" in shown
    page.filter("SIGSEGV", "1 of")
    page.window.click(".name-button")
    assert "Fatal Python error: Segmentation fault" in page.text("tr.more")
    page.filter("img src", "1 of")
    page.window.click(".name-button")
    page.window.run("window.scrollTo(0, 300)")
    page.shot("details")


def test_keys(page):
    page.write(a_run(varied_tests(60)))
    page.window.keys("/")
    assert page.window.run("return document.activeElement.id") == "filter"
    page.window.run("document.querySelector('.name-button').focus()")
    page.window.keys("\ue015")  # down
    assert page.window.run("return document.activeElement === document.querySelectorAll('.name-button')[1]")
    page.window.keys("\ue007")  # enter
    assert page.window.run("return document.activeElement.ariaExpanded") == "true"
    page.window.keys("\ue013")
    assert page.window.run("return document.activeElement === document.querySelectorAll('.name-button')[0]")


def test_timeline(page):
    page.write(a_run(varied_tests()))
    page.window.run("window.scrollTo(0, 0)")
    box = page.window.run("const b = document.getElementById('timeline').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]")
    assert box[3] == 22 + 4 * 22
    page.window.point(box[0] + 300, box[1] + 22 + 11)
    tip = page.text("#tip")
    assert "slot 1" in tip
    page.shot("timeline")
    page.window.point(box[0] + 300, box[1] + 22 + 11, click=True)
    unfolded = page.window.run("return document.querySelector('.name-button[aria-expanded=true]').textContent")
    assert tip.startswith(unfolded)
    before = page.window.run("return document.getElementById('timeline').toDataURL()")
    page.window.run("document.getElementById('timeline').focus()")
    page.window.keys("+++")
    page.window.wait("return document.getElementById('timeline').toDataURL() !== arguments[0]", before)
    page.window.keys("0")
    page.window.run("document.activeElement.blur()")
    page.window.point(5, 5)
    page.window.wait("return document.getElementById('timeline').toDataURL() === arguments[0]", before)


def test_hundred_thousand_tests(page):
    tests = []
    ends = [0] * 4
    for number in range(100_000):
        slot = number % 4
        tests.append(result(f"tests/test_many_{number // 500:03}.py::TestMany::test_case[{number}]", slot=slot, began_us=ends[slot],
                            duration_us=1000 + number * 7919 % 4000))  # fmt: skip
        ends[slot] += tests[-1]["duration_us"]
    tests[77_777] |= {"verdict": "failed"} | failure()
    page.write(a_run(tests))
    assert page.text("#shown") == "100,000 tests"
    assert page.column(0)[0] == "failed"
    assert page.text("#page") == "page 1 of 1,000"
    page.filter("test_case[99999]", "1 of")
    page.window.run("document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))")
    page.window.wait("return document.getElementById('shown').textContent === '100,000 tests'")
    page.window.click("th[data-column=duration] button")
    assert page.column(2)[0] == "5.00 ms"
    page.shot("many")


def test_the_past_of_a_test_is_drawn(page):
    name = "tests/test_apples.py::test_everything"
    environment = os.environ | {"CASEMATE_STATE_DIR": str(page.directory / "state")}
    subprocess.run([CASEMATE, "history", "runs"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True)
    with sqlite3.connect(page.directory / "state" / "casemate.db") as database:
        database.execute("INSERT INTO test_projects VALUES (1, ?)", (PROJECT,))
        database.execute("INSERT INTO test_containers VALUES (1, 'host')")
        database.execute("INSERT INTO tests VALUES (1, 1, ?, 1, 12, 'passed', 1, 1, 1, 0)", (name,))
        for run in range(1, 13):
            database.execute("INSERT INTO test_runs (id, project, front_end, arguments, source, began_ms) VALUES (?, 1, 'pytest', '[]', '', 1767000000000)", (run,))
            database.execute("INSERT INTO test_results VALUES (?, 1, 1, 1, ?, NULL, 0, 0, ?, 0, NULL, 0, 1, 0, NULL, NULL)",
                             (run, "failed" if run == 5 else "passed", run * 1000))  # fmt: skip
    database.close()
    page.write(a_run(varied_tests()))
    page.filter("test_everything", "1 of")
    page.window.click(".name-button")
    assert "11 of the last 12 runs without failure, longest 12.0 ms" in page.text("tr.more")
    bars = page.window.run("return [...document.querySelectorAll('.past span')].map(b => [b.className, b.getBoundingClientRect().height])")
    assert [word for word, _ in bars] == ["passed"] * 4 + ["failed"] + ["passed"] * 7, "oldest first"
    assert bars[-1][1] > 2 * bars[3][1] > 0
    page.window.run("window.scrollTo(0, 300)")
    page.shot("past")


def test_repetitions_can_be_chosen(page):
    events = a_run([result("a.py::test_a")], repetition=1, repetitions=2) + a_run([result("a.py::test_b", "failed")], repetition=2, repetitions=2)
    page.write(events)
    assert page.names() == ["a.py::test_b"]
    page.window.run("const r = document.getElementById('repetition'); r.value = '0'; r.dispatchEvent(new Event('change'))")
    assert page.names() == ["a.py::test_a"]
    assert page.text("#verdict") == "passed"


def test_an_empty_run(page):
    page.write(a_run([]))
    assert page.text("#rows") == "No test ran."
    assert page.text("#verdict") == "no tests"
    assert page.window.run("return document.getElementById('time').hidden")


def test_in_the_dark(base, tmp_path):
    window = opened(base, tmp_path, dark=True)
    try:
        page = Page(window, tmp_path).write(a_run(varied_tests()))
        assert window.run("return matchMedia('(prefers-color-scheme: dark)').matches")
        assert window.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
        page.window.click(".name-button")
        page.shot("dark")
    finally:
        window.quit()
