"""Weights that begin by He's rule or Glorot's, normal or uniform; and constants."""

from __future__ import annotations

import math

from ... import checks, random
from ...checks.arguments import InPlace, arguments
from ...checks.fillable import check_floats
from ...checks.layer_options import check_choice
from ...modes import no_grad
from ...tensor import Tensor
from ..initial_weights import fans, uniform_, write_scaled

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


def _fan(op: str, tensor: Tensor, mode: str) -> int:
    check_choice(op, "mode", mode, "fan_in", "fan_out")
    return fans(op, tensor)[mode == "fan_out"] or 1         # a weight without elements stays so


@arguments
def normal_(tensor: InPlace, mean: float = 0.0, std: float = 1.0,
            generator: random.Generator | None = None) -> Tensor:
    """Numbers from N(mean, std^2)."""
    check_floats("normal_", tensor)
    checks.number("normal_: std", std)
    n = (generator or random.default_generator()).normal(tensor.shape, tensor.dtype)
    return write_scaled("normal_", tensor, mean, std, n)


@arguments
def constant_(tensor: InPlace, val: float) -> Tensor:
    """`val` everywhere."""
    with no_grad():
        return tensor.fill_(val)


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
    std = gain * math.sqrt(2 / (sum(fans("xavier_normal_", tensor)) or 1))
    return normal_(tensor, 0, std, generator)
