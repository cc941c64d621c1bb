"""Noise as a pure function of (seed, counter, element).

A generator's whole state is two integers. Draw number `counter` under `seed` is the output of the
counter-based cipher Philox 4x64-10 [1] with key (seed, counter): element e is word e mod 4 of block
e div 4 + 1 (NumPy adds the 1). Nothing else enters, so any device can make the same numbers, in any
order, and a run resumes by restoring two integers. A draw may begin at any element:
uniform((n,), first=k) is uniform((k + n,))[k:] of the same draw, at the cost of n numbers.

* uniform: u = floor(word / 2^40) / 2^24 in float32, floor(word / 2^11) / 2^53 in float64, in [0, 1)
* normal (Box-Muller [2]), from uniforms u, v of words 2k and 2k+1:
  n_2k = sqrt(-2 ln(1 - u)) cos(2 pi v),   n_2k+1 = sqrt(-2 ln(1 - u)) sin(2 pi v)

[1] Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011).
[2] Box, Muller: A note on the generation of random normal deviates (1958).
"""

from __future__ import annotations

import math

import numpy as np

from . import checks
from .checks.draws import first_element
from .device import resolve
from .modes import mode

__all__ = ["Generator", "default_generator", "manual_seed", "normal", "uniform"]


class Generator:
    """A stream of draws; ``seed`` and ``counter`` (the number of draws so far) are its state."""

    def __init__(self, seed: int = 0):
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again at draw 0 of `seed` (an integer, 0 <= seed < 2^64)."""
        seed = checks.whole("manual_seed: seed", seed)
        if seed >= 2**64:
            raise ValueError(f"manual_seed: seed must be in [0, 2**64), got {seed}")
        self.seed, self.counter = seed, 0
        return self

    def get_state(self) -> tuple[int, int]:
        """``(seed, counter)``: everything there is to save."""
        return self.seed, self.counter

    def set_state(self, state) -> None:
        """Continue where `state`, a pair of :meth:`get_state`, was taken. Raises ValueError, or
        TypeError, for anything but two integers in [0, 2^64)."""
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            raise ValueError(f"set_state: expected (seed, counter), got {state!r}")
        seed, counter = (checks.whole("set_state: seed and counter", value) for value in state)
        if counter >= 2**64:
            raise ValueError(f"set_state: counter must be in [0, 2**64), got {counter}")
        self.manual_seed(seed).counter = counter

    def __repr__(self):
        return f"Generator(seed={self.seed}, counter={self.counter})"

    def next_draw(self) -> tuple[int, int]:
        """(seed, counter) of the next draw, which is thereby taken."""
        counter = self.counter
        self.counter = counter + 1       # at once, before a call could let another thread draw it
        return self.seed, counter

    def uniform(self, shape=(), dtype=np.float32, device: str = "cpu", *, first: int = 0):
        """Uniform numbers in [0, 1), of float32 or float64: an array on `device`, of the draw's
        elements from number `first` on (0 <= first, and at most 2^63 elements in all)."""
        return self._drawn(uniform, shape, dtype, device, first)

    def normal(self, shape=(), dtype=np.float32, device: str = "cpu", *, first: int = 0):
        """Numbers from N(0, 1), computed in float64 and rounded to `dtype`, on `device`, of the
        draw's elements from number `first` on, as in `uniform`."""
        return self._drawn(normal, shape, dtype, device, first)

    def _drawn(self, numbers, shape, dtype, device: str, first: int):
        """What `numbers`, a function below, draws; whoever watches is told."""
        first = first_element(f"{numbers.__name__}: first", first, math.prod(shape))
        state = self.next_draw()
        if device == "cpu" or (device := resolve(device)) == "cpu":
            y = numbers(shape, *state, dtype, first)
        else:
            from .kernels.gpu.draw import drawn_on
            y = drawn_on(device, numbers, shape, state, dtype, first)
        for w in mode.watchers:
            w.drawn(y)
        return y

    def permutation(self, n: int) -> np.ndarray:
        """The integers 0..n-1 in random order."""
        return np.random.Generator(_cipher(*self.next_draw())).permutation(n)

    def integers(self, low: int, high: int, shape=()) -> np.ndarray:
        """Integers in [low, high), int64."""
        return np.random.Generator(_cipher(*self.next_draw())).integers(low, high, shape)


def _cipher(seed: int, counter: int, block: int = 0) -> np.random.Philox:
    """The cipher of a draw, `block` blocks of which are passed over (not computed)."""
    return np.random.Philox(key=np.array([seed, counter], dtype=np.uint64), counter=block)


def _words(seed: int, counter: int, first: int, count: int) -> np.ndarray:
    """The `count` words of the draw from number `first` on."""
    block, skipped = divmod(first, 4)
    return _cipher(seed, counter, block).random_raw(skipped + count)[skipped:]


def uniform(shape, seed: int, counter: int, dtype=np.float32, first: int = 0) -> np.ndarray:
    """Draw number `counter` under `seed`, from element `first` on: uniform numbers in [0, 1), of
    float32 or float64."""
    return _uniform(_words(seed, counter, first, math.prod(shape)), dtype).reshape(shape)


def normal(shape, seed: int, counter: int, dtype=np.float32, first: int = 0) -> np.ndarray:
    """Draw number `counter` under `seed`, from element `first` on: pairs from N(0, 1), by Box and
    Muller."""
    # Whole pairs are made: if `first` is odd, from the number before; and up to an even count.
    count, cut = math.prod(shape), first % 2
    words = _words(seed, counter, first - cut, (cut + count + 1) // 2 * 2)
    u, v = _uniform(words, np.float64).reshape(-1, 2).T
    radius, angle = np.sqrt(-2 * np.log1p(-u)), 2 * math.pi * v
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1)[cut:cut + count].reshape(shape).astype(dtype)


def _uniform(words: np.ndarray, dtype) -> np.ndarray:
    if np.dtype(dtype) == np.float32:
        return (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    if np.dtype(dtype) == np.float64:
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    raise TypeError(f"uniform: dtype must be float32 or float64, got {np.dtype(dtype)}")


_DEFAULT = Generator(0)


def default_generator() -> Generator:
    """The generator used wherever none is given."""
    return _DEFAULT


def manual_seed(seed: int) -> Generator:
    """Make the run repeatable: weights, noise and dropout follow from `seed`."""
    return _DEFAULT.manual_seed(seed)
