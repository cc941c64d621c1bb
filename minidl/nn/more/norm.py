"""Normalisation of one example at a time: over its last axes, or over groups of channels."""

from __future__ import annotations

from ... import checks
from ... import functional as F
from ...checks.arguments import arguments
from ...checks.layer_options import check_divides
from ...tensor import Tensor
from ..norm import NormLayer


class LayerNorm(NormLayer):
    """(x - m) / sqrt(v + eps) over the last axes, of `normalized_shape`, times weight plus bias.
    Ba, Kiros, Hinton (2016)."""

    @arguments
    def __init__(self, normalized_shape, eps: float = 1e-5, elementwise_affine: bool = True,
                 bias: bool = True):
        shape = normalized_shape if checks.several(normalized_shape) else (normalized_shape,)
        shape = tuple(checks.whole("LayerNorm: normalized_shape", n, 1) for n in shape)
        super().__init__(shape, eps, elementwise_affine, bias)
        self.normalized_shape, self.elementwise_affine = shape, elementwise_affine

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(NormLayer):
    """Standardised over each of `num_groups` groups of the channels of (N,C,...), then weight and
    bias a channel. Wu, He (2018)."""

    @arguments
    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True):
        check_divides("GroupNorm", "num_channels", num_channels, "num_groups", num_groups)
        super().__init__((num_channels,), eps, affine)
        self.num_groups, self.num_channels, self.affine = num_groups, num_channels, affine

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
