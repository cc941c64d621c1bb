"""A number that explains itself.

One number of a convolution's output, the window of the image and the kernel that it comes from,
their products, and what ``y.explain(...)`` prints. The picture on the first screen of the README is
made by ``python examples/plot_explained_number.py docs/images/explained-number.png``.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import data, plots
from minidl import functional as F

# %%
# A stroke of the first digit of MNIST, in tenths, and a kernel that finds strokes which go down to
# the right. ``keep()`` keeps what an explanation needs.
pixels = data.mnist().train.images[:1, :, 10:17, 11:18].astype("float32") / 255
x = minidl.tensor(pixels.round(1))
w = minidl.tensor([[[[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]]]])
b = minidl.tensor([-1.0])
with minidl.keep():
    y = F.conv2d(x, w, b)

i, j = 2, 1
found = y.explain(0, 0, i, j)
print(found)
assert len(found.terms) == 10 and abs(found.difference) < 1e-5    # nine products and the bias

# %%
# The products, drawn where their factors stand in the kernel, are the explanation's own terms.
products = np.zeros((3, 3))
for term in found.terms:
    if len(term.factors) == 2:
        (_, _, _), (_, (_, _, u, v), _) = term.factors
        products[u, v] = term.value



def draw(axes, title, values, top, left, window):
    """A matrix as cells with numbers; `window` is (row, column, size) of the red square."""
    rows, columns = values.shape
    bound = 1.5 * np.abs(values).max()                       # pale enough for dark numbers
    axes.pcolormesh(left + np.arange(columns + 1), top + np.arange(rows + 1), values, vmin=-bound,
                    vmax=bound, cmap=plots.blue_orange(), edgecolors="#9ca3af", linewidth=0.6)
    for (u, v), number in np.ndenumerate(values):
        axes.text(left + v + 0.5, top + u + 0.5, f"{number + 0.0:.2g}", ha="center", va="center",
                  fontsize=8)
    row, column, size = window
    axes.add_patch(plt.Rectangle((left + column, top + row), size, size, fill=False,
                                 edgecolor=plots.RED, linewidth=2, zorder=5))
    axes.text(left, top - 0.25, title, fontsize=10, weight="bold")


with plt.rc_context(plots.STYLE):
    figure = plt.figure(figsize=(8.4, 5.75), layout="none", facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.5, 24.1), ylim=(15.8, -1), autoscale_on=False)
    axes.set_axis_off()
    draw(axes, "x, a stroke of a digit", x.numpy()[0, 0], 0, 0, (i, j, 3))
    draw(axes, "w, the kernel", w.numpy()[0, 0], 2, 8.3, (0, 0, 3))
    draw(axes, "the products", products, 2, 12.6, (0, 0, 3))
    draw(axes, "y", y.numpy()[0, 0], 1, 18.4, (i, j, 1))
    for text, column in [("×", 7.65), ("=", 11.95), ("added up,\nwith b = -1:", 17)]:
        axes.text(column, 3.5, text, fontsize=9 if len(text) > 1 else 15, ha="center", va="center")
    axes.text(0, 8, f"print(y.explain(0, 0, {i}, {j}))\n\n{found}", fontsize=8.4, va="top",
              family="monospace", linespacing=1.35)
plt.show()

if sys.argv[1:]:
    figure.savefig(sys.argv[1], dpi=140)
