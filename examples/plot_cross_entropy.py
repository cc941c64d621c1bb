"""Softmax and cross entropy: the gradient is p - t.

The gradient of the cross entropy for the logits is the probability that was given, less the one
that was wanted (1 for the true class, 0 for the others): nothing remains of exp and log. The film
follows the logits downhill; the bars of the gradient shrink as p comes to t.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import functional as F
from minidl.plots import BLUE, GREY, ORANGE, Film

# %%
# Twelve steps of gradient descent on four logits, each recorded. The third class is the true one.
logits = minidl.tensor([[1.5, 0.5, -0.5, 0.0]], requires_grad=True)
label, target, steps = minidl.tensor([2]), np.eye(4)[2], []
for _ in range(12):
    logits.grad = None
    with minidl.record() as trace:
        loss = F.cross_entropy(logits, label)
        loss.backward()
    node = trace.ops[0]["inputs"][0]
    z, gradient = trace.value(node)[0], trace.grad(node)[0]
    steps.append((np.exp(z) / np.exp(z).sum(), gradient, loss.item()))
    with minidl.no_grad():
        logits -= logits.grad
assert all(np.allclose(gradient, p - target, atol=1e-6) for p, gradient, _ in steps)


# %%
# Bars of p, of t, and of the recorded gradient.
def draw(figure, i):
    p, gradient, loss = steps[i]
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.09, right=0.98, top=0.85, bottom=0.15, wspace=0.28)
    classes = np.arange(4)
    left.bar(classes - 0.2, p, 0.4, color=BLUE, label="p, given")
    left.bar(classes + 0.2, target, 0.4, color=GREY, hatch="//", label="t, wanted")
    left.set(title=f"Step {i}: cross entropy {loss:.2f} nats", ylim=(0, 1.1), xlabel="class",
             ylabel="probability", xticks=classes)
    left.legend(loc="upper left")
    bars = right.bar(classes, gradient, 0.5, color=[BLUE if g < 0 else ORANGE for g in gradient])
    right.bar_label(bars, [f"{g:+.2f}" for g in gradient], padding=2)
    right.axhline(0, color=GREY, linewidth=1)
    right.set(title="Recorded gradient = p - t", ylim=(-1.15, 0.9), xlabel="class", xticks=classes)


film = Film(draw, len(steps), (8.4, 3.4))
film.frame(0, figure=plt.figure())
plt.show()
