"""``check_gradients`` and ``check_vjp``: what backward computes against finite differences.

For y = f(x_1, ..., x_n) and a random upstream gradient gy, backward computes gx_k = J_k^T gy. Along
any direction d of input k its component is the slope of one function of one number,

    <gx_k, d> = d/dt <f(..., x_k + t d, ...), gy>  at t = 0,

which ``differences`` measures in float64. Small inputs are checked entry by entry (d has a
single 1), large ones along random directions. gy is random, not ones: a sum hides what cancels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..more.grad import grad
from ..more.grad_enabled import enable_grad
from ..tensor import Tensor
from .differences import Slope, along, first_smooth

STEPS = (1e-3, 1e-4, 1e-5)
"""Tried in turn until the five points lie on a smooth curve."""


class GradientError(AssertionError):
    """A gradient differs from its finite differences, or cannot be compared with them.

    ``check`` has what was compared (``name``, ``inputs``, ``upstream``, ``gradients`` by backward),
    and ``direction`` where it failed: the input's number, and the direction in it. Both are None
    where it did not come to a comparison.
    """

    check: CheckedFunction | None = None
    direction: tuple[int, np.ndarray] | None = None


class KinkError(GradientError):
    """The function has a kink or a jump at the point of the check: no gradient is right there."""


class Checked(NamedTuple):
    """What a passed check covered: comparisons made, and the largest error as a share of its
    tolerance."""

    comparisons: int
    largest: float


@dataclass(frozen=True)
class CheckedFunction:
    """One function under test, in arrays, at one point."""

    name: str
    f: Callable[..., list[np.ndarray]]
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    upstream: list[np.ndarray]
    gradients: list[np.ndarray | None]           # by backward, one for each input
    rtol: float
    atol: float
    tensors: Callable | None = None              # f as a function of tensors, if it is one

    def measure(self, k: int, direction: np.ndarray, analytic: float) -> tuple[Slope, float]:
        """The slope at the first step that shows a smooth curve, and the tolerance there."""
        f = along(self.f, self.inputs, k, direction, self.outputs, self.upstream)
        found, tolerance, smooth = first_smooth(f, STEPS, lambda found: (
            self.atol + found.rounding + self.rtol * max(abs(found.value), abs(analytic))), 100)
        if smooth:
            return found, tolerance
        if found is None:
            raise self.error(GradientError, k, direction, analytic, None, (
                "f is not finite around this point: it cannot be checked here"))
        raise self.error(KinkError, k, direction, analytic, found, (
            "f has a kink or a jump here: slopes from both sides differ by about "
            f"{found.kink:.6g}. Check at another point (the strategies of minidl.testing draw "
            "such points)"))

    def error(self, kind: type[GradientError], k: int, direction: np.ndarray, *about):
        """The error to raise: its message is the report, and it carries this check along."""
        error = kind(self.report(k, direction, *about))
        error.check, error.direction = self, (k, direction)
        return error

    def report(self, k: int, direction: np.ndarray, analytic: float, found: Slope | None,
               what: str) -> str:
        """Everything needed to repeat the failing comparison by hand."""
        places = np.argwhere(direction)
        where = (f"entry {tuple(int(i) for i in places[0])}" if len(places) == 1
                 else "a random direction d of length 1")
        lines = [f"{self.name}: input {k}, {where}: {what}",
                 f"  gradient by backward     {analytic!r}"]
        if found is not None:
            ratio = analytic / found.value if found.value else float("nan")
            lines += [f"  by finite differences    {found.value!r}",
                      f"  ratio                    {ratio:.6g}",
                      f"  step                     {found.step:g} (five points)"]
        lines += [_shown(f"input {i}", x) for i, x in enumerate(self.inputs)]
        lines += [_shown(f"upstream gradient {i}", g) for i, g in enumerate(self.upstream)]
        if len(places) != 1:
            lines.append(_shown("d", direction))
        return "\n".join(lines)


def _shown(name: str, array: np.ndarray) -> str:
    text = np.array2string(array, separator=", ", prefix=" " * 6, threshold=200, precision=17)
    return f"  {name}, {array.dtype}{list(array.shape)}:\n      {text}"


def _directions(shape, entries: int, count: int, rng) -> Iterator[np.ndarray]:
    """Every unit vector of a small array; for a large one random vectors of length 1, no component
    of which is so small that a wrong gradient could hide behind it."""
    size = int(np.prod(shape))
    if size <= entries:
        for i in range(size):
            d = np.zeros(size)
            d[i] = 1.0
            yield d.reshape(shape)
        return
    for _ in range(count):
        d = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)
        yield d / np.sqrt((d * d).sum())


def _compare(check: CheckedFunction, entries: int, directions: int, rng) -> Checked:
    """Compare every gradient with its differences; raise at the first that is wrong."""
    count, largest = 0, 0.0
    for k, (x, gx) in enumerate(zip(check.inputs, check.gradients)):
        if x.dtype.kind != "f":
            continue
        gx = np.zeros(x.shape) if gx is None else np.asarray(gx, dtype=np.float64)
        if gx.shape != x.shape:
            raise GradientError(f"{check.name}: the gradient of input {k} has shape {gx.shape}, "
                                f"the input {x.shape}")
        for d in _directions(x.shape, entries, directions, rng):
            analytic = float((gx * d).sum())
            found, tolerance = check.measure(k, d, analytic)
            error = abs(found.value - analytic)
            if not error <= tolerance:                       # also when it is nan
                raise check.error(GradientError, k, d, analytic, found, (
                    f"gradients differ by {error:.6g}, allowed is {tolerance:.2g}"))
            count, largest = count + 1, max(largest, float(error and error / tolerance))
    return Checked(count, largest)


def _start(name: str, f: Callable, inputs: list[np.ndarray], rng) -> tuple[list, list]:
    """f's outputs and an upstream gradient for them, if f can be checked at all."""
    before = [x.copy() for x in inputs]
    first, second = f(*inputs), f(*inputs)
    for k, (x, old) in enumerate(zip(inputs, before)):
        if not np.array_equal(x, old, equal_nan=x.dtype.kind == "f"):
            raise GradientError(f"{name}: f changed its input {k} in place")
    for y, again in zip(first, second):
        if not np.isfinite(y).all():
            raise GradientError(f"{name}: f is not finite at this point:\n{_shown('y', y)}")
        if not np.array_equal(y, again):
            raise GradientError(f"{name}: f gives two results for the same inputs (random numbers? "
                                "draw them outside f, or seed a generator inside)")
    # Sizes in [0.5, 1.5], so that no output's share can hide in the tolerance.
    signs = (-1.0, 1.0)
    return first, [rng.choice(signs, y.shape) * rng.uniform(0.5, 1.5, y.shape) for y in first]


