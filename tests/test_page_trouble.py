"""Pages of what is odd, large, empty, hostile or damaged: shown or refused in words, never run; and
a page within a notebook."""

from __future__ import annotations

import base64
import gzip
import json
import re
import unicodedata

import numpy as np
import pytest
from page import steps
from page.browser import hash_of, needs_browser
from test_page_networks import EVENT, PANELS, every_event_is_shown

import minidl
from minidl import functional as F
from minidl import nn, optim
from minidl.explain.page import framed, page
from minidl.explain.trace import Trace
from minidl.training import first_step

pytestmark = needs_browser


# --------------------------------------------------------------------------- hostile text
HOSTILE = ['</script><script>document.title = "run"</script>',
           "<img src=x onerror='document.title=1'>", "<!-- <script>", "&lt;b&gt; &amp; &#60;",
           "\u202etxet \u2066isolated", "\x1b[31mred\x1b[0m", "\x9b31m",
           "größe 重み ∂L/∂w 🧮", "${1+1} `x` \\u003cb\\u003e", "' \" onload=1 ]]>"]
SCRIPT = """
import minidl
from minidl import nn, optim

@minidl.op
def größe(x):
    return x.data * 2.0, lambda gy: gy * 2.0      # HOSTILE

class Odd(nn.Linear):
    pass

Odd.__name__ = Odd.__qualname__ = "<b>Odd</b>"
net = nn.Sequential()
for k, name in enumerate(NAMES):
    net.add_module(name.replace(".", ""), Odd(2, 2))   # HOSTILE
w = minidl.ones(2, requires_grad=True)
optimizer = optim.SGD([w, *net.parameters()], lr=0.1)
h = net(größe(w.reshape(1, 2)))   # HOSTILE
# HOSTILE
loss = h.sum()      # HOSTILE
loss.backward()
optimizer.step()
"""


def hostile_trace(tmp_path) -> Trace:
    path = tmp_path / "<b onload=1>odd ☃.py"
    lines = iter(HOSTILE * 2)
    text = re.sub("HOSTILE", lambda _: next(lines), SCRIPT.replace("NAMES", ascii(HOSTILE)))
    path.write_text(text, encoding="utf-8")
    trace = first_step.of_script(path)
    trace.frame(1, **{name: 0.5 for name in HOSTILE}, **{"</script>": np.eye(3)})
    trace.check()
    return trace


def test_nothing_that_a_trace_says_is_run(show, tmp_path):
    trace = hostile_trace(tmp_path)
    shown = show(trace)
    assert len(trace.modules) >= len(HOSTILE) and any("größe" == op["op"] for op in trace.ops)
    before = shown.ask("() => document.title")
    for n in range(len(trace.events)):
        shown.walk([hash_of(n)])
        assert shown.ask("() => [document.title, document.scripts.length, document.images.length,"
                         " document.querySelectorAll('[onerror], [onload], b b').length]") == [
                             before, 3, 0, 0]
    shown.press("Home")
    text = shown.ask("() => document.body.innerText")
    odd = {c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t"}
    assert not odd, f"control characters that reach the screen: {odd}"
    for part in ("</script><script>document.title", "<img src=x", "<b>Odd</b>", "重み", "🧮"):
        assert part in text, part
    lines = shown.ask("() => [...document.querySelectorAll('[data-panel=source] pre')]"
                      ".map(p => p.textContent).join('')")
    assert HOSTILE[0].replace(".", "") in shown.text("[data-panel=graph]") and "size" not in lines


def test_a_source_line_is_text(show, tmp_path):
    path = tmp_path / "script.py"
    texts = [f"y = x * 2   # {line}" for line in HOSTILE]
    path.write_text("\n".join(["import minidl", "x = minidl.ones(2)", *texts]), encoding="utf-8")
    trace = first_step.of_script(path)
    marked = show(trace).walk([hash_of(n) for n in range(len(texts))], """() => [
      document.querySelector("[data-panel=source] pre .marked").textContent.slice(6, -1),
      document.scripts.length]""")
    said = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in text) for text in texts]
    assert marked == [[text, 3] for text in said]


