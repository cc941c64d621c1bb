"""One step of Adam.

    m <- beta1 m + (1 - beta1) g          m^ = m / (1 - beta1^t)
    v <- beta2 v + (1 - beta2) g^2        v^ = v / (1 - beta2^t)
    p <- p - lr m^ / (sqrt(v^) + eps)        Source: D0-ADAM

t is the number of this step: 1 at the first one, when m and v are still 0. Return new arrays; the
caller keeps the old ones.
"""


def adam(p, g, m, v, t, lr, beta1, beta2, eps):
    """p parameter, g its gradient, m and v as above, of one shape; t and the rest are numbers
    -> new p, new m, new v"""
    raise NotImplementedError
