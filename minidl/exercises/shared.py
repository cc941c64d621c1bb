"""What the exercises of several families need: arrays for cases, a softmax."""

from __future__ import annotations

import numpy as np

from ..testing.compare import equal, scale_of


def isclose(expected: np.ndarray, got: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    """Where an answer is right: up to `tolerance` of the largest number, or of 1."""
    return equal(got, expected, tolerance, 1 + scale_of(expected))


def array(*rows) -> np.ndarray:
    """An array of floats with these rows."""
    return np.array(rows, np.float64)


def drawn(rng, *shape: int) -> np.ndarray:
    """Random numbers of few digits: what a judgement prints of them is all there is."""
    return np.round(rng.normal(size=shape), 2)


def logistic(x):
    """1 / (1 + e^-x)"""
    return 1 / (1 + np.exp(-x))


def naive_softmax(x):
    """e^x / sum e^x of each row; overflows for large x."""
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def stable_softmax(x):
    """The same, after the row's maximum is taken off."""
    return naive_softmax(x - x.max(1, keepdims=True))


def weighted(p, t):
    """The entry p[n, t[n]] of each row."""
    return p[np.arange(len(t)), t]
