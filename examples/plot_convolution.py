"""A convolution, product by product.

Each number of the output is the sum of the products of a window of the input with the kernel. The
film goes from window to window; numbers, windows and padding are those of a recorded call.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import functional as F
from minidl import plots

# %%
# A picture of 5x5 pixels with a bright diagonal, and a kernel that looks for one.
image = minidl.tensor((np.eye(5) + np.tri(5))[None, None]).float()
kernel = minidl.tensor([[[[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]]]])
with minidl.record() as trace:
    F.conv2d(image, kernel, stride=2, padding=1)

# %%
# One number of the output, and the products that it is the sum of. With ``film.save("sweep.gif")``
# the film is a file.
film = plots.sweep(trace, next(trace.calls("conv2d")))
film.frame(4, figure=plt.figure())
plt.show()

# %%
# Any geometry is drawn in the same way: here the kernel's taps lie two pixels apart (dilation 2),
# and the input has two channels, whose products are added up.
rng = np.random.default_rng(0)
x = minidl.tensor(rng.integers(-3, 4, (1, 2, 5, 7)).astype("float32"))
w = minidl.tensor(rng.integers(-2, 3, (1, 2, 2, 3)).astype("float32"))
with minidl.record() as dilated:
    F.conv2d(x, w, dilation=2)
plots.sweep(dilated, dilated.ops[0]).frame(4, figure=plt.figure())
plt.show()
