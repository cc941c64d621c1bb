"""A transposed convolution's stamps, and its checkerboard.

A transposed convolution stamps its kernel into the output once for each pixel of its input, scaled
by that pixel. Where the stride does not divide the kernel's size, stamps overlap unevenly: some
output pixels are sums of more products than their neighbours, and a checkerboard shows.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import functional as F
from minidl import plots

# %%
# Nine pixels, a kernel of 3x3, stride 2.
x = minidl.tensor(np.arange(1.0, 10).reshape(1, 1, 3, 3)).float()
with minidl.record() as trace:
    y = F.conv_transpose2d(x, minidl.tensor([[[[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]]]), stride=2)
(op,) = trace.calls("conv2d_input_grad")

# %%
# The op is the convolution's input gradient (that is what "transposed" means), so the film is the
# one of the convolution's backward pass.
film = plots.stamps(trace, op)
film.frame(4, figure=plt.figure())
plt.show()

# %%
# How many products each pixel of the output is the sum of: 1, 2 or 4.
plots.overlaps(trace, op, figure=plt.figure())
plt.show()

# %%
# A kernel whose size the stride divides covers every pixel equally often, but for the rim, of which
# the padding cuts off a part.
with minidl.record() as even:
    F.conv_transpose2d(x, minidl.ones(1, 1, 4, 4), stride=2, padding=1)
plots.overlaps(even, even.ops[0], figure=plt.figure())
plt.show()
