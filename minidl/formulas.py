r"""The documents' equations, letter by letter, in plain loops: the ground truth of minidl.

Nothing here is fast and nothing here is clever. Each function is one row of the ledger
(docs/ledger.md), its indices named as in the document, summed term by term; the engine is tested
against it. Only `math`, `np.zeros` and indexing are used, and nothing of the rest of minidl.

Arrays come in as float64 (float32 would be multiplied in float32) and results are float64.
Losses are means over n entries or rows. Nothing is checked: give it sensible shapes.
Legend: N batch, C/O channels in/out, H/W size, KH/KW kernel, OH/OW output, SH/SW stride,
PH/PW padding, DH/DW dilation, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["d0_conv", "d1_conv", "d3_conv", "conv2d", "conv_transpose2d", "max_pool2d",
           "avg_pool2d", "upsample_nearest", "matmul", "linear", "relu", "leaky_relu", "tanh",
           "sigmoid", "softmax", "dropout", "residual", "batch_norm", "cross_entropy",
           "cross_entropy_one_hot", "cross_entropy_classes", "mae", "mse", "bce", "bce_with_logits",
           "gan_value", "gan_generator_loss", "cgan_value", "wgan_critic_loss",
           "wgan_generator_loss", "wgan_clip", "gradient_penalty", "lsgan_discriminator_loss",
           "lsgan_generator_loss", "log_bernoulli", "log_gaussian", "elbo", "kl_unit_gaussian",
           "kl_gaussians", "kl_discrete", "reparameterise", "score_dot", "score_scaled_dot",
           "score_general", "score_additive", "attention", "multi_head_attention", "he_normal_std",
           "glorot_uniform_limit", "kaiming_uniform_limit", "sgd", "rmsprop", "adam", "accuracy",
           "precision", "recall", "f1", "roc", "auc"]

Array = np.ndarray
Pair = tuple[int, int]


def _each(f: Callable[..., float], *arrays: Array) -> Array:
    """f applied entry by entry to arrays of one shape."""
    y = np.zeros(arrays[0].shape, np.float64)
    for i in np.ndindex(*y.shape):
        y[i] = f(*(a[i] for a in arrays))
    return y


def _mean(f: Callable[..., float], *arrays: Array) -> float:
    """1/n sum_i f(a_i, ...) over all entries of arrays of one shape."""
    return math.fsum(_each(f, *arrays).flat) / arrays[0].size


def _size(H: int, K: int, S: int, P: int, D: int = 1) -> int:
    """How many places a window of K pixels, D apart, finds at stride S in H pixels padded by P."""
    return (H + 2 * P - D * (K - 1) - 1) // S + 1


# ---- Convolution and pooling ---------------------------------------------------------------------


def d0_conv(x: Array, k: Array) -> Array:
    """y[m,n] = sum_{p<P} sum_{q<Q} x[m+p, n+q] k[p,q], cross-correlation. Source: D0-CONV"""
    P, Q = k.shape
    y = np.zeros((x.shape[0] - P + 1, x.shape[1] - Q + 1), np.float64)
    for m, n in np.ndindex(*y.shape):
        y[m, n] = sum(x[m + p, n + q] * k[p, q] for p in range(P) for q in range(Q))
    return y


def d1_conv(a: Array, b: Array) -> Array:
    """y(x,y) = sum_{x'<X} sum_{y'<Y} a(x',y') b(x-x', y-y'), a the kernel, b the image.

    True convolution. Terms outside the image are zero, so y has "full" support (H+X-1, W+Y-1).
    Source: D1-CONV
    """
    (X, Y), (H, W) = a.shape, b.shape
    out = np.zeros((H + X - 1, W + Y - 1), np.float64)
    for x, y in np.ndindex(*out.shape):
        for x_, y_ in np.ndindex(X, Y):  # x', y'
            if 0 <= x - x_ < H and 0 <= y - y_ < W:
                out[x, y] += a[x_, y_] * b[x - x_, y - y_]
    return out


def d3_conv(input: Array, weight: Array, bias: float) -> Array:
    """out(x,y) = bias + sum_{i=1}^Cin sum_{m=1}^kH sum_{n=1}^kW weight(i,m,n) input(x+m, y+n, i).

    As printed: every index counts from 1, channel last, weight (Cin, kH, kW), input (H, W, Cin).
    So out(1,1) starts at input(2,2): the first row and column are never read (erratum E3.2), and
    out is (H-kH, W-kW). The engine's conv2d is the formula with x, y from 0: one row and one
    column more. Source: D3-CONV, E3.2
    """
    C_in, k_H, k_W = weight.shape
    out = np.zeros((input.shape[0] - k_H, input.shape[1] - k_W), np.float64)
    for x in range(1, out.shape[0] + 1):
        for y in range(1, out.shape[1] + 1):
            out[x - 1, y - 1] = bias
            for i in range(1, C_in + 1):
                for m in range(1, k_H + 1):
                    for n in range(1, k_W + 1):  # - 1: NumPy stores entry 1 at index 0
                        term = weight[i - 1, m - 1, n - 1] * input[x + m - 1, y + n - 1, i - 1]
                        out[x - 1, y - 1] += term
    return out


def conv2d(x: Array, w: Array, b: Array | None = None, stride: Pair = (1, 1),
           padding: Pair = (0, 0), dilation: Pair = (1, 1), groups: int = 1) -> Array:
    """y[n,o,i,j] = b[o] + sum_{c,u,v} x[n, g(o) C/G + c, h, k] w[o,c,u,v].

    h = i SH - PH + u DH, k = j SW - PW + v DW; g(o) is the group of output channel o; pixels
    outside x are zero. x (N, C, H, W), w (O, C/G, KH, KW), b (O,). Erratum E4.2 is seen here: y
    has O channels, often more than C, and is smaller than x unless padded. Source: D3-CONV, E4.2
    """
    (N, _, H, W), (O, CG, KH, KW) = x.shape, w.shape
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    OH, OW = _size(H, KH, SH, PH, DH), _size(W, KW, SW, PW, DW)
    y = np.zeros((N, O, OH, OW), np.float64)
    for n, o, i, j in np.ndindex(N, O, OH, OW):
        g = o // (O // groups)
        y[n, o, i, j] = 0.0 if b is None else b[o]
        for c, u, v in np.ndindex(CG, KH, KW):
            h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
            if 0 <= h < H and 0 <= k < W:
                y[n, o, i, j] += x[n, g * CG + c, h, k] * w[o, c, u, v]
    return y


def conv_transpose2d(x: Array, w: Array, b: Array | None = None, stride: Pair = (1, 1),
                     padding: Pair = (0, 0), output_padding: Pair = (0, 0),
                     dilation: Pair = (1, 1), groups: int = 1) -> Array:
    """y[n, g(c) O/G + o, i SH - PH + u DH, j SW - PW + v DW] += x[n,c,i,j] w[c,o,u,v]; then + b.

    The adjoint of conv2d: what the convolution gathers, this scatters. g(c) is the group of input
    channel c; terms that land outside y are dropped. x (N, C, H, W), w (C, O/G, KH, KW), b (O,);
    OH = (H - 1) SH - 2 PH + DH (KH - 1) + output_padding + 1. Source: D1-TCONV
    """
    (N, C, H, W), (_, OG, KH, KW) = x.shape, w.shape
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    OH = (H - 1) * SH - 2 * PH + DH * (KH - 1) + output_padding[0] + 1
    OW = (W - 1) * SW - 2 * PW + DW * (KW - 1) + output_padding[1] + 1
    y = np.zeros((N, OG * groups, OH, OW), np.float64)
    for n, o, h, k in np.ndindex(*y.shape):
        y[n, o, h, k] = 0.0 if b is None else b[o]
    for n, c, i, j, o, u, v in np.ndindex(N, C, H, W, OG, KH, KW):
        g = c // (C // groups)
        h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
        if 0 <= h < OH and 0 <= k < OW:
            y[n, g * OG + o, h, k] += x[n, c, i, j] * w[c, o, u, v]
    return y


def max_pool2d(x: Array, window: Pair, stride: Pair, padding: Pair = (0, 0),
               dilation: Pair = (1, 1), return_indices: bool = False):
    """y[n,c,m,k] = max_{p,q} x[n, c, m SH - PH + p DH, k SW - PW + q DW]; padding never wins.

    The first maximum wins a tie; its flat place h W + w is the index. Source: D0-MAXPOOL
    """
    N, C, H, W = x.shape
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    OH, OW = _size(H, window[0], SH, PH, DH), _size(W, window[1], SW, PW, DW)
    y = np.zeros((N, C, OH, OW), np.float64)
    index = np.zeros((N, C, OH, OW), np.int64)
    for n, c, m, k in np.ndindex(N, C, OH, OW):
        y[n, c, m, k] = -math.inf
        for p, q in np.ndindex(*window):
            h, w = m * SH - PH + p * DH, k * SW - PW + q * DW
            if 0 <= h < H and 0 <= w < W and x[n, c, h, w] > y[n, c, m, k]:
                y[n, c, m, k], index[n, c, m, k] = x[n, c, h, w], h * W + w
    return (y, index) if return_indices else y


def avg_pool2d(x: Array, window: Pair, stride: Pair, padding: Pair = (0, 0),
               count_include_pad: bool = True) -> Array:
    """y[n,c,m,k] = mean_{p,q} x[n, c, m SH - PH + p, k SW - PW + q]; padding is zero.

    count_include_pad says whether the padding counts in the mean's denominator. Source: D0-AVGPOOL
    """
    N, C, H, W = x.shape
    (SH, SW), (PH, PW) = stride, padding
    OH, OW = _size(H, window[0], SH, PH), _size(W, window[1], SW, PW)
    y = np.zeros((N, C, OH, OW), np.float64)
    for n, c, m, k in np.ndindex(N, C, OH, OW):
        count = 0
        for p, q in np.ndindex(*window):
            h, w = m * SH - PH + p, k * SW - PW + q
            inside = 0 <= h < H and 0 <= w < W
            y[n, c, m, k] += x[n, c, h, w] if inside else 0.0
            count += inside or count_include_pad
        y[n, c, m, k] /= count
    return y


def upsample_nearest(x: Array, s: int = 2) -> Array:
    """y[n,c,i,j] = x[n, c, floor(i/s), floor(j/s)], each pixel s by s times. Source: D2-UPSAMPLE"""
    N, C, H, W = x.shape
    y = np.zeros((N, C, H * s, W * s), np.float64)
    for n, c, i, j in np.ndindex(*y.shape):
        y[n, c, i, j] = x[n, c, i // s, j // s]
    return y


# ---- Layers and activations ----------------------------------------------------------------------

def matmul(a: Array, b: Array) -> Array:
    """y[i,j] = sum_k a[i,k] b[k,j], which several rows below are made of."""
    y = np.zeros((a.shape[0], b.shape[1]), np.float64)
    for i, j, k in np.ndindex(*y.shape, a.shape[1]):
        y[i, j] += a[i, k] * b[k, j]
    return y

def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """y[n,o] = sum_i x[n,i] w[o,i] + b[o], that is y = x W^T + b. Source: D1-DENSE"""
    y = np.zeros((x.shape[0], w.shape[0]), np.float64)
    for n, o in np.ndindex(*y.shape):
        y[n, o] = 0.0 if b is None else b[o]
        for i in range(w.shape[1]):
            y[n, o] += x[n, i] * w[o, i]
    return y

def relu(x: Array) -> Array:
    """max(0, x). Source: D2-RELU"""
    return _each(lambda v: max(0.0, v), x)

def leaky_relu(x: Array, alpha: float) -> Array:
    """max(alpha x, x) for alpha < 1; max(0, x) it leaves as it is. Source: D0-LRELU, E2.2"""
    return _each(lambda v: max(alpha * v, v), x)

def tanh(x: Array) -> Array:
    """tanh x. Source: D0-TANH"""
    return _each(math.tanh, x)

def sigmoid(x: Array) -> Array:
    """sigma(x) = 1 / (1 + e^-x), |x| below 700. Source: D0-SIGMOID"""
    return _each(lambda v: 1 / (1 + math.exp(-v)), x)

def softmax(x: Array) -> Array:
    """e^{x_i} / sum_k e^{x_k} along the last axis, |x| below 700. Source: D1-SOFTMAX"""
    y = np.zeros(x.shape, np.float64)
    for i in np.ndindex(*x.shape):
        y[i] = math.exp(x[i]) / sum(math.exp(v) for v in x[i[:-1]])
    return y

def dropout(x: Array, kept: Array, p: float) -> Array:
    """x_i kept_i / (1 - p), P(kept_i = 0) = p, else 1; in evaluation x. Source: D3-DROPOUT"""
    return _each(lambda v, k: v * k / (1 - p), x, kept)

def residual(x: Array, F: Callable[[Array], Array]) -> Array:
    """y = x + F(x). Source: D3-RESIDUAL"""
    return _each(lambda a, b: a + b, x, F(x))

def batch_norm(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array,
               momentum: float = 0.99, eps: float = 1e-3, training: bool = True,
               correction: int = 1) -> tuple[Array, Array, Array]:
    """y = gamma_c (x - mean_c) / sqrt(var_c + eps) + beta_c, x (N, C, H, W), or (N, C, 1, 1).

    In training, mean_c and var_c are those of x over (N, H, W), n numbers a channel, and
    running <- momentum running + (1 - momentum) batch, momentum as Keras means it (PyTorch's is
    1 - momentum); running_var takes var n / (n - correction). In evaluation they are the running
    ones. Returns y and both running arrays. Source: D1-BN
    """
    N, C, H, W = x.shape
    y, means, variances = np.zeros(x.shape), np.zeros(C), np.zeros(C)
    for c in range(C):
        n = N * H * W
        mean = sum(x[i, c, h, w] for i, h, w in np.ndindex(N, H, W)) / n
        var = sum((x[i, c, h, w] - mean) ** 2 for i, h, w in np.ndindex(N, H, W)) / n
        if training:
            means[c] = momentum * running_mean[c] + (1 - momentum) * mean
            variances[c] = momentum * running_var[c] + (1 - momentum) * var * n / (n - correction)
        else:
            means[c], variances[c] = mean, var = running_mean[c], running_var[c]
        for i, h, w in np.ndindex(N, H, W):
            y[i, c, h, w] = gamma[c] * (x[i, c, h, w] - mean) / math.sqrt(var + eps) + beta[c]
    return y, means, variances


# ---- Losses --------------------------------------------------------------------------------------

def cross_entropy(p: Array, t: Array) -> float:
    """Mean over rows n of -sum_c t[n,c] log p[n,c], p probabilities (0 log 0 = 0). Source: D0-CE"""
    N, C = p.shape
    return sum(-t[n, c] * math.log(p[n, c]) for n, c in np.ndindex(N, C) if t[n, c] != 0) / N

def cross_entropy_one_hot(logits: Array, t: Array) -> float:
    """The same from logits, p = softmax(logits), t rows of probabilities. Source: D0-CE"""
    return cross_entropy(softmax(logits), t)

def cross_entropy_classes(logits: Array, classes: Array) -> float:
    """The same from logits and class numbers: mean of -log p[n, classes[n]]. Source: D0-CE"""
    p = softmax(logits)
    return sum(-math.log(p[n, classes[n]]) for n in range(len(classes))) / len(classes)

def mae(y: Array, t: Array) -> float:
    """1/n sum |y - t|. Source: D4-MAE"""
    return _mean(lambda a, b: abs(a - b), y, t)

def mse(y: Array, t: Array) -> float:
    """1/n sum (y - t)^2. Source: D1-MSE"""
    return _mean(lambda a, b: (a - b) ** 2, y, t)

def bce(p: Array, t: Array) -> float:
    """Mean of -[t log p + (1 - t) log(1 - p)], 0 < p < 1. Source: D0-BCE"""
    return _mean(lambda q, s: -(s * math.log(q) + (1 - s) * math.log(1 - q)), p, t)

def bce_with_logits(x: Array, t: Array) -> float:
    """Mean of t log(1 + e^-x) + (1 - t) log(1 + e^x), bce with p = sigma(x). Source: D0-BCE"""
    return _mean(lambda v, s: s * math.log1p(math.exp(-v)) + (1 - s) * math.log1p(math.exp(v)),
                 x, t)


# ---- Adversarial losses; D_real = D(x), D_fake = D(G(z)), a number a sample ----------------------

def gan_value(D_real: Array, D_fake: Array) -> float:
    """V = E_x[log D(x)] + E_z[log(1 - D(G(z)))]: D climbs it, G descends it. Source: D3-GAN-V"""
    return _mean(math.log, D_real) + _mean(lambda d: math.log(1 - d), D_fake)

def gan_generator_loss(D_fake: Array) -> float:
    """-E_z[log D(G(z))], the non-saturating loss that G is given instead. Source: D3-GAN-V"""
    return -_mean(math.log, D_fake)

def cgan_value(D: Callable, G: Callable, x: Array, z: Array, y: Array) -> float:
    """V = E[log D(x | y)] + E[log(1 - D(G(z | y) | y))]: both players see y. Source: D3-CGAN"""
    return gan_value(D(x, y), D(G(z, y), y))

def wgan_critic_loss(f_real: Array, f_fake: Array) -> float:
    """E[f(G(z))] - E[f(x)], which the critic descends. Source: D3-WGAN"""
    return _mean(float, f_fake) - _mean(float, f_real)

def wgan_generator_loss(f_fake: Array) -> float:
    """-E[f(G(z))]. Source: D3-WGAN"""
    return -_mean(float, f_fake)

def wgan_clip(w: Array, c: float) -> Array:
    """min(c, max(-c, w)): the critic's weights after each step. Source: D3-WGAN"""
    return _each(lambda v: min(c, max(-c, v)), w)

