"""The parts of a trace file, one by one: names, types, ranges, places that point into other lists,
and whether nodes, ops, events and checks fit each other. ``docs/trace.md`` says what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .bound import check_map
from .demands import (
    Check,
    a_flag,
    a_list,
    a_number,
    a_text,
    a_whole,
    an_object,
    any_number,
    anything,
    must,
    one_of,
    or_null,
)
from .fitting import check_arguments
from .packing import unpacked_arrays

TRACE_LISTS = ("sources", "modules", "parameters", "arrays", "nodes", "ops", "events", "passes",
               "turns", "cleared", "checks", "frames")
NODE_ROLES = "parameter", "input", "noise", "mask", "label", "constant", "value"
MAP_KINDS = "Contract", "Elementwise", "Reduce", "Gather", "Scatter", "Composite", None
NUMPY = [str(np.dtype(f"{kind}{size}")) for kind in "fiu" for size in (2, 4, 8)] + [
    "bool", "int8", "uint8"]


def check_parts(of: dict) -> None:
    """Raise ValueError, naming the place, unless every part of the document is what it must be.
    Its arrays are decoded in place; of one that was cut a :class:`Cut` is left."""
    an_object({"format": a_text, "version": a_whole(1), "maps": anything, "meta": an_object(
        {"minidl": a_text, "dtype": a_text, "probe": or_null(a_whole(1)),
         "script": or_null(a_text), "kernels": one_of("fast", "reference"),
         "seed": a_whole(0, 1 << 64)}, others=anything),
        **{part: a_list(anything) for part in TRACE_LISTS}})(of, "trace")
    at = {part: a_whole(0, len(of[part])) for part in TRACE_LISTS}
    at["moments"] = a_whole(0, len(of["events"]) + 1)          # between events, before and after
    _check_programs(of, at)
    of["arrays"] = unpacked_arrays(of["arrays"])
    a_list(an_object({
        "id": a_whole(0), "name": or_null(a_text), "role": one_of(*NODE_ROLES), "image": a_flag,
        "shape": a_list(a_whole(0)), "value": at["arrays"], "grad": or_null(at["arrays"]),
        "op": or_null(at["ops"]), "parameter": or_null(at["parameters"]),
        "detached_from": or_null(at["nodes"])}))(of["nodes"], "nodes")
    a_list(an_object({
        "id": a_whole(0), "op": a_text, "library": a_flag, "formula": or_null(a_text),
        "module": a_text, "within": or_null(at["modules"]), "line": at["sources"],
        "callers": a_list(at["sources"]), "forward": or_null(at["sources"]),
        "backward": or_null(at["sources"]), "grad": a_flag,
        "arguments": a_list(_argument(at["nodes"])), "inputs": a_list(at["nodes"]),
        "needs": a_list(a_flag), "outputs": a_list(at["nodes"], 1), "map": anything},
        {"hooks": a_flag}))(of["ops"], "ops")
    _check_nodes(of)
    for number, event in enumerate(of["events"]):
        _check_event(event, f"events[{number}]", of, at)
    told = [e["op"] for e in of["events"] if e["phase"] == "forward"]
    must(sorted(told) == [*range(len(of["ops"]))], "events", "must have one forward event for each "
         "op", told)
    _check_course(of, at)
    _check_checks(of, at)
    a_list(an_object({"step": a_whole(0), "numbers": an_object({}, others=a_number),
                      "arrays": an_object({}, others=at["arrays"])}))(of["frames"], "frames")


def _check_programs(of: dict, at: dict) -> None:
    """Sources, declarations, modules and parameters."""
    a_list(an_object({"path": a_text, "line": a_whole(0), "function": a_text, "text": a_text,
                      "first": a_whole(0), "lines": a_list(a_text)}))(of["sources"], "sources")
    text = {name: a_text for name in ("text", "bias", "value", "slope")}
    an_object({}, others=an_object({"kind": one_of(*MAP_KINDS), "formula": or_null(a_text),
                                    "says": a_text}, text, anything))(of["maps"], "maps")
    for number, module in enumerate(of["modules"]):
        an_object({"name": a_text, "class": a_text, "options": a_text, "training": a_flag,
                   "parent": or_null(a_whole(0, number)), "parameters": a_list(at["parameters"]),
                   "count": a_whole(0)})(module, f"modules[{number}]")
    a_list(an_object({"name": or_null(a_text), "shape": a_list(a_whole(0)), "learns": a_flag,
                      "module": or_null(at["modules"])}))(of["parameters"], "parameters")


def _argument(node: Check) -> Check:
    """An op's argument: a plain value, or an object that says by its one name what it is."""
    kinds: dict[str, Check] = {
        "node": node, "array": node, "tuple": lambda value, place: a_list(check)(value, place),
        "slice": a_list(or_null(a_whole(-(1 << 53))), 3), "float": one_of("inf", "-inf", "nan"),
        "ellipsis": a_flag, "dtype": one_of(*NUMPY), "repr": a_text}

    def check(value: Any, place: str) -> None:
        if type(value) is dict:
            must(len(value) == 1, place, "must have one name", value)
            an_object({}, kinds)(value, place)
            must("slice" not in value or len(value["slice"]) == 3, place, "must have three", value)
        else:
            must(type(value) is not list, place, "must be no list", value)
    return check


