"""From a number of an event to the event that made it.

A value was made by an op; the gradient of a result arrived as a contribution of another op; a
parameter was made by an update. What only moves numbers (reshape, permute) is passed through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .account import Account
from .explanation import Explanation
from .facts import Facts, events_text, largest
from .folding import CHOOSING
from .formula_text import at


class Way(NamedTuple):
    """Where a factor leads: to an event and a cell of its result (None: its usual cell), or, with
    number None, nowhere. `said` tells which, and why."""

    number: int | None
    cell: tuple[int, ...] | None
    said: str


def way(facts: Facts, told: Account, term: int, factor: int) -> Way:
    """Where this factor of this term leads (both counted from 0)."""
    if not told.terms:
        return _without_terms(facts, told)
    factors = told.terms[term].factors
    if not factors and facts.trace.maps[told.op["op"]]["kind"] == "Gather":
        return Way(None, None, "a constant: nothing made it")
    if not factors:
        return _without_terms(facts, told)
    name, index, _ = factors[factor]
    return _passed_through(facts, _way(facts, told, name, index, factor == 0),
                           f"{name}{at(index)}")


def best_factor(facts: Facts, told: Account, term: int) -> int:
    """Which factor of a term is followed if none is named: the gradient that arrived; of a value,
    the first that an op made (one with the cell's own index before others), or that leads anywhere.
    """
    if not told.terms or told.event["phase"] != "forward":
        return 0
    ways = [_way(facts, told, name, index, k == 0).number
            for k, (name, index, _) in enumerate(told.terms[term].factors)]
    by_op = [n is not None and facts.trace.events[n - 1]["phase"] == "forward" for n in ways]
    here = [good and told.terms[term].factors[k][1] == told.cell for k, good in enumerate(by_op)]
    return next((k for good in (here, by_op, [n is not None for n in ways])
                 for k, yes in enumerate(good) if yes), 0)


def _way(facts: Facts, told: Account, name: str, index: tuple, first: bool) -> Way:
    if told.op is None:
        return _of_update(facts, told, name, index)
    if told.event["phase"] == "backward":
        if first and name == "gy":
            return _way_of_gradient(facts, told, index)
        if name.startswith("d") and "/" in name:
            return Way(facts.made[told.op["id"]], index, "the op whose slope it is")
    nodes = dict([*facts.side_arrays(told.op), *zip(facts.names(told.op), told.op["inputs"])])
    if name not in nodes:
        return Way(None, None, f"computed inside {told.op['op']}")
    return _maker(facts, nodes[name], index, told.number)


def _way_of_gradient(facts: Facts, told: Account, index: tuple | None) -> Way:
    """The contribution that brought the gradient of an op's result; of several, the largest."""
    came = facts.came(told.op["outputs"][0], told.number)
    if came:
        return _largest_of(facts, came, index)
    made = facts.made[told.op["id"]]
    return Way(made, index, f"backward() starts here: event {made} made what it starts from")


def _largest_of(facts: Facts, came: Sequence[int], index: tuple | None) -> Way:
    if len(came) == 1:
        return Way(came[0], index, f"event {came[0]} brought it")
    arrays = [facts.trace.arrays[facts.trace.events[n - 1]["contribution"]] for n in came]
    sizes = [-1.0 if a is None or not a.size else abs(float(a[largest(a) if index is None else
                                                                index])) for a in arrays]
    best = came[sizes.index(max(sizes))]
    return Way(best, index, f"event {best} brought the largest part, of {events_text(came)}")


def _maker(facts: Facts, number: int, index: tuple | None, before: int) -> Way:
    """The op that computed a node, the update that made a parameter, or its next update."""
    node, events = facts.trace.nodes[number], facts.trace.events
    name = facts.name(number)
    if node["op"] is not None:
        event, outputs = facts.made[node["op"]], facts.trace.ops[node["op"]]["outputs"]
        return Way(event, index if number == outputs[0] else None, f"event {event} made it")
    if node["detached_from"] is not None:
        found = _maker(facts, node["detached_from"], index, before)
        return found._replace(said=f"{found.said}; detach() cut it off: no gradient comes back")
    updates = [n for n, e in enumerate(events, 1) if e["phase"] == "update" and _is_update_of(
        facts, e, number)]
    if made := [n for n in updates if n < before and events[n - 1]["after"] == node["value"]]:
        return Way(made[-1], index, f"event {made[-1]}, an update, made it")
    if later := [n for n in updates if n > before]:
        return Way(later[0], index, f"{name} is a parameter: its update is event {later[0]}")
    what = {"parameter": "a parameter, and this recording has no update of it",
            "constant": "a constant: nothing made it"}.get(
                node["role"], "given from outside: no recorded op made it")
    return Way(None, None, f"{name} is {what}" if node["name"] else what)


def _is_update_of(facts: Facts, update: dict, number: int) -> bool:
    """Is this an update of that parameter, or of what it was before or later?"""
    moved, node = (facts.trace.nodes[n] for n in (update["node"], number))
    return moved is node or moved["parameter"] is not None and (
        moved["parameter"] == node["parameter"])


def _of_update(facts: Facts, told: Account, name: str, index: tuple | None) -> Way:
    """g: the contribution that brought it; w and the optimiser's state: the update before."""
    event, events = told.event, facts.trace.events
    if name == "g":
        came = facts.came(event["node"], told.number)
        return _largest_of(facts, came, index) if came else Way(
            None, None, "no event of this recording brought this gradient")
    earlier = [n for n, e in enumerate(events[:told.number - 1], 1)
               if e["phase"] == "update" and _is_update_of(facts, e, event["node"])]
    if earlier:
        return Way(earlier[-1], index, f"event {earlier[-1]}, the update before, made it")
    return Way(None, None, f"{name} is as it was when the recording began")


def _without_terms(facts: Facts, told: Account) -> Way:
    """Where the event as a whole leads: to the gradient that arrived, or to the first operand that
    an op made. An elementwise op has them at the same cell."""
    if told.op is None:
        found = _of_update(facts, told, "g", told.cell)
    else:
        nodes = [*told.op["inputs"], told.op["outputs"][0]]
        same = (facts.trace.maps[told.op["op"]]["kind"] == "Elementwise"
                and all(facts.trace.nodes[n]["shape"] == list(told.shape) for n in nodes))
        cell = told.cell if same else None
        if told.event["phase"] == "backward":
            found = _way_of_gradient(facts, told, cell)
        else:
            ways = [_maker(facts, node, cell, told.number) for node in told.op["inputs"]]
            found = next((w for w in ways if w.number is not None), ways[0] if ways else Way(
                None, None, "it has no operand"))
    return found._replace(said=f"no factor to follow, so an operand as a whole: {found.said}")


def _passed_through(facts: Facts, found: Way, what: str) -> Way:
    """On through ops that only move numbers, as far as they lead to another event of the phase."""
    passed = []
    while found.number is not None:
        told = facts.of(found.number, found.cell)
        if not moves(facts, told):
            break
        (name, index, _), = told.terms[0].factors
        on = _way(facts, told, name, index, True)
        if on.number is None or facts.trace.events[on.number - 1]["phase"] != told.event["phase"]:
            break
        passed.append(f"{told.op['op']} ({told.number})")
        found = on
    through = f", through {', '.join(passed)}, which only moves numbers" if passed else ""
    return found._replace(said=f"{what}: {found.said}{through}")


def moves(facts: Facts, told: Account) -> bool:
    """Does the event hand on one number as it is, from a place that no data decides?"""
    return (told.op is not None and told.op["op"] not in CHOOSING
            and facts.trace.maps[told.op["op"]]["kind"] == "Gather"
            and isinstance(told.found, Explanation) and len(told.terms) == 1
            and len(told.terms[0].factors) == 1)
