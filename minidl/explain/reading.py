"""A trace file, read and looked at: every value, before anything is made of it.

What is not as ``docs/trace.md`` describes it is a ValueError that names the place in the file, such
as ``events[3].input``, and the rule. The lists may hold nothing that points outside, no array of
more numbers than the file has (or, of one number repeated, than FILLS allows), and no call that
would make larger ones: a file can be walked through and checked without harm. Text is cleaned of
control characters, which would reach a terminal.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..files.regular import open_regular, read_at_most, shown
from .fitting import check_arguments

TRACE_FORMAT, VERSION = "minidl-trace", 2
LARGEST_TRACE = 1 << 26       # bytes of a file
FILLS = 1 << 28               # bytes of all arrays that hold one number, repeated
DEEPEST, MOST_DIGITS = 40, 20  # lists and objects within each other; digits of a whole number
DTYPES = {"f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64, "u1": np.uint8,
          "b1": np.bool_}
NODE_ROLES = "parameter", "input", "noise", "mask", "label", "constant", "value"
MAP_KINDS = "Contract", "Elementwise", "Reduce", "Gather", "Scatter", "Composite", None
NUMPY = [str(np.dtype(f"{kind}{size}")) for kind in "fiu" for size in (2, 4, 8)] + [
    "bool", "int8", "uint8"]
Check = Callable[[Any, str], None]


def read(path: str | Path) -> dict:
    """What the file says; `arrays` are NumPy arrays, None where they were cut. Raises
    FileNotFoundError, and ValueError naming the file, the place in it and the rule."""
    with open_regular(path) as file:
        raw = read_at_most(file, LARGEST_TRACE + 1)
    if len(raw) > LARGEST_TRACE:
        raise ValueError(f"{path}: more than {LARGEST_TRACE:,} bytes are not read as a trace")
    try:
        document = _parsed_json(raw)
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        raise ValueError(f"{path}: no trace, or a damaged one: {why}") from None
    of = document if isinstance(document, dict) else {}
    if of.get("format") != TRACE_FORMAT:
        raise ValueError(f"{path}: JSON, but no trace (format is {_quoted(of.get('format'))})")
    if type(of.get("version")) is not int or of["version"] != VERSION:
        raise ValueError(f"{path}: a trace of version {_quoted(of.get('version'))}, this minidl "
                         f"reads version {VERSION}: record it again")
    try:
        document = cleaned(document)
        _check_parts(document)
        return document
    except ValueError as error:
        raise ValueError(f"{path}: a damaged trace: {error}") from None


# --------------------------------------------------------------------------- JSON
def _parsed_json(raw: bytearray) -> Any:
    try:
        return json.loads(raw.decode(), object_pairs_hook=_object_of_pairs,
                          parse_constant=_refused, parse_int=_parsed_int,
                          parse_float=_parsed_float)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None


def _object_of_pairs(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {_quoted(twice)} twice")
    return found


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _parsed_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits; at most {MOST_DIGITS} are read")
    return int(digits)


def _parsed_float(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"the number {digits[:30]} is too large")
    return number


def cleaned(value: Any, key: str = "", depth: int = 0) -> Any:
    """`value` with all its text made harmless for a terminal: see ``files.shown``. A docstring,
    under the key "says", keeps its lines."""
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} lists and objects within each other")
    if type(value) is dict:
        return {shown(k): cleaned(v, k, depth + 1) for k, v in value.items()}
    if type(value) is list:
        return [cleaned(v, key, depth + 1) for v in value]
    if type(value) is not str:
        return value
    return "\n".join(map(shown, value.split("\n"))) if key == "says" else shown(value)


# --------------------------------------------------------------------------- what a value must be
def must(right: bool, place: str, rule: str, value: Any) -> None:
    """Raise ValueError unless `right`: the value at this place breaks the rule."""
    if not right:
        raise ValueError(f"{place}: {rule}, got {_quoted(value)}")


def _quoted(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return f"a list of {len(value)}" if isinstance(value, list) else "an object"
    return shown(text if len(text := repr(value)) <= 40 else f"{text[:40]}...")


def _string(value: Any, place: str) -> None:
    must(type(value) is str, place, "must be text", value)


def _boolean(value: Any, place: str) -> None:
    must(type(value) is bool, place, "must be true or false", value)


def _json_number(value: Any, place: str) -> None:
    must(type(value) in (int, float), place, "must be a number", value)


def _anything(value: Any, place: str) -> None:
    pass


def _integer(low: int, high: int = 1 << 53) -> Check:
    """A whole number, low <= n < high."""
    return lambda value, place: must(type(value) is int and low <= value < high, place,
                                     f"must be a whole number in {low}..{high - 1}", value)


def _enum(*values: Any) -> Check:
    return lambda value, place: must(
        any(value is v or type(v) is str and v == value for v in values), place,
        f"must be one of {', '.join(map(str, values))}", value)


def _maybe(check: Check) -> Check:
    return lambda value, place: None if value is None else check(value, place)


def _list_of(check: Check, least: int = 0) -> Check:
    """A list, and each of its entries."""
    def all_of(value: Any, place: str) -> None:
        must(type(value) is list and len(value) >= least, place,
             f"must be a list of {least} or more", value)
        for number, entry in enumerate(value):
            check(entry, f"{place}[{number}]")
    return all_of


def _object(needed: dict[str, Check], optional: dict[str, Check] | None = None,
            others: Check | None = None) -> Check:
    """An object: names it has, may have, and what other names may stand for (None: none may)."""
    known = needed | (optional or {})

    def all_of(value: Any, place: str) -> None:
        must(type(value) is dict, place, "must be an object", value)
        for name in needed:
            must(name in value, place, f"must have {name!r}", value)
        for name, entry in value.items():
            check = known.get(name, others)
            must(check is not None, place, f"may not have {_quoted(name)}", value)
            check(entry, f"{place}.{name}")
    return all_of


# --------------------------------------------------------------------------- the parts of a file
def _check_parts(of: dict) -> None:
    """Every part of the document; its arrays are decoded in place."""
    parts = ("sources", "arrays", "nodes", "ops", "events", "checks", "frames")
    _object({"format": _string, "version": _integer(1), "maps": _anything, "meta": _object(
        {"minidl": _string, "dtype": _string, "probe": _maybe(_integer(1))}, others=_anything),
        **{part: _list_of(_anything) for part in parts}})(of, "trace")
    at = {part: _integer(0, len(of[part])) for part in parts}
    _list_of(_object({"path": _string, "line": _integer(0), "text": _string}))(
        of["sources"], "sources")
    text = {name: _string for name in ("text", "bias", "value", "slope")}
    _object({}, others=_object({"kind": _enum(*MAP_KINDS), "formula": _maybe(_string),
                                "says": _string}, text, _anything))(of["maps"], "maps")
    shapes = _decode_arrays(of)
    _list_of(_object({"id": _integer(0), "name": _maybe(_string), "role": _enum(*NODE_ROLES),
                      "shape": _list_of(_integer(0)), "value": at["arrays"],
                      "grad": _maybe(at["arrays"]), "op": _maybe(at["ops"])}))(of["nodes"], "nodes")
    _list_of(_object({"id": _integer(0), "op": _string, "library": _boolean,
                      "formula": _maybe(_string), "module": _string,
                      "line": at["sources"], "code": _maybe(at["sources"]),
                      "arguments": _list_of(_argument(at["nodes"])),
                      "inputs": _list_of(at["nodes"]), "needs": _list_of(_boolean),
                      "outputs": _list_of(at["nodes"], 1)},
                     {"hooks": _boolean}))(of["ops"], "ops")
    _check_nodes(of, shapes)
    for number, event in enumerate(of["events"]):
        _check_event(event, f"events[{number}]", of, at, shapes)
    told = [e["op"] for e in of["events"] if e["phase"] == "forward"]
    must(sorted(told) == [*range(len(of["ops"]))], "events", "must have one forward event for each "
         "op", told)
    _check_checks(of, at)
    _list_of(_object({"step": _json_number, "numbers": _object({}, others=_json_number),
                      "arrays": _object({}, others=at["arrays"])}))(of["frames"], "frames")


def _decode_arrays(of: dict) -> list:
    """Decode the arrays; their shapes, also of those that were cut (None of one that was lost)."""
    stated = _object({"shape": _maybe(_list_of(_integer(0, 1 << 40))),
                      "dtype": _maybe(_enum(*DTYPES)), "full": _boolean,
                      "stats": _object({}, others=_json_number)},
                     {"data": _maybe(_string), "fill": _anything})
    room, shapes = FILLS, []
    for number, item in enumerate(of["arrays"]):
        place = f"arrays[{number}]"
        stated(item, place)
        must(("data" in item) != ("fill" in item), place, "must have either data or fill", item)
        shapes.append(item["shape"])
        if not item["full"]:
            of["arrays"][number] = None
            continue
        must(None not in (item["shape"], item["dtype"]), place, "must have shape and dtype, being "
             "full", item)
        must(len(item["shape"]) <= 32 and math.prod(max(n, 1) for n in item["shape"]) < 1 << 40,
             f"{place}.shape", "must have 32 or fewer axes, and fewer than 2^40 numbers", item[
                 "shape"])
        kind = np.dtype(DTYPES[item["dtype"]])
        if "fill" in item:
            room -= math.prod(item["shape"]) * kind.itemsize
            must(room >= 0, f"{place}.shape", f"makes {FILLS - room:,} bytes of arrays of one "
                 f"number, and at most {FILLS:,} are made", item["shape"])
            must(_holds(kind, item["fill"]), f"{place}.fill", f"must be a number that "
                 f"{item['dtype']} holds", item["fill"])
            of["arrays"][number] = np.full(item["shape"], item["fill"], kind)
        else:
            of["arrays"][number] = _decoded(item, kind, f"{place}.data")
    return shapes


def _holds(kind: np.dtype, value: Any) -> bool:
    if kind.kind == "b":
        return type(value) is bool
    if kind.kind in "iu":
        return type(value) is int and np.iinfo(kind).min <= value <= np.iinfo(kind).max
    return type(value) in (int, float) and abs(value) <= float(np.finfo(kind).max)


def _decoded(item: dict, kind: np.dtype, place: str) -> np.ndarray:
    _string(item["data"], place)
    try:
        raw = base64.b64decode(item["data"], validate=True)
    except ValueError as error:
        raise ValueError(f"{place}: no base64: {error}") from None
    wanted = math.prod(item["shape"]) * kind.itemsize
    must(len(raw) == wanted, place, f"must be {wanted} bytes for shape {item['shape']}", len(raw))
    must(kind.kind != "b" or not raw.strip(b"\0\1"), place, "must be bytes 0 and 1", "others")
    return np.frombuffer(raw, kind.newbyteorder("<")).astype(kind).reshape(item["shape"])


def _argument(node: Check) -> Check:
    """An op's argument: a plain value, or an object that says by its one name what it is."""
    kinds: dict[str, Check] = {
        "node": node, "array": node, "tuple": lambda value, place: _list_of(check)(value, place),
        "slice": _list_of(_maybe(_integer(-(1 << 53))), 3), "float": _enum("inf", "-inf", "nan"),
        "ellipsis": _boolean, "dtype": _enum(*NUMPY), "repr": _string}

    def check(value: Any, place: str) -> None:
        if type(value) is dict:
            must(len(value) == 1, place, "must have one name", value)
            _object({}, kinds)(value, place)
            must("slice" not in value or len(value["slice"]) == 3, place, "must have three", value)
        else:
            must(type(value) is not list, place, "must be no list", value)
    return check


