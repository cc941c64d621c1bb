"""Do the arguments of an op, as a file has them, fit the op and the shapes of its nodes?

An op runs again when a trace is explained or checked. Its geometry must not lead outside its
arrays, nor make far larger ones; what is wrong otherwise the op itself refuses.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..op import OPS, Op
from ..ops.terms import Contract, Elementwise
from .maps import factors

MOST_BORDERED = 1 << 22       # numbers of an array with its border, whatever the nodes' sizes
WINDOWS = 1 << 27             # numbers in all windows of a convolution
_SIZES = "shape", "size", "kernel", "out_size", "length"


def check_arguments(op: dict, shapes: list[list[int]], place: str) -> None:
    """Raise ValueError, naming the place, unless the op's arguments fit its nodes' `shapes`."""
    entry = OPS.get(op["op"]) if op["library"] else None
    if entry is None:
        return
    arguments, count = op["arguments"], len(entry.signature.parameters)
    if len(arguments) != count:
        raise ValueError(f"{place}.arguments: must be {count} for {op['op']}, got {len(arguments)}")
    given = dict(zip(entry.signature.parameters, arguments))
    if _tensor_nodes(entry, arguments) != op["inputs"]:
        raise ValueError(f"{place}.inputs: must be the nodes among the arguments of {op['op']}")
    out, *inputs = (shapes[n] for n in (op["outputs"][0], *op["inputs"]))
    try:
        if isinstance(entry.terms, Elementwise):
            others = [shapes[a["array"]] for a in arguments if isinstance(a, dict) and "array" in a]
            if list(np.broadcast_shapes(*map(tuple, inputs + others))) != out:
                raise ValueError(f"shapes {inputs} do not give {out}")
        elif isinstance(entry.terms, Contract):
            count = factors(entry.terms)
            _check_contraction(entry.terms.text, out, inputs[:count])
            for bias in inputs[count:]:
                _check_contraction(entry.terms.bias, out, [bias])
            inputs = inputs[:count]                # the geometry is about the others
        _check_geometry({k: _whole_numbers(v) for k, v in given.items() if k in (
            *_SIZES, "widths", "padding", "pads", "stride", "dilation", "window")}, out, inputs)
    except ValueError as error:
        raise ValueError(f"{place}: {op['op'].strip('_')}: {error}") from None


def _tensor_nodes(entry: Op, arguments: list) -> list | None:
    """The nodes among an op's arguments; None where something else stands in a tensor's place."""
    first = arguments[0] if arguments else None
    bias = entry.places[-1] if getattr(entry.terms, "bias", "") else None
    found = [arguments[i] for i in entry.places if i != bias or arguments[i] is not None] if (
        not entry.sequence) else first.get("tuple") if isinstance(first, dict) else None
    if found is None or not all(isinstance(a, dict) and "node" in a for a in found):
        return None
    return [a["node"] for a in found]


def _whole_numbers(value: Any) -> Any:
    """A whole number, or tuples of them."""
    if isinstance(value, dict) and "tuple" in value:
        return tuple(_whole_numbers(v) for v in value["tuple"])
    if type(value) is not int or abs(value) >= 1 << 40:
        raise ValueError("its sizes must be whole numbers, and tuples of them")
    return value


def _check_contraction(text: str, out: list[int], inputs: list[list[int]]) -> None:
    """An index stands for axes of one length; before ``...`` axes broadcast."""
    axes, lengths, lead = [a.split(",") for a in re.findall(r"\w+\[([^\]]*)\]", text)], {}, []
    for names, shape in zip(axes, (out, *inputs)):
        names = [name.strip() for name in names]
        if names[0] == "...":
            names, least = names[1:], len(names) - 1
            lead.append(tuple(shape[:len(shape) - least]))
            shape = shape[len(shape) - least:]
        if len(names) != len(shape) or any(
                lengths.setdefault(name, n) != n for name, n in zip(names, shape)
                if name.isidentifier()):
            raise ValueError(f"shapes {inputs} and {out} do not fit {text}")
    if "u" in lengths and math.prod(n for name, n in lengths.items() if name != "o") > WINDOWS:
        raise ValueError(f"its windows hold more than {WINDOWS:,} numbers")
    if lead and np.broadcast_shapes(*lead[1:]) != lead[0]:
        raise ValueError(f"shapes {inputs} do not give {out}")


def _check_geometry(given: dict[str, Any], out: list[int], inputs: list[list[int]]) -> None:
    """Sizes are those of nodes; borders are small; every window lies in the image with its border.
    """
    count = lambda shape: math.prod(max(abs(n), 1) for n in shape)
    most = max(map(count, (out, *inputs)))
    for name in set(_SIZES) & set(given):
        size = given[name] if isinstance(given[name], tuple) else (given[name],)
        if count(_flat(size)) > most:
            raise ValueError(f"{name} {given[name]} is larger than all its arrays")
    border = given.get("widths", given.get("pads", given.get("padding")))
    if border is None:
        return
    image = max((out, *inputs), key=lambda shape: count(shape[-2:])) if "stride" in given else (
        inputs[0])
    for name in ("stride", "dilation", "window", "kernel"):
        if name in given and not (isinstance(given[name], tuple) and len(given[name]) == 2):
            raise ValueError(f"{name} {given[name]} is no pair")
    if not isinstance(border, tuple):
        raise ValueError(f"border {border} is no tuple")
    pairs = [pair if isinstance(pair, tuple) else (pair, pair) for pair in border]
    steps = [n for k in ("stride", "dilation", "window") for n in _flat(given.get(k, ()))]
    if min([0, *(n for pair in pairs for n in pair)]) < 0 or min([1, *steps]) < 1:
        raise ValueError("a stride, dilation or window below 1, or a border below 0")
    if len(pairs) > len(image) or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"border {border} for shape {image}")
    sides = [n + a + b for n, (a, b) in zip(image[len(image) - len(pairs):], pairs)]
    if count([*image[:len(image) - len(pairs)], *sides]) > max(16 * most, MOST_BORDERED):
        raise ValueError(f"border {border} makes far more of shape {image} than there is")


def _flat(value: Any) -> list[int]:
    return [n for v in value for n in (_flat(v) if isinstance(v, tuple) else [v])]