# --------------------------------------------------------------------------- odd numbers
def test_nan_and_infinity_are_numbers_too(show):
    x = minidl.tensor([[np.nan, np.inf, -np.inf, 1e-30], [1.0, 0.0, -2.0, 3e38]],
                      requires_grad=True)
    with minidl.record() as trace:
        y = x * 2 + x.exp()
        z = F.softmax(y, 1) + F.relu(x).log()
        (z.sum() + (x @ x.T).sum() + x.amax(1).sum()).backward()
        optim.SGD([x], lr=0.1).step()
    trace.check()
    shown = show(trace)
    found = shown.walk([hash_of(n) for n in range(len(trace.events))], EVENT)
    assert all(PANELS <= set(there["panels"]) for there in found)
    cells = [[0, 0], [0, 1], [0, 2], [1, 3]]
    said = shown.walk([hash_of(0, cell) for cell in cells])
    assert [one["status"].split("]: ")[1] for one in said] == ["nan", "inf", "\u2212inf", "inf"]
    assert [one["stored"] for one in said] == ["NaN", "Infinity", "-Infinity", "Infinity"]
    assert "WRONG" not in shown.text("main")
    assert ", 1 NaN, 2 inf" in shown.text("figure[data-array=x]")


def test_arrays_without_numbers(show):
    with minidl.record() as trace:
        x = minidl.zeros(0, 3, requires_grad=True)
        (F.relu(x * 2) @ minidl.ones(3, 2)).sum().backward()
        minidl.cat([x, minidl.ones(2, 3)], 0).sum()
    trace.check()
    shown = show(trace)
    found = shown.walk([hash_of(n) for n in range(len(trace.events))], EVENT)
    assert found[0]["status"].endswith(": no numbers") and found[0]["total"] is None
    for n, (there, e) in enumerate(zip(found, trace.events)):
        assert PANELS <= set(there["panels"]) and "undefined" not in "".join(there["texts"]), (n, e)


# --------------------------------------------------------------------------- cut arrays
@pytest.mark.parametrize("name", ["cnn", *(pytest.param(name, marks=pytest.mark.slow)
                                           for name in ("vae", "gan", "transformer"))])
def test_what_was_cut_is_said_to_be_cut(show, name):
    trace = getattr(steps, name)()
    trace.check()
    trace.frame(1, loss=0.5, samples=np.random.default_rng(0).random((2, 1, 8, 8)))
    try:
        whole, shown = show(trace), show(page(trace, budget=1))
    finally:
        trace.frames.clear()
    assert "arrays were cut for their size" in shown.text("header")
    assert "arrays were cut" not in whole.text("header")
    hashes = [hash_of(n) for n in range(len(trace.events))]
    arrived = """() => [...document.querySelectorAll("[data-panel=ledger] tr")].map(row => [
      row.className, ...[...row.querySelectorAll(".number")].map(n => n.textContent)])"""
    cut = 0
    for e, there, rows in zip(trace.events, shown.walk(hashes, EVENT),
                              shown.walk(hashes[::-1], arrived)[::-1]):
        assert PANELS <= set(there["panels"]), e
        text = " ".join(there["texts"])
        assert "undefined" not in text and "NaN" not in text and "[object" not in text, (e, text)
        if there["status"].endswith(": not in the file"):
            cut += 1
            assert "left out of the file for its size" in text and there["stored"] is None, e
        for kind, *numbers in rows:
            assert kind == "later" or "None" not in numbers, (e, rows)
    assert cut > len(trace.events) / 4
    for key in ("c", "Enter", "Backspace", "p", "Home", "Enter", "]", "PageDown"):
        shown.press(key)


@pytest.mark.slow
def test_a_middling_budget_is_right_where_it_says_a_number(show):
    trace = steps.cnn()
    for budget in (5000, 9000):
        shown = show(page(trace, budget=budget))
        assert 0 < every_event_is_shown(shown, trace) < len(trace.events)


# --------------------------------------------------------------------------- empty and damaged
def test_an_empty_trace_is_refused_in_words(tmp_path):
    with minidl.record() as trace:
        pass
    with pytest.raises(ValueError, match="no events: nothing was recorded"):
        trace.save(tmp_path / "x.html")
    assert not list(tmp_path.iterdir())


def title() -> str:
    return re.search("<title>(.*?)</title>", page(steps.plain()))[1]


def with_payload(payload: str) -> str:
    text = page(steps.plain())
    return re.sub(r'(id="trace">)[^<]*', lambda found: found[1] + payload, text)


def packed(content) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.b64encode(gzip.compress(text, mtime=0)).decode()


def good() -> dict:
    payload = re.search(r'id="trace">([^<]*)', page(steps.plain()))[1]
    return json.loads(gzip.decompress(base64.b64decode(payload)))


DAMAGES = {
    "empty": lambda: "", "no base64": lambda: "no base64!", "no gzip": lambda: "AAAA",
    "cut off": lambda: packed({"events": []})[:-30], "a list": lambda: packed([]),
    "no JSON": lambda: packed(b"<script>document.title=1</script>"), "null": lambda: packed(None),
    "a number": lambda: packed(7), "no lists": lambda: packed({}),
    "no events": lambda: packed({"events": []}),
    "no arrays": lambda: packed({**good(), "arrays": None}),
    "half an event": lambda: packed({**good(), "events": [{"phase": "forward"}]}),
    "no nodes": lambda: packed({**good(), "nodes": []})}


