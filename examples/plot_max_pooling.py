"""Max pooling: what it takes, and what it gives back.

Each window hands on its largest pixel. In the backward pass the gradient goes to that pixel alone;
the rest of the window did not change the output, and gets nothing. A pixel that was the largest of
several windows gets the sum.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import functional as F
from minidl import plots

# %%
# Windows of 3x3 pixels at a stride of 2, so that neighbours share a row or a column.
rng = np.random.default_rng(3)
x = minidl.tensor(rng.integers(0, 10, (1, 1, 7, 7)).astype("float32"), requires_grad=True)
weights = minidl.tensor([[[[1.0, -2, 3], [4, 5, -6], [7, 8, 9]]]])
with minidl.record() as trace:
    (F.max_pool2d(x, 3, stride=2) * weights).sum().backward()

# %%
# Among equal pixels the first one counts.
film = plots.routing(trace, next(trace.calls("max_pool2d")))
film.frame(figure=plt.figure())
plt.show()