def _check_nodes(of: dict, shapes: list) -> None:
    """Nodes and ops fit their arrays, each other, and the library's ops."""
    nodes, ops = of["nodes"], of["ops"]
    for part in ("nodes", "ops"):
        for number, item in enumerate(of[part]):
            must(item["id"] == number, f"{part}[{number}].id", f"must be {number}", item["id"])
    for number, node in enumerate(nodes):
        place = f"nodes[{number}]"
        for name in ("value", "grad"):
            if node[name] is not None:
                _check_shape(node["shape"], shapes[node[name]], f"{place}.{name}")
        if node["grad"] is not None:
            _check_floats(of, node["grad"], f"{place}.grad")
        must(node["op"] is None or number in ops[node["op"]]["outputs"], f"{place}.op",
             "must be an op that gave this node", node["op"])
    for number, op in enumerate(ops):
        place = f"ops[{number}]"
        must(op["op"] in of["maps"], f"{place}.op", "must be among the maps", op["op"])
        must(len(op["needs"]) == len(op["inputs"]), f"{place}.needs", "must be as long as inputs",
             op["needs"])
        check_arguments(op, [n["shape"] for n in nodes], place)


def _check_shape(wanted: list, shape: list | None, place: str) -> None:
    must(shape in (None, wanted), place, f"must be an array of shape {wanted}, of its node", shape)


