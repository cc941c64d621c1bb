"""Leading axes that were added are summed away, axes of length 1 are summed and kept."""


def broadcast_backward(gy, shape):
    gx = gy.sum(axis=tuple(range(gy.ndim - len(shape))))
    ones = tuple(axis for axis, n in enumerate(shape) if n == 1)
    return gx.sum(axis=ones, keepdims=True)
