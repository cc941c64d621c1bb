"""PyTorch's place for schedules: ``from minidl.optim.lr_scheduler import StepLR``."""

from .more.schedules import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

__all__ = ["CosineAnnealingLR", "LRScheduler", "OneCycleLR", "StepLR"]
