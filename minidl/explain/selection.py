"""Which events of a trace to show: from a number on, of one phase, or what goes by a name."""

from __future__ import annotations

from collections.abc import Sequence

from .trace import Trace

PHASES = ("forward", "backward", "update")


def select(trace: Trace, start: int = 1, only: str | None = None, phase: str | None = None,
           cell: Sequence[int] | None = None) -> list[int]:
    """The numbers (the first event is 1) of the events from `start` on, of one phase if it is
    given. `only` names an op, a module, a parameter or an input; where nothing has that very name,
    parts of names count. Raises ValueError where none is left, or where `cell` lies in no result.
    """
    count = len(trace.events)
    if not count:
        raise ValueError("this recording has no events: nothing ran in it")
    if not 1 <= start <= count:
        raise ValueError(f"from: {start} is outside 1..{count}, the events of this recording")
    if phase is not None and phase not in PHASES:
        raise ValueError(f"phase: {phase!r} is none of {', '.join(PHASES)}")
    found = [n for n in range(1, count + 1) if phase in (None, trace.events[n - 1]["phase"])]
    if only is not None:
        wanted = only.lower()
        labels = {n: _labels(trace, trace.events[n - 1]) for n in found}
        found = ([n for n in found if wanted in labels[n]]
                 or [n for n in found if any(wanted in label for label in labels[n])])
        if not found:
            every = sorted(set().union(*labels.values()) - {""})
            raise ValueError(f"only: nothing here is called {only!r}; there are "
                             f"{', '.join(every)}")
    found = [n for n in found if n >= start]
    if not found:
        raise ValueError(f"from: none of the chosen events comes at {start} or later")
    if cell is not None:
        shapes = {_shape(trace, n) for n in found}
        if not any(fits(cell, shape) for shape in shapes):
            raise ValueError(f"cell: {','.join(map(str, cell))} lies in no result of the chosen "
                             f"events; their shapes are {', '.join(map(str, sorted(shapes)))}")
    return found


def fits(cell: Sequence[int], shape: Sequence[int]) -> bool:
    """Is the cell an element of an array of this shape?"""
    return len(cell) == len(shape) and all(-n <= i < n for i, n in zip(cell, shape))


def _labels(trace: Trace, event: dict) -> set[str]:
    """By what names an event is found, in lower case: whole names and what they begin with."""
    if event["phase"] == "update":
        names = [trace.nodes[event["node"]]["name"], event["rule"]]
    else:
        op = trace.ops[event["op"]]
        nodes = op["inputs"] if event["phase"] == "forward" else [event["node"]]
        names = [op["op"].strip("_"), op["module"], *(trace.nodes[n]["name"] for n in nodes)]
    parts = [(name or "").lower().split(".") for name in names]
    return {".".join(p[:i]) for p in parts for i in range(1, len(p) + 1)}


def _shape(trace: Trace, number: int) -> tuple[int, ...]:
    """Of what an event results in: a value, a contribution or a parameter."""
    event = trace.events[number - 1]
    node = (trace.ops[event["op"]]["outputs"][0] if event["phase"] == "forward"
            else event["node"])
    return tuple(trace.nodes[node]["shape"])
