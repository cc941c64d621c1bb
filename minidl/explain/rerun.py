"""Ops run again: for their values near the recorded point, and whether that is possible at all.

An op of the user's own may draw random numbers, count its calls, write into its operands, or have
had a keyword-only argument, which nobody keeps. Run again it is another function, and what is found
with it says nothing about its backward pass.
"""

from __future__ import annotations

import inspect

import numpy as np

from ..modes import no_grad
from ..op import OPS, Op
from ..ops.terms import Gather, Scatter
from ..tensor import Tensor
from ..testing.compare import equal, limit_of
from . import maps as maps
from .explanation import digits

RUNS = 8                      # of an op, to see whether it is the same each time


def run_in_float64(call: maps.Call, operands) -> np.ndarray:
    """The op on these operands, in float64."""
    with no_grad(), np.errstate(all="ignore"):
        return maps.float64_array(maps.again(call, [Tensor(np.array(x)) for x in operands]))


def why_not_again(call: maps.Call, stored: bool = True) -> str:
    """Why an op, run again, is not what it was: "drop cannot be run again the same: ..."; "" where
    it is. It is run in its own dtype; `stored` says whether the call's result is known."""
    if not _needs_a_run(call.op):
        return ""
    expected = call.out if stored else None
    for _ in range(RUNS):
        try:
            found = _run_in_own_dtype(call)
        except Exception as error:            # of a function of the user's, which may do anything
            return f"{_cannot(call.op)}it raises {type(error).__name__}: {error}"
        if expected is None:
            expected = found
        if found.shape != expected.shape:
            return f"{_cannot(call.op)}it gives shape {found.shape}, not {expected.shape}"
        wrong = np.argwhere(~equal(found, expected, limit_of(found.dtype)))
        if len(wrong):
            at = tuple(wrong[0])
            return f"{_cannot(call.op)}it gives {digits(found[at])}, not {digits(expected[at])}" + (
                "" if _keyword_only(call.op) else
                " (does it draw random numbers, count its calls, or change its operands?)")
    return ""


def _needs_a_run(op: Op) -> bool:
    """May it be another function the next time, and does an explanation of it depend on that?"""
    return OPS.get(op.name) is not op and (
        op.terms is None or isinstance(op.terms, (Gather, Scatter)) or bool(_keyword_only(op)))


def _run_in_own_dtype(call: maps.Call) -> np.ndarray:
    copies = [Tensor((x.data if isinstance(x, Tensor) else x).copy())
              for x in call.op.inputs(call.args)]
    with maps.unwatched(), no_grad(), np.errstate(all="ignore"):
        return maps.again(call, copies).numpy()


def _keyword_only(op: Op) -> list[str]:
    return [name for name, p in op.signature.parameters.items()
            if p.kind is inspect.Parameter.KEYWORD_ONLY]


def _cannot(op: Op) -> str:
    names = _keyword_only(op)
    lost = f"the keyword-only {', '.join(names)} of the call {'were' if names[1:] else 'was'} " \
           "not kept (an argument that may be given by its place is); " if names else ""
    return f"{op.name} cannot be run again the same: {lost}now "
