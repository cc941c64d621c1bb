"""An op's declared formula as text: with the names of its operands, and with one element's indices
and the op's own numbers put in.

One letter has one meaning: y is the op's result, gy the gradient of the loss by y (the upstream
gradient), and g with an operand's name, gx or gw, is what the op gives back to that operand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ..op import Op
from ..ops.terms import Composite, Contract, Elementwise, Gather, Reduce
from ..tensor import Tensor
from . import maps as maps
from .grids import indexed
from .steps import written

Taken = Mapping[int, Sequence]              # by operand, an Axis (taken.py) for each index
NOT_TAKEN: Taken = MappingProxyType({})
LEADING = {1: ("n",), 2: ("n", "h")}       # letters for "...", the axes that broadcast


def op_title(op: Op) -> str:
    """An op's name, with its ledger id."""
    return op.name + (f" ({op.source})" if op.source else "")


def names_of(call: maps.Call) -> list[str]:
    """The operands' names in the declaration."""
    if call.op.sequence:
        return [f"x{k}" for k in range(len(call.operands))]
    kind = call.op.terms
    if isinstance(kind, Contract):
        bias = re.findall(r"(\w+)\[", kind.bias)[1:]
        return [*re.findall(r"(\w+)\[", kind.text)[1:], *bias][:len(call.operands)]
    names = list(call.op.signature.parameters)
    given = [names[i] for i in call.op.places if i >= len(call.args) or call.args[i] is not None]
    if not call.op.places:                             # an op of the user's, without annotations
        return [name for name, a in zip(names, call.args) if isinstance(a, (Tensor, np.ndarray))]
    return [maps.SHORT_NAMES.get(name, name) for name in given]


# --------------------------------------------------------------------------- values
def value_formula(call: maps.Call, index: tuple[int, ...], asked: tuple[int, ...] | None = None,
                  taken: Taken = NOT_TAKEN) -> tuple[str, ...]:
    """The declaration, and the same with the element's indices and the op's numbers put in. `asked`
    is the element's index in what the result was rearranged to, and `taken` has, by operand, the
    indices of the array that it was taken from."""
    kind = call.op.terms
    if isinstance(kind, (Elementwise, Composite)):
        numbers = {k: v for k, v in call.named().items() if isinstance(v, (int, float, tuple))}
        given = ", ".join(f"{k} = {v if isinstance(v, tuple) else f'{v:g}'}"
                          for k, v in numbers.items() if re.search(rf"\b{k}\b", kind.value))
        return (plain_formula(written(kind.value)), *([given] if given else []))
    if isinstance(kind, Reduce):
        axes, shape = call.named()["dim"], call.operands[0].shape
        count = int(np.prod([shape[axis] for axis in axes]))
        return (f"y{at(index)} = the sum of x over {_axes(axes)}, {count} numbers",)
    if not isinstance(kind, Contract):
        return ("y = one element of x" if isinstance(kind, Gather)
                else "y = the sum of what is added here",)
    arrays, bias = declared_arrays(call)
    whole = _written_sum(arrays[0], arrays[1:])
    product = _solved(arrays[0], [(*factor, taken.get(i, ())) for i, factor in enumerate(
        arrays[1:])], index, call)
    y = f"y{at(index if asked is None else asked)}"
    if not bias:
        return (whole, f"{y} = {product}")
    (_, own) = bias
    place = [index[arrays[0][1].index(axis)] for axis in own[1]]
    known = taken.get(len(arrays) - 1, ())
    place = [axis.written(list(map(str, place))) for axis in known] or place
    return (f"{written_array(*bias[0])} = {written_array(*own)}, then {whole}",
            f"{y} = {own[0]}{at(place)} + {product}")


def plain_formula(text: str) -> str:
    """A formula as it is read: x[t] for ``take(x, column(t), 1)``."""
    text = re.sub(r"\bcolumn\((\w+)\)", r"\1", text)
    return re.sub(r"\btake\((\w+), (\w+), \w+\)", r"\1[\2]", text)


