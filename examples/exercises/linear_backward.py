"""The three gradients of a dense layer.

    y[n,o] = sum_i x[n,i] w[o,i] + b[o], that is y = x W^T + b        Source: D1-DENSE

gy is the gradient of the loss for y. Return its gradients for x, w and b. Each has the shape of
what it belongs to, which is half of the answer. A hint: write down dL/dx[n,i] as a sum over what
x[n,i] is used for, then see which matrix product that is.
"""


def linear_backward(gy, x, w):
    """gy (N, O), x (N, I), w (O, I) -> gx (N, I), gw (O, I), gb (O,)"""
    raise NotImplementedError
