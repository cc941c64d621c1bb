"""``trace.check()``: is what a run recorded right?

Every op is replayed on its recorded operands, in float64 and by its readable function. Every
contribution to a gradient is compared with two things that know nothing of the op's backward pass:
the sum of the terms that its declaration gives, cell by cell, and finite differences. Where a
function has a kink, differences say nothing; such a comparison is skipped, with the reason. An op
of the user's own that declares no terms has the differences alone, and only in memory: a file does
not hold its function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..kernels import kernels_of_thread
from ..ops.terms import Composite, Contract, Elementwise, Reduce, Scatter
from ..testing.compare import errors, limit_of, scale_of
from ..testing.differences import along, first_smooth
from . import maps as maps
from .arrived import pass_of
from .flow import faults
from .recorded import recorded_call
from .rerun import run_in_float64, why_not_again

DIFFERENCE_STEPS = 1e-4, 1e-6            # a smaller one leaves kinks beside the point behind
MANY = 3_000_000              # terms, above which only some cells are added up
LISTED, TRIED = 200, 64       # cells that are named: wrong ones, and those tried


def check(trace, entries: int, directions: int, seed: int) -> list[dict]:
    """The comparisons of one trace: dicts, as ``docs/trace.md`` describes them."""
    with kernels_of_thread("reference"), np.errstate(all="ignore"):      # inf and nan are values
        return list(_comparisons(trace, entries, directions, np.random.default_rng(seed)))


def _comparisons(trace, *numbers) -> Iterator[dict]:
    for op in trace.ops:
        yield {"op": op["id"], "input": None, **_guarded(_replayed, trace, op)}
    for number, event in enumerate(trace.events):
        if event["phase"] == "backward":
            yield {"op": event["op"], "input": event["input"], "event": number,
                   **_guarded(_gradient, trace, event, *numbers)}
    for op, k in _missing(trace):
        yield {"op": op["id"], "input": k, **_guarded(_nothing_came, trace, op, k, *numbers)}
    for fault in faults(trace):
        error = errors(fault.found, fault.expected, scale_of(fault.found, fault.expected))
        wrong = _Wrong(fault.wrong, fault.expected, fault.found, error)
        found = _verdict("fail", fault.reason, error.size, np.nan_to_num(error).max(initial=0),
                         wrong=() if fault.arrived else wrong)
        yield {"op": fault.op, "input": fault.operand, "event": fault.event, **found,
               "wrong": len(fault.wrong)}


def _guarded(function, *args) -> dict:
    try:
        return function(*args)
    except (ValueError, MemoryError) as error:
        return _verdict("skipped", str(error) or "out of memory")
    except Exception as error:            # of an op whose arguments in a file are not its own
        return _verdict("fail", f"it cannot be run again: {type(error).__name__}: {error}", 0, 1.0)


class _Wrong(NamedTuple):
    """Wrong cells of an array: their indices, the arrays of what should be there and of what is
    there, and of the errors."""

    cells: np.ndarray
    expected: np.ndarray
    got: np.ndarray
    error: np.ndarray

    def listed(self) -> list[tuple[tuple[int, ...], float, float]]:
        """The cells with the largest errors, in the order in which they lie."""
        places = tuple(self.cells.T)
        order = np.argsort(-np.nan_to_num(self.error[places], nan=np.inf), kind="stable")
        chosen = (tuple(self.cells[n]) for n in np.sort(order[:LISTED]))
        return [(c, float(self.expected[c]), float(self.got[c])) for c in chosen]


def _verdict(status: str, reason: str = "", compared: int = 0, largest: float = 0.0,
             proved: str | Sequence = (), tried: Sequence = (), directions: int = 0,
             wrong: _Wrong | Sequence = ()) -> dict:
    """What a comparison found. `wrong`: cells, with what should be there and what is there."""
    largest = largest if np.isfinite(largest) else np.finfo(np.float64).max      # for JSON
    listed = wrong.listed() if isinstance(wrong, _Wrong) else wrong
    cells = lambda found, most: [[int(i) for i in c] for c in found[:most]]
    plain = lambda number: float(number) if np.isfinite(number) else repr(float(number))
    return {"status": status, "reason": reason, "compared": int(compared),
            "largest": float(largest),
            "wrong": len(wrong.cells) if isinstance(wrong, _Wrong) else len(wrong),
            "cells": cells([c for c, _, _ in listed], LISTED),
            "expected": [plain(e) for _, e, _ in listed][:LISTED],
            "got": [plain(g) for _, _, g in listed][:LISTED],
            "proved": proved if isinstance(proved, str) else cells(proved, LISTED),
            "tried": cells(tried, TRIED), "directions": directions}


def _compare_cells(used, recorded: np.ndarray, expected: np.ndarray, size, what: str) -> dict:
    """Cell by cell, with errors measured by `size`: of what was added up from the arrays `used`."""
    error = errors(recorded, expected, size)
    right = (error <= limit_of(recorded.dtype)) | _open(used, recorded, expected)
    error, wrong = np.where(right & ~(error <= 1), 0.0, error), np.argwhere(~right)
    if len(wrong):
        return _verdict("fail", f"{len(wrong)} of {error.size} cells differ from {what}",
                        error.size, error.max(initial=0), "all",
                        wrong=_Wrong(wrong, expected, recorded, error))
    return _verdict("pass", what, error.size, error.max(initial=0), "all")


def _open(used, recorded, expected):
    """Where nothing can be said: inf or NaN was used, and is one of the two numbers. What inf gives
    depends on the order of a sum, and on whether the zeros of a padding are added."""
    if all(np.isfinite(x).all() for x in used):
        return np.zeros(np.shape(recorded), bool)
    return ~(np.isfinite(recorded) & np.isfinite(expected))


# --------------------------------------------------------------------------- values
def _repeatable(trace, op: dict) -> maps.Call:
    """An op's call as recorded. Raises ValueError where it cannot be run again the same."""
    call = recorded_call(trace, op).call
    if why := why_not_again(call):
        raise ValueError(why)
    return call


