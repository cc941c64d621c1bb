"""An op of the user's own that declares no terms, explained by finite differences.

Its value is the op's own, run again in float64; which operands it depends on is found by moving
them. A gradient is gy times dy/dx, the slope by finite differences, so that a wrong backward pass
shows here, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from . import maps as maps
from .columns import Column, column_of
from .explanation import SHOWN, Term
from .formula_text import names_of
from .origins import Applied
from .rerun import run_in_float64, why_not_again

LOOKED_FOR = 64                    # operands that are looked for, at most
STEP = 1e-4                   # of a difference, as a share of the operand's size


def own_terms(made: Applied, index: tuple[int, ...]
              ) -> tuple[list[Term], list[Column], list[str], list[str]]:
    """One element of the result as one term, whose factors are what it depends on, and their
    columns; its formula, and notes."""
    call, columns, factors, origins = made.call, [], [], []
    formula = [f"y = {call.op.name}({', '.join(names_of(call))})"]
    if why := why_not_again(call):
        given = float(call.out[index])
        return [Term((("what it gave", (), given),), given)], [], formula, [why]
    value, mask = float(run_in_float64(call, call.operands)[index]), np.zeros(call.out.shape, bool)
    mask[index] = True
    for k, name in enumerate(names_of(call)):
        found = list(islice(moving_places(call, k, mask), LOOKED_FOR))
        column = column_of(name, made, k, np.array(found, int))
        columns.append(column)
        factors += column.factors()
        origins += [column.origin if made.inputs[k] is not None else None] * len(found)
    notes = [f"{call.op.name} declares no terms: by finite differences this number depends on the "
             "operands above, and the sum is the op's own value, run again in float64"]
    if len(factors) > SHOWN:
        notes.insert(0, f"and {len(factors) - SHOWN} more operands")
    terms = [Term(tuple(factors[:SHOWN]), value, ",", tuple(origins[:SHOWN]))]
    return terms, columns, formula, notes


def moved_elements(call: maps.Call, k: int, places: np.ndarray) -> np.ndarray:
    """Which elements of the result move if operand k is moved, at random, at these flat places."""
    x, rng = call.operands[k], np.random.default_rng(len(places))
    moved = x.copy()
    moved.reshape(-1)[places] += rng.uniform(0.5, 1.5, len(places)) * 1e-3 * (
        1 + np.abs(x.reshape(-1)[places]))
    before = run_in_float64(call, call.operands)
    after = run_in_float64(call, [*call.operands[:k], moved, *call.operands[k + 1:]])
    return (after != before) & ~(np.isnan(after) & np.isnan(before))


def moving_places(call: maps.Call, k: int, mask: np.ndarray) -> Iterator[int]:
    """The flat places in operand k that move one of the masked elements of the result: halves of
    the operand are moved, and those that show are halved again."""
    x = call.operands[k]
    waiting = [np.arange(x.size)] if x.size and x.dtype.kind == "f" else []
    while waiting:
        places = waiting.pop()
        if moved_elements(call, k, places)[mask].any():
            if len(places) == 1:
                yield int(places[0])
            else:
                waiting += np.array_split(places, 2)[::-1]


def slopes_by_differences(call: maps.Call, k: int, place: int) -> np.ndarray:
    """dy / dx of every output element y for one element x of operand k: from five points, exact to
    the fourth power of the step."""
    x = call.operands[k]
    step = STEP * max(1.0, float(np.abs(x.reshape(-1)[place])))

    def moved(by: float) -> np.ndarray:
        shifted = x.copy()
        shifted.reshape(-1)[place] += by
        return run_in_float64(call, [*call.operands[:k], shifted, *call.operands[k + 1:]])
    near, far = moved(step) - moved(-step), moved(2 * step) - moved(-2 * step)
    return (8 * near - far) / (12 * step)
