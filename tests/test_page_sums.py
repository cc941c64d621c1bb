"""What the page adds up is what Python adds up, and what was stored: cells of every op, and every
event of networks of each kind."""

from __future__ import annotations

import numpy as np
import pytest
from page.browser import hash_of, needs_browser
from page.every_op import every_op, explained, places

from minidl import OPS
from minidl.testing.compare import equal

pytestmark = needs_browser

ROUNDING = 2e-5               # of the sum of the terms' magnitudes: float32, in another order


def compare(shown, trace, where) -> None:
    """At these (event, cell): the page's sum is Python's, and is the stored number."""
    for (n, cell), found in zip(where, shown.walk([hash_of(n, cell) for n, cell in where])):
        wanted, stored, size = explained(trace, n, cell)
        what = trace.ops[trace.events[n]["op"]]["op"], trace.events[n], cell, found, wanted
        assert found["cell"] == ",".join(map(str, cell)), what
        assert found["stored"] is not None and float(found["stored"]) == stored, what
        total = float(found["total"])
        assert equal(total, wanted.total, 1, 1e-6 * wanted.magnitude + 1e-9 * size), what
        assert equal(stored, total, ROUNDING, size), what


def test_cells_of_every_op(show):
    trace = every_op()
    assert {op["op"] for op in trace.ops} >= set(OPS)
    compare(show(trace), trace, places(trace, 150, np.random.default_rng(0)))


@pytest.mark.browsing
@pytest.mark.parametrize("which", range(1, 11))
def test_2000_cells_of_every_op(show, which):
    trace = every_op(which)
    compare(show(trace), trace, places(trace, 200, np.random.default_rng(which)))
