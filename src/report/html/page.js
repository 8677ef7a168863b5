"use strict";
// Everything shown comes from the data blocks of this page, whose texts were chosen by tests: they only ever become text nodes. No address is
// asked for anything, and the page's policy (its first meta element) would not let it.
(() => {
  // By their numbers in the data; the second word of each is its place when sorted by verdict: what needs eyes first.
  const VERDICTS = [["passed", 8], ["failed", 0], ["error", 1], ["skipped", 5], ["xfailed", 6], ["xpassed", 3], ["ignored", 7], ["cancelled", 4], ["lost", 2]];
  const WORDS = VERDICTS.map(([word]) => word);
  const BAD = new Set([1, 2, 8]);
  const PAGE = 100;
  const RETRIED = 1, FLAKY = 2, COLD = 4, SHARED = 8;
  const $ = (id) => document.getElementById(id);

  function make(tag, options = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(options)) {
      if (key === "class") element.className = value;
      else if (key === "text") element.textContent = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  function duration(us) {
    if (us === 0) return "0 s";
    if (us < 1000) return `${us} µs`;
    if (us < 1e6) return `${(us / 1000).toFixed(us < 1e4 ? 2 : us < 1e5 ? 1 : 0)} ms`;
    if (us < 6e7) return `${(us / 1e6).toFixed(us < 1e7 ? 2 : 1)} s`;
    const seconds = Math.round(us / 1e6);
    return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  }

  function bytes(count) {
    if (count === null || count === undefined) return "";
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;
    for (; count >= 1024 && at < units.length - 1; ++at) count /= 1024;
    return `${at === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[at]}`;
  }

  const grouped = (count) => count.toLocaleString("en-US");
  const plural = (count, word) => `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;

  // One run for each repetition: what began it, its attempts, what ended it.
  function readRuns() {
    const runs = [];
    for (const block of document.querySelectorAll('script[type="application/json"]')) {
      const data = JSON.parse(block.textContent);
      if (block.className === "run") runs.push({ ...data, attempts: [], notes: [], end: null, past: new Map() });
      const run = runs[runs.length - 1];
      if (block.className === "tests") readAttempts(run, data);
      if (block.className === "end") Object.assign(run, data, { past: new Map(data.past) });
      block.remove();  // what it says is in memory now; once is enough
    }
    return runs;
  }

  function readAttempts(run, rows) {
    for (const [id, verdict, began, took, slot, attempt, memory, flags, container, more] of rows) {
      if (container !== "") run.container = container;
      run.attempts.push({ id, verdict, began, took, slot, attempt, memory, flags, container: run.container, more, earlier: [], tries: attempt });
    }
  }

  // A row of the table for each test: its last attempt, which knows the earlier ones.
  function testsOf(run) {
    const earlier = new Map();
    const tests = [];
    for (const attempt of run.attempts) {
      if (attempt.flags & RETRIED) {
        if (!earlier.has(attempt.id)) earlier.set(attempt.id, []);
        earlier.get(attempt.id).push(attempt);
        continue;
      }
      attempt.earlier = earlier.get(attempt.id) || [];
      earlier.delete(attempt.id);
      tests.push(attempt);
    }
    for (const attempts of earlier.values()) {  // the next attempt never came
      const last = attempts.pop();
      last.earlier = attempts;
      tests.push(last);
    }
    for (const [at, test] of tests.entries()) {
      test.order = at;
      for (const attempt of test.earlier) attempt.row = test;
      test.row = test;
      test.sought = `${test.id} ${test.more && test.more.reason ? test.more.reason : ""}`.toLowerCase();
    }
    return tests;
  }

  const state = { run: null, tests: [], shown: [], sort: "verdict", down: false, page: 0, open: new Set(), verdicts: new Set(), words: [] };

  // --- the head -----------------------------------------------------------------------------------------------------------------------------

  function fact(list, name, value) {
    if (value === "" || value === null || value === undefined) return;
    list.append(make("div", {}, make("dt", { text: name }), make("dd", { text: value })));
  }

  function showHead(run) {
    document.title = `${run.name}: tests`;
    $("project").textContent = run.name;
    $("command").textContent = run.command;
    const end = run.end;
    const bad = state.tests.reduce((sum, test) => sum + (BAD.has(test.verdict) ? 1 : 0), 0);
    const badge = $("verdict");
    badge.textContent = !end ? "not finished" : end.problem ? "broken" : bad > 0 ? `${grouped(bad)} failed` : end.stopped ? "stopped" : state.tests.length ? "passed" : "no tests";
    badge.className = `badge ${bad > 0 || (end && end.problem) ? "bad" : end && !end.stopped && state.tests.length ? "good" : ""}`;
    const facts = $("facts");
    facts.replaceChildren();
    fact(facts, "Began", new Date(run.began_ms).toLocaleString("sv-SE"));
    if (end) fact(facts, "Took", duration(end.took));
    fact(facts, "Tests", grouped(state.tests.length));
    if (end && end.flaky) fact(facts, "Flaky", grouped(end.flaky));
    if (end && end.cached) fact(facts, "Cached", grouped(end.cached));
    if (end && end.not_run) fact(facts, "Not run", grouped(end.not_run));
    if (run.deselected) fact(facts, "Deselected", grouped(run.deselected));
    fact(facts, "Slots", grouped(run.slots));
    fact(facts, "Python", run.python);
    fact(facts, "pytest", run.pytest);
    const messages = $("messages");
    messages.replaceChildren();
    if (end && end.problem) messages.append(make("li", { class: "loud", text: end.problem }));
    if (end && end.stopped) messages.append(make("li", { class: "loud", text: end.stopped }));
    for (const note of run.notes) messages.append(make("li", { text: note }));
  }

  function showVerdicts() {
    const counts = WORDS.map(() => 0);
    for (const test of state.tests) counts[test.verdict] += 1;
    const bar = $("bar"), boxes = $("verdicts");
    bar.replaceChildren();
    boxes.replaceChildren(boxes.firstElementChild);
    state.verdicts = new Set(WORDS.keys());
    const order = [...WORDS.keys()].filter((verdict) => counts[verdict] > 0).sort((a, b) => VERDICTS[a][1] - VERDICTS[b][1]);
    for (const verdict of order) {
      const segment = make("span", { class: WORDS[verdict] });
      segment.style.flexGrow = counts[verdict];
      bar.append(segment);
      const box = make("input", { type: "checkbox", id: `show-${WORDS[verdict]}` });
      box.checked = true;
      box.addEventListener("change", () => {
        if (box.checked) state.verdicts.add(verdict);
        else state.verdicts.delete(verdict);
        choose();
      });
      boxes.append(make("label", {}, box, make("span", { class: `dot ${WORDS[verdict]}` }), WORDS[verdict], make("b", { text: grouped(counts[verdict]) })));
    }
    bar.setAttribute("aria-label", order.map((verdict) => `${counts[verdict]} ${WORDS[verdict]}`).join(", "));
  }

  // --- the table ----------------------------------------------------------------------------------------------------------------------------

  const KEYS = {
    verdict: (test) => VERDICTS[test.verdict][1] * 2 - (test.flags & FLAKY ? 1 : 0),
    name: (test) => test.id,
    duration: (test) => test.took,
    memory: (test) => (test.memory === null ? -1 : test.memory),
    attempts: (test) => test.tries,
  };

  function choose() {
    const words = state.words;
    state.shown = state.tests.filter((test) => state.verdicts.has(test.verdict) && words.every((word) => test.sought.includes(word)));
    const key = KEYS[state.sort], sign = state.down ? -1 : 1;
    const keys = new Map(state.shown.map((test) => [test, key(test)]));
    state.shown.sort((a, b) => {
      const left = keys.get(a), right = keys.get(b);
      return left < right ? -sign : left > right ? sign : a.order - b.order;
    });
    state.page = 0;
    $("shown").dataset.filter = words.join(" ");  // of what is shown, which may be behind what is typed
    showRows();
  }

  function sortBy(column) {
    state.down = state.sort === column ? !state.down : column !== "verdict" && column !== "name";
    state.sort = column;
    choose();
  }

  function showRows() {
    for (const head of document.querySelectorAll("th")) {
      if (head.dataset.column === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const last = Math.max(0, Math.ceil(state.shown.length / PAGE) - 1);
    state.page = Math.min(Math.max(state.page, 0), last);
    const rows = $("rows");
    rows.replaceChildren();
    for (const test of state.shown.slice(state.page * PAGE, (state.page + 1) * PAGE)) {
      rows.append(rowOf(test));
      if (state.open.has(test)) rows.append(detailsRow(test));
    }
    if (state.shown.length === 0) rows.append(make("tr", {}, make("td", { class: "nothing", colspan: "5", text: state.tests.length ? "No test fits the filter." : "No test ran." })));
    $("shown").textContent = state.shown.length === state.tests.length ? plural(state.tests.length, "test") : `${grouped(state.shown.length)} of ${plural(state.tests.length, "test")}`;
    $("pages").hidden = last === 0;
    $("page").textContent = `page ${grouped(state.page + 1)} of ${grouped(last + 1)}`;
    $("first-page").disabled = $("previous-page").disabled = state.page === 0;
    $("last-page").disabled = $("next-page").disabled = state.page === last;
  }

  function rowOf(test) {
    const word = WORDS[test.verdict];
    const button = make("button", { type: "button", class: "name-button name", "aria-expanded": String(state.open.has(test)), text: test.id });
    const name = make("td", { class: "test-name", title: test.id }, button);
    if (test.flags & FLAKY) name.append(make("span", { class: "tag", text: "flaky" }));
    if (test.more && test.more.leftovers) name.append(make("span", { class: "tag", text: "leak" }));
    if (test.more && test.more.reason) name.append(make("span", { class: "why", text: test.more.reason }));
    const row = make("tr", { class: "test" },
      make("td", { class: "verdict" }, make("span", { class: `dot ${word}` }), word), name,
      make("td", { class: "number", text: duration(test.took) }),
      make("td", { class: "number memory", text: test.flags & SHARED ? "" : bytes(test.memory) }),
      make("td", { class: "number attempts", text: String(test.tries) }));
    row.addEventListener("click", () => {
      if (String(window.getSelection()) === "") unfold(test, row, button);
    });
    test.element = row;
    return row;
  }

  function unfold(test, row, button) {
    const open = !state.open.has(test);
    button.setAttribute("aria-expanded", String(open));
    if (open) {
      state.open.add(test);
      row.after(detailsRow(test));
    } else {
      state.open.delete(test);
      row.nextElementSibling.remove();
    }
  }

  // Shows a test in the table, wherever it is, and unfolds it.
  function goTo(test) {
    if (!state.shown.includes(test)) {
      $("filter").value = "";
      state.words = [];
      state.verdicts.add(test.verdict);
      const box = $(`show-${WORDS[test.verdict]}`);
      if (box) box.checked = true;
      choose();
    }
    state.open.add(test);
    state.page = Math.floor(state.shown.indexOf(test) / PAGE);
    showRows();
    test.element.scrollIntoView({ block: "center" });
    test.element.querySelector("button").focus({ preventScroll: true });
  }

  // --- details ------------------------------------------------------------------------------------------------------------------------------

  function detailsRow(test) {
    const cell = make("td", { colspan: "5" });
    const facts = make("dl");
    const more = test.more || {};
    fact(facts, "At", more.at);
    if (test.slot !== null) {
      fact(facts, "Began", `${duration(test.began)} into the run`);
      fact(facts, "Slot", String(test.slot + 1));
    }
    fact(facts, "On", test.container);
    if (more.phases) fact(facts, "Phases", more.phases.map(([when, took]) => `${when} ${duration(took)}`).join(", "));
    if (more.cpu) fact(facts, "CPU", duration(more.cpu));
    fact(facts, "Process", more.outcome);
    if (more.markers) fact(facts, "Markers", more.markers.join(", "));
    if (test.flags & COLD) fact(facts, "Interpreter", "a fresh one");
    if (test.flags & SHARED) fact(facts, "Cell", "shared with other tests; output and leftovers are of all of them");
    cell.append(facts);
    addTexts(cell, test);
    for (const attempt of test.earlier) {
      const box = make("div", { class: "attempt" }, make("h3", { text: `Attempt ${attempt.attempt}: ${WORDS[attempt.verdict]}, ${duration(attempt.took)}` }));
      addTexts(box, attempt);
      cell.append(box);
    }
    addPast(cell, test);
    return make("tr", { class: "more" }, cell);
  }

  function addTexts(place, attempt) {
    const more = attempt.more || {};
    if (more.reason && !more.failures) place.append(make("p", { text: more.reason }));
    for (const [heading, text] of more.failures || []) {
      place.append(make("h3", { text: heading }), make("pre", { class: "failure", tabindex: "0", text }));
    }
    for (const [heading, text] of more.sections || []) {
      place.append(make("h3", { text: heading }), make("pre", { tabindex: "0", text }));
    }
    addList(place, "Processes left behind", more.leftovers);
    addList(place, "Warnings", more.warnings);
    addList(place, "Properties", more.properties && more.properties.map(([name, value]) => `${name} = ${value}`));
    addList(place, "Notes", more.notes);
  }

  function addList(place, heading, lines) {
    if (!lines || lines.length === 0) return;
    place.append(make("h3", { text: heading }), make("ul", {}, ...lines.map((line) => make("li", { text: line }))));
  }

  function addPast(place, test) {
    const past = state.run.past.get(test.id) || [];
    if (past.length === 0) return;
    const longest = Math.max(...past.map(([, , took]) => took), 1);
    const bars = make("div", { class: "past", role: "img", "aria-label": `${past.length} earlier results, oldest first` });
    for (const [began, verdict, took] of [...past].reverse()) {
      const bar = make("span", { class: WORDS[verdict], title: `${new Date(began).toLocaleString("sv-SE")}: ${WORDS[verdict]}, ${duration(took)}` });
      bar.style.height = `${Math.max(9, (took / longest) * 100)}%`;
      bars.append(bar);
    }
    const good = past.filter(([, verdict]) => !BAD.has(verdict)).length;
    place.append(make("h3", { text: `History: ${good} of the last ${plural(past.length, "run")} without failure, longest ${duration(longest)}` }), bars);
  }

  // --- slots over time ----------------------------------------------------------------------------------------------------------------------

  const timeline = { lanes: [], from: 0, to: 1, whole: 1, hovered: null, drag: null };
  const AXIS = 22, LEFT = 34;

  function laneHeight() { return timeline.lanes.length > 24 ? 10 : timeline.lanes.length > 8 ? 16 : 22; }

  function layTimeline(run) {
    const lanes = [];
    for (const attempt of run.attempts) {
      if (attempt.slot === null || attempt.slot >= 4096) continue;  // it ran in none
      while (lanes.length <= attempt.slot) lanes.push([]);
      lanes[attempt.slot].push(attempt);
    }
    let whole = run.end ? run.end.took : 1;
    for (const lane of lanes) {
      lane.sort((a, b) => a.began - b.began);
      for (const attempt of lane) whole = Math.max(whole, attempt.began + attempt.took);
    }
    Object.assign(timeline, { lanes, from: 0, to: Math.max(whole, 1), whole: Math.max(whole, 1), hovered: null });
    $("time").hidden = lanes.length === 0;
    draw();
  }

  function zoom(factor, at) {
    const width = Math.min(Math.max((timeline.to - timeline.from) * factor, Math.min(timeline.whole, 50)), timeline.whole);
    const share = (at - timeline.from) / (timeline.to - timeline.from);
    moveTo(at - share * width, width);
  }

  function moveTo(from, width = timeline.to - timeline.from) {
    timeline.from = Math.min(Math.max(from, 0), timeline.whole - width);
    timeline.to = timeline.from + width;
    draw();
  }

  const middle = () => (timeline.from + timeline.to) / 2;
  const plotWidth = () => Math.max(1, $("timeline").clientWidth - LEFT);
  const timeAt = (x) => timeline.from + ((x - LEFT) / plotWidth()) * (timeline.to - timeline.from);

  let drawing = 0;
  function draw() {
    if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; paint(); });
  }

  function paint() {
    const canvas = $("timeline"), height = AXIS + timeline.lanes.length * laneHeight();
    canvas.style.height = `${height}px`;
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    pen.scale(ratio, ratio);
    pen.font = "11px system-ui, sans-serif";
    paintAxis(pen, width, height, color);
    const scale = plotWidth() / (timeline.to - timeline.from), colors = WORDS.map(color);
    for (const [slot, lane] of timeline.lanes.entries()) {
      const top = AXIS + slot * laneHeight();
      pen.fillStyle = color("dim");
      if (laneHeight() > 10) pen.fillText(String(slot + 1), 4, top + laneHeight() / 2 + 4);
      for (const bad of [false, true]) paintLane(pen, lane, top, scale, colors, bad);
    }
    if (timeline.hovered) {
      const { began, took, slot } = timeline.hovered;
      pen.strokeStyle = color("text");
      pen.lineWidth = 1.5;
      pen.strokeRect(LEFT + (began - timeline.from) * scale, AXIS + slot * laneHeight() + 1, Math.max(took * scale, 2), laneHeight() - 3);
    }
  }

  // What went wrong comes last, and at least 2 pixels wide: it is never hidden by what did not.
  function paintLane(pen, lane, top, scale, colors, bad) {
    const gap = laneHeight() > 10 ? 2 : 1, right = LEFT + plotWidth();
    let filledTo = -1;
    for (const { verdict, began, took, flags } of lane) {
      if (BAD.has(verdict) !== bad) continue;
      const begin = LEFT + (began - timeline.from) * scale, end = Math.max(LEFT + (began + took - timeline.from) * scale, begin + (bad ? 2 : 0.5));
      if (end < LEFT || begin > right || (end <= filledTo && !bad)) continue;
      const from = Math.max(begin, LEFT), gone = Math.min(end, right);
      pen.fillStyle = colors[verdict];
      pen.globalAlpha = flags & RETRIED ? 0.6 : 1;
      pen.fillRect(from, top + gap / 2, Math.max(gone - from - (gone - from > 4 ? 1 : 0), 0.5), laneHeight() - gap);
      filledTo = end;
    }
    pen.globalAlpha = 1;
  }

  function paintAxis(pen, width, height, color) {
    const span = timeline.to - timeline.from, most = Math.max(2, Math.floor(plotWidth() / 110));
    const raw = span / most, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= raw);
    pen.lineWidth = 1;
    for (let at = Math.ceil(timeline.from / step) * step; at <= timeline.to; at += step) {
      const x = Math.round(LEFT + ((at - timeline.from) / span) * plotWidth()) + 0.5;
      pen.strokeStyle = color("line");
      pen.beginPath();
      pen.moveTo(x, AXIS - 6);
      pen.lineTo(x, height);
      pen.stroke();
      pen.fillStyle = color("dim");
      const label = duration(Math.round(at)), room = pen.measureText(label).width;
      pen.fillText(label, Math.min(Math.max(x - room / 2, 0), width - room), 12);
    }
  }

  // The attempt under the pointer, or one within three pixels of it.
  function attemptAt(x, y) {
    const lane = timeline.lanes[Math.floor((y - AXIS) / laneHeight())];
    if (!lane || x < LEFT - 3) return null;
    const time = timeAt(x), slack = (3 / plotWidth()) * (timeline.to - timeline.from);
    let low = 0, high = lane.length;
    while (low < high) {
      const half = (low + high) >> 1;
      if (lane[half].began <= time + slack) low = half + 1;
      else high = half;
    }
    let best = null, distance = slack;
    for (let at = low - 1; at >= Math.max(0, low - 200); --at) {
      const { began, took, verdict } = lane[at];
      const away = time < began ? began - time : Math.max(0, time - began - took);
      if (away < distance || (away <= distance && BAD.has(verdict) && !(best && BAD.has(best.verdict)))) [best, distance] = [lane[at], away];
    }
    return best;
  }

  function hover(event) {
    const box = $("timeline").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const found = attemptAt(x, y), tip = $("tip");
    if (found !== timeline.hovered) {
      timeline.hovered = found;
      draw();
    }
    tip.hidden = !found;
    if (!found) return;
    const tries = found.row.earlier.length ? `, attempt ${found.attempt}` : "";
    tip.replaceChildren(make("span", { class: "name", text: found.id }), make("span", { class: `dot ${WORDS[found.verdict]}` }),
      ` ${WORDS[found.verdict]}, ${duration(found.took)}${tries}, at ${duration(found.began)}, slot ${found.slot + 1}`);
    tip.style.left = `${Math.max(0, Math.min(event.clientX + 14, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
    const below = event.clientY + 18;
    tip.style.top = `${below + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 8 : below}px`;
  }

  function leave() {
    timeline.hovered = null;
    $("tip").hidden = true;
    draw();
  }

  function listenTimeline() {
    const canvas = $("timeline");
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const x = event.clientX - canvas.getBoundingClientRect().left;
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) moveTo(timeline.from + (event.deltaX / plotWidth()) * (timeline.to - timeline.from));
      else zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), timeAt(Math.max(x, LEFT)));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      timeline.drag = { x: event.clientX, from: timeline.from, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const drag = timeline.drag;
      if (!drag) return hover(event);
      const way = event.clientX - drag.x;
      if (Math.abs(way) > 3) drag.moved = true;
      if (!drag.moved) return;
      canvas.classList.add("moving");
      $("tip").hidden = true;
      moveTo(drag.from - (way / plotWidth()) * (timeline.to - timeline.from));
    });
    canvas.addEventListener("pointerup", (event) => {
      const drag = timeline.drag;
      timeline.drag = null;
      canvas.classList.remove("moving");
      if (!drag || drag.moved) return;
      const box = canvas.getBoundingClientRect(), found = attemptAt(event.clientX - box.left, event.clientY - box.top);
      if (found) goTo(found.row);
    });
    canvas.addEventListener("pointercancel", () => { timeline.drag = null; canvas.classList.remove("moving"); });
    canvas.addEventListener("pointerleave", leave);
    canvas.addEventListener("keydown", (event) => {
      const width = timeline.to - timeline.from;
      const actions = { "+": () => zoom(0.5, middle()), "=": () => zoom(0.5, middle()), "-": () => zoom(2, middle()), 0: () => moveTo(0, timeline.whole),
        ArrowLeft: () => moveTo(timeline.from - width / 5), ArrowRight: () => moveTo(timeline.from + width / 5) };
      if (!Object.hasOwn(actions, event.key) || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      actions[event.key]();
    });
    $("zoom-in").addEventListener("click", () => zoom(0.5, middle()));
    $("zoom-out").addEventListener("click", () => zoom(2, middle()));
    $("zoom-all").addEventListener("click", () => moveTo(0, timeline.whole));
    window.addEventListener("resize", draw);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  // --- all together -------------------------------------------------------------------------------------------------------------------------

  function listenTable() {
    for (const head of document.querySelectorAll("th")) head.firstElementChild.addEventListener("click", () => sortBy(head.dataset.column));
    let waiting = 0;
    $("filter").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        state.words = $("filter").value.toLowerCase().split(/\s+/).filter((word) => word !== "");
        choose();
      }, state.tests.length > 5000 ? 150 : 0);
    });
    const turn = (id, page) => $(id).addEventListener("click", () => { state.page = page(); showRows(); });
    turn("first-page", () => 0);
    turn("previous-page", () => state.page - 1);
    turn("next-page", () => state.page + 1);
    turn("last-page", () => Infinity);
    document.addEventListener("keydown", (event) => {
      const target = event.target, typing = target instanceof HTMLInputElement && target.type === "search";
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        $("filter").focus();
      }
      if ((event.key === "ArrowDown" || event.key === "ArrowUp") && target.classList && target.classList.contains("name-button")) {
        const buttons = [...document.querySelectorAll(".name-button")];
        const next = buttons[buttons.indexOf(target) + (event.key === "ArrowDown" ? 1 : -1)];
        if (next) {
          event.preventDefault();
          next.focus();
        }
      }
    });
  }

  function showRun(run) {
    state.run = run;
    state.tests = run.tests || (run.tests = testsOf(run));
    state.open.clear();
    showHead(run);
    showVerdicts();
    choose();
    layTimeline(run);
  }

  const runs = readRuns();
  if (runs.length === 0) return;
  listenTable();
  listenTimeline();
  const choice = $("repetition");
  for (const [at, run] of runs.entries()) choice.append(make("option", { value: String(at), text: `${run.repetition} of ${run.repetitions}` }));
  choice.value = String(runs.length - 1);
  choice.addEventListener("change", () => showRun(runs[Number(choice.value)]));
  $("repetitions").hidden = runs.length < 2;
  $("foot").textContent = `casemate ${runs[0].casemate}`;
  showRun(runs[runs.length - 1]);
})();
