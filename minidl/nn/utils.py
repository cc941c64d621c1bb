"""PyTorch's place for gradient clipping; the functions are in ``minidl.optim``."""

from ..optim import clip_grad_norm_, clip_grad_value_

__all__ = ["clip_grad_norm_", "clip_grad_value_"]
