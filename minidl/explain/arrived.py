"""Which contributions a gradient is the sum of, in a trace: those of the pass that goes on, and
those that earlier ``backward()`` calls left in ``.grad`` and that nobody has cleared since.
"""

from __future__ import annotations

from typing import Any


def pass_of(trace, place: int) -> dict[str, Any] | None:
    """The pass back that an event (its place) belongs to, of passes within each other the
    innermost; None of an event outside of all."""
    return next((each for each in reversed(trace.passes) if each["begin"] <= place < each["end"]),
                None)


def arrived(trace, node: int, before: int | None = None) -> list[int]:
    """The places of the events, all below `before`, that a node's gradient then is the sum of.

    A parameter is another node after each update, and its ``.grad`` goes on. It begins anew where
    it was cleared, be it set to zero in place. What ``grad()`` finds is not added to it. `before`
    None: of the last gradient that there was, cleared later or not.
    """
    parameter, events = trace.nodes[node]["parameter"], trace.events
    clearings = [each["event"] for each in trace.cleared if parameter in each["parameters"]]
    left: list[int] = []                           # what .grad is the sum of
    last: list[int] = []                           # what the sum in the last pass is that of
    going: list[int] = []                          # and in the pass that goes on
    for owner, places in _by_pass(trace, node, before):
        left = _left(left, clearings, places[0])
        last = [*left, *places] if "earlier" in events[places[0]] else places
        if owner is None or owner["deposits"]:
            left = last
        if owner is not None and before is not None and owner["begin"] < before < owner["end"]:
            going = last
    if parameter is None:
        began = [each["begin"] for each in trace.passes if node in each["outputs"]]
        return going or _left(last, began, len(events) if before is None else before)
    if going:
        return going
    return left or last if before is None else _left(left, clearings, before)


def _by_pass(trace, node: int, before: int | None) -> list[tuple[dict | None, list[int]]]:
    """The contributions to a node, and to what the same parameter was before, pass by pass."""
    parameter, passes = trace.nodes[node]["parameter"], {}
    for place, event in enumerate(trace.events[:before]):
        other = event["node"] if event["phase"] == "backward" else None
        if other == node or parameter is not None and other is not None and other < node and (
                trace.nodes[other]["parameter"] == parameter):
            owner = pass_of(trace, place)
            passes.setdefault(id(owner), (owner, []))[1].append(place)
    return list(passes.values())


def _left(left: list[int], clearings: list[int], until: int) -> list[int]:
    """What is left of these contributions before the event `until`: none if they were cleared."""
    return [] if left and any(left[-1] < moment <= until for moment in clearings) else left
