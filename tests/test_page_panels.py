"""What the panels of the page say, against what the trace holds and what Python works out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from page import steps
from page.browser import hash_of, needs_browser, number

import minidl
from minidl.explain.updates import worked

pytestmark = needs_browser
ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ["cnn", "residual", "transformer", "vae", "gan"]
few_networks = lambda one, names: pytest.mark.parametrize("name", [
    name if name == one else pytest.param(name, marks=pytest.mark.slow) for name in names])


def of(trace, phase: str) -> list[int]:
    return [n for n, e in enumerate(trace.events) if e["phase"] == phase]


def shows(text: str, value: float, figures: int = 6) -> bool:
    """Is this text the number, with so many figures of it?"""
    return number(text) == pytest.approx(float(value), rel=0.6 * 10.0**(1 - figures), abs=1e-40)


# --------------------------------------------------------------------------- formulas
CODE = re.compile(r"\\|\*\*|\baxis\b|\bdim ?=|keepdim|\bnp\.|\[:|, ?:|\.\.\.\]|\bNone,|"
                  r"\w\(.*, -?\d\)")


@few_networks("cnn", [*NETWORKS, "updates"])
def test_formulas_are_no_code(show, name):
    """Neither LaTeX nor NumPy stands in a formula, of any event."""
    trace = getattr(steps, name)()
    found = show(trace).walk([hash_of(n) for n in range(len(trace.events))], """() => [
      document.querySelectorAll("[data-panel=formula] math").length,
      [...document.querySelectorAll("[data-panel=formula] .formula, table.steps td:first-child")]
        .map(e => e.textContent)]""")
    for event, (count, texts) in zip(trace.events, found):
        assert count, event
        for text in texts:
            assert text.strip() and not CODE.search(text), (text, event)


def test_a_symbol_lights_its_cells(show):
    trace = steps.plain()
    shown = show(trace)
    for name, other in (("x", "w"), ("w", "x")):
        shown.page.hover(f"[data-panel=formula] .formula .s-{name}")
        assert shown.count(f"figure.lit[data-array={name}]") == 1
        assert shown.count(f"figure.lit[data-array={other}]") == 0
        assert shown.count(f".factor .s-{name}.lit") == shown.count(f".factor .s-{name}") > 0
        assert shown.count(f".formula .s-{name}.lit") > 0 == shown.count(f".s-{other}.lit")
    shown.page.hover("h1")
    assert shown.count(".lit") == 0
    shown.ask("() => document.querySelector('button[data-factor=w]').focus()")
    assert shown.count("figure.lit[data-array=w]") == 0, "the button is no symbol"


def test_cells_in_use_are_outlined(show):
    """Of each figure those cells that the terms are made of, as far as they are in sight."""
    trace = steps.plain()
    shown = show(trace, "#event=1&cell=1,1,2,0")
    used = lambda name: shown.ask(
        "n => [...document.querySelectorAll(`figure[data-array=${n}] td.used`)]"
        ".map(td => td.dataset.at)", name)
    assert used("x") == [f"1,0,{i},{j}" for i in (2, 3, 4) for j in (0, 1, 2)]
    assert used("w") == [f"1,0,{u},{v}" for u in (0, 1, 2) for v in (0, 1, 2)]
    assert used("b") == ["1"]


# --------------------------------------------------------------------------- sources
def source_file(path: str) -> list[str]:
    file = next(f for f in (ROOT / path, Path.cwd() / path, ROOT / "tests" / path) if f.is_file())
    return file.read_text(encoding="utf-8").splitlines()


@few_networks("vae", NETWORKS)
def test_the_marked_line_is_the_files(show, name):
    trace = getattr(steps, name)()
    events = of(trace, "forward") + of(trace, "backward")[::5]
    found = show(trace).walk([hash_of(n) for n in events], """() => {
      const [pre] = document.querySelectorAll("[data-panel=source] pre");
      return {place: document.querySelector("[data-panel=source] .place b").textContent,
              lines: [...pre.children].map(c => [Number(c.dataset.line),
                                                 c.textContent.slice(6, -1)]),
              marked: [...pre.querySelectorAll(".marked")].map(c => Number(c.dataset.line))};
    }""")
    for n, shown in zip(events, found):
        path, _, line = shown["place"].rpartition(":")
        lines, line = source_file(path), int(line)
        assert shown["marked"] == [line] and trace.ops[trace.events[n]["op"]]["op"]
        first, last = max(1, line - 5), min(len(lines), line + 5)
        assert [at for at, _ in shown["lines"]] == list(range(first, last + 1))
        for at, text in shown["lines"]:
            assert text == lines[at - 1], (path, at)


def test_the_ops_own_passes_stand_beside_the_users_line(show):
    trace = steps.plain()
    shown = show(trace)
    assert "def conv2d" in shown.text("[data-panel=source] details pre")
    shown.walk([hash_of(n) for n in of(trace, "backward")][-1:])
    assert "def backward" in shown.text("[data-panel=source] details pre")


# --------------------------------------------------------------------------- gradients, +=
LEDGER = """() => [...document.querySelectorAll("[data-panel=ledger] [data-event]")].map(row => [
  Number(row.dataset.event), ...[...row.querySelectorAll(".number")].map(e => e.textContent)])"""
CELL = "() => (document.querySelector('[data-cell]').dataset.cell || '').split(',')"


@few_networks("residual", ["residual", "transformer", "vae", "gan"])
def test_contributions_add_up_to_the_gradient(show, name):
    trace = getattr(steps, name)()
    events = of(trace, "backward")
    found = show(trace).walk([hash_of(n) for n in events],
                             f"() => [({LEDGER})(), ({CELL})()]")
    several = 0
    for n, (rows, cell) in zip(events, found):
        e, cell = trace.events[n], tuple(int(i) for i in cell if i)
        assert len(rows) == e["of"], (n, rows)
        several += e["of"] > 1
        for event, g, total in rows:
            one = trace.events[event - 1]
            assert one["node"] == e["node"]
            if event - 1 > n:
                assert (g, total) == ("None", "None (not arrived)")
                continue
            assert shows(g, trace.arrays[one["contribution"]][cell])
            assert shows(total, trace.arrays[one["sum"]][cell])
        if e["number"] == e["of"] and trace.nodes[e["node"]]["grad"] == e["sum"]:
            assert shows(rows[-1][2], trace.grad(e["node"])[cell])
    assert several > 3


def test_a_gradient_of_two_losses_tells_them_apart(show):
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.record() as trace:
        for loss in ((w * w).sum(), (w * 3).sum()):
            loss.backward()
    shown = show(trace, hash_of(len(trace.events) - 1, (1,)))
    assert "was there from an earlier backward()" in shown.text("[data-panel=ledger]")
    assert "; 4 was there" in shown.text("[data-panel=ledger]")
    ((_, g, total),) = shown.ask(LEDGER)
    assert (number(g), number(total)) == (3, 7)


def test_before_the_backward_pass_there_is_none(show):
    trace = steps.plain()
    shown = show(trace, hash_of(0))
    assert [row[1:] for row in shown.ask(LEDGER)] == [["None", "None (not arrived)"]]
    with minidl.record() as idle:
        minidl.ones(3) * 2
    assert "Gradient of the output of mul: None." in show(idle).text("[data-panel=ledger]")


# --------------------------------------------------------------------------- updates
def test_an_update_is_its_rule(show):
    trace, events = steps.updates(), of(steps.updates(), "update")
    found = show(trace).walk([hash_of(n, (k % 3,)) for k, n in enumerate(events)], """() => {
      const box = document.querySelector("[data-panel=terms]");
      return {total: Number(box.dataset.total), stored: Number(box.dataset.stored),
              lines: [...box.querySelectorAll("[data-step]")].map(r => r.lastChild.textContent)};
    }""")
    rules = set()
    for k, (n, shown) in enumerate(zip(events, found)):
        e, cell = trace.events[n], (k % 3,)
        get = lambda place: float(trace.arrays[place][cell])
        lines = worked(e["rule"], get(e["before"]), get(e["gradient"]),
                       {name: get(place) for name, place in e["state"].items()}, e["step"],
                       e["options"], e["first"])
        assert shown["total"] == pytest.approx(lines[-1][1], rel=1e-12)
        assert shown["stored"] == get(e["after"]) == pytest.approx(shown["total"], rel=2e-6)
        assert len(shown["lines"]) == len(lines)
        assert all(shows(text, value) for text, (_, value) in zip(shown["lines"], lines))
        rules.add((e["rule"], *(bool(e["options"].get(k)) for k in ("momentum", "nesterov"))))
    assert len(rules) == len(steps.RULES)


def test_a_rule_of_ones_own_is_said_to_be_unknown(show):
    trace = steps.updates()
    event = next(e for e in trace.events if e["phase"] == "update")
    before, event["lines"], event["steps"], event["rule"] = dict(event), [], [], "Signs"
    try:
        shown = show(trace, hash_of(trace.events.index(event)))
        assert "A rule that minidl does not know" in shown.text("[data-panel=terms]")
        assert "Signs step 1" in shown.status()
    finally:
        event |= before


# --------------------------------------------------------------------------- frames, VAE, GAN
def test_frame_k_shows_array_k(show):
    with minidl.record() as trace:
        minidl.ones(2) * 2
    frames = [np.eye(6)[k] + k for k in range(4)]
    for k, values in enumerate(frames):
        picture = np.zeros((1, 1, 4, 4))
        picture[0, 0, k, 3 - k] = 1
        trace.frame(10 * k, loss=1 / (k + 1), samples=picture, weights=values)
    shown = show(trace)
    assert shown.text("[data-frame]").startswith("step 30: loss 0.25"), "the last one at first"
    for k in (2, 0, 3, 1):
        shown.ask("""k => { const slider = document.querySelector("[data-panel=training] input");
                     slider.value = k; slider.dispatchEvent(new Event("input")); }""", k)
        text = shown.text("[data-frame]")
        assert text.startswith(f"step {10 * k}: loss ") and shows(text.split()[-1], 1 / (k + 1), 4)
        numbers = shown.ask("() => [...document.querySelectorAll("
                            "'[data-panel=training] .numbers td')].map(td => td.textContent)")
        assert [number(v) for v in numbers] == frames[k].tolist()
        assert brightest(colours(shown, "[data-panel=training] canvas", 4)) == (k, 3 - k)
    shown.ask("() => document.querySelector('[data-panel=training] input').focus()")
    shown.press("ArrowLeft")
    assert shown.ask("() => document.querySelector('[data-frame]').dataset.frame") == "0"
    assert shown.event() == 0


def colours(shown, selector: str, side: int) -> np.ndarray:
    """Of a picture of side x side numbers, the colour of each: (side, side, 3)."""
    pixels = shown.ask("""async ([s, side]) => {
      await new Promise(requestAnimationFrame);
      const canvas = document.querySelector(s), step = canvas.width / side;
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const middle = k => Math.floor((k + 0.5) * step);
      const at = (r, c) => 4 * (middle(r) * canvas.width + middle(c));
      return Array.from({length: side * side}, (_, i) => {
        const place = at(Math.floor(i / side), i % side);
        return [...data.slice(place, place + 3)];
      });
    }""", [selector, side])
    return np.array(pixels, float).reshape(side, side, 3)


def brightest(picture: np.ndarray) -> tuple[int, ...]:
    """Where the colour is furthest from what most of it has."""
    apart = np.abs(picture - np.median(picture, axis=(0, 1))).sum(2)
    return tuple(map(int, np.unravel_index(apart.argmax(), apart.shape)))


def test_two_pulls_reach_a_code(show):
    """Reconstruction and KL at mu: what each brought, and that they add up to the gradient."""
    trace = steps.vae()
    mu = next(node for node in trace.nodes if node["name"] == "mu")
    events = [n for n in of(trace, "backward") if trace.events[n]["node"] == mu["id"]]
    assert len(events) >= 2
    read = lambda shown: shown.ask(
        "id => [...document.querySelectorAll(`[data-code='${id}'] tbody tr`)].map(row => "
        "[...row.querySelectorAll('.number')].map(td => td.textContent))", mu["id"])
    shown = show(trace)
    assert set(sum(read(shown), [])) == {"None"}
    shown.walk([hash_of(events[0])])
    assert all(row[2] == "None" and "None" in row[:2] for row in read(shown))
    shown.walk([hash_of(events[-1])])
    rows = np.array([[number(v) for v in row] for row in read(shown)])
    parts = np.array([trace.arrays[trace.events[n]["contribution"]].sum(0) for n in events])
    assert rows[:, 2] == pytest.approx(parts.sum(0), rel=6e-3)
    assert rows[:, 0] + rows[:, 1] == pytest.approx(rows[:, 2], abs=2e-2 * np.abs(rows).max())
    assert rows[:, 2] == pytest.approx(trace.grad(mu["id"]).sum(0), rel=6e-3)
    logvar = next(node for node in trace.nodes if node["name"] == "logvar")
    m, v = (trace.value(node["id"]).astype(float) for node in (mu, logvar))
    assert rows[:, 1] == pytest.approx(m.sum(0) / len(m), rel=6e-3), "dKL/dmu = mu, of the mean"
    kl = (0.5 * (m**2 + np.exp(v) - v - 1)).mean(0)
    bars = shown.ask("() => [...document.querySelectorAll('[data-kl] span')].map(b => b.title)")
    assert len(bars) == len(kl) == trace.nodes[mu["id"]]["shape"][1]
    assert all(shows(bar.split(": ")[1], value, 3) for bar, value in zip(bars, kl))


def test_a_gans_turns_are_lanes(show):
    trace = steps.gan()
    shown = show(trace)
    lanes = shown.ask("() => [...document.querySelectorAll('.lane[data-turn]')].map(lane => [lane"
                      ".dataset.turn, ...[...lane.querySelectorAll('.event')].map(e => Number("
                      "e.dataset.event) - 1)])")
    assert [name for name, *_ in lanes] == ["discriminator", "generator"] == [
        turn["name"] for turn in trace.turns]
    for (_, *events), turn in zip(lanes, trace.turns):
        assert events == list(range(turn["begin"], turn["end"]))
    assert "discriminator's turn" in shown.status()
    shown.press("End")
    assert "generator's turn" in shown.status()


def test_how_a_gans_image_would_move(show):
    trace = steps.gan()
    fake = next(node for node in trace.nodes if node["name"] == "fake" and node["op"] is not None)
    arrives = next(n for n in of(trace, "backward") if trace.events[n]["node"] == fake["id"])
    shown, here = show(trace, hash_of(arrives - 1)), f"[data-pixels='{fake['id']}']"
    assert "None" in shown.text(here) and shown.count(f"{here} canvas") == 0
    shown.press("ArrowRight")
    assert "\u2212\u2202L/\u2202image" in shown.text(here)
    g = trace.grad(fake["id"])
    image = int(np.abs(g[0, 0]).max() < np.abs(g[1, 0]).max())      # the one with the largest
    at = np.unravel_index(np.abs(g[image, 0]).argmax(), (8, 8))
    red, _, blue = colours(shown, f"{here} .tiles canvas:nth-child({image + 1})", 8)[at]
    assert abs(red - blue) > 100 and (red > blue) == (g[image, 0][at] < 0), "orange: let it grow"


# --------------------------------------------------------------------------- predict first
def hidden(shown) -> list[bool]:
    """Of what would tell the number: is it transparent?"""
    return shown.ask("() => [...document.querySelectorAll('.secret, [data-cell]')].map(e => "
                     "getComputedStyle(e).color === 'rgba(0, 0, 0, 0)')")


def test_predict_first(show):
    trace = steps.plain()
    shown = show(trace, "#event=1&cell=1,1,2,0")
    value = float(trace.value(trace.ops[0]["outputs"][0])[1, 1, 2, 0])
    assert not any(hidden(shown))
    shown.press("p")
    assert shown.focused("id") == "guess" and len(hidden(shown)) > 10 and all(hidden(shown))
    assert shown.status().endswith("cell [1,1,2,0]: what is it?")
    shown.press("Enter")
    assert "Type a number." in shown.text(".predict") and all(hidden(shown))
    for wrong in ("-123.5", f"{1.02 * value:.4g}", f"{-value:.3g}", "0"):
        shown.page.fill("#guess", wrong)
        shown.press("Enter")
        assert f"No, it is not {wrong}." in shown.text(".predict") and all(hidden(shown))
    shown.page.fill("#guess", f"{value:.3g}")
    shown.press("Enter")
    assert not any(hidden(shown)) and shown.note() == shown.text("p.judged")
    assert shown.note().startswith("Right: it is ")
    assert shows(shown.note().split()[-1].rstrip("."), value)
    shown.press("ArrowRight")
    assert all(hidden(shown)) and shown.event() == 1, "the next number is hidden again"
    shown.page.click("text=Show it")
    assert not any(hidden(shown))
    shown.press("p", "ArrowRight")
    assert not any(hidden(shown))


def test_what_is_predicted_is_not_told_elsewhere(show):
    """No other text of the page has the number's digits, read aloud or seen."""
    trace = steps.plain()
    shown = show(trace, "#event=1&cell=1,1,2,0")
    value = float(trace.value(trace.ops[0]["outputs"][0])[1, 1, 2, 0])
    shown.press("p")
    told = shown.ask("""() => {
      const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const {parentElement: e, data} = walker.currentNode;
        if (e.closest("script") || e.closest("[aria-hidden=true]")) continue;
        found.push([data, getComputedStyle(e).color === "rgba(0, 0, 0, 0)"]);
      }
      return found;
    }""")
    digits = f"{abs(value):.5g}"
    assert any(digits in text for text, _ in told), "it is there, and is hidden"
    assert not [text for text, is_hidden in told if digits in text and not is_hidden]
