"""What an explanation is: terms, their sum, and the number that is stored.

``cells`` explains values and ``gradient_cells`` gradients; both return an :class:`Explanation`. It
prints itself, is a table in a notebook, and a dict for programs (``to_dict``, ``to_json``). A term
keeps for each factor its :class:`Origin`, the array that the factor stands in: by it the term is
followed to what made the factor, ``found.terms[0].up()``.
"""

from __future__ import annotations

import html
import json
import math
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..testing.compare import difference
from .grids import indexed
from .listing import Listing
from .source import Site, cell_number

SHOWN = 8                     # terms that are printed; the rest is summed


class Origin(Protocol):
    """The array that a factor stands in: a tensor, a gradient, or a node of a trace."""

    name: str                          # what the program calls it, "" if it has no name

    def about(self) -> str:
        """In words: its name, or "the output of relu"; "" if nothing is known."""

    def explain(self, index: tuple[int, ...], depth: int = 1) -> Explanation:
        """Of one element. Raises ValueError for a leaf, RuntimeError for what is gone."""

    def is_leaf(self) -> bool:
        """Did no op make it?"""


@dataclass(frozen=True)
class Term:
    """One summand: its factors as (name, index, value), and its value. For a nonlinear op the
    factors are what the function was given (`sign` "," and not "*"). `origins` has an
    :class:`Origin` for each factor, or None for a mere number."""

    factors: tuple[tuple[str, tuple[int, ...], float], ...]
    value: float
    sign: str = "*"
    origins: tuple[Origin | None, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        return f"  {self.sign}  ".join(
            f"{name}{indexed(index) if index else ''} {digits(value)}".strip()
            for name, index, value in self.factors)

    def up(self, name: str | None = None, depth: int = 1) -> Explanation:
        """What made a factor of this term: its explanation. `name` says which factor (as printed,
        or by what the program calls its tensor), default: the largest that can be followed. Raises
        ValueError for another name, and for a factor that nothing made: a parameter, an input."""
        origins = self.origins or (None,) * len(self.factors)
        known = [(f, o) for f, o in zip(self.factors, origins) if o is not None]
        if name is not None:
            chosen = [(f, o) for f, o in known if name in (f[0], o.name)]
            if not chosen:
                there = ", ".join(dict.fromkeys(f[0] for f, _ in known)) or "nothing to follow"
                raise ValueError(f"up: no factor of this term is called {name!r}; there is {there}")
        else:
            chosen = [(f, o) for f, o in known if not o.is_leaf()]
            if not chosen:
                there = " and ".join(dict.fromkeys(o.about() or f[0] for f, o in known))
                raise ValueError("up: nothing in this term can be followed" + (
                    f": no op made {there}" if there else ", it has no factors"))
        (_, index, _), origin = max(chosen, key=lambda pair: _magnitude_of(pair[0][2]))
        return origin.explain(index, depth)


@dataclass(frozen=True)
class ShownStep:
    """One line of a formula, with its number at the element that is explained."""

    name: str
    text: str
    value: float

    def __str__(self) -> str:
        return f"{self.text}  = {digits(self.value)}"


@dataclass(frozen=True)
class Explanation:
    """An element as a sum of terms: `terms`, the largest first, their sum `total`, and the `stored`
    number. A gradient has one of these in `parts` for each op that used the tensor, and its terms
    are those of all parts. A formula of several lines has its `steps`, with numbers. `followed` is
    what made the largest term, if more than one level was asked for (``depth=``)."""

    title: str
    formula: tuple[str, ...]
    terms: list[Term]
    total: float
    stored: float | None
    outside: int = 0                          # terms that fall into the padding
    site: Site | str | None = None
    notes: tuple[str, ...] = ()
    parts: tuple[Explanation, ...] = ()
    steps: tuple[ShownStep, ...] = ()
    module: str = ""                          # the dotted name of the module that called the op
    followed: Explanation | None = None
    difference: float = field(init=False)

    def __post_init__(self):
        apart = float("nan") if self.stored is None else float(difference(self.stored, self.total))
        object.__setattr__(self, "difference", apart)

    @property
    def magnitude(self) -> float:
        """The sum of the terms' magnitudes: what a rounding error is measured by."""
        return sum(abs(t.value) for t in self.terms)

    def up(self, name: str | None = None, depth: int = 1) -> Explanation:
        """What made a factor of the largest term that has one to follow: see :meth:`Term.up`."""
        for term in self.terms[:SHOWN]:
            try:
                return term.up(name, depth)
            except ValueError as error:
                refused = error
        raise refused if self.terms else ValueError("up: there is no term to follow")

    # ------------------------------------------------------------------ for readers
    def rows(self) -> list[tuple[str, str]]:
        """The terms that are printed, as (what, number): those of its parts are printed there."""
        inside = {id(t) for part in self.parts for t in part.terms}
        own = [t for t in self.terms if id(t) not in inside]
        shown = [t for t in own[:SHOWN] if t.value != 0] or own[:1]
        rest = own[len(shown):]
        rows = [(str(t), digits(t.value)) for t in shown]
        if rest:
            rows.append((f"{len(rest)} more term{'s' * (len(rest) > 1)}", digits(total_of(rest))))
        if self.outside:
            rows.append((f"{self.outside} term{'s' * (self.outside > 1)} in the padding", "0"))
        return rows

    def where(self) -> str:
        """The line of the program, and the module."""
        return "   ".join(filter(None, [str(self.site or ""),
                                        self.module and f"(module {self.module})"]))

    def __repr__(self) -> str:
        lines = [self.title, *(f"  {line}" for line in self.formula[bool(self.steps):])]
        steps = [(step.text, digits(step.value)) for step in self.steps]   # which are the formula
        for table in (steps, self.rows()):
            width = max([len(what) for what, _ in table], default=0)
            lines += [f"    {what:{width}}  = {number:>11}" for what, number in table]
        for part in self.parts:
            lines += [f"  {line}" for line in repr(part).splitlines()]
        lines += [f"  {note}" for note in self.notes]
        if self.stored is None:
            lines.append(f"  sum     {digits(self.total)}")
        else:
            lines.append(f"  sum     {digits(self.total)}   stored  {digits(self.stored)}   "
                         f"difference {self.difference:.2g}")
        lines += [f"  {self.where()}"] * bool(self.where())
        if self.followed:
            lines += [f"    {line}" for line in repr(self.followed).splitlines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """For notebooks."""
        escape = html.escape
        table = [*((step.text, digits(step.value)) for step in self.steps), *self.rows()]
        rows = "".join(f"<tr><td style='text-align:left'>{escape(what)}</td><td>{number}</td></tr>"
                       for what, number in table)
        parts = "".join(part._repr_html_() for part in self.parts)
        stored = "" if self.stored is None else (
            f"<tr><td style='text-align:left'>stored</td><td>{digits(self.stored)}</td></tr>"
            f"<tr><td style='text-align:left'>difference</td><td>{self.difference:.2g}</td></tr>")
        said = (*self.formula[bool(self.steps):], *self.notes, self.where())
        about = "".join(f"<div><code>{escape(line)}</code></div>" for line in said if line)
        more = self.followed._repr_html_() if self.followed else ""
        return (f"<div><b>{escape(self.title)}</b>{about}{parts}<table>{rows}"
                f"<tr><td style='text-align:left'><b>sum</b></td><td><b>{digits(self.total)}</b>"
                f"</td></tr>{stored}</table>{more}</div>")

    # ------------------------------------------------------------------ for programs
    def to_dict(self) -> dict[str, Any]:
        """The same for programs, of what JSON knows; ``docs/explain.md`` lists the keys. All terms
        are in it. Where a number is not finite, its name stands as text: "nan", "inf", "-inf"."""
        site = self.site
        if isinstance(site, Site):
            site = {"path": Listing([]).path(site.path), "cell": cell_number(site.path),
                    "line": site.line, "text": site.text}
        return {
            "title": self.title, "formula": list(self.formula),
            "steps": [{"name": s.name, "text": s.text, "value": _plain_number(s.value)}
                      for s in self.steps],
            "terms": [_term(t) for t in self.terms],
            "total": _plain_number(self.total), "stored": _plain_number(self.stored),
            "difference": None if self.stored is None else _plain_number(self.difference),
            "magnitude": _plain_number(self.magnitude), "outside": self.outside,
            "site": site, "module": self.module, "notes": list(self.notes),
            "parts": [part.to_dict() for part in self.parts],
            "followed": self.followed.to_dict() if self.followed else None}

    def to_json(self, indent: int | None = None) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


class Lines(list):
    """A list of facts that prints one a line; `inputs` are the tensors to go on with."""

    inputs: tuple = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self))


