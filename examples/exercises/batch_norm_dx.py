"""The gradient of batch norm for its input, in training.

    y[n,c,h,w] = gamma[c] (x[n,c,h,w] - m[c]) / sqrt(v[c] + eps) + beta[c]        Source: D1-BN

m[c] and v[c] are mean and variance (with 1/n) of channel c over n, h and w. Both are made of x, so
x has an influence on y in three ways: by itself, through m, and through v.
"""


def batch_norm_dx(gy, x, gamma, eps):
    """gy (N, C, H, W), x (N, C, H, W), gamma (C,), eps a number -> gx (N, C, H, W)"""
    raise NotImplementedError