def at(index: Sequence) -> str:
    """An index in brackets; nothing for a single number."""
    return indexed(index) if len(index) else ""


def _axes(axes: Sequence[int]) -> str:
    return f"ax{'es' if len(axes) != 1 else 'is'} {', '.join(map(str, axes)) or 'none'}"


# --------------------------------------------------------------------------- gradients
def contribution_formula(call: maps.Call, k: int, index: tuple[int, ...],
                         asked: tuple[int, ...] | None = None, taken: Taken = NOT_TAKEN) -> str:
    """What one element of operand k is given back, as a formula. `asked` is the element's index in
    the array that the operand was taken from, and `taken` has, by operand, that array's indices."""
    kind, name = call.op.terms, names_of(call)[k]
    asked = index if asked is None else asked
    if isinstance(kind, Elementwise):
        return f"dy/d{name} = {kind.partials[k] or '0'}"
    if isinstance(kind, Composite):
        return f"dy/d{name} of {plain_formula(written(kind.value))}"
    if not isinstance(kind, Contract):
        return f"g{name}{at(asked)} = the sum of gy where it went"
    arrays, bias = declared_arrays(call)
    first = 0 if k < maps.factors(kind) else maps.factors(kind)
    result, *factors = arrays if first == 0 else bias
    others = [("gy", result[1], ()), *((*factor, taken.get(first + i, ())) for i, factor in
                                       enumerate(factors) if first + i != k)]
    own = _solved(factors[k - first], others, index, call, asked, taken.get(k, ()))
    return f"g{name}{at(asked)} = {own}"


# --------------------------------------------------------------------------- sums of products
Array = tuple[str, list[str]]                      # a name, and an expression for each index


def declared_arrays(call: maps.Call) -> tuple[list[Array], list[Array]]:
    """A Contract's result and factors with the expressions of their indices; and the same of its
    bias, if it has one. For "..." stand letters, one for each axis that there is."""
    kind = call.op.terms
    left, *right = re.findall(r"(\w+)\[([^\]]*)\]", kind.text)
    lead = call.out.ndim - left[1].count(",")
    letters = LEADING.get(lead, tuple(f"n{i}" for i in range(lead)))
    named = lambda e: letters[int(e[4:])] if re.fullmatch(r"lead\d+", e) else e
    arrays = [(name, [named(e) for e in maps.axis_expressions(text, array.shape, lead)])
              for (name, text), array in zip((left, *right), (call.out, *call.operands))]
    if len(call.operands) <= maps.factors(kind):
        return arrays, []
    return arrays, [(name, text.split(",")) for name, text in re.findall(
        r"(\w+)\[([^\]]*)\]", kind.bias)]


def written_array(name: str, axes: Sequence[str]) -> str:
    """x[n, c, i*SH - PH + u*DH, j*SW - PW + v*DW], or w[o,c,u,v]"""
    return f"{name}[{(', ' if any(' ' in axis for axis in axes) else ',').join(axes)}]"


def _written_sum(result: Array, factors: Sequence[Array]) -> str:
    return f"{written_array(*result)} += {' * '.join(written_array(*f) for f in factors)}"