def _check_nodes(of: dict) -> None:
    """Nodes and ops fit their arrays, each other, and the library's ops."""
    nodes, ops = of["nodes"], of["ops"]
    for part in ("nodes", "ops"):
        for number, item in enumerate(of[part]):
            must(item["id"] == number, f"{part}[{number}].id", f"must be {number}", item["id"])
    for number, node in enumerate(nodes):
        place = f"nodes[{number}]"
        for name in ("value", "grad"):
            if node[name] is not None:
                _check_shape(of, node["shape"], node[name], f"{place}.{name}")
        if node["grad"] is not None:
            _check_floats(of, node["grad"], f"{place}.grad")
        must(node["op"] is None or number in ops[node["op"]]["outputs"], f"{place}.op",
             "must be an op that gave this node", node["op"])
        must(node["detached_from"] is None or node["detached_from"] < number,
             f"{place}.detached_from", "must be an earlier node", node["detached_from"])
    for number, op in enumerate(ops):
        place = f"ops[{number}]"
        must(op["op"] in of["maps"], f"{place}.op", "must be among the maps", op["op"])
        must(len(op["needs"]) == len(op["inputs"]), f"{place}.needs", "must be as long as inputs",
             op["needs"])
        check_arguments(op, [n["shape"] for n in nodes], place)
        check_map(op["map"], f"{place}.map", len(of["arrays"]), len(nodes))


def _check_shape(of: dict, wanted: list, array: int, place: str) -> None:
    shape = list(of["arrays"][array].shape)
    must(shape == wanted, place, f"must be an array of shape {wanted}, of its node", shape)


def _check_floats(of: dict, array: int, place: str) -> None:
    a = of["arrays"][array]
    kind = np.dtype(a.dtype).kind
    must(kind == "f", place, "must be an array of floats", array)


