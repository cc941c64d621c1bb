"""Exercises: the code of a variational autoencoder, and its divergence."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from .exercise import Exercise
from .shared import array, drawn


def _code_cases(rng):
    yield "sigma 1 and 2", dict(mu=array([1, 0]), logvar=array([0, np.log(4)]),
                                eps=array([1, 3]), gz=array([1, 1]))
    yield "two rows", dict(mu=array([0, 0], [1, -1]), logvar=array([2, -2], [0, 2]),
                           eps=array([1, -1], [2, 0]), gz=array([10, 1], [1, 1]))
    for N, J in ((1, 3), (3, 2)):
        yield "random", {name: drawn(rng, N, J) for name in ("mu", "logvar", "eps", "gz")}


REPARAM = Exercise(
    "reparameterise", "sample a code, and send a gradient back through the sample",
    "reparameterise(mu, logvar, eps, gz)", ("z", "gmu", "glogvar"), "D3-REPARAM",
    "z = mu + sigma eps, logvar = log sigma^2; gmu and glogvar are <z, gz>'s gradients",
    _code_cases, lambda a: F.reparameterize(a.mu, a.logvar, a.eps), ("mu", "logvar"), (
        ("z", "eps is multiplied with the variance e^logvar: sigma is its square root, "
         "e^(logvar / 2)", lambda a, e: a.mu + np.exp(a.logvar) * a.eps),
        ("z", "eps is multiplied with logvar itself: sigma = e^(logvar / 2)",
         lambda a, e: a.mu + a.logvar * a.eps),
        ("z", "sigma is the square root of logvar: logvar is a logarithm, sigma = e^(logvar / 2)",
         lambda a, e: a.mu + np.sqrt(a.logvar) * a.eps),
        ("z", "the mean alone, without noise", lambda a, e: a.mu),
        ("gmu", "gz is left out: the slope is 1, the gradient 1 times gz",
         lambda a, e: np.ones(a.mu.shape)),
        ("glogvar", "the 1/2 is left out: sigma = e^(logvar / 2) has the slope sigma / 2",
         lambda a, e: 2 * e[2]),
        ("glogvar", "this is the gradient for sigma: for logvar it goes on, times sigma / 2",
         lambda a, e: a.gz * a.eps),
        ("glogvar", "eps is left out of the slope", lambda a, e: a.gz * np.exp(a.logvar / 2) / 2),
        ("glogvar", "the variance stands where sigma belongs: z has sigma = e^(logvar / 2) in it",
         lambda a, e: a.gz * a.eps * np.exp(a.logvar)),
        ("glogvar", "the variance stands where sigma belongs: z has sigma = e^(logvar / 2) in it",
         lambda a, e: a.gz * a.eps * np.exp(a.logvar) / 2),
    ))

KL = Exercise(
    "gaussian_kl", "the KL divergence from the unit Gaussian, and its gradients",
    "gaussian_kl(mu, logvar)", ("kl", "gmu", "glogvar"), "D3-KL",
    "kl = mean over rows n of -1/2 sum_j (1 + log sigma^2 - mu^2 - sigma^2), logvar = log sigma^2",
    _code_cases, lambda a: F.gaussian_kl(a.mu, a.logvar), ("mu", "logvar"), (
        ("kl", "the sign is turned: a divergence is never negative", lambda a, e: -e[0]),
        ("kl", "the 1/2 is left out", lambda a, e: 2 * e[0]),
        ("kl", "the sum over the rows: the result is their mean", lambda a, e: e[0] * len(a.mu)),
        ("kl", "the mean over j too: the terms of one row are added", lambda a, e:
         e[0] / a.mu.shape[1]),
        ("kl", "sigma stands where sigma^2 belongs: sigma^2 = e^logvar", lambda a, e:
         -0.5 * (1 + a.logvar - a.mu**2 - np.exp(a.logvar / 2)).sum(1).mean()),
        ("kl", "logvar is taken for log sigma: it is log sigma^2, and sigma^2 = e^logvar",
         lambda a, e: -0.5 * (1 + 2 * a.logvar - a.mu**2 - np.exp(2 * a.logvar)).sum(1).mean()),
        ("gmu", "not divided by N: kl is a mean over the rows", lambda a, e: e[1] * len(a.mu)),
        ("glogvar", "not divided by N: kl is a mean over the rows",
         lambda a, e: e[2] * len(a.mu)),
        ("glogvar", "the 1/2 is left out", lambda a, e: 2 * e[2]),
    ))
