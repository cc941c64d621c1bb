"""What layers are given: the checks that several layers share."""

from __future__ import annotations


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


def check_channels(layer: str, shape: tuple[int, ...], axes: tuple[int, ...],
                   num_features: int) -> None:
    """The shape of an input has so many axes, (N,C,...), and C is `num_features`."""
    if len(shape) not in axes:
        raise ValueError(f"{layer}: input must have {' or '.join(map(str, axes))} axes, got shape "
                         f"{shape}")
    if shape[1] != num_features:
        raise ValueError(f"{layer}: input {shape} has {shape[1]} channels, but num_features is "
                         f"{num_features}")


def check_not_in_place(layer: str, inplace: bool) -> None:
    """PyTorch's layers may write into their input; these never do."""
    if inplace:
        raise ValueError(f"{layer}: inplace=True is not offered; the result is a new tensor")
