"""Calling an op of the table with arguments of its domain: shared by the tests that walk it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import settings

import minidl
from minidl import OPS, kernels
from minidl.testing.compare import equal, scale_of
from minidl.testing.domains import DOMAINS

every_op = pytest.mark.parametrize("name", [n for n in OPS if n in DOMAINS])
few = settings(max_examples=max(settings.default.max_examples // 4, 5))


def tensor_arguments(name: str, args: tuple) -> list[np.ndarray]:
    """The arrays among `args` that the op takes as tensors."""
    return list(OPS[name].inputs(args))


def call(name: str, args: tuple, tensors) -> minidl.Tensor:
    """The first output of the op, `tensors` in the places of its tensor arguments."""
    y = OPS[name].call(*OPS[name].with_inputs(args, list(tensors)))
    return y[0] if isinstance(y, tuple) else y


def in_dtype(args, dtype):
    """`args` with every float array converted."""
    if isinstance(args, (tuple, list)):
        return type(args)(in_dtype(a, dtype) for a in args)
    is_float = isinstance(args, np.ndarray) and args.dtype.kind == "f"
    return args.astype(dtype) if is_float else args


def leaf(array: np.ndarray) -> minidl.Tensor:
    """A leaf on this very memory; floats want a gradient."""
    return minidl.from_numpy(array).requires_grad_(array.dtype.kind == "f")


def noise_like(array: np.ndarray) -> np.ndarray:
    """A random upstream gradient, no entry near 0."""
    rng = np.random.default_rng(1)
    sign = rng.choice([-1.0, 1.0], array.shape)
    return np.asarray(sign * rng.uniform(0.5, 1.5, array.shape), dtype=array.dtype)


def value_and_gradients(name: str, args: tuple, arrays=None, create_graph: bool = False,
                        upstream=noise_like):
    """(y, gradients) as arrays, for a random upstream gradient; None where there is none."""
    arrays = tensor_arguments(name, args) if arrays is None else arrays
    leaves = [leaf(x) for x in arrays]
    y = call(name, args, leaves)
    wanted = [x for x in leaves if x.requires_grad]
    found = iter(minidl.grad(y, wanted, minidl.Tensor._wrap(upstream(y.data)),
                             create_graph=create_graph, allow_unused=True))
    gradients = [next(found) if x.requires_grad else None for x in leaves]
    return y.data, [None if g is None else g.data for g in gradients]


@contextlib.contextmanager
def taken_from(smallest: int | None):
    """Inside, kernels are taken for arrays of this size and above; None: as always."""
    places = [(kernels, "SMALLEST")]
    kernels.load_kernels(warn=False)
    if kernels.CPU:                      # also where none are kept for the next process
        from minidl.kernels import layout
        from minidl.kernels.cpu import product
        places += [(layout, "LARGE"), (product, "SMALL")]
    before = [getattr(module, name) for module, name in places]
    for module, name in places:
        setattr(module, name, getattr(module, name) if smallest is None else smallest)
    try:
        yield
    finally:
        for (module, name), value in zip(places, before):
            setattr(module, name, value)


def assert_close(found, expected, rtol: float = 1e-10, what: str = "") -> None:
    """Equal to `rtol` of the largest entry (or of 1): rounding is relative to what was added up."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, want {expected.shape}"
    wrong = np.argwhere(~equal(found, expected, rtol, max(1.0, scale_of(expected))))
    assert not len(wrong), (f"{what}: {len(wrong)} of {found.size} numbers differ, the first at "
                            f"{wrong[0]}: {found[tuple(wrong[0])]!r}, want "
                            f"{expected[tuple(wrong[0])]!r}")
