"""Exercises: the loss of a classifier, and the update rules."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from .. import optim
from ..tensor import Tensor
from ..testing import GradientError
from .exercise import Exercise
from .shared import array, drawn, isclose, naive_softmax, stable_softmax, weighted


def _softmax_cases(rng):
    yield "two equal logits", dict(x=array([0, 0]), t=np.array([0]))
    yield "two rows", dict(x=array([1, 2, 3], [0, 0, 0]), t=np.array([2, 0]))
    for N, C in ((1, 4), (3, 2), (4, 5)):
        yield "random", dict(x=drawn(rng, N, C), t=rng.integers(0, C, N))
    yield "a large logit, rightly so", dict(x=array([1000, 0]), t=np.array([0]))
    yield "large logits, one wrong", dict(x=array([0, -1000], [1000, 0]), t=np.array([0, 1]))


_LARGE = ("e^1000 is inf in float64: subtract the row's maximum first, which changes nothing in "
          "softmax, and take log p as x - max - log(sum(e^(x - max)))")
SOFTMAX = Exercise(
    "softmax_ce", "cross entropy of logits, and its gradient, for logits of any size",
    "softmax_ce(x, t)", ("loss", "gx"), "D0-CE",
    "loss = mean over n of -log p[n, t[n]], p = softmax(x): p[n,c] = e^x[n,c] / sum_k e^x[n,k]",
    _softmax_cases, lambda a: F.cross_entropy(a.x, a.t), ("x",), (
        ("loss", "the sum over the rows: the loss is their mean", lambda a, e: e[0] * len(a.x)),
        ("loss", "the mean over all N C entries: it is over the N rows",
         lambda a, e: e[0] / a.x.shape[1]),
        ("loss", "the probability of a class can be 0 in float64, and its logarithm -inf: take "
         "log p as x - max - log(sum(e^(x - max))), not the logarithm of p",
         lambda a, e: -np.log(weighted(stable_softmax(a.x), a.t)).mean()),
        ("loss", _LARGE, lambda a, e: -np.log(weighted(naive_softmax(a.x), a.t)).mean()),
        ("loss", _LARGE, lambda a, e: -weighted(
            a.x - np.log(np.exp(a.x).sum(1, keepdims=True)), a.t).mean()),
        ("gx", "not divided by N: the loss is a mean over the rows", lambda a, e: e[1] * len(a.x)),
        ("gx", "this is p / N: the 1 at the true class is not subtracted (p - t)",
         lambda a, e: stable_softmax(a.x) / len(a.x)),
        ("gx", "divided by N C: the loss is a mean over the N rows alone",
         lambda a, e: e[1] / a.x.shape[1]),
        ("gx", _LARGE, lambda a, e: (naive_softmax(a.x) - np.eye(a.x.shape[1])[a.t]) / len(a.x)),
        ("gx", "softmax runs down the columns (axis 0): a row is one example, so axis 1",
         lambda a, e: (stable_softmax(a.x.T).T - np.eye(a.x.shape[1])[a.t]) / len(a.x)),
    ))


def _sgd_cases(rng):
    yield "the first step", dict(p=array(1, 2), g=array(10, -10), b=array(0, 0), lr=0.1,
                                 momentum=0.5)
    yield "a later step", dict(p=array(1, 2), g=array(10, -10), b=array(4, 8), lr=0.1,
                               momentum=0.5)
    for shape in ((3,), (2, 3)):
        yield "random", dict(p=drawn(rng, *shape), g=drawn(rng, *shape),
                             b=drawn(rng, *shape), lr=0.01, momentum=0.9)


def _adam_cases(rng):
    options = dict(lr=0.1, beta1=0.5, beta2=0.96)       # 1 - beta1 and sqrt(1 - beta2) differ
    yield "the first step", dict(p=array(1, 2), g=array(4, -2), m=array(0, 0), v=array(0, 0),
                                 t=1, **options, eps=0.0)
    yield "a later step", dict(p=array(1, 2), g=array(4, -2), m=array(2, 2), v=array(8, 12),
                               t=3, **options, eps=1.0)
    for t, shape in ((1, (3,)), (7, (2, 2))):
        yield f"random, t = {t}", dict(
            p=drawn(rng, *shape), g=drawn(rng, *shape), m=drawn(rng, *shape),
            v=drawn(rng, *shape) ** 2, t=t, lr=0.01, beta1=0.9, beta2=0.99, eps=0.1)


def _stepped_once(optimizer, state, **options):
    """p and its `state` (the optimiser's name of each array: ours) after a step of an optimiser."""
    def forward(a):
        p = Tensor(a.p, requires_grad=True)
        stepping = optimizer([p], **{name: f(a) for name, f in options.items()})
        p.grad = a.g
        stepping.state[p] = {"step": getattr(a, "t", 1) - 1, **{
            theirs: getattr(a, ours).numpy().copy() for theirs, ours in state.items()}}
        stepping.step()
        return [p.detach(), *(stepping.state[p][theirs] for theirs in state)]
    return forward


def _five_steps(optimizer, state, **options):
    """Five steps in a row, the state handed on, beside the library's optimiser."""
    state = state.values()
    def also(a):
        tensor = Tensor(a.p, requires_grad=True)
        theirs = optimizer([tensor], **{name: f(a) for name, f in options.items()})
        handed = {"p": a.p, **{name: np.zeros(a.p.shape) for name in state}}
        for t in range(1, 6):
            g = a.g * (1 + t % 2)

            def check(outputs, t=t, g=g) -> None:
                tensor.grad = Tensor(g)
                theirs.step()
                p = outputs[0]
                if not isclose(tensor.detach().numpy(), p).all():
                    raise GradientError(f"step {t} of a run: p is {p}, the optimiser's is {tensor}")
            yield {**handed, "g": g, "t": t}, check
            handed = {name: {"output": k} for k, name in enumerate(("p", *state))}
    return also


MOMENTUM = dict(optimizer=optim.SGD, state={"momentum_buffer": "b"}, lr=lambda a: a.lr,
                momentum=lambda a: a.momentum)
SGD_MOMENTUM = Exercise(
    "sgd_momentum", "one step of gradient descent with momentum",
    "sgd_momentum(p, g, b, lr, momentum)", ("p", "b"), "D0-SGD",
    "b <- momentum b + g;  p <- p - lr b", _sgd_cases,
    _stepped_once(**MOMENTUM), (), (
        ("p", "p moves along the old b: b is renewed first", lambda a, e: a.p - a.lr * a.b),
        ("p", "p moves along g alone: it moves along b", lambda a, e: a.p - a.lr * a.g),
        ("p", "p climbs: the step is subtracted", lambda a, e: a.p + a.lr * e[1]),
        ("b", "g counts only (1 - momentum) times: here b is a sum, not a mean",
         lambda a, e: a.momentum * a.b + (1 - a.momentum) * a.g),
        ("b", "the learning rate stands inside b (as in Keras): b <- momentum b + g, without lr",
         lambda a, e: a.momentum * a.b + a.lr * a.g),
        ("p", "g counts only (1 - momentum) times: here b is a sum, not a mean",
         lambda a, e: a.p - a.lr * (a.momentum * a.b + (1 - a.momentum) * a.g)),
        ("p", "the learning rate stands inside b (as in Keras): b <- momentum b + g, without lr",
         lambda a, e: a.p - (a.momentum * a.b + a.lr * a.g)),
    ), _five_steps(**MOMENTUM))


def _adam_slip(m_part=True, v_part=True, later=0, inside=False, sign=1, root=True):
    def wrong(a, e):
        t = a.t + later
        m_hat = e[1] / (1 - a.beta1**t) if m_part else e[1]
        v_hat = e[2] / (1 - np.float64(a.beta2)**t) if v_part else e[2]
        below = (np.sqrt(v_hat + a.eps) if inside else np.sqrt(v_hat) + a.eps if root
                 else v_hat + a.eps)
        return a.p - sign * a.lr * m_hat / below
    return wrong


MOMENTS = dict(optimizer=optim.Adam, state={"exp_avg": "m", "exp_avg_sq": "v"}, lr=lambda a: a.lr,
               eps=lambda a: a.eps, betas=lambda a: (a.beta1, a.beta2))
ADAM = Exercise(
    "adam", "one step of Adam", "adam(p, g, m, v, t, lr, beta1, beta2, eps)", ("p", "m", "v"),
    "D0-ADAM", "m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m^ / (sqrt(v^) + "
    "eps), m^ = m / (1 - b1^t), v^ = v / (1 - b2^t); t is 1 at the first step", _adam_cases,
    _stepped_once(**MOMENTS), (), (
        ("p", "no bias correction: m and v begin at 0 and are too small at first; divide them by "
         "1 - beta^t", _adam_slip(m_part=False, v_part=False)),
        ("p", "v is not corrected by 1 / (1 - beta2^t)", _adam_slip(v_part=False)),
        ("p", "m is not corrected by 1 / (1 - beta1^t)", _adam_slip(m_part=False)),
        ("p", "eps stands inside of the square root: sqrt(v^) + eps", _adam_slip(inside=True)),
        ("p", "t is counted up once more: it is 1 at the first step already", _adam_slip(later=1)),
        ("p", "t is taken to start at 0 (t - 1): it is 1 at the first step",
         _adam_slip(later=-1)),
        ("p", "the square root of v^ is missing", _adam_slip(root=False)),
        ("p", "p climbs: the step is subtracted", _adam_slip(sign=-1)),
        ("m", "1 - beta1 is missing before g: m is a weighted mean", lambda a, e:
         a.beta1 * a.m + a.g),
        ("v", "1 - beta2 is missing before g^2: v is a weighted mean", lambda a, e:
         a.beta2 * a.v + a.g**2),
        ("m", "beta1 and 1 - beta1 have changed places",
         lambda a, e: (1 - a.beta1) * a.m + a.beta1 * a.g),
        ("m", "beta2 is used where beta1 belongs",
         lambda a, e: a.beta2 * a.m + (1 - a.beta2) * a.g),
        ("m", "the bias-corrected m^ is returned: what is kept for the next step is m",
         lambda a, e: e[1] / (1 - a.beta1**a.t)),
        ("v", "g is not squared in v", lambda a, e: a.beta2 * a.v + (1 - a.beta2) * a.g),
        ("v", "beta1 is used where beta2 belongs",
         lambda a, e: a.beta1 * a.v + (1 - a.beta1) * a.g**2),
        ("v", "the bias-corrected v^ is returned: what is kept for the next step is v",
         lambda a, e: e[2] / (1 - a.beta2**a.t)),
    ), _five_steps(**MOMENTS))
