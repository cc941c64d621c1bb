"""The page for everybody: by the keyboard alone, read aloud, on a narrow screen, light and dark."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from page import steps
from page.browser import hash_of, needs_browser

import minidl
from minidl.explain.page import page

pytestmark = needs_browser
SIZES = {400: 800, 1280: 900, 1920: 1080}


def one_of_each(trace) -> list[int]:
    """An event of each phase: one with several numbers, in a module."""
    large = lambda n: len(trace.nodes[trace.events[n].get("node", trace.ops[
        trace.events[n].get("op", 0)]["outputs"][0])]["shape"]) > 1
    return [next(n for n, e in enumerate(trace.events) if e["phase"] == phase and large(n))
            for phase in ("forward", "backward", "update")]


def violations(shown) -> list[str]:
    """What axe-core calls serious or critical, with the elements."""
    from axe_playwright_python.sync_playwright import Axe
    found = Axe().run(shown.page).response["violations"]
    return [f"{v['id']}: {v['help']}: {node['html'][:120]}" for v in found
            if v["impact"] in ("serious", "critical") for node in v["nodes"][:3]]


def sticks_out(shown) -> list[str]:
    """Elements that make the page wider than the window."""
    return shown.ask("""() => document.documentElement.scrollWidth <= innerWidth ? [] :
      [...document.body.querySelectorAll("*")].filter(e => {
        if (e.getBoundingClientRect().right <= innerWidth + 1) return false;
        for (let p = e.parentElement; p; p = p.parentElement) {
          if (getComputedStyle(p).overflowX !== "visible") return false;
        }
        return true;
      }).map(e => e.outerHTML.slice(0, 100)).concat(["(wider than the window)"])""")


def test_the_chosen_cell_is_in_sight(show):
    """On a narrow screen too, where the numbers of a row have no room."""
    trace = steps.vae()
    shown = show(trace, viewport={"width": 400, "height": 800})
    hidden = shown.walk([hash_of(n) for n in range(len(trace.events))], """() => {
      const cell = document.querySelector("[data-cell]"), here = cell.getBoundingClientRect();
      const box = cell.closest(".arrays").getBoundingClientRect();
      return here.left < box.left - 1 || here.right > Math.min(box.right, innerWidth) + 1;
    }""")
    assert not any(hidden), [n for n, is_hidden in enumerate(hidden) if is_hidden]


needs_axe = pytest.mark.skipif(find_spec("axe_playwright_python") is None,
                               reason="axe-playwright-python is not installed")


def look(show, name: str, width: int, scheme: str) -> None:
    trace = getattr(steps, name)()
    shown = show(trace, color_scheme=scheme, reduced_motion="reduce",
                 viewport={"width": width, "height": SIZES[width]})
    for n in one_of_each(trace):
        shown.walk([hash_of(n)])
        assert not violations(shown), (n, violations(shown))
        assert not sticks_out(shown), (n, sticks_out(shown))


@needs_axe
@pytest.mark.parametrize("name, width, scheme", [
    ("wrong", 1280, "light"), ("vae", 400, "dark")])
def test_nothing_serious(show, name, width, scheme):
    look(show, name, width, scheme)


@needs_axe
@pytest.mark.browsing
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("name", ["cnn", "vae", "gan", "transformer", "wrong"])
def test_nothing_serious_anywhere(show, name, width, scheme):
    look(show, name, width, scheme)


@needs_axe
def test_nothing_serious_while_one_asks(show):
    """With the keys, a question and predicting open."""
    shown = show(steps.plain())
    shown.press("?")
    assert not violations(shown)
    shown.press("Escape", "g")
    assert not violations(shown)
    shown.press("Escape", "p")
    assert not violations(shown)


# --------------------------------------------------------------------------- keys
TOUR = """() => {
  const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const panel = e.closest("[data-panel]")?.dataset.panel;
  return {tag: e.tagName, panel: panel ?? e.closest("header, dialog, body").tagName,
          name: e.getAttribute("aria-label") || e.textContent.trim() || e.title,
          outline: e.matches(":focus-visible") && outlined,
          inside: box.bottom > 0 && box.top < innerHeight && box.width > 0 && box.height > 0};
}"""


@pytest.mark.parametrize("name", [pytest.param("vae", marks=pytest.mark.slow), "wrong"])
def test_every_panel_is_reached_by_tab(show, name):
    """And what has the focus is named, in sight, and outlined."""
    trace = getattr(steps, name)()
    n = one_of_each(trace)[1]
    shown, seen = show(trace, hash_of(n)), {}
    for _ in range(500):
        shown.press("Tab")
        there = shown.ask(TOUR)
        if there["tag"] == "BODY":
            break
        assert there["name"] and there["outline"] and there["inside"], there
        seen.setdefault(there["panel"], []).append(there)
    else:
        pytest.fail(f"no way out by Tab: {[(k, len(v)) for k, v in seen.items()]}")
    assert shown.event() == n, "Tab alone changes nothing"
    wanted = {"HEADER", "timeline", "graph", "microscope", "terms", "ledger", "source"}
    assert wanted <= set(seen), wanted - set(seen)
    assert len(seen["timeline"]) == 1, "one stop for all events: arrows go from there"


def test_a_large_array_is_shown_at_once(show):
    """A plane of a million numbers: the picture is of the part around the cell."""
    with minidl.record() as trace:
        minidl.rand(40, 25_000) * 2
    shown = show(page(trace, budget=10**8))
    took = shown.ask("""async () => {
      await new Promise(requestAnimationFrame);
      const began = performance.now();
      location.hash = "#event=1&cell=39,24999";
      await new Promise(done => addEventListener("hashchange", done, {once: true}));
      await new Promise(requestAnimationFrame);
      document.body.offsetHeight;
      return performance.now() - began;
    }""")
    assert took < 3000 and shown.read()["cell"] == "39,24999"
    sizes = shown.ask("() => [...document.querySelectorAll('canvas')]"
                      ".map(c => [c.width, c.height])")
    assert sizes == [[256, 40], [256, 40]]
    shown.page.locator("canvas").first.click(position={"x": 0.5, "y": 0.5})
    assert shown.read()["cell"] == f"0,{25_000 - 256}"


def test_a_grid_by_arrows(show):
    trace = steps.cnn()
    n = next(n for n, e in enumerate(trace.events) if e["phase"] == "forward"
             and trace.ops[e["op"]]["op"] == "max_pool2d")
    shown = show(trace, hash_of(n, (0, 0, 0, 0)))
    assert trace.nodes[trace.ops[trace.events[n]["op"]]["outputs"][0]]["shape"] == [2, 4, 3, 3]
    shown.ask("() => document.querySelector('[data-cell]').focus()")
    way = [("ArrowRight", "0,0,0,1"), ("ArrowDown", "0,0,1,1"), ("ArrowRight", "0,0,1,2"),
           ("ArrowRight", "0,0,1,2"), ("ArrowLeft", "0,0,1,1"), ("ArrowUp", "0,0,0,1"),
           ("ArrowUp", "0,0,0,1"), ("PageDown", "0,1,0,1"), ("PageDown", "0,2,0,1"),
           ("PageUp", "0,1,0,1"), ("]", "1,1,0,1"), ("]", "1,1,0,1"), ("[", "0,1,0,1")]
    for key, cell in way:
        shown.press(key)
        there = shown.read()
        assert there["cell"] == cell and there["hash"] == hash_of(n, cell.split(",")), key
        assert shown.focused("data-cell") == cell, "the focus goes with it"
        assert f"cell [{cell}]: " in there["status"]
    shown.press("Escape", "ArrowRight")
    assert shown.event() == n + 1


def test_a_whole_tour_by_keys_alone(show):
    """Find the weight, follow it to the loss, home, to its source, to the wrong cell."""
    trace = steps.wrong()
    shown = show(trace)
    shown.press("/", *"gradient of 0.weight", "Enter")
    there = shown.read()
    assert "gradient of 0.weight" in there["status"]
    for _ in range(20):
        shown.press("Enter")
        if "backward() began" in shown.note():
            break
    assert "backward() began" in shown.note()
    for _ in range(20):
        if shown.read() == there:
            break
        shown.press("Backspace")
    assert shown.read() == there
    shown.press("s")
    assert shown.ask("() => document.activeElement.closest('[data-panel]').dataset.panel"
                     ) == "source"
    shown.press("c")
    assert "WRONG" in shown.status() and shown.focused("data-cell") == shown.read()["cell"]
    shown.press("?")
    assert shown.ask("() => document.querySelector('dialog').open")
    shown.press("ArrowRight")
    assert "WRONG" in shown.status(), "behind the dialog nothing moves"
    shown.press("Escape")
    assert not shown.ask("() => document.querySelector('dialog').open")
    shown.press("u")
    assert "update" in shown.status()


def test_no_key_of_the_browser_is_taken(show):
    """Keys with Ctrl, Alt and Meta are the browser's and the screen reader's."""
    shown = show(steps.plain())
    for key in ("Control+f", "Control+End", "Alt+ArrowDown", "Meta+u"):
        shown.press(key)
        assert shown.event() == 0, key


def test_what_is_said_is_said_to_readers_too(show):
    shown = show(steps.plain())
    assert shown.ask("() => document.documentElement.lang") == "en"
    assert [shown.count(one) for one in ("[role=status]", "main", "h1")] == [1, 1, 1]
    names = shown.ask("() => [...document.querySelectorAll('[role=grid], nav, table.numbers, "
                      "canvas, [role=group]')].map(e => e.getAttribute('aria-label'))")
    assert names and all(names)
