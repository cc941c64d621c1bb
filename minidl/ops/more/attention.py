"""Attention: a weighted mean of values, the weights a softmax of scores.

Written (..., T, E) throughout: T positions of E features. The documents write e_{ij} for the score
of source position i against target position j and sum over i; here targets are rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...checks.arguments import arguments
from ...checks.operands import same_floats
from ...device import namespace
from ...tensor import Tensor, as_tensor
from ..activation import tanh
from ..arithmetic import as_constant
from ..dropout import dropout
from ..linear import linear
from ..reduce import softmax, sum
from ..shape import reshape, unsqueeze
from .axes import transpose
from .choices import where
from .products import bilinear_form, matmul

__all__ = ["attention", "multi_head_attention", "scaled_dot_product_attention", "score_additive",
           "score_dot", "score_general", "score_scaled_dot"]


# --------------------------------------------------------------------------- scores e_ij
@arguments
def score_dot(s: Tensor, h: Tensor) -> Tensor:
    """e = s . h: (..., T, E), (..., S, E) -> (..., T, S). Source: D3-ATT."""
    return matmul(s, transpose(h, -2, -1))


@arguments
def score_scaled_dot(s: Tensor, h: Tensor) -> Tensor:
    """e = s . h / sqrt(E). Source: D3-ATT; Vaswani et al. (2017)."""
    return score_dot(s, h) / math.sqrt(max(s.shape[-1], 1))


@arguments
def score_general(s: Tensor, h: Tensor, weight: Tensor) -> Tensor:
    """e = s^T W h, W (E, F) for h (..., S, F). Source: D3-ATT; Luong et al. (2015)."""
    return bilinear_form(s, weight, h)


@arguments
def score_additive(s: Tensor, h: Tensor, w_s: Tensor, w_h: Tensor, v: Tensor) -> Tensor:
    """e = v . tanh(W_s s + W_h h): W_s (A, E), W_h (A, F), v (A,). Source: D3-ATT; Bahdanau et al.
    (2015)."""
    both = unsqueeze(linear(s, w_s), -2) + unsqueeze(linear(h, w_h), -3)     # (..., T, S, A)
    return sum(tanh(both) * v, -1)


@arguments
def attention(s: Tensor, h: Tensor, score: Callable[[Tensor, Tensor], Tensor] = score_dot):
    """alpha = softmax over source positions of score(s, h), c = alpha h. Returns (c, alpha).

    c_j = sum_i alpha_ij h_i,  alpha_ij = exp(e_ij) / sum_k exp(e_kj). Source: D3-ATT.
    """
    alpha = softmax(score(s, h), -1)
    return matmul(alpha, h), alpha


# --------------------------------------------------------------------------- heads
@arguments
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor,
                                 attn_mask: Tensor | None = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(E) + mask) V: (..., T, E), (..., S, E), (..., S, V) -> (..., T, V).

    `attn_mask`: boolean (True may be looked at) or numbers to add, broadcasting to (..., T, S).
    `is_causal`: position t sees positions <= t. Where t may see nothing, its row is 0. Dropout on
    the weights is always applied when `dropout_p` > 0, as in PyTorch. Source: D3-ATT.
    """
    name = "scaled_dot_product_attention"
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"{name}: dropout_p must be in [0, 1], got {dropout_p}")
    if min(query.ndim, key.ndim, value.ndim) < 2 or query.shape[-1] != key.shape[-1] or (
            key.shape[-2] != value.shape[-2]):
        raise ValueError(f"{name}: query {query.shape}, key {key.shape}, value {value.shape} do "
                         "not fit")
    same_floats(name, query, ("key", key), ("value", value))
    e = score_dot(query, key) * (
        1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale)
    if is_causal:
        if attn_mask is not None:
            raise ValueError(f"{name}: give attn_mask or is_causal, not both")
        attn_mask = Tensor._wrap(namespace(e.data).tri(e.shape[-2], e.shape[-1], dtype=bool))
    if attn_mask is not None:
        attn_mask = mask_of(f"{name}: attn_mask", attn_mask)
        if attn_mask.is_floating_point():
            same_floats(name, query, ("attn_mask", attn_mask))
        e = where(attn_mask, e, -math.inf) if attn_mask.dtype == np.bool_ else e + attn_mask
    weights = softmax(e, -1) if attn_mask is None else masked_softmax(e)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return matmul(weights, value)


def mask_of(name: str, mask) -> Tensor:
    """`mask` as a tensor. Raises TypeError for integers, which may mean either kind of mask."""
    mask = as_tensor(mask)
    if mask.dtype.kind in "iu":
        raise TypeError(f"{name} must be booleans (which places) or floats (to add), got "
                        f"{mask.dtype}; use .bool()")
    return mask


def masked_softmax(e: Tensor) -> Tensor:
    """softmax over the last axis of scores that are -inf where masked; a row that is masked whole
    has weights 0 (not 0 / 0), and no gradient."""
    whole = as_constant((e.data == -math.inf).all(axis=-1, keepdims=True))
    return where(whole, 0.0, softmax(where(whole, 0.0, e), -1))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, E) -> (N, heads, T, E / heads)."""
    if x.ndim != 3:
        raise ValueError(f"multi_head_attention: expected (N, T, E), got {x.shape}")
    N, T, E = x.shape
    if heads < 1 or E % heads:
        raise ValueError(f"multi_head_attention: {E} features do not divide into {heads} heads")
    return transpose(reshape(x, N, T, heads, E // heads), 1, 2)


@arguments
def multi_head_attention(query: Tensor, key: Tensor, value: Tensor, w_q: Tensor, w_k: Tensor,
                         w_v: Tensor, w_o: Tensor, heads: int, attn_mask: Tensor | None = None,
                         is_causal: bool = False, dropout_p: float = 0.0) -> Tensor:
    """Concat(head_1..head_h) W^O, head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V). Source: D3-MHA.

    query (N,T,E), key and value (N,S,E) -> (N,T,E). Each w is (E, E) in the layout of `linear`
    (y = x w^T); the rows of w_q, w_k, w_v belong to head 1, head 2, ... in turn.
    """
    projected = (linear(query, w_q), linear(key, w_k), linear(value, w_v))
    q, k, v = (split_heads(x, heads) for x in projected)
    mixed = scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
    return linear(reshape(transpose(mixed, 1, 2), *query.shape), w_o)
