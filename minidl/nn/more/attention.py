"""Multi-head attention as a layer, with PyTorch's weights."""

from __future__ import annotations

import math

import numpy as np

from ... import functional as F
from ...checks.arguments import arguments, tensor_argument
from ...checks.layer_options import check_divides, check_share
from ...ops.more.attention import mask_of, masked_softmax, score_scaled_dot, split_heads
from ...ops.more.choices import where
from ...ops.more.products import matmul
from ...tensor import Tensor, as_tensor
from .. import init
from ..linear import Linear, uninitialised
from ..module import Module


class MultiheadAttention(Module):
    """Concat(head_1..head_h) W^O, head_i = softmax(Q_i K_i^T / sqrt(d)) V_i, d = E / h, with
    Q, K, V = query W^Q, key W^K, value W^V cut into h heads. Source: D3-MHA.

    `batch_first`: query (N,T,E), key and value (N,S,E); else (T,N,E), (S,N,E); or one example
    without N. ``in_proj_weight`` (3E, E) is W^Q, W^K, W^V stacked, in the layout of Linear. Calling
    it returns (output, weights): weights (N,T,S), the mean over heads, or (N,h,T,S), after dropout.
    """

    @arguments
    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 *, batch_first: bool = False):
        super().__init__()
        check_divides("MultiheadAttention", "embed_dim", embed_dim, "num_heads", num_heads)
        check_share("MultiheadAttention", "dropout", dropout)
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.in_proj_weight = uninitialised(3 * embed_dim, embed_dim)
        self.register_parameter("in_proj_bias", uninitialised(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: Glorot for the stacked projections, biases zero."""
        init.xavier_uniform_(self.in_proj_weight)
        self.out_proj.reset_parameters()
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor,
                key_padding_mask: Tensor | None = None, need_weights: bool = True,
                attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
        """Masks as in PyTorch's layer: True means "may not be looked at" (the opposite of
        ``F.scaled_dot_product_attention``), numbers are added to the scores. `key_padding_mask`
        (N,S); `attn_mask` (T,S) or (N h, T, S); `is_causal`: position t sees positions <= t. Where
        t may see nothing, its weights are 0."""
        query, key, value = (tensor_argument(f"MultiheadAttention: {name}", x) for name, x in (
            ("query", query), ("key", key), ("value", value)))
        single = query.ndim == 2
        if single:
            query, key, value = (F.unsqueeze(x, 0) for x in (query, key, value))
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = (split_heads(x, self.num_heads) for x in self._project(query, key, value))
        e = self._masked(score_scaled_dot(q, k), key_padding_mask, attn_mask, is_causal)
        unmasked = key_padding_mask is None and attn_mask is None and not is_causal
        alpha = F.softmax(e, -1) if unmasked else masked_softmax(e)       # (N, h, T, S)
        alpha = F.dropout(alpha, self.dropout, self.training)
        heads = matmul(alpha, v)                                          # (N, h, T, d)
        out = self.out_proj(heads.transpose(1, 2).reshape(*query.shape))
        weights = alpha.mean(1) if average_attn_weights else alpha
        if single:
            out, weights = F.squeeze(out, 0), F.squeeze(weights, 0)
        elif not self.batch_first:
            out = out.transpose(0, 1)
        return out, weights if need_weights else None

    def _project(self, query: Tensor, key: Tensor, value: Tensor):
        for name, x in (("query", query), ("key", key), ("value", value)):
            if x.ndim != 3 or x.shape[-1] != self.embed_dim:
                raise ValueError(f"MultiheadAttention: {name} must have 2 or 3 axes and end in "
                                 f"embed_dim={self.embed_dim}, got shape {x.shape}")
        weights = F.split(self.in_proj_weight, self.embed_dim, 0)
        biases = ((None,) * 3 if self.in_proj_bias is None
                  else F.split(self.in_proj_bias, self.embed_dim, 0))
        return [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases)]

    def _masked(self, e: Tensor, key_padding_mask, attn_mask, is_causal: bool) -> Tensor:
        N, h, T, S = e.shape
        masks = []
        if key_padding_mask is not None:
            name = "MultiheadAttention: key_padding_mask"
            key_padding_mask = mask_of(name, tensor_argument(name, key_padding_mask))
            masks.append(F.reshape(key_padding_mask, N, 1, 1, S))
        if attn_mask is not None:
            name = "MultiheadAttention: attn_mask"
            attn_mask = mask_of(name, tensor_argument(name, attn_mask))
            masks.append(attn_mask if attn_mask.ndim == 2 else F.reshape(attn_mask, N, h, T, S))
        if is_causal:
            masks.append(as_tensor(~np.tri(T, S, dtype=bool)))
        for mask in masks:
            mask = mask.to(device=e.device)
            e = where(mask, -math.inf, e) if mask.dtype == np.bool_ else e + mask
        return e

    def multiply_adds(self, input: Tensor, output) -> int:
        # Three projections, then scores and mixture, as for self-attention: T = S.
        T = input.shape[0] if input.ndim == 2 or not self.batch_first else input.shape[1]
        return input.numel() * (3 * self.embed_dim + 2 * T)
