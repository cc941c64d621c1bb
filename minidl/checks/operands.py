"""What the operands of an op must be: floats, of one dtype, of shapes that fit each other."""

from __future__ import annotations

from ..tensor import Tensor, same_device
from . import integers, number, require


def needs_floats(name: str, x: Tensor) -> None:
    """Refuse integers and booleans where a formula has no use for them."""
    if x.data.dtype.kind != "f":
        raise TypeError(f"{name}: input must be floats, got {x.dtype}; use .float() first")


def same_floats(name: str, input: Tensor, *others: tuple[str, Tensor | None]) -> None:
    """Refuse integers (images as they are stored, say), and float64 for a float32 network (an array
    that NumPy made, say: it would double the cost of everything after it)."""
    needs_floats(name, input)
    for what, other in others:
        if other is not None and other.data.dtype != input.data.dtype:
            raise TypeError(f"{name}: input is {input.dtype} and {what} {other.dtype}; convert one "
                            "of them, as in x.float() or model.double()")


def power_exists(base, exponent) -> None:
    """Refuse powers of booleans, and negative powers of integers (the array `base`)."""
    if base.dtype.kind == "b":
        raise TypeError("pow: of booleans there are no powers; use .int() first")
    if base.dtype.kind != "f":
        require(exponent >= 0, "pow: integers have no negative powers; use .float() first")


def linear_fits(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Refuse what linear cannot use: x must be (..., I), W (O, I) and b (O,)."""
    if weight.ndim != 2 or input.ndim == 0:
        raise ValueError(f"linear: weight must be (O, I) and input (..., I), got {weight.shape} "
                         f"and {input.shape}")
    if input.shape[-1] != weight.shape[1]:
        raise ValueError(f"linear: weight {weight.shape} expects {weight.shape[-1]} input features,"
                         f" input has shape {input.shape}")
    same_floats("linear", input, ("weight", weight), ("bias", bias))
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias must have shape ({weight.shape[0]},), got {bias.shape}")


def parameters_fit(name: str, input: Tensor, shape, **parameters) -> None:
    """Refuse parameters (None: not given) of another shape, dtype or device."""
    for what, t in parameters.items():
        if t is not None and t.shape != shape:
            raise ValueError(f"{name}: {what} must have shape {shape} for input {input.shape}, got "
                             f"{t.shape}")
        if t is not None:
            same_device(name, input, t)
    same_floats(name, input, *parameters.items())


def batch_norm_fits(input: Tensor, running_mean, running_var, weight, bias, training: bool,
                    momentum: float, eps: float) -> None:
    """Refuse what batch_norm cannot use: of x (N,C) or (N,C,...), all others have shape (C,)."""
    if input.ndim < 2:
        raise ValueError(f"batch_norm: input must be (N, C) or (N, C, ...), got {input.shape}")
    needs_floats("batch_norm", input)
    number("batch_norm: eps", eps)
    if not 0 <= momentum <= 1:
        raise ValueError(f"batch_norm: momentum must be in [0, 1], got {momentum}")
    parameters_fit("batch_norm", input, input.shape[1:2], running_mean=running_mean,
                   running_var=running_var, weight=weight, bias=bias)
    if not training and (running_mean is None or running_var is None):
        raise ValueError("batch_norm: evaluation needs running_mean and running_var")
    if training and input.numel() and input.numel() // input.shape[1] == 1:
        raise ValueError("batch_norm: training needs more than one value for each channel, got "
                         f"input {input.shape}")


def cross_entropy_fits(input: Tensor, label_smoothing: float) -> None:
    """Refuse logits without a class axis or of integers, and more smoothing than all."""
    if input.ndim == 0:
        raise ValueError("cross_entropy: input needs a class axis")
    needs_floats("cross_entropy", input)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")


def example_shape(input: Tensor) -> tuple[int, ...]:
    """(N, d1, ...) of (N, C, d1, ...); () of (C,)."""
    return input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()


def class_numbers(name: str, input: Tensor, target: Tensor):
    """The class numbers (n,) of `target`, if they are integers of the shape that `input` asks for.
    """
    same_device(name, input, target)
    integers(name, target.data)
    if target.shape != example_shape(input):
        raise ValueError(f"{name}: target {target.shape} of class numbers must have shape "
                         f"{example_shape(input)} for input {input.shape} (classes on axis 1)")
    return target.data.reshape(-1)
