"""Analytic against numeric gradients.

A derivative is right when it agrees with what a small step shows. Each dot is one entry of a
gradient: across what finite differences give, upward what the backward pass gives. Right ones lie
on the diagonal; a planted mistake does not.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import functional as F
from minidl.plots import BLUE, GREY, ORANGE
from minidl.testing import GradientError, check_vjp
from minidl.testing.differences import along, slope

# %%
# The gradient of a convolution's kernel, from a recorded backward pass.
rng = np.random.default_rng(0)
x, gy = rng.normal(size=(2, 3, 6, 6)), rng.normal(size=(2, 4, 3, 3))
w = minidl.tensor(rng.normal(size=(4, 3, 3, 3)), requires_grad=True)
with minidl.record() as trace:
    F.conv2d(minidl.tensor(x), w, stride=2, padding=1).backward(minidl.tensor(gy))
right = trace.grad(trace.ops[0]["inputs"][1])


# %%
# The same number from five values along each entry, and a wrong gradient: its kernel was turned
# round, the classic confusion of convolution and correlation.
def forward(x, w):
    return F.conv2d(minidl.tensor(x), minidl.tensor(w), stride=2, padding=1).numpy()


def numeric(entry):
    direction = np.eye(w.numel())[entry].reshape(w.shape)
    inputs = x, w.detach().numpy()
    line = along(lambda x, w: [forward(x, w)], inputs, 1, direction, [forward(*inputs)], [gy])
    return slope(line, 1e-3).value


measured = np.array([numeric(entry) for entry in range(w.numel())])
wrong = right[:, :, ::-1, ::-1]

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.4, 4), sharey=True, layout="constrained")
for ax, gradient, title, color, marker in zip(
        axes, (right, wrong), ("minidl's backward", "kernel turned round"), (BLUE, ORANGE), "ox"):
    ax.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=":", label="equal")
    ax.plot(measured, gradient.ravel(), marker, color=color, markersize=4, label="one entry")
    off = np.abs(gradient.ravel() - measured).max()
    ax.set(title=f"{title}: at most {off:.3g} off", xlabel="finite differences")
    ax.legend()
axes[0].set_ylabel("backward")
plt.show()

# %%
# ``minidl.testing`` makes the comparison, and says what is wrong and where.
for name, gradient in (("right", right), ("wrong", wrong)):
    try:
        print(name, check_vjp(lambda w: (forward(x, w) * gy).sum(), lambda g, w: g * gradient,
                              w.numpy()))
    except GradientError as error:
        print(name, "\n".join(str(error).splitlines()[:4]), sep=": ")
