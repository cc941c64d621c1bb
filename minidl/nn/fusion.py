"""Neighbouring layers that run together, in fewer passes over memory.

    Conv2d, ConvTranspose2d or Linear; then ReLU or LeakyReLU:

        act(W x + b)                              bias and activation are one op

    Conv2d; then ReLU or LeakyReLU; then MaxPool2d:

        pool(act(W x + b)) = act(pool(W x) + b)

The second holds because adding a number and the activation keep order: the largest stays the
largest. So bias, activation and their backward pass see only the pixels that pooling left, and
gradients take the same ways. (Two pixels may be equal only after the rounding of W x + b: then
max_pool2d takes the first of them, and the fused one that which was larger before.)
``Sequential.fuse = False`` runs every layer by itself; so do ``minidl.keep()``, so that
explanations see each layer's values, and ``use_kernels("reference")``. A layer with a forward hook,
of a class derived from these, or with a method replaced on the object or the class, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter

from .. import functional as F
from ..checks.arguments import tensor_argument
from ..kernels import kernels_in_use
from ..modes import mode
from ..tensor import Tensor
from .activation import LeakyReLU, ReLU
from .conv import Conv2d, ConvTranspose2d
from .linear import Linear
from .module import Module
from .pool import MaxPool2d


def stages(modules: list[Module], fuse: bool = True) -> Iterator[Callable[[Tensor], Tensor]]:
    """What to call, one after the other: the modules, or functions that do the work of several."""
    if not fuse or kernels_in_use() == "reference" or any(
            [w.layer_by_layer for w in mode.watchers]):
        yield from modules
        return
    i = 0
    while i < len(modules):
        count = _together(modules[i:i + 3])
        yield modules[i] if count == 1 else partial(_fused, modules[i:i + count])
        i += count


LAYERS, ACTIVATIONS, POOLS = (Conv2d, ConvTranspose2d, Linear), (ReLU, LeakyReLU), (MaxPool2d,)
METHODS = ("forward", "__call__", "product")
_methods = {kind: attrgetter(*[name for name in METHODS if hasattr(kind, name)])
            for kind in (*LAYERS, *ACTIVATIONS, *POOLS)}
_OWN = {kind: methods(kind) for kind, methods in _methods.items()}


def _unchanged(module: Module, kinds: tuple[type, ...]) -> bool:
    """Is it of one of these very classes, and does it do what the class here does and no more?"""
    kind = type(module)
    return (kind in kinds and not module._forward_hooks and _methods[kind](kind) == _OWN[kind]
            and module.__dict__.keys().isdisjoint(METHODS))


def _together(group: list[Module]) -> int:
    """How many of the modules at the head of `group` run as one."""
    if len(group) < 2 or not _unchanged(group[0], LAYERS) or not (
            _unchanged(group[1], ACTIVATIONS)
            and 0 <= getattr(group[1], "negative_slope", 0) <= 1):
        return 1
    pooled = len(group) == 3 and type(group[0]) is Conv2d and _unchanged(group[2], POOLS)
    # A window of a dilated pool may lie in the border alone: its maximum is -inf after relu too.
    return 3 if pooled and not group[2].return_indices and (
        group[2].padding in (0, (0, 0)) or group[2].dilation in (1, (1, 1))) else 2


def _fused(group: list[Module], input: Tensor) -> Tensor:
    layer, activation, *pool = group
    input = tensor_argument(f"{type(layer).__name__}: input", input)
    if input.ndim != (2 if type(layer) is Linear else 4):       # no batch, or more axes: one by one
        for module in group:
            input = module(input)
        return input
    y = layer.product(input)
    for module in pool:
        y = module(y)
    if layer.bias is None:
        return activation(y)
    return F.bias_activation(y, layer.bias, getattr(activation, "negative_slope", 0.0))
