"""Find the bug: a classifier that is never sure (erratum E1.1).

    loss = mean over n of -log p[n, t[n]],  p = softmax(x)        Source: D0-CE, D1-SOFTMAX

x (N, C) is what the last layer computes, t (N,) the true classes. The function runs, and trains
badly: no class ever gets more than a small probability.
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy_from_logits(logits, t):
    p = softmax(logits)
    return -np.log(p[np.arange(len(t)), t]).mean()


def classifier_loss(x, t):
    p = softmax(x)                                # activation="softmax"
    return cross_entropy_from_logits(p, t)        # from_logits=True
