"""b first, then p along the new b."""


def sgd_momentum(p, g, b, lr, momentum):
    b = momentum * b + g
    return p - lr * b, b
