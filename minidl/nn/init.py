"""How weights begin: D2-HE (He normal), Glorot, and the defaults of PyTorch and of Keras.

A weight (O, I, KH, KW) has fan_in = I KH KW and fan_out = O KH KW: how many numbers a neuron sums,
and how many neurons a number goes to. Keeping the variance of a signal through a layer asks for

    std = gain / sqrt(fan_in)                            He et al. (2015), "kaiming"
    std = gain * sqrt(2 / (fan_in + fan_out))            Glorot, Bengio (2010), "xavier"

and a uniform number of [-b, b] has std = b / sqrt(3). All functions fill a tensor in place and draw
from ``minidl.random.default_generator()`` unless a generator is given.
"""

from __future__ import annotations

import math

import numpy as np

from .. import checks, random
from ..checks.arguments import InPlace, arguments
from ..device import move
from ..modes import no_grad
from ..tensor import Tensor
from .module import Module

__all__ = ["calculate_gain", "constant_", "kaiming_normal_", "kaiming_uniform_", "keras_",
           "normal_", "ones_", "pytorch_", "uniform_", "xavier_normal_", "xavier_uniform_",
           "zeros_"]

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv_transpose2d": 1.0,
          "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


@arguments
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity's layer should begin larger; `param` is leaky ReLU's
    slope (0.01 if not given)."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"calculate_gain: nonlinearity must be one of leaky_relu, "
                         f"{', '.join(_GAINS)}; got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def _floats(op: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point():
        raise TypeError(f"{op}: tensor must be floats, got {tensor.dtype}")


def _fans(op: str, tensor: Tensor) -> tuple[int, int]:
    _floats(op, tensor)
    if tensor.ndim < 2:
        raise ValueError(f"{op}: fan_in and fan_out need a weight of two or more axes, got shape "
                         f"{tensor.shape}")
    taps = math.prod(tensor.shape[2:])
    return tensor.shape[1] * taps, tensor.shape[0] * taps


def _fan(op: str, tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'{op}: mode must be "fan_in" or "fan_out", got {mode!r}')
    return _fans(op, tensor)[mode == "fan_out"] or 1         # a weight without elements stays so


def _fill(op: str, tensor: Tensor, start: float, scale: float, noise) -> Tensor:
    with no_grad(), np.errstate(all="ignore"):
        return tensor._write(op, move(np.asarray(start + scale * noise), tensor.device))


@arguments
def uniform_(tensor: InPlace, a: float = 0.0, b: float = 1.0,
             generator: random.Generator | None = None) -> Tensor:
    """Uniform numbers of [a, b)."""
    _floats("uniform_", tensor)
    if not a <= b:
        raise ValueError(f"uniform_: a={a} must not be above b={b}")
    if not max(abs(a), abs(b), b - a) <= float(np.finfo(tensor.dtype).max):
        raise ValueError(f"uniform_: a={a}, b={b} and b - a must be finite in {tensor.dtype}")
    u = (generator or random.default_generator()).uniform(tensor.shape, tensor.dtype)
    return _fill("uniform_", tensor, a, b - a, u)


@arguments
def normal_(tensor: InPlace, mean: float = 0.0, std: float = 1.0,
            generator: random.Generator | None = None) -> Tensor:
    """Numbers from N(mean, std^2)."""
    _floats("normal_", tensor)
    checks.number("normal_: std", std)
    n = (generator or random.default_generator()).normal(tensor.shape, tensor.dtype)
    return _fill("normal_", tensor, mean, std, n)


@arguments
def constant_(tensor: InPlace, val: float) -> Tensor:
    """`val` everywhere."""
    with no_grad():
        return tensor.fill_(val)


@arguments
def zeros_(tensor: InPlace) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0)


@arguments
def ones_(tensor: InPlace) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1)


@arguments
def kaiming_normal_(tensor: InPlace, a: float = 0, mode: str = "fan_in",
                    nonlinearity: str = "leaky_relu",
                    generator: random.Generator | None = None) -> Tensor:
    """He's: N(0, gain^2 / fan), for ReLU N(0, 2 / fan_in), Keras's ``he_normal`` but for its
    truncation. Source: D2-HE."""
    fan = _fan("kaiming_normal_", tensor, mode)
    return normal_(tensor, 0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


@arguments
def kaiming_uniform_(tensor: InPlace, a: float = 0, mode: str = "fan_in",
                     nonlinearity: str = "leaky_relu",
                     generator: random.Generator | None = None) -> Tensor:
    """Uniform of [-b, b], b = gain sqrt(3 / fan). Source: D2-HE."""
    fan = _fan("kaiming_uniform_", tensor, mode)
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / fan)
    return uniform_(tensor, -bound, bound, generator)


@arguments
def xavier_normal_(tensor: InPlace, gain: float = 1.0,
                   generator: random.Generator | None = None) -> Tensor:
    """Glorot's: N(0, gain^2 2 / (fan_in + fan_out)). Source: D2-HE."""
    std = gain * math.sqrt(2 / (sum(_fans("xavier_normal_", tensor)) or 1))
    return normal_(tensor, 0, std, generator)


@arguments
def xavier_uniform_(tensor: InPlace, gain: float = 1.0,
                    generator: random.Generator | None = None) -> Tensor:
    """Glorot's: uniform of [-b, b], b = gain sqrt(6 / (fan_in + fan_out)). Source: D2-HE."""
    bound = gain * math.sqrt(6 / (sum(_fans("xavier_uniform_", tensor)) or 1))
    return uniform_(tensor, -bound, bound, generator)


@arguments
def pytorch_(weight: InPlace, bias: InPlace | None) -> None:
    """PyTorch's default of dense and convolution layers, so D0's: weight and bias uniform of
    [-b, b], b = 1 / sqrt(fan_in). Source: D2-HE."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = _fans("pytorch_", weight)
        bound = 1 / math.sqrt(fan_in) if fan_in else 0
        uniform_(bias, -bound, bound)


def keras_(module: Module) -> Module:
    """Keras's defaults, so D1's, D2's and D4's, for all layers below `module`: every ``weight`` of
    two or more axes Glorot uniform, the ``bias`` beside it zero. Source: D2-HE."""
    if not isinstance(module, Module):
        raise TypeError(f"keras_: module must be a Module, got {checks.brief(module)}")
    for layer in module.modules():
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if isinstance(weight, Tensor) and weight.ndim > 1:
            xavier_uniform_(weight)
            if isinstance(bias, Tensor):
                zeros_(bias)
    return module
