"""Training on the GPU beside training on the CPU: from the same weights, on the same batches, with
the same noise, so that the same numbers come out but for rounding."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from .. import data, from_numpy, kernels, manual_seed
from ..device import to_host
from ..models import MODELS
from ..ops import stack
from ..training import Trainer
from ..training.config import config_for
from ..training.job import PROCEDURES, Job
from ..training.progress import Progress
from . import DEVICE, LATENT, Sizes
from .results import Part

OPTIONS: dict[str, dict[str, Any]] = {"vae": {"latent": LATENT}}
# Steps in which rounding has not grown yet. Of two runs on the CPU whose first weights differ by
# one rounding the losses are 1e-7 apart up to the tenth, 3e-4 by the twentieth, 1e-2 by the
# fiftieth.
EARLY = 10
# Largest relative differences: of an early loss, of the mean of the later ones (2e-3 in those
# runs), and of the length of a gradient, which jumps where rounding decides on which side of its
# kink a relu is.
EARLY_LIMIT, LATE_LIMIT, GRADIENT_LIMIT = 1e-4, 0.02, 1e-2
# Least accuracy after each of the two epochs of `train cnn`. On the CPU the second ends at 99.06 to
# 99.15 %, and a GPU's shall be the same within 0.2 points; the first, with its steps still large,
# ends above 97 % in any case.
LEARNT = 0.97, 0.989


def procedure(name: str, device: str, lr: float | None = None) -> Any:
    """The document's training steps for a network of fresh weights, the same on every device."""
    recipe = MODELS[name]
    manual_seed(0)
    model = recipe.build(**OPTIONS.get(name, {})).to(device)
    players = [model.generator, model.discriminator] if recipe.kind == "gan" else [model]
    optimizers = [recipe.optimizer(player.parameters(), lr or recipe.lr) for player in players]
    return PROCEDURES[recipe.kind](model, *optimizers)


def mnist_batches(name: str, size: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """`count` shuffled batches of MNIST, float32 images as the network `name` takes them."""
    recipe = MODELS[name]
    loader = data.DataLoader(data.mnist().train.subset(slice(size * count)), size, shuffle=True,
                             scale=PROCEDURES[recipe.kind].scale)
    return [(images.numpy(), labels.numpy()) for images, labels in loader]


# --------------------------------------------------------------------------- compared
def check_training(part: Part, sizes: Sizes) -> None:
    """Part "training": the losses of many steps of cnn; losses and gradients of one of the others.
    """
    kernels.problem()                        # loads the CPU's kernels, without a warning
    part.found("cnn", "the CPU uses", "Numba" if kernels.CPU else "NumPy alone")
    with part.attempt("cnn", "loss"):
        _compare_losses(part, sizes)
    for name in ("cnn", "gan", "vae"):
        with part.attempt(name, "first step"):
            _compare_step(part, name, sizes.batch)


def losses(device: str, batches, seconds: float = math.inf) -> np.ndarray:
    """The loss of each step of cnn, as far as `seconds` last; read in the end, in one transfer."""
    steps, found, began = procedure("cnn", device, lr=1e-3), [], time.monotonic()
    for images, labels in batches:
        found.append(steps.step(from_numpy(images).to(device), from_numpy(labels).to(device))
                     ["loss"])
        if time.monotonic() - began > seconds:
            break
    return to_host(stack(found).data).astype(np.float64)


def _compare_losses(part: Part, sizes: Sizes) -> None:
    batches = mnist_batches("cnn", sizes.batch, sizes.steps)
    began = time.monotonic()
    cpu = losses("cpu", batches, sizes.cpu_seconds)
    middle = time.monotonic()
    gpu = losses(DEVICE, batches[:len(cpu)])
    part.found("cnn", "steps compared", len(cpu), f"of {sizes.steps}")
    part.found("cnn", "CPU s", middle - began)
    part.found("cnn", "GPU s", time.monotonic() - middle, "the first use of each kernel included")
    part.found("cnn", "first loss", float(gpu[0]))
    part.found("cnn", "last loss", float(gpu[-1]))
    early, late = _largest_differences(gpu, cpu)
    part.check("cnn", f"first {EARLY} losses", early, EARLY_LIMIT)
    if len(cpu) > EARLY:
        part.check("cnn", "later losses", late, LATE_LIMIT)


def _largest_differences(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Of the early losses the largest relative difference; of the later ones, when rounding has
    grown, the relative difference of their means."""
    early = np.abs(found - expected)[:EARLY] / expected[:EARLY]
    late = [each[EARLY:].mean() if len(each) > EARLY else 1.0 for each in (found, expected)]
    return float(early.max()), float(abs(late[0] - late[1]) / late[1])


def first_step(name: str, device: str, batch) -> tuple[dict[str, float], dict[str, float]]:
    """The losses of a network's first step, and the length of each parameter's gradient."""
    steps = procedure(name, device)
    images, labels = (from_numpy(array).to(device) for array in batch)
    values = {key: float(value) for key, value in steps.step(images, labels).items()}
    gradients = {key: float(np.linalg.norm(to_host(p.grad.data).astype(np.float64)))
                 for key, p in steps.model.named_parameters() if p.grad is not None}
    return values, gradients


def _compare_step(part: Part, name: str, size: int) -> None:
    (batch,) = mnist_batches(name, size, 1)
    cpu, gpu = (first_step(name, device, batch) for device in ("cpu", DEVICE))
    limits = {"losses": EARLY_LIMIT, "gradients": GRADIENT_LIMIT}
    for (what, limit), found, expected in zip(limits.items(), gpu, cpu):
        if set(found) != set(expected):
            raise ValueError(f"{name}: {what} {sorted(found)}, on the CPU {sorted(expected)}")
        differences = {key: abs(found[key] - value) / max(abs(value), 1e-12)
                       for key, value in expected.items()}
        worst = list(differences)[int(np.argmax(list(differences.values())))]     # nan, if any
        part.check(name, f"first step, {what}", differences[worst], limit, f"of {worst}")


# --------------------------------------------------------------------------- to the end
class _Silent(Progress):
    def line(self, text: str) -> None:
        """Nothing is shown: the accuracy is read from what the trainer returns."""


def check_accuracy(part: Part, sizes: Sizes) -> None:
    """Part "accuracy": `train cnn` on the GPU, its accuracy on the test set after each epoch."""
    if not sizes.epochs:
        part.unasked("train cnn", "test errors", "left out by --quick")
        return
    job = Job(config_for("cnn", epochs=sizes.epochs), DEVICE)
    moments: list[float] = []
    trainer = Trainer(job.procedure, job.train_loader(), job.test_loader(), device=DEVICE,
                      schedule=job.recipe.schedule, show=_Silent(),
                      after_epoch=lambda epoch: moments.append(time.monotonic()))
    for epoch in trainer.fit(sizes.epochs):
        name, number = f"epoch {epoch['epoch']}", int(epoch["epoch"])
        part.found(name, "s", moments[number] - moments[number - 1], "with the evaluation")
        part.found(name, "training loss", epoch["loss"])
        part.check(name, "test errors", 1 - epoch["test_accuracy"], 1 - LEARNT[number - 1])
