"""Reads the declarations of ``minidl.ops.terms``: from an op's index map back to its numbers.

A linear op adds up terms; a term is one element of the output, and one element of each operand that
is multiplied into it. Sorted by output element the terms give the value,

    y[p] = sum of  x[a] w[b]  over the terms (p, a, b),

and sorted by an operand's element the gradient: gx[a] = sum of gy[p] w[b]. An elementwise op's
value is its formula evaluated again, its gradient terms are gy dy/dx. All of it in float64, all
terms at once; `at` restricts them to those of one element.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..device import to_host
from ..modes import Switch
from ..more.grad import grad
from ..more.grad_enabled import enable_grad
from ..op import Op
from ..ops.terms import Composite, Contract, Elementwise, Gather, Reduce, Scatter
from ..ops.windows import sides
from ..tensor import Tensor
from .steps import value_of

SHORT_NAMES = {"input": "x", "other": "z", "condition": "c"}
_CAPITALS = {"stride": "SH SW", "padding": "PH PW", "pads": "PH PW", "dilation": "DH DW",
             "window": "KH KW", "kernel": "KH KW"}


class Terms(NamedTuple):
    """Terms, one an entry: flat positions in the output, and in each operand of the product;
    `outside` counts those that fall into the padding."""

    out: np.ndarray
    operands: dict[int, np.ndarray]
    outside: int = 0


class Call(NamedTuple):
    """One call of an op: the op, its arguments, its operands and its output as float64 arrays."""

    op: Op
    args: tuple
    operands: list[np.ndarray]
    out: np.ndarray

    @classmethod
    def of(cls, op: Op, args: Sequence, out) -> Call:
        """`args` in the order of the signature, defaults left out or not; `out` its output."""
        args = bound_arguments(op, args)
        return cls(op, args, [float64_array(x) for x in op.inputs(args)], float64_array(out))

    def named(self) -> dict:
        """Every argument under the name that declarations use for it."""
        parameters = self.op.signature.parameters
        values = {name: p.default for name, p in parameters.items()
                  if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
        values |= zip(parameters, self.args)
        names = {SHORT_NAMES.get(k, k): float64_array(v) if isinstance(v, Tensor) else v
                 for k, v in values.items()}
        for name, capitals in _CAPITALS.items():
            if name in values:
                pair = [sides(p)[0] for p in values[name]]
                names |= dict(zip(capitals.split(), pair))
        return names


def bound_arguments(op: Op, args: Sequence) -> tuple:
    """`args` with the defaults filled in; as they are, if keyword-only ones are missing."""
    try:
        return op.bound(args, {})[0]
    except TypeError:
        return tuple(args)


def value(call: Call) -> np.ndarray:
    """The op's output, from its declaration."""
    kind = call.op.terms
    if isinstance(kind, Elementwise):
        return np.asarray(evaluated(kind.value, call), np.float64) + np.zeros(call.out.shape)
    if isinstance(kind, Composite):
        return np.asarray(evaluated(kind.value, call)).reshape(call.out.shape)
    constant = call.named().get("value", 0.0) if isinstance(kind, Gather) else 0.0
    y, reached = np.zeros(call.out.size), np.zeros(call.out.size, bool)
    for terms in linear_terms(call):
        np.add.at(y, terms.out, products(call, terms))
        reached[terms.out] = True
    return np.where(reached, y, constant).reshape(call.out.shape)


def gradients(call: Call, gy) -> list[np.ndarray | None]:
    """The gradient for each operand, from the declaration; None where it declares none."""
    return [None if found is None else found[0] for found in (gradient(call, gy, k)
                                             for k in range(len(call.operands)))]


