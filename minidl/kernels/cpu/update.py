"""The optimisers' update rules, one pass over a parameter, its gradient and its state."""

from __future__ import annotations

import math

from .. import fits, layout
from .elementwise import PIECE
from .threads import parallel
from .tile import get, put


@parallel
def _sgd_loop(start, stop, p, g, lr):
    lr = p.dtype.type(lr)
    for i in range(start, stop):
        put(p, i, get(p, i) - lr * get(g, i))


@parallel
def _momentum_loop(start, stop, p, g, b, lr, momentum, share, ahead):
    kind = p.dtype.type
    lr, momentum, share = kind(lr), kind(momentum), kind(share)
    for i in range(start, stop):
        velocity = momentum * get(b, i) + share * get(g, i)
        put(b, i, velocity)
        # with Nesterov's momentum `ahead` is 1, else 0
        step = get(g, i) + momentum * velocity if ahead != 0 else velocity
        put(p, i, get(p, i) - lr * step)


@parallel
def _rmsprop_loop(start, stop, p, g, v, lr, alpha, rest, eps):
    kind = p.dtype.type
    lr, alpha, rest, eps = kind(lr), kind(alpha), kind(rest), kind(eps)
    for i in range(start, stop):
        gradient = get(g, i)
        square = alpha * get(v, i) + rest * gradient * gradient
        put(v, i, square)
        put(p, i, get(p, i) - lr * gradient / (math.sqrt(square) + eps))


@parallel
def _adam_loop(start, stop, p, g, m, v, lr, beta1, rest1, beta2, rest2, root, eps):
    """lr is divided by 1 - beta1^t, and `root` is the square root of 1 - beta2^t, already."""
    kind = p.dtype.type
    lr, root, eps = kind(lr), kind(root), kind(eps)
    beta1, rest1, beta2, rest2 = kind(beta1), kind(rest1), kind(beta2), kind(rest2)
    for i in range(start, stop):
        gradient = get(g, i)
        mean = beta1 * get(m, i) + rest1 * gradient
        square = beta2 * get(v, i) + rest2 * gradient * gradient
        put(m, i, mean)
        put(v, i, square)
        put(p, i, get(p, i) - lr * mean / (math.sqrt(square) / root + eps))


@parallel
def _adagrad_loop(start, stop, p, g, s, lr, eps):
    kind = p.dtype.type
    lr, eps = kind(lr), kind(eps)
    for i in range(start, stop):
        gradient = get(g, i)
        square = get(s, i) + gradient * gradient
        put(s, i, square)
        put(p, i, get(p, i) - lr * gradient / (math.sqrt(square) + eps))


def _writable(p, g, *state) -> bool:
    return layout.alike(p, g, *state) and all([a.flags.writeable for a in (p, *state)])


def _over(loop, arrays, *numbers):
    loop(arrays[0].size, PIECE, *map(layout.flat, arrays), *map(float, numbers))


@fits(_writable)
def _sgd(p, g, lr):
    _over(_sgd_loop, (p, g), lr)


@fits(_writable)
def _sgd_momentum(p, g, b, lr, momentum, share, nesterov):
    _over(_momentum_loop, (p, g, b), lr, momentum, share, nesterov)


@fits(_writable)
def _rmsprop(p, g, v, lr, alpha, eps):
    _over(_rmsprop_loop, (p, g, v), lr, alpha, 1 - alpha, eps)


@fits(_writable)
def _adam(p, g, m, v, t, lr, beta1, beta2, eps):
    m_part, v_part = 1 - beta1**t, 1 - beta2**t
    _over(_adam_loop, (p, g, m, v), lr / m_part, beta1, 1 - beta1, beta2, 1 - beta2,
          math.sqrt(v_part), eps)


@fits(_writable)
def _adagrad(p, g, s, lr, eps):
    _over(_adagrad_loop, (p, g, s), lr, eps)
