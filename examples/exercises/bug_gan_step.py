"""Find the bugs: a GAN that is trained the wrong way round (erratum E0.3).

The smallest GAN: D(x) = sigmoid(x . w), G(z) = z v, BCE the binary cross entropy with a label. A
step is one turn of each, the discriminator first:

    w <- w - lr d/dw [BCE(D(x), 1) + BCE(D(G(z)), 0)]
    v <- v - lr d/dv  BCE(D(G(z)), 1), with the new w        Source: D3-GAN-V

The function below keeps the document's order, labels and clearing of gradients. (A real loop draws
new noise for the second turn; here both take z, so that a step can be checked.)
"""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def bce_grad(logits, label):
    """d BCE(sigmoid(logits), label) / d logits"""
    return (sigmoid(logits) - label) / len(logits)


def gan_step(w, v, x, z, lr):
    """w (K,), v (J, K), x (N, K) real, z (N, J) noise -> new w, new v"""
    gw, gv = np.zeros_like(w), np.zeros_like(v)      # zero_grad()

    fake = z @ v                                     # the generator's turn
    g = bce_grad(fake @ w, 1)
    gw = gw + fake.T @ g                             # backward() fills both gradients
    gv = gv + z.T @ np.outer(g, w)
    v = v - lr * gv

    g = bce_grad(x @ w, 0)                           # the discriminator's turn
    gw = gw + x.T @ g
    w = w - lr * gw
    return w, v
