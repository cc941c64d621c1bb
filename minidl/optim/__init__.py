"""How parameters are moved along their gradients, under PyTorch's names: ``optim.Adam(...)``."""

from .optimizer import Optimizer
from .update_rules import Adam, RMSprop
from .more.adagrad import Adagrad
from .more.adamw import AdamW
from .more.clearing import clear_gradients
from .more.clipping import clip_grad_norm_, clip_grad_value_
from .more.sgd import SGD
from .more.schedules import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR, lr_scheduler

__all__ = ["Adagrad", "Adam", "AdamW", "CosineAnnealingLR", "LRScheduler", "OneCycleLR",
           "Optimizer", "RMSprop", "SGD", "StepLR", "clear_gradients", "clip_grad_norm_",
           "clip_grad_value_", "lr_scheduler"]