def check_vjp(f: Callable, vjp: Callable, *arrays, rtol: float = 1e-6, atol: float = 1e-8,
              entries: int = 64, directions: int = 6, seed: int = 0) -> Checked:
    """Check a backward pass on plain arrays, whoever wrote it.

    ``f(*arrays)`` returns an array (or a tuple of them), ``vjp(gy, *arrays)`` the gradient of
    <f, gy> for each array: one array for one input, a tuple otherwise, None for no gradient.
    Float arrays are taken in float64, others (class numbers, masks) as they are::

        check_vjp(lambda x: x**3, lambda gy, x: gy * 3 * x**2, np.array([1.0, -2.0]))

    Inputs of up to `entries` numbers are checked entry by entry, larger ones along `directions`
    random directions. Raises GradientError with both gradients, their ratio, the step and all
    inputs; KinkError where f has no gradient. Returns what was compared.
    """
    inputs, rng = [_float64(x) for x in arrays], np.random.default_rng(seed)
    outputs = lambda *xs: [np.asarray(y) for y in _listed(f(*xs))]
    first, upstream = _start("check_vjp", outputs, inputs, rng)
    several = isinstance(f(*inputs), (tuple, list))
    gradients = _listed(vjp(tuple(upstream) if several else upstream[0], *inputs))
    if len(gradients) != len(inputs):
        raise GradientError(f"check_vjp: vjp returned {len(gradients)} gradients for {len(inputs)} "
                            "inputs")
    check = CheckedFunction("check_vjp", outputs, inputs, first, upstream, gradients, rtol, atol)
    return _compare(check, entries, directions, rng)


