"""Between the ops of a trace: do gradients add up, arrive where they should, and move parameters by
the rule?

Each running sum must be what had arrived plus the contribution, an op must hand on what had arrived
at its output, and an update must follow its rule's formula, as ``updates`` has it. A hook or
clipping changes a gradient on purpose: what a hook's tensor hands on is not compared, and an update
is compared with the gradient that the optimiser was given.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..testing.compare import equal, limit_of, scale_of
from .updates import applied


def faults(trace) -> Iterator[tuple[int | None, int | None, int, str]]:
    """What is wrong: (op, operand, number of the event, reason)."""
    arrays, sums = trace.arrays, {}
    for number, event in enumerate(trace.events):
        if event["phase"] == "backward":
            op, node = trace.ops[event["op"]], event["node"]
            out, had = op["outputs"][0], sums.get(node)       # of earlier uses in this backward(),
            if event["number"] == 1:                          # or of an earlier backward()
                had = arrays[event["earlier"]] if "earlier" in event else 0
            parts = arrays[event["contribution"]], had
            if not any(a is None for a in parts) and not _all_close(
                    arrays[event["sum"]], sum(parts)):
                yield (op["id"], event["input"], number,
                       "the sum is not what had arrived plus this contribution")
            if out in sums and not op.get("hooks") and not _all_close(
                    arrays[event["gy"]], sums[out]):
                yield (op["id"], event["input"], number,
                       "what it was given is not what had arrived at its output")
            sums[node] = arrays[event["sum"]]
        elif event["phase"] == "update":
            after = updated(trace, event)
            if not _all_close(arrays[event["after"]], after):
                name = trace.nodes[event["node"]]["name"] or "a parameter"
                yield None, None, number, f"{name}: by its rule it is another number afterwards"


def _all_close(found, expected) -> bool:
    """Are they equal up to rounding? Yes, if numbers were left out of a file."""
    if found is None or expected is None:
        return True
    scale = scale_of(found) + np.abs(np.nan_to_num(expected))
    return bool(equal(found, expected, limit_of(found.dtype), scale).all())


def updated(trace, event: dict) -> np.ndarray | None:
    """The parameter after an update, by the rule's formula; None for a rule not known here, and
    where numbers were left out of a file, or are not one for each of the parameter."""
    arrays = {k: trace.arrays[place] for k, place in
              {"p": event["before"], "g": event["gradient"], **event["state"]}.items()}
    if any(a is None or a.shape != arrays["p"].shape for a in arrays.values()):
        return None
    a = {k: v.astype(np.float64) for k, v in arrays.items()}
    return applied(event["rule"], a.pop("p"), a.pop("g"), a, event["step"], event["options"])
