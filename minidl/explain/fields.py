"""Receptive and projective fields: which numbers a number depends on, and which depend on it.

A mask of elements is carried back (or forward) through the ops, each by its declaration: exactly,
for strides, padding, dilation and branches of any kind. Of a max pooling the whole window counts,
for any of its pixels might have been the largest; of an op of the user's without a declaration what
moves when its operands are moved.
"""

from __future__ import annotations

import heapq

import numpy as np

from ..more.grad import grad
from ..more.grad_enabled import enable_grad
from ..ops.terms import Composite, Contract, Elementwise
from ..tensor import Tensor
from . import maps as maps
from .keeping import Kept, made, uses
from .own_ops import moved_elements, moving_places
from .rerun import why_not_again

WINDOW = Contract("y[n,c,i,j] += x[n, c, i*SH - PH + u*DH, j*SW - PW + v*DW]",
                  {"u": "KH", "v": "KW"})
"""What a max pooling window may see; which of them it takes, the data decides."""


class Fields(list):
    """(tensor, mask) pairs that print as the box around each mask; `names`: what each tensor is
    called, or "the output of conv2d in 0, Conv2d"."""

    def __init__(self, pairs=(), names=()):
        super().__init__(pairs)
        self.names = list(names)

    def __repr__(self) -> str:
        names = [*self.names, *[""] * (len(self) - len(self.names))]
        return "\n".join(f"{f'{name}, shape {t.shape}' if name else t._brief()}: {_box(mask)}"
                         for (t, mask), name in zip(self, names)) or "nothing"


def _box(mask: np.ndarray) -> str:
    places = np.argwhere(mask)
    if not places.size:
        return "the number itself" if mask.ndim == 0 and mask else "nothing"
    ranges = ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in zip(
        places.min(0), places.max(0)))
    return f"[{ranges}], {len(places)} elements"


def back(call: maps.Call, k: int, mask: np.ndarray) -> np.ndarray:
    """The elements of operand k that the masked elements of the output depend on."""
    kind, x = call.op.terms, call.operands[k]
    reached = np.zeros(x.size, bool)
    if kind is None:
        reached[list(moving_places(call, k, mask))] = True
    elif isinstance(kind, Composite):
        spread = _mixed(call, mask) if k == 0 else mask
        reached[maps.broadcast_positions(x, spread.shape)[spread]] = True
    elif isinstance(kind, Elementwise):
        reached[maps.broadcast_positions(x, mask.shape)[mask]] = True
    elif isinstance(kind, Contract):                 # ones all over: a sum of paths, none cancels
        with enable_grad():
            leaves = [Tensor(np.ones(a.shape), requires_grad=True) for a in call.operands]
            (paths,) = grad(maps.again(call, leaves), leaves[k], Tensor(mask.astype(np.float64)))
        reached = paths.numpy().ravel() > 0.5
    else:
        for group in groups(call):
            if k in group.operands:
                reached[group.operands[k][mask.ravel()[group.out]]] = True
    return reached.reshape(x.shape)


def forward(call: maps.Call, k: int, mask: np.ndarray) -> np.ndarray:
    """The elements of the output that depend on the masked elements of operand k."""
    kind, x = call.op.terms, call.operands[k]
    if kind is None:
        return moved_elements(call, k, np.flatnonzero(mask))
    if isinstance(kind, (Composite, Elementwise)):
        if isinstance(kind, Composite) and k == 0:
            dims = mixed_axes(call)
            mask = np.broadcast_to(mask.any(dims, keepdims=True), x.shape)
            if call.out.shape != x.shape:
                return mask.any(dims).reshape(call.out.shape)
        return mask.ravel()[maps.broadcast_positions(x, call.out.shape)]
    if isinstance(kind, Contract):
        products = maps.factors(kind)                # the factors without the bias, or it alone
        ones = [Tensor(mask.astype(np.float64) if i == k else np.full(
            a.shape, float((i < products) == (k < products)))) for i, a in enumerate(call.operands)]
        return maps.again(call, ones).numpy() > 0.5
    reached = np.zeros(call.out.size, bool)
    for group in groups(call):
        if k in group.operands:
            reached[group.out[mask.ravel()[group.operands[k]]]] = True
    return reached.reshape(call.out.shape)