def _replayed(trace, op: dict) -> dict:
    call = _repeatable(trace, op)
    recorded = trace.value(op["outputs"][0])
    if recorded.dtype.kind != "f":
        return _verdict("pass", "no float to compare")
    expected = run_in_float64(call, call.operands)
    if expected.shape != recorded.shape:
        return _verdict("fail", f"run again it gives shape {expected.shape}, recorded is "
                        f"{recorded.shape}", 0, 1.0)
    return _compare_cells(call.operands, recorded, expected, scale_of(expected, *call.operands[:1]),
                          "the op replayed in float64")


# --------------------------------------------------------------------------- gradients
def _missing(trace) -> Iterator[tuple[dict, int]]:
    """The operands of ops that a gradient reached, but that got none themselves. (grad() goes on
    to what it is asked for alone.)"""
    came, reached = set(), {n for each in trace.passes if each["deposits"] for n in each["outputs"]}
    for place, event in enumerate(trace.events):
        if event["phase"] == "backward":
            came.add((event["op"], event["input"]))
            owner = pass_of(trace, place)
            if owner is None or owner["deposits"]:
                reached.add(event["node"])
    for op in trace.ops:
        if op["outputs"][0] in reached and trace.nodes[op["outputs"][0]]["grad"] is not None:
            for k, needed in enumerate(op["needs"]):
                if needed and (op["id"], k) not in came:
                    yield op, k


def _nothing_came(trace, op: dict, k: int, entries: int, directions: int, rng) -> dict:
    """No contribution says that there is none to make: is that so?"""
    if trace.entry(op) is None:
        return _verdict("skipped", f"{op['op']} is not an op of the library")
    call, gy = _repeatable(trace, op), trace.arrays[trace.nodes[op["outputs"][0]]["grad"]]
    if gy is None:
        return _verdict("skipped", "its numbers were left out of the file for their size")
    zero = np.zeros(call.operands[k].shape, gy.dtype)
    found = _by_differences(call, k, zero, gy.astype(np.float64), entries, directions, rng)
    if found["status"] == "fail":
        return {**found, "reason": f"no gradient came: {found['reason']}"}
    return found


def _gradient(trace, event: dict, entries: int, directions: int, rng) -> dict:
    op, k = trace.ops[event["op"]], event["input"]
    if trace.entry(op) is None:
        return _verdict("skipped", f"{op['op']} is not an op of the library")
    call = _repeatable(trace, op)
    recorded, gy = trace.arrays[event["contribution"]], trace.arrays[event["gy"]]
    if recorded is None or gy is None:
        return _verdict("skipped", "its numbers were left out of the file for their size")
    gy = gy.astype(np.float64)
    by_terms = (_by_terms(call, k, recorded, gy, entries, rng) if call.op.terms is not None
                else _verdict("pass", "it declares no terms"))
    if by_terms["status"] == "fail":
        return by_terms
    by_differences = _by_differences(call, k, recorded, gy, entries, directions, rng)
    if by_differences["status"] != "pass":
        return {**by_differences, "proved": by_terms["proved"]}
    return {**by_terms, "compared": by_terms["compared"] + by_differences["compared"],
            "tried": by_differences["tried"], "directions": by_differences["directions"],
            "reason": f"{by_terms['reason']}, and {by_differences['reason']}"}


