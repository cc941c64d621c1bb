"""The events of a trace as lines of JSON, for programs: ``minidl step run.json --json``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from .account import Account, ShownArray
from .choose import select
from .facts import Facts
from .follow import best_factor, way
from .trace import Trace


def write_json(trace: Trace, start: int = 1, only: str | None = None, phase: str | None = None,
               cell: Sequence[int] | None = None) -> None:
    """Print a line for each event that :func:`select` chooses; ``docs/step.md`` lists its names.
    Raises ValueError as select does."""
    for line in json_lines(trace, select(trace, start, only, phase, cell), cell):
        print(line)


def json_lines(trace: Trace, numbers: Sequence[int], cell: Sequence[int] | None = None
               ) -> Iterator[str]:
    """A line for each of these events."""
    facts = Facts(trace, cell)
    for number in numbers:
        yield json.dumps(plain(event_dict(facts, facts.of(number))), allow_nan=False)


def event_dict(facts: Facts, told: Account) -> dict:
    """An event in words and numbers that JSON knows, but for NaN and infinities."""
    on = way(facts, told, 0, best_factor(facts, told, 0))
    terms = not isinstance(told.found, str)
    text, right = told.verdict()
    return {
        "event": told.number, "of": len(facts.trace.events), "phase": told.event["phase"],
        "says": told.head, "op": told.op and told.op["op"], "module": told.op and told.op["module"],
        **{label: text for label, text in told.rows if label},
        "arrays": [_array(a) for a in told.arrays], "name": told.name, "shape": told.shape,
        "cell": told.cell, "which": told.which,
        "explanation": told.found.to_dict() if terms else None,
        "why_not": None if terms else told.found,
        "rule": told.rule and [{"line": line, "value": value} for line, value in told.rule],
        "so_far": told.running and dict(zip(("before", "contribution", "after"), told.running)),
        "agrees": None if told.compared is None else told.compared[1],
        "follow": {"event": on.number, "cell": on.cell, "says": on.said},
        "check": {"status": told.check["status"] if told.check else None, "says": text,
                  "wrong": not right, "cells": told.check["cells"] if told.check else []}}


def _array(array: ShownArray) -> dict:
    return {"name": array.name, "what": array.what, "cut": array.values is None,
            "shape": None if array.values is None else array.values.shape}


def plain(value: Any) -> Any:
    """NaN and infinities as "nan", "inf" and "-inf", which JSON has no numbers for."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):                            # of NumPy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
