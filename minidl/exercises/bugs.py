"""Exercises: find the bug. The stubs hold what a document prints (docs/errata.md)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import functional as F
from ..more.grad import grad
from ..training import metrics
from .exercise import Exercise
from .shared import array, drawn, logistic, stable_softmax, weighted


def _class_cases(rng):
    yield "a sure and right answer", dict(x=array([100, 0, 0]), t=np.array([0]))
    for N, C in ((1, 2), (3, 10)):
        yield "random", dict(x=3 * drawn(rng, N, C), t=rng.integers(0, C, N))


TWICE = Exercise(
    "bug_softmax_twice", "find the bug: a classifier that is never sure (E1.1)",
    "classifier_loss(x, t)", ("loss",), "E1.1",
    "loss = mean over n of -log softmax(x)[n, t[n]], x the last layer's output before softmax",
    _class_cases, lambda a: F.cross_entropy(a.x, a.t), (), (
        ("loss", "a right and sure answer costs 0.55 for 3 classes (1.46 for 10), where it should "
         "cost 0: what does the loss expect as its argument, and what is it given?",
         lambda a, e: -np.log(weighted(stable_softmax(stable_softmax(a.x)), a.t)).mean()),
        ("loss", "softmax is gone from both places: x are logits, and one softmax is needed",
         lambda a, e: -np.log(weighted(a.x, a.t)).mean()),
    ))


def _call_cases(rng):
    yield "one of two found, one false", dict(y=np.array([1, 1, 0, 0, 0]),
                                              t=np.array([1, 0, 1, 0, 0]))
    yield "none called, none found", dict(y=np.array([0, 0, 0]), t=np.array([1, 0, 0]))
    for n in (5, 9, 20):
        yield "random", dict(y=rng.integers(0, 2, n), t=rng.integers(0, 2, n))


F1 = Exercise(
    "bug_f1", "find the bug: a metric that is another one (E2.3)", "f1(y, t)", ("f1",), "E2.3",
    "F1 = 2 P R / (P + R), precision P = TP / (TP + FP), recall R = TP / (TP + FN), 1 is positive; "
    "0 where nothing is found", _call_cases,
    lambda a: metrics.f1(a.t, a.y, average=None, labels=[0, 1])[1], (), (
        ("f1", "this is accuracy: the negatives that are called negative do not count in F1",
         lambda a, e: (a.y == a.t).mean()),
        ("f1", "0 / 0 where nothing is found: F1 is then 0 by convention",
         lambda a, e: e[0] if (a.y & a.t).any() else np.nan),
        ("f1", "the arithmetic mean of P and R: F1 is their harmonic mean", lambda a, e:
         sum((a.y & a.t).sum() / max(1, n) for n in (a.y.sum(), a.t.sum())) / 2),
        ("f1", "this is precision", lambda a, e: (a.y & a.t).sum() / max(1, a.y.sum())),
        ("f1", "this is recall", lambda a, e: (a.y & a.t).sum() / max(1, a.t.sum())),
    ))


def _logit_cases(rng):
    yield "D cannot tell", dict(real=array(0, 0), fake=array(0, 0))
    for n in (2, 3, 5):
        yield "random", dict(real=drawn(rng, n), fake=drawn(rng, n))
    yield "large logits", dict(real=array(1000, -1000), fake=array(1000, -1000))


def _v(a) -> np.floating:
    return np.log(logistic(a.real)).mean() + np.log(1 - logistic(a.fake)).mean()


GAN_LOSSES = Exercise(
    "bug_gan_losses", "find the bugs: two players that share one loss (E1.2)",
    "gan_losses(real, fake)", ("d_loss", "g_loss"), "E1.2",
    "both are descended: d_loss = -V = -(E log D(x) + E log(1 - D(G(z)))), g_loss = -E log D(G(z));"
    " D = sigmoid(logit)", _logit_cases,
    lambda a: (F.gan_discriminator_loss(a.real, a.fake), F.gan_generator_loss(a.fake)), (), (
        ("d_loss", "the logarithm of a logit: `real` and `fake` are D's outputs before the "
         "sigmoid", lambda a, e: np.log(a.real).mean() + np.log(1 - a.fake).mean()),
        ("d_loss", "the logarithm of a logit: `real` and `fake` are D's outputs before the "
         "sigmoid", lambda a, e: -np.log(a.real).mean() - np.log(1 - a.fake).mean()),
        ("d_loss", "this is V itself, which D climbs: what it descends is -V", lambda a, e: _v(a)),
        ("d_loss", "this is V itself, which D climbs: what it descends is -V", lambda a, e: -e[0]),
        ("d_loss", "the logarithm of a probability that is 0 in float64: -log sigmoid(a) = "
         "log(1 + e^-a), which is np.logaddexp(0, -a)", lambda a, e: -_v(a)),
        ("g_loss", "this is V: its first part does not depend on G, and G descends -E log D(G(z))",
         lambda a, e: -e[0]),
        ("g_loss", "this is D's loss: G wants its images taken for real", lambda a, e: e[0]),
        ("g_loss", "this is E log(1 - D(G(z))), the printed V's share, whose slope vanishes while "
         "D wins: asked is -E log D(G(z))", lambda a, e: -np.logaddexp(0, a.fake).mean()),
        ("g_loss", "the sign is turned: G descends -E log D(G(z))", lambda a, e: -e[1]),
        ("g_loss", "the logarithm of a probability that is 0 in float64: -log sigmoid(a) = "
         "log(1 + e^-a), which is np.logaddexp(0, -a)",
         lambda a, e: -np.log(logistic(a.fake)).mean()),
    ))


def gan_slip(output: int, real: int = 1, fake: int | None = 0, goal: int = 1,
             leftover: bool = False, first: bool = False) -> Callable:
    """A step of both players with these labels (fake None: none shown), the generator's gradient
    left in the discriminator's, or the generator `first`."""
    def wrong(a, e):
        G = a.z @ a.v
        gw = a.x.T @ (logistic(a.x @ a.w) - real) / len(a.x)
        for label in [fake] * (fake is not None) + [1] * leftover:
            gw = gw + G.T @ (logistic(G @ a.w) - label) / len(G)
        w = a.w if first else a.w - a.lr * gw
        gv = a.z.T @ np.outer(logistic(G @ w) - goal, w) / len(G)
        return (a.w - a.lr * gw, a.v - a.lr * gv)[output]
    return wrong


