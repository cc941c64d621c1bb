"""D on both kinds of images, rightly labelled; then G, its gradient its own."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def bce_grad(logits, label):
    return (sigmoid(logits) - label) / len(logits)


def gan_step(w, v, x, z, lr):
    fake = z @ v
    gw = x.T @ bce_grad(x @ w, 1) + fake.T @ bce_grad(fake @ w, 0)
    w = w - lr * gw
    g = bce_grad(fake @ w, 1)
    gv = z.T @ np.outer(g, w)
    return w, v - lr * gv
