"""The index map of one recorded call, with its numbers put in: for programs without NumPy.

What ``explain.maps`` reads from an op's declaration and its arguments, written out so that a few
lines of JavaScript can follow it. :func:`bound_map` returns a dict of one of four kinds:

contract     ``loops`` has every index and its range; ``out`` and each of ``factors`` have a linear
             form for each axis, ``{"i": 2, "u": 1, "": -1}`` for i*2 + u - 1. A place outside an
             array is padding: no term. ``bias`` is a second map, of the last operand.
positions    ``groups``: out[p] is added x[q] of ``operand``, for the pairs (p, q) of two lists of
             flat positions (places in the trace's `arrays`; None: every position in order). What
             nothing reaches is ``constant``. ``window`` is a contract: what a maximum looked at.
elementwise  ``value`` and ``partials``, one an operand or None: steps (see ``explain.steps``)
composite    ``value``: steps over whole arrays

All have ``result``, the name of what they compute; ``operands``, the names of the op's inputs;
``arrays``, other arrays by name (nodes). In steps, axes and numbers stand in the place of names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..ops.terms import Composite, Contract, Elementwise, Gather
from .fields import WINDOW
from .formula_text import linear_form, names_of
from .maps import Call, axis_expressions, factors, linear_terms
from .steps import FUNCTIONS, REDUCTIONS, Step, parsed


def bound_map(trace, op: dict) -> dict | None:
    """The index map of an op of the trace; None of one that declares none, or whose numbers were
    left out of the file."""
    try:
        call = trace.call(op)
    except ValueError:
        return None
    kind, names = call.op.terms, names_of(call)
    about = {"result": "y", "operands": names,
             "arrays": _further_arrays(trace, op, names)}
    if isinstance(kind, Contract):
        return {"kind": "contract", **about, **_contract(call, kind)}
    if isinstance(kind, (Elementwise, Composite)):
        return {"kind": type(kind).__name__.lower(), **about, **_formulas(call, kind)}
    return {"kind": "positions", **about, **_groups_of_places(trace, call)}


def _further_arrays(trace, op: dict, names: list[str]) -> dict[str, int]:
    """Arrays among the op's arguments that are no operands: masks, class numbers."""
    parameters = trace.entry(op).signature.parameters
    return {name: a["array"] for name, a in zip(parameters, op["arguments"])
            if isinstance(a, dict) and "array" in a and name not in names}


# --------------------------------------------------------------------------- sums of products
def _contract(call: Call, kind: Contract) -> dict:
    """The products, and the bias if the call has one."""
    count = factors(kind)
    found = _product(call, kind, call.operands[:count])
    if len(call.operands) > count:
        found["bias"] = _product(call, Contract(kind.bias), call.operands[count:])
    return found


def _product(call: Call, kind: Contract, operands: list) -> dict:
    left, *right = re.findall(r"\w+\[([^\]]*)\]", kind.text)
    numbers = {k: v for k, v in call.named().items() if isinstance(v, (int, np.integer))}
    lead = call.out.ndim - left.count(",")
    arrays = [call.out, *operands]
    axes = [axis_expressions(text, a.shape, lead) for text, a in zip((left, *right), arrays)]
    loops = {i: numbers[name] for i, name in kind.ranges.items()}
    for array, expressions in zip(arrays, axes):
        loops |= {e: n for e, n in zip(expressions, array.shape) if e.isidentifier()}
    forms = [[linear_form(e, numbers) for e in expressions] for expressions in axes]
    return {"loops": {i: int(n) for i, n in loops.items()}, "out": forms[0], "factors": forms[1:]}


# --------------------------------------------------------------------------- formulas
def _formulas(call: Call, kind: Elementwise | Composite) -> dict:
    named = call.named()
    if isinstance(kind, Composite):
        return {"value": _bound_steps(kind.value, named)}
    return {"value": _bound_steps(kind.value, named), "partials": [
        _bound_steps(text, named) if text else None for text in kind.partials]}


def _bound_steps(text: str, named: Mapping[str, Any]) -> list[dict]:
    return [bound_step(step, named) for step in parsed(text)]