def gradient_penalty(gradients: Array, lam: float = 10.0) -> float:
    """lambda E[(||g_n||_2 - 1)^2], row n of `gradients` being df/dx^ at x^_n. Source: D3-WGAN"""
    rows = gradients.reshape(len(gradients), -1)
    return lam * sum((math.sqrt(sum(v * v for v in g)) - 1) ** 2 for g in rows) / len(rows)

def lsgan_discriminator_loss(D_real: Array, D_fake: Array, a: float = 0.0, b: float = 1.0) -> float:
    """1/2 E[(D(x) - b)^2] + 1/2 E[(D(G(z)) - a)^2]. Source: D3-LSGAN"""
    return _mean(lambda d: (d - b) ** 2, D_real) / 2 + _mean(lambda d: (d - a) ** 2, D_fake) / 2

def lsgan_generator_loss(D_fake: Array, c: float = 1.0) -> float:
    """1/2 E[(D(G(z)) - c)^2]. Source: D3-LSGAN"""
    return _mean(lambda d: (d - c) ** 2, D_fake) / 2


# ---- Variational autoencoder; one image x, one code of J numbers ---------------------------------

def log_bernoulli(x: Array, p: Array) -> float:
    """log p(x) = sum_i [x_i log p_i + (1 - x_i) log(1 - p_i)]. Source: D3-ELBO"""
    return -bce(p, x) * x.size

