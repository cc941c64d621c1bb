"""How an op's value is put together, declared beside the op: its index map or its formula.

Six kinds are enough. A declaration only says; ``minidl.explain.maps`` reads it. Operands go by
their parameters' names, but `input`, `other` and `condition` are written x, z and c.

* ``Contract``: a sum of products. ``y[n,o] += x[n,i] * w[o,i]`` names every index once: indices of
  y are its axes, the others are summed over. One array's index may be affine (``i*SH - PH + u``);
  where it lies outside the array, an operand counts as zero (padding) and a result is dropped.
  Grouped by y the terms explain the value, grouped by x or w the gradients. ``...`` stands for
  leading axes that broadcast: ``y[...,i,j] += a[...,i,k] * b[...,k,j]``.
  A `bias`, ``y[n,o] += b[o]``, is one more operand, which may be None.
  Capital names are the op's arguments: SH, SW of ``stride``, PH, PW of ``padding`` or ``pads``,
  DH, DW of ``dilation``, KH, KW of ``window`` or ``kernel``; an index whose range no array gives
  has it in `ranges`.
* ``Elementwise``: f(x, z) element by element, then the partial derivative for each operand ("" for
  none), written in NumPy's names; ``y`` is the value itself.
* ``Reduce``: y = the sum of x over `dim`.
* ``Gather``: every element of y is one of x (or the argument `value`). Which one is found by
  sending positions through the op's derivative, which for a rearrangement is the op again.
* ``Scatter``: its adjoint: every element of x is added to one of y, or dropped.
* ``Composite``: a formula of whole arrays, for what mixes elements nonlinearly: lines between
  semicolons, what each names can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contract:
    """``Contract("y[n,o] += x[n,i] * w[o,i]", bias="y[n,o] += b[o]")``; operands in the order of
    the op's arguments, the bias last."""

    text: str
    ranges: dict[str, str] = field(default_factory=dict)
    bias: str = ""


@dataclass(frozen=True)
class Elementwise:
    """``Elementwise("x * z", "z", "x")``: the value and its partial derivatives."""

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
    """A rearrangement: every output element is an input element (or the constant `value`)."""


@dataclass(frozen=True)
class Scatter:
    """The adjoint of a rearrangement: every input element is added to an output element."""


@dataclass(frozen=True)
class Composite:
    """A formula over whole arrays; `slope` says its derivative, for readers."""

    value: str
    slope: str = ""
