"""How parameters are moved along their gradients, under PyTorch's names: ``optim.Adam(...)``."""

from .more.schedules import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR
from .optimizer import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clear_gradients,
    clip_grad_norm_,
    clip_grad_value_,
    lr_scheduler,
)

__all__ = ["Adagrad", "Adam", "AdamW", "CosineAnnealingLR", "LRScheduler", "OneCycleLR",
           "Optimizer", "RMSprop", "SGD", "StepLR", "clear_gradients", "clip_grad_norm_",
           "clip_grad_value_", "lr_scheduler"]