def log_gaussian(x: Array, mean: Array, sigma: float = 1.0) -> float:
    """log p(x) = sum_i -(x_i - m_i)^2 / (2 sigma^2) - log sigma - 1/2 log 2 pi. Source: D3-ELBO"""
    constant = math.log(sigma) + math.log(2 * math.pi) / 2
    return x.size * _mean(lambda a, m: -((a - m) ** 2) / (2 * sigma**2) - constant, x, mean)

def elbo(log_p_x_given_z: Array, mu: Array, sigma: Array) -> float:
    """E_{q(z|x)}[log p(x|z)] - D_KL(q(z|x) || p(z)), the mean being over draws z of q.

    Printed as equal to log p(x), it is a lower bound (erratum E3.1). Source: D3-ELBO, E3.1
    """
    return _mean(float, log_p_x_given_z) - kl_unit_gaussian(mu, sigma)

def kl_unit_gaussian(mu: Array, sigma: Array) -> float:
    """-1/2 sum_j (1 + log sigma_j^2 - mu_j^2 - sigma_j^2). Source: D3-KL"""
    return -sum(1 + math.log(s**2) - m**2 - s**2 for m, s in zip(mu.flat, sigma.flat)) / 2

def kl_gaussians(mu_q: Array, sigma_q: Array, mu_p: Array, sigma_p: Array) -> float:
    """sum_j log(sp_j/sq_j) + (sq_j^2 + (mq_j - mp_j)^2) / (2 sp_j^2) - 1/2. Source: D3-KL"""
    return sum(math.log(sp / sq) + (sq**2 + (mq - mp) ** 2) / (2 * sp**2) - 0.5
               for mq, sq, mp, sp in zip(mu_q.flat, sigma_q.flat, mu_p.flat, sigma_p.flat))

