"""Between the ops of a trace: do gradients add up, arrive where they should, and move parameters by
the rule?

Each running sum must be what had arrived plus the contribution, an op must hand on what had arrived
at its output, and an update must follow its rule's formula, as ``updates`` has it, the optimiser's
state too. A hook or clipping changes a gradient on purpose: what a hook's tensor hands on is not
compared, and an update is compared with the gradient that the optimiser was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..testing.compare import equal, limit_of, scale_of
from .arrived import pass_of
from .updates import applied


class Fault(NamedTuple):
    """Numbers of an event that do not fit others: op and operand (None of an update), the number of
    the event; the array in which cells are wrong, what should be there, and which are. `arrived`:
    the array is what the event was given, not what it gives."""

    op: int | None
    operand: int | None
    event: int
    reason: str
    found: np.ndarray
    expected: np.ndarray
    wrong: np.ndarray
    arrived: bool = False


def faults(trace) -> Iterator[Fault]:
    """All that is wrong between the ops of a trace."""
    sums: dict[tuple[int, int], np.ndarray | None] = {}        # by pass and node
    for number, event in enumerate(trace.events):
        if event["phase"] == "backward":
            yield from _faults_of_arrival(trace, number, event, sums)
            sums[id(pass_of(trace, number)), event["node"]] = trace.arrays[event["sum"]]
        elif event["phase"] == "update":
            name = trace.nodes[event["node"]]["name"] or "a parameter"
            for stored, expected in (updated(trace, event) or {}).items():
                place = event["after"] if stored == "after" else event["state_after"].get(stored)
                found = None if place is None else trace.arrays[place]
                whose = name if stored == "after" else f"{stored} of {name}"
                yield from _fault(None, None, number, f"{whose}: by its rule it is another number "
                                  "afterwards", found, expected)


def _faults_of_arrival(trace, number: int, event: dict, sums: dict) -> Iterator[Fault]:
    """Of a contribution; `sums` has what had arrived at each node in its pass."""
    arrays, op, node = trace.arrays, trace.ops[event["op"]], event["node"]
    owner = pass_of(trace, number)
    out, had = (id(owner), op["outputs"][0]), sums.get((id(owner), node))
    parts = [arrays[event["contribution"]], had]
    if event["number"] == 1:
        pairs = zip(owner["outputs"], owner["seeds"]) if owner is not None else ()
        parts[1:] = [arrays[seed] for y, seed in pairs if y == node]
        if "earlier" in event and (owner is None or owner["deposits"]):     # grad() adds to none
            parts.append(arrays[event["earlier"]])
    if not any(a is None for a in parts):
        yield from _fault(op["id"], event["input"], number, "the sum is not what had arrived plus "
                          "this contribution", arrays[event["sum"]], sum(parts))
    if out in sums and not op.get("hooks"):
        for fault in _fault(op["id"], event["input"], number, "what it was given is not what had "
                            "arrived at its output", arrays[event["gy"]], sums[out]):
            yield fault._replace(arrived=True)


def _fault(op: int | None, operand: int | None, event: int, reason: str, found, expected
           ) -> Iterator[Fault]:
    """Nothing, if the two are equal up to rounding, or if numbers were left out of a file."""
    if found is None or expected is None:
        return
    scale = scale_of(found) + np.abs(np.nan_to_num(expected))
    wrong = ~np.asarray(equal(found, expected, limit_of(found.dtype), scale))
    if wrong.any():
        yield Fault(op, operand, event, reason, found, np.broadcast_to(expected, found.shape),
                    np.argwhere(np.broadcast_to(wrong, found.shape)))


def updated(trace, event: dict) -> dict[str, np.ndarray] | None:
    """The parameter after an update, by the rule's formula, and the optimiser's state, as
    ``updates.applied`` gives them; None for a rule not known here, and where numbers were left out
    of a file, or are not one for each of the parameter."""
    arrays = {k: trace.arrays[place] for k, place in
              {"p": event["before"], "g": event["gradient"], **event["state"]}.items()}
    if any(a is None or a.shape != arrays["p"].shape for a in arrays.values()):
        return None
    a = {k: v.astype(np.float64) for k, v in arrays.items()}
    return applied(event["rule"], a.pop("p"), a.pop("g"), a, event["step"], event["options"],
                   event["first"])
