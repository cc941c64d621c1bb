"""The computational graph, and gradients arriving in it.

Each operation that ran is a box, below what it was given. Backward goes the other way: a box is
filled when its gradient is there. Until then it has none, which is not the same as zero.
"""

import matplotlib.pyplot as plt

import minidl
from minidl import plots

# %%
# A few operations in which ``x`` and ``h`` are used twice: their gradients arrive in two parts,
# which are added.
w = minidl.tensor([2.0, -1.0], requires_grad=True)
x = minidl.tensor([1.0, 3.0], requires_grad=True)
with minidl.record() as trace:
    h = w * x
    loss = (h.tanh() * h + x).sum()
    loss.backward()

# %%
# Halfway, and at the end.
film = plots.graph(trace)
film.frame(len(film) // 2, figure=plt.figure())
film.frame(figure=plt.figure())
plt.show()

# %%
# For those who have Graphviz the graph is also there as text.
print(trace.to_dot())
