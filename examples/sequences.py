r"""Train a model of sequences, and set it beside counting: the parts of text.py and music.py.

The model, minidl's `SequenceModel`, gives each symbol a probability from those before it. It learns
by the cross entropy :math:`-\log p(s_t \mid s_1 \dots s_{t-1})` of windows from anywhere in a long
sequence, all places of a window at once, and is judged by the same on a sequence held out.

What needs no network is to count: how often symbol c came after the k symbols h, mixed with what
all but the first of these say (:math:`h'`), and so on down to all symbols alike:

.. math:: p_k(c \mid h) = \frac{n(hc) + \lambda\, p_{k-1}(c \mid h')}{n(h) + \lambda}.

With few symbols before it knows little; with many it finds almost no h again.

Test: tests/test_sequences.py. Source: D1-TEXT, D1-MUSIC.
"""

import math
from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import minidl
from minidl import functional as F
from minidl import nn, optim, plots


def counting(learnt: np.ndarray, held_out: np.ndarray, k: int, symbols: int,
             weight: float = 8.0) -> float:
    """Nats a symbol of `held_out`, by the p_k of above; weight is lambda, p_{-1} 1/symbols."""
    learnt, t = tuple(learnt.tolist()), tuple(held_out.tolist())
    n, before = (Counter(learnt[i:i + j] for j in range(k + 2)
                         for i in range(len(learnt) - j + last)) for last in (1, 0))

    def p(h: tuple, c: int) -> float:             # before: n(h), but where nothing comes after h
        return ((n[h + (c,)] + weight * (p(h[1:], c) if h else 1 / symbols))
                / (before[h] + weight))

    return -float(np.mean([math.log(p(t[i - k:i], t[i])) for i in range(k, len(t))]))


def windows(codes: np.ndarray, starts: np.ndarray, length: int) -> minidl.Tensor:
    """`length` + 1 symbols from each of `starts`: what is read, and what comes next."""
    return minidl.tensor(codes[starts[:, None] + np.arange(length + 1)])


def nats(model: nn.Module, codes: np.ndarray) -> float:
    """Mean cross entropy of the second halves of windows that overlap by half: what counts is what
    comes when length/2 symbols at least have been read."""
    T, half = model.length, model.length // 2
    model.eval()
    with minidl.no_grad():
        s = windows(codes, np.arange(0, len(codes) - T, half), T)
        logits = model(s[:, :-1])[:, half:]
        return F.cross_entropy(logits.transpose(1, 2), s[:, 1 + half:]).item()


def train(model: nn.Module, codes: np.ndarray, held_out: np.ndarray, steps: int,
          rng: np.random.Generator, lr: float = 4e-3, batch_size: int = 16) -> list[tuple]:
    """AdamW on windows from anywhere in `codes`: [(step, nats in training, nats held out)]."""
    if min(len(codes), len(held_out)) <= model.length:
        raise ValueError(f"train: there are {len(codes)} symbols, and {len(held_out)} held out; "
                         f"more than length={model.length} are needed of both")
    optimizer = optim.AdamW(model.parameters(), lr, weight_decay=0.1)
    schedule = optim.OneCycleLR(optimizer, lr, total_steps=steps)
    history, recent = [], []
    for step in range(1, steps + 1):
        model.train()
        s = windows(codes, rng.integers(0, len(codes) - model.length, batch_size), model.length)
        loss = F.cross_entropy(model(s[:, :-1]).transpose(1, 2), s[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % max(1, steps // 20) == 0:
            history.append((step, float(np.mean(recent)), nats(model, held_out)))
            recent.clear()
            print("step {}: {:.3f} nats a symbol, held out {:.3f}".format(*history[-1]))
    return history


def curves(figure: Figure, history: list[tuple], counted: list[float]) -> Axes:
    """The two curves of `train`, the best of counting as a line; returns empty axes beside them."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    step, learnt, held_out = zip(*history)
    left.plot(step, learnt, color=plots.BLUE, label="in training, with dropout")
    left.plot(step, held_out, color=plots.ORANGE, label="held out")
    left.axhline(min(counted), color=plots.GREY, ls="--", label="held out, by counting")
    left.set(title="Cross entropy", xlabel="step", ylabel="nats a symbol", ylim=(0, None))
    left.legend(fontsize=8)
    return right
