"""A sign flipped in a backward pass is seen: in the page, in a terminal, in the failure picture."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from optable import tensor_arguments, value_and_gradients
from page.browser import hash_of, needs_browser
from page.every_op import drawn, every_op
from test_failure_pictures import red
from test_mutation import broken, operands

from minidl import OPS
from minidl.explain.trace import Trace
from minidl.explain.walk import Walk
from minidl.testing import GradientError, check_gradients
from minidl.testing.pytest_plugin import save_picture

MOST = max(len(operands(name)) for name in OPS)          # operands of an op
SHOWN = """() => {
  const cells = [...document.querySelectorAll("[role=grid] td.wrong")];
  const chosen = document.querySelector("[data-cell]");
  return {event: Number(document.querySelector(".event[aria-current]").dataset.event) - 1,
          mark: document.querySelector(".event[aria-current]").className,
          red: cells.length, words: cells.filter(td => td.textContent.includes("WRONG")).length,
          chosen: chosen.classList.contains("wrong"),
          cell: chosen.dataset.cell.split(",").filter(Boolean).map(Number),
          status: document.querySelector("[role=status]").textContent,
          check: document.querySelector("[data-panel=checks] .fail")?.textContent ?? ""};
}"""


@cache
def with_flipped_signs(which: int, draw: int = 0) -> Trace:
    """Every op and its gradients, the sign of one gradient of each flipped; checked."""
    def through(name, args, leaves):
        k = operands(name)[which % len(operands(name))]
        return broken(name, args, k, lambda g: -g)(*leaves)
    trace = every_op(draw, through)
    trace.check()
    return trace


def failures(trace: Trace) -> dict[int, dict]:
    return {c["event"]: c for c in trace.checks if c["status"] == "fail"}


def wrongs_are_shown(shown, trace: Trace) -> set[str]:
    """In each event that is wrong, and one after the other by the key c; of which ops they are."""
    wrong = failures(trace)
    assert shown.count(".event.wrong") == len(wrong)
    assert f"{len(wrong)} WRONG" in shown.text("header")
    for n, there in zip(wrong, shown.walk([hash_of(n) for n in wrong], SHOWN)):
        assert there["event"] == n and there["chosen"] and there["cell"] in wrong[n]["cells"]
        assert there["red"] == there["words"] > 0 and "wrong" in there["mark"].split(), there
        assert f"; WRONG: {wrong[n]['reason']}" in there["status"]
        assert there["check"] == f"WRONG: {wrong[n]['reason']}"
    shown.press("Home")
    way = [(n, cell) for n in sorted(wrong) for cell in wrong[n]["cells"]]
    for n, cell in way[:15]:
        shown.press("c")
        there = shown.ask(SHOWN)
        assert (there["event"], there["cell"]) == (n, cell)
    last = max(wrong)
    shown.walk([hash_of(last, wrong[last]["cells"][-1])])
    shown.press("c")
    assert shown.event() == min(wrong), "after the last the first again"
    return {trace.ops[trace.events[n]["op"]]["op"] for n in wrong}


@needs_browser
def test_a_flipped_sign_is_red_in_the_page(show):
    """In each op of the library."""
    trace = with_flipped_signs(0)
    seen = wrongs_are_shown(show(trace), trace)
    zero = {trace.ops[e["op"]]["op"] for e in trace.events if e["phase"] == "backward"
            and not trace.arrays[e["contribution"]].any()}       # has no sign to flip
    assert {name for name in OPS if operands(name)} - seen <= zero and len(seen) > 50
    right = next(n for n, e in enumerate(trace.events) if e["phase"] == "backward"
                 and n not in failures(trace))
    shown = show(trace, f"#event={right + 1}")
    assert shown.count(".numbers .wrong") == 0 and "WRONG" not in shown.status()


@needs_browser
@pytest.mark.browsing
@pytest.mark.parametrize("which", range(MOST))
def test_flipped_signs_of_every_operand(show, which):
    for draw in (1, 2):
        trace = with_flipped_signs(which, draw)
        assert len(wrongs_are_shown(show(trace), trace)) > 50


@needs_browser
def test_no_red_where_nothing_is_wrong(show):
    trace = every_op()
    trace.check()
    shown = show(trace)
    assert shown.count(".event.wrong") == 0 and "none wrong" in shown.text("header")
    shown.press("c")
    assert shown.note() == "No number is known to be wrong." and shown.event() == 0


def test_a_flipped_sign_is_marked_in_a_terminal():
    """In each op: the event says so, with the mark at the cells, and no other event does."""
    trace = with_flipped_signs(0)
    wrong, walk = failures(trace), Walk(trace)
    for n in range(len(trace.events)):
        text = walk.event(n + 1)
        assert ("! WRONG" in text) == (n in wrong), (n, text)
        if n in wrong:
            assert wrong[n]["reason"] in text
            grid = text[text.index("this contribution"):text.index("check  ")]
            assert "!" in grid, text


def gradients(name: str, args) -> list[np.ndarray]:
    """Of each operand that there might be, zeros where there is none."""
    found = value_and_gradients(name, args)[1]
    return [np.zeros(1) if g is None else g for g in [*found, None, None, None]]


SEVERAL = ["sigmoid", "getitem", "softmax", "conv2d"]


@pytest.mark.parametrize("name", [*SEVERAL, *(pytest.param(name, marks=pytest.mark.browsing)
                                             for name in OPS if name not in SEVERAL)])
def test_a_flipped_sign_is_red_in_the_failure_picture(name, tmp_path):
    for k in operands(name):
        args = next(args for args in (drawn(name, draw) for draw in range(20))
                    if gradients(name, args)[k].any())
        with pytest.raises(GradientError) as failure:
            check_gradients(broken(name, args, k, lambda g: -g), *tensor_arguments(name, args))
        save_picture(failure.value, tmp_path / "wrong.png", name)
        assert red(tmp_path / "wrong.png") > 0
