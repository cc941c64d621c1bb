"""How weights begin: the defaults of PyTorch and of Keras.

A weight (O, I, KH, KW) has fan_in = I KH KW and fan_out = O KH KW: how many numbers a neuron sums,
and how many neurons a number goes to. Keeping the variance of a signal through a layer asks for

    std = gain / sqrt(fan_in)                            He et al. (2015), "kaiming"
    std = gain * sqrt(2 / (fan_in + fan_out))            Glorot, Bengio (2010), "xavier"

and a uniform number of [-b, b] has std = b / sqrt(3). A name that ends in _ fills a tensor in
place, as in PyTorch, from ``minidl.random.default_generator()`` unless a generator is given.
"""

from __future__ import annotations

import math

import numpy as np

from .. import checks, random
from ..checks.arguments import InPlace, arguments
from ..checks.fillable import check_range, check_weight
from ..device import move
from ..modes import no_grad
from ..tensor import Tensor
from .module import Module


def fans(op: str, tensor: Tensor) -> tuple[int, int]:
    """fan_in and fan_out of a weight."""
    check_weight(op, tensor)
    taps = math.prod(tensor.shape[2:])
    return tensor.shape[1] * taps, tensor.shape[0] * taps


def write_scaled(op: str, tensor: Tensor, start: float, scale: float, noise) -> Tensor:
    """Write start + scale noise into the tensor."""
    with no_grad(), np.errstate(all="ignore"):
        return tensor._write(op, move(np.asarray(start + scale * noise), tensor.device))


@arguments
def uniform_(tensor: InPlace, a: float = 0.0, b: float = 1.0,
             generator: random.Generator | None = None) -> Tensor:
    """Uniform numbers of [a, b)."""
    check_range("uniform_", tensor, a, b)
    u = (generator or random.default_generator()).uniform(tensor.shape, tensor.dtype)
    return write_scaled("uniform_", tensor, a, b - a, u)


@arguments
def zeros_(tensor: InPlace) -> Tensor:
    """0 everywhere."""
    with no_grad():
        return tensor.fill_(0)


@arguments
def xavier_uniform_(tensor: InPlace, gain: float = 1.0,
                    generator: random.Generator | None = None) -> Tensor:
    """Glorot's: uniform of [-b, b], b = gain sqrt(6 / (fan_in + fan_out)). Source: D2-HE."""
    bound = gain * math.sqrt(6 / (sum(fans("xavier_uniform_", tensor)) or 1))
    return uniform_(tensor, -bound, bound, generator)


@arguments
def pytorch_(weight: InPlace, bias: InPlace | None) -> None:
    """Fill as PyTorch, with which D0 is written, begins its dense and convolution layers: weight
    and bias uniform of [-b, b], b = 1 / sqrt(fan_in). Source: D2-HE."""
    fan_in, _ = fans("pytorch_", weight)
    # PyTorch comes to the weight's b by He's formula, with the gain of a leaky relu of slope
    # sqrt(5), which is sqrt(1/3). Up to the last digit that is the b of the bias below.
    gain = math.sqrt(2 / (1 + math.sqrt(5) ** 2))
    bound = gain * math.sqrt(3 / (fan_in or 1))
    uniform_(weight, -bound, bound)
    if bias is not None:
        bound = 1 / math.sqrt(fan_in) if fan_in else 0
        uniform_(bias, -bound, bound)


def keras_(module: Module) -> Module:
    """Fill as Keras, with which D1, D2 and D4 are written, begins all layers below `module`: every
    ``weight`` of two or more axes Glorot uniform, the ``bias`` beside it zero. Source: D2-HE."""
    if not isinstance(module, Module):
        raise TypeError(f"keras_: module must be a Module, got {checks.brief(module)}")
    for layer in module.modules():
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if isinstance(weight, Tensor) and weight.ndim > 1:
            xavier_uniform_(weight)
            if isinstance(bias, Tensor):
                zeros_(bias)
    return module
