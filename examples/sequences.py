r"""Train a model of sequences, and set it beside n-gram models: the parts of text.py and music.py.

The model, minidl's `SequenceModel`, gives each symbol a probability from those before it. It learns
by the cross entropy :math:`-\log p(s_t \mid s_1 \dots s_{t-1})` of windows from anywhere in a long
sequence, all places of a window at once, and is judged by the same on a sequence held out.

What needs no network is an interpolated n-gram model. It counts, in the training sequence, how
often symbol c came after the n - 1 symbols h, and mixes that with the model of the next shorter
context :math:`h'`, which is h less its first symbol; at the end of that, all symbols are alike:

.. math:: p_n(c \mid h) = \frac{\#(hc) + \lambda\, p_{n-1}(c \mid h')}{\#(h) + \lambda}, \qquad
    p_0 = \frac{1}{\text{number of symbols}}.

Long contexts know more, but are seldom met again; the mixture of long and short is due to Jelinek
and Mercer (1980). In this one a context weighs more, the more often it was seen; it is the
posterior mean under a Dirichlet prior with the mean :math:`p_{n-1}` (MacKay, Peto, 1995).
:math:`\lambda` is chosen for each n among 1, 2, 4 ... 64: it is the best on the last tenth of the
training sequence, when the rest is counted. The model and the n-gram models are then judged on the
same symbols of the sequence held out.

text.py and music.py import this file; run by itself it does nothing.

Test: tests/test_sequences.py. Source: D1-TEXT, D1-MUSIC.
"""

import math
from collections import Counter

import numpy as np

import minidl
from minidl import functional as F
from minidl import nn, optim, plots
from minidl.training import predict

WEIGHTS = [1, 2, 4, 8, 16, 32, 64]                                       # those tried for lambda


class NGram:
    """The p_n of above, for n up to `longest`, counted in `codes`."""

    def __init__(self, codes: np.ndarray, longest: int, symbols: int):
        codes, self.symbols = tuple(codes.tolist()), symbols
        self.contexts, self.runs = Counter(), Counter()                  # #(h), #(hc)
        for t, c in enumerate(codes):
            for start in range(max(0, t - longest + 1), t + 1):
                h = codes[start:t]
                self.contexts[h] += 1
                self.runs[(*h, c)] += 1

    def p(self, c: int, h: tuple, weight: float) -> float:
        """p_n(c | h) with n = len(h) + 1; weight is lambda."""
        shorter = self.p(c, h[1:], weight) if h else 1 / self.symbols
        return (self.runs[(*h, c)] + weight * shorter) / (self.contexts[h] + weight)

    def nats(self, codes: np.ndarray, first: int, n: int, weight: float) -> float:
        """Mean of -log p_n of codes[first], codes[first + 1] ... to the end."""
        codes = tuple(codes.tolist())
        return -float(np.mean([math.log(self.p(codes[t], codes[max(0, t - n + 1):t], weight))
                               for t in range(first, len(codes))]))


def ngrams(training: np.ndarray, held_out: np.ndarray, first: int, longest: int,
           symbols: int) -> list[tuple[float, float]]:
    """(lambda, nats a symbol of `held_out` from place `first` on) for n = 1 ... `longest`."""
    validation = len(training) * 9 // 10                                 # the place where it begins
    part = NGram(training[:validation], longest, symbols)
    whole = NGram(training, longest, symbols)
    found = []
    for n in range(1, longest + 1):
        tried = [part.nats(training, validation, n, weight) for weight in WEIGHTS]
        weight = WEIGHTS[int(np.argmin(tried))]
        found.append((weight, whole.nats(held_out, first, n, weight)))
    return found


def windows(codes: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """`length` + 1 symbols from each of `starts`: what is read, and what comes next."""
    return codes[starts[:, None] + np.arange(length + 1)]


def first_judged(length: int) -> int:
    """The place in a sequence from which on a model of context `length` is judged."""
    return length // 2 + 1


def nats(model: nn.Module, codes: np.ndarray) -> float:
    """Mean cross entropy of each symbol from place first_judged(length) on: in overlapping windows,
    of whose places the second halves count, so that half a context at least has been read."""
    T, first, last = model.length, first_judged(model.length), len(codes) - model.length - 1
    starts = np.array([*range(0, last, T + 1 - first), last])            # the last one: to the end
    s = windows(codes, starts, T)
    logits = minidl.tensor(predict(model, s[:, :-1])).transpose(1, 2)
    losses = F.cross_entropy(logits, minidl.tensor(s[:, 1:]), reduction="none").numpy()
    found = np.empty(len(codes))
    for start, loss in zip(starts, losses):
        found[start + first:start + T + 1] = loss[first - 1:]
    return float(found[first:].mean())


def train(model: nn.Module, codes: np.ndarray, held_out: np.ndarray, steps: int,
          rng: np.random.Generator, lr: float = 4e-3, batch_size: int = 16) -> list[tuple]:
    """AdamW on windows from anywhere in `codes`: [(step, nats in training, nats held out)]."""
    if min(len(codes), len(held_out)) <= model.length:
        raise ValueError(f"train: there are {len(codes)} symbols, and {len(held_out)} held out; "
                         f"more than length={model.length} are needed of both")
    optimizer = optim.AdamW(model.parameters(), lr, weight_decay=0.1)
    schedule = optim.OneCycleLR(optimizer, lr, total_steps=steps)
    history, recent = [], []
    model.train()
    for step in range(1, steps + 1):
        starts = rng.integers(0, len(codes) - model.length, batch_size)
        s = minidl.tensor(windows(codes, starts, model.length))
        loss = F.cross_entropy(model(s[:, :-1]).transpose(1, 2), s[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % max(1, steps // 20) == 0 or step == steps:
            history.append((step, float(np.mean(recent)), nats(model, held_out)))
            recent.clear()
            print("step {}: {:.3f} nats a symbol, held out {:.3f}".format(*history[-1]))
    return history


def compare(model: nn.Module, training: np.ndarray, held_out: np.ndarray) -> float:
    """Print the nats of n-gram models, n = 1 ... 6, and the model's; returns the best n-gram's."""
    found = ngrams(training, held_out, first_judged(model.length), 6, model.symbols)
    print("\nmodel           context  lambda  nats a symbol, held out")
    for n, (weight, value) in enumerate(found, start=1):
        print(f"n-gram, n = {n}   {n - 1:7}  {weight:6}  {value:.3f}")
    print(f"attention       {model.length:7}          {nats(model, held_out):.3f}")
    return min(value for _, value in found)


def curves(figure, history: list[tuple], ngram: float):
    """The two curves of `train`, and the nats `ngram` as a line; returns empty axes beside them."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    step, training, held_out = zip(*history)
    left.plot(step, training, color=plots.BLUE, label="in training, with dropout")
    left.plot(step, held_out, color=plots.ORANGE, label="held out")
    left.axhline(ngram, color=plots.GREY, ls="--", label="held out, the best n-gram model")
    left.set(title="Cross entropy", xlabel="step", ylabel="nats a symbol", ylim=(0, None))
    left.legend(fontsize=8)
    return right
