"""A bias and the activation after it as one op: fewer passes over memory, the same formulas.

:mod:`minidl.nn.fusion` puts it in the place of two layers, where fast kernels run.
"""

from __future__ import annotations

from ..checks.arguments import arguments
from ..device import namespace
from ..kernels import replaceable
from ..modes import mode
from ..op import op
from ..tensor import Tensor
from .activation import leaky_relu_grad
from .arithmetic import as_constant
from .shape import reshape
from .terms import Elementwise


@replaceable("x", "b")
def _bias_activation(x, b, slope):
    z = x + b
    xp = namespace(z)
    return xp.where(z > 0, z, z * z.dtype.type(slope)) if slope else xp.maximum(z, 0)


@replaceable("gy", "y")
def _bias_activation_grad(gy, y, shape, slope):
    """gx, and its sum for b, or None where the engine is to add it up."""
    return namespace(y).where(y > 0, gy, gy * gy.dtype.type(slope) if slope else 0), None


@op("D2-RELU", name="bias_activation",
    terms=Elementwise("where(x + b > 0, x + b, slope * (x + b))",
                      "where(x + b > 0, 1.0, slope)", "where(x + b > 0, 1.0, slope)"))
def activated_sum(x: Tensor, b: Tensor, slope):
    """z = x + b, y = z where z > 0, else slope z: a bias and what follows it, in one pass.

    slope 0 is relu, and above 0 leaky relu; b broadcasts. gx = gy where y > 0, else slope gy (y has
    the sign of z), and gb is its sum. Source: D2-RELU, D0-LRELU.
    """
    shape = b.shape
    def backward(gy, need, out):
        if mode.grad or not need[1]:
            gx = leaky_relu_grad(gy, out, slope)
            return gx, gx
        gx, gb = _bias_activation_grad(gy.data, out.data, shape, slope)
        return as_constant(gx), as_constant(gx if gb is None else gb)
    return _bias_activation(x.data, b.data, slope), backward


@arguments
def bias_activation(input: Tensor, bias: Tensor, negative_slope: float = 0.0) -> Tensor:
    """leaky_relu(input + bias), one number of `bias` (C,) a channel of `input` (N,C,...), in one
    pass over memory. `negative_slope` 0 is relu, 1 the bias alone. Not in PyTorch; `nn.Sequential`
    uses it (see there). Source: D2-RELU, D0-LRELU."""
    if bias.shape != input.shape[1:2]:
        raise ValueError(f"bias_activation: bias must have shape {input.shape[1:2]} for input "
                         f"{input.shape}, got {bias.shape}")
    if not 0 <= negative_slope <= 1:
        raise ValueError(f"bias_activation: negative_slope must be in [0, 1], got {negative_slope}")
    shaped = bias if input.ndim == 2 else reshape(bias, -1, *(1,) * (input.ndim - 2))
    return activated_sum(input, shaped, float(negative_slope))
