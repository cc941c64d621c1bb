"""Pages of networks of each kind: every event of them, and the way from a weight to the loss."""

from __future__ import annotations

import time
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
from page import steps
from page.browser import hash_of, needs_browser
from page.every_op import explained
from test_page_sums import ROUNDING

import minidl
from minidl import nn
from minidl.explain.page import page
from minidl.explain.trace import Trace
from minidl.testing.compare import equal
from minidl.training import first_step

pytestmark = needs_browser

EVENT = """() => {
  const terms = document.querySelector("[data-panel=terms]");
  const at = document.querySelector("[data-cell]");
  return {cell: at && at.dataset.cell, total: terms.dataset.total, stored: terms.dataset.stored,
          status: document.querySelector("[role=status]").textContent,
          texts: [...document.querySelectorAll("[data-panel]")].map(p => p.textContent),
          panels: [...document.querySelectorAll("[data-panel]")].map(p => p.dataset.panel)};
}"""
PANELS = {"timeline", "graph", "microscope", "terms", "formula", "ledger", "checks", "source"}


def every_event_is_shown(shown, trace: Trace) -> int:
    """Each has its panels, and its sum is its stored number; how many had one."""
    summed = 0
    found = shown.walk([hash_of(n) for n in range(len(trace.events))], EVENT)
    for n, (e, there) in enumerate(zip(trace.events, found)):
        assert there["status"].startswith(f"event {n + 1} of {len(trace.events)}, {e['phase']}, ")
        assert PANELS <= set(there["panels"]), (n, e)
        for text in there["texts"]:
            assert text.strip() and "undefined" not in text and "[object" not in text, (n, e, text)
            assert "NaN" not in text, (n, e, text)
        if there["total"] is None:
            continue
        cell = tuple(map(int, filter(None, there["cell"].split(","))))
        if e["phase"] == "update":
            size, stored = 1.0, float(trace.arrays[e["after"]][cell])
        else:
            _, stored, size = explained(trace, n, cell)
        assert float(there["stored"]) == stored
        assert equal(stored, float(there["total"]), ROUNDING, size), (n, e, there, stored)
        summed += 1
    return summed


def network_of_torch() -> Trace:
    import torch
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, stride=2, padding=1), torch.nn.BatchNorm2d(4), torch.nn.GELU(),
        torch.nn.MaxPool2d(3, stride=1), torch.nn.Flatten(), torch.nn.Linear(36, 3))
    minidl.manual_seed(0)
    return steps.classified(minidl.from_torch(module), steps.images(1, 10), 3)


slow = lambda name: pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [
    "cnn", *map(slow, ("residual", "transformer", "vae", "gan", "updates")),
    pytest.param("torch", marks=(pytest.mark.slow, pytest.mark.skipif(
        find_spec("torch") is None, reason="PyTorch is not installed")))])
def test_every_event_of_a_network(show, name):
    trace = network_of_torch() if name == "torch" else getattr(steps, name)()
    assert every_event_is_shown(show(trace), trace) == len(trace.events)


@cache
def of_library(name: str) -> Trace:
    minidl.manual_seed(0)
    return first_step.of_model(name)


@pytest.mark.browsing
@pytest.mark.parametrize("name", ["cnn", "gan", "vae"])
def test_the_librarys_networks(show, name, tmp_path):
    """Not whole where they are larger than the page may be: but shown, and less than 5 MB."""
    trace = of_library(name)
    trace.save(tmp_path / "run.html")
    assert (tmp_path / "run.html").stat().st_size < 5_000_000
    shown = show.page(to=tmp_path / "run.html")
    assert every_event_is_shown(shown, trace) > len(trace.events) / (2 if name == "cnn" else 5)


@pytest.mark.slow
def test_a_recorded_step_and_its_page_take_seconds():
    """Of the CNN: less than 3 of a processor's seconds."""
    of_library("cnn")                             # the digits are read, the kernels loaded
    began = time.process_time()
    text = page(first_step.of_model("cnn"))
    assert time.process_time() - began < 3 and len(text) > 1e6


# --------------------------------------------------------------------------- to the loss, and home
def to_the_loss(shown, trace: Trace, n: int, cell) -> None:
    """From a contribution to a weight's gradient: Enter until backward() began, then home."""
    last = next(m for m, e in enumerate(trace.events) if e["phase"] == "backward") - 1
    shown.walk([hash_of(n, cell)])
    places = [shown.read()]
    while True:
        shown.press("Enter")
        now = shown.read()
        places.append(now)
        assert now["hash"] != places[-2]["hash"], now
        if "backward() began" in shown.note() or shown.event() == last:
            break
        assert len(places) <= 12, [p["status"] for p in places]
    assert len(places) - 1 <= 12 and shown.event() == last
    for place in reversed(places[:-1]):
        shown.press("Backspace")
        now = shown.read()
        assert now == place, (now, place)


def first_weights(trace: Trace, name: str, count: int) -> list[tuple[int, tuple]]:
    """Cells of a weight's gradient, at random."""
    rng = np.random.default_rng(0)
    n = next(n for n, e in enumerate(trace.events) if e["phase"] == "backward"
             and trace.nodes[e["node"]]["name"] == name)
    shape = trace.nodes[trace.events[n]["node"]]["shape"]
    return [(n, tuple(int(rng.integers(k)) for k in shape)) for _ in range(count)]


def test_from_a_weight_to_the_loss(show):
    minidl.manual_seed(0)
    trace = steps.classified(nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(64, 3)), steps.images(1, 14), 3)
    shown = show(trace)
    for n, cell in first_weights(trace, "0.weight", 4):
        to_the_loss(shown, trace, n, cell)


@pytest.mark.browsing
def test_from_any_weight_of_the_cnn_to_the_loss(show):
    trace = of_library("cnn")
    shown = show(trace)
    for n, cell in first_weights(trace, "0.weight", 10):
        to_the_loss(shown, trace, n, cell)
