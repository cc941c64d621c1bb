"""Tensors and gradients in memory as what an explanation can be followed to.

An :class:`Applied` is one call of an op with its operands' numbers, and for each operand an Origin:
the array it stands in, with its name, and with the call that made it. A gradient's Origin knows its
:class:`Arrival` s, what each use of the tensor gave. ``recorded`` has the same for a trace.

An Origin holds its tensor, and nothing holds the Origin but the explanation: with it the tensor
goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from ..nn.parameter import Parameter
from ..op import Op
from ..tape import Node
from ..tensor import Tensor
from . import maps as maps
from .explanation import Explanation
from .keeping import Kept, Returned, gradient_began, made, uses
from .source import Site


class Applied(NamedTuple):
    """One call of an op: with its numbers, an Origin for each operand and for the result."""

    call: maps.Call
    inputs: tuple
    out: Any
    site: Site | str | None = None
    module: str = ""
    function: str = ""                     # of the library, that the program called
    plain: bool = False                    # to be told as it is, with nothing folded

    @property
    def op(self) -> Op:
        return self.call.op


class Arrival(NamedTuple):
    """What one use of a tensor gave to its gradient: through operand `k` of the op, from `gy`,
    whose Origin is `above`. `refused` says why there are no numbers."""

    op: Op
    applied: Applied | None
    k: int
    gy: np.ndarray | None
    above: Any
    refused: str = ""
    site: Site | str | None = None
    node: Node | None = None               # the tape's, whose backward can be run again
    given: np.ndarray | None = None        # what it gave, where that is recorded


# --------------------------------------------------------------------------- from tensors to calls
def made_by(t: Tensor, who: str) -> Kept:
    """The op's call that made t. Raises ValueError for a leaf."""
    kept = made(t)
    if kept is None:
        raise ValueError(f"{who}: this {t._brief()} is a leaf: no recorded op computed it. "
                         "(Comparisons, argmax and detach() are not recorded; other ops on tensors "
                         "that want no gradient are, inside `with minidl.keep():`)")
    return kept


def call_of(kept: Kept, who: str, out) -> maps.Call:
    """The op's call with the operands it had. Raises RuntimeError where they are gone or changed.
    """
    args = _arguments(kept, who)
    for x in (*kept.op.inputs(maps.bound_arguments(kept.op, args)), out):
        if isinstance(x, Tensor) and x._last_change > kept.born:
            raise RuntimeError(
                f"{who}: {kept.op.name}: a tensor of shape {x.shape} was changed in "
                "place since (by optimizer.step(), perhaps): an explanation would be of other "
                "numbers. Ask before the change, or record the step: a trace holds copies")
    return maps.Call.of(kept.op, args, out)


def _arguments(kept: Kept, who: str) -> list:
    if kept.args is not None:
        return list(kept.args)
    backward, alive = kept.node.backward, _alive(kept.node)
    missing = [name for name in kept.op.signature.parameters if name not in alive]
    if missing:
        why = "backward() freed what it used" if backward is None else (
            f"its argument {missing[0]!r} is not kept")
        raise RuntimeError(f"{who}: {kept.op.name}: {why}. Run the computation "
                           "inside `with minidl.keep():`")
    return [alive[name] for name in kept.op.signature.parameters]


def _alive(node: Node) -> dict:
    """The op's arguments that are still there: what its backward closure names, leaves that wait
    for a gradient, and tensors that were not given."""
    if node.backward is None:
        return {}
    names = list(node.op.signature.parameters)
    found = {names[i]: None for i, shape in zip(node.op.places, node.shapes) if shape is None}
    found |= {names[i]: x for i, x in zip(node.op.places, node.parents) if isinstance(x, Tensor)}
    for name, cell in zip(node.backward.__code__.co_freevars, node.backward.__closure__ or ()):
        with suppress(ValueError):                       # a name that this call did not set
            found[name] = cell.cell_contents
    return found


def call_applied(kept: Kept, who: str, out: Tensor) -> Applied:
    """A call that was kept, or whose operands are still there. Raises as :func:`call_of`."""
    call, site = call_of(kept, who, out), kept.site
    inputs = call.op.inputs(call.args)
    return Applied(call, tuple(Held(x, site) if isinstance(x, Tensor) else None for x in inputs),
                   Held(out, site), site, site.module_shown if site else "",
                   site.function if site else "")


# --------------------------------------------------------------------------- values
class Held:
    """A tensor. `site` is where an op used it or made it: there it has its name."""

    refused = ""                       # why the call that made it cannot be told

    def __init__(self, tensor: Tensor, site: Site | None = None):
        self.tensor, self.site = tensor, site
        self.shape = tensor.shape

    @property
    def name(self) -> str:
        t = self.tensor
        sites = [self.site, *(use.site for use in uses(t))]
        names = [site.name_of(t) for site in sites if site]
        return max(names, key=lambda name: (name.count("."), bool(name)), default="")

    @property
    def is_parameter(self) -> bool:
        """Is it a layer's parameter?"""
        return isinstance(self.tensor, Parameter)

    def about(self) -> str:
        if name := self.name:
            return name
        kept = made(self.tensor)
        module = kept.site.module if kept and kept.site else ""
        return "" if kept is None else f"the output of {kept.op.name}" + f" in {module}" * bool(
            module)

    def is_leaf(self) -> bool:
        return made(self.tensor) is None and returned(self.tensor) is None

    def made(self) -> Applied | None:
        """The call that made it; None of a leaf, and where its operands are gone or changed: then
        `refused` says it."""
        kept = made(self.tensor)
        try:
            return kept and call_applied(kept, "explain", self.tensor)
        except RuntimeError as error:
            self.refused = str(error)
            return None

    def explain(self, index: tuple[int, ...], depth: int = 1) -> Explanation:
        from .cells import explain
        return explain(self.tensor, index, depth)


