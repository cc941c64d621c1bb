"""One step of gradient descent with momentum.

    b <- momentum b + g
    p <- p - lr b        Source: D0-SGD

b is 0 before the first step. Return new arrays; the caller keeps the old ones.
"""


def sgd_momentum(p, g, b, lr, momentum):
    """p parameter, g its gradient, b as above, of one shape; two numbers -> new p, new b"""
    raise NotImplementedError
