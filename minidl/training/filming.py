"""A film of a training: losses, kernels and samples of some moments, kept beside one recorded step.
``minidl train cnn --film cnn.json.gz`` makes one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..device import to_host
from ..explain.record import record
from ..tensor import Tensor
from .first_step import EXAMPLES
from .job import Job
from .outputs import prior_samples, samples

__all__ = ["Filmed"]

FRAMES = 24                   # moments of a film
SAMPLED, MOST_KERNELS = 8, 10_000     # images of a frame; numbers of the kernels in one


class Filmed:
    """A training procedure that does as before, and of which frames are kept: before the first of
    `total` steps, and after every 24th part of them."""

    def __init__(self, procedure: Any, total: int):
        self.procedure, self.every = procedure, max(1, total // FRAMES)
        self.steps, self.frames = 0, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.procedure, name)

    def step(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """The procedure's step."""
        if not self.frames:
            self._keep({})
        losses = self.procedure.step(images, labels)
        self.steps += 1
        if self.steps % self.every == 0:
            self._keep(losses)
        return losses

    def _keep(self, losses: dict[str, Tensor]) -> None:
        model = self.procedure.model
        frame = {name: np.asarray(to_host(loss.data)) for name, loss in losses.items()}
        kernels = [p for p in model.parameters() if p.ndim == 4 and p.data.size <= MOST_KERNELS]
        if kernels:
            frame["kernels"] = to_host(kernels[0].data).copy()
        draw = samples if hasattr(model, "noise") else prior_samples if hasattr(
            model, "decode") else None
        if draw is not None:
            training = model.training
            pixels = draw(model, SAMPLED)                     # from the same noise each time
            model.train(training)
            frame["samples"] = np.clip(255 * pixels, 0, 255).round().astype(np.uint8)
        self.frames.append((self.steps, frame))

    def save(self, path: Path, job: Job) -> None:
        """Record a step on the first images of the test set, with the network as it is now, which
        stays so; write the recording and the frames."""
        images, labels = next(iter(job.test_loader(EXAMPLES)))
        self.procedure.model.train()
        trace = record(self.procedure.step, images, labels, probe=EXAMPLES)
        for step, values in self.frames:
            trace.frame(step, **values)
        trace.save(path)
