"""Of which contributions a gradient is the sum: the page's rule is Python's, at every moment."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import minidl
from minidl import nn, optim
from minidl.explain.arrived import arrived
from minidl.more.grad import grad
from minidl.training import first_step

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript without a page")


def pieces():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    return w, optim.SGD([w], lr=0.1)


def twice():
    w, _ = pieces()
    (w * w + w).sum().backward()
    (w * 3).sum().backward()


def cleared_in_place():
    w, optimizer = pieces()
    (w * w).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    (w * 3).sum().backward()
    optimizer.step()
    (w * 2).sum().backward()


def cleared_to_none():
    w, optimizer = pieces()
    (w * w).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    (w * 3 + w).sum().backward()
    optimizer.step()


def found_by_grad():
    w, _ = pieces()
    (w * w).sum().backward()
    y = (w * w * w).sum()
    (g,) = grad(y, w, create_graph=True)
    (g * g).sum().backward()


def shared():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    net(net(minidl.ones(3, 2))).sum().backward()


@pytest.mark.parametrize("program", [
    twice, cleared_in_place, cleared_to_none, found_by_grad, shared, "small-gan"],
    ids=lambda p: getattr(p, "__name__", p))
def test_the_pages_sums_are_of_the_same_contributions(program):
    if isinstance(program, str):
        trace = first_step.of_model(program)
    else:
        with minidl.record() as trace:
            program()
    document = {**trace.document(), "arrays": []}
    done = subprocess.run(["node", str(Path(__file__).parent / "page" / "came.mjs")], text=True,
                          input=json.dumps(document, default=float), capture_output=True,
                          check=True)
    found = json.loads(done.stdout)
    for node in range(len(trace.nodes)):
        for before in range(0, len(trace.events) + 1, 1 if len(trace.events) < 60 else 7):
            assert found[node][before] == arrived(trace, node, before), (node, before)
    assert any(place for node in found for place in node)
