"""The page in a browser, without a network: opening it, and going through a recorded step."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from page import steps
from page.browser import hash_of, needs_browser, number

import minidl
from minidl.explain.page import page

pytestmark = needs_browser
JAVASCRIPT = Path(minidl.__file__).parent / "explain" / "page" / "js"


def of(trace, phase: str, op: str | None = None) -> list[int]:
    """The events of a phase, and of an op."""
    return [n for n, e in enumerate(trace.events) if e["phase"] == phase and (
        op is None or trace.ops[e["op"]]["op"] == op)]


# --------------------------------------------------------------------------- opening
def slowness() -> float:
    """How many times longer than on an idle machine something takes now."""
    began, own = time.perf_counter(), time.process_time()
    while time.process_time() - own < 0.03:
        pass
    return max((time.perf_counter() - began) / (time.process_time() - own), 1)


def test_a_page_opens_within_a_second(show):
    path, seconds = show.write(page(steps.cnn())), []
    shown = show.page()
    for _ in range(3):
        shown.page.goto("about:blank")
        slow, began = slowness(), time.perf_counter()
        shown.goto(path.as_uri())
        seconds.append((time.perf_counter() - began) / ((slow + slowness()) / 2))
    assert min(seconds) < 1, seconds
    assert path.stat().st_size < 5_000_000


def test_the_pages_own_program_is_short():
    texts = [path.read_text(encoding="utf-8") for path in JAVASCRIPT.glob("*.mjs")]
    assert len(texts) > 5 and sum(len(text.splitlines()) for text in texts) < 2500
    assert sum(len(text.encode()) for text in texts) < 200_000


def test_a_page_may_ask_for_nothing(show):
    shown = show(steps.plain())
    policy = shown.ask("() => document.querySelector('meta[http-equiv]').content")
    assert "default-src 'none'" in policy and "http" not in policy
    asked = """async () => {
      const refused = new Promise(done => addEventListener("securitypolicyviolation", done));
      fetch("https://example.org/").catch(() => {});
      return (await refused).violatedDirective;
    }"""
    assert shown.ask(asked) == "connect-src"
    show.complaints.clear()                       # the console is told of it


# --------------------------------------------------------------------------- timeline
def test_every_event_is_one_key_away(show):
    trace = steps.plain()
    shown = show(trace)
    for n in range(len(trace.events)):
        assert shown.event() == n and shown.hash() in ("", shown.read()["hash"])
        assert shown.status().startswith(f"event {n + 1} of {len(trace.events)}, "
                                         f"{trace.events[n]['phase']}, ")
        shown.press("ArrowRight")
    assert shown.event() == len(trace.events) - 1, "it stays at the last"
    shown.press("ArrowLeft", "ArrowLeft")
    assert shown.event() == len(trace.events) - 3


def test_ends_and_bands(show):
    trace = steps.plain()
    shown = show(trace)
    for key, n in {"End": len(trace.events) - 1, "b": of(trace, "backward")[0], "Home": 0,
                   "u": of(trace, "update")[0], "f": 0}.items():
        shown.press(key)
        assert shown.event() == n, key


def test_a_band_that_there_is_not_is_said(show):
    with minidl.record() as trace:
        minidl.ones(2) + 1
    shown = show(trace)
    shown.press("b")
    assert shown.note() == "There are no backward events in this recording."
    assert shown.event() == 0


def test_by_modules(show):
    trace = steps.cnn()
    shown, groups = show(trace), []
    for n, e in enumerate(trace.events):
        group = e["phase"], trace.ops[e["op"]]["module"] if e["phase"] != "update" else ""
        if not groups or groups[-1][0] != group:
            groups.append((group, n))
    starts = [n for _, n in groups]
    found = [shown.event()]
    for _ in starts[1:]:
        shown.press("Shift+ArrowRight")
        found.append(shown.event())
    assert found == starts and len(starts) > 10
    for n in reversed(starts[:-1]):
        shown.press("Shift+ArrowLeft")
        assert shown.event() == n


def test_by_number_and_by_words(show):
    trace = steps.cnn()
    shown = show(trace)
    shown.press("g", "2", "1", "Enter")
    assert shown.event() == 20
    shown.press("g", *"999", "Enter")
    assert "no event" in shown.note() and f"1 to {len(trace.events)}" in shown.note()
    shown.press("Escape")
    wanted = next(n for n in of(trace, "backward") if n > 20
                  and trace.nodes[trace.events[n]["node"]]["name"] == "7.weight")
    shown.press("/", *"gradient of 7.weight", "Enter")
    assert shown.event() == wanted and "gradient of 7.weight" in shown.status()
    shown.press("/", *"no such words", "Enter")
    assert shown.note() == 'No event has the words "no such words".'
    shown.press("Escape", "/", *"7.weight[2, 3]", "Enter")
    assert shown.read()["cell"] == "2,3" and "7.weight" in shown.status()


def test_every_event_can_be_clicked(show):
    trace = steps.plain()
    shown = show(trace)
    for n in reversed(range(len(trace.events))):
        shown.page.click(f".event[data-event='{n + 1}']")
        assert shown.event() == n


def test_the_place_is_in_the_address(show):
    trace = steps.cnn()
    shown = show(trace)
    n = of(trace, "forward", "conv2d")[-1]
    shown.press("g", *str(n + 1), "Enter")
    shown.page.click("[role=grid] td[data-at]:not([data-cell])")
    place = shown.read()
    assert place["hash"] == hash_of(n, place["cell"].split(","))
    shown.page.reload()
    shown.ready()
    assert shown.read() == place and shown.event() == n
    copied = show.page(place["hash"], show.folder / "0.html")       # somebody else's browser
    assert copied.read() == place


def test_an_address_that_says_nothing_is_the_first_event(show):
    shown, path = show.page(), show.write(page(steps.plain()))
    for hash_ in ("#event=0", "#event=1e3", "#event=-1", "#event=", "#", "#cell=9", "#<img src=x>",
                  "#event=1&cell=99,99", "#event=1&cell=a,b", "#event=1&cell=,,,", "#event=%00",
                  "#event=1&cell=0,0,0,1.5"):
        shown.page.goto("about:blank")
        shown.goto(path.as_uri() + hash_)
        assert shown.event() == 0 and shown.read()["cell"].count(",") == 3, hash_
        shown.press("ArrowRight")
        assert shown.event() == 1


def test_the_browsers_back_is_back(show):
    trace = steps.cnn()
    shown = show(trace)
    shown.press("ArrowRight")
    places = [shown.read()]
    for n in (9, 20, 31):
        shown.page.click(f".event[data-event='{n + 1}']")
        places.append(shown.read())
    for place in reversed(places[:-1]):
        shown.page.go_back()
        shown.page.wait_for_function("h => location.hash === h", arg=place["hash"])
        assert shown.read() == place
    shown.page.go_forward()
    shown.page.wait_for_function("h => location.hash === h", arg=places[1]["hash"])
    assert shown.read() == places[1]


# --------------------------------------------------------------------------- the network
def gradients(shown) -> dict[int, str]:
    return {int(node): text for node, text in shown.ask(
        "() => [...document.querySelectorAll('.gradient')].map(g => "
        "[g.dataset.node, g.textContent])")}


def test_a_gradient_is_none_until_it_arrives(show):
    trace = steps.plain()
    shown = show(trace)
    arrives = {trace.passes[0]["outputs"][0]: trace.passes[0]["begin"]}      # the loss itself: 1
    for n in of(trace, "backward"):
        e = trace.events[n]
        arrives.setdefault(e["node"], n)
    seen = gradients(shown)
    assert set(arrives) & set(seen) and set(seen.values()) == {"None"}
    for n in range(len(trace.events)):
        for node, text in gradients(shown).items():
            here = arrives.get(node, len(trace.events)) <= n
            assert (text != "None") == here, (n, trace.nodes[node])
            assert text != "0"
        shown.press("ArrowRight")
    weight = next(node for node in arrives if trace.nodes[node]["name"] == "0.weight")
    largest = float(abs(trace.grad(weight)).max())
    assert float(gradients(shown)[weight]) == pytest.approx(largest, rel=0.05)


def test_modules_fold(show):
    shown = show(steps.cnn())
    before = shown.count(".row")
    shown.page.click(".fold")
    assert shown.count(".row") < before
    assert shown.ask("() => document.querySelector('.fold').getAttribute('aria-expanded')"
                     ) == "false"
    shown.page.click(".fold")
    assert shown.count(".row") == before


def test_what_detach_cut_off_is_shown(show):
    trace = steps.gan()
    shown = show(trace)
    (cut,) = [node for node in trace.nodes if node["detached_from"] is not None]
    assert shown.count("[data-detached]") == 1 and shown.count(".arcs .cut") == 1
    marked = shown.ask("() => { const c = document.querySelector('[data-detached]');"
                       " return [Number(c.dataset.detached), c.title, c.textContent]; }")
    assert marked[0] == cut["id"] and "detached" in marked[2]
    assert marked[1] == "detach(): no gradient goes to fake"
    assert show(steps.plain()).count("[data-detached]") == 0


# --------------------------------------------------------------------------- following
def test_back_is_back(show):
    """The same cell, and the factor that was followed has the focus again."""
    trace = steps.cnn()
    n = of(trace, "forward", "conv2d")[-1]
    shown = show(trace, hash_of(n, (1, 2, 0, 1)))
    way = []
    while not way or shown.hash() != way[-1][0]["hash"]:
        shown.ask("() => { const all = [...document.querySelectorAll('button[data-factor=x]')];"
                  " all[Math.min(2, all.length - 1)].focus(); }")
        way.append((shown.read(), shown.focused("data-factor"), shown.focused("data-index")))
        shown.press("Enter")
    assert len(way) > 3 and "it was given" in shown.note()
    way.pop()
    for place, name, index in reversed(way):
        shown.press("Backspace")
        assert shown.read() == place
        assert (shown.focused("data-factor"), shown.focused("data-index")) == (name, index)
    shown.press("Backspace")
    assert shown.note() == "You are where you began."


def test_back_is_back_to_the_cell_one_had(show):
    """Though another one of the same array was chosen since."""
    trace = steps.plain()
    n = next(n for n in of(trace, "backward")
             if trace.nodes[trace.events[n]["node"]]["name"] == "0.weight")
    shown = show(trace, hash_of(n, (1, 0, 2, 2)))
    before = shown.read()
    shown.press("u")                              # the update of this weight
    assert shown.read()["cell"] == "1,0,2,2" and "update" in shown.status()
    shown.page.click("[role=grid] td[data-at='1,0,0,1']")
    assert shown.read()["cell"] == "1,0,0,1"
    shown.press("Backspace")
    assert shown.read() == before


def test_a_factor_leads_to_the_number_that_it_is(show):
    """Where Enter goes, the chosen cell has the factor's value."""
    trace = steps.plain()
    shown, compared = show(trace), 0
    for n in [*of(trace, "forward")[1:], *of(trace, "backward")]:
        shown.walk([hash_of(n)])
        factor = shown.ask("""() => {
          const one = [...document.querySelectorAll("button[data-factor]")].find(b => b.title);
          one?.focus();
          return one && one.querySelector(".value").textContent;
        }""")
        before = shown.event()
        shown.press("Enter")
        if factor is None or shown.event() == before or "backward() began" in shown.note():
            continue                        # nothing to follow, or an input
        e = trace.events[shown.event()]
        if e["phase"] == "backward" and e["of"] > 1 or e["phase"] == "update":
            continue                        # one of several; a weight's event is its update
        there = shown.text("[role=grid] .here")
        assert number(there) == pytest.approx(number(factor), rel=0.006)
        compared += 1
    assert compared > 5


def test_what_was_given_has_no_maker(show):
    trace = steps.plain()
    shown = show(trace)
    shown.ask("() => document.querySelector('button[data-factor=x]').focus()")
    shown.press("Enter")
    assert shown.event() == 0 and "it was given, no op made it" in shown.note()
