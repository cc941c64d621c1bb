"""The gradient of broadcasting: sum back to the shape that was repeated.

NumPy repeats an array where shapes differ: in x + y with x (3,) and y (2, 3), x counts as two equal
rows. Axes are missing in front, or have length 1. The gradient gy has the full shape; the gradient
for x has x's own, and a number that was used several times collects the gradients of all its
copies. This stands behind every bias: the + b of y = x W^T + b.        Source: D1-DENSE

The two kinds of axis want two different things of np.sum (look at its `keepdims`).
"""


def broadcast_backward(gy, shape):
    """gy of any shape, `shape` one that broadcasts to it -> gx of the shape `shape`"""
    raise NotImplementedError