def bound_step(step: Step, named: Mapping[str, Any]) -> dict:
    """A step with the call's numbers and axes in the place of names; not finite ones in words."""
    def bound(a: str | float, place: int) -> Any:
        value = named.get(a, a) if isinstance(a, str) else a
        if value is None or isinstance(value, (bool, int, float, np.generic)):
            return _number(value, place)
        return a                                       # an operand, or an earlier step
    of = [bound(a, place) for place, a in enumerate(step.of)]
    found = {"name": step.name, "do": step.do, "of": of}
    if step.dim is not None:
        dim = named[step.dim] if isinstance(step.dim, str) else step.dim
        found["dim"] = [int(d) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if step.text:
        found["text"] = step.text
    return found


def _number(value: Any, place: int = 0) -> float | str:
    """A number for JSON; None is a bound of `clip` that there is not."""
    if value is None:
        return "-inf" if place == 1 else "inf"
    value = float(value)
    if math.isfinite(value):
        return int(value) if value == int(value) and abs(value) < 1 << 53 else value
    return repr(value)


# --------------------------------------------------------------------------- rearrangements, sums
def _groups_of_places(trace, call: Call) -> dict:
    """Pairs of places; a list that only counts up is None."""
    place = lambda found, size: None if np.array_equal(found, np.arange(size)) else trace.array(
        found.astype(np.int32 if size < 1 << 31 else np.int64))
    groups = [{"operand": k, "out": place(terms.out, call.out.size),
               "in": place(found, call.operands[k].size)}
              for terms in linear_terms(call) for k, found in terms.operands.items()]
    found: dict[str, Any] = {"groups": groups}
    if isinstance(call.op.terms, Gather):
        found["constant"] = _number(call.named().get("value", 0.0))
    if call.op.name == "max_pool2d":
        found["window"] = _product(call, WINDOW, call.operands)
    return found


# --------------------------------------------------------------------------- from a file
def check_map(value: Any, place: str, arrays: int, nodes: int) -> None:
    """Raise ValueError, naming the place, unless the value is None or a map as described above,
    of so many arrays and nodes."""
    if value is None:
        return
    must = _must(place)
    must(type(value) is dict and value.get("kind") in _PARTS, "must be an index map")
    needed, optional = _PARTS[value["kind"]]
    must({"kind", "result", "operands", "arrays", *needed} <= set(value) <= {
        "kind", "result", "operands", "arrays", *needed, *optional}, "has other names than a map "
        f"of kind {value['kind']}")
    must(type(value["result"]) is str and _list(value["operands"], str), "must name its operands")
    must(type(value["arrays"]) is dict and all(_is_place(n, nodes) for n in value[
        "arrays"].values()), "arrays must be nodes")
    for name in ("value", "window", "bias", "groups", "partials", "constant"):
        if name in value and (value[name] is not None or name != "bias"):
            _CHECKS[name](value[name], _must(f"{place}.{name}"), arrays)
    if value["kind"] == "contract":
        _check_product(value, must, arrays)


def _must(place: str) -> Callable[[bool, str], None]:
    def must(right: bool, rule: str) -> None:
        if not right:
            raise ValueError(f"{place}: {rule}")
    return must


def _list(value: Any, kind: type) -> bool:
    return type(value) is list and all(type(v) is kind for v in value)


def _is_place(value: Any, below: int) -> bool:
    return type(value) is int and 0 <= value < below


def _check_product(value: Any, must, arrays: int) -> None:
    must(type(value) is dict and {"loops", "out", "factors"} <= set(value), "must be a contract")
    loops, forms = value["loops"], [value["out"], *(value["factors"] if _list(
        value["factors"], list) else [None])]
    must(type(loops) is dict and all(_is_place(n, 1 << 40) for n in loops.values()),
         "loops must be whole numbers by index")
    for form in forms:
        must(type(form) is list and all(type(axis) is dict and set(axis) <= {"", *loops} and all(
            type(v) is int and abs(v) < 1 << 40 for v in axis.values()) for axis in form),
            "must have a linear form of its loops for each axis")


def _check_steps(value: Any, must, arrays: int) -> None:
    must(type(value) is list and len(value) > 0, "must be a list of steps")
    for step in value:
        must(type(step) is dict and {"name", "do", "of"} <= set(step) <= {
            "name", "do", "of", "dim", "text"}, "a step has name, do, of, dim and text")
        must(type(step["do"]) is str and step["do"] in _DONE and type(step["name"]) is str and type(
            step.get("text", "")) is str, "a step does one of the functions of explain.steps")
        must(type(step["of"]) is list and all(type(a) in (str, int, float) for a in step["of"]),
             "a step is of names and numbers")
        must(_list(step.get("dim", []), int), "a step's dim is a list of axes")


def _check_partials(value: Any, must, arrays: int) -> None:
    must(type(value) is list, "must be a list")
    for steps in value:
        if steps is not None:
            _check_steps(steps, must, arrays)


def _check_groups(value: Any, must, arrays: int) -> None:
    must(type(value) is list and all(
        type(group) is dict and set(group) == {"operand", "out", "in"}
        and _is_place(group["operand"], 1 << 20) and all(
            group[k] is None or _is_place(group[k], arrays) for k in ("out", "in"))
        for group in value), "must be operands with two arrays of places each")


def _check_constant(value: Any, must, arrays: int) -> None:
    must(type(value) in (int, float) or value in ("inf", "-inf", "nan"), "must be a number")


_DONE = {*FUNCTIONS, *REDUCTIONS, "take"}
_PARTS = {"contract": (("loops", "out", "factors"), ("bias",)),
          "positions": (("groups",), ("constant", "window")),
          "elementwise": (("value", "partials"), ()), "composite": (("value",), ())}
_CHECKS = {"value": _check_steps, "window": _check_product, "bias": _check_product,
           "groups": _check_groups, "partials": _check_partials, "constant": _check_constant}