def kl_discrete(t: Array, q: Array) -> float:
    """sum_i t_i log(t_i / q_i), where 0 log 0 = 0. Source: D3-KL"""
    return sum(a * math.log(a / b) for a, b in zip(t.flat, q.flat) if a > 0)

def reparameterise(mu: Array, sigma: Array, epsilon: Array) -> Array:
    """z = mu + sigma epsilon, epsilon drawn from N(0, I). Source: D3-REPARAM"""
    return _each(lambda m, s, e: m + s * e, mu, sigma, epsilon)


# ---- Attention; s_j decoder state (query), h_i encoder state (key) -------------------------------

def score_dot(s_j: Array, h_i: Array) -> float:
    """s_j . h_i. Source: D3-ATT"""
    return sum(s_j[d] * h_i[d] for d in range(len(h_i)))

def score_scaled_dot(s_j: Array, h_i: Array) -> float:
    """s_j . h_i / sqrt(d), d numbers a state. Source: D3-ATT"""
    return score_dot(s_j, h_i) / math.sqrt(len(h_i))

def score_general(s_j: Array, h_i: Array, w: Array) -> float:
    """s_j^T W h_i. Source: D3-ATT"""
    return sum(s_j[a] * w[a, b] * h_i[b] for a, b in np.ndindex(*w.shape))