def _check_floats(of: dict, array: int, place: str) -> None:
    a = of["arrays"][array]
    must(a is None or a.dtype.kind == "f", place, "must be an array of floats", array)


def _check_event(event: Any, place: str, of: dict, at: dict, shapes: list) -> None:
    must(type(event) is dict and event.get("phase") in ("forward", "backward", "update"), place,
         "must be an object with phase forward, backward or update", event)
    places = {"forward": (), "backward": ("gy", "contribution", "sum"),
              "update": ("gradient", "before", "after")}[event["phase"]]
    needed = {"phase": _string, **dict.fromkeys(places, at["arrays"])}
    if event["phase"] == "forward":
        return _object({**needed, "op": at["ops"]})(event, place)
    if event["phase"] == "update":
        _object({**needed, "node": at["nodes"], "rule": _string, "step": _integer(0),
                 "options": _object({}, others=_anything),
                 "state": _object({}, others=at["arrays"])})(event, place)
    else:
        _object({**needed, "op": at["ops"], "input": _integer(0), "node": at["nodes"],
                 "number": _integer(1), "of": _integer(1)}, {"earlier": at["arrays"]})(event, place)
        op = of["ops"][event["op"]]
        _integer(0, len(op["inputs"]))(event["input"], f"{place}.input")
        must(event["node"] == op["inputs"][event["input"]], f"{place}.node",
             "must be the op's input", event["node"])
    for name in (*places, *({"earlier"} & set(event))):
        of_node = op["outputs"][0] if name == "gy" else event["node"]
        _check_shape(of["nodes"][of_node]["shape"], shapes[event[name]], f"{place}.{name}")
        _check_floats(of, event[name], f"{place}.{name}")


def _check_checks(of: dict, at: dict) -> None:
    _list_of(_object({"op": _maybe(at["ops"]), "input": _maybe(_integer(0)), "reason": _string,
                      "status": _enum("pass", "fail", "skipped"), "compared": _integer(0),
                      "largest": _json_number, "wrong": _integer(0),
                      "cells": _list_of(_list_of(_integer(0)))},
                     {"event": at["events"]}))(of["checks"], "checks")
    for number, check in enumerate(of["checks"]):
        place, event = f"checks[{number}]", of["events"][check["event"]] if "event" in check else {}
        must("event" in check or check["op"] is not None, place, "must name an op or an event",
             check)
        node = event.get("node")
        if node is None:
            node = of["ops"][event.get("op", check["op"])]["outputs"][0]
        shape = of["nodes"][node]["shape"]
        for cell in check["cells"]:
            must(len(cell) == len(shape) and all(i < n for i, n in zip(cell, shape)),
                 f"{place}.cells", f"must be cells of shape {shape}", cell)