def _by_terms(call, k: int, recorded, gy, entries: int, rng) -> dict:
    """Against the declaration: every cell where that is cheap, else the largest and some others."""
    from .gradient_cells import explain_contribution
    kind, what, used = call.op.terms, "the sum of its terms", (*call.operands, gy)
    if not isinstance(kind, Composite) and _term_count(call) <= MANY:
        found = maps.gradient(call, gy, k)
        if found is None:
            return _verdict("pass", "no gradient declared")
        expected, size = found
        if isinstance(kind, Elementwise) and "-" in kind.partials[k]:
            size = np.maximum(size, 0.1 * scale_of(gy))     # of a slope like p - t, p was rounded
        return _compare_cells(used, recorded, expected, size, what)
    chosen = _some_cells(recorded, entries if isinstance(kind, Contract) else min(entries, 8), rng)
    wrong, largest = [], 0.0
    for index in chosen:
        found = explain_contribution(call, k, index, gy)
        least = scale_of(recorded, gy) if isinstance(kind, Composite) else found.magnitude
        if _open(used, recorded[index], found.total):
            continue
        error = float(errors(recorded[index], found.total, max(found.magnitude, least)))
        largest = max(largest, error)
        if not error <= limit_of(recorded.dtype):
            wrong.append((index, found.total, recorded[index]))
    if wrong:
        return _verdict("fail", f"{len(wrong)} of {len(chosen)} cells tried differ from {what}",
                        len(chosen), largest, chosen, wrong=wrong)
    return _verdict("pass", f"{what} in {len(chosen)} cells", len(chosen), largest, chosen)


def _term_count(call: maps.Call) -> int:
    """About how many terms a call has."""
    if not isinstance(call.op.terms, Contract):
        return call.out.size
    sizes = sorted([call.out.size, *(x.size for x in call.operands)])
    return int(np.sqrt(float(np.prod([float(s) for s in sizes[-3:]])))) if len(sizes) > 2 else (
        call.out.size * 16)


def _some_cells(array: np.ndarray, count: int, rng) -> list[tuple[int, ...]]:
    """The largest cells, and as many at random; all of a small array."""
    if array.size <= count:
        return list(np.ndindex(array.shape))
    order = np.argsort(-np.abs(array).ravel())[:max(1, count // 2)]
    chance = rng.integers(0, array.size, count - len(order)) if array.size else []
    return [tuple(int(i) for i in np.unravel_index(p, array.shape))
            for p in dict.fromkeys([*order.tolist(), *map(int, chance)])]


def _by_differences(call, k: int, recorded, gy, entries: int, directions: int, rng) -> dict:
    """Against <f, gy> along single entries and random directions."""
    x, scale = call.operands[k], max(scale_of(recorded), 1e-3 * scale_of(gy))
    lines = []
    kind = call.op.terms
    largest_operand = max(a.size for a in call.operands)
    if kind is not None and largest_operand > 10_000:      # its terms say enough
        entries = min(entries, 4 if largest_operand < 200_000 else 2)
        directions = min(directions, entries // 2)
    for index in _some_cells(recorded, entries, rng):
        d = np.zeros(x.shape)
        d[index] = 1.0
        lines.append((index, d))
    if not isinstance(kind, (Contract, Reduce, Scatter, Composite)) or "max" in getattr(
            kind, "value", ""):
        directions = 0                   # of many kinks, some up, some down, a sum shows nothing
    for _ in range(directions):
        d = rng.choice([-1.0, 1.0], x.shape)
        lines.append((None, d / max(np.sqrt(x.size), 1.0)))
    if not recorded.size:
        return _verdict("pass", "no numbers to compare")
    y0, compared, kinks, largest = run_in_float64(call, call.operands), 0, 0, 0.0
    wide, limit = max(1.0, min(float(np.abs(x).max(initial=0)), 10.0)), limit_of(recorded.dtype)
    wrong, tried, what = [], [], ""
    for index, d in lines:
        analytic = float((recorded * d).sum() if index is None else recorded[index])
        size = abs(analytic) if np.isfinite(analytic) else 0.0
        line = along(lambda *xs: [run_in_float64(call, xs)], call.operands, k, d, [y0], [gy])
        found, tolerance, smooth = first_smooth(
            line, [step * wide for step in DIFFERENCE_STEPS], lambda found: (
                found.rounding + 1e-3 * max(size, abs(found.value)) + 1e-4 * scale
                + limit * found.magnitude), 1)      # what cancels in the slope was rounded too
        if not smooth or _open((*call.operands, gy), analytic, found.value):
            kinks += 1
        else:
            error = abs(found.value - analytic)
            compared, largest = compared + 1, max(largest, error / (scale or 1.0))
            tried.append(index)
            if not error <= tolerance:
                wrong.append((index, found.value, analytic))
                where = f"at {list(index)}" if index is not None else "along a random direction"
                what = what or (f"{where} finite differences give {found.value:.6g}, recorded is "
                                f"{analytic:.6g}")
    cells = [index for index in tried if index is not None]
    about = {"tried": cells, "directions": len(tried) - len(cells)}
    if wrong:
        what += f"; {len(wrong)} of the {compared} cells and directions tried are wrong"
        found = _verdict("fail", what, compared, largest, **about,
                         wrong=[each for each in wrong if each[0] is not None])
        return {**found, "wrong": len(wrong)}
    if not compared:
        return _verdict("skipped", f"a kink, or a number that is not finite, in each of {kinks} "
                        "directions tried")
    return _verdict("pass", f"finite differences along {compared} line{'s' * (compared > 1)}" + (
        f" ({kinks} met a kink)" if kinks else ""), compared, largest, **about)