def score_additive(s_j: Array, h_i: Array, w: Array, u: Array, v: Array) -> float:
    """v . tanh(W s_j + U h_i), W (A, d_s), U (A, d_h), v (A,). Source: D3-ATT"""
    return sum(v[a] * math.tanh(score_dot(s_j, w[a]) + score_dot(h_i, u[a])) for a in range(len(v)))

def attention(s: Array, h: Array, score: Callable[[Array, Array], float] = score_scaled_dot,
              values: Array | None = None) -> tuple[Array, Array]:
    """alpha_ij = exp(e_ij) / sum_k exp(e_kj), e_ij = score(s_j, h_i), c_j = sum_i alpha_ij h_i.

    i walks the T_x encoder steps, j the decoder steps. `values`, when given, are summed in h's
    place. Returns c, a row a step j, and alpha (T_x, T_y). Source: D3-ATT
    """
    values = h if values is None else values
    alpha = np.zeros((len(h), len(s)), np.float64)
    c = np.zeros((len(s), values.shape[1]), np.float64)
    for i, j in np.ndindex(*alpha.shape):
        total = sum(math.exp(score(s[j], h[k])) for k in range(len(h)))
        alpha[i, j] = math.exp(score(s[j], h[i])) / total
        for d in range(values.shape[1]):
            c[j, d] += alpha[i, j] * values[i, d]
    return c, alpha

