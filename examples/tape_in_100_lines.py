"""A tape in 100 lines: arrays that know how they were made, and the way back through them.

The second chapter of the tour in docs/tour writes this file piece by piece. A test compares its
gradients with the engine's, whose `minidl/op.py`, `tape.py` and `gradients.py` have the same idea.
"""

import numpy as np


class Tensor:
    """An array, its parents (the tensors that it was made of), and the way back to the parents."""

    def __init__(self, data, parents=(), back=None):
        self.data = np.asarray(data, dtype=np.float64)
        self.parents, self.back, self.grad = parents, back, None

    def __add__(self, other): return add(self, as_tensor(other))
    def __mul__(self, other): return mul(self, as_tensor(other))
    def __matmul__(self, other): return matmul(self, other)
    def __sub__(self, other): return self + as_tensor(other) * -1.0
    def relu(self): return relu(self)
    def exp(self): return exp(self)
    def log(self): return log(self)
    def sum(self, axis=None, keepdims=False): return sum(self, axis, keepdims)
    def backward(self): backward(self)


def as_tensor(value):
    return value if isinstance(value, Tensor) else Tensor(value)


def add(a, b):
    """y = a + b"""
    return Tensor(a.data + b.data, (a, b), lambda g: (g, g))


def mul(a, b):
    """y = a b"""
    return Tensor(a.data * b.data, (a, b), lambda g: (g * b.data, g * a.data))


def matmul(a, b):
    """y[i,j] = sum_k a[i,k] b[k,j], of two matrices"""
    return Tensor(a.data @ b.data, (a, b), lambda g: (g @ b.data.T, a.data.T @ g))


def relu(a):
    """y = max(a, 0), with slope 0 at 0"""
    return Tensor(np.maximum(a.data, 0), (a,), lambda g: (g * (a.data > 0),))


def exp(a):
    """y = e^a"""
    y = np.exp(a.data)
    return Tensor(y, (a,), lambda g: (g * y,))


def log(a):
    """y = ln a"""
    return Tensor(np.log(a.data), (a,), lambda g: (g / a.data,))


def sum(a, axis=None, keepdims=False):
    """y = the sum of a over `axis`; each number of a gets the gradient of the sum it went into"""
    def back(g):
        g = g if keepdims or axis is None else np.expand_dims(g, axis)
        return (np.broadcast_to(g, a.data.shape),)
    return Tensor(a.data.sum(axis, keepdims=keepdims), (a,), back)


def sum_to(g, shape):
    """Undo broadcasting: g summed over the axes that were put in front, or had length 1."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def in_order(end):
    """All tensors behind `end`, each after its parents. No recursion, so any depth will do."""
    order, seen, stack = [], set(), [(end, False)]
    while stack:
        t, parents_done = stack.pop()
        if parents_done:
            order.append(t)
        elif t not in seen:
            seen.add(t)
            stack += [(t, True), *((p, False) for p in t.parents)]
    return order


def backward(loss):
    """grad = d loss / d t of every tensor t behind `loss`: the last made first."""
    order = in_order(loss)
    for t in order:
        t.grad = np.zeros_like(t.data)
    loss.grad += 1.0
    for t in reversed(order):                 # t has all of its gradient when its turn comes
        for parent, g in zip(t.parents, t.back(t.grad) if t.parents else ()):
            parent.grad += sum_to(g, parent.data.shape)