# --------------------------------------------------------------------------- events
def _check_event(event: Any, place: str, of: dict, at: dict) -> None:
    must(type(event) is dict and event.get("phase") in ("forward", "backward", "update"), place,
         "must be an object with phase forward, backward or update", event)
    arrays = {"forward": (), "backward": ("gy", "contribution", "sum"),
              "update": ("gradient", "before", "after")}[event["phase"]]
    needed = {"phase": a_text, **dict.fromkeys(arrays, at["arrays"])}
    if event["phase"] == "forward":
        return an_object({**needed, "op": at["ops"]})(event, place)
    if event["phase"] == "update":
        state = an_object({}, others=at["arrays"])
        an_object({**needed, "node": at["nodes"], "rule": a_text, "step": a_whole(0),
                   "first": a_flag, "options": an_object({}, others=anything), "state": state,
                   "state_after": state, "lines": a_list(a_text), "steps": a_list(anything),
                   "names": an_object({}, others=_number_or_array(at["arrays"])),
                   "stores": an_object({}, others=a_text)})(event, place)
        if event["steps"]:
            check_map({"kind": "composite", "result": "w", "operands": [], "arrays": {},
                       "value": event["steps"]}, f"{place}.steps", 0, 0)
    else:
        an_object({**needed, "op": at["ops"], "input": a_whole(0), "node": at["nodes"],
                   "number": a_whole(1), "of": a_whole(1)}, {"earlier": at["arrays"]})(event, place)
        op = of["ops"][event["op"]]
        a_whole(0, len(op["inputs"]))(event["input"], f"{place}.input")
        must(event["node"] == op["inputs"][event["input"]], f"{place}.node",
             "must be the op's input", event["node"])
    for name in (*arrays, *({"earlier"} & set(event))):
        of_node = op["outputs"][0] if name == "gy" else event["node"]
        _check_shape(of, of["nodes"][of_node]["shape"], event[name], f"{place}.{name}")
        _check_floats(of, event[name], f"{place}.{name}")


def _number_or_array(array: Check) -> Check:
    return lambda value, place: an_object({"array": array})(value, place) if type(
        value) is dict else a_number(value, place)


def _check_course(of: dict, at: dict) -> None:
    """Passes, turns, and gradients that were cleared."""
    span = {"begin": at["moments"], "end": at["moments"], "line": at["sources"]}
    learnt = a_list(at["parameters"])
    a_list(an_object({**span, "outputs": a_list(or_null(at["nodes"])), "deposits": a_flag,
                      "seeds": a_list(at["arrays"])}))(of["passes"], "passes")
    a_list(an_object({**span, "name": a_text, "optimizer": a_text, "moved": learnt,
                      "frozen": learnt}))(of["turns"], "turns")
    a_list(an_object({"event": at["moments"], "parameters": learnt,
                      "to": one_of("none", "zero")}))(of["cleared"], "cleared")
    for part in ("passes", "turns"):
        for number, each in enumerate(of[part]):
            must(each["begin"] <= each["end"], f"{part}[{number}].end",
                 "must not be before its begin", each["end"])
    for number, each in enumerate(of["passes"]):
        must(len(each["seeds"]) == len(each["outputs"]), f"passes[{number}].seeds",
             "must be as long as outputs", each["seeds"])


# --------------------------------------------------------------------------- checks
def _check_checks(of: dict, at: dict) -> None:
    cells = a_list(a_list(a_whole(0)))
    a_list(an_object({"op": or_null(at["ops"]), "input": or_null(a_whole(0)), "reason": a_text,
                      "status": one_of("pass", "fail", "skipped"), "compared": a_whole(0),
                      "largest": a_number, "wrong": a_whole(0), "cells": cells,
                      "expected": a_list(any_number), "got": a_list(any_number),
                      "proved": lambda value, place: cells(value, place) if value != "all"
                      else None, "tried": cells, "directions": a_whole(0)},
                     {"event": at["events"]}))(of["checks"], "checks")
    for number, check in enumerate(of["checks"]):
        place, event = f"checks[{number}]", of["events"][check["event"]] if "event" in check else {}
        must("event" in check or check["op"] is not None, place, "must name an op or an event",
             check)
        shape = of["nodes"][_checked_node(of, check, event)]["shape"]
        for name in ("cells", "tried", *(["proved"] if check["proved"] != "all" else [])):
            _check_cells(check[name], shape, f"{place}.{name}")
        for name in ("expected", "got"):
            must(len(check[name]) == len(check["cells"]), f"{place}.{name}",
                 "must be as long as cells", check[name])


def _checked_node(of: dict, check: dict, event: dict) -> int:
    """The node that a check is about: an event's, or the result of an op."""
    if "node" in event:
        return event["node"]
    return of["ops"][event.get("op", check["op"])]["outputs"][0]


def _check_cells(cells: list, shape: Sequence[int], place: str) -> None:
    for cell in cells:
        must(len(cell) == len(shape) and all(i < n for i, n in zip(cell, shape)), place,
             f"must be cells of shape {shape}", cell)