def _step_cases(rng):
    yield "all logits 0", dict(w=array(0, 0), v=array([1, 0]), x=array([2, 4]), z=array([1]),
                               lr=1.0)
    for N, K, J in ((1, 2, 2), (3, 2, 1), (4, 3, 2)):
        yield "random", dict(w=drawn(rng, K), v=drawn(rng, J, K), x=drawn(rng, N, K),
                             z=drawn(rng, N, J), lr=0.5)


def _gan_forward(a):
    w, v = (t.detach().requires_grad_() for t in (a.w, a.v))
    (gw,) = grad(F.gan_discriminator_loss(a.x @ w, (a.z @ a.v) @ w), [w])
    w = (w - a.lr * gw).detach()
    (gv,) = grad(F.gan_generator_loss((a.z @ v) @ w), [v])
    return w, v - a.lr * gv


GAN_STEP = Exercise(
    "bug_gan_step", "find the bugs: a GAN that is trained the wrong way round (E0.3)",
    "gan_step(w, v, x, z, lr)", ("w", "v"), "E0.3",
    "D(x) = sigmoid(x w), G(z) = z v. First D: w <- w - lr d/dw [BCE(D(x), 1) + BCE(D(G(z)), 0)]; "
    "then G, with the new w: v <- v - lr d/dv BCE(D(G(z)), 1)", _step_cases, _gan_forward, (), (
        ("w", "this is the function as printed. Look at whose turn is first, at what D is shown, "
         "with which labels, and at what is in gw when D's turn begins",
         gan_slip(0, real=0, fake=None, leftover=True)),
        ("w", "generated images count as 1 in D's turn, by their label or by what the generator's "
         "turn left in gw: D learns generated = 0", gan_slip(0, fake=1)),
        ("w", "the gradient of the generator's turn is still in gw: clear it before D's turn",
         gan_slip(0, leftover=True)),
        ("w", "D is shown no generated images (labelled 0)", gan_slip(0, fake=None)),
        ("w", "D is shown no generated images, and real ones are labelled 0: D learns real = 1",
         gan_slip(0, real=0, fake=None)),
        ("w", "real images are labelled 0: D learns real = 1", gan_slip(0, real=0)),
        ("v", "G's turn comes first, against the old D: D moves first, and G meets the new w",
         gan_slip(1, first=True)),
        ("v", "in G's turn its images are labelled 0: G wants them taken for real, 1",
         gan_slip(1, goal=0)),
    ))