def _solved(own: Array, others: Sequence[tuple], index: Sequence[int], call: maps.Call,
            asked: Sequence[int] = (), taken: Sequence = ()) -> str:
    """A Contract's sum for one element of the array `own`: the product of the others, the element's
    indices put in, and conditions where they stand in an expression. An array may have a third
    entry, the indices of the array that it was taken from; `taken` are those of `own`, and `asked`
    the element there."""
    numbers = {name: int(value) for name, value in call.named().items()
               if name.isupper() and isinstance(value, (int, np.integer))}
    numbers |= {axis: i for axis, i in zip(own[1], index) if axis.isidentifier()}
    conditions = [_condition(k, affine(axis, numbers), index, asked, taken)
                  for k, axis in enumerate(own[1])
                  if not axis.isidentifier() and not axis.isdigit()]
    conditions += _ends(others, call, numbers)
    right = []
    for name, axes, *before in others:
        indices = [affine(axis, numbers) for axis in axes]
        whole = [each.written(indices) for each in before[0]] if any(before) else indices
        right.append(written_array(name, whole))
    right = " * ".join(right) or "1"
    free = sorted(set(re.findall(r"\b[a-z]\w*\b(?!\[)", " ".join([right, *conditions]))))
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return (f"sum over {', '.join(free)} of " if free else "") + right + where


def _ends(others: Sequence[tuple], call: maps.Call, numbers: Mapping[str, int]) -> list[str]:
    """``o < 2``, of letters that end before all arrays do in which they stand alone."""
    arrays, _ = declared_arrays(call)
    counts = {axis: n for (_, axes), x in zip(arrays, (call.out, *call.operands))
              for axis, n in zip(axes, x.shape)}
    ends: dict[str, bool] = {}
    for _, axes, *before in others:
        known = before[0] if before else ()
        for k, letter in enumerate(axes):
            if letter.isidentifier() and letter not in numbers:
                ends[letter] = ends.get(letter, False) or not known or any(
                    axis.ends(k, counts[letter]) for axis in known)
    return [f"{letter} < {counts[letter]}" for letter, there in ends.items() if not there]


def _condition(k: int, text: str, index: Sequence[int], asked: Sequence[int], taken: Sequence
               ) -> str:
    """What index k of an element is, `text`, as an equation; of the array that it was taken from,
    if that has one index for it."""
    for place, axis in zip(asked, taken):
        alone = axis.steps[k] and not any(s for i, s in enumerate(axis.steps) if i != k)
        if alone and axis.divisor == 1 and not axis.modulus and place == (
                axis.start + axis.steps[k] * index[k]):
            return f"{axis.written([text if i == k else '0' for i in range(len(index))])} = {place}"
    return f"{text} = {index[k]}"


def affine(expression: str, numbers: dict[str, int]) -> str:
    """An index, i*SH - PH + u, with numbers in the place of names, and added up: i*2 + u - 1."""
    form = linear_form(expression, numbers)
    constant, text = form.pop("", 0), ""
    for name, amount in form.items():
        sign = (" - " if amount < 0 else " + ") if text else "-" if amount < 0 else ""
        text += sign + name + (f"*{abs(amount)}" if abs(amount) != 1 else "")
    if not text:
        return str(constant)
    return text + (f" {'-' if constant < 0 else '+'} {abs(constant)}" if constant else "")


def linear_form(text: str, numbers: Mapping[str, int]) -> dict[str, int]:
    """``i*SH - PH + u`` as coefficients of its indices, the constant under "". Raises ValueError
    for what is not linear."""
    def of(e: ast.expr) -> dict[str, int]:
        if isinstance(e, ast.Constant):
            return {"": e.value}
        if isinstance(e, ast.Name):
            return {"": int(numbers[e.id])} if e.id in numbers else {e.id: 1}
        if isinstance(e, ast.BinOp):
            a, b = of(e.left), of(e.right)
            if isinstance(e.op, ast.Mult) and (set(a) <= {""} or set(b) <= {""}):
                scale, form = (a, b) if set(a) <= {""} else (b, a)
                return {k: v * scale.get("", 0) for k, v in form.items()}
            sign = {ast.Add: 1, ast.Sub: -1}.get(type(e.op))
            if sign:
                return {k: a.get(k, 0) + sign * b.get(k, 0) for k in (*a, *b)}
        raise ValueError(f"not linear: {text}")
    form = of(ast.parse(text, mode="eval").body)
    return {k: v for k, v in form.items() if v} or {"": 0}
