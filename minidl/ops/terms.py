"""How an op's value is put together, declared beside the op: its index map or its formula.

Five kinds are enough. A declaration only says; ``minidl.explain`` reads it.

* ``Contract``: a sum of products. ``y[n,o] += x[n,i] * w[o,i]`` names every index once: indices of
  y are its axes, the others are summed over, an operand's index may be affine, and an operand read
  outside its array counts as zero (padding). Grouped by y the terms explain the value, grouped by x
  or w the gradients. ``...`` stands for leading axes that broadcast.
  Capital names are the op's arguments: SH, SW of ``stride``, PH, PW of ``padding``, DH, DW of
  ``dilation``, KH, KW of ``window``; an index whose range no array gives has it in `ranges`.
* ``Elementwise``: y = f(x, ...) element by element, with the partial derivative for each operand,
  written in NumPy's names; ``out`` is y itself.
* ``Reduce``: y = weight * (the sum of x over `dim`).
* ``Gather``: every y is one x; which one is found by sending positions through the op.
* ``Composite``: a formula of whole arrays, for what mixes elements nonlinearly.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contract:
    """``Contract("y[n,o] += x[n,i] * w[o,i]")``; operands in the order of the op's arguments."""

    text: str
    ranges: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Elementwise:
    """``Elementwise("x * y", "y", "x")``: the value and its partial derivatives."""

    value: str
    partials: tuple[str, ...]

    def __init__(self, value: str, *partials: str):
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "partials", partials)


@dataclass(frozen=True)
class Reduce:
    """A sum over the axes that the argument `dim` names."""


@dataclass(frozen=True)
class Gather:
    """A rearrangement: every output element is an input element (or the constant `fill`)."""


@dataclass(frozen=True)
class Composite:
    """A formula over whole arrays."""

    value: str