def groups(call: maps.Call) -> list[maps.Terms]:
    """The terms of a rearrangement; of a max pooling, all that its windows see."""
    if call.op.name == "max_pool2d":
        return [maps.contraction_terms(call, WINDOW, None)]
    return maps.linear_terms(call)


def _result_called(use: Kept) -> str:
    """What an op's result is called: by a later use of it, or by its op and module."""
    sites = [later.site for later in uses(use.out) if later.site]
    name = next(filter(None, (site.name_of(use.out) for site in sites)), "")
    module = use.site.module_shown if use.site else ""
    return name or f"the output of {use.op.name}" + (f" in {module}" if module else "")


def mixed_axes(call: maps.Call) -> tuple[int, ...]:
    """The axes along which an op mixes the elements of its first operand."""
    dim = call.named().get("dim", 1)
    return tuple(d % call.operands[0].ndim for d in (dim if isinstance(dim, tuple) else (dim,)))


def _mixed(call: maps.Call, mask: np.ndarray) -> np.ndarray:
    """Of an op that mixes the elements along some axes: everything along them."""
    shape, dims = call.operands[0].shape, mixed_axes(call)
    if mask.shape != shape:
        return np.broadcast_to(mask.reshape([1 if i in dims else n for i, n in enumerate(shape)]),
                               shape)
    return np.broadcast_to(mask.any(dims, keepdims=True), shape)


def _refuse_other_runs(who: str, call: maps.Call, known: bool) -> None:
    """Raises ValueError for an op that, run again, is not what it was; is its result known?"""
    if why := why_not_again(call, known):
        raise ValueError(f"{who}: {why}")


# --------------------------------------------------------------------------- through all ops
@maps.unwatched()
def receptive_field(t: Tensor, index: tuple) -> Fields:
    """See :meth:`minidl.Tensor.receptive_field`."""
    from .cells import checked
    from .origins import call_of, made_by
    kept, index = made_by(t, "receptive_field"), checked(t, index, "receptive_field")
    mask = np.zeros(t.shape, bool)
    mask[index] = True
    waiting, masks, leaves, names = [(-kept.born, kept)], {kept.born: mask}, {}, {}
    while waiting:
        kept = heapq.heappop(waiting)[1]
        mask = masks.pop(kept.born)
        known = kept.op.terms is None and kept.out is not None
        call = call_of(kept, "receptive_field", kept.out.numpy() if known else np.zeros(mask.shape))
        _refuse_other_runs("receptive_field", call, known)
        for k, x in enumerate(call.op.inputs(call.args)):
            if not isinstance(x, Tensor):
                continue
            source, reached = made(x), back(call, k, mask)
            if source is None:
                leaves[x] = leaves.get(x, False) | reached
                names[x] = names.get(x) or (kept.site.name_of(x) if kept.site else "")
                continue
            if source.born not in masks:
                heapq.heappush(waiting, (-source.born, source))
            masks[source.born] = masks.get(source.born, False) | reached
    return Fields(leaves.items(), names.values())


@maps.unwatched()
def projective_field(t: Tensor, index: tuple) -> Fields:
    """See :meth:`minidl.Tensor.projective_field`."""
    from .cells import checked
    from .origins import call_of
    index, waiting = checked(t, index, "projective_field"), uses(t)
    if not waiting:
        raise RuntimeError("projective_field: no op is known that used this tensor; `with "
                           "minidl.keep():` around them keeps them")
    masks = {t: np.zeros(t.shape, bool)}
    masks[t][index] = True
    found, seen = Fields(), {use.born for use in waiting}
    heap = [(use.born, use) for use in dict.fromkeys(waiting)]
    heapq.heapify(heap)
    while heap:
        use = heapq.heappop(heap)[1]
        out = use.out
        call, reached = call_of(use, "projective_field", out), np.zeros(out.shape, bool)
        _refuse_other_runs("projective_field", call, True)
        for k, x in enumerate(call.op.inputs(call.args)):
            if isinstance(x, Tensor) and x in masks:
                reached |= forward(call, k, masks[x])
        masks[out] = reached
        found.append((out, reached))
        found.names.append(_result_called(use))
        for later in dict.fromkeys(uses(out)):
            if later.born not in seen:
                seen.add(later.born)
                heapq.heappush(heap, (later.born, later))
    return found
