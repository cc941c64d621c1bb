"""What layers are given: the checks that several layers share."""

from __future__ import annotations

from ..tensor import Tensor
from . import several, sizes, whole
from .arguments import tensor_argument


def check_divides(layer: str, whole: str, count: int, parts: str, number: int) -> None:
    """`count`, the argument `whole` of a layer, divides into `number` equal parts."""
    if number < 1 or count < 1 or count % number:
        raise ValueError(f"{layer}: {whole}={count} does not divide into {parts}={number}")


def check_offered(layer: str, option: str, value: str, offered: str) -> None:
    """Of PyTorch's values of an option a layer offers this one."""
    if value != offered:
        raise ValueError(f'{layer}: only {option}="{offered}" is offered, got {value!r}')


def check_share(layer: str, option: str, value: float) -> None:
    """A probability, or a share of something: a number in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{layer}: {option} must be in [0, 1], got {value}")


def check_choice(layer: str, option: str, value: str, *choices: str) -> None:
    """The value is one of the choices."""
    if value not in choices:
        offered = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{layer}: {option} must be {offered}, got {value!r}")


def check_padding(layer: str, padding) -> None:
    """Padding by a word is "same" or "valid"."""
    if isinstance(padding, str) and padding not in ("same", "valid"):
        raise ValueError(f'{layer}: padding must be numbers, "same" or "valid", got {padding!r}')


def check_window(layer, **least: int) -> None:
    """Each of these attributes of the layer is a whole number or two, at least this one."""
    for name, smallest in least.items():
        sizes(type(layer).__name__, name, getattr(layer, name), 2, smallest)


def whole_numbers(layer: str, option: str, value, least: int) -> tuple[int, ...]:
    """`value` as a tuple: several whole numbers, each at least `least`."""
    if not several(value):
        raise TypeError(f"{layer}: {option} must be several whole numbers, got {value!r}")
    return tuple(whole(f"{layer}: each of {option}", n, least) for n in value)


def input_with_channels(layer: str, input, axes: tuple[int, ...], num_features: int) -> Tensor:
    """The input as a tensor (N,C,...), of so many axes, whose C is `num_features`."""
    input = tensor_argument(f"{layer}: input", input)
    if input.ndim not in axes:
        raise ValueError(f"{layer}: input must have {' or '.join(map(str, axes))} axes, got shape "
                         f"{input.shape}")
    if input.shape[1] != num_features:
        raise ValueError(f"{layer}: input {input.shape} has {input.shape[1]} channels, but "
                         f"num_features is {num_features}")
    return input


def input_with_axis(layer: str, input, dim: int) -> tuple[Tensor, int]:
    """The input as a tensor, and the number, from 0 on, of its axis `dim`."""
    input = input if isinstance(input, Tensor) else tensor_argument(f"{layer}: input", input)
    if not -input.ndim <= dim < input.ndim:
        raise ValueError(f"{layer}: dim={dim} for an input of shape {input.shape}")
    return input, dim % input.ndim


def check_not_in_place(layer: str, inplace: bool) -> None:
    """PyTorch's layers may write into their input; these never do."""
    if inplace:
        raise ValueError(f"{layer}: inplace=True is not offered; the result is a new tensor")
