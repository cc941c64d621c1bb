"""Memory stays flat: a training step leaves nothing behind, without the collector's help."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn, optim
from minidl.tape import Node
from minidl.tensor import Tensor

STATM = Path("/proc/self/statm")


def resident() -> int:
    """Pages of memory in use, where the system tells; else 0."""
    return int(STATM.read_text().split()[1]) if STATM.exists() else 0


@pytest.mark.parametrize("steps", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_training_steps_leave_memory_flat(steps):
    """After `steps` training steps as many tensors and nodes live as after 50: graphs die by
    themselves, so neither cycles nor a list of nodes can pile up."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4),
                          nn.Flatten(), nn.Dropout(0.2), nn.Linear(36, 10))
    optimizer = optim.Adam(model.parameters())
    x, t = minidl.rand(4, 1, 8, 8), minidl.randint(0, 10, (4,))

    def train(n):
        for _ in range(n):
            loss = F.cross_entropy(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        live = Counter(type(o).__name__ for o in gc.get_objects()
                       if issubclass(type(o), (Tensor, Node, np.ndarray)))
        return live, resident()

    gc.collect()
    gc.disable()
    try:
        live, _ = train(50)
        _, pages = train(1000 if steps > 1000 else 0)      # Python's free lists fill up first
        live_after, pages_after = train(steps)
    finally:
        gc.enable()
    assert live_after == live
    assert pages_after - pages < 500                       # 2 MB