def multi_head_attention(Q: Array, K: Array, V: Array, WQ: Sequence[Array], WK: Sequence[Array],
                         WV: Sequence[Array], WO: Array) -> Array:
    """Concat(head_1 .. head_h) W^O, head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V), scaled dot.

    Q, K, V a row a step; WQ, WK, WV one (model, head) a head; WO (h head, model). Source: D3-MHA
    """
    size = WV[0].shape[1]
    concat = np.zeros((len(Q), len(WQ) * size), np.float64)
    for i in range(len(WQ)):
        keys, values = matmul(K, WK[i]), matmul(V, WV[i])
        head, _ = attention(matmul(Q, WQ[i]), keys, score_scaled_dot, values)
        for j, d in np.ndindex(*head.shape):
            concat[j, i * size + d] = head[j, d]
    return matmul(concat, WO)


# ---- Initialisation: fan_in, fan_out = inputs, outputs a weight's neuron is tied to --------------

def he_normal_std(fan_in: int) -> float:
    """sqrt(2 / fan_in), D2's choice (he_normal). Source: D2-HE"""
    return math.sqrt(2 / fan_in)

def glorot_uniform_limit(fan_in: int, fan_out: int) -> float:
    """sqrt(6 / (fan_in + fan_out)): Keras's default, so D1's and D4's. Source: D2-HE"""
    return math.sqrt(6 / (fan_in + fan_out))

