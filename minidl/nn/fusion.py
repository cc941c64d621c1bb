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
or of a class derived from these, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from .. import functional as F
from ..kernels import kernels_in_use
from ..tape import mode
from ..tensor import Tensor
from .activation import LeakyReLU, ReLU
from .conv import Conv2d, ConvTranspose2d
from .linear import Linear
from .module import Module
from .pooling import MaxPool2d


def runs(modules: list[Module], fuse: bool = True) -> Iterator[Callable[[Tensor], Tensor]]:
    """What to call, one after the other: the modules, or functions that do the work of several."""
    if not fuse or mode.keep or kernels_in_use() == "reference":
        yield from modules
        return
    i = 0
    while i < len(modules):
        count = _together(modules[i:i + 3])
        yield modules[i] if count == 1 else partial(_fused, modules[i:i + count])
        i += count


def _together(group: list[Module]) -> int:
    """How many of the modules at the head of `group` run as one."""
    if len(group) < 2 or type(group[0]) not in (Conv2d, ConvTranspose2d, Linear) or not (
            type(group[1]) is ReLU or type(group[1]) is LeakyReLU
            and 0 <= group[1].negative_slope <= 1):
        return 1
    pooled = len(group) == 3 and type(group[0]) is Conv2d and type(group[2]) is MaxPool2d and not (
        group[2].return_indices)
    count = 3 if pooled else 2
    return 1 if any(module._forward_hooks for module in group[:count]) else count


def _fused(group: list[Module], input: Tensor) -> Tensor:
    layer, activation, *pool = group
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
