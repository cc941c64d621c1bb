"""Which events of a trace to show: by number, phase, name, and cell."""

from __future__ import annotations

from collections.abc import Sequence

from .facts import is_cell
from .trace import Trace


def select(trace: Trace, start: int = 1, only: str | None = None, phase: str | None = None,
           cell: Sequence[int] | None = None) -> list[int]:
    """The numbers (the first event is 1) of the events from `start` on, of one phase if it is
    given. `only` names an op, a module, a parameter or an input, whole or up to a dot; where none
    has that name, parts of names count. Raises ValueError where none is left, or where `cell` lies
    in no result."""
    count = len(trace.events)
    if not count:
        raise ValueError("step: this recording holds no event: no op ran between its start and its "
                         "end")
    if not 1 <= start <= count:
        raise ValueError(f"from: {start} is outside 1..{count}, the events of this recording")
    found = [n for n in range(1, count + 1) if phase in (None, trace.events[n - 1]["phase"])]
    if only is not None:
        found = matching(trace, only, found)
        if not found:
            raise ValueError(f"only: {nothing_called(trace, only, phase)}")
    found = [n for n in found if n >= start]
    if not found:
        raise ValueError(f"from: none of the chosen events comes at {start} or later")
    shapes = {tuple(event_node(trace, trace.events[n - 1])["shape"]) for n in found}
    if cell is not None and not any(is_cell(cell, shape) for shape in shapes):
        raise ValueError(f"cell: {','.join(map(str, cell))} lies in no result of the chosen "
                         f"events; their shapes are {', '.join(map(str, sorted(shapes)))}")
    return found


def matching(trace: Trace, text: str, numbers: Sequence[int]) -> list[int]:
    """Those of the events that have an op, a module, a parameter or an input of this name, whole or
    up to a dot; where none has, those whose names contain it."""
    named, wanted = {n: event_names(trace, trace.events[n - 1]) for n in numbers}, text.lower()
    return ([n for n in numbers if any(f"{a}.".startswith(f"{wanted}.") for a in named[n])]
            or [n for n in numbers if any(wanted in name for name in named[n])])


def nothing_called(trace: Trace, text: str, phase: str | None = None) -> str:
    """That nothing has this name, and which names there are."""
    there = set().union(*(event_names(trace, e) for e in trace.events
                          if phase in (None, e["phase"])))
    return f"nothing here is called {text!r}; there are {', '.join(sorted(there))}"


def event_node(trace: Trace, event: dict) -> dict:
    """The node whose value, gradient or update an event is."""
    forward = event["phase"] == "forward"
    return trace.nodes[trace.ops[event["op"]]["outputs"][0] if forward else event["node"]]


def event_names(trace: Trace, event: dict) -> set[str]:
    """By what names an event is found, in lower case."""
    names = [event_node(trace, event)["name"], event.get("rule")]
    if event["phase"] != "update":
        op = trace.ops[event["op"]]
        names += [op["op"], op["module"]]
    if event["phase"] == "forward":
        names += [trace.nodes[n]["name"] for n in op["inputs"]]
    return {name.lower() for name in names if name}


def module_of(trace: Trace, number: int) -> str:
    """The module of an event's op; of an update, the parameter."""
    event = trace.events[number - 1]
    if event["phase"] == "update":
        return event_node(trace, event)["name"] or ""
    return trace.ops[event["op"]]["module"]


def band_starts(trace: Trace, phase: str) -> list[int]:
    """The events where a stretch of this phase begins."""
    phases = ["", *(event["phase"] for event in trace.events)]
    return [n for n in range(1, len(phases)) if phases[n] == phase != phases[n - 1]]