# --------------------------------------------------------------------------- gradients
class HeldGradient:
    """The gradient that ``backward()`` left in ``.grad`` of a tensor."""

    name = ""
    is_parameter = False

    def __init__(self, tensor: Tensor):
        self.tensor, self.shape = tensor, tensor.shape

    def of(self) -> str:
        """The tensor that it is the gradient of, in words; "" if nothing is known."""
        return Held(self.tensor).about()

    def about(self) -> str:
        return f"the gradient of {Held(self.tensor).about() or f'a tensor of shape {self.shape}'}"

    def is_leaf(self) -> bool:
        return False

    def made(self) -> None:
        return None

    def explain(self, index: tuple[int, ...], depth: int = 1) -> Explanation:
        from .gradient_cells import explain_grad
        return explain_grad(self.tensor, index, depth)

    def stored(self) -> np.ndarray:
        """Its numbers. Raises RuntimeError where none arrived."""
        if self.tensor.grad is None:
            raise RuntimeError("explain_grad: no gradient arrived here")
        return maps.float64_array(self.tensor.grad)

    otherwise = ("its array was written to, or a backward() outside keep() added to it: what the "
                 "ops' own backward passes give here is the sum above")

    def happened(self) -> list[str]:
        """What is known to have happened to it that no op did."""
        x, grad, began, found = self.tensor, self.tensor.grad, gradient_began(self.tensor), []
        if x.history and x.history.hooked >= max(began, 1):
            found.append("a hook saw it, and what a hook returns is stored")
        if began and grad._last_change > began:
            found.append("it was changed in place after backward(), as clipping does")
        if not began:
            found.append("the program put a gradient here itself, or a backward() outside keep() "
                         "did")
        if 0 < began < x._last_change:
            found.append("part of it is older than the tensor's numbers: this tensor was changed "
                         "(by optimizer.step(), perhaps), and its gradient was not cleared: "
                         "zero_grad()")
        return found

    def seed(self) -> np.ndarray | None:
        """What backward() began with here; None if it began elsewhere."""
        found = self.tensor.history.seed if self.tensor.history else None
        return None if found is None else maps.float64_array(found)

    def arrivals(self) -> Iterator[Arrival]:
        """What each use of the tensor gave, once for each place in which an op used it."""
        x = self.tensor
        since = gradient_began(x) or x.grad._last_change
        for use in dict.fromkeys(uses(x)):
            if use.ran >= since or not use.ran:               # not: before the last zero_grad()
                inputs = use.op.inputs(maps.bound_arguments(use.op, use.args))
                for k in (k for k, operand in enumerate(inputs) if operand is x):
                    yield _arrival(use, k, use.out.grad, HeldGradient(use.out))


class ReturnedGradient:
    """A gradient that ``minidl.grad()`` returned, or computed on the way."""

    name = ""
    is_parameter = False

    def __init__(self, gradient: Tensor, found: Returned):
        self.gradient, self.found, self.shape = gradient, found, gradient.shape

    def of(self) -> str:
        return Held(self.found.of).about()

    def about(self) -> str:
        return f"the gradient of {Held(self.found.of).about() or f'a tensor of shape {self.shape}'}"

    def is_leaf(self) -> bool:
        return not self.found.parts and self.found.seed is None

    def made(self) -> None:
        return None

    def explain(self, index: tuple[int, ...], depth: int = 1) -> Explanation:
        from .gradient_cells import explain_arrived
        return explain_arrived(self, index, depth)

    otherwise = "its array was written to, or a hook returned another gradient"

    def stored(self) -> np.ndarray:
        return maps.float64_array(self.gradient)

    def happened(self) -> list[str]:
        return ["it was changed in place since"] * bool(self.gradient._last_change)

    def seed(self) -> np.ndarray | None:
        return None if self.found.seed is None else maps.float64_array(self.found.seed)

    def arrivals(self) -> Iterator[Arrival]:
        for use, k, gy, begun in self.found.parts:
            known = returned(gy) or Returned(use.out, gy if begun else None)
            yield _arrival(use, k, gy, ReturnedGradient(gy, known))


def returned(t: Tensor) -> Returned | None:
    """What is known of a gradient that ``minidl.grad()`` returned; None of another tensor."""
    return t.history.returned if t.history is not None else None


def _arrival(use: Kept, k: int, gy: Tensor | None, above) -> Arrival:
    if gy is None:
        return Arrival(use.op, None, k, None, above, "no gradient arrived here, so it gave none",
                       use.site)
    return Arrival(use.op, call_applied(use, "explain_grad", use.out), k, maps.float64_array(gy),
                   above, "", use.site, use.node)
