"""Cross entropy of logits, and its gradient, for logits of any size.

    p[n,c] = e^x[n,c] / sum_k e^x[n,k]
    loss   = mean over n of -log p[n, t[n]]        Source: D0-CE, D1-SOFTMAX

t[n] is the number of the true class of row n. Logits of 1000 come too, and e^1000 is inf.
"""


def softmax_ce(x, t):
    """x (N, C), t (N,) whole numbers from 0 to C - 1 -> loss (a number), gx (N, C)"""
    raise NotImplementedError