def check_gradients(f: Callable, *inputs, order: int = 1, rtol: float = 1e-6, atol: float = 1e-8,
                    entries: int = 64, directions: int = 6, seed: int = 0) -> Checked:
    """Check the gradients of a function of tensors, and with ``order=2`` the gradients of those.

    ``f(*inputs)`` takes tensors and returns a tensor (or a tuple of them). `inputs` are tensors or
    arrays; floats are taken in float64, a gradient checked for each, others are handed on. The
    second order checks J^T gy as a function of both the inputs and gy. See :func:`check_vjp` for
    the other arguments, for what is raised and returned::

        check_gradients(lambda x, w: F.conv2d(x, w, padding=1), x, w, order=2)
    """
    if order < 1:
        raise ValueError(f"check_gradients: order must be at least 1, got {order}")
    arrays = [_float64(x.numpy() if isinstance(x, Tensor) else x) for x in inputs]
    if not any(x.dtype.kind == "f" for x in arrays):
        raise TypeError("check_gradients: no input is a float array")
    rng = np.random.default_rng(seed)
    total = Checked(0, 0.0)
    for n in range(1, order + 1):
        values = lambda *xs: [y.data for y in run_on_leaves(f, xs)[1]]
        name = f"check_gradients, order {n}"
        first, upstream = _start(name, values, arrays, rng)
        check = CheckedFunction(name, values, arrays, first, upstream,
                                _backward(f, arrays, upstream), rtol, atol, f if n == 1 else None)
        found = _compare(check, entries, directions, rng)
        total = Checked(total.comparisons + found.comparisons, max(total.largest, found.largest))
        f, arrays = _gradient_of(f, len(arrays)), arrays + upstream
    return total


def _float64(x) -> np.ndarray:
    array = np.array(x)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _listed(value) -> list:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def run_on_leaves(f: Callable, arrays) -> tuple[list[Tensor], list[Tensor]]:
    """f on fresh leaves: (leaves, outputs that carry floats)."""
    leaves = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    with enable_grad():
        outputs = _listed(f(*leaves))
    return leaves, [y for y in outputs if y.is_floating_point()]


def _backward(f: Callable, arrays, upstream) -> list[np.ndarray | None]:
    """J^T gy for each input, by the tape; None where nothing arrives."""
    leaves, outputs = run_on_leaves(f, arrays)
    wanted, seeds = [x for x in leaves if x.requires_grad], [Tensor(g) for g in upstream]
    found = gradients_of(outputs, wanted, seeds, create_graph=False)
    return [None if g is None else g.numpy() for g in _one_for_each_leaf(leaves, found)]


def _one_for_each_leaf(leaves: Sequence[Tensor], found: Sequence) -> list:
    """`found`, one for each leaf that wants a gradient, with None put in for the others."""
    rest = iter(found)
    return [next(rest) if x.requires_grad else None for x in leaves]


def gradients_of(outputs, wanted, seeds, create_graph: bool) -> Sequence[Tensor | None]:
    """The gradient of sum_i <outputs[i], seeds[i]> for each of `wanted`; None where none came."""
    live = [(y, g) for y, g in zip(outputs, seeds) if y.requires_grad]
    if not live:
        return [None] * len(wanted)
    return grad([y for y, _ in live], wanted, [g for _, g in live], create_graph=create_graph,
                allow_unused=True)


def _gradient_of(f: Callable, count: int) -> Callable:
    """(x_1, ..., x_count, gy, ...) -> J^T gy for each float x: f's gradient, itself a function of
    tensors."""
    def gradient(*args: Tensor) -> tuple[Tensor, ...]:
        inputs, seeds = args[:count], args[count:]
        wanted = [x for x in inputs if x.requires_grad]
        outputs = [y for y in _listed(f(*inputs)) if y.is_floating_point()]
        found = gradients_of(outputs, wanted, seeds, create_graph=True)
        return tuple(Tensor(np.zeros(x.shape)) if g is None else g
                     for x, g in itertools.zip_longest(wanted, found))
    return gradient