def test_a_damaged_page_is_words(show):
    shown = show.page()
    for name, payload in DAMAGES.items():
        shown.page.goto(show.write(with_payload(payload())).as_uri())
        shown.page.wait_for_selector("html[data-ready=failed]", state="attached")
        assert shown.text("h1") == "This page cannot be shown", name
        assert "damaged" in shown.text("[role=alert]"), name
        assert shown.count("script") == 3 and shown.ask("() => document.title") == title(), name
        assert show.complaints, name              # told to the console too
        show.complaints.clear()


ODD = [-1, 0, 3, 2.5, 10**9, None, True, "x", "", [], [1], {}, {"a": 1}, "NaN", "</script>"]


def damaged(document: dict, rng: np.random.Generator) -> tuple[dict, str]:
    """One value at any depth replaced or removed."""
    document, path = json.loads(json.dumps(document)), []
    at = document
    while isinstance(at, (dict, list)) and at and (len(path) < 1 or rng.random() < 0.8):
        keys = list(at) if isinstance(at, dict) else range(len(at))
        path.append((at, keys[rng.integers(len(keys))]))
        at = at[path[-1][1]]
    parent, key = path[-1]
    if rng.random() < 0.3:
        del parent[key]
        return document, f"without {[k for _, k in path]}"
    parent[key] = ODD[rng.integers(len(ODD))]
    return document, f"{[k for _, k in path]} = {parent[key]!r}"


def look_at_damages(show, count: int) -> None:
    rng, whole = np.random.default_rng(count), good()
    del whole["formulas"], whole["lines"]
    shown, outcomes = show.page(), set()
    for _ in range(count):
        document, what = damaged(whole, rng)
        shown.page.goto(show.write(with_payload(packed(document))).as_uri())
        shown.page.wait_for_selector("html[data-ready]", state="attached")
        state = shown.ask("() => document.documentElement.dataset.ready")
        if state == "failed":
            assert "damaged" in shown.text("[role=alert]"), what
            show.complaints.clear()
        else:
            notes = shown.walk([hash_of(n) for n in range(1, 19)],
                               "() => document.querySelector('.note').textContent"
                               " + document.querySelector('[role=status]').textContent")
            assert shown.status(), what
            if show.complaints:
                assert any("damaged" in note or "cannot be shown" in note for note in notes), (
                    what, show.complaints)
                show.complaints.clear()
        assert shown.count("script") == 3 and shown.ask("() => document.title") == title(), what
        outcomes.add(state)
    assert outcomes == {"true", "failed"}


def test_damages(show):
    look_at_damages(show, 12)


@pytest.mark.browsing
def test_many_damages(show):
    look_at_damages(show, 100)


# --------------------------------------------------------------------------- in a notebook
def test_a_page_in_a_notebook(show):
    """As Jupyter, or a notebook saved as HTML, has it: in a frame of another document."""
    trace = steps.plain()
    other = framed(nn_trace())._repr_html_()
    text = ("<!DOCTYPE html><html><head><title>notebook</title></head><body><h1>Notebook</h1>"
            f"{framed(trace)._repr_html_()}<p>and</p>{other}</body></html>")
    shown = show.page()
    shown.page.goto(show.write(text).as_uri())
    frames = [frame.content_frame() for frame in shown.page.query_selector_all("iframe")]
    one, two = (type(shown)(shown.page, frame) for frame in frames)
    one.ready()
    shown.page.query_selector_all("iframe")[1].scroll_into_view_if_needed()
    two.ready()
    one.frame.click("h1")
    one.press("ArrowRight", "ArrowRight")
    assert one.event() == 2 and two.event() == 0 and one.hash() == one.read()["hash"]
    one.press("End")
    assert one.event() == len(trace.events) - 1
    assert one.walk([hash_of(4), hash_of(1, (1, 1, 2, 0))])[1]["cell"] == "1,1,2,0"
    one.ask("() => document.querySelector('button[data-factor=x]').focus()")
    one.press("b", "Enter", "Backspace")
    assert one.event() == next(n for n, e in enumerate(trace.events) if e["phase"] == "backward")
    two.frame.click("h1")
    two.press("u")
    assert "update, SGD step 1" in two.status() and one.event() != two.event()
    assert shown.ask("() => document.title") == "notebook"


def nn_trace() -> Trace:
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    with minidl.record() as trace:
        net(minidl.ones(3, 2)).sum().backward()
        optimizer.step()
    return trace


def test_show_is_the_frame():
    trace = steps.plain()
    assert trace.show()._repr_html_() == framed(trace)._repr_html_()
