"""A convolution's backward pass: the += and the correlation.

A pixel of the input was used by several windows, so the gradients that come back through all of
them are added up: that is why the code says ``+=``. The kernel's gradient is a correlation: a tap
was multiplied with certain pixels, and its gradient is the sum of those pixels times ``gy``.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import functional as F
from minidl import plots

# %%
# Forward and backward, recorded. The loss is a weighted sum of the output, so that the gradient
# ``gy`` which arrives at the convolution is the weights of that sum.
rng = np.random.default_rng(1)
x = minidl.tensor(rng.integers(-2, 3, (1, 1, 5, 5)).astype("float32"), requires_grad=True)
w = minidl.tensor(rng.integers(-2, 3, (1, 1, 3, 3)).astype("float32"), requires_grad=True)
weights = minidl.tensor([[[[1.0, 2, -1], [0, 1, 3], [2, -2, 1]]]])
with minidl.record() as trace:
    (F.conv2d(x, w, stride=2, padding=1) * weights).sum().backward()
to_x, to_w = (event for event in trace.events
              if event["phase"] == "backward" and trace.ops[event["op"]]["op"] == "conv2d")

# %%
# Each number of ``gy``, times the kernel, is added where the kernel lay in the forward pass. Where
# windows overlap, several are added to the same pixel; what falls into the padding is dropped.
stamping = plots.stamps(trace, to_x)
stamping.frame(4, figure=plt.figure())
plt.show()

# %%
# The kernel's gradient, tap by tap: the pixels that the tap was multiplied with, two apart for the
# stride of 2, times ``gy``.
correlation = plots.sweep(trace, to_w)
correlation.frame(4, figure=plt.figure())
plt.show()

# %%
# The pictures' last frames are what the engine computed.
print("gradient of x\n", x.grad.numpy()[0, 0])
print("gradient of w\n", w.grad.numpy()[0, 0])
