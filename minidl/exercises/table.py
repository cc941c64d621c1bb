"""All exercises, in the order of learning, which is that of the course (docs/course.md)."""

from __future__ import annotations

from .autoencoder import KL, REPARAM
from .bugs import F1, GAN_LOSSES, GAN_STEP, TWICE
from .convolution import CONV, CONV_DW, CONV_DX, POOL
from .exercise import Exercise
from .layers import BROADCAST, LINEAR, NORM, RELU
from .rules import ADAM, SGD_MOMENTUM, SOFTMAX

EXERCISES: dict[str, Exercise] = {exercise.name: exercise for exercise in (
    LINEAR, RELU, BROADCAST, SOFTMAX, TWICE, CONV, CONV_DX, CONV_DW, POOL, NORM, SGD_MOMENTUM,
    ADAM, F1, GAN_LOSSES, GAN_STEP, REPARAM, KL)}
