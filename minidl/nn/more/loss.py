"""Losses as modules; the formulas are in ``minidl.functional``."""

from __future__ import annotations

from ... import checks
from ... import functional as F
from ...checks.arguments import arguments
from ...tensor import Tensor
from ..module import Module


class _Loss(Module):
    """A loss that knows how its terms are reduced: "mean", "sum" or "none". The arguments after
    ``weight`` are given by keyword: in PyTorch two abandoned ones stand in between."""

    reductions: tuple[str, ...] = ("mean", "sum", "none")

    @arguments
    def __init__(self, *, reduction: str = "mean"):
        super().__init__()
        if reduction not in self.reductions:
            raise ValueError(f"{type(self).__name__}: reduction must be one of "
                             f"{', '.join(self.reductions)}; got {reduction!r}")
        self.reduction = reduction


class _WeightedLoss(_Loss):
    """A loss whose terms have weights: one for each class, or for each element."""

    @arguments
    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """(1/n) sum (y - t)^2. Source: D1-MSE."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """(1/n) sum |y - t|. Source: D4-MAE."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """d^2 / (2 beta) where |d| < beta, else |d| - beta/2, with d = y - t. Girshick (2015)."""

    @arguments
    def __init__(self, *, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction=reduction)
        self.beta = checks.number("SmoothL1Loss: beta", beta)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class NLLLoss(_WeightedLoss):
    """-log p of the target class, from log p (N,C,...). Source: D0-CE."""

    @arguments
    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100,
                 reduction: str = "mean"):
        super().__init__(weight, reduction=reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """-sum_c t_c log softmax(x)_c from logits (N,C,...). Source: D0-CE."""

    @arguments
    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100,
                 reduction: str = "mean", label_smoothing: float = 0.0):
        super().__init__(weight, reduction=reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"CrossEntropyLoss: label_smoothing must be in [0, 1], got "
                             f"{label_smoothing}")
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction,
                               self.label_smoothing)


class BCELoss(_WeightedLoss):
    """-[t log p + (1 - t) log(1 - p)] on probabilities. Source: D0-BCE."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """The same from logits, p = sigmoid(x), stable for any x. Source: D0-BCE."""

    @arguments
    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean",
                 pos_weight: Tensor | None = None):
        super().__init__(weight, reduction=reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, self.reduction,
                                                  self.pos_weight)


class KLDivLoss(_Loss):
    """sum t (log t - x) with x = log q: D_KL(t || q). Source: D3-KL."""

    reductions = ("mean", "sum", "none", "batchmean")

    @arguments
    def __init__(self, *, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, self.reduction, self.log_target)