def kaiming_uniform_limit(fan_in: int, a: float = math.sqrt(5)) -> float:
    """sqrt(6 / ((1 + a^2) fan_in)): PyTorch's default, so D0's: 1 / sqrt(fan_in). Source: D2-HE"""
    return math.sqrt(6 / ((1 + a**2) * fan_in))


# ---- Update rules: one step from parameter p with gradient g -------------------------------------

def sgd(p: Array, g: Array, b: Array, lr: float, momentum: float = 0.0) -> tuple[Array, Array]:
    """b <- momentum b + g; p <- p - lr b. Returns p, b (b starts at 0). Source: D0-SGD"""
    b = _each(lambda bi, gi: momentum * bi + gi, b, g)
    return _each(lambda pi, bi: pi - lr * bi, p, b), b

def rmsprop(p: Array, g: Array, v: Array, lr: float = 2e-4, rho: float = 0.5,
            eps: float = 1e-7) -> tuple[Array, Array]:
    """v <- rho v + (1 - rho) g^2; p <- p - lr g / (sqrt(v) + eps). Source: D1-RMSPROP"""
    v = _each(lambda vi, gi: rho * vi + (1 - rho) * gi**2, v, g)
    return _each(lambda pi, gi, vi: pi - lr * gi / (math.sqrt(vi) + eps), p, g, v), v

def adam(p: Array, g: Array, m: Array, v: Array, t: int, lr: float = 1e-3, beta1: float = 0.9,
         beta2: float = 0.999, eps: float = 1e-8) -> tuple[Array, Array, Array]:
    """m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; p <- p - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1^t), v^ = v / (1 - b2^t), t = 1 at the first step. Source: D0-ADAM
    """
    m = _each(lambda mi, gi: beta1 * mi + (1 - beta1) * gi, m, g)
    v = _each(lambda vi, gi: beta2 * vi + (1 - beta2) * gi**2, v, g)

    def step(pi: float, mi: float, vi: float) -> float:
        m_hat, v_hat = mi / (1 - beta1**t), vi / (1 - beta2**t)
        return pi - lr * m_hat / (math.sqrt(v_hat) + eps)
    return _each(step, p, m, v), m, v


# ---- Metrics -------------------------------------------------------------------------------------

def _share(hits: Sequence[bool]) -> float:
    """Share of true entries; of nothing it is 0 by convention."""
    return sum(hits) / len(hits) if hits else 0.0

def accuracy(y: Array, t: Array) -> float:
    """Share of samples whose predicted class y is the class t. Source: D2-METRICS"""
    return _share([y[i] == t[i] for i in range(len(t))])

def precision(y: Array, t: Array) -> float:
    """TP / (TP + FP): of those called positive (1), how many are. Source: D2-METRICS"""
    return _share([t[i] == 1 for i in range(len(t)) if y[i] == 1])

def recall(y: Array, t: Array) -> float:
    """TP / (TP + FN): of the positive ones, how many are called so. Source: D2-METRICS"""
    return _share([y[i] == 1 for i in range(len(t)) if t[i] == 1])

def f1(y: Array, t: Array) -> float:
    """2 P R / (P + R), not accuracy as D2 prints (erratum E2.3). Source: D2-METRICS, E2.3"""
    P, R = precision(y, t), recall(y, t)
    return 2 * P * R / (P + R) if P + R else 0.0

def roc(scores: Array, t: Array) -> list[tuple[float, float]]:
    """Points (FP / negatives, TP / positives) of score >= falling threshold. Source: D2-METRICS"""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        called = [s >= threshold for s in scores]
        false = _share([called[i] for i in range(len(t)) if t[i] == 0])
        true = _share([called[i] for i in range(len(t)) if t[i] == 1])
        points.append((false, true))
    return points

def auc(points: Sequence[tuple[float, float]]) -> float:
    """Area under a ROC curve, by trapezia: sum (x2 - x1) (y1 + y2) / 2. Source: D2-METRICS, E2.3"""
    return sum((x2 - x1) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in zip(points, points[1:]))
