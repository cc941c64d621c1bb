"""What ``facts`` finds out about an event, before anybody writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .explanation import Explanation, Term


@dataclass(frozen=True)
class ShownArray:
    """An array of an event: its name there, what it is (also in few words), and the cells that the
    sum uses."""

    name: str
    what: str
    values: np.ndarray | None                     # None: cut
    used: Sequence[tuple[int, ...]] = ()
    wrong: Sequence[Sequence[int]] = ()
    brief: str = ""


@dataclass(frozen=True)
class Account:
    """All about one event. `head` is complete when read aloud. The last of `arrays` is the result;
    its `name`, `values` and `cell` are the cell's. `found` is the cell as a sum of terms, or the
    reason why there is none; of an update it holds the numbers of the rule."""

    number: int
    event: dict
    op: dict | None
    head: str
    rows: list[tuple[str, str]]
    arrays: list[ShownArray]
    name: str
    shape: tuple[int, ...]
    cell: tuple[int, ...] | None
    which: str
    found: Explanation | str
    check: dict | None
    rule: list[tuple[str, float]] | None = None
    running: tuple[str, str, str] | None = None   # before, contribution, after
    compared: tuple[str, bool] | None = None      # sum and stored, and are they equal?
    gradient: str = ""                            # of a value: when its gradient arrives
    terms: list[Term] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "terms", [] if isinstance(self.found, str) else self.found.terms)

    @property
    def values(self) -> np.ndarray | None:
        """The numbers that the cell is one of."""
        return self.arrays[-1].values

    def verdict(self) -> tuple[str, bool]:
        """What the check says, and is it well?"""
        if self.check is None:
            return "not made (--check makes it)", True
        if self.check["status"] == "fail":
            marked = "; wrong cells are marked !" if self.check["cells"] else ""
            return f"! WRONG: {self.check['reason']}{marked}", False
        word = {"pass": "passed", "skipped": "skipped"}[self.check["status"]]
        return f"{word}: {self.check['reason']}", True