def gradient(call: Call, gy, k: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The gradient for operand k, and the sum of its terms' magnitudes, by which rounding errors
    are measured."""
    kind, x, gy = call.op.terms, call.operands[k], float64_array(gy)
    if isinstance(kind, Composite) or isinstance(kind, Elementwise) and not kind.partials[k]:
        return None
    gx, size = np.zeros(x.size), np.zeros(x.size)
    if isinstance(kind, Elementwise):
        share = gy * evaluated(kind.partials[k], call)
        parts = [(broadcast_positions(x, call.out.shape).ravel(), share.ravel())]
    else:
        parts = [(terms.operands[k], gy.ravel()[terms.out] * products(call, terms, without=k))
                 for terms in linear_terms(call) if k in terms.operands]
    for places, share in parts:
        gx += np.bincount(places, share, x.size)
        size += np.bincount(places, np.abs(share), x.size)
    return gx.reshape(x.shape), size.reshape(x.shape)


def slopes(call: Call, k: int, place: int) -> np.ndarray:
    """dy / dx of every output element y for one element x of operand k of a Composite, from its
    formula alone: its imaginary part at x + ih, over h (exact to rounding, for nothing cancels)."""
    h, operands = 1e-30, list(call.operands)
    operands[k] = np.array(operands[k], np.complex128, order="C")
    operands[k].reshape(-1)[place] += 1j * h
    return np.imag(value(call._replace(args=call.op.with_inputs(call.args, operands)))) / h


def products(call: Call, terms: Terms, without: int | None = None) -> np.ndarray:
    """What each term adds to its output; `without` leaves one operand out (the derivative)."""
    result = np.ones(terms.out.size)
    for k, places in terms.operands.items():
        if k != without:
            result = result * call.operands[k].ravel()[places]
    return result


def linear_terms(call: Call, at: tuple[int | None, tuple[int, ...]] | None = None) -> list[Terms]:
    """The terms of a Contract, Reduce, Gather or Scatter (a group for each operand of `cat`, and a
    second one for a Contract's bias).

    ``at=(None, index)`` keeps those of one output element, ``at=(k, index)`` those that use one
    element of operand k.
    """
    kind = call.op.terms
    if isinstance(kind, Contract):
        return _summed(call, kind, at)
    if isinstance(kind, Reduce):
        groups = [Terms(_reduction_positions(call).ravel(), {0: np.arange(call.operands[0].size)})]
    elif isinstance(kind, Gather):
        groups = _rearranged_terms(call)
    elif isinstance(kind, Scatter):
        groups = [_scattered(call)]
    else:
        raise TypeError(f"{call.op.name}: {type(kind).__name__} is no sum of terms")
    return groups if at is None else [_only(call, g, at) for g in groups if at[0] in (
        None, *g.operands)]


def _only(call: Call, terms: Terms, at) -> Terms:
    k, index = at
    places = terms.out if k is None else terms.operands[k]
    shape = call.out.shape if k is None else call.operands[k].shape
    kept = places == np.ravel_multi_index(index, shape) if shape else np.ones(places.shape, bool)
    return Terms(terms.out[kept], {i: p[kept] for i, p in terms.operands.items()})


def float64_array(value) -> np.ndarray:
    """The numbers of a tensor or array, on the host; floats as float64."""
    array = to_host(value.data) if isinstance(value, Tensor) else np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


# --------------------------------------------------------------------------- formulas
def evaluated(text: str, call: Call):
    """A declaration's formula, of the arguments and of `y`, its own value."""
    return value_of(text, call.named() | {"y": call.out})


def broadcast_positions(x: np.ndarray, shape) -> np.ndarray:
    """The positions of x, broadcast: which element of x each element of `shape` sees."""
    return np.broadcast_to(np.arange(x.size).reshape(x.shape), shape)


def _reduction_positions(call: Call) -> np.ndarray:
    """For each element of x the output element that it is added to."""
    x, dim = call.operands[0], call.named()["dim"]
    kept = [1 if i in dim else n for i, n in enumerate(x.shape)]
    return np.broadcast_to(np.arange(call.out.size).reshape(kept), x.shape)


# --------------------------------------------------------------------------- sums of products
def factors(kind: Contract) -> int:
    """How many operands are multiplied; one more may be the bias."""
    return len(re.findall(r"\w+\[", kind.text)) - 1


def with_bias(text: str, bias: str) -> str:
    """Both index maps as one line: the bias first, for it is added once, and not in every term."""
    return f"{bias.replace('+=', '=')}, then {text}"


def _summed(call: Call, kind: Contract, at) -> list[Terms]:
    """The products, and the bias if there is one."""
    k, wanted = factors(kind), None if at is None else at[0]
    groups = [] if wanted == k else [contraction_terms(call, kind, at)]
    if len(call.operands) > k and wanted in (None, k):
        alone = call._replace(operands=call.operands[k:])
        at = at and (None if wanted is None else 0, at[1])
        found = contraction_terms(alone, Contract(kind.bias), at)
        groups.append(Terms(found.out, {k: found.operands[0]}))
    return groups


def contraction_terms(call: Call, kind: Contract, at) -> Terms:
    """The products of a Contract: all, or one element's (`at` as in :func:`linear_terms`)."""
    left, *right = re.findall(r"(\w+)\[([^\]]*)\]", kind.text)
    arrays, names = [call.out, *call.operands], call.named()
    lead = call.out.ndim - left[1].count(",")
    axes = [axis_expressions(text, a.shape, lead) for (_, text), a in zip((left, *right), arrays)]
    ranges = {i: eval(text, {}, names) for i, text in kind.ranges.items()}
    for array, expressions in zip(arrays, axes):
        ranges |= {e: n for e, n in zip(expressions, array.shape) if e.isidentifier()}
    index = _loop(ranges, names, [] if at is None else list(zip(
        axes[0 if at[0] is None else at[0] + 1], at[1])))
    inside, places = np.ones(len(next(iter(index.values()), [0])), bool), []
    for array, expressions in zip(arrays, axes):
        where = [_at(e, index, names) + 0 * inside for e in expressions]
        for w, n in zip(where, array.shape):
            inside &= (w >= 0) & (w < n)              # outside is padding: no term
        places.append((where, array.shape))
    flat = [np.ravel_multi_index([w[inside] for w in where], shape) for where, shape in places]
    return Terms(flat[0], dict(enumerate(flat[1:])), int(inside.size - inside.sum()))


def _at(expression: str, index: dict, names: dict):
    return eval(expression, {"__builtins__": {}}, names | index)


def axis_expressions(text: str, shape, lead: int) -> list[str]:
    """An index expression for each axis. ``...`` becomes the last of `lead` named axes; where the
    array has length 1 there, it is broadcast: index 0."""
    parts = [p.strip() for p in text.split(",")]
    if parts[0] != "...":
        return parts
    own = len(shape) - len(parts) + 1
    names = [f"lead{i}" for i in range(lead - own, lead)]
    return [n if shape[i] > 1 else "0" for i, n in enumerate(names)] + parts[1:]


def _loop(ranges: dict[str, int], names: dict, fixed) -> dict[str, np.ndarray]:
    """Every combination of loop indices, flat; `fixed` are (expression, value) that must hold.

    Indices that an expression ties together are combined and sifted first, so that one element's
    terms are found without walking through all others.
    """
    blocks, rest = [], dict(ranges)
    for expression, wanted in fixed:
        tied = {i: rest.pop(i) for i in list(rest) if re.search(rf"\b{i}\b", expression)}
        block = _grid({i: np.arange(n) for i, n in tied.items()})
        right = np.broadcast_to(_at(expression, block, names) == wanted,
                                np.shape(next(iter(block.values()), ())))
        blocks.append({i: v[right] for i, v in block.items()})
    blocks += [{i: np.arange(n)} for i, n in rest.items()]
    blocks = [b for b in blocks if b]
    which = _grid({k: np.arange(len(next(iter(b.values())))) for k, b in enumerate(blocks)})
    return {i: v[which[k]] for k, b in enumerate(blocks) for i, v in b.items()}


def _grid(axes: dict) -> dict:
    """Every combination of the values of each axis, flat."""
    return dict(zip(axes, (g.ravel() for g in np.meshgrid(*axes.values(), indexing="ij"))))


# --------------------------------------------------------------------------- rearrangements
def unwatched() -> Switch:
    """Inside, ops that an explanation runs are told to nobody."""
    return Switch("watchers", ())


def again(call: Call, operands: Sequence[Tensor]) -> Tensor:
    """The (first) output of the op called again, with `operands` for its own."""
    y = call.op.call(*call.op.with_inputs(call.args, operands))
    return y[0] if isinstance(y, tuple) else y


def _leaves(call: Call) -> list[Tensor]:
    return [Tensor(np.asarray(x, np.float64), requires_grad=True) for x in call.operands]


def _numbered(arrays) -> list[Tensor]:
    """Positions 1, 2, ... through all arrays; 0 is kept for what comes from none."""
    start, result = 1, []
    for x in arrays:
        result.append(Tensor(np.arange(start, start + x.size, dtype=np.float64).reshape(x.shape)))
        start += x.size
    return result


def _positions(found: Tensor) -> np.ndarray:
    return np.rint(found.numpy()).astype(np.int64).ravel() - 1


def _rearranged_terms(call: Call) -> list[Terms]:
    """A rearrangement is linear, its own derivative: positions sent through the derivative of its
    gradient come out where the elements did (also where, as in a maximum, the data chose)."""
    with enable_grad():
        y = again(call, leaves := _leaves(call))
        seed = Tensor(np.zeros(y.shape), requires_grad=True)
        gx = grad(y, leaves, seed, create_graph=True)
        (found,) = grad(gx, seed, _numbered(call.operands))
    came, groups, start = _positions(found), [], 0
    for k, x in enumerate(call.operands):
        out = np.flatnonzero((came >= start) & (came < start + x.size))
        groups.append(Terms(out, {k: came[out] - start}))
        start += x.size
    return groups


def _scattered(call: Call) -> Terms:
    """The adjoint of a rearrangement: its gradient brings each element the place it went to."""
    with enable_grad():
        y = again(call, leaves := _leaves(call))
        (found,) = grad(y, leaves, _numbered([call.out]))
    went = _positions(found)
    used = np.flatnonzero(went >= 0)
    return Terms(went[used], {0: used})
