"""From places in operands to terms: factors with their letters, and the arrays they stand in.

An operand that is a slice, a reshape or a permutation of another array is followed to that array:
a factor has the index that its own tensor knows it by.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from ..op import Op
from . import maps as maps
from .explanation import Term
from .folding import traced_all
from .formula_text import at, names_of, op_title
from .origins import Applied


class Column(NamedTuple):
    """One factor of every term: its letter, the array it is taken from, the places there, the
    values, and through which ops it came."""

    name: str
    origin: Any
    flat: np.ndarray
    values: np.ndarray
    through: tuple[str, ...] = ()

    def factors(self) -> list[tuple]:
        """(name, index, value) of each."""
        return factor_list(self.name, self.origin.shape, self.flat, self.values)


def operand_columns(made: Applied, group: maps.Terms, without: int | None = None) -> list[Column]:
    """The operands of a group of terms, each followed to the array that its elements stand in."""
    names, columns = names_of(made.call), []
    for k, places in group.operands.items():
        if k != without:
            columns.append(column_of(names[k], made, k, places))
    return columns


def column_of(name: str, made: Applied, k: int, places: np.ndarray) -> Column:
    """Operand k of a call at some places."""
    origin = made.inputs[k] if k < len(made.inputs) else None
    values = made.call.operands[k].reshape(-1)[places].astype(float)
    if origin is None:
        return Column(name, Unknown(made.call.operands[k].shape), places, values)
    if made.plain:
        return Column(name, origin, places, values)
    origin, places, through = traced_all(origin, places)
    return Column(name, origin, places, values, through)


class Unknown:
    """An array of which nothing is known but its shape."""

    name = ""

    def __init__(self, shape):
        self.shape = shape


def factor_list(name: str, shape, places: np.ndarray, values: np.ndarray) -> list[tuple]:
    """(name, index, value) of elements at flat places of an array of that shape."""
    if not len(places):
        return []
    index = np.unravel_index(places, shape) if len(shape) else ()
    where = zip(*(i.tolist() for i in index)) if len(shape) else repeat((), len(places))
    return list(zip(repeat(name), where, values.tolist()))


def terms_of(columns: Sequence[Column], values: np.ndarray, scale: float = 1.0) -> list[Term]:
    """Terms with a factor from each column, and their values, times a number."""
    origins = tuple(c.origin if not isinstance(c.origin, Unknown) else None for c in columns)
    origins += (None,) * (scale != 1)
    more = number_factor(scale)
    rows = zip(*(c.factors() for c in columns)) if columns else repeat((), len(values))
    return [Term((*factors, *more), value, origins=origins)
            for factors, value in zip(rows, (values * scale).tolist())]


def number_factor(scale: float) -> tuple:
    """A plain number among the factors of a term; none for 1."""
    return (("", (), scale),) if scale != 1 else ()


# --------------------------------------------------------------------------- in words
def heading(asked: Applied, op: Op, index: Sequence[int]) -> str:
    """The op that made the element, after the function that the program called."""
    called = asked.function if asked.function != op.name else ""
    return f"{called}{': ' if called else ''}{op_title(op)}   y{at(index)}"


def legend(columns: Sequence[Column], indexed: bool = True, told: Container = ()) -> list[str]:
    """What the letters of the factors are: "x is the output of relu, w is conv1.weight"; and, of a
    formula with indices, which operands were rearranged before, but for those that are `told`."""
    said, moved, ops = {}, {}, {}
    for column in columns:
        about = "" if isinstance(column.origin, Unknown) else column.origin.about()
        if not column.name or not len(column.flat) or column.name == "gy" and (
                "the output of" in about or about == "the gradient of y"):
            continue                            # gy is the gradient of the output: always
        if about not in ("", column.name):
            said.setdefault(column.name, f"{column.name} is {about}")
        if indexed and column.through and column.name not in told:
            moved[column.name] = None
            ops |= dict.fromkeys(column.through)
    line = ", ".join(said.values())
    if moved:
        line += f"{'; ' * bool(line)}{', '.join(moved)} with the indices before {', '.join(ops)}"
    return [line] if line else []
