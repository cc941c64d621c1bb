"""Training written out by hand, for the tests of training: nothing here computes with the engine.

A loss is a function of plain arrays, made of formulas.py; its gradients are differences of the
loss, and the weights move by the update rules of formulas.py. Noise and dropout masks come from a
generator that begins where the engine's own does and is asked for the same draws in the same order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import minidl
from minidl import formulas

Weights = dict[str, np.ndarray]


def gradients(loss: Callable[[Weights], float], w: Weights, names) -> Weights:
    """d loss / d w[name] for every entry of every name, by central differences in float64."""
    found = {name: np.zeros(w[name].shape) for name in names}
    for name in names:
        for i in np.ndindex(*w[name].shape):
            ends = []
            for h in (1e-5, -1e-5):
                moved = w[name].copy()
                moved[i] += h
                ends.append(loss({**w, name: moved}))
            found[name][i] = (ends[0] - ends[1]) / 2e-5
    return found


class Adam:
    """formulas.adam for weights by name. An eps so large that the size of a gradient is seen: the
    usual one makes Adam's first step the sign of the gradient."""

    options = {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.05}          # of optim.Adam

    def __init__(self) -> None:
        self.state: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}

    def step(self, w: Weights, grads: Weights, lr: float | None = None) -> None:
        """Move `w` by one step along `grads`."""
        for name, g in grads.items():
            m, v, t = self.state.get(name, (np.zeros_like(g), np.zeros_like(g), 0))
            (beta1, beta2), eps = self.options["betas"], self.options["eps"]
            w[name], m, v = formulas.adam(w[name], g, m, v, t + 1, lr or self.options["lr"],
                                          beta1, beta2, eps)
            self.state[name] = m, v, t + 1


def own_generator() -> minidl.Generator:
    """A generator that will draw what the engine's own is about to draw."""
    generator = minidl.Generator()
    generator.set_state(minidl.random.default_generator().get_state())
    return generator


def mask(generator: minidl.Generator, shape: tuple[int, ...], p: float) -> np.ndarray:
    """The next dropout mask: 0 with probability p, else 1 / (1 - p)."""
    return formulas.dropout(np.ones(shape), generator.uniform(shape) >= p, p)


def randomise(model: minidl.nn.Module, seed: int = 0) -> minidl.nn.Module:
    """`model` in float64, every weight and running statistic a random number that differs from
    what it begins with; variances stay positive."""
    rng, model = np.random.default_rng(seed), model.double()
    with minidl.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(rng.uniform(0.5, 2, tensor.shape))
            elif tensor.dtype.kind == "f":
                tensor.copy_(rng.normal(0, 0.7, tensor.shape))
    return model


def weights(model: minidl.nn.Module) -> Weights:
    """Copies of all weights and running statistics, by name."""
    return {name: t.numpy().copy() for name, t in model.state_dict().items()
            if not name.endswith("num_batches_tracked")}


def assert_weights(model: minidl.nn.Module, w: Weights, rtol: float = 1e-7) -> None:
    """Every weight and running statistic of `model` is that of `w`."""
    found = weights(model)
    assert found.keys() == w.keys()
    for name in w:
        np.testing.assert_allclose(found[name], w[name], rtol=rtol, atol=rtol, err_msg=name)


def assert_gradients(model: minidl.nn.Module, grads: Weights) -> None:
    """What stands in the gradients of `model` is `grads`, and None for all other weights."""
    for name, p in model.named_parameters():
        if name not in grads:
            assert p.grad is None, name
        else:
            np.testing.assert_allclose(p.grad.numpy(), grads[name], rtol=1e-6, atol=1e-8,
                                       err_msg=name)
