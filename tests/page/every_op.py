"""A recording with calls of every op, and what Python says of a cell of it."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import Phase, given, seed, settings
from optable import call, in_dtype, leaf, noise_like, tensor_arguments

import minidl
from minidl import OPS
from minidl.explain.cells import Explanation
from minidl.explain.trace import Trace
from minidl.testing.compare import scale_of
from minidl.testing.domains import DOMAINS


def drawn(name: str, which: int) -> tuple:
    """Arguments from the op's domain, the same for the same `which`: not the simplest ones."""
    found = []

    @seed(which)
    @settings(max_examples=6, database=None, phases=[Phase.generate])
    @given(DOMAINS[name])
    def draw(args):
        found.append(args)
    draw()
    large = [args for args in found if all(1 < x.size < 200 for x in tensor_arguments(name, args))]
    return (large or found)[-1]


@cache
def every_op(which: int = 0, through=call) -> Trace:
    """Each op called once in float32, and its gradients; ``through(name, args, leaves)`` calls it.
    """
    with minidl.record() as trace:
        for name in OPS:
            args = in_dtype(drawn(name, which), np.float32)
            leaves = [leaf(x) for x in tensor_arguments(name, args)]
            y = through(name, args, leaves)
            if y.requires_grad:
                y.backward(minidl.Tensor._wrap(noise_like(y.data)))
    return trace


def places(trace: Trace, count: int, rng: np.random.Generator) -> list[tuple[int, tuple]]:
    """So many (event, cell), values and contributions, of every event about as many."""
    of = [n for n, e in enumerate(trace.events) if e["phase"] != "update" and np.prod(
        shape_of(trace, n)) > 0]
    chosen = [of[k % len(of)] for k in range(count)]
    return [(n, tuple(int(rng.integers(side)) for side in shape_of(trace, n)))
            for n in rng.permutation(chosen).tolist()]


def shape_of(trace: Trace, n: int) -> tuple[int, ...]:
    e = trace.events[n]
    node = trace.ops[e["op"]]["outputs"][0] if e["phase"] == "forward" else e["node"]
    return tuple(trace.nodes[node]["shape"])


def explained(trace: Trace, n: int, cell) -> tuple[Explanation, float, float]:
    """What Python says of an event's cell; what is stored there; and what rounding errors are
    measured by: the sum of the terms' magnitudes, or the largest number that a function saw."""
    e = trace.events[n]
    if e["phase"] == "forward":
        found = trace.explain(e["op"], cell)
        stored = trace.value(trace.ops[e["op"]]["outputs"][0])[cell]
        saw = trace.call(trace.ops[e["op"]]).operands if any(
            term.sign == "," for term in found.terms) else []
        size = scale_of(0.0, *[x for x in saw if x.dtype.kind == "f"])
    else:
        found, size = trace.explain_event(e, cell), 1e-3 * scale_of(trace.arrays[e["gy"]])
        stored = trace.arrays[e["contribution"]][cell]
    return found, float(stored), max(found.magnitude, size)