# --------------------------------------------------------------------------- numbers
def digits(value: float) -> str:
    """A number as it is printed."""
    return f"{value + 0.0:.6g}"


def total_of(found: list[Term]) -> float:
    """The sum of terms."""
    return float(sum(term.value for term in found))


def largest_first(found: list[Term]) -> list[Term]:
    """Terms in the order in which they are told."""
    return sorted(found, key=lambda term: -abs(term.value))


def followed_to(found: Explanation, depth: int, name: str | None = None) -> Explanation:
    """`found` with what made its largest term (its factor `name` if it has one), `depth` levels in
    all; where nothing made it, or what made it is gone, the explanation ends."""
    if depth <= 1:
        return found
    for which in dict.fromkeys((name, None)):
        try:
            return replace(found, followed=found.up(which, depth - 1))
        except (ValueError, RuntimeError, TypeError):
            continue
    return found


def _magnitude_of(value: float) -> float:
    return abs(value) if math.isfinite(value) else math.inf


def _plain_number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(float(value))


def _term(term: Term) -> dict[str, Any]:
    origins = term.origins or (None,) * len(term.factors)
    return {"value": _plain_number(term.value), "sign": term.sign, "factors": [
        {"name": name, "index": list(index), "value": _plain_number(value),
         "tensor": origin.about() if origin is not None else ""}
        for (name, index, value), origin in zip(term.factors, origins)]}
